"""The same lake on an S3-compatible store: the same bytes, the same answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest
from lake_service import DAY, HOUR, PROJECT, sync
from lake_world import World
from stores import snapshot

from backup_frames.errors import LakeConflictError
from backup_frames.lake.lake import open_lake
from backup_frames.lake.storage.open_store import open_store
from backup_frames.lake.storage.store import Store
from backup_frames.sync.maintenance.check import check_lake
from backup_frames.sync.maintenance.repair import repair_project


@pytest.fixture
def bucket_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of moto's S3 on loopback."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - half a second, only if asked for

    for name in list(os.environ):
        if name.upper().startswith(("AWS_", "HUAWEICLOUD_", "HTTP_PROXY", "ALL_PROXY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/EXAMPLEKEY")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    urlopen(Request(f"{endpoint}/box", method="PUT")).close()
    yield f"s3://box/some/lake?endpoint={endpoint}"
    server.stop()


def tables(store: Store) -> dict[str, bytes]:
    return {key: data for key, data in snapshot(store).items() if key.startswith("backup")}


def test_a_bucket_holds_the_same_lake_as_memory(bucket_url: str) -> None:
    """First sync, changes, damage, repair: byte for byte, with a lock that excludes."""
    world = World()
    world.fill(days=3)
    store = open_store(bucket_url, scratch=f"_meta/{PROJECT}/tmp")
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
    assert open_lake(bucket_url).backups().num_rows == 24
    assert open_lake(bucket_url).dataset("backups").count_rows() == 25
    key = min(tables(store))
    store.put(key, b"damaged")
    assert [finding.path for finding in check_lake(store)] == [key]
    repair_project(world.service.reader(), store, project_id=PROJECT, clock=world.clock)
    assert check_lake(store) == []
    with store.lock(f"_meta/{PROJECT}/lock"), pytest.raises(LakeConflictError):
        sync(world.service, open_store(bucket_url, scratch=f"_meta/{PROJECT}/tmp"))
