from __future__ import annotations

import csv
import io
import json
import re

import openpyxl
import pyarrow.parquet as pq
import pytest

from backup_frames.frames.schema import BACKUPS
from backup_frames.sandbox import HtmlError, Sandbox, Status


def test_csv_holds_every_backup(run, account):
    """CSV on stdout has one row per backup of both levels; the certificate is on stderr."""
    ran = run("read", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ran.out, newline="")))
    assert ran.code == 0
    assert len({row["backup_id"] for row in rows}) == len(rows) == 40
    assert {row["backup_level"] for row in rows} == {"Instance", "DatabaseTable"}
    assert "complete" in ran.err


def test_ndjson_holds_every_backup(run, account):
    """NDJSON on stdout has one object per backup."""
    ran = run("read", "--format", "ndjson", "--quiet")
    assert len({json.loads(line)["backup_id"] for line in ran.out.splitlines()}) == 40
    assert ran.err == ""


def test_a_child_table_can_be_chosen(run, account):
    """--table databases writes the databases, whose keys say which backup they belong to."""
    ran = run("read", "--format", "ndjson", "--table", "databases")
    first = json.loads(ran.out.splitlines()[0])
    assert {"backup_id", "database_index", "database_name"} <= first.keys()


def test_the_tables_show_the_newest_rows(run, account):
    """Without a format people see the newest rows of all three tables, newest first, and the counts."""
    ran = run("read")
    assert ran.code == 0
    backups, databases, tables = re.split(r"\n\n", ran.out)
    assert "backups: 40 rows" in backups
    assert f"20 of 40 rows, 9 of {len(BACKUPS)} columns; all: --format csv" in backups
    for shown in (backups, databases, tables):
        moments = re.findall(r"^(\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d)?)", shown, re.MULTILINE)
        assert len(moments) >= 5
        assert moments == sorted(moments, reverse=True)


def test_a_backups_tables_keep_their_order(run, account):
    """Newest first means backups: the databases and tables of one stand as it names them."""
    out = run("read", "--table", "tables", "--columns", "backup_id,database_index,table_index").out
    rows = [line.split() for line in out.splitlines()[3:-1]]
    assert rows
    for one in {row[0] for row in rows}:
        numbers = [(int(row[1]), int(row[2])) for row in rows if row[0] == one]
        assert numbers == sorted(numbers)


def test_columns_and_limit_hold_in_every_format(run, account, tmp_path):
    """The columns in the order asked for, of the newest rows."""
    asked = ["read", "--columns", "status,backup_id", "--limit", "3", "--quiet", "--format"]
    every = [json.loads(line) for line in run("read", "--format", "ndjson").out.splitlines()]
    newest = [(row["status"], row["backup_id"]) for row in every[-3:]]
    read = {
        "json": json.loads(run(*asked, "json").out),
        "ndjson": [json.loads(line) for line in run(*asked, "ndjson").out.splitlines()],
        "csv": list(csv.DictReader(io.StringIO(run(*asked, "csv").out))),
    }
    for rows in read.values():
        assert [tuple(row.values()) for row in rows] == newest
    assert run(*asked, "md").out.startswith("| status | backup_id |\n")
    assert run(*asked, "xlsx", "--out", tmp_path / "x.xlsx").code == 0
    sheet = openpyxl.load_workbook(tmp_path / "x.xlsx").worksheets[0]
    assert [cell.value for cell in sheet[1]] == ["status", "backup_id"]
    assert [cell.value for cell in next(iter(sheet.columns))][1:] == [row[0] for row in newest]


def test_a_workbook_has_the_three_tables_and_the_certificate(run, account, tmp_path):
    """--format xlsx writes what frames.to_excel does."""
    assert run("read", "--format", "xlsx", "--out", tmp_path / "x.xlsx").code == 0
    names = openpyxl.load_workbook(tmp_path / "x.xlsx").sheetnames
    assert names == ["backups", "backup_databases", "backup_tables", "certificate"]


def test_since_is_a_begin_so_long_ago(run, account):
    """--since reads from then on; with --begin it is refused."""
    assert run("read", "--format", "csv", "--since", "5000w").out.count("\n") == 41
    assert run("read", "--format", "csv", "--since", "1m").out.count("\n") == 1
    ran = run("read", "--since", "7d", "--begin", "2026-01-01")
    assert ran.code == 2
    assert "--since 7d" in ran.err


def test_filters_reach_the_service(run, account):
    """A filter on the command line is a filter of the read."""
    ran = run("read", "--format", "ndjson", "--backup-type", "Manual", "--level", "Instance")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert 0 < len(rows) < 40
    assert {(row["backup_type"], row["backup_level"]) for row in rows} == {("Manual", "Instance")}


def test_parquet_writes_partitions_by_date(run, account, tmp_path):
    """--format parquet writes the lake's layout, which one call reads."""
    ran = run("read", "--format", "parquet", "--out", tmp_path / "out")
    assert ran.code == 0
    assert pq.read_table(tmp_path / "out" / "backups").num_rows == 40


def test_out_is_the_same_as_stdout(run, account, tmp_path):
    """--out holds the bytes that stdout would, and nothing lies beside it."""
    out = tmp_path / "backups.csv"
    assert run("read", "--format", "csv", "--out", out).out == ""
    assert out.read_bytes().decode() == run("read", "--format", "csv").out
    assert list(tmp_path.iterdir()) == [out]


def test_a_dash_is_stdout(run, account, tmp_path, monkeypatch):
    """``--out -`` writes to stdout, as elsewhere, and makes no file of that name; a folder it is not."""
    monkeypatch.chdir(tmp_path)
    ran = run("read", "--format", "csv", "--out", "-")
    assert (ran.code, ran.out) == (0, run("read", "--format", "csv").out), ran.err
    ran = run("read", "--format", "parquet", "--out", "-")
    assert (ran.code, ran.out) == (2, "")
    assert "--format parquet writes a folder" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_dry_run_tells_rows_and_requests_for_two(run, account):
    """--dry-run says rows and requests at the cost of one count per level."""
    before = account.request_count
    ran = run("read", "--dry-run")
    assert ran.code == 0
    assert "40 rows" in ran.out
    assert "requests" in ran.out
    assert account.request_count - before == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--level", "Nonsense"], 2),
        (["--begin", "yesterday"], 2),
        (["--begin", "2026-01-02", "--end", "2026-01-01"], 2),
        (["--project-id", "../../etc"], 2),
        (["--project-id", "somebodyelse"], 3),
        (["--endpoint", "http://127.0.0.1:1"], 3),
        (["--max-connections", "0"], 2),
    ],
)
def test_a_bad_question_has_its_code_and_writes_nothing(run, account, tmp_path, arguments, code):
    """Whatever is wrong with the question, the message is short and no file appears."""
    ran = run("read", "--format", "csv", "--out", tmp_path / "x.csv", *arguments)
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert ran.err.splitlines()[-1].startswith("Error: ")
    assert len(ran.err.splitlines()) <= 2  # before it, that it is reading: if that takes a second
    assert list(tmp_path.iterdir()) == []


def test_missing_and_wrong_tokens_are_told_apart(run, account, monkeypatch):
    """No credentials end with 2, refused ones with 3; neither shows the token."""
    for name in ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "BACKUP_FRAMES_TOKEN"):
        monkeypatch.delenv(name)
    assert run("read").code == 2
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN", "canary-token-1")
    ran = run("read", "--debug")
    assert ran.code == 3
    assert "canary-token-1" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        (Status(400), {3}),
        (Status(403), {3}),
        (HtmlError(), {3, 4}),
    ],
)
def test_a_broken_service_has_its_code(run, monkeypatch, fault, codes):
    """What the service does wrong ends with 3 or 4, in one line, without data."""
    with Sandbox(backups=30, faults=[fault]) as broken:
        for name, value in broken.environment().items():
            monkeypatch.setenv(name, value)
        ran = run("read", "--format", "csv", "--quiet")
    assert ran.code in codes, ran.err
    assert ran.out == ""
    assert len(ran.err.splitlines()) <= 2


def test_no_secret_shows_even_with_debug(run_process, account):
    """With --debug no output holds a secret, whichever way of authentication."""
    secrets = {"BACKUP_FRAMES_TOKEN", "HUAWEICLOUD_SDK_SK"}
    ran = run_process("read", "--debug", "--format", "csv")
    assert ran.code == 0
    values = [value for name, value in account.environment().items() if name in secrets]
    assert [value for value in values if value in ran.out + ran.err] == []


def test_an_empty_table_is_shown(run, account):
    """Where no row is left to show there is no bug to report: each table says its 0 rows."""
    ran = run("read", "--begin", "1990-01-01", "--end", "1990-01-02")
    assert ran.code == 0, ran.err
    assert "backups: 0 rows" in ran.out
