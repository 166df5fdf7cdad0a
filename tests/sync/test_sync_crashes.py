"""Whatever call to the store fails or is the last: one more run, and the lake is as if nothing was."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from support.crash_scenes import SCENES, Scene, first, fleet
from support.lake_service import DAY, HOUR, PROJECT, START, ModelService, sync
from support.stores import Call, Fault, FaultStore, Killed, MemoryStore, faults_of, snapshot

from backup_frames.errors import LakeError, UnavailableError
from backup_frames.frames.partitions import decode_table
from backup_frames.lake.storage.store import Store
from backup_frames.sync.maintenance.check import check_lake

SCRATCH = "_meta/0a1b2c/tmp"
MANIFEST = f"_meta/{PROJECT}/manifest.json"
LONGER = {"first": 6, "incremental": 6, "full": 6, "month": 40}  # days
TABLES = ("backups/", "backup_databases/", "backup_tables/")


def prepared(scene: Scene, days: int) -> tuple[ModelService, MemoryStore]:
    service, store = fleet(days), MemoryStore(scratch=SCRATCH)
    if scene.change is not first:
        sync(service, store, partition_by=scene.grain)
    scene.change(service)
    service._index = None
    return service, store


def data(store: Store) -> dict[str, bytes]:
    return {key: value for key, value in snapshot(store).items() if key.startswith(TABLES)}


def heals(name: str, days: int, *, every: int = 1) -> int:
    """Strike a run at each of its calls, run again, compare; the number of faults tried.

    Of `every` so many one is tried. Of deaths after calls that write all are, and of those in one
    (a torn file, whichever it is) every fourth, unless all faults are tried.
    (A death before a call leaves what a death after the last one that wrote does.) These leave what
    the undisturbed run had at that moment, so a run is struck there only if all faults are tried.
    What several faults leave alike is healed once: the next run sees nothing but the files.
    Lakes that are healed to the same files are checked once likewise.
    """
    scene = SCENES[name]
    service, before = prepared(scene, days)
    calm = FaultStore(before.copy(), scratch=SCRATCH)
    service.random.seed(5)
    sync(service, calm, **scene.settings)
    expected = data(calm.inner)
    assert expected != data(before)
    writes, torn, others = list[Fault](), list[Fault](), list[Fault]()
    for fault in faults_of(calm.calls):
        is_write = calm.calls[fault.at].method in ("put", "commit", "delete")
        is_death = is_write and fault.how == "kill"
        kinds = {"after": writes, "torn": torn}
        (kinds.get(fault.when, others) if is_death else others).append(fault)
    faults = [*writes, *torn[:: min(every, 4)], *others[::every]]
    seen, sound = set[frozenset[tuple[str, bytes]]](), set[frozenset[tuple[str, bytes]]]()
    for fault in faults:
        if every == 1 or fault not in calm.left:
            struck = FaultStore(before.copy(), fault=fault, scratch=SCRATCH)
            service.random.seed(5)
            with suppress(Killed, LakeError):
                sync(service, struck, **scene.settings)
            store = struck.inner
        else:
            store = calm.left[fault]
        state = frozenset(snapshot(store).items())
        if state in seen:
            continue
        seen.add(state)
        left = data(store)
        assert all(decode_table(value).num_rows >= 0 for value in left.values())
        assert check_lake(store) == [], fault
        service.random.seed(6)
        sync(service, store, **scene.settings)
        assert data(store) == expected, fault
        healed = frozenset(snapshot(store).items())
        assert healed in sound or check_lake(store) == [], fault
        sound.add(healed)
    return len(faults)


@pytest.mark.parametrize("name", ["first", "incremental"])
def test_any_crash_point_heals_to_the_same_bytes(name: str) -> None:
    """Fail or kill a run at any call: files stay readable, verify stays silent, one run heals."""
    assert heals(name, days=2, every=12) > 20


def killed_at(store: MemoryStore, service: ModelService, call: str, **settings: Any) -> MemoryStore:
    """Kill a sync before the call to the store so named; the store of an undisturbed one."""
    calm = FaultStore(store.copy(), scratch=SCRATCH)
    sync(service, calm, **settings)
    at = [f"{call.method} {call.key}" for call in calm.calls].index(call)
    with pytest.raises(Killed):
        sync(service, FaultStore(store, fault=Fault(at, "kill", "before")), **settings)
    assert check_lake(store) == []
    assert isinstance(calm.inner, MemoryStore)
    return calm.inner


def test_a_partition_torn_by_a_dead_run_is_read_again() -> None:
    """A full run dies between a closed day's files; a small run reads just that day again."""
    service, store = fleet(days=8), MemoryStore(scratch=SCRATCH)
    sync(service, store)
    service.clock.advance(DAY)
    edited = [one for one in service.backups.values() if one.tables and one.begin][5]
    assert edited.begin is not None
    edited.tables = [("db", ["a", "b", "c"]), ("new", [])]
    call = f"put backup_tables/date={edited.begin.date()}/{PROJECT}.parquet"
    calm = killed_at(store, service, call, is_full=True)
    sync(service, store, reread_requests=0)
    assert check_lake(store) == []
    assert data(store) == data(calm)


class NewestFirst(Random):
    """Parts of two ranges each, those of the newest span first."""

    def shuffle(self, x: MutableSequence[Any]) -> None:
        x.reverse()

    def choice(self, seq: Any) -> Any:
        return seq[1]


def test_a_torn_partition_stays_announced_while_runs_fail() -> None:
    """A run that writes, but fails before it comes to the torn day, leaves it to the next one."""
    service, store = fleet(days=8), MemoryStore(scratch=SCRATCH)
    sync(service, store)
    service.clock.advance(DAY)
    edited = [one for one in service.backups.values() if one.tables and one.begin][5]
    assert edited.begin is not None
    edited.tables = [("db", ["a", "b", "c"]), ("new", [])]
    call = f"put backup_tables/date={edited.begin.date()}/{PROJECT}.parquet"
    calm = killed_at(store, service, call, is_full=True)
    service.add(service.clock.now() - HOUR)
    sync(service, calm, reread_requests=0)
    written, service.fail_after_parts, service.random = data(store), 1, NewestFirst()
    with pytest.raises(UnavailableError):
        sync(service, store, reread_requests=0)
    assert data(store) != written
    service.fail_after_parts = None
    sync(service, store, reread_requests=0)
    assert data(store) == data(calm)


def test_a_row_that_a_dead_run_dated_is_one_row() -> None:
    """The run dies after the dated row is in its day and before the undated one is taken out."""
    service, store = fleet(days=8), MemoryStore(scratch=SCRATCH)
    sync(service, store)
    service.clock.advance(HOUR)
    next(one for one in service.backups.values() if not one.begin).begin = START - 3 * DAY
    service._index = None
    call = f"put backups/date=1970-01-01/{PROJECT}.parquet"
    calm = killed_at(store, service, call, reread_requests=0)
    sync(service, store, reread_requests=0)
    assert data(store) == data(calm)


def test_what_a_dead_run_wrote_is_not_read_again() -> None:
    """Rows that it marked gone count as gone: the next small run finds nothing to do there."""
    service, store = fleet(days=8), MemoryStore(scratch=SCRATCH)
    sync(service, store)
    service.clock.advance(HOUR)
    service.remove(*sorted(service.backups)[5:7])
    calm = killed_at(store, service, f"put {MANIFEST}", is_full=True)
    foreseen = sync(service, store, is_dry_run=True, reread_requests=0)
    assert "2025-12-25" not in foreseen.days
    report = sync(service, store, reread_requests=0)
    assert data(store) == data(calm)
    assert report.file_count == 0


def test_a_state_outlives_two_deaths() -> None:
    """One run dies before it writes its state, the next when it has announced what it writes."""
    service, store = fleet(days=4), MemoryStore(scratch=SCRATCH)
    sync(service, store)
    for key in (f"_meta/{PROJECT}/state.json", f"backups/date=2025-12-28/{PROJECT}.parquet"):
        service.clock.advance(HOUR)
        service.remove(service.between("Instance", 0, START.timestamp())[0].id)
        calm = killed_at(store, service, f"put {key}", reread_requests=0)
    report = sync(service, store, reread_requests=0)
    assert not report.is_full
    assert data(store) == data(calm)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_any_crash_point_of_a_longer_run_heals(name: str) -> None:
    """The same over more partitions, full reads and months."""
    assert heals(name, days=LONGER[name]) > 50


def files_of(store: MemoryStore) -> frozenset[tuple[str, bytes]]:
    """A store's files; a torn one under any name, since the next lock clears it unread."""
    return frozenset(
        (SCRATCH if SCRATCH in key else key, data) for key, data in store.files.items()
    )


def kinds_of(calls: Sequence[Call]) -> set[tuple[str, str]]:
    """What a run asks of its store, wherever: its methods, with the record or the table."""
    return {
        (call.method, call.key.split("/")[-1 if call.key.startswith("_meta/") else 0])
        for call in calls
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_any_two_crash_points_heal(name: str) -> None:
    """A run that dies while it heals what another left: the third makes it right, whatever the two.

    Deaths that leave the same files are one: a thousand pairs and more leave a few hundred lakes.
    Two days are asked for by the same kinds of calls as the longer runs above.
    """
    scene = SCENES[name]
    service, before = prepared(scene, days=2)

    def run(store: MemoryStore, seed: int) -> FaultStore:
        service.random.seed(seed)
        calm = FaultStore(store.copy(), scratch=SCRATCH)
        sync(service, calm, **scene.settings)
        return calm

    first_run = run(before, 5)
    longer, large = prepared(scene, days=LONGER[name])
    calm = FaultStore(large, scratch=SCRATCH)
    sync(longer, calm, **scene.settings)
    assert kinds_of(first_run.calls) == kinds_of(calm.calls)
    expected, pairs = data(first_run.inner), 0
    once = {files_of(store): store for store in first_run.left.values()}
    twice = dict[frozenset[tuple[str, bytes]], tuple[MemoryStore, object]]()
    for store in once.values():
        for two, left in run(store, 6).left.items():
            twice.setdefault(files_of(left), (left, two))
            pairs += 1
    for left, two in twice.values():
        assert check_lake(left) == [], two
        assert data(run(left, 7).inner) == expected, two
    assert pairs > 450
    assert len(twice.keys() - once.keys()) > 100
