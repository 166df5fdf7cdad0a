"""The commands over a lake's views: query, changes, check."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest


@pytest.fixture
def lake(synced: Path) -> Path:
    """A lake of one sync."""
    return synced


def test_a_query_is_answered_in_every_format(run, lake, tmp_path) -> None:
    """One row in each format, on stdout or as a file."""
    sql = "SELECT count(*) AS n, 'a|b' AS text FROM backups"
    assert "40" in run("query", sql, "--lake", lake).out
    shown = run("query", sql, "--lake", lake, "--format", "csv").out
    assert list(csv.DictReader(io.StringIO(shown))) == [{"n": "40", "text": "a|b"}]
    assert json.loads(run("query", sql, "--lake", lake, "--format", "json").out) == [
        {"n": 40, "text": "a|b"}
    ]
    assert "| 40 | a\\|b |" in run("query", sql, "--lake", lake, "--format", "md").out
    for form in ("parquet", "xlsx", "csv"):
        out = tmp_path / f"answer.{form}"
        assert run("query", sql, "--lake", lake, "--format", form, "--out", out).code == 0
    assert pq.read_table(tmp_path / "answer.parquet").to_pylist() == [{"n": 40, "text": "a|b"}]


ALL_KINDS = """SELECT [1, 2] AS list, {'a': 1} AS struct, INTERVAL 1 DAY AS span, sum(3) AS total,
    TIME '12:00' AS time, 'x'::BLOB AS bytes, 'nan'::DOUBLE AS nan, 1.50::DECIMAL(5, 2) AS price"""


def test_values_of_every_kind_are_answered(run, lake, tmp_path) -> None:
    """Lists and structures are JSON in a cell too, sums numbers, what is no number null in JSON."""
    ask = ("query", ALL_KINDS, "--lake", lake, "--format")
    (cells,) = csv.DictReader(io.StringIO(run(*ask, "csv").out))
    assert (cells["list"], cells["struct"], cells["total"]) == ("[1, 2]", '{"a": 1}', "3")
    (row,) = json.loads(run(*ask, "json").out)
    assert row == json.loads(run(*ask, "ndjson").out)
    assert (row["list"], row["total"], row["nan"], row["price"]) == ([1, 2], 3, None, "1.50")
    assert run(*ask, "md").code == run(*ask, "table").code == 0
    assert run(*ask, "xlsx", "--out", tmp_path / "answer.xlsx").code == 0


def test_numbers_times_and_spans_within_lists_are_valid_in_any_format(run, lake, tmp_path) -> None:
    """Null where JSON has no number, ISO 8601 for times, and a span is text that its reader takes."""
    values = "[1, 'nan'::DOUBLE] AS l, {'x': 'inf'::DOUBLE} AS s, [TIMESTAMP '2026-01-01'] AS t"
    sql = f"SELECT {values}, TIMESTAMP '2026-01-03 04:05:06.5' - TIMESTAMP '2026-01-01' AS span"
    wanted = {"l": [1.0, None], "s": {"x": None}, "t": ["2026-01-01T00:00:00Z"]}
    ask = ("query", sql, "--lake", lake, "--format")
    for form in ("json", "ndjson"):
        answer = json.loads(run(*ask, form).out, parse_constant=pytest.fail)
        row = answer[0] if form == "json" else answer
        assert row == wanted | {"span": "2 days 04:05:06.500000"}
    (cells,) = csv.DictReader(io.StringIO(run(*ask, "csv").out))
    assert {name: json.loads(cells[name], parse_constant=pytest.fail) for name in wanted} == wanted
    assert cells["span"] == "2 days 04:05:06.500000"
    asked = "SELECT unnest([INTERVAL '2000000 hours' - INTERVAL 1 MICROSECOND, NULL]) AS span"
    first, none = json.loads(run("query", asked, *ask[2:], "json").out)
    assert (first["span"], none["span"]) == ("1999999:59:59.999999", None)
    assert "datetime" not in run(*ask, "md").out + run(*ask, "table").out
    assert run(*ask, "parquet", "--out", tmp_path / "answer.parquet").code == 0


def test_now_is_utc_wherever_the_machine_is(lake) -> None:
    """In any zone now() is the moment that our times, which have no zone, are held against.

    So it is in `connect_lake`, and in cursors of its connection.
    """
    sql = "SELECT abs(epoch(utc_now() - now())) < 60 AS is_now, TIMESTAMPTZ '2026-01-01 00:00Z' AS day"
    command = [sys.executable, "-m", "backup_frames", "query", sql, "--lake", str(lake)]
    environment = os.environ | {"TZ": "Asia/Shanghai"}
    done = subprocess.run(
        [*command, "--format", "csv"], capture_output=True, env=environment, check=True
    )
    assert done.stdout.decode() == 'is_now,day\ntrue,"2026-01-01T00:00:00Z"\n'
    code = (
        "import backup_frames.insight as insight, sys\n"
        "with insight.connect_lake(sys.argv[1]) as connection:\n"
        f"    print(connection.cursor().execute({sql!r}).fetchone()[0])"
    )
    command = [sys.executable, "-c", code, str(lake)]
    assert subprocess.check_output(command, env=environment, text=True) == "True\n"


def test_columns_of_one_name_are_told_apart(run, lake) -> None:
    """No format loses one; a name with a comma is one column of a CSV file."""
    sql = "SELECT 1 AS x, 2 AS x, coalesce(3, 4)"
    named = {"x": 1, "x_1": 2, "COALESCE(3, 4)": 3}
    for form in ("json", "ndjson"):
        answer = json.loads(run("query", sql, "--lake", lake, "--format", form).out)
        assert answer in (named, [named])
    (cells,) = csv.DictReader(io.StringIO(run("query", sql, "--lake", lake, "--format", "csv").out))
    assert cells == {name: str(value) for name, value in named.items()}
    assert "x_1" in run("query", sql, "--lake", lake).out


def test_what_a_format_cannot_hold_is_the_users_error(run, lake, tmp_path) -> None:
    """Parquet has no unions, and nothing is written."""
    out = tmp_path / "a.parquet"
    sql = "SELECT union_value(a := 1) AS either"
    done = run("query", sql, "--lake", lake, "--format", "parquet", "--out", out)
    assert (done.code, out.exists()) == (2, False)
    assert "VARCHAR" in done.err


def test_a_query_alone_lists_what_can_be_asked(run, lake) -> None:
    """The views, each with what it answers."""
    listed = run("query", "--lake", lake)
    assert listed.code == 0
    assert "v_exceptions" in listed.out


@pytest.mark.parametrize("sql", ["DELETE FROM settings", "SELEC", "FROM nowhere"])
def test_a_bad_query_is_the_users_error(run, lake, sql) -> None:
    """Exit code 2, one line, no traceback."""
    done = run("query", sql, "--lake", lake)
    assert done.code == 2
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "question",
    [("query", "FROM backups"), ("changes",), ("check",), ("publish", "--out", "p.duckdb")],
)
def test_a_question_to_a_damaged_lake_names_file_and_repair(
    run, lake, tmp_path, monkeypatch, question
) -> None:
    """In one line, with exit code 5: the file at fault and the command that reads it again."""
    monkeypatch.chdir(tmp_path)
    damaged = tmp_path / "lake"
    shutil.copytree(lake, damaged)
    file = min((damaged / "backups").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-9])
    done = run(*question, "--lake", damaged)
    line = done.err.splitlines()[-1]  # before it, that publishing takes a while
    assert done.code == 5
    assert line.startswith("Error: ")
    assert os.fspath(file) in line
    assert f"`backup-frames verify --lake {damaged} --repair`" in line
    assert "^" not in line


def test_changes_in_every_format(run, lake) -> None:
    """40 backups came with the first sync, whatever the format."""
    assert "40 new, 0 changed, 0 gone" in run("changes", "--lake", lake).out
    assert json.loads(run("changes", "--lake", lake, "--format", "json").out)["counts"] == {
        "new": 40,
        "changed": 0,
        "gone": 0,
    }
    rows = csv.DictReader(io.StringIO(run("changes", "--lake", lake, "--format", "csv").out))
    assert [row["change"] for row in rows] == ["new"] * 40
    assert run("changes", "--lake", lake, "--since", "soon").code == 2


def test_an_alarm_has_its_exit_code_and_is_never_silent(run, lake) -> None:
    """Exit code 7 and a line on stderr if there is an exception of the severity; else 0."""
    every = run("check", "--lake", lake, "--fail-on", "low", "--quiet")
    assert every.code == 7
    assert every.err.strip()
    found = int(every.out.split()[0])
    assert found > 0
    counted = run("query", "SELECT count(*) n FROM v_exceptions", "--lake", lake, "--format", "csv")
    assert counted.out.split() == ["n", str(found)]
    assert run("check", "--lake", lake, "--fail-on", "severe").code == 2
