"""Makes a damaged lake sound again: reads damaged partitions from the service, and only those.

In: a reader, a store. Out: the partitions as they were, as far as the damaged files or the service
still know, and findings that say what neither does.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date

import pyarrow as pa

from ...clock import Clock
from ...errors import LakeConflictError, LakeError
from ...frames.partitions import NO_DATE, partition_path
from ...frames.schema import LEDGER_SCHEMAS, TABLES, as_written
from ...lake.ledger.collect import FreshPartition, PartitionCollector
from ...lake.ledger.merge import LedgerTables, Proof, mark_gone, merge_fresh
from ...lake.ledger.metadata import FileEntry, InventoryState, Pending, describe_file
from ...lake.ledger.recovery import read_records, recount_partitions, survey_ledger
from ...lake.ledger.writer import LakeWriter
from ...lake.storage.layout import CHANGES_OF, INVENTORY_NAMES, meta_key, parse_key
from ...lake.storage.store import Lock, RunNote, Store
from ...scan.plan import to_moment
from ...scan.ranges import clip_spans, merge_spans, partition_span
from ..planning.proof import has_failures
from ..planning.reader import Reader
from .check import NOT_REPAIRED, Finding, check_project
from .flips import undo_flip
from .salvage import Salvage, complete_backups, fit_children, is_of_partition, salvage_table


def repair_project(reader: Reader, store: Store, *, project_id: str, clock: Clock) -> list[Finding]:
    """Read a project's damaged partitions again and write them anew.

    A single flipped bit is found by the manifest's sha256 and undone. Of any other damaged file
    every column is kept whose pages are intact; the rest comes from the service.
    Costs the requests that the damaged partitions take.

    Returns:
        What could not be brought back, each of kind ``lost``; empty if nothing was damaged.

    Raises:
        LakeConflictError: a sync runs.
        LakeError: the lake cannot be read or written.
        FetchError: the service failed; nothing was written.
    """
    with store.lock(meta_key(project_id, "lock")) as lock:
        return _Repair(reader, store, project_id, clock, lock).run()


class _Repair:
    def __init__(
        self, reader: Reader, store: Store, project_id: str, clock: Clock, lock: Lock
    ) -> None:
        self._reader = reader
        self._store = store
        self._lock = lock
        self._project_id = project_id
        findings = check_project(store, project_id, store.list(""))
        self._paths = {finding.path for finding in findings if finding.kind not in NOT_REPAIRED}
        self._records = read_records(store, project_id)
        self._grain = self._records.grain
        self._state = self._records.state or survey_ledger(store, self._records)
        self._lost = list[Finding]()
        self._writer = LakeWriter(
            store=store,
            lock=lock,
            clock=clock,
            records=self._records,
            pending=self._records.pending or Pending(project_id, "repair", reader.now_s),
        )

    def run(self) -> list[Finding]:
        undone = {path for path in sorted(self._paths) if self._undo_flip(path)}
        self._paths -= undone
        # What stands in a file's way is for somebody to move; the findings go on saying so.
        blocked = {path for path in self._paths if parse_key(path) and self._store.is_blocked(path)}
        self._paths -= blocked
        parts = {path: found for path in sorted(self._paths) if (found := parse_key(path))}
        blocked_days = {found.partition for path in blocked if (found := parse_key(path))}
        parts = {path: one for path, one in parts.items() if one.partition not in blocked_days}
        partitions = {found.partition for found in parts.values() if found.kind == "table"}
        read = self._read({day for day in partitions if day is not None})
        self._take_moment()
        if undone:
            as_of_s = self._writer.pending.as_of_s
            self._store.commit(RunNote(self._project_id, "repair", as_of_s, "repair"))
        for fresh in read:
            self._repair(fresh)
        for path, found in parts.items():
            if found.kind in ("run", "inventory"):
                self._adopt_or_drop(path, str(found.table))
        if parts or self._records.is_new:
            # A torn partition of an unfinished sync is for the next sync to read again.
            self._writer.commit(self._state, verdict="repair", is_finished=not self._records.torn)
        return self._lost

    def _take_moment(self) -> None:
        """The service's moment, and never before the ledger's newest."""
        self._reader.correct_clock()
        self._writer.pending.as_of_s = max(self._reader.now_s, self._state.newest_s)
        self._as_of = to_moment(self._writer.pending.as_of_s)

    def _undo_flip(self, path: str) -> bool:
        """Put a file back as it was written, if it is a single bit that differs."""
        entry = self._records.manifest.files.get(path)
        data = self._read_file(path)
        if entry is None or data is None or len(data) != entry.size:
            return False
        whole = undo_flip(data, entry.sha256)
        if whole is not None:
            self._lock.check()
            self._store.put(path, whole)
        return whole is not None

    def _read_file(self, path: str) -> bytes | None:
        try:
            return self._store.read(path)
        except LakeConflictError:
            raise
        except LakeError:
            return None  # a file that cannot be read is as good as none

    def _read(self, damaged: Collection[date]) -> list[FreshPartition]:
        """The damaged partitions as the service has them now, each once."""
        everything = (self._reader.begin_floor_s, self._reader.end_ceiling_s)
        is_full = NO_DATE in damaged  # rows without begin time come with a full read only
        spans = merge_spans(partition_span(day, self._grain) for day in damaged)
        spans = [everything] if is_full else clip_spans(spans, everything)
        collector = PartitionCollector(spans, is_full=is_full, stored=damaged, grain=self._grain)
        read = dict[date, FreshPartition]()
        for part in self._reader.scan(spans, is_full=is_full) if spans else ():
            read |= {one.partition: one for one in collector.add(part) if one.partition in damaged}
        for one in collector.finish():
            if one.partition in damaged:
                read.setdefault(one.partition, one)
        if has_failures(self._reader.certificate):  # then what was not shown may be there
            read = {day: replace(one, proof=Proof()) for day, one in read.items()}
        return [read.get(day, FreshPartition(day, [], Proof())) for day in sorted(damaged)]

    def _repair(self, fresh: FreshPartition) -> None:
        partition = fresh.partition
        stored = LedgerTables(**{name: self._saved(name, fresh) for name in LEDGER_SCHEMAS})
        merge = merge_fresh(stored, fresh.fresh, fresh.proof, as_of=self._as_of)
        backups = mark_gone(merge.tables.backups, merge.absent, as_of=self._as_of)
        tables, childless = fit_children(merge.tables._replace(backups=backups))
        for name, count in childless.items():
            if count:
                message = f"The rows below {count} that the service no longer has are lost."
                self._say_lost(name, partition, message)
        for name in LEDGER_SCHEMAS:
            self._records.manifest.files.pop(self._path(name, partition), None)
        self._writer.stage(partition, tables._asdict())
        rows = {partition: tables.backups}
        recount_partitions(self._state, rows, self._grain, self._reader.now_s)

    def _saved(self, name: str, fresh: FreshPartition) -> pa.Table:
        """A table as it is stored; of a damaged one what can still be known."""
        path = self._path(name, fresh.partition)
        if path not in self._paths:
            return self._writer.load_one(name, fresh.partition)
        entry = self._records.manifest.files.get(path)
        data = self._read_file(path)
        rows = self._decode(path, data)
        is_whole = rows is not None and rows.schema.equals(LEDGER_SCHEMAS[name])
        saved = Salvage(rows, ()) if is_whole else salvage_table(data, name)
        if saved and not is_of_partition(saved, fresh.partition, self._grain, self._project_id):
            saved = None
        if name != "backups":  # what the service sends is taken for what was lost: no change
            same = {"backup_databases": fresh.fresh.databases, "backup_tables": fresh.fresh.tables}
            return saved.rows if saved else same[name]
        rows, problems = complete_backups(
            saved, fresh.fresh.backups, project_id=self._project_id, as_of=self._as_of
        )
        found = saved.rows.num_rows if saved else 0
        if saved is None or (entry and found < entry.rows):
            problems.append(_few_saved(entry, found, fresh.fresh.backups.num_rows))
        for problem in problems:
            self._say_lost(name, fresh.partition, problem)
        return rows

    def _decode(self, path: str, data: bytes | None) -> pa.Table | None:
        """The rows of a file that is sound in itself; None if it is not."""
        try:
            return self._store.decode(path, data or b"")
        except LakeError:
            return None

    def _adopt_or_drop(self, path: str, table: str) -> None:
        """A run's row or an inventory, history and all: record it if it can be read, else drop it.

        A dropped inventory is read again by the next sync, without its history; dropped changes are
        known to nobody else.
        """
        data = self._read_file(path)
        known = self._records.manifest.files.pop(path, None)
        rows = self._decode(path, data)
        is_known_schema = rows is not None and rows.schema.equals(
            as_written(TABLES[table], rows.column_names)
        )
        if data is not None and rows is not None and known is None and is_known_schema:
            self._records.manifest.files[path] = describe_file(data, rows.num_rows)
            return
        self._store.delete(path)
        message = "The row of this run is lost."
        if table in CHANGES_OF:
            message = f"The changes of {CHANGES_OF[table]} up to now are lost."
        elif table in INVENTORY_NAMES:
            self._state.inventory = InventoryState()
            message = f"The history of {table} is lost; the next sync reads them again."
        self._lost.append(Finding(path, "lost", message))

    def _say_lost(self, table: str, partition: date, message: str) -> None:
        self._lost.append(Finding(self._path(table, partition), "lost", message))

    def _path(self, table: str, partition: date) -> str:
        return partition_path(table, partition, self._project_id)


def _few_saved(entry: FileEntry | None, found: int, present: int) -> str:
    held = str(entry.rows) if entry else "an unknown number of"
    return (
        f"Of {held} backups {found} could be read from the file; {present} are on the service's "
        "list. What only the list has counts as first seen now, what neither has is lost."
    )
