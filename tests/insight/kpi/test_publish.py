"""The DuckDB file: what is in it, what is not, and how it replaces the one before."""

from __future__ import annotations

import functools
import os
import resource
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen

import duckdb
import pytest
from obstore.fsspec import FsspecStore
from support.lake_maker import at, backup, make_lake, run

from backup_frames import open_lake, sync_backups
from backup_frames.errors import ConfigError, LakeError
from backup_frames.insight import PublishReport, connect_lake, publish_lake
from backup_frames.insight.kpi.catalog import _makings
from backup_frames.insight.kpi.publish import open_published, open_views
from backup_frames.insight.kpi.relations import create_relations
from backup_frames.lake.storage.urls import open_store
from backup_frames.sandbox import Sandbox

VIEWS = {
    "fact_backup",
    "fact_backup_database",
    "fact_backup_table",
    "fact_sync_run",
    "dim_instance",
    "dim_date",
    "dim_project",
    "v_backups_current",
    "v_backup_history",
    "v_instance_current",
    "v_instance_daily",
    "v_kpi_daily",
    "v_kpi_current",
    "v_exceptions",
}


def opened(path: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(path), read_only=True)


def one_backup_lake(path: Path, backup_id: str = "b") -> Path:
    moment = at("2026-03-10 02:00")
    return make_lake(path, backups=[backup(backup_id, "i", moment)], runs=[run(moment)])


@pytest.fixture(scope="module")
def report(small_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> PublishReport:
    """A published file for the tests that only look into it."""
    return publish_lake(small_lake, tmp_path_factory.mktemp("published") / "out.duckdb")


def test_the_file_holds_the_views(report: PublishReport) -> None:
    """The published file has the star and the KPI views, and each of them answers."""
    assert set(report.tables) >= VIEWS | {"settings", "backups", "instances", "backup_policies"}
    with opened(report.path) as connection:
        for name in VIEWS - {"v_kpi_daily", "v_exceptions"}:  # too slow, and asked elsewhere
            connection.sql(f"SELECT count(COLUMNS(*)) FROM {name}").fetchall()
        ((count,),) = connection.sql("SELECT count(*) FROM fact_backup").fetchall()
        ((now,),) = connection.sql("SELECT now_at FROM v_now").fetchall()
    assert count == report.backup_count > 0
    assert report.as_of is not None
    assert report.as_of.replace(tzinfo=None) == now


def test_everything_is_described(report: PublishReport) -> None:
    """Every table, every view and every column carries a comment."""
    with opened(report.path) as connection:
        query = """
            SELECT table_name FROM duckdb_tables() WHERE comment IS NULL
            UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL
            UNION ALL SELECT table_name || '.' || column_name FROM duckdb_columns()
                WHERE NOT internal AND comment IS NULL
        """
        assert connection.sql(query).fetchall() == []


def test_comments_of_base_tables_are_the_schemas_words(report: PublishReport) -> None:
    """The words of the data dictionary arrive in the file, units included."""
    with opened(report.path) as connection:
        ((words,),) = connection.sql(
            "SELECT comment FROM duckdb_columns() "
            "WHERE table_name = 'backups' AND column_name = 'size_kb'"
        ).fetchall()
    assert words == "Backup size (API: size). Unit: KB."


def test_old_versions_can_open_it(report: PublishReport) -> None:
    """The file is written in the storage format of DuckDB 1.2."""
    with opened(report.path) as connection:
        ((tags,),) = connection.sql(
            "SELECT tags FROM duckdb_databases() WHERE database_name = 'out'"
        ).fetchall()
    assert tags["storage_version"].startswith("v1.2.0")


def test_the_file_tells_old_versions_what_to_materialize(report: PublishReport) -> None:
    """A view of the file says MATERIALIZED where its SQL does: DuckDB 1.3 plans for minutes without."""
    with duckdb.connect(str(report.path), read_only=True) as connection:
        found = dict(connection.execute("SELECT view_name, sql FROM duckdb_views()").fetchall())
    told = {name for name, sql in _makings().items() if " MATERIALIZED (" in sql}
    assert "v_control_judged" in told
    assert {name for name in told if " MATERIALIZED (" not in found[name]} == set()


def test_a_later_sync_shows_without_a_new_publish(tmp_path: Path) -> None:
    """The views answer from the lake as it is when they are asked."""
    lake = one_backup_lake(tmp_path / "lake")
    path = publish_lake(lake, tmp_path / "out.duckdb").path
    moment = at("2026-03-11 02:00")
    make_lake(lake, backups=[backup("later", "i", moment)], runs=[run(moment)])
    with opened(path) as connection:
        rows = connection.sql("SELECT backup_id FROM fact_backup ORDER BY 1").fetchall()
        ((now,),) = connection.sql("SELECT now_at FROM v_now").fetchall()
    assert rows == [("b",), ("later",)]
    assert now == moment.replace(tzinfo=None)


def test_a_materialized_file_needs_no_lake(tmp_path: Path) -> None:
    """With materialize the file holds the data and outlives the lake."""
    lake = one_backup_lake(tmp_path / "lake")
    path = publish_lake(lake, tmp_path / "out.duckdb", materialize=True).path
    shutil.rmtree(lake)
    with opened(path) as connection:
        assert connection.sql("SELECT backup_id FROM v_backups_current").fetchall() == [("b",)]


@pytest.mark.parametrize("name", ["out.duckdb", "a\\b?.duckdb"])
def test_a_published_file_is_worked_in_without_a_trace(tmp_path: Path, name: str) -> None:
    """Inner views answer by their plain names, and what was made meanwhile is gone."""
    lake = one_backup_lake(tmp_path / "lake")
    path = publish_lake(lake, tmp_path / name, materialize=True).path
    with open_published(path) as connection:
        assert connection.sql("SELECT count(*) FROM v_policy_weekday").fetchall() == [(0,)]
        connection.execute("CREATE OR REPLACE VIEW v_now AS SELECT 1 AS one")
        assert connection.sql("FROM v_now").fetchall() == [(1,)]
    with open_published(path) as connection:
        assert connection.sql("SELECT count(now_at) FROM v_now").fetchall() == [(1,)]
        assert connection.sql("SELECT backup_id FROM v_backups_current").fetchall() == [("b",)]


def test_swapped_in_under_a_reader(tmp_path: Path) -> None:
    """A reader of the old file keeps it; who opens the path next gets the new one."""
    lake = one_backup_lake(tmp_path / "lake")
    out = tmp_path / "out.duckdb"
    publish_lake(lake, out, materialize=True)
    with opened(out) as reader:
        shutil.rmtree(lake)
        one_backup_lake(lake, "new")
        publish_lake(lake, out, materialize=True)
        assert reader.sql("SELECT backup_id FROM fact_backup").fetchall() == [("b",)]
    with opened(out) as reader:
        assert reader.sql("SELECT backup_id FROM fact_backup").fetchall() == [("new",)]


def test_a_failed_publish_leaves_the_old_file(tmp_path: Path) -> None:
    """A damaged lake raises LakeError; the published file stands, and nothing lies beside it."""
    lake = one_backup_lake(tmp_path / "lake")
    out = tmp_path / "out.duckdb"
    publish_lake(lake, out)
    before = out.read_bytes()
    next(lake.glob("backups/*/*.parquet")).write_bytes(b"PAR1 torn")
    with pytest.raises(LakeError, match="verify"):
        publish_lake(lake, out, materialize=True)
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "out.duckdb"]


def test_no_secret_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of the environment do not get into the file."""
    for name in ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "BACKUP_FRAMES_TOKEN"):
        monkeypatch.setenv(name, f"hush-{name}-hush")
    lake = one_backup_lake(tmp_path / "lake")
    for materialize in (False, True):
        path = publish_lake(lake, tmp_path / "o.duckdb", materialize=materialize).path
        assert b"hush-" not in path.read_bytes()


@pytest.mark.parametrize(
    "name", ["it's", 'a "b"', "[x] *?", "{a,b}", "ünï 日本", "-- ; DROP", "a%20b", ".hidden"]
)
def test_odd_folders(tmp_path: Path, name: str) -> None:
    """Quotes, patterns and other odd characters in the lake's path are only a name."""
    lake = one_backup_lake(tmp_path / name / "lake")
    one_backup_lake(tmp_path / "x a b" / "lake", "decoy")
    with duckdb.connect() as connection:
        create_relations(connection, str(lake), materialize=False)
        assert connection.sql("SELECT backup_id FROM backups").fetchall() == [("b",)]
        assert len(connection.sql("SELECT run_id FROM sync_runs").fetchall()) == 1


def test_an_odd_file_name(tmp_path: Path) -> None:
    """The output's name is only a name, too."""
    path = publish_lake(one_backup_lake(tmp_path / "lake"), tmp_path / 'it\'s a "file"').path
    with opened(path) as connection:
        assert connection.sql("SELECT backup_id FROM backups").fetchall() == [("b",)]


def test_a_relative_lake_is_published_absolutely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file works from any working directory."""
    one_backup_lake(tmp_path / "lake")
    monkeypatch.chdir(tmp_path)
    path = publish_lake("lake", "out.duckdb").path
    monkeypatch.chdir("/")
    with opened(path) as connection:
        assert connection.sql("SELECT backup_id FROM fact_backup").fetchall() == [("b",)]


def test_a_lake_beside_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``../lake`` is the folder that the system finds there, behind a link as well."""
    one_backup_lake(tmp_path / "real" / "lake", "b")
    one_backup_lake(tmp_path / "lake", "of another lake")
    (tmp_path / "real" / "here").mkdir()
    (tmp_path / "link").symlink_to("real/here")
    monkeypatch.chdir(tmp_path / "real" / "here")
    for lake in ("../lake", "./../../real/lake", f"{tmp_path}/link/../lake"):
        path = publish_lake(lake, tmp_path / "out.duckdb").path
        with opened(path) as connection:
            assert connection.sql("SELECT backup_id FROM fact_backup").fetchall() == [("b",)]


@pytest.mark.parametrize("materialize", [False, True])
def test_a_full_disk_is_no_fault_of_the_lake(tmp_path: Path, materialize: bool) -> None:
    """What could not be written is named, in one line; the file before it stays."""
    lake = one_backup_lake(tmp_path / "lake")
    (tmp_path / "out.duckdb").write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with pytest.raises(LakeError) as caught:
            publish_lake(lake, tmp_path / "out.duckdb", materialize=materialize)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value).startswith(f"{tmp_path}/out.duckdb could not be written: File too ")
    assert (tmp_path / "out.duckdb").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "out.duckdb"]


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder for a test that is some user without rights, as far as files are concerned."""
    folder = Path(tempfile.mkdtemp())  # other users cannot reach `tmp_path`
    folder.chmod(0o755)
    yield folder
    os.seteuid(os.getuid())
    subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)
    shutil.rmtree(folder)


@pytest.mark.parametrize("closed", ["", "lake/backups", "lake/backups/date=2026-03-10"])
def test_a_folder_that_may_not_be_entered_is_named(nobody: Path, closed: str) -> None:
    """It is not taken for an empty or a damaged one; whoever reads the lake is told the same."""
    lake = one_backup_lake(nobody / "lake")
    held = functools.partial(connect_lake, materialize=True)
    readers = (connect_lake, held, lambda lake: open_lake(lake).backups())
    for read in readers:  # it can be read so far, and what reads it is loaded
        read(lake)
    (nobody / closed).chmod(0)
    os.seteuid(65534 if os.getuid() == 0 else os.getuid())
    named = f"Cannot (read|list) {nobody / closed}.*: Permission denied. Give this user read"
    for read in readers:
        with pytest.raises(LakeError, match=named):
            read(lake)


def test_stray_files_are_not_read(tmp_path: Path) -> None:
    """Temporary and foreign files among the data do not break a view."""
    lake = one_backup_lake(tmp_path / "lake")
    day = next(lake.glob("backups/date=*"))
    (day / ".p1.parquet").write_bytes(b"junk")
    (day / "notes.txt").write_bytes(b"junk")
    (lake / "backups" / "scratch").mkdir()
    (lake / "backups" / "scratch" / "p1.parquet").write_bytes(b"junk")
    with connect_lake(lake) as connection:
        assert connection.sql("SELECT backup_id FROM backups").fetchall() == [("b",)]


def test_other_writers_files_are_not_read(tmp_path: Path) -> None:
    """What another tool writes into a day's folder, under a name of its own, is in no view."""
    lake = str(tmp_path / "lake")
    with Sandbox(backups=60, seed=1) as box:
        account = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
        sync_backups(lake=lake, **account)
    for one in list(tmp_path.rglob("date=*/*.parquet")):
        for name in ("part-0", f"{uuid.uuid4().hex}-0"):  # as Spark's, and pyarrow's
            (one.parent / f"{name}.parquet").write_bytes(one.read_bytes())
    with connect_lake(lake) as connection:
        assert connection.sql("SELECT count(*) FROM fact_backup").fetchall() == [(60,)]
        assert connection.sql("SELECT count(*) FROM fact_sync_run").fetchall() == [(1,)]


def test_an_empty_lake(empty_lake: Path, tmp_path: Path) -> None:
    """Before the first sync every view answers: nothing, or unknown."""
    report = publish_lake(empty_lake, tmp_path / "out.duckdb")
    assert (report.backup_count, report.as_of) == (0, None)
    with opened(report.path) as connection:
        for name in VIEWS - {"v_kpi_current"}:
            assert connection.sql(f"FROM {name}").fetchall() == [], name
        rows = connection.sql("SELECT coverage_rate, present_count FROM v_kpi_current").fetchall()
        assert rows == [(None, 0)]


def test_a_lake_without_runs_takes_its_latest_moment_as_now(tmp_path: Path) -> None:
    """Files that `BackupFrames.write` made have no runs; the views still know a now."""
    rows = [backup("b", "i", at("2026-03-10 02:00"), first_seen_at=None, updated_at=None)]
    with connect_lake(make_lake(tmp_path / "lake", backups=rows)) as connection:
        ((now,),) = connection.sql("SELECT now_at FROM v_now").fetchall()
    assert now == at("2026-03-10 03:00").replace(tzinfo=None)


def test_held_and_read_rows_give_the_same_numbers(small_lake: Path) -> None:
    """Views over the files and views over held rows agree."""
    query = "SELECT * EXCLUDE (now_at, certified_at, coverage_note, rpo_note) FROM v_kpi_current"
    with connect_lake(small_lake) as read, connect_lake(small_lake, materialize=True) as held:
        read_row, held_row = read.sql(query).fetchall()[0], held.sql(query).fetchall()[0]
    assert read_row == pytest.approx(held_row)


@pytest.mark.parametrize(
    "names",
    [
        "SELECT 'v_exceptions'",  # which asks nearly all others
        pytest.param(
            "SELECT view_name FROM duckdb_views() "
            "WHERE NOT internal AND view_name <> 'fact_sync_run'",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["exceptions", "all"],
)
def test_who_shows_no_run_reads_less_of_them(small_lake: Path, names: str) -> None:
    """Of runs in brief every view says what it says of whole ones, but the one that shows runs."""
    told = []
    for brief in (False, True):
        with open_views(small_lake, materialize=True, brief=brief) as views:
            views.execute("SET threads = 1")
            ((version,),) = views.sql("SELECT max(tool_version) FROM sync_runs").fetchall()
            assert (version is None) == brief
            told.append(
                {name: views.table(name).fetchall() for (name,) in views.sql(names).fetchall()}
            )
    assert told[0] == told[1]


def test_thresholds(small_lake: Path, tmp_path: Path) -> None:
    """Thresholds handed in stand in the table settings of the file."""
    path = publish_lake(small_lake, tmp_path / "out.duckdb", thresholds={"rpo_h": 12}).path
    with opened(path) as connection:
        assert connection.sql("SELECT rpo_h FROM settings").fetchall() == [(12.0,)]


@pytest.mark.parametrize("thresholds", [{"rpo": 12}, {"rpo_h": 0}, {"rpo_h": float("nan")}])
def test_bad_thresholds(small_lake: Path, thresholds: dict[str, float]) -> None:
    """An unknown threshold, or one that is no number above zero, is refused by name."""
    with pytest.raises(ConfigError, match="rpo"):
        connect_lake(small_lake, thresholds=thresholds)


def test_no_lake(tmp_path: Path) -> None:
    """A folder that does not exist is an error that says how to make a lake."""
    with pytest.raises(LakeError, match=r"no lake at .*sync"):
        publish_lake(tmp_path / "nowhere", tmp_path / "out.duckdb")


def test_no_folder_to_write_to(small_lake: Path, tmp_path: Path) -> None:
    """An output folder that does not exist is a ConfigError, not a traceback of DuckDB."""
    with pytest.raises(ConfigError, match="missing"):
        publish_lake(small_lake, tmp_path / "missing" / "out.duckdb")


class Reader(FsspecStore):
    """Another program's way to the bucket, in place of httpfs, which DuckDB would have to fetch."""

    protocol = "s3"

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(0, UTC)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a lake in a bucket, on a server that speaks S3."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - half a second, only if asked for

    lake = one_backup_lake(tmp_path / "lake")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "hush-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-101")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        urlopen(Request(f"{endpoint}/bucket", method="PUT"), timeout=30).close()
        url = f"s3://bucket/some/lake?endpoint={endpoint}"
        store = open_store(url, scratch="_meta/p1/tmp")
        for path in lake.rglob("*.parquet"):
            store.put(str(path.relative_to(lake)), path.read_bytes())
        store.put("backups/date=2026-03-10/foreign.txt", b"junk")
        yield url
    finally:
        server.stop()


@pytest.mark.slow
def test_a_file_that_points_into_a_bucket(bucket: str, tmp_path: Path) -> None:
    """It holds `s3://` paths and no secret; a reader with its own way to the bucket gets the rows."""
    path = publish_lake(bucket, tmp_path / "out.duckdb").path
    assert b"hush-" not in path.read_bytes()
    assert b"127.0.0.1" not in path.read_bytes()
    config = {"endpoint": bucket.partition("endpoint=")[2], "region": "eu-west-101"}
    reader = Reader("s3", config=config, client_options={"allow_http": True})
    with opened(path) as connection:
        connection.register_filesystem(reader)
        assert connection.sql("SELECT backup_id FROM fact_backup").fetchall() == [("b",)]
        assert connection.sql("SELECT ledger_count FROM v_kpi_current").fetchall() == [(1,)]
        ((words,),) = connection.sql(
            "SELECT sql FROM duckdb_views() WHERE view_name = 'backups'"
        ).fetchall()
    assert "'s3://bucket/some/lake/backups/" in words


@pytest.mark.slow
def test_a_lake_in_a_bucket_can_be_held(bucket: str, tmp_path: Path) -> None:
    """With materialize the rows come through the lake's own store, and nobody needs the bucket."""
    path = publish_lake(bucket, tmp_path / "out.duckdb", materialize=True).path
    assert b"hush-" not in path.read_bytes()
    with opened(path) as connection:
        assert connection.sql("SELECT backup_id FROM fact_backup").fetchall() == [("b",)]


def test_modes_of_the_file(small_lake: Path, tmp_path: Path) -> None:
    """The file gets the permissions that the umask asks for."""
    mask = os.umask(0o027)
    try:
        path = publish_lake(small_lake, tmp_path / "out.duckdb").path
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o640


def test_main_is_for_people(report: PublishReport) -> None:
    """What only other views ask stands in `internal`; `v_readme` names what is in main, under any name."""
    assert not {"v_backup_state", "v_instance_ledger", "lake_files"} & set(report.tables)
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{report.path}' AS other (READ_ONLY)")
        inner = connection.sql(
            "SELECT view_name FROM duckdb_views() WHERE schema_name = 'internal'"
        ).fetchall()
        begin = connection.sql("SELECT name FROM other.v_readme ORDER BY place").fetchall()
        for schema, names in (("internal", inner), ("main", begin)):
            assert names
            for (name,) in names:
                assert connection.sql(f"SELECT * FROM other.{schema}.{name}").columns
    assert {name for (name,) in begin} <= set(report.tables)
