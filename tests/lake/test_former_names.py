"""A column that was renamed is read under its present name from files of earlier versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.lake_service import HOUR, PROJECT, World, sync

from backup_frames.frames.schema import RENAMED_COLUMNS, SYNC_RUNS
from backup_frames.insight.kpi.publish import connect_lake
from backup_frames.lake.formats.open_tables import open_lake_store
from backup_frames.lake.formats.table_format import SCHEMAS
from backup_frames.lake.lake import open_lake
from backup_frames.lake.ledger import encoding
from backup_frames.sync.maintenance.check import check_lake

SCRATCH = f"_meta/{PROJECT}/tmp"


def forget_schemas(lake_format: str) -> None:
    """Let the format's schemas be made anew."""
    if lake_format == "iceberg":
        from backup_frames.lake.formats import iceberg_schema  # noqa: PLC0415 - loads pyiceberg

        iceberg_schema.schema_of.cache_clear()


@pytest.mark.parametrize(
    "lake_format", ["parquet", "delta", pytest.param("iceberg", marks=pytest.mark.slow)]
)
def test_runs_of_an_earlier_version_say_whether_the_guard_held(
    tmp_path: Path, lake_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In tables, datasets and views; the lake is sound before and after the first new run."""
    former = {new: old for old, new in RENAMED_COLUMNS.items()}
    old = pa.schema([one.with_name(former.get(one.name, one.name)) for one in SYNC_RUNS])
    world, place = World(), str(tmp_path / "lake")
    world.fill(days=8)
    with monkeypatch.context() as before:
        before.setitem(SCHEMAS, "sync_runs", old)
        before.setattr(encoding, "ENCODER", "an earlier version's")
        forget_schemas(lake_format)
        store: Any = open_lake_store(place, scratch=SCRATCH, lake_format=lake_format)
        encode = store.encode

        def encode_as_before(key: str, rows: pa.Table) -> bytes:
            return encode(key, rows.rename_columns(old.names) if "sync_runs/" in key else rows)

        store.encode = encode_as_before
        sync(world.service, store)
        expected = [False]
        if lake_format == "parquet":  # where runs share a file, it would have to be read, too
            world.clock.advance(HOUR)
            world.service.remove(*world.ids()[: len(world.ids()) // 2])
            expected.append(sync(world.service, store).is_guarded)
            assert expected == [False, True]
    forget_schemas(lake_format)
    for _ in range(2):
        assert check_lake(open_lake_store(place, scratch="_meta/p/tmp")) == []
        opened = open_lake(place)
        assert opened.runs().schema.names == SYNC_RUNS.names
        assert opened.runs()["is_guarded"].to_pylist() == expected
        assert opened.dataset("sync_runs").to_table()["is_guarded"].to_pylist() == expected
        with connect_lake(place) as connection:
            query = "SELECT is_guarded FROM fact_sync_run ORDER BY started_at"
            assert [held for (held,) in connection.execute(query).fetchall()] == expected
        world.clock.advance(HOUR)
        expected.append(sync(world.service, open_lake_store(place, scratch=SCRATCH)).is_guarded)
