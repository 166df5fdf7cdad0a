"""A Delta or Iceberg lake outlives the release of pyarrow that wrote it, and every rewording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.format_lake import FORMATS, FormatLake
from support.lake_service import DAY, HOUR, PROJECT, World, sync

from backup_frames.frames import partitions
from backup_frames.frames.schema import SYNC_RUNS
from backup_frames.lake.formats import table_store
from backup_frames.lake.lake import Lake
from backup_frames.lake.ledger import encoding, writer
from backup_frames.lake.ledger.metadata import (
    Manifest,
    State,
    decode_record,
    describe_file,
    encode_record,
    manifest_checksum,
)
from backup_frames.lake.storage.layout import meta_key
from backup_frames.sync.maintenance.check import check_lake


@contextmanager
def another_release(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, the same rows have other bytes, as with another release of pyarrow."""
    write_table = partitions.pq.write_table

    def written(*arguments: Any, **options: Any) -> None:
        write_table(*arguments, **(options | {"compression": "zstd"}))

    with monkeypatch.context() as patch:
        patch.setattr(partitions.pq, "write_table", written)
        patch.setattr(encoding, "ENCODER", "another release")
        yield


@pytest.fixture(params=[FORMATS[0], pytest.param(FORMATS[1], marks=pytest.mark.slow)])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> FormatLake:
    return FormatLake(tmp_path / "lake", request.param)


@pytest.fixture
def world() -> World:
    made = World()
    made.fill(days=2)
    return made


def test_a_lake_of_another_release_is_sound_and_goes_on(
    lake: FormatLake, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing seems damaged, changed or gone, before the next sync, in it, or after it."""
    with another_release(monkeypatch):
        sync(world.service, lake.store())
        world.clock.advance(HOUR)
        sync(world.service, lake.store())
    before = Lake(lake.store()).backups(present=False)
    assert check_lake(lake.store()) == []
    world.clock.advance(HOUR)
    report = sync(world.service, lake.store(), is_full=True)
    assert (report.verdict, report.reasons, report.damaged) == ("complete", (), ())
    assert {report.counts[name] for name in ("new", "changed", "returned", "gone")} == {0}
    assert check_lake(lake.store()) == []
    assert Lake(lake.store()).backups(present=False).equals(before)


def test_a_lake_whose_manifest_has_hashes_of_rows_is_sound_and_goes_on(
    lake: FormatLake, world: World
) -> None:
    """Earlier versions noted what a plain lake's files would be; the files themselves count now."""
    sync(world.service, lake.store())
    store, name = lake.store(), meta_key(PROJECT, "manifest.json")
    manifest = decode_record(store.read(name), Manifest)
    assert manifest is not None
    for key, entry in manifest.files.items():
        rows = store.decode(key, store.read(key) or b"")
        manifest.files[key] = describe_file(partitions.encode_table(rows), entry.rows)
    manifest.encoding = "of an earlier version"
    state = decode_record(store.read(meta_key(PROJECT, "state.json")), State)
    assert state is not None
    state.manifest = manifest_checksum(manifest)
    store.put(name, encode_record(manifest))
    store.put(meta_key(PROJECT, "state.json"), encode_record(state))
    assert check_lake(lake.store()) == []
    world.clock.advance(HOUR)
    report = sync(world.service, lake.store())
    assert (report.verdict, report.is_full, report.file_count) == ("complete", False, 0)
    assert check_lake(lake.store()) == []


def test_a_run_that_died_in_another_release_is_made_good(
    lake: FormatLake, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it announced has other hashes by now: the rows that are there count."""
    with another_release(monkeypatch):
        sync(world.service, lake.store())
        name = meta_key(PROJECT, "manifest.json")
        old = lake.store().read(name)
        world.service.add(world.clock.now())
        world.clock.advance(DAY)
        pending: list[bytes] = []
        monkeypatch.setattr(
            writer.LakeWriter,
            "_put_record",
            kept_from(pending, writer.LakeWriter._put_record),
        )
        sync(world.service, lake.store())
        lake.store().put(name, old or b"")
        lake.store().put(meta_key(PROJECT, "pending.json"), pending[-1])
    check_lake(lake.store())
    assert sync(world.service, lake.store()).verdict == "complete"
    assert check_lake(lake.store()) == []
    assert sorted(Lake(lake.store()).backups()["backup_id"].to_pylist()) == sorted(world.ids())


def kept_from(pending: list[bytes], put: Any) -> Any:
    def wrapped(self: writer.LakeWriter, name: str, data: bytes) -> None:
        if name == "pending.json":
            pending.append(data)
        put(self, name, data)

    return wrapped


def test_what_is_damaged_is_found_in_a_lake_of_another_release(
    lake: FormatLake, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is not as the table's own hash says, and one with fewer rows than recorded."""
    with another_release(monkeypatch):
        sync(world.service, lake.store())
    name = meta_key(PROJECT, "manifest.json")
    manifest = decode_record(lake.store().read(name), Manifest)
    assert manifest is not None
    key = max(key for key in manifest.files if key.startswith("backups/"))
    found = max((lake.folder / "backups").rglob("date=2*/**/*.parquet"))
    data = bytearray(found.read_bytes())
    data[len(data) // 2] ^= 255
    found.write_bytes(data)
    assert (key, "damaged") in [(one.path, one.kind) for one in check_lake(lake.store())]
    assert sync(world.service, lake.store(), is_full=True).damaged == (key,)


def test_runs_of_a_version_with_fewer_columns_stay_sound(
    lake: FormatLake, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day's runs share a file, whose columns grow with the first run of the next version."""
    with another_release(monkeypatch), monkeypatch.context() as patch:
        encode = table_store.TableStore.put

        def put(self: table_store.TableStore, key: str, data: bytes) -> None:
            if key.startswith("sync_runs/"):
                rows = self.decode(key, data).drop_columns(["caller", "service"])
                data = self.encode(key, rows)
            encode(self, key, data)

        patch.setattr(table_store.TableStore, "put", put)
        sync(world.service, lake.store())
    name = meta_key(PROJECT, "manifest.json")
    manifest = decode_record(lake.store().read(name), Manifest)
    assert manifest is not None
    lake.store().put(name, encode_record(manifest))
    assert check_lake(lake.store()) == []
    world.clock.advance(HOUR)
    sync(world.service, lake.store())
    assert check_lake(lake.store()) == []
    assert Lake(lake.store()).runs().schema.names == SYNC_RUNS.names
