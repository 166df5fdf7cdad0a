"""Which files of a lake the views read, and that what is published is all of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from backup_frames import sync_backups
from backup_frames.cli import main
from backup_frames.errors import LakeError
from backup_frames.insight import connect_lake, publish_lake, write_report
from backup_frames.insight.kpi.relations import create_relations
from backup_frames.lake.ledger.metadata import (
    Manifest,
    Pending,
    decode_record,
    describe_file,
    encode_record,
)
from backup_frames.lake.storage.layout import INVENTORY_NAMES
from backup_frames.sandbox import Sandbox

BACKUPS = 60
OTHER = "0123456789abcdef" * 2


@pytest.fixture(scope="session")
def synced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A lake as a sync makes it, and its project."""
    path = tmp_path_factory.mktemp("synced") / "lake"
    with Sandbox(backups=BACKUPS, seed=1) as box:
        sync_backups(
            lake=str(path), endpoint=box.endpoint, project_id=box.project_id, token=box.token
        )
        return path, box.project_id


@pytest.fixture
def lake(synced: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(synced[0], tmp_path / "lake"))


@pytest.fixture
def project(synced: tuple[Path, str]) -> str:
    return synced[1]


def counts(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    query = "SELECT (SELECT count(*) FROM backups), (SELECT count(*) FROM sync_runs)"
    return connection.sql(query).fetchall()[0]


@contextmanager
def tables_of(lake: Path, *, materialize: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """The base relations alone: views on them take a while."""
    with duckdb.connect() as connection:
        create_relations(connection, str(lake), materialize=materialize)
        yield connection


def counts_of(path: Path) -> tuple[int, int]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return counts(connection)


def add_foreign_files(lake: Path, project: str) -> None:
    """Copies of the lake's files, and junk, under names that look more or less like its own."""
    for one in list(lake.rglob("*/*.parquet")):
        stem = one.stem.replace(project, OTHER)
        for name in (stem, f"{one.stem} (1)", "part-0", f".{one.stem}", f"{one.stem}.bak"):
            shutil.copy(one, one.with_name(f"{name}.parquet"))
        one.with_name(f"{OTHER[::-1]}.parquet").write_bytes(b"junk")
    for folder in ("date=2031-01-31", "date=2031-01-31x", "copies"):
        (lake / "backups" / folder).mkdir()
        newest = max(lake.glob(f"backups/date=2*/{project}.parquet"))
        shutil.copy(newest, lake / "backups" / folder / f"{project}.parquet")
        newest_run = max(lake.glob(f"sync_runs/date=2*/{project}-*.parquet"))
        (lake / "sync_runs" / folder).mkdir()
        name = newest_run.name.replace(newest_run.stem[-23:], "20310131T000000000000Z")
        shutil.copy(newest_run, lake / "sync_runs" / folder / name)
    (lake / "_meta" / OTHER).mkdir()
    (lake / "_meta" / OTHER / "notes.txt").write_text(project)


@pytest.mark.parametrize("materialize", [False, True])
def test_foreign_files_are_in_no_view(lake: Path, project: str, materialize: bool) -> None:
    """Whatever lies between the data, under whatever name, only what the manifest names is read."""
    add_foreign_files(lake, project)
    with tables_of(lake, materialize=materialize) as connection:
        assert counts(connection) == (BACKUPS, 1)
        query = "SELECT DISTINCT project_id FROM lake_files"
        assert connection.sql(query).fetchall() == [(project,)]


def test_foreign_files_that_come_later_are_in_no_view(
    lake: Path, project: str, tmp_path: Path
) -> None:
    """A file that points at the lake asks the manifest at every query."""
    path = publish_lake(lake, tmp_path / "out.duckdb").path
    add_foreign_files(lake, project)
    assert counts_of(path) == (BACKUPS, 1)


def test_later_syncs_show_in_a_file_that_points(tmp_path: Path) -> None:
    """New days, new runs, changed files: a published file shows each sync, and no backup twice."""
    with Sandbox(backups=BACKUPS, seed=1) as box:
        account = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
        lake, clock = str(tmp_path / "lake"), box.clock
        sync_backups(lake=lake, clock=clock, **account)
        path = publish_lake(lake, tmp_path / "out.duckdb").path
        for number in (2, 3):
            clock.advance(timedelta(days=40))
            sync_backups(lake=lake, clock=clock, **account)
            with tables_of(Path(lake), materialize=True) as connection:
                held = counts(connection)
            assert held[0] > BACKUPS
            assert held[1] == number
            assert counts_of(path) == held


def test_a_project_that_joins_later_is_uncertified(
    lake: Path, project: str, tmp_path: Path
) -> None:
    """A file published before does not hold its rows, and says so instead of looking complete."""
    path = publish_lake(lake, tmp_path / "out.duckdb").path
    text = (lake / "_meta" / project / "manifest.json").read_text()
    (lake / "_meta" / OTHER).mkdir()
    manifest = decode_record(text.encode(), Manifest)
    assert manifest is not None
    files = {key.replace(project, OTHER): entry for key, entry in manifest.files.items()}
    later = Manifest(OTHER, manifest.partition_by, files)
    (lake / "_meta" / OTHER / "manifest.json").write_bytes(encode_record(later))
    with duckdb.connect(str(path), read_only=True) as connection:
        query = "SELECT project_id FROM v_exceptions WHERE kind = 'stale data'"
        assert (OTHER,) in connection.sql(query).fetchall()
        assert connection.sql("SELECT certified_at FROM v_kpi_current").fetchall() == [(None,)]


@pytest.mark.parametrize("materialize", [False, True])
def test_without_a_manifest_the_names_decide(lake: Path, project: str, materialize: bool) -> None:
    """A project whose manifest is lost has, as the next sync finds, the files of its name."""
    (lake / "_meta" / project / "manifest.json").write_text("{")
    for one in list(lake.rglob("date=*/*.parquet")):
        shutil.copy(one, one.with_name("part-0.parquet"))
    with tables_of(lake, materialize=materialize) as connection:
        assert counts(connection) == (BACKUPS, 1)


# Folders, one inside the other; a backslash alone, since DuckDB reads none of a lake below one.
NAMES = [
    ("back\\slash",),
    ("\\",),
    ("[x]", "a*b", "wh?t", "{a,b}", "größe-日本", "new\nline", "tab\t"),
    ("it's", 'a "b"', "-- ; DROP", "$x", "100%", "a%20b", "with space"),
    ("~home", "a=b", ".hidden", "#"),
]
# What a name would stand for, were it a pattern or quoted otherwise.
TWINS = {
    "back\\slash": "back/slash",
    "\\": "back_slash",
    "[x]": "x",
    "a*b": "a-b",
    "wh?t": "what",
    "{a,b}": "a",
    "a%20b": "a b",
    "with space": "with",
    "it's": "it",
    "#": "x",
}


@pytest.mark.parametrize("names", NAMES, ids=ascii)
def test_a_name_is_never_a_pattern(lake: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    """A lake anywhere gives all its rows, whichever way, and none of a twin's."""
    home = tmp_path.joinpath(*names, "lake")
    home.parent.mkdir(parents=True)
    lake.rename(home)
    for name in TWINS.keys() & set(names):
        twin = tmp_path.joinpath(*(TWINS[one] if one == name else one for one in names), "lake")
        shutil.copytree(home, twin, copy_function=os.link)
    for materialize in (False, True):
        with tables_of(home, materialize=materialize) as connection:
            assert counts(connection) == (BACKUPS, 1)


@pytest.mark.parametrize("name", ["back\\slash", "wh?t", "it's [x] 100% *"])
def test_a_file_of_any_name_is_published(lake: Path, tmp_path: Path, name: str) -> None:
    """DuckDB reads some names as others: the file stands where it was asked for, alone and whole."""
    folder = tmp_path / name
    folder.mkdir()
    home = lake.rename(folder / "lake")
    report = publish_lake(home, folder / f"{name}.duckdb")
    assert report.backup_count == BACKUPS
    assert report.is_materialized == ("\\" in name)  # DuckDB 2 cannot read such a path
    assert sorted(path.name for path in folder.iterdir()) == sorted(["lake", f"{name}.duckdb"])
    shutil.copy(report.path, tmp_path / "plain.duckdb")
    assert counts_of(tmp_path / "plain.duckdb") == (BACKUPS, 1)


@pytest.mark.slow
def test_a_report_of_a_lake_of_any_name(lake: Path, tmp_path: Path) -> None:
    """A backslash and a bracket in the lake's path and in the page's: the numbers are there."""
    home = lake.rename(tmp_path / "a\\b [c]")
    page = write_report(home, tmp_path / "a\\b [c].html")
    assert "certified" in page.read_text(encoding="utf-8")
    assert "not certified" not in page.read_text(encoding="utf-8")


def lose_rows(path: Path) -> None:
    """The file with one row fewer, intact otherwise."""
    pq.write_table(pq.read_table(path).slice(1), path)


@pytest.mark.parametrize(
    ("table", "how", "materialize"),
    [
        pytest.param(  # each table in each way, held and read by turns; both when slow
            *(table, how, materialize),
            marks=[] if (place + number) % 2 == materialize else [pytest.mark.slow],
        )
        for place, table in enumerate(("backups", "backup_databases", "instances", "sync_runs"))
        for number, how in enumerate(("missing", "fewer", "more"))
        for materialize in (False, True)
    ],
)
def test_fewer_rows_than_the_manifest_says_are_not_published(
    lake: Path, table: str, how: str, materialize: bool
) -> None:
    """A file that has gone, or that has other rows than were written, is a LakeError, not a gap."""
    path = max((lake / table).rglob("*.parquet"), key=lambda one: pq.read_metadata(one).num_rows)
    if how == "missing":
        path.unlink()
    elif how == "fewer":
        lose_rows(path)
    else:
        rows = pq.read_table(path)
        pq.write_table(pq.read_table(path).take([*range(len(rows)), 0]), path)
    with (
        pytest.raises((LakeError, duckdb.Error)) as caught,
        tables_of(lake, materialize=materialize),
    ):
        pass
    assert how == "missing" or f"{table} has " in str(caught.value)


def test_a_file_with_a_gap_does_not_replace_the_one_before(lake: Path, tmp_path: Path) -> None:
    """What was published stands, nothing lies beside it, and the error says how to find the gap."""
    out = tmp_path / "out.duckdb"
    out.write_bytes(b"the old one")
    max(lake.glob("backups/*/*.parquet")).unlink()
    with pytest.raises(LakeError, match=r"not read whole: backups has 5\d rows.*verify"):
        publish_lake(lake, out)
    assert out.read_bytes() == b"the old one"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["lake", "out.duckdb"]


def test_what_a_run_has_announced_may_already_be_there(lake: Path, project: str) -> None:
    """While a sync writes, a file has the rows of before or those that the run said beforehand."""
    path = max(lake.glob("backups/*/*.parquet"), key=lambda one: pq.read_metadata(one).num_rows)
    key = path.relative_to(lake).as_posix()
    lose_rows(path)
    rows = pq.read_metadata(path).num_rows
    pending = Pending(project, "r", 0, {key: [describe_file(path.read_bytes(), rows)]})
    (lake / "_meta" / project / "pending.json").write_bytes(encode_record(pending))
    with tables_of(lake, materialize=False) as connection:
        assert counts(connection) == (BACKUPS - 1, 1)


def test_runs_of_two_versions_are_read(lake: Path, project: str) -> None:
    """A run's file of an earlier version lacks a column: null there, whichever file comes first."""
    path = next(lake.glob("sync_runs/*/*.parquet"))
    older = path.parent.with_name("date=2020-01-01") / f"{project}-20200101T000000000000Z.parquet"
    older.parent.mkdir()
    rows = pq.read_table(path).drop_columns(["tool_version"])
    place = rows.column_names.index("run_id")
    pq.write_table(rows.set_column(place, "run_id", [["20200101T000000000000Z"]]), older)
    manifest_path = lake / "_meta" / project / "manifest.json"
    manifest = decode_record(manifest_path.read_bytes(), Manifest)
    assert manifest is not None
    manifest.files[older.relative_to(lake).as_posix()] = describe_file(older.read_bytes(), 1)
    manifest_path.write_bytes(encode_record(manifest))
    for materialize in (False, True):
        with tables_of(lake, materialize=materialize) as connection:
            query = "SELECT tool_version IS NULL FROM sync_runs ORDER BY run_id"
            assert connection.sql(query).fetchall() == [(True,), (False,)]


def test_policies_of_two_versions_are_read(lake: Path, project: str) -> None:
    """Of two projects one was synced by an earlier version, without the column of increments."""
    path = lake / "backup_policies" / f"{project}.parquet"
    count = pq.read_metadata(path).num_rows
    for other in ("0" * 32, "f" * 32):  # read before it, and after it
        (lake / "_meta" / other).mkdir()
        old = path.with_name(f"{other}.parquet")
        pq.write_table(pq.read_table(path).drop_columns(["incremental_period_min"]), old)
        entry = describe_file(old.read_bytes(), count)
        manifest = Manifest(other, "day", {old.relative_to(lake).as_posix(): entry})
        (lake / "_meta" / other / "manifest.json").write_bytes(encode_record(manifest))
    for materialize in (False, True):
        with tables_of(lake, materialize=materialize) as connection:
            query = "SELECT count(*), max(incremental_period_min) FROM backup_policies"
            assert connection.sql(query).fetchall() == [(3 * count, 15)]


@pytest.mark.parametrize(
    "where", ["out", "backups/out", "_meta/out", "backups/date=2026-01-31/out", "../link/out", "."]
)
def test_nothing_is_written_into_a_lake(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    """publish, report, read and the metrics of a sync: exit 2 and a word, the lake as it was."""
    (tmp_path / "link").symlink_to(lake)
    before = sorted(lake.rglob("*"))
    out = str(lake / where)
    account = ["--endpoint", "http://127.0.0.1:9", "--project-id", OTHER]
    for command in (
        ["publish", "--lake", str(lake), "--out", out],
        ["report", "--lake", str(lake), "--out", out],
        ["read", *account, "--format", "csv", "--out", out],
        ["read", *account, "--format", "parquet", "--out", out],
        ["sync", *account, "--lake", str(lake), "--metrics-file", out],
    ):
        assert main(command) == 2, command
        assert "lies in the lake" in capsys.readouterr().err
    assert sorted(lake.rglob("*")) == before
    assert json.loads((lake / "_meta" / "lake.json").read_text())


def test_a_held_file_is_not_decoded_if_it_is_not_as_written(
    synced: tuple[Path, str], tmp_path: Path
) -> None:
    """Where Arrow reads for DuckDB, a flipped bit is an error that names the file, wherever it lies."""
    lake = Path(shutil.copytree(synced[0], tmp_path / "a\\lake"))
    path = max(lake.glob("backups/*/*.parquet"))
    data = bytearray(path.read_bytes())
    data[-40] ^= 4  # who wrote the file: it would decode as if nothing were
    path.write_bytes(data)
    with pytest.raises(LakeError, match="not as they were written") as caught:
        publish_lake(lake, tmp_path / "out.duckdb", materialize=True)
    assert caught.value.path == path.relative_to(lake).as_posix()


def test_who_has_backups_is_known_without_opening_their_files(lake: Path, project: str) -> None:
    """`dim_project` answers although no file of backups can be read any more."""
    with connect_lake(lake) as connection:
        for file in lake.glob("backups/*/*.parquet"):
            file.write_bytes(b"no Parquet")
        query = "SELECT project_id, is_inventory_known FROM dim_project"
        assert connection.sql(query).fetchall() == [(project, True)]


@pytest.mark.parametrize("materialize", [False, True])
def test_a_project_of_which_only_backups_are_left_is_known(
    lake: Path, project: str, materialize: bool
) -> None:
    """Without manifest, runs and inventory the names of its files, or its rows, tell of it."""
    (lake / f"_meta/{project}/manifest.json").unlink()
    for table in ("sync_runs", *INVENTORY_NAMES):
        shutil.rmtree(lake / table, ignore_errors=True)
    with connect_lake(lake, materialize=materialize) as connection:
        connection.execute("CREATE OR REPLACE TABLE lake_files AS FROM lake_files LIMIT 0")
        query = "SELECT project_id, is_inventory_known, certified_at FROM dim_project"
        assert connection.sql(query).fetchall() == [(project, False, None)]
        assert connection.sql("SELECT DISTINCT project_id FROM v_watched_daily").fetchall() == [
            (project,)
        ]
