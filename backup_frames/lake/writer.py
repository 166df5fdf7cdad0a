"""Puts a run's partitions and records in place, in an order that survives death at any point.

In: partitions as they should be. Out: files, then manifest, run row, state. Before any file is
touched ``pending.json`` names what it will be, so that after a crash each file is either as the
manifest says or as that says, and `read_records` knows which.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Final

import pyarrow as pa

from backup_frames.api.clock import Clock
from backup_frames.frames.partitions import encode_table, partition_path

from .documents import (
    LAYOUT_VERSION,
    FileEntry,
    LakeRecord,
    Pending,
    State,
    describe_file,
    encode_record,
)
from .layout import LAKE_KEY, meta_key
from .ledger import LEDGER_SCHEMAS, LedgerTables
from .records import ProjectRecords, load_table
from .spans import Grain
from .store import Lock, RunNote, Store

HOLD_BYTES: Final = 16 << 20
"""So many encoded bytes are held back, to be announced together in one ``pending.json``."""
HOLD_S: Final = 5.0
"""So long at most: what is held back is lost if the run dies."""


_Files = list[tuple[str, bytes, FileEntry]]


@dataclass
class LakeWriter:
    """Writes one run of one project.

    Args:
        store: the lake.
        lock: the project's lock, held.
        clock: for holding back not too long.
        records: the project's records; `manifest` follows the files as they are written.
        pending: what this run announces.
        is_new: the lake has no record of its own yet.
        threads: partitions written side by side.

    Attributes:
        file_count: data files written so far, those held back included.
        byte_count: their size.
    """

    store: Store
    lock: Lock
    clock: Clock
    records: ProjectRecords
    pending: Pending
    grain: Grain
    is_new: bool
    threads: int
    file_count: int = 0
    byte_count: int = 0
    _staged: dict[date | str, _Files] = field(default_factory=dict)
    _staged_bytes: int = 0
    _held_since_s: float = 0.0

    def load(self, partition: date) -> LedgerTables:
        """A partition as it is stored, empty tables for files that do not exist.

        Raises:
            LakeError: a file is damaged or missing.
        """
        return LedgerTables(*(self.load_one(name, partition) for name in LEDGER_SCHEMAS))

    def load_one(self, table: str, partition: date) -> pa.Table:
        """One table of a partition; see `load`."""
        if partition in self._staged:
            self.flush()
        return load_table(self.store, self.records, table, partition)

    def stage(
        self, partition: date, tables: Mapping[str, pa.Table], child_changed: Iterable[str] = ()
    ) -> None:
        """Take a partition's tables to be written, children first; equal files are left out."""
        if partition in self._staged:
            self.flush()
        files: _Files = []
        for name in LEDGER_SCHEMAS:
            if name not in tables:
                continue
            key = partition_path(name, partition, self.records.manifest.project_id)
            rows = tables[name].num_rows
            data = encode_table(tables[name]) if rows else _encode_empty(name)
            entry = describe_file(data, rows)
            if self.records.manifest.files.get(key) == entry:
                continue
            files.append((key, data, entry))
            versions = self.pending.files.setdefault(key, [])
            if entry not in versions:
                versions.append(entry)
        if changed := sorted(child_changed):
            self.pending.child_changed[partition.isoformat()] = changed
        if not files:
            return
        if not self._staged:
            self._held_since_s = self.clock.monotonic()
        size = sum(entry.size for _, _, entry in files)
        self._staged[partition] = files
        self._staged_bytes += size
        self.file_count += len(files)
        self.byte_count += size
        is_old = self.clock.monotonic() - self._held_since_s > HOLD_S
        if self._staged_bytes > HOLD_BYTES or is_old:
            self.flush()

    def stage_file(self, key: str, table: pa.Table) -> None:
        """Take a file that is no partition's to be written; an equal one is left out."""
        data = encode_table(table)
        entry = describe_file(data, table.num_rows)
        if self.records.manifest.files.get(key) == entry:
            return
        self.pending.files.setdefault(key, []).append(entry)
        self._staged[key] = [(key, data, entry)]
        self.file_count += 1
        self.byte_count += entry.size

    def flush(self) -> None:
        """Announce what is held back, then write it."""
        if not self._staged:
            return
        self._announce()
        partitions = list(self._staged.values())
        if self.threads > 1 and len(partitions) > 1:
            with ThreadPoolExecutor(self.threads) as pool:
                for _ in pool.map(self._put, partitions):
                    pass  # raises what a write raised
        else:
            for files in partitions:
                self._put(files)
        for files in partitions:
            self.records.manifest.files |= {key: entry for key, _, entry in files}
        self._staged, self._staged_bytes = {}, 0

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
        manifest = self.records.manifest
        entries = {run[0]: describe_file(run[1], 1)} if run else {}
        self.pending.files |= {key: [entry] for key, entry in entries.items()}
        if self._staged:
            self.flush()
        else:
            self._announce()
        manifest.files |= entries
        project_id, run_id = self.pending.project_id, self.pending.run_id
        note = RunNote(project_id, run_id, self.pending.as_of_s, verdict)
        self.lock.check()
        self.store.commit(note)
        self._put_record("manifest.json", encode_record(manifest))
        if run:
            self.store.put(*run)
            self.store.commit(note)
        self.lock.check()
        self._put_record("state.json", encode_record(state))
        if is_finished:
            self.store.delete(meta_key(self.pending.project_id, "pending.json"))

    def _announce(self) -> None:
        self.lock.check()
        if self.is_new:
            lake_id = str(uuid.uuid5(uuid.NAMESPACE_URL, self.store.url))
            record = LakeRecord(lake_id, LAYOUT_VERSION, self.grain, self.store.format)
            self.store.put(LAKE_KEY, encode_record(record))
            self.is_new = False
        self._put_record("pending.json", encode_record(self.pending))

    def _put(self, files: _Files) -> None:
        for key, data, _ in files:
            self.store.put(key, data)

    def _put_record(self, name: str, data: bytes) -> None:
        self.store.put(meta_key(self.pending.project_id, name), data)


@cache
def _encode_empty(table: str) -> bytes:
    return encode_table(LEDGER_SCHEMAS[table].empty_table())
