"""A writer that lost the lake's lock, while it was stopped or asleep, does no harm when it wakes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.bucket_server import BucketServer, Request
from support.format_lake import FormatLake
from support.lake_service import DAY, HOUR, PROJECT, World, sync
from support.stores import MemoryStore, snapshot

from backup_frames.clock import read_uptime
from backup_frames.errors import LakeConflictError
from backup_frames.frames.partitions import encode_table
from backup_frames.lake.formats.table_format import SCHEMAS
from backup_frames.lake.storage import local as local_store
from backup_frames.lake.storage.bucket import ObjectStore
from backup_frames.lake.storage.bucket_url import read_object_url
from backup_frames.lake.storage.store import RunNote
from backup_frames.lake.storage.urls import open_store
from backup_frames.sync.maintenance.check import check_lake

LOCK = f"_meta/{PROJECT}/lock"
SCRATCH = f"_meta/{PROJECT}/tmp"


class ThievishStore(MemoryStore):
    """Another run takes the lock over when a given call is made."""

    def __init__(self, steal_at: Callable[[str, str], bool]) -> None:
        super().__init__(scratch=SCRATCH)
        self.steal_at = steal_at
        self.after: list[str] | None = None

    def read(self, key: str) -> bytes | None:
        self._maybe_steal("read", key)
        return super().read(key)

    def put(self, key: str, data: bytes) -> None:
        if self.after is not None:
            self.after.append(key)
        super().put(key, data)
        self._maybe_steal("put", key)

    def _maybe_steal(self, method: str, key: str) -> None:
        if self.after is None and self._held and self.steal_at(method, key):
            self.after = []
            self.steal_lock(LOCK)


@pytest.mark.parametrize(
    ("method", "mark", "last"),
    [
        ("read", "manifest.json", None),  # before anything is announced
        ("put", "backups/", "backups/"),  # before the manifest
        ("put", "sync_runs/", "sync_runs/"),  # before the state
    ],
)
def test_the_lock_is_proven_before_each_step_that_commits(
    method: str, mark: str, last: str | None
) -> None:
    """Announcing, the manifest, the state: a run that lost its lock before one never gets there."""
    seen = list[str]()

    def is_time(done: str, key: str) -> bool:
        if done == "put":
            seen.append(key)
        return done == method and mark in key

    store = ThievishStore(is_time)
    world = World(memory=store)
    world.fill(days=1)
    with pytest.raises(LakeConflictError):
        sync(world.service, store)
    assert store.after == []
    assert not any(key.endswith("state.json") for key in seen)
    assert (not seen) if last is None else seen[-1].startswith(last)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    for name in list(os.environ):
        if name.upper().startswith(("AWS_", "HUAWEICLOUD_", "HTTP_PROXY", "ALL_PROXY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/EXAMPLEKEY")
    server = BucketServer()
    server.missing_status = 404  # as AWS answers
    yield server
    server.close()


class Sleeper:
    """A run on a bucket whose machine sleeps when told to; a world whose lake has a history."""

    def __init__(self, bucket: BucketServer) -> None:
        self.bucket = bucket
        self.uptime_s = 1000.0
        self.world = World()
        self.world.fill(days=2)
        sync(self.world.service, self.store())
        self.world.clock.advance(DAY)
        self.world.service.remove(self.world.ids()[1])
        self.world.service.add(self.world.clock.now() - HOUR)
        self.before = dict(bucket.files)

    def store(self) -> ObjectStore:
        return ObjectStore(
            read_object_url(self.bucket.url, os.environ),
            url=self.bucket.url,
            scratch=SCRATCH,
            clock=self.world.clock,
            retries=0,
            uptime=lambda: self.uptime_s,
        )

    def run(self) -> None:
        """One sync of a lake as it was before, the same each time."""
        self.bucket.files = dict(self.before)
        self.bucket.requests.clear()
        self.world.service.random.seed(1)
        sync(self.world.service, self.store())

    def fall_asleep(self) -> None:
        """For so long that the lease is another run's, which has ended meanwhile."""
        self.uptime_s += 61
        self.bucket.files.pop(f"lake/{LOCK}")


def changes(requests: list[Request]) -> list[str]:
    """The lake's own files that were written or removed, in order."""
    return [
        request.key
        for request in requests
        if request.method in ("PUT", "DELETE") and not request.key.endswith(("/lock", "/clock"))
    ]


def test_nothing_is_put_after_the_lock_is_lost(bucket: BucketServer) -> None:
    """Before each single put of a sync: if the lease was lost since, no further request is made."""
    sleeper = Sleeper(bucket)
    sleeper.run()
    calm = changes(bucket.requests)
    assert len(calm) >= 7
    assert calm[-1].endswith("pending.json")
    for number in range(len(calm)):

        def sleep_at(request: Request, number: int = number) -> None:
            if len(changes([request])) and len(changes(bucket.requests)) == number + 1:
                sleeper.fall_asleep()

        bucket.answer = sleep_at
        with pytest.raises(LakeConflictError) if number < len(calm) - 1 else nullcontext():
            sleeper.run()
        assert changes(bucket.requests) == calm[: number + 1]


def test_a_put_that_comes_late_changes_nothing(bucket: BucketServer) -> None:
    """Each put of a sync, held up until the next run is done: the store refuses it."""
    sleeper = Sleeper(bucket)
    sleeper.run()
    calm = changes(bucket.requests)
    sleeper.world.clock.advance(HOUR)  # the next run's moment: its files are not ours
    sleeper.run()
    theirs = dict(bucket.files)
    sleeper.world.clock.advance(-HOUR)
    for number, key in enumerate(calm[:-1]):

        def wake_at(request: Request, number: int = number) -> None:
            if len(changes([request])) and len(changes(bucket.requests)) == number + 1:
                sleeper.uptime_s += 61
                bucket.files = dict(theirs)

        bucket.answer = wake_at
        with pytest.raises(LakeConflictError):
            sleeper.run()
        assert changes(bucket.requests) == calm[: number + 1]
        assert {name: bucket.files[name] for name in theirs} == theirs, key
        # The one thing that can be new: what nobody else has written under that name.
        assert bucket.files.keys() - theirs.keys() <= {key}
        bucket.answer = lambda request: None
        left = check_lake(sleeper.store())
        if key.endswith("pending.json"):  # announced too late: told, and it costs one full read
            assert [(one.path.rpartition("/")[2], one.kind) for one in left] == [
                ("pending.json", "mismatch")
            ]
        elif "sync_runs" not in key:
            assert left == []


def test_conditions_cost_no_request(bucket: BucketServer) -> None:
    """What was read or put in a run is known: not one HEAD, one PUT per file."""
    sleeper = Sleeper(bucket)
    sleeper.run()
    puts = changes(bucket.requests)
    assert "HEAD" not in bucket.methods()
    unconditional = [
        request.key
        for request in bucket.requests
        if request.method == "PUT" and not {"if-match", "if-none-match"} & request.headers.keys()
    ]
    assert unconditional == []
    assert len(puts) == len(set(puts)) + puts.count(f"lake/_meta/{PROJECT}/pending.json") - 1


def test_a_file_that_was_not_read_is_looked_at_first(bucket: BucketServer) -> None:
    """A put over an object that the run has not seen proves the lock once more, and goes over it."""
    sleeper = Sleeper(bucket)
    store = sleeper.store()
    bucket.requests.clear()
    key = f"_meta/{PROJECT}/state.json"
    with store.lock(LOCK):
        store.put(key, b"new")
        store.put(key, b"newer")
    assert bucket.files[f"lake/{key}"].data == b"newer"
    assert bucket.methods("state.json") == ["PUT", "HEAD", "HEAD", "PUT", "PUT"]
    with store.lock(LOCK):
        sleeper.uptime_s += 61
        del bucket.files[f"lake/{LOCK}"]
        with pytest.raises(LakeConflictError, match="was lost"):
            store.put(key, b"late")
    assert bucket.files[f"lake/{key}"].data == b"newer"


def test_another_projects_first_sync_is_no_conflict(bucket: BucketServer) -> None:
    """Two projects that make one lake at the same moment both write its record: it is the same."""
    sleeper = Sleeper(bucket)
    record = bucket.files["lake/_meta/lake.json"]
    sleeper.before = {}

    def be_first(request: Request) -> None:
        if request.method == "PUT" and request.key.endswith("lake.json"):
            bucket.files[request.key] = record

    bucket.answer = be_first
    sleeper.run()
    assert check_lake(sleeper.store()) == []


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "lock" and path.parent.name != "tmp"
    }


@pytest.mark.parametrize("how", ["removed", "replaced", "taken over"])
def test_nothing_changes_in_a_folder_after_the_lock_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Before each single put on a local disk: if the lock file is not ours, nothing is put."""
    world, lake, old = World(), tmp_path / "lake", tmp_path / "old"
    store = open_store(str(lake), scratch=SCRATCH, clock=world.clock)
    world.fill(days=2)
    sync(world.service, store)
    world.clock.advance(DAY)
    world.service.remove(world.ids()[1])
    shutil.copytree(lake, old)
    fill, count = local_store.fill_file, 0

    def lose(at: int) -> Callable[..., None]:
        def put_aside(*arguments: object, **options: object) -> None:
            nonlocal count, before
            count += 1
            fill(*arguments, **options)
            if count == at:
                before = tree(lake)
                if how == "taken over":
                    (lake / LOCK).write_bytes(b'{"pid": 1}\n')
                else:
                    (lake / LOCK).unlink()
                if how == "replaced":
                    (lake / LOCK).write_bytes(b'{"pid": 1}\n')

        return put_aside

    before: dict[str, bytes] = {}
    monkeypatch.setattr(local_store, "fill_file", lose(0))
    sync(world.service, store)
    number = count
    assert number >= 5
    for at in range(1, number + 1):
        shutil.rmtree(lake)
        shutil.copytree(old, lake)
        count = 0
        monkeypatch.setattr(local_store, "fill_file", lose(at))
        with pytest.raises(LakeConflictError, match="removed or taken over"):
            sync(world.service, store)
        assert tree(lake) == before
        assert snapshot(store, SCRATCH) == {}


def test_nothing_is_removed_after_the_lock_is_lost(tmp_path: Path) -> None:
    """A removal is checked as a put is: what another run has announced stays."""
    store = open_store(str(tmp_path), scratch=SCRATCH)
    with store.lock(LOCK):
        store.put("_meta/p/pending.json", b"theirs")
        (tmp_path / LOCK).unlink()
        with pytest.raises(LakeConflictError, match="removed or taken over"):
            store.delete("_meta/p/pending.json")
    assert store.read("_meta/p/pending.json") == b"theirs"


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_tables_are_not_swapped_after_the_lock_is_lost(tmp_path: Path, kind: str) -> None:
    """A format's commit asks the lock as well: it would merge itself into the next run's version."""
    lake = FormatLake(tmp_path / "lake", kind)
    store = lake.store()
    data = encode_table(SCHEMAS["backups"].empty_table())
    world = World()
    world.fill(days=1)
    sync(world.service, world.store)
    key = next(file.key for file in world.store.list("backups") if file.size > len(data))
    with store.lock(LOCK):
        store.put(key, world.store.read(key))
        (tmp_path / "lake" / LOCK).write_bytes(b"{}")
        with pytest.raises(LakeConflictError):
            store.commit(RunNote(PROJECT, "run", 0, "complete"))
    assert [file.key for file in lake.store().list("backups")] == []


def test_the_lease_is_measured_by_a_clock_that_counts_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the kernel has such a clock, it is the one that is asked."""
    monkeypatch.setattr(time, "clock_gettime", lambda clock: clock)
    assert read_uptime() == getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    assert ObjectStore.__init__.__kwdefaults__["uptime"] is read_uptime
