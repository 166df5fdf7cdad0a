"""The tests' own fault store: what it strikes, it strikes as it says."""

from __future__ import annotations

from contextlib import suppress

import pytest
from support.stores import Call, Fault, FaultStore, Killed, MemoryStore, faults_of, snapshot

from backup_frames.errors import LakeConflictError, LakeError

LOCK = "_meta/p/lock"


def run(store: FaultStore) -> None:
    with store.lock(LOCK) as lock:
        store.put("a", b"new a")
        lock.check()
        store.delete("b")
        store.read("a")
        store.list("")


def before() -> MemoryStore:
    memory = MemoryStore()
    memory.files = {"a": b"old", "b": b"old"}
    return memory


def test_calls_are_counted_in_order() -> None:
    """Every call to the store is a crash point, the check of the lock among them."""
    store = FaultStore(before())
    run(store)
    assert [call.method for call in store.calls] == [
        "lock",
        "put",
        "check",
        "delete",
        "read",
        "list",
    ]
    assert len(faults_of(store.calls)) == 4 + 6 + 2 + 4 + 2 + 2


def test_every_fault_strikes_once_and_the_lock_is_free() -> None:
    """Each enumerated fault ends the run, leaves whole files, and the next run succeeds."""
    calm = FaultStore(before())
    run(calm)
    assert list(calm.left) == [
        Fault(1, "kill", "torn"),
        Fault(1, "kill", "after"),
        Fault(3, "kill", "after"),
    ]
    for fault in faults_of(calm.calls):
        store = FaultStore(before(), fault=fault)
        with pytest.raises(Killed if fault.how == "kill" else LakeError):
            run(store)
        assert len(store.calls) == fault.at + 1
        assert store.inner.read("a") in (b"old", b"new a")
        assert calm.left.get(fault, store.inner).files == store.inner.files
        run(FaultStore(store.inner))
        assert snapshot(store.inner) == snapshot(calm.inner)


@pytest.mark.parametrize(
    ("when", "left"),
    [
        ("before", {"a": b"old", "b": b"old"}),
        ("torn", {"a": b"old", "b": b"old", f"_meta/p/tmp/{1:032x}": b"ne"}),
        ("after", {"a": b"new a", "b": b"old"}),
    ],
)
def test_a_put_is_struck_before_torn_or_after(when: str, left: dict[str, bytes]) -> None:
    """Before: nothing happened. Torn: half is in the scratch folder. After: it is done."""
    store = FaultStore(before(), fault=Fault(1, "kill", when))
    with suppress(Killed):
        run(store)
    assert store.inner.files == left


def test_a_killed_store_is_dead_and_a_failed_one_is_not() -> None:
    """After a kill every call raises `Killed`; after a failure the next call works."""
    dead = FaultStore(before(), fault=Fault(0, "kill", "before"))
    failed = FaultStore(before(), fault=Fault(0, "fail", "before"))
    for store, error in ((dead, Killed), (failed, LakeError)):
        with pytest.raises(error):
            store.read("a")
    with pytest.raises(Killed):
        dead.read("a")
    assert failed.read("a") == b"old"
    assert failed.calls == [Call("read", "a"), Call("read", "a")]


def test_a_stolen_lock_is_lost() -> None:
    """`steal_lock` makes the holder's check fail and lets another run in."""
    memory = MemoryStore()
    with memory.lock(LOCK) as lock:
        memory.steal_lock(LOCK)
        with memory.lock(LOCK), pytest.raises(LakeConflictError):
            lock.check()
