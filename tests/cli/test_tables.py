from __future__ import annotations

import csv
import datetime as dt
import io
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup_frames.cli.screen.tables import print_head, write_csv, write_ndjson

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


@settings(deadline=None)  # the first call loads pyarrow.compute
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
    print_head(table("\x1b[31mred\x1b]0;x\x07", "[bold]b[/bold]"), ["name"], count=5, title="t")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[bold]b[/bold]" in out


def test_a_long_table_says_how_much_is_left_out(capsys):
    """Only the first rows are shown; title and last line count all."""
    print_head(table(*"abc"), ["name", "size_kb"], count=2, title="backups")
    out = capsys.readouterr().out
    assert "backups: 3 rows" in out
    assert "… 1 more" in out
    assert " c " not in out
