"""Stores for tests: one in memory, and one that fails or dies at a chosen call.

    from support.stores import FaultStore, Killed, MemoryStore, faults_of, snapshot

Enumerating the crash points of a run::

    calm = FaultStore(MemoryStore())
    run(calm)
    for fault in faults_of(calm.calls):
        store = FaultStore(before.copy(), fault=fault)
        with suppress(Killed, LakeError):
            run(store)
        run(store.inner)                       # the next run: no fault, and the lock is free
        assert snapshot(store.inner) == snapshot(calm)
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import pyarrow as pa

from backup_frames.errors import LakeConflictError, LakeError
from backup_frames.lake.storage.layout import is_temporary
from backup_frames.lake.storage.store import (
    Lock,
    PlainFiles,
    RunNote,
    Store,
    StoredFile,
    check_key,
)


@lru_cache(maxsize=1000)
def _decoded(data: bytes, rows: int | None) -> pa.Table:
    return PlainFiles().decode("", data, rows=rows)


class MemoryStore(PlainFiles):
    """A `Store` in a dictionary; `files` is the truth and may be tampered with."""

    warnings: tuple[str, ...] = ()

    def __init__(self, url: str = "memory://lake", *, scratch: str = "_meta/p/tmp") -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self._scratch = scratch
        self._held: dict[str, _MemoryLock] = {}
        self._mutex = threading.Lock()

    def copy(self) -> MemoryStore:
        """The same files in a store of its own, unlocked."""
        twin = MemoryStore(self.url, scratch=self._scratch)
        twin.files = dict(self.files)
        return twin

    def read(self, key: str) -> bytes | None:
        return self.files.get(check_key(key))

    def decode(self, key: str, data: bytes, *, rows: int | None = None) -> pa.Table:
        """As plain files do; hundreds of runs that are struck at read the same few bytes."""
        if len(data) > 100_000:  # who measures memory holds large ones
            return super().decode(key, data, rows=rows)
        return _decoded(data, rows)

    def put(self, key: str, data: bytes) -> None:
        self.files[check_key(key)] = bytes(data)

    def list(self, prefix: str) -> list[StoredFile]:
        folder = check_key(prefix.rstrip("/")) + "/" if prefix else ""
        found = [(key, data) for key, data in list(self.files.items()) if key.startswith(folder)]
        return sorted(StoredFile(key, len(data)) for key, data in found)

    def delete(self, key: str) -> None:
        self.files.pop(check_key(key), None)

    @contextmanager
    def lock(self, key: str) -> Iterator[Lock]:
        check_key(key)
        with self._mutex:
            if key in self._held:
                raise LakeConflictError(f"The lake {self.url} is locked by a test.", path=key)
            lock = self._held[key] = _MemoryLock(key)
        try:
            for leftover in self.list(self._scratch):
                if is_temporary(leftover.key.removeprefix(f"{self._scratch}/")):
                    self.delete(leftover.key)
            yield lock
        finally:
            with self._mutex:
                if self._held.get(key) is lock:
                    del self._held[key]

    def steal_lock(self, key: str) -> None:
        """Let the holder's next `check` fail, as if its lease had run out."""
        with self._mutex:
            self._held.pop(key).is_lost = True


class _MemoryLock:
    def __init__(self, key: str) -> None:
        self.is_lost = False
        self._key = key

    def check(self) -> None:
        if self.is_lost:
            raise LakeConflictError("The lock was taken over by a test.", path=self._key)

    keep = check


class Killed(BaseException):
    """The process died here: no `except Exception` and no further call to the store works."""


class Call(NamedTuple):
    """One call to a store: "read", "put", "commit", "list", "delete", "lock" or "check", and its key."""

    method: str
    key: str


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the call of that number (from 0).

    `fail` raises a `LakeError`, and later calls work; `kill` raises `Killed`, now and ever after.
    `before`: the call had no effect. `after`: it had its effect, only its answer is lost.
    `torn`: a put left half of its data under the scratch prefix and its target untouched.
    """

    at: int
    how: Literal["fail", "kill"]
    when: Literal["before", "after", "torn"]


def faults_of(calls: Sequence[Call]) -> list[Fault]:
    """Every fault that can befall a run that makes these calls."""
    moments: dict[str, tuple[Literal["before", "after", "torn"], ...]] = {
        "put": ("before", "torn", "after"),
        "commit": ("before", "after"),
        "delete": ("before", "after"),
        "lock": ("before", "after"),
    }
    return [
        Fault(at, how, when)
        for at, call in enumerate(calls)
        for when in moments.get(call.method, ("before",))
        for how in ("fail", "kill")
    ]


class FaultStore:
    """A `Store` around another one that records its calls and strikes at one of them.

    A killed run frees its lock as the kernel would: leaving the `with` block does it. Where nothing
    strikes, `left` has what a death in or after each writing call would have left of a store in memory.
    """

    def __init__(
        self,
        inner: Store | None = None,
        *,
        fault: Fault | None = None,
        scratch: str = "_meta/p/tmp",
    ) -> None:
        self.inner: Store = inner or MemoryStore(scratch=scratch)
        self.calls: list[Call] = []
        self.left: dict[Fault, MemoryStore] = {}
        self.is_dead = False
        self._fault = fault
        self._scratch = scratch
        self._mutex = threading.Lock()

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def format(self) -> str:
        return self.inner.format

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.inner.warnings

    def read(self, key: str) -> bytes | None:
        with self._struck("read", key):
            return self.inner.read(key)

    def put(self, key: str, data: bytes) -> None:
        with self._struck("put", key, data):
            self.inner.put(key, data)

    def encode(self, key: str, rows: pa.Table) -> bytes:
        return self.inner.encode(key, rows)

    def decode(self, key: str, data: bytes, *, rows: int | None = None) -> pa.Table:
        return self.inner.decode(key, data, rows=rows)

    def is_blocked(self, key: str) -> bool:
        return self.inner.is_blocked(key)

    def expect(self, keys: Iterable[str]) -> None:
        self.inner.expect(keys)

    def commit(self, note: RunNote) -> None:
        if self.inner.format == "parquet":
            return  # there is nothing to strike at
        with self._struck("commit", note.run_id):
            self.inner.commit(note)

    def list(self, prefix: str) -> list[StoredFile]:
        with self._struck("list", prefix):
            return self.inner.list(prefix)

    def delete(self, key: str) -> None:
        with self._struck("delete", key):
            self.inner.delete(key)

    @contextmanager
    def lock(self, key: str) -> Iterator[Lock]:
        with ExitStack() as stack:
            with self._struck("lock", key):
                lock = stack.enter_context(self.inner.lock(key))
            yield _FaultLock(self, key, lock)

    @contextmanager
    def _struck(self, method: str, key: str, data: bytes = b"") -> Iterator[None]:
        with self._mutex:
            if self.is_dead:
                raise Killed(f"{method} {key} after the end")
            at = len(self.calls)
            self.calls.append(Call(method, key))
        fault = self._fault if self._fault and self._fault.at == at else None
        if fault and fault.when != "after":
            if fault.when == "torn" and method == "put":
                self._tear(self.inner, at, data)
            self._strike(fault, method, key)
        if method == "put":
            self._leave(Fault(at, "kill", "torn"), data)
        yield
        if method in ("put", "delete"):
            self._leave(Fault(at, "kill", "after"))
        if fault:
            self._strike(fault, method, key)

    def _tear(self, store: Store, at: int, data: bytes) -> None:
        store.put(f"{self._scratch}/{at:032x}", data[: len(data) // 2])

    def _leave(self, death: Fault, torn: bytes | None = None) -> None:
        if self._fault is None and isinstance(self.inner, MemoryStore):
            self.left[death] = self.inner.copy()
            if torn is not None:
                self._tear(self.left[death], death.at, torn)

    def _strike(self, fault: Fault, method: str, key: str) -> None:
        if fault.how == "kill":
            self.is_dead = True
            raise Killed(f"{method} {key}: killed {fault.when}")
        raise LakeError(f"{method} {key}: failed {fault.when}, as the test asked for.", path=key)


class _FaultLock:
    def __init__(self, store: FaultStore, key: str, lock: Lock) -> None:
        self._store = store
        self._key = key
        self._lock = lock

    def check(self) -> None:
        with self._store._struck("check", self._key):
            self._lock.check()

    def keep(self) -> None:
        self._lock.keep()


def snapshot(store: Store, prefix: str = "") -> dict[str, bytes]:
    """All files of a store with their bytes; what runs are compared by."""
    found = {file.key: store.read(file.key) for file in store.list(prefix)}
    return {key: data for key, data in found.items() if data is not None}
