from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from backup_frames.cli.screen.exports import write_csv, write_ndjson
from backup_frames.cli.screen.tables import human_size, print_rows, print_text

MOMENT = dt.datetime(2026, 1, 31, 1, 2, 3, tzinfo=dt.UTC)
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("engine", pa.dictionary(pa.int32(), pa.string())),
        ("size_kb", pa.float64()),
        ("count", pa.int32()),
        ("begin_time", pa.timestamp("us", "UTC")),
        ("begin_date", pa.date32()),
    ]
)


def table(*names: str | None) -> pa.Table:
    rows = [
        {
            "name": name,
            "engine": "redis",
            "size_kb": -1.5,
            "count": None,
            "begin_time": MOMENT,
            "begin_date": MOMENT.date(),
        }
        for name in names
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def as_csv(rows: pa.Table) -> list[dict[str, str]]:
    out = io.BytesIO()
    write_csv(rows, out)
    return list(csv.DictReader(io.StringIO(out.getvalue().decode(), newline="")))


def test_csv_has_iso_times_and_empty_nulls():
    """Times are ISO 8601 in UTC, null is empty, numbers stay as they are."""
    assert as_csv(table("n")) == [
        {
            "name": "n",
            "engine": "redis",
            "size_kb": "-1.5",
            "count": "",
            "begin_time": "2026-01-31T01:02:03Z",
            "begin_date": "2026-01-31",
        }
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_csv_defuses_formulas(start):
    """Text that a spreadsheet would calculate gets a leading apostrophe."""
    hostile = start + 'cmd|"/c calc"!A1'
    assert as_csv(table(hostile))[0]["name"] == "'" + hostile


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=5))
def test_csv_keeps_every_text(names):
    """Whatever the name, a CSV reader gets it back, apart from the apostrophe."""
    texts = [row["name"] for row in as_csv(table(*names))]
    assert [
        t[1:] if t[:2] and t[0] == "'" and t[1:2] in set("=+-@\t\r\n") else t for t in texts
    ] == [t[1:] if t[:1] == "'" and t[1:2] and t[1] in "=+-@\t\r\n" else t for t in names]


def test_csv_of_no_rows_is_its_header():
    """An empty table still says its columns."""
    out = io.BytesIO()
    write_csv(table(), out)
    assert out.getvalue() == b"name,engine,size_kb,count,begin_time,begin_date\n"


def test_ndjson_is_one_object_per_row():
    """Names survive, null is null, times are ISO 8601 in UTC."""
    out = io.BytesIO()
    write_ndjson(table('"\n=é', None), out)
    first, second = map(json.loads, out.getvalue().decode().splitlines())
    assert first == {
        "name": '"\n=é',
        "engine": "redis",
        "size_kb": -1.5,
        "count": None,
        "begin_time": "2026-01-31T01:02:03Z",
        "begin_date": "2026-01-31",
    }
    assert second["name"] is None


def test_a_terminal_sees_names_as_text(capsys):
    """Escape sequences and markup in a name do nothing."""
    print_rows(["name"], [["\x1b[31mred\x1b]0;x\x07"], ["[bold]b[/bold]"]], "t")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[bold]b[/bold]" in out


HEAD = [
    "begin_time",
    "instance_name",
    "backup_type",
    "status",
    "size_kb",
    "count",
    "backup_id",
    "name",
]
ROWS = [
    [MOMENT, "sessions-cassandra-生产-0005", "Auto", "COMPLETED", 12_083.0, 1_234_567, "3" * 36, "x" * 60],
    [MOMENT, "a", "Manual", "FAILED", 0.0, 7, "4" * 36, None],
]  # fmt: skip
WHOLE = ["2026-01-31 01:02:03", "COMPLETED", "FAILED", "Manual", "11.8 MiB", "1,234,567"]


def shown_at(width, capsys, monkeypatch, rows=ROWS):
    """What a terminal of so many columns shows."""
    monkeypatch.setenv("COLUMNS", str(width))
    print_rows(HEAD, rows, "backups", totals=(50, 17), how="--format csv")
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [*range(40, 130, 3), 300])
def test_no_width_breaks_a_number_a_time_or_a_state(width, capsys, monkeypatch):
    """No line is wider than the terminal; what is shown of these is shown whole, on one line."""
    out = shown_at(width, capsys, monkeypatch)
    assert max(map(cell_len, out.splitlines())) <= width
    head = re.split(r"  +", out.splitlines()[1])
    names = [name for name in HEAD if name.removesuffix("_kb") in out] if width < 80 else head
    assert len(names) >= 4
    shown = len(names) if width < 80 else len(head)
    assert f"2 of 50 rows, {shown} of 17 columns; all: --format csv" in " ".join(out.split())
    kept = WHOLE if width < 80 else WHOLE[: 4 + (len(head) > 4) + (len(head) > 5)]
    assert [value for value in kept if value not in out] == []


def test_below_80_columns_records_stand_below_each_other(capsys, monkeypatch):
    """Every column is there, a line each; an id that does not fit ends with an ellipsis."""
    lines = shown_at(45, capsys, monkeypatch).splitlines()
    first = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in lines[1 : 1 + len(HEAD)])
    assert list(first) == [name.removesuffix("_kb") for name in HEAD]
    assert first["size"] == "11.8 MiB"
    assert re.fullmatch("3+…", first["backup_id"])


def test_a_sentence_goes_on_below_its_words(capsys, monkeypatch):
    """A line that is too long is broken between words, and what follows it stands apart."""
    monkeypatch.setenv("COLUMNS", "40")
    print_text(("high", "red"), ": orders: rpo missed. The newest backup is too old.")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["high: orders: rpo missed. The newest", "  backup is too old."]


def test_a_table_that_fits_is_one_however_narrow(capsys, monkeypatch):
    """Two short columns need no records, and nothing is said to be missing."""
    monkeypatch.setenv("COLUMNS", "40")
    print_rows(["n", "text"], [[1, "a"], [22, "b"]], how="--format csv")
    assert capsys.readouterr().out.splitlines() == [" n  text", "────────", " 1  a", "22  b"]


def test_a_pipe_gets_every_column_whole(capsys, monkeypatch):
    """Where nothing has a width nothing is shortened."""
    monkeypatch.delenv("COLUMNS", raising=False)
    print_rows(HEAD, ROWS, how="--format csv")
    out = capsys.readouterr().out
    assert "x" * 60 in out
    assert "all: " not in out


@pytest.mark.parametrize(
    ("kib", "text"),
    [(0, "0.0 KiB"), (12_083, "11.8 MiB"), (-3, "-3.0 KiB"), (5 * 1024**4, "5.0 PiB")],
)
def test_sizes_have_their_unit(kib, text):
    """One digit behind the point, and the unit in which the number is short."""
    assert human_size(kib) == text


def test_numbers_are_told_as_they_are(capsys):
    """A rate keeps its digits, a count has separators, a sum no false precision."""
    print_rows(["a", "b", "c", "stored_gib"], [[0.97312, 1234, 1234.56, 1.5]])
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        "0.9731", "1,234", "1,234.6", "1.5", "GiB",
    ]  # fmt: skip
