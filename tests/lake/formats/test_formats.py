"""Delta Lake and Iceberg hold the same lake as plain files do, and their own readers read it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deltalake
import duckdb
import polars as pl
import pyarrow as pa
import pytest
from support.clocks import VirtualClock
from support.format_lake import FORMATS, TABLES, FormatLake
from support.lake_service import DAY, HOUR, PROJECT, START, ModelService, World, sync, sync_as
from support.stores import MemoryStore, snapshot

from backup_frames.errors import ConfigError, LakeError
from backup_frames.frames import partitions
from backup_frames.frames.frames import BackupFrames
from backup_frames.frames.partitions import decode_table
from backup_frames.frames.schema import BACKUP_POLICIES, LEDGER_SCHEMAS, as_written, describe_field
from backup_frames.insight.kpi.publish import connect_lake, publish_lake
from backup_frames.insight.kpi.relations import BACKUP_PROJECT
from backup_frames.lake.formats.open_tables import open_lake_store
from backup_frames.lake.formats.table_format import SCHEMAS
from backup_frames.lake.lake import open_lake
from backup_frames.lake.storage.layout import LAKE_KEY
from backup_frames.lake.storage.store import RunNote
from backup_frames.settings import load_settings
from backup_frames.sync.maintenance.check import check_lake, check_project
from backup_frames.sync.maintenance.compare import compare_project
from backup_frames.sync.maintenance.repair import repair_project
from backup_frames.sync.maintenance.verify import verify_lake

if TYPE_CHECKING:
    from pyiceberg.table import Table

each_format = pytest.mark.parametrize("lake_format", FORMATS)
# Both take the same way through the store: the slower of the two waits for the slow tier.
delta_first = pytest.mark.parametrize(
    "lake_format", ["delta", pytest.param("iceberg", marks=pytest.mark.slow)]
)


@pytest.fixture
def lake(tmp_path: Path, lake_format: str) -> FormatLake:
    return FormatLake(tmp_path / "lake", lake_format)


def filled(days: int = 2) -> World:
    world = World()
    world.fill(days=days)
    return world


def iceberg_table(lake: FormatLake, name: str) -> Table:
    """As anybody with pyiceberg opens it."""
    from pyiceberg.catalog import load_catalog  # noqa: PLC0415 - half a second of every worker

    catalog = load_catalog("lake", type="sql", uri=f"sqlite:///{lake.folder}/_meta/iceberg.db")
    try:
        return catalog.load_table(f"backup_frames.{name}")
    finally:
        catalog.close()


def versions(lake: FormatLake, name: str) -> int:
    """How many commits a table has seen."""
    if lake.format == "delta":
        return deltalake.DeltaTable(lake.folder / name).version() + 1
    return len(iceberg_table(lake, name).snapshots())


def rows(lake: FormatLake, name: str) -> pa.Table:
    """A table, read by its format's own library, in the order of its keys."""
    if lake.format == "delta":
        table = deltalake.DeltaTable(lake.folder / name).to_pyarrow_table()
    else:
        table = iceberg_table(lake, name).scan().to_arrow()
    possible = ("backup_id", "database_index", "table_index", "instance_id")
    keys = [key for key in possible if key in table.schema.names]
    return table.sort_by([(key, "ascending") for key in keys])


@delta_first
def test_a_table_format_holds_the_same_rows_as_plain_files(lake: FormatLake) -> None:
    """First sync, nothing new, changes and losses: partition by partition what a plain lake has."""
    world = filled()
    for _ in range(3):
        world.service.random.seed(1)
        report = sync(world.service, lake.store(), threads=4)
        world.service.random.seed(1)
        twin = world.sync()
        assert (report.counts, report.file_count) == (twin.counts, twin.file_count)
        plain = snapshot(world.store)
        assert lake.data() == {key: data for key, data in plain.items() if key.startswith(TABLES)}
        assert check_lake(lake.store()) == []
        if report.file_count:
            world.clock.advance(HOUR)
        else:
            world.clock.advance(DAY)
            world.service.remove(*world.ids()[3:5])
            world.service.add(world.clock.now() - HOUR, tables=[("db", ["t"])])
    reader = world.service.reader()
    assert compare_project(reader, lake.store(), project_id=PROJECT) == []
    opened = open_lake(lake.url)
    assert sorted(opened.backups()["backup_id"].to_pylist()) == world.ids()
    assert opened.backups(present=False).num_rows == opened.dataset("backups").count_rows() == 17
    assert opened.backups(begin=world.clock.now() - DAY).num_rows == 1
    assert opened.runs().num_rows == 3


@each_format
def test_a_partition_is_encoded_once_and_decoded_once(
    lake: FormatLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first sync decodes nothing and encodes each file once; a read decodes each file once."""
    world, counted = filled(days=5), {"encoded": 0, "decoded": 0}
    write_table, read = partitions.pq.ParquetWriter.write_table, partitions.pq.ParquetFile.read

    def write_counted(*arguments: Any, **options: Any) -> Any:
        counted["encoded"] += 1
        return write_table(*arguments, **options)

    def read_counted(*arguments: Any, **options: Any) -> Any:
        counted["decoded"] += 1
        return read(*arguments, **options)

    monkeypatch.setattr(partitions.pq.ParquetWriter, "write_table", write_counted)
    monkeypatch.setattr(partitions.pq.ParquetFile, "read", read_counted)
    report = sync(world.service, lake.store(), threads=4)
    assert counted == {"encoded": report.file_count + 1, "decoded": 0}  # and the run's row
    opened, days = open_lake(lake.url), len(list((lake.folder / "backups").rglob("*.parquet")))
    assert opened.backups(present=False).num_rows == len(world.ids())
    assert opened.dataset("backups").count_rows() == len(world.ids())
    assert counted == {"encoded": report.file_count + 1, "decoded": days}


@each_format
def test_a_table_of_an_earlier_version_gets_the_later_column(
    lake: FormatLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files read back as the bytes that were put; after the next write readers see the column."""
    from backup_frames.lake.formats import iceberg_schema  # noqa: PLC0415 - loads pyiceberg, in every worker

    key, note = f"backup_policies/{PROJECT}.parquet", RunNote(PROJECT, "r", 0, "complete")
    row = {"project_id": PROJECT, "instance_id": "i", "keep_days": 7}
    old = pa.Table.from_pylist([row], as_written(BACKUP_POLICIES, []))
    new = pa.Table.from_pylist([row | {"incremental_period_min": 5}], BACKUP_POLICIES)
    iceberg_schema.schema_of.cache_clear()
    with monkeypatch.context() as before:
        before.setitem(SCHEMAS, "backup_policies", old.schema)
        store = lake.store()
        put = store.encode(key, old)
        store.put(key, put)
        store.commit(note)
    iceberg_schema.schema_of.cache_clear()
    store = lake.store()
    assert store.read(key) == put
    assert store.decode(key, put).equals(old)
    store.put(key, store.encode(key, new))
    store.commit(note._replace(as_of_s=1))
    data = lake.store().read(key)
    assert data is not None
    assert lake.store().decode(key, data).equals(new)
    assert rows(lake, "backup_policies")["incremental_period_min"].to_pylist() == [5]


@each_format
def test_a_sync_without_changes_commits_nothing(lake: FormatLake) -> None:
    """No file of the three tables is touched; only the run's row is added."""
    world = filled()
    sync(world.service, lake.store())
    before = lake.stamps()
    world.clock.advance(HOUR)
    sync(world.service, lake.store())
    assert [table for table, _ in lake.tables.swaps] == ["sync_runs"]
    after = lake.stamps()
    assert {key: after[key] for key in before if not key.startswith("sync_runs")} == {
        key: stamp for key, stamp in before.items() if not key.startswith("sync_runs")
    }
    assert all(key.startswith("sync_runs") for key in after.keys() - before.keys())


@each_format
def test_each_table_changes_in_one_commit_children_first(lake: FormatLake) -> None:
    """A run over many partitions is one commit a table, and names the run and its verdict."""
    world = filled(days=4)
    report = sync(world.service, lake.store())
    assert [table for table, _ in lake.tables.swaps] == [*LEDGER_SCHEMAS, "sync_runs"]
    notes = {note for _, note in lake.tables.swaps}
    assert notes == {RunNote(PROJECT, report.run_id, int(report.as_of.timestamp()), "complete")}
    facts = {"run_id": report.run_id, "project_id": PROJECT, "verdict": "complete"}
    if lake.format == "delta":
        table = deltalake.DeltaTable(lake.folder / "backups")
        assert facts.items() <= table.history(1)[0].items()
        number = table.transaction_version(f"backup-frames/{PROJECT}")
        assert number == int(report.started_at.timestamp() * 1_000_000)
    else:
        assert versions(lake, "backups") == 1
        summary = iceberg_table(lake, "backups").current_snapshot().summary
        assert facts.items() <= summary.additional_properties.items()


@each_format
def test_a_repeated_commit_changes_nothing(lake: FormatLake) -> None:
    """The same partitions put and committed again, by the same run or another: no new version."""
    world = filled()
    report = sync(world.service, lake.store())
    before = {name: versions(lake, name) for name in LEDGER_SCHEMAS}
    data = lake.data()
    for run_id in (report.run_id, "20300101T000000000000Z"):
        store = lake.store()
        with store.lock(f"_meta/{PROJECT}/lock"):
            for key, content in data.items():
                store.put(key, store.encode(key, decode_table(content)))
            store.commit(RunNote(PROJECT, run_id, 0, "complete"))
    assert {name: versions(lake, name) for name in LEDGER_SCHEMAS} == before
    assert lake.data() == data


@delta_first
def test_a_commit_whose_answer_was_lost_is_not_made_twice(lake: FormatLake) -> None:
    """The table is looked at before the next try: it shows that the commit was made."""
    world = filled()
    store = lake.store()
    swap = lake.tables._inner.swap

    def lose_answer(*arguments: Any) -> None:
        swap(*arguments)
        raise LakeError("The answer was lost, as the test asked for.")

    lake.tables._inner.swap = lose_answer
    store._clock = VirtualClock(START)
    sync(world.service, store)
    assert len(lake.tables.swaps) == 4
    assert lake.data().keys() == {key for key in snapshot(lake.store()) if key.startswith(TABLES)}
    assert check_lake(lake.store()) == []


@delta_first
def test_a_commit_that_another_one_beat_is_tried_again(lake: FormatLake) -> None:
    """While this run commits, another project's does; both are in the table."""
    ours, other = filled(), ModelService()
    other.add(other.clock.now() - HOUR)
    store = lake.store()
    swap = lake.tables._inner.swap
    rivals = ["rival"]

    def be_late(table: str, *arguments: Any) -> None:
        if table == "backups" and rivals:
            rival = rivals.pop()
            sync_as(rival, other, FormatLake(lake.folder, lake.format).store(rival))
            raise LakeError("Another commit was faster, as the test asked for.")
        swap(table, *arguments)

    lake.tables._inner.swap = be_late
    store._clock = VirtualClock(START)
    sync(ours.service, store)
    assert rows(lake, "backups")["project_id"].value_counts().to_pylist() == [
        {"values": PROJECT, "counts": 16},
        {"values": "rival", "counts": 1},
    ]
    assert check_lake(lake.store()) == []


@each_format
def test_two_projects_share_tables_and_leave_each_other_alone(lake: FormatLake) -> None:
    """A project's changes and losses of a day replace none of the other's rows of that day."""
    world, other = filled(), filled()
    sync(world.service, lake.store())
    sync_as("other", other.service, lake.store("other"))
    theirs = rows(lake, "backups").filter(pa.compute.field("project_id") == "other")
    files = {key for key in lake.stamps() if "project_id=other" in key}
    world.clock.advance(HOUR)
    world.service.remove(*world.ids()[-3:])
    assert sync(world.service, lake.store()).counts["gone"] == 3
    kept = rows(lake, "backups").filter(pa.compute.field("project_id") == "other")
    assert kept.equals(theirs)
    assert {key for key in lake.stamps() if "project_id=other" in key} == files
    assert check_lake(lake.store()) == []
    assert open_lake(lake.url).backups().num_rows == 13 + 16


@each_format
def test_readers_of_the_format_read_the_tables(
    lake: FormatLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The format's library, polars, and DuckDB through Arrow: the rows and types of ours."""
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")  # polars warns of its own choice
    world = filled()
    sync(world.service, lake.store())
    for name, schema in LEDGER_SCHEMAS.items():
        expected = open_lake(lake.url).dataset(name).to_table()
        found = rows(lake, name)
        assert found.select(schema.names).cast(schema).num_rows == expected.num_rows
        if lake.format == "delta":
            frame = pl.read_delta(str(lake.folder / name))
        else:
            frame = pl.scan_iceberg(iceberg_table(lake, name)).collect()
        assert frame.height == expected.num_rows
        assert set(frame.columns) == {*schema.names, "date"}
        counted = duckdb.sql("SELECT count(*) FROM found WHERE date = begin_date").fetchall()
        assert counted == [(expected.num_rows,)]
    order = [("backup_id", "ascending")]
    ours = open_lake(lake.url).backups().sort_by(order)
    assert rows(lake, "backups").select(ours.schema.names).cast(ours.schema).equals(ours)


@each_format
def test_columns_carry_their_words(lake: FormatLake) -> None:
    """Every column's description and unit is its comment in the format."""
    world = filled()
    sync(world.service, lake.store())
    for name, schema in LEDGER_SCHEMAS.items():
        if lake.format == "delta":
            table = deltalake.DeltaTable(lake.folder / name)
            comments = {field.name: field.metadata["comment"] for field in table.schema().fields}
            assert table.metadata().description
        else:
            comments = {
                field.name: field.doc for field in iceberg_table(lake, name).schema().fields
            }
        for field in schema:
            assert comments[field.name] == "{} Unit: {}.".format(*describe_field(field))
        assert "1970-01-01" in comments["date"]


@each_format
def test_an_earlier_version_can_be_read(lake: FormatLake) -> None:
    """Time travel: the table as it was before the last sync's losses."""
    world = filled()
    sync(world.service, lake.store())
    world.clock.advance(HOUR)
    world.service.remove(*world.ids()[-3:])
    sync(world.service, lake.store())
    if lake.format == "delta":
        table = deltalake.DeltaTable(lake.folder / "backups", version=1)
        before = table.to_pyarrow_table()
    else:
        table = iceberg_table(lake, "backups")
        before = table.scan(snapshot_id=table.history()[0].snapshot_id).to_arrow()
    assert before["gone_at"].null_count == 16
    assert rows(lake, "backups")["gone_at"].null_count == 13


@each_format
def test_one_place_holds_one_lake_of_one_format(lake: FormatLake, tmp_path: Path) -> None:
    """Every other format is refused, with the lake's record and without it; none is a guess."""
    world = filled()
    sync(world.service, lake.store())
    record = lake.folder / LAKE_KEY
    assert json.loads(record.read_text())["format"] == lake.format
    for is_lost in (False, True):
        for other in {"parquet", *FORMATS} - {lake.format}:
            with pytest.raises(ConfigError, match=f"format {lake.format}, not {other}"):
                open_lake_store(lake.url, scratch="_meta/p/tmp", lake_format=other)
        assert open_lake_store(lake.url, scratch="_meta/p/tmp").format == lake.format
        if not is_lost:
            record.unlink()
    part = next(world.service.reader().scan([(0, 4_000_000_000)]))
    with pytest.raises(ConfigError, match=r"lies in the lake"):
        BackupFrames(part.frames, None).write(lake.folder)
    meta = (lake.folder / "_meta").rename(tmp_path / "lost")
    with pytest.raises(LakeError, match=f"lake of format {lake.format}"):
        BackupFrames(part.frames, None).write(lake.folder)
    meta.rename(lake.folder / "_meta")
    plain = open_lake_store(str(tmp_path / "plain"), scratch=f"_meta/{PROJECT}/tmp")
    sync(world.service, plain)
    assert "format" not in json.loads((tmp_path / "plain" / LAKE_KEY).read_text())
    with pytest.raises(ConfigError, match=f"format parquet, not {lake.format}"):
        FormatLake(tmp_path / "plain", lake.format).store()
    stray = lake.folder / f"backups/date=2026-01-01/{PROJECT}.parquet"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"PAR1")
    with pytest.raises(LakeError, match=f"holds a file of a plain lake: .*{PROJECT}.parquet"):
        check_lake(lake.store())


def test_a_format_that_is_none_is_refused(tmp_path: Path) -> None:
    """A word that names no format, asked for or in a record of a later version."""
    with pytest.raises(ConfigError, match="no lake of format 'hudi'"):
        open_lake_store(str(tmp_path), scratch="_meta/p/tmp", lake_format="hudi")


@delta_first
@pytest.mark.parametrize("how", ["flip", "cut", "missing", "foreign"])
def test_verify_finds_damage_and_repair_mends_it(lake: FormatLake, how: str) -> None:
    """A damaged or missing data file is named, and read again; a stray file is foreign."""
    world = filled()
    sync(world.service, lake.store())
    data = lake.data()
    path = min(lake.folder.glob("backups/**/*.parquet"))
    content = bytearray(path.read_bytes())
    if how == "foreign":
        stray = lake.folder / "backups" / "notes.txt"
        stray.write_text("not ours")
        (finding,) = verify_lake(lake.url)
        assert (finding.path, finding.kind) == ("backups/notes.txt", "foreign")
        return
    content[len(content) // 3] ^= 4
    path.write_bytes(content[: len(content) // 2] if how == "cut" else content)
    if how == "missing":
        path.unlink()
    day = path.parents[1].name
    (finding,) = verify_lake(lake.url)
    assert finding.path == f"backups/{day}/{PROJECT}.parquet"
    assert finding.kind == ("missing" if how == "missing" else "damaged")
    report = sync(world.service, lake.store(), is_full=True)
    assert (report.exit_code, report.damaged) == (5, (finding.path,))
    reader = world.service.reader()
    repair_project(reader, lake.store(), project_id=PROJECT, clock=world.clock)
    assert verify_lake(lake.url) == []
    assert lake.data() == data


@pytest.mark.parametrize("lake_format", ["parquet", *FORMATS])
def test_verify_beside_a_sync_raises_no_false_alarm(tmp_path: Path, lake_format: str) -> None:
    """A sync ends between the listing of the lake and the reading of its records."""
    world = filled()
    store = MemoryStore() if lake_format == "parquet" else None
    lake = FormatLake(tmp_path / "lake", lake_format)
    sync(world.service, store or lake.store())
    verified = store or lake.store()
    files = verified.list("")
    world.clock.advance(DAY)
    world.service.remove(*world.ids()[-2:])
    world.service.add(world.clock.now() - HOUR)
    sync(world.service, store or lake.store())
    assert check_project(verified, PROJECT, files) == []


@delta_first
def test_rows_that_another_program_changed_are_found(lake: FormatLake) -> None:
    """Rows deleted in the table by its own library: verify names the partition."""
    world = filled()
    sync(world.service, lake.store())
    one = world.ids()[0]
    if lake.format == "delta":
        deltalake.DeltaTable(lake.folder / "backups").delete(f"backup_id = '{one}'")
    else:
        iceberg_table(lake, "backups").delete(f"backup_id == '{one}'")
    assert [finding.kind for finding in check_lake(lake.store())] == ["damaged"]


@pytest.mark.slow
def test_compaction_and_vacuum_change_no_partition(tmp_path: Path) -> None:
    """What the README advises for Delta: the lake stays sound and syncs go on."""
    lake, world = FormatLake(tmp_path / "lake", "delta"), filled()
    for _ in range(3):
        sync(world.service, lake.store())
        world.clock.advance(HOUR)
        world.service.add(world.clock.now() - HOUR / 2)
    data = lake.data()
    for name in (*LEDGER_SCHEMAS, "sync_runs"):
        table = deltalake.DeltaTable(lake.folder / name)
        table.optimize.compact()
        removed = table.vacuum(0, enforce_retention_duration=False, dry_run=False)
        assert removed or name not in ("backups", "sync_runs")
    assert lake.data() == data
    assert check_lake(lake.store()) == []
    sync(world.service, lake.store())
    assert check_lake(lake.store()) == []
    assert open_lake(lake.url).runs().num_rows == 4


@pytest.mark.slow
def test_old_snapshots_can_expire(tmp_path: Path) -> None:
    """What the README advises for Iceberg: the lake stays sound and syncs go on."""
    lake, world = FormatLake(tmp_path / "lake", "iceberg"), filled()
    for _ in range(2):
        sync(world.service, lake.store())
        world.clock.advance(HOUR)
        world.service.add(world.clock.now() - HOUR / 2)
    table = iceberg_table(lake, "backups")
    table.maintenance.expire_snapshots().older_than(datetime.now(UTC) + DAY).commit()
    assert versions(lake, "backups") == 1
    sync(world.service, lake.store())
    assert check_lake(lake.store()) == []


@pytest.mark.slow
def test_kpi_views_say_the_same_on_all_three_formats(tmp_path: Path) -> None:
    """One fleet synced into three lakes: every row of every KPI view is equal.

    But for the view of projects that no manifest names, which are all in lakes of other formats.
    """
    views: dict[str, dict[str, list[Any]]] = {}
    for name in ("parquet", *FORMATS):
        world = filled(days=3)
        place = str(tmp_path / name)
        for _ in range(2):
            store = open_lake_store(place, scratch=f"_meta/{PROJECT}/tmp", lake_format=name)
            sync(world.service, store)
            world.clock.advance(HOUR)
            world.service.remove(*world.ids()[:2])
        with connect_lake(place) as connection:
            listed = connection.execute(
                "SELECT view_name FROM duckdb_views() WHERE NOT internal AND view_name LIKE 'v\\_%' "
                "ESCAPE '\\' ORDER BY 1"
            ).fetchall()
            views[name] = {
                view: sorted(connection.execute(f"SELECT * FROM {view}").fetchall(), key=repr)
                for (view,) in listed
                if view != BACKUP_PROJECT
            }
    assert any(rows for view, rows in views["parquet"].items() if view.startswith("v_kpi"))
    for name in FORMATS:
        for view, expected in views["parquet"].items():
            assert views[name][view] == expected, (name, view)


@delta_first
def test_publish_holds_the_rows_and_says_so(lake: FormatLake, tmp_path: Path) -> None:
    """DuckDB needs an extension to point at them: the file holds all, and opens without the lake."""
    world = filled()
    sync(world.service, lake.store())
    report = publish_lake(lake.url, tmp_path / "backups.duckdb")
    assert report.is_materialized
    assert report.backup_count == 16
    with duckdb.connect(str(report.path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM sync_runs").fetchone() == (1,)


WITHOUT = """
import sys
from backup_frames import MissingExtraError, sync_backups
import backup_frames.insight.kpi.publish
from backup_frames.lake.formats.open_tables import open_lake_store
open_lake_store({lake!r}, scratch="_meta/p/tmp")
print([name for name in ("deltalake", "pyiceberg") if name in sys.modules])
for name, module in (("delta", "deltalake"), ("iceberg", "pyiceberg")):
    sys.modules[module] = None
    try:
        sync_backups(lake={lake!r}, lake_format=name, endpoint="http://127.0.0.1:9",
                     project_id="p", token="t")
    except MissingExtraError as error:
        print(error, error.exit_code, isinstance(error, ImportError))
"""


def test_libraries_load_only_if_used_and_are_named_if_missing(tmp_path: Path) -> None:
    """Plain lakes load neither; without one the message says what to install, asking nobody."""
    script = WITHOUT.format(lake=str(tmp_path))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    none, delta, iceberg = ran.stdout.splitlines()
    assert none == "[]"
    assert delta.endswith("pip install 'backup-frames[delta]'. 2 True")
    assert iceberg.endswith("pip install 'backup-frames[iceberg]'. 2 True")


def test_a_table_that_needs_more_than_a_lake_uses_is_refused(tmp_path: Path) -> None:
    """Deletion vectors, switched on by another program, would bring rows back: said, not read."""
    lake, world = FormatLake(tmp_path / "lake", "delta"), filled(days=1)
    sync(world.service, lake.store())
    features = [deltalake.TableFeatures.DeletionVectors]
    table = deltalake.DeltaTable(lake.folder / "backups")
    table.alter.add_feature(features, allow_protocol_versions_increase=True)
    with pytest.raises(LakeError, match=r"backups .* was changed to need deletionVectors"):
        open_lake(lake.url).backups()


def test_a_store_without_conditional_writes_holds_no_delta_lake(tmp_path: Path) -> None:
    """Commits of two projects could overwrite each other there: refused before anything is written."""
    store = FormatLake(tmp_path / "lake", "delta").store()
    store._files.warnings = ("It ignores If-None-Match.",)
    with pytest.raises(LakeError, match="cannot hold a lake of format delta: It ignores"):
        sync(filled(days=1).service, store)
    assert not list(tmp_path.rglob("*.json"))


@each_format
def test_a_path_may_hold_spaces_but_nothing_that_urls_read_otherwise(
    tmp_path: Path, lake_format: str
) -> None:
    """A space and an accent work; a percent sign is refused before anything is written."""
    lake, world = FormatLake(tmp_path / "my lake é", lake_format), filled(days=1)
    sync(world.service, lake.store())
    assert rows(lake, "backups").num_rows == open_lake(lake.url).backups().num_rows == 8
    with pytest.raises(ConfigError, match=r"100% must be without \?, # and %"):
        FormatLake(tmp_path / "100%", lake_format).store()


def test_format_and_catalog_are_settings(tmp_path: Path) -> None:
    """``format`` under ``[lake]`` of the file, and a catalog's URL that may hold no password."""
    config = tmp_path / "c.toml"
    config.write_text(
        'iceberg_catalog = "https://rest.test"\n[lake]\nurl = "x"\nformat = "iceberg"'
    )
    settings = load_settings(config)
    assert (settings.lake_format, settings.iceberg_catalog) == ("iceberg", "https://rest.test")
    with pytest.raises(ConfigError, match=r"lake_format.*'parquet', 'delta' or 'iceberg'"):
        load_settings(lake_format="hudi")
    with pytest.raises(ConfigError, match="PYICEBERG_CATALOG__LAKE__") as caught:
        load_settings(iceberg_catalog="postgresql://me:S3CRET@host/db")
    assert "S3CRET" not in str(caught.value)


def test_memory_and_format_stores_agree_on_what_a_store_is(tmp_path: Path) -> None:
    """A store of plain files has nothing to commit."""
    store = MemoryStore()
    store.put("backups/date=2026-01-01/p.parquet", b"x")
    store.commit(RunNote("p", "r", 0, "complete"))
    assert store.format == "parquet"
