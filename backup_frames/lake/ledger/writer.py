"""Puts a run's partitions and records in place, in an order that survives death at any point.

In: partitions as they should be. Out: files, then manifest, run row, state. Before any file is
touched ``pending.json`` names what it will be, so that after a crash each file is either as the
manifest says or as that says, and `read_records` knows which. Encoding is a third of a first sync's
work, and needs no interpreter lock: it goes on beside the next pages being read and merged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa

from ...clock import Clock
from ...frames.deduplicate import sort_table
from ...frames.partitions import NO_DATE, partition_path
from ...frames.schema import LEDGER_SCHEMAS
from ..storage.layout import LAKE_KEY, meta_key
from ..storage.store import Lock, RunNote, Store
from .encoding import encoding_of
from .merge import LedgerTables
from .metadata import (
    LAYOUT_VERSION,
    FileEntry,
    LakeRecord,
    Manifest,
    Pending,
    State,
    describe_file,
    encode_record,
    manifest_checksum,
)
from .recovery import ProjectRecords, load_table

HOLD_ROWS: Final = 1 << 15
"""So many rows are held back, to be announced together in one ``pending.json``."""
HOLD_S: Final = 5.0
"""So long at most: what is held back is lost if the run dies."""
LOADED_ROWS: Final = 1 << 15
"""So many rows that were loaded are kept: a partition that changed is asked for several times."""


class _File(NamedTuple):
    key: str
    data: bytes
    entry: FileEntry


_Files = list[_File]


class _Loaded(NamedTuple):
    entry: FileEntry  # what it was when it was loaded
    table: pa.Table


_LEAN_LOCK = threading.Lock()
_LEAN_RUNS: list[pa.MemoryPool | None] = []  # the pool before, then one entry per run


@contextmanager
def lean_memory() -> Iterator[None]:
    """Let Arrow take memory from the system's allocator, for `return_memory` to give it back.

    Its own keeps what other threads freed: over a million backups, with four threads, 460 MB at the
    peak against 280.
    """
    with _LEAN_LOCK:  # runs of several projects overlap: the first sets it, the last sets it back
        if not _LEAN_RUNS:
            _LEAN_RUNS.append(pa.default_memory_pool())
            pa.set_memory_pool(pa.system_memory_pool())
        _LEAN_RUNS.append(None)
    try:
        yield
    finally:
        with _LEAN_LOCK:
            _LEAN_RUNS.pop()
            if len(_LEAN_RUNS) == 1:
                pa.set_memory_pool(_LEAN_RUNS.pop())


def return_memory() -> None:
    """Give the system back what was freed by now: else it adds up to 100 MB over a million backups."""
    pa.default_memory_pool().release_unused()


@dataclass
class LakeWriter:
    """Writes one run of one project.

    Args:
        store: the lake.
        lock: the project's lock, held.
        clock: for holding back not too long.
        records: the project's records; `manifest` follows the files as they are written.
        pending: what this run announces.
        pool: puts partitions side by side; None for one after the other.
        encoders: encode them meanwhile; None for each as it is staged.
    """

    store: Store
    lock: Lock
    clock: Clock
    records: ProjectRecords
    pending: Pending
    pool: Executor | None = None
    encoders: Executor | None = None
    _encoding: dict[date | str, Callable[[], _Files]] = field(default_factory=dict)
    _staged: dict[date | str, _Files] = field(default_factory=dict)
    _loaded: dict[str, _Loaded] = field(default_factory=dict)
    _loaded_rows: int = 0
    _held_rows: int = 0
    _held_since_s: float = 0.0
    _file_count: int = 0
    _byte_count: int = 0

    def load(self, partition: date) -> LedgerTables:
        """A partition as it is stored, empty tables for files that do not exist.

        Raises:
            LakeError: a file is damaged or missing.
        """
        return LedgerTables(*(self.load_one(name, partition) for name in LEDGER_SCHEMAS))

    def load_one(self, table: str, partition: date) -> pa.Table:
        """One table of a partition; see `load`."""
        self._flush_if_held(partition)
        manifest = self.records.manifest
        key = partition_path(table, partition, manifest.project_id)
        entry, known = manifest.files.get(key), self._loaded.get(key)
        if known and known.entry == entry:
            return known.table
        loaded = load_table(self.store, self.records, table, partition)
        if entry:
            self._keep(key, _Loaded(entry, loaded))
        return loaded

    def _keep(self, key: str, loaded: _Loaded) -> None:
        """Keep what was loaded as long as there is room; the oldest goes first."""
        before = self._loaded.pop(key, None)
        self._loaded_rows += loaded.entry.rows - (before.entry.rows if before else 0)
        self._loaded[key] = loaded
        while self._loaded_rows > LOADED_ROWS:
            self._loaded_rows -= self._loaded.pop(next(iter(self._loaded))).entry.rows

    def stage(
        self,
        partition: date,
        tables: Mapping[str, pa.Table],
        child_changed: Iterable[str] = (),
        *,
        is_sorted: bool = False,
    ) -> None:
        """Take a partition's tables to be written, children first; equal files are left out.

        So are tables without rows that have no file yet.
        """
        self._flush_if_held(partition)
        project_id = self.records.manifest.project_id
        wanted = {
            key: tables[name]
            for name in LEDGER_SCHEMAS
            if name in tables
            and (
                (key := partition_path(name, partition, project_id)) in self.records.manifest.files
                or tables[name].num_rows
            )
        }
        if changed := sorted(child_changed):
            self.pending.child_changed[partition.isoformat()] = changed
        self._hold(partition, wanted, is_sorted=is_sorted)

    def stage_file(self, key: str, table: pa.Table) -> None:
        """Take a file that is no partition's to be written; an equal one is left out."""
        self._hold(key, {key: table})

    def _stage_schemas(self) -> None:
        """Give each table that has no file an empty one, so that every reader finds its columns."""
        self._collect()
        staged = (key for files in self._staged.values() for key, _, _ in files)
        found = {key.partition("/")[0] for key in (*self.records.manifest.files, *staged)}
        project_id = self.records.manifest.project_id
        for name in LEDGER_SCHEMAS.keys() - found:
            key = partition_path(name, NO_DATE, project_id)
            self.stage_file(key, LEDGER_SCHEMAS[name].empty_table())

    def count_files(self) -> tuple[int, int]:
        """Data files written so far, those held back included, and their bytes."""
        self._collect()
        return self._file_count, self._byte_count

    def flush(self) -> None:
        """Announce what is held back, then write it."""
        self._collect()
        self._held_rows = 0
        if self._staged:
            self._announce()
            self._write()

    def _write(self) -> None:
        """Write what is announced."""
        partitions = list(self._staged.values())
        self.store.expect(key for files in partitions for key, _, _ in files)
        for _ in (self.pool.map if self.pool else map)(self._put, partitions):
            pass  # raises what a write raised
        for files in partitions:
            self.records.manifest.files |= {key: entry for key, _, entry in files}
        self._staged = {}
        del partitions
        return_memory()

    def commit(
        self,
        state: State,
        run: tuple[str, bytes] | None = None,
        *,
        verdict: str,
        is_finished: bool,
    ) -> None:
        """Write what is held back, then manifest, the run's row (key and bytes), and the state.

        A run that did not finish leaves its announcement, since partitions that an earlier one
        tore may still have to be read again.

        Raises:
            LakeConflictError: the lock was lost; the records are as they were.
        """
        self.records.manifest.lake_id = self.records.lake_id
        self.records.manifest.encoding = encoding_of(self.store)
        if is_finished:
            self._stage_schemas()
        self._collect()
        manifest = self._manifest_to_be(run)
        checksum = manifest_checksum(manifest)
        self._announce(checksum)
        self._write()
        project_id, run_id = self.pending.project_id, self.pending.run_id
        note = RunNote(project_id, run_id, self.pending.as_of_s, verdict)
        self.lock.check()
        self.store.commit(note)
        self._put_record("manifest.json", encode_record(manifest))
        self.records.manifest, self.records.found = manifest, checksum
        if run:
            self.store.put(*run)
            self.store.commit(note)
        self.lock.check()
        state.lake_id, state.manifest = self.records.lake_id, checksum
        state.newest_s = max(state.newest_s, self.pending.as_of_s)
        self._put_record("state.json", encode_record(state))
        if is_finished and self.records.is_known:
            self.store.delete(meta_key(self.pending.project_id, "pending.json"))

    def _manifest_to_be(self, run: tuple[str, bytes] | None) -> Manifest:
        """The manifest as it is to be once all is written that is held back."""
        manifest = self.records.manifest
        entries = {run[0]: describe_file(run[1], 1)} if run else {}
        self.pending.files |= {key: [entry] for key, entry in entries.items()}
        staged = {key: entry for files in self._staged.values() for key, _, entry in files}
        return msgspec.structs.replace(manifest, files=manifest.files | staged | entries)

    def _flush_if_held(self, partition: date) -> None:
        if partition in self._encoding or partition in self._staged:
            self.flush()

    def _hold(
        self, name: date | str, tables: Mapping[str, pa.Table], *, is_sorted: bool = False
    ) -> None:
        """Begin to encode tables by key, and flush if too much, or for too long, is held back."""
        if not self._encoding and not self._staged:
            self._held_since_s = self.clock.monotonic()
        if self.encoders:
            encoding = self.encoders.submit(self._encode_files, tables, is_sorted)
            self._encoding[name] = encoding.result
        else:
            files = self._encode_files(tables, is_sorted)
            self._encoding[name] = lambda: files
        self._held_rows += sum(table.num_rows for table in tables.values())
        is_old = self.clock.monotonic() - self._held_since_s > HOLD_S
        if self._held_rows > HOLD_ROWS or is_old:
            self.flush()

    def _collect(self) -> None:
        """Take what is encoded by now, files that would not change left out."""
        for name, encoded in self._encoding.items():
            known = self.records.manifest.files
            files = [file for file in encoded() if known.get(file.key) != file.entry]
            for file in files:
                versions = self.pending.files.setdefault(file.key, [])
                if file.entry in versions:
                    versions.remove(file.entry)
                versions.append(file.entry)
            if files:
                self._staged[name] = files
            self._file_count += len(files)
            self._byte_count += sum(file.entry.size for file in files)
        self._encoding = {}

    def _announce(self, coming: str | None = None) -> None:
        """Put what will be written, and the checksum of the manifest that comes, if it is near."""
        self.lock.check()
        records = self.records
        found, state = records.found, records.state
        seen = [state.manifest, found] if state and state.manifest else [found]
        self.pending.manifests = list(dict.fromkeys([*seen, *([coming] if coming else [])]))
        if records.is_new:
            record = LakeRecord(records.lake_id, LAYOUT_VERSION, records.grain, self.store.format)
            self.store.put(LAKE_KEY, encode_record(record))
            records.is_new = False
        self._put_record("pending.json", encode_record(self.pending))

    def _encode_files(self, tables: Mapping[str, pa.Table], is_sorted: bool) -> _Files:
        files = []
        for key, table in tables.items():
            data = self.store.encode(key, table if is_sorted else sort_table(table))
            files.append(_File(key, data, describe_file(data, table.num_rows)))
        return files

    def _put(self, files: _Files) -> None:
        for key, data, _ in files:
            self.store.put(key, data)

    def _put_record(self, name: str, data: bytes) -> None:
        self.store.put(meta_key(self.pending.project_id, name), data)
