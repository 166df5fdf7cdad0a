"""The inventory in the lake: which instances there are, and what their policies promise.

In: an `InventoryReader`, and a lake whose ledger has just been brought up to date. Out:
``instances/<project_id>.parquet`` and ``backup_policies/<project_id>.parquet``, current state with
history: an instance that left the list keeps its row, and each change of a value is a row of
``backup_policy_changes`` or ``instance_changes``. Instances are read once a day, policies when
their instance is new or changed, and each once a week. What the service refuses is a warning: it
says nothing about the backups.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ..clock import Clock
from ..errors import AuthError, FetchError, RejectedError, SchemaError
from ..frames.inventory_rows import upgrade_policies
from ..frames.schema import TABLES
from ..lake.ledger.metadata import InventoryState, Pending, State, decode_record, encode_record
from ..lake.ledger.recovery import DamagedFileError, load_file, read_records
from ..lake.ledger.writer import LakeWriter
from ..lake.storage.layout import CHANGES_OF, INVENTORY_NAMES, inventory_key, meta_key
from ..lake.storage.store import Lock, Store
from ..scan.plan import to_moment
from ..scan.ranges import DAY_S
from .apply import GUARD_ADVICE, looks_like_a_fault
from .inventory_changes import VOLATILE, Row, append_changes, append_readable
from .report import SyncReport

if TYPE_CHECKING:
    from ..read.inventory import InventoryReader

DUE_AFTER_S: Final = DAY_S - 1800
"""A day, less what a daily timer may come early."""
REREAD_WITHIN_S: Final = 7 * DAY_S
"""In so many seconds each policy is asked again, changed instance or not."""


def sync_inventory(
    reader: InventoryReader,
    store: Store,
    lock: Lock,
    report: SyncReport,
    *,
    clock: Clock,
    is_full: bool = False,
    allow_mass_deletion: bool = False,
) -> SyncReport:
    """Bring a project's inventory up to date, if a day has passed; to be called after its ledger.

    Costs one read of the store and no request if nothing is due; else the list of instances and
    one request per policy to be asked.

    Args:
        reader: asks the service.
        store: the lake; the project's ledger is committed.
        lock: the project's, held.
        report: of the run that committed the ledger.
        clock: for durations.
        is_full: read all instances and policies, due or not.
        allow_mass_deletion: mark gone also more than a fifth of the instances at once.

    Returns:
        The report with ``inventory`` and ``warnings``, requests and files added up. A file of the
        inventory that is damaged is left alone and named; without the instances nothing is asked.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    state = decode_record(store.read(meta_key(report.project_id, "state.json")), State)
    known = state.inventory if state is not None else InventoryState()
    as_of = report.as_of
    since_s = int(as_of.timestamp()) - (known.as_of_s or 0)
    is_due = is_full or not 0 <= since_s < DUE_AFTER_S
    if not is_due and 0 not in known.policies.values():
        return report
    run = _InventoryRun(reader, store, lock, report, clock, as_of)
    if run.damaged.keys() & {"instances", *CHANGES_OF}:
        return run.commit()
    if not is_due:
        run.update_policies(since_s=0)
    elif run.update_instances(allow_mass_deletion=allow_mass_deletion):
        run.update_policies(since_s=REREAD_WITHIN_S if is_full else since_s)
    return run.commit()


@dataclass(frozen=True)
class _Merge:
    """Rows by instance id as they should be, and the ids that are not as they were."""

    rows: dict[str, Row]
    new: set[str]
    changed: set[str]
    absent: set[str]


class _InventoryRun:
    def __init__(
        self,
        reader: InventoryReader,
        store: Store,
        lock: Lock,
        report: SyncReport,
        clock: Clock,
        as_of: datetime,
    ) -> None:
        project_id = report.project_id
        self._records = read_records(store, project_id)
        self._state = self._records.state or State(project_id)
        self._state_before = encode_record(self._state)
        self._clock, self._started_s = clock, clock.monotonic()
        self._reader = reader
        self._report = report
        self._as_of = as_of
        self._requests_before = reader.requests
        self.damaged = dict[str, DamagedFileError]()
        stored = {name: self._load_table(store, name) for name in CHANGES_OF.values()}
        stored["backup_policies"] = upgrade_policies(stored["backup_policies"])
        self._rows = {
            name: {row["instance_id"]: row for row in table.to_pylist()}
            for name, table in stored.items()
        }
        self._before = {name: dict(rows) for name, rows in self._rows.items()}
        self._read_at = self._last_reads()
        self._history = {name: self._load_table(store, name).to_pylist() for name in CHANGES_OF}
        self._counts = dict.fromkeys(("present", "new", "changed", "gone", "policies_asked"), 0)
        self._warnings = list[str]()
        self._readable = dict[str, bool]()
        self._writer = LakeWriter(
            store=store,
            lock=lock,
            clock=clock,
            records=self._records,
            pending=Pending(project_id, report.run_id, int(as_of.timestamp())),
        )

    def update_instances(self, *, allow_mass_deletion: bool) -> bool:
        """Read and merge the instances; False if they could not be read."""
        try:
            fresh, is_proven = self._reader.instances()
        except (FetchError, SchemaError) as error:
            as_of_s = self._state.inventory.as_of_s
            coverage = "Until they are, coverage cannot be known."
            if as_of_s is not None:
                coverage = f"Coverage is that of {to_moment(as_of_s):%Y-%m-%d %H:%M} UTC."
            self._warnings.append(f"The instances were not read. {coverage} {error}")
            if isinstance(error, AuthError | RejectedError):  # then no policy is asked for either
                self._readable |= dict.fromkeys(self._rows["backup_policies"], False)
            return False
        known, before = self._state.inventory, self._rows["instances"]
        merge = _merge_rows(before, fresh, self._as_of)
        present = sum(row["gone_at"] is None for row in before.values())
        count = len(merge.absent)
        is_much = looks_like_a_fault(count, present, fresh.num_rows) and not allow_mass_deletion
        if not is_proven:
            self._warnings.append(
                "The list of instances changed with every pass, so none was marked gone. The next "
                "run reads it again."
            )
        elif is_much:
            self._warnings.append(
                f"{count:,} of {present:,} instances are no longer listed. {GUARD_ADVICE}"
            )
        else:
            _mark_gone(merge.rows, merge.absent, self._as_of)
            _mark_gone(self._rows["backup_policies"], merge.absent, self._as_of)
            if not self.damaged:
                known.as_of_s = int(self._as_of.timestamp())
            self._counts["gone"] = count
        self._counts |= {"new": len(merge.new), "changed": len(merge.changed)}
        self._rows["instances"] = merge.rows
        is_owed = merge.new | merge.changed
        known.policies = {
            instance_id: 0 if instance_id in is_owed else known.policies.get(instance_id, 0)
            for instance_id, row in merge.rows.items()
            if row["gone_at"] is None
        }
        return True

    def update_policies(self, *, since_s: int) -> None:
        """Ask for the policies that are owed, and for some that were not asked for long."""
        asked_at = self._state.inventory.policies
        owed = sorted(instance_id for instance_id, at in asked_at.items() if not at)
        others = sorted((at, instance_id) for instance_id, at in asked_at.items() if at)
        some = others[: ceil(len(asked_at) * since_s / REREAD_WITHIN_S)]
        ids = [*owed, *(instance_id for _, instance_id in some)]
        if not ids or self.damaged:
            return
        table, read = self._reader.policies(ids)
        merge = _merge_rows(self._rows["backup_policies"], table, self._as_of)
        self._rows["backup_policies"] = merge.rows
        answered = [*read.policies, *read.missing, *read.refused]
        if isinstance(read.stopped_by, AuthError | RejectedError):
            self._readable |= dict.fromkeys(self._rows["backup_policies"], False)
        self._readable |= dict.fromkeys(answered, False) | dict.fromkeys(read.policies, True)
        asked_at |= dict.fromkeys(answered, int(self._as_of.timestamp()))
        self._counts["policies_asked"] = len(answered)
        if read.stopped_by is not None:
            what = f"{len(ids) - len(answered):,} backup policies were not read."
            self._warnings.append(f"{what} {read.stopped_by}")
        for instance_id, error in list(read.refused.items())[:1]:
            what = f"{len(read.refused):,} backup policies were refused, as that of {instance_id}."
            self._warnings.append(f"{what} {error}")

    def commit(self) -> SyncReport:
        """Write what changed, the state with it, and say what was done."""
        project_id, writer = self._report.project_id, self._writer
        rows = {name: list(found.values()) for name, found in self._rows.items()}
        for name, of in CHANGES_OF.items():
            rows[name] = append_changes(
                self._history[name],
                self._before[of],
                self._rows[of],
                read_at=self._read_at[of],
                seen_at=self._as_of,
            )
        rows["backup_policy_changes"] = append_readable(
            rows["backup_policy_changes"],
            self._rows["backup_policies"],
            self._readable,
            read_at=self._read_at["backup_policies"],
            seen_at=self._as_of,
        )
        # Changes first, lest one be lost; policies before instances, since an instance that looks
        # as stored is not asked for its policy again.
        for name in reversed(INVENTORY_NAMES):
            key = inventory_key(name, project_id)
            # No file says "not known", an empty one "there is none": what was never read has none.
            is_known = name == "instances" and self._state.inventory.as_of_s is not None
            is_stored = rows[name] or is_known or key in self._records.manifest.files
            if is_stored and name not in self.damaged:
                table = pa.Table.from_pylist(rows[name], schema=TABLES[name])
                writer.stage_file(key, table)
        file_count, byte_count = writer.count_files()
        if file_count or encode_record(self._state) != self._state_before:
            writer.commit(self._state, verdict=self._report.verdict, is_finished=True)
        present = sum(row["gone_at"] is None for row in rows["instances"])
        broken = self.damaged.values()
        return replace(
            self._report,
            verdict="incomplete" if broken else self._report.verdict,
            reasons=(*self._report.reasons, *map(str, broken)),
            damaged=(*self._report.damaged, *(str(error.path) for error in broken)),
            duration_s=self._report.duration_s + self._clock.monotonic() - self._started_s,
            inventory=self._counts | {"present": present},
            warnings=(*self._report.warnings, *self._warnings),
            requests=self._report.requests + self._reader.requests - self._requests_before,
            file_count=self._report.file_count + file_count,
            byte_count=self._report.byte_count + byte_count,
        )

    def _load_table(self, store: Store, name: str) -> pa.Table:
        key = inventory_key(name, self._report.project_id)
        try:
            return load_file(store, self._records, key, TABLES[name])
        except DamagedFileError as error:
            self.damaged[name] = error
            return TABLES[name].empty_table()

    def _last_reads(self) -> dict[str, dict[str, datetime]]:
        """When each stored row was last read, by table and instance, where the state knows."""
        known = self._state.inventory
        listed = {} if known.as_of_s is None else dict.fromkeys(known.policies, known.as_of_s)
        seconds = {"instances": listed, "backup_policies": known.policies}
        return {
            name: {one: to_moment(at) for one, at in some.items() if at}
            for name, some in seconds.items()
        }


def _merge_rows(before: dict[str, Row], fresh: pa.Table, as_of: datetime) -> _Merge:
    """Fresh rows over the stored ones; what is absent is only named."""
    rows, new, changed = dict(before), set[str](), set[str]()
    for row in fresh.to_pylist():
        instance_id = row["instance_id"]
        old = before.get(instance_id)
        differing = {name for name in row if old is None or old.get(name) != row[name]}
        if old is None:
            new.add(instance_id)
        elif differing - VOLATILE or old["gone_at"] is not None:
            changed.add(instance_id)
        rows[instance_id] = row | {
            "first_seen_at": old["first_seen_at"] if old else as_of,
            "updated_at": as_of if differing or old is None else old["updated_at"],
            "gone_at": None,
        }
    listed = set(fresh["instance_id"].to_pylist())
    absent = {one for one, row in before.items() if row["gone_at"] is None and one not in listed}
    return _Merge(rows, new, changed, absent)


def _mark_gone(rows: dict[str, Row], ids: Collection[str], as_of: datetime) -> None:
    for instance_id in ids:
        row = rows.get(instance_id)
        if row is not None and row["gone_at"] is None:
            rows[instance_id] = row | {"gone_at": as_of}
