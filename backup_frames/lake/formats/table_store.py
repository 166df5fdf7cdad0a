"""A lake whose tables keep their own list of files: Delta Lake or Iceberg, seen as a store.

In: keys and bytes, as of every store. Out: the same keys; under each of a table's the data file that
holds that partition of that project, as it lies there. It is encoded once, as its format wants it, and
decoded once; manifest, verify, repair and what follows a crash are the same for all formats. Two kinds
of keys have no file of their own, so their bytes are made of rows: runs, since those of a day share a
file, and partitions that another program has written anew. What is put lies beside the tables, unseen
by their readers, until `commit` swaps it in: one commit per table, children first.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...clock import Clock
from ...errors import LakeError
from ...frames.deduplicate import sort_table
from ...frames.partitions import partition_path
from ...frames.schema import with_present_names
from ..storage.layout import (
    INVENTORY_NAMES,
    RUNS,
    TABLE_NAMES,
    KeyParts,
    inventory_key,
    parse_key,
    run_key,
)
from ..storage.store import Lock, RunNote, Store, StoredFile
from .empty_files import keys_without_rows
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
        self._runs = dict[str, pa.Table | None]()  # by key of a data file, which is never rewritten
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
        """A record, or the data file of a partition, as it is.

        A partition without rows leaves nothing in a table: it reads as an empty file.
        """
        parts = _data_parts(key)
        if parts is None:
            self._known.clear()  # records speak of files as new as they are
            return self._files.read(key)
        table, slot = str(parts.table), _slot(parts)
        files = self._content(table, slot)
        if parts.run_id is not None:
            return self._read_run(slot, files, parts.run_id)
        if not files:
            return self._tables.encode(slot, SCHEMAS[table].empty_table())
        if len(files) == 1 and files[0].sha256 is not None:
            return self._files.read(files[0].key)
        pieces = []
        for file in files:
            data = self._files.read(file.key)
            rows = None if data is None else self._decode(table, file, data)
            if rows is None:
                return data
            pieces.append(rows)
        return self._tables.encode(slot, sort_table(pa.concat_tables(pieces)))

    def encode(self, key: str, rows: pa.Table) -> bytes:
        """The bytes of the data file, as the format wants it."""
        return self._tables.encode(_slot(_parts_of(key)), rows)

    def decode(self, key: str, data: bytes, *, rows: int | None = None) -> pa.Table:
        """The rows of a data file, under the table's own schema.

        Raises:
            LakeError: also if the file's name says that it had other bytes.
        """
        parts = _parts_of(key)
        table, slot = str(parts.table), _slot(parts)
        files = self._content(table, slot)
        if len(files) == 1 and parts.run_id is None and not _is_intact(files[0], data):
            raise LakeError(f"A file of {len(data)} bytes is not as it was written.")
        return self._tables.decode(table, slot, data, rows=rows)

    def put(self, key: str, data: bytes) -> None:
        """Write a record; write a table's file beside the table, to be committed."""
        parts = _data_parts(key)
        if parts is None:
            self._files.put(key, data)
            return
        table, slot = str(parts.table), _slot(parts)
        if parts.run_id is not None:
            others = self._other_runs(parts)
            if others.num_rows:
                run = self._tables.decode(table, slot, data)
                rows = pa.concat_tables([others, run], promote_options="default")
                data = self._tables.encode(slot, sort_table(rows))
        self._stage(table, slot, data)

    def delete(self, key: str) -> None:
        """Remove a record; take a file out of its table with the next commit."""
        parts = _data_parts(key)
        if parts is None:
            self._files.delete(key)
            return
        others = self._other_runs(parts) if parts.run_id is not None else None
        data = self._tables.encode(_slot(parts), others) if others else None
        self._stage(str(parts.table), _slot(parts), data)

    def is_blocked(self, key: str) -> bool:
        """A record as below; no data file is written over another."""
        return _data_parts(key) is None and self._files.is_blocked(key)

    def expect(self, keys: Iterable[str]) -> None:
        """Nothing: where a file will lie depends on its bytes."""

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
            found |= keys_without_rows(self._files, found)
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
        return data is not None and _is_intact(known[0], data)

    def _content(self, table: str, slot: Slot) -> Sequence[TableFile]:
        """The files of a partition as this run sees them: staged, else committed."""
        staged = self._staged.get(table, {})
        if slot in staged:
            file = staged[slot]
            return () if file is None else (file,)
        if table not in self._known:
            self._known[table] = self._tables.files(table) or {}
        return self._known[table].get(slot, ())

    def _decode(self, table: str, file: TableFile, data: bytes) -> pa.Table | None:
        """The rows of a data file; None if it is not as it was written."""
        if not _is_intact(file, data):
            return None
        try:
            return self._tables.decode(table, file.slot, data)
        except LakeError:
            return None

    def _read_run(self, slot: Slot, files: Sequence[TableFile], run_id: str) -> bytes | None:
        """A run's row as a file of its own; the shared one as it is, if that is damaged."""
        for file in files:
            rows = self._runs_in(file)
            if rows is None:
                return self._files.read(file.key)
            run = rows.filter(pc.field("run_id") == run_id)
            if run.num_rows:
                return self._tables.encode(slot, run)
        return None

    def _runs_in(self, file: TableFile) -> pa.Table | None:
        """The runs of a day; None if their file is damaged.

        Those of an earlier version get the later columns sooner or later.
        """
        if file.key not in self._runs:
            rows = self._decode(RUNS, file, self._files.read(file.key) or b"")
            rows = rows and with_present_names(rows)
            none = SCHEMAS[RUNS].empty_table()
            self._runs[file.key] = rows and pa.concat_tables(
                [none, rows], promote_options="default"
            )
        return self._runs[file.key]

    def _other_runs(self, parts: KeyParts) -> pa.Table:
        """The runs of the same day; those of a damaged file are lost, as verify will have said."""
        found = map(self._runs_in, self._content(RUNS, _slot(parts)))
        pieces = [SCHEMAS[RUNS].empty_table(), *(rows for rows in found if rows is not None)]
        rows = pa.concat_tables(pieces, promote_options="default")
        return rows.filter(pc.field("run_id") != parts.run_id)

    def _stage(self, table: str, slot: Slot, data: bytes | None) -> None:
        staged = self._staged.setdefault(table, {})
        before, file = staged.get(slot), None
        if data is not None and pq.read_metadata(pa.BufferReader(data)).num_rows:
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
            rows = self._runs_in(file)
            if rows is not None:
                yield from rows["run_id"].to_pylist()


def _data_parts(key: str) -> KeyParts | None:
    """What a key of a table's file names; None for every other key."""
    parts = parse_key(key)
    return parts if parts is not None and parts.kind in ("table", "run", "inventory") else None


def _parts_of(key: str) -> KeyParts:
    parts = _data_parts(key)
    if parts is None:
        raise LakeError(f"{key!r} is no data file of a lake.", path=key)
    return parts


def _is_intact(file: TableFile, data: bytes) -> bool:
    """Whether a data file has the bytes that its name speaks of, if it speaks of any."""
    return file.sha256 in (None, hashlib.sha256(data).hexdigest())


def _slot(parts: KeyParts) -> Slot:
    return str(parts.project_id), parts.partition
