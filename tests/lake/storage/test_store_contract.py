"""What every store promises the ledger, whichever it is."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stores import FaultStore, MemoryStore, snapshot

from backup_frames.errors import LakeConflictError, LakeError
from backup_frames.lake.storage.store import Store, StoredFile
from backup_frames.lake.storage.urls import check_store, open_store

SCRATCH = "_meta/p/tmp"
LOCK = "_meta/p/lock"
HOSTILE = ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a/", "a\0b", "a\nb", "a\\b"]


CEPH = pytest.param("ceph", marks=pytest.mark.slow)


@pytest.fixture(params=["local", "memory", "fault", "moto", "bucket", CEPH])
def again(request: pytest.FixtureRequest) -> Callable[[], Store]:
    """Opens the same lake once more, as another run would."""
    if request.param == "memory":
        memory = MemoryStore(scratch=SCRATCH)
        return lambda: memory
    if request.param == "fault":
        fault = FaultStore(scratch=SCRATCH)
        return lambda: fault
    if request.param == "local":
        url = str(request.getfixturevalue("tmp_path") / "made" / "on demand")
    elif request.param in ("moto", "ceph"):
        url = request.getfixturevalue(f"{request.param}_url")
    else:
        url = request.getfixturevalue("bucket").url
    return lambda: open_store(url, scratch=SCRATCH)


@pytest.fixture
def store(again: Callable[[], Store]) -> Store:
    return again()


def test_a_missing_file_reads_as_none(store: Store) -> None:
    """What is not there is None, whether or not the lake exists, and no error."""
    assert store.read("backups/date=2026-01-01/p.parquet") is None


@pytest.mark.parametrize("size", [0, 1, 6_000_000])
def test_what_was_put_is_read(again: Callable[[], Store], size: int) -> None:
    """Bytes come back as they went in, for another run too; 6 MB is beyond multipart limits."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    again().put("backups/date=2026-01-01/p.parquet", data)
    assert again().read("backups/date=2026-01-01/p.parquet") == data


def test_a_put_replaces_the_whole_file(store: Store) -> None:
    """No byte of the longer old content outlives a shorter new one."""
    store.put("a/f", b"old and long")
    store.put("a/f", b"new")
    assert snapshot(store) == {"a/f": b"new"}


def test_list_is_sorted_and_keeps_to_its_folder(store: Store) -> None:
    """A prefix is a folder: `a` lists what is in a/, not what is in ab/; "" lists all."""
    for key in ("b/2", "ab/1", "a/c/3", "a/1"):
        store.put(key, key.encode())
    assert store.list("a") == store.list("a/") == [StoredFile("a/1", 3), StoredFile("a/c/3", 5)]
    assert [file.key for file in store.list("")] == ["a/1", "a/c/3", "ab/1", "b/2"]
    assert store.list("nothing/here") == []


def test_delete_removes_and_forgives(store: Store) -> None:
    """A deleted file is gone; deleting it again is no error; others stay."""
    store.put("a/1", b"1")
    store.put("a/2", b"2")
    store.delete("a/1")
    store.delete("a/1")
    store.delete("never/was")
    assert snapshot(store) == {"a/2": b"2"}


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_are_refused(store: Store, key: str) -> None:
    """Keys that climb, are absolute or hold control characters never become a path."""
    for call in (store.read, store.delete, lambda key: store.put(key, b"x")):
        with pytest.raises(LakeError, match="no key of a lake"):
            call(key)
    with pytest.raises(LakeError, match="no key of a lake"), store.lock(key):
        pass
    assert store.list("") == []


def test_a_second_lock_fails_at_once(again: Callable[[], Store]) -> None:
    """While one run holds the lock, another one fails, with what to do; afterwards it gets it."""
    with again().lock(LOCK) as lock:
        lock.check()
        with pytest.raises(LakeConflictError, match="locked by") as caught, again().lock(LOCK):
            pass
        assert caught.value.path == LOCK
        lock.check()
    with again().lock(LOCK) as lock:
        lock.check()


def test_a_failed_run_frees_the_lock(store: Store) -> None:
    """An error inside the lock passes through unchanged and leaves no lock behind."""
    with pytest.raises(ZeroDivisionError), store.lock(LOCK):
        _ = 1 / 0
    with store.lock(LOCK):
        pass


def test_projects_do_not_lock_each_other(store: Store) -> None:
    """Two keys are two locks."""
    with store.lock(LOCK), store.lock("_meta/other/lock") as other:
        other.check()


def test_the_lock_clears_leftovers_of_dead_runs(store: Store) -> None:
    """Entering the lock removes what stores make in the scratch folder, and nothing else."""
    ours = [f"{SCRATCH}/{'0af' * 10}00", f"{SCRATCH}/check"]
    foreign = [
        "_meta/p/state.json",
        f"{SCRATCH}.lock",
        f"{SCRATCH}/deep/{'0af' * 10}00",
        f"{SCRATCH}/mine.parquet",
        f"{SCRATCH}/{'0AF' * 10}00",
        f"_meta/q/tmp/{'0af' * 10}00",
    ]
    for key in [*ours, *foreign]:
        store.put(key, b"x")
    with store.lock(LOCK):
        kept = [file.key for file in store.list("") if file.key != LOCK]
    assert kept == sorted(foreign)


def test_a_good_store_has_no_warnings(store: Store) -> None:
    """Nothing is said against a store that keeps its promises."""
    with store.lock(LOCK):
        assert store.warnings == ()


def test_readers_never_see_a_mixture(store: Store) -> None:
    """While four writers replace one file, every read is one writer's content, whole."""
    contents = [bytes([65 + n]) * (50_000 + n) for n in range(4)]
    store.put("a/f", contents[0])
    writers = [
        threading.Thread(target=lambda data=data: [store.put("a/f", data) for _ in range(8)])
        for data in contents
    ]
    for writer in writers:
        writer.start()
    seen = {store.read("a/f")}
    while any(writer.is_alive() for writer in writers):
        seen.add(store.read("a/f"))
    for writer in writers:
        writer.join()
    assert seen <= set(contents)
    assert [file.key for file in store.list("")] == ["a/f"]


_KEYS = st.sampled_from(["a", "b/1", "b/2", "b/c/1", "d=1/é", "d=1/x y"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _KEYS, st.binary(max_size=20)),
        st.tuples(st.just("delete"), _KEYS, st.just(b"")),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(steps=_STEPS)
def test_a_local_store_is_a_dictionary(steps: list[tuple[str, str, bytes]]) -> None:
    """For all sequences of puts and deletes, a folder holds what a dictionary would."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder, scratch=SCRATCH)
        model = MemoryStore()
        for method, key, data in steps:
            arguments = (key, data) if method == "put" else (key,)
            getattr(store, method)(*arguments)
            getattr(model, method)(*arguments)
        assert snapshot(store) == model.files
        for folder_key in ("", "b", "b/c", "d=1"):
            assert store.list(folder_key) == model.list(folder_key)


@pytest.mark.parametrize("kind", ["local", "moto", "bucket", CEPH])
def test_the_doctor_tries_every_step(request: pytest.FixtureRequest, kind: str) -> None:
    """`check_store` passes six steps on a good store and leaves no file behind."""
    fixture = {"local": "tmp_path", "bucket": "bucket"}.get(kind, f"{kind}_url")
    place = request.getfixturevalue(fixture)
    url = str(place if isinstance(place, (str, Path)) else place.url)
    steps = check_store(url, scratch="_meta/p/doctor")
    assert [step.step for step in steps] == ["open", "lock", "write", "read", "list", "delete"]
    assert all(step.is_ok for step in steps)
    assert open_store(url, scratch=SCRATCH).list("") == []
