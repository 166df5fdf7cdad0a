"""One flat table, and a workbook: what a spreadsheet gets is what was read, and text stays text."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from support.record_maker import make_pages, page

import backup_frames as bf
from backup_frames.frames import exports
from backup_frames.frames.exports import encode_workbook
from backup_frames.frames.flatten import flatten_pages
from backup_frames.frames.frames import BackupFrames

FORMULA = '=HYPERLINK("http://evil.example","click")'


def frames_of(*bodies: bytes) -> BackupFrames:
    return BackupFrames(flatten_pages(bodies, project_id="p1", level="Instance"))


def cells(data: bytes, sheet: str = "sheet") -> list[list[Any]]:
    """The sheet's rows as (value, kind)."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    return [[(cell.value, cell.data_type) for cell in row] for row in book[sheet].iter_rows()]


def test_the_flat_table_has_the_finest_grain_and_no_column_twice() -> None:
    """A row per table name, per database without, per backup without; sorted as the backups are."""
    tables = [
        {"database_name": "A", "table_names": ["x", "y"]},
        {"database_name": "B", "table_names": None},
    ]
    frames = frames_of(
        page(
            {"id": "one", "begin_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:01:30Z",
             "size": 1048576, "database_tables": tables},
            {"id": "two", "begin_time": "2026-01-02T00:00:00Z"},
        )
    )  # fmt: skip
    flat = frames.joined()
    names = ["backup_id", "database_name", "table_name"]
    assert flat[names].astype(object).where(flat[names].notna(), None).to_numpy().tolist() == [
        ["one", "A", "x"],
        ["one", "A", "y"],
        ["one", "B", None],
        ["two", None, None],
    ]
    assert flat.columns.is_unique
    assert flat["size_gib"].tolist()[0] == 1
    assert flat["duration_s"].tolist()[0] == 90
    assert flat["duration_s"].isna().tolist() == [False, False, False, True]


@pytest.mark.parametrize("bodies", [[], make_pages(3)])
def test_the_flat_table_holds_every_backup(bodies: list[bytes]) -> None:
    """No backup is lost and none of its rows doubled; without backups the columns stand."""
    frames = frames_of(*bodies)
    flat = frames.joined()
    assert set(flat["backup_id"]) == set(frames.backups["backup_id"])
    assert flat["table_name"].notna().sum() == len(frames.tables)
    assert {"size_gib", "duration_s", "database_name"} <= set(flat.columns)


def test_backups_of_any_year_have_a_duration() -> None:
    """From the year 1, or to the year 9999, it is thousands of years, and no error."""
    years = [("0001", "2026"), ("2026", "9999"), ("9999", "0001"), ("2026", "2027")]
    backups = [
        {"id": str(n), "begin_time": f"{a}-01-01T00:00:00Z", "end_time": f"{b}-01-01T00:00:00Z"}
        for n, (a, b) in enumerate(years)
    ]
    flat = frames_of(page(*backups)).joined().set_index("backup_id")
    durations = [round(flat["duration_s"][str(n)] / (365.2425 * 86400)) for n in range(4)]
    assert durations == [2025, 7973, -9998, 1]


def test_text_is_text_and_times_are_utc() -> None:
    """Formulas, addresses and long numbers come back as the text they were; times lose the zone."""
    moment = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)
    table = pa.table(
        {
            "text": [FORMULA, "http://a.example", "007", "+1", "bell\x07", None],
            "moment": pa.array([moment, datetime(1, 1, 1, tzinfo=UTC), None, None, None, None]),
            "day": pa.array([moment.date(), date(1900, 1, 1), None, None, None, None]),
            "large": pa.array([2**62, 5, None, None, None, None]),
            "flag": [True, False, None, None, None, None],
        }
    )
    head, first, second, third, fourth, *_ = cells(encode_workbook({"sheet": table}))
    assert [value for value, _ in head] == table.column_names
    assert first[0] == (FORMULA, "s")
    assert [row[0] for row in (second, third, fourth)] == [
        ("http://a.example", "s"),
        ("007", "s"),
        ("+1", "s"),
    ]
    assert first[1] == (moment.replace(tzinfo=None), "d")
    assert second[1] == ("0001-01-01 00:00:00+00:00", "s")  # Excel's calendar begins in 1900
    assert (first[2][0].date(), second[2][0]) == (moment.date(), "1900-01-01")
    assert (first[3], second[3]) == ((str(2**62), "s"), (5, "n"))
    assert (first[4], second[4]) == ((True, "b"), (False, "b"))


def test_what_a_sheet_cannot_hold_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many rows are an error before anything is written; a long text ends with an ellipsis."""
    long = "x" * 40_000
    (_, ((text, _),)) = cells(encode_workbook({"sheet": pa.table({"a": [long]})}))
    assert text == "x" * 32_766 + "…"
    monkeypatch.setattr(exports, "MAX_ROWS", 2)
    with pytest.raises(bf.QueryError, match="has 3 rows"):
        encode_workbook({"sheet": pa.table({"a": [1, 2, 3]})})


def test_a_workbook_of_a_read(tmp_path: Path) -> None:
    """Three sheets and the certificate, each with its heading; an empty read too."""
    for frames in (frames_of(*make_pages(1)), frames_of()):
        frames.to_excel(tmp_path / "read.xlsx")
        book = openpyxl.load_workbook(tmp_path / "read.xlsx")
        assert book.sheetnames == ["backups", "backup_databases", "backup_tables", "certificate"]
        assert book["backups"].max_row == 1 + len(frames)
        assert book["backups"].cell(1, 2).value == "backup_id"
