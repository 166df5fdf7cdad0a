"""A partition without databases and tables is one file; a table without any file keeps an empty one."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from pyarrow import dataset as ds
from support.lake_service import DAY, HOUR, PROJECT, World, sync

from backup_frames.frames.partitions import encode_table
from backup_frames.frames.schema import LEDGER_SCHEMAS
from backup_frames.insight.kpi.publish import connect_lake
from backup_frames.lake.formats.open_tables import open_lake_store
from backup_frames.lake.lake import open_lake
from backup_frames.lake.ledger.metadata import (
    Manifest,
    State,
    decode_record,
    describe_file,
    encode_record,
    manifest_checksum,
)
from backup_frames.lake.storage.layout import TABLE_NAMES, meta_key
from backup_frames.lake.storage.store import Store
from backup_frames.sync.maintenance.check import check_lake

CHILDREN = TABLE_NAMES[:2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_lake_store(str(tmp_path / "lake"), scratch=f"_meta/{PROJECT}/tmp")


@pytest.fixture
def world() -> World:
    """Five days of backups, none with databases."""
    made = World()
    for number in range(10):
        made.service.add(made.clock.now() - 5 * DAY + number * DAY / 2)
    return made


def files(store: Store) -> dict[str, int]:
    return {name: len(store.list(name)) for name in TABLE_NAMES}


@pytest.mark.parametrize("how", ["day", "month", "nothing"])
def test_every_reader_finds_every_table(store: Store, world: World, how: str) -> None:
    """Without children, or without any backup: rows and columns are there, in the one-line call."""
    if how == "nothing":
        world.service.remove(*world.ids())
    sync(world.service, store, partition_by="month" if how == "month" else "day")
    count = len(world.service.backups)
    assert files(store)["backups"] == {"day": 5, "month": 1, "nothing": 1}[how]
    assert {files(store)[name] for name in CHILDREN} == {1}
    assert check_lake(store) == []
    for name, schema in LEDGER_SCHEMAS.items():
        path = f"{store.url}/{name}"
        rows = count if name == "backups" else 0
        tables = (
            pd.read_parquet(path),
            ds.dataset(path).to_table().to_pandas(),
            pl.scan_parquet(f"{path}/**/*.parquet").collect().to_pandas(),
            duckdb.sql(f"FROM '{path}/*/*.parquet'").df(),
            open_lake(store.url).dataset(name).to_table().to_pandas(),
        )
        for table in tables:
            assert len(table) == rows
            assert set(schema.names) <= set(table.columns)
    with connect_lake(store.url) as connection:
        assert connection.execute("SELECT count(*) FROM backup_tables").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM backups").fetchone() == (count,)


def test_children_that_come_and_go(store: Store, world: World) -> None:
    """A later day's children have files on that day alone; what went away leaves an empty file."""
    sync(world.service, store)
    world.clock.advance(HOUR)
    backup = world.service.add(world.clock.now() - HOUR / 2, tables=[("db", ["a", "b"])])
    assert sync(world.service, store).file_count == 3
    opened = open_lake(store.url)
    assert (opened.databases().num_rows, opened.tables().num_rows) == (1, 2)
    assert {files(store)[name] for name in CHILDREN} == {2}
    backup.tables = []
    world.clock.advance(HOUR)
    assert sync(world.service, store, is_full=True).file_count == 3
    assert (opened.databases().num_rows, opened.tables().num_rows) == (0, 0)
    assert {files(store)[name] for name in CHILDREN} == {2}
    assert check_lake(store) == []


def test_empty_files_of_earlier_versions_are_sound_and_stay(store: Store, world: World) -> None:
    """A lake with three files a day verifies clean, and a sync leaves its files alone."""
    sync(world.service, store)
    make_three_files_a_day(store)
    before = {file: store.read(file.key) for name in TABLE_NAMES for file in store.list(name)}
    assert check_lake(store) == []
    world.clock.advance(HOUR)
    report = sync(world.service, store, is_full=True)
    assert (report.verdict, report.file_count) == ("complete", 0)
    world.service.backups[world.ids()[0]].status = "FAILED"
    world.clock.advance(HOUR)
    assert sync(world.service, store, is_full=True).file_count == 1
    after = {file: store.read(file.key) for name in TABLE_NAMES for file in store.list(name)}
    assert len(before.items() - after.items()) == 1
    assert check_lake(store) == []


def make_three_files_a_day(store: Store) -> None:
    names = [meta_key(PROJECT, name) for name in ("manifest.json", "state.json")]
    manifest = decode_record(store.read(names[0]), Manifest)
    state = decode_record(store.read(names[1]), State)
    assert manifest is not None
    assert state is not None
    for key in [key for key in manifest.files if key.startswith("backups/")]:
        for name in CHILDREN:
            data = encode_table(LEDGER_SCHEMAS[name].empty_table())
            child = key.replace("backups", name, 1)
            store.put(child, data)
            manifest.files[child] = describe_file(data, 0)
    state.manifest = manifest_checksum(manifest)
    store.put(names[0], encode_record(manifest))
    store.put(names[1], encode_record(state))
