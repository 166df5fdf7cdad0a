"""A lake whose tables keep their own list of files: Delta Lake or Iceberg, seen as a store.

In: keys and bytes, as of every store. Out: the same keys and bytes, made of the tables' rows. The
partition of a project is what a file is in a plain lake: its bytes are those that a plain lake
would have, so manifest, verify, repair and what follows a crash are the same for all formats. What
is put lies beside the tables, unseen by their readers, until `commit` swaps it in: one commit per
table, children first.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ...clock import Clock
from ...errors import LakeError
from ...frames.partitions import decode_table, encode_table, partition_path
from ..ledger.metadata import Manifest, Pending, decode_record
from ..storage.layout import (
    INVENTORY_NAMES,
    RUNS,
    TABLE_NAMES,
    KeyParts,
    inventory_key,
    meta_key,
    parse_key,
    run_key,
)
from ..storage.store import Lock, RunNote, Store, StoredFile
from .table_format import SCHEMAS, Slot, TableFile, Tables

_COMMIT_ORDER: Final = (*TABLE_NAMES, *reversed(INVENTORY_NAMES), RUNS)
_TRIES: Final = 8  # a commit, if another one was faster


class TableStore:
    """A `Store` whose tables' files are rows of a table format.

    Args:
        files: where data files and the lake's records are.
        tables: the format.
        clock: for waiting between tries to commit.
    """

    def __init__(self, files: Store, tables: Tables, *, clock: Clock) -> None:
        self._files = files
        self._tables = tables
        self._clock = clock
        self._token = uuid.uuid4().hex[:8]  # no file of another run is ever written over
        self._known = dict[str, Mapping[Slot, Sequence[TableFile]]]()
        self._staged = dict[str, dict[Slot, TableFile | None]]()
        self._lock: Lock | None = None

    @property
    def url(self) -> str:
        """The lake's URL as the user wrote it."""
        return self._files.url

    @property
    def format(self) -> str:
        """The name of the table format."""
        return self._tables.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the store below cannot promise."""
        return self._files.warnings

    def read(self, key: str) -> bytes | None:
        """A record as it is; of a table the partition's rows, as a plain lake's file has them.

        A data file that is damaged comes as it is, so that whoever compares hashes sees it. A
        partition without rows leaves nothing in a table: it reads as an empty file.
        """
        parts = _data_parts(key)
        if parts is None:
            self._known.clear()  # records speak of files as new as they are
            return self._files.read(key)
        table, slot = str(parts.table), _slot(parts)
        pieces = []
        for file in self._content(table, slot):
            data = self._files.read(file.key)
            rows = None if data is None else self._decode(table, slot, file, data)
            if rows is None:
                return data
            pieces.append(rows)
        if parts.run_id is not None:
            pieces = [rows.filter(pc.field("run_id") == parts.run_id) for rows in pieces]
            pieces = [rows for rows in pieces if rows.num_rows]
            return encode_table(pa.concat_tables(pieces)) if pieces else None
        return encode_table(pa.concat_tables(pieces)) if pieces else _encode_empty(table)

    def put(self, key: str, data: bytes) -> None:
        """Write a record; write a table's file beside the table, to be committed."""
        parts = _data_parts(key)
        if parts is None:
            self._files.put(key, data)
            return
        rows = decode_table(data)
        if parts.run_id is not None:
            rows = pa.concat_tables([self._other_runs(parts), rows], promote_options="default")
        self._stage(str(parts.table), _slot(parts), rows)

    def delete(self, key: str) -> None:
        """Remove a record; take a file out of its table with the next commit."""
        parts = _data_parts(key)
        if parts is None:
            self._files.delete(key)
            return
        table = str(parts.table)
        rows = SCHEMAS[table].empty_table()
        self._stage(table, _slot(parts), rows if parts.run_id is None else self._other_runs(parts))

    def commit(self, note: RunNote) -> None:
        """Swap in what was put, table by table; partitions that are the same are left alone."""
        for table in _COMMIT_ORDER:
            if table in self._staged:
                self._commit_table(table, note)
                del self._staged[table]
                self._known.pop(table, None)

    def list(self, prefix: str) -> list[StoredFile]:
        """Records and foreign files as they are, and a key for each partition with rows."""
        if prefix.startswith("_meta"):
            return [file for file in self._files.list(prefix) if not self._tables.owns(file.key)]
        self._known.clear()
        found = dict[str, int]()
        for table in SCHEMAS:
            if not prefix or prefix.strip("/") == table:
                found |= self._keys(table)
        if not prefix:
            for file in self._files.list(""):
                if self._tables.owns(file.key):
                    continue
                if _data_parts(file.key):
                    raise LakeError(
                        f"{self.url} is a lake of format {self.format}, but it holds a file of a "
                        f"plain lake: {file.key}. Move it away; nothing reads it.",
                        path=file.key,
                    )
                found[file.key] = file.size
            found |= self._empty_keys(found)
        return sorted(StoredFile(key, size) for key, size in found.items())

    @contextmanager
    def lock(self, key: str) -> Iterator[Lock]:
        """Hold the lock of the store below; what an earlier run left uncommitted is forgotten."""
        with self._files.lock(key) as lock:
            if self._files.warnings and self._tables.needs_conditional_puts:
                raise LakeError(
                    f"{self.url} cannot hold a lake of format {self.format}: "
                    f"{' '.join(self._files.warnings)} Use another store, or --format parquet."
                )
            self._known.clear()
            self._staged.clear()
            self._lock = lock
            try:
                yield lock
            finally:
                self._lock = None

    def _commit_table(self, table: str, note: RunNote) -> None:
        """Commit until the table is as staged: whatever became of the last try, it shows."""
        for number in range(_TRIES):
            known = self._tables.files(table)
            changed = {
                slot: file
                for slot, file in sorted(self._staged[table].items())
                if not self._is_there(file, (known or {}).get(slot, ()))
            }
            if not changed and known is not None:
                return
            added = [file for file in changed.values() if file is not None]
            removed = [file for slot in changed for file in (known or {}).get(slot, ())]
            if self._lock:
                self._lock.keep()  # after the look: the format refuses what changes from here on
            try:
                self._tables.swap(table, added, removed, note)
                return
            except LakeError:
                if number + 1 == _TRIES:
                    raise
            self._clock.sleep(min(0.1 * 2**number, 1))

    def _is_there(self, new: TableFile | None, known: Sequence[TableFile]) -> bool:
        """Whether a partition's files are just the new one, or hold its bytes intact."""
        if new is None or len(known) != 1:
            return new is None and not known
        if new.key == known[0].key:
            return True
        if new.sha256 != known[0].sha256:
            return False
        data = self._files.read(known[0].key)
        return data is not None and hashlib.sha256(data).hexdigest() == new.sha256

    def _content(self, table: str, slot: Slot) -> Sequence[TableFile]:
        """The files of a partition as this run sees them: staged, else committed."""
        staged = self._staged.get(table, {})
        if slot in staged:
            file = staged[slot]
            return () if file is None else (file,)
        if table not in self._known:
            self._known[table] = self._tables.files(table) or {}
        return self._known[table].get(slot, ())

    def _decode(self, table: str, slot: Slot, file: TableFile, data: bytes) -> pa.Table | None:
        """The rows of a data file; None if it is not as it was written."""
        if file.sha256 not in (None, hashlib.sha256(data).hexdigest()):
            return None
        try:
            rows = self._tables.decode(table, slot, data)
        except LakeError:
            return None
        if table != RUNS:
            return rows
        # A day's runs share a file: those of an earlier version get the later columns sooner or later.
        return pa.concat_tables([SCHEMAS[RUNS].empty_table(), rows], promote_options="default")

    def _other_runs(self, parts: KeyParts) -> pa.Table:
        """The runs of the same day; those of a damaged file are lost, as verify will have said."""
        pieces = [SCHEMAS[RUNS].empty_table()]
        slot = _slot(parts)
        for file in self._content(RUNS, slot):
            rows = self._decode(RUNS, slot, file, self._files.read(file.key) or b"")
            if rows is not None:
                pieces.append(rows)
        rows = pa.concat_tables(pieces, promote_options="default")
        return rows.filter(pc.field("run_id") != parts.run_id)

    def _stage(self, table: str, slot: Slot, rows: pa.Table) -> None:
        staged = self._staged.setdefault(table, {})
        before, file = staged.get(slot), None
        if rows.num_rows:
            data = self._tables.encode(slot, rows)
            name = f"{hashlib.sha256(data).hexdigest()}-{self._token}.parquet"
            file = self._tables.new_file(table, slot, name, data)
            self._files.put(file.key, data)
        staged[slot] = file
        if before is not None and (file is None or before.key != file.key):
            self._files.delete(before.key)  # it was never part of a table

    def _keys(self, table: str) -> dict[str, int]:
        """The keys of a table's partitions, and about how large each is."""
        files = self._known[table] = self._tables.files(table) or {}
        found = dict[str, int]()
        for slot, parts in files.items():
            project_id, partition = slot
            size = sum(file.size for file in parts)
            if partition is None:
                found[inventory_key(table, project_id)] = size
            elif table != RUNS:
                found[partition_path(table, partition, project_id)] = size
            else:
                for run_id in self._run_ids(slot):
                    found[run_key(partition, project_id, run_id)] = size
        return found

    def _run_ids(self, slot: Slot) -> Iterator[str]:
        for file in self._content(RUNS, slot):
            rows = self._decode(RUNS, slot, file, self._files.read(file.key) or b"")
            if rows is not None:
                yield from rows["run_id"].to_pylist()

    def _empty_keys(self, found: Mapping[str, int]) -> dict[str, int]:
        """Files without rows that the records name: of them nothing is left in a table."""
        named = dict[str, int]()
        for project_id in {parts.project_id for key in found if (parts := parse_key(key))}:
            if project_id is None:
                continue
            manifest = self._files.read(meta_key(project_id, "manifest.json"))
            if known := decode_record(manifest, Manifest):
                named |= {key: entry.rows for key, entry in known.files.items()}
            pending = self._files.read(meta_key(project_id, "pending.json"))
            if announced := decode_record(pending, Pending):
                for key, versions in announced.files.items():
                    rows = [entry.rows for entry in versions]
                    named[key] = min([*rows, named.get(key, rows[0])]) if rows else 1
        return {
            key: 0
            for key, rows in named.items()
            if rows == 0 and key not in found and (parts := parse_key(key)) and parts.kind != "run"
        }


@cache
def _encode_empty(table: str) -> bytes:
    return encode_table(SCHEMAS[table].empty_table())


def _data_parts(key: str) -> KeyParts | None:
    """What a key of a table's file names; None for every other key."""
    parts = parse_key(key)
    return parts if parts is not None and parts.kind in ("table", "run", "inventory") else None


def _slot(parts: KeyParts) -> Slot:
    return str(parts.project_id), parts.partition
