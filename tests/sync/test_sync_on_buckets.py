"""The same lake on an S3-compatible store: the same bytes, the same answers."""

from __future__ import annotations

import pytest
from support.lake_service import DAY, HOUR, PROJECT, World, sync
from support.stores import snapshot

from backup_frames.errors import LakeConflictError
from backup_frames.lake.lake import open_lake
from backup_frames.lake.storage.store import Store
from backup_frames.lake.storage.urls import open_store
from backup_frames.sync.maintenance.check import check_lake
from backup_frames.sync.maintenance.repair import repair_project


def tables(store: Store) -> dict[str, bytes]:
    return {key: data for key, data in snapshot(store).items() if key.startswith("backup")}


def test_a_bucket_holds_the_same_lake_as_memory(moto_url: str) -> None:
    """First sync, changes, damage, repair: byte for byte, with a lock that excludes."""
    world = World()
    world.fill(days=3)
    store = open_store(moto_url, scratch=f"_meta/{PROJECT}/tmp")
    for _ in range(2):
        world.service.random.seed(1)
        sync(world.service, store, threads=4)
        world.service.random.seed(1)
        world.sync()
        assert tables(store) == tables(world.store)
        world.clock.advance(DAY)
        world.service.remove(world.ids()[1])
        world.service.add(world.clock.now() - HOUR)
    assert check_lake(store) == []
    assert open_lake(moto_url).backups().num_rows == 24
    assert open_lake(moto_url).dataset("backups").count_rows() == 25
    key = min(tables(store))
    store.put(key, b"damaged")
    assert [finding.path for finding in check_lake(store)] == [key]
    repair_project(world.service.reader(), store, project_id=PROJECT, clock=world.clock)
    assert check_lake(store) == []
    with store.lock(f"_meta/{PROJECT}/lock"), pytest.raises(LakeConflictError):
        sync(world.service, open_store(moto_url, scratch=f"_meta/{PROJECT}/tmp"))
