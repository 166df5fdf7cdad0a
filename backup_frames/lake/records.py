"""What a project's records say, made to fit its files whatever happened to the last run.

In: a store and a project id. Out: manifest, state and what the last run left pending, such that
the manifest names each file as it is. Nothing is written here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from functools import cache

import pyarrow as pa

from backup_frames.errors import ConfigError, LakeError
from backup_frames.frames.partitions import NO_DATE, decode_table, partition_path

from .counts import count_days, count_unknown_begin
from .documents import (
    LAYOUT_VERSION,
    FileEntry,
    LakeRecord,
    Manifest,
    Pending,
    State,
    decode_record,
    describe_file,
)
from .layout import INVENTORY_NAMES, LAKE_KEY, RUNS, TABLE_NAMES, meta_key, parse_key
from .ledger import LEDGER_SCHEMAS
from .spans import DAY_S, Grain, day_of, partition_span
from .store import Store


@dataclass
class ProjectRecords:
    """A project's records in memory.

    Attributes:
        manifest: every file, as it is.
        state: None if it is lost: then everything is read again.
        pending: what an unfinished run may have written; None after a finished one.
        is_listed: the store was listed just now: what the manifest lacks does not exist.
        announced: partitions of which an unfinished run put files in place.
        torn: partitions of which an unfinished run put some files in place and not the others:
            they must be read again.
        child_changed: of torn partitions, ids whose children were replaced, so that comparing no
            longer shows their change.
    """

    manifest: Manifest
    state: State | None
    pending: Pending | None
    is_listed: bool
    announced: set[date] = field(default_factory=set)
    torn: list[date] = field(default_factory=list)
    child_changed: dict[date, list[str]] = field(default_factory=dict)

    def partitions(self) -> set[date]:
        """The partitions that the manifest names."""
        parts = filter(None, map(parse_key, self.manifest.files))
        return {one.partition for one in parts if one.table == "backups" and one.partition}


def read_grain(store: Store, project_id: str, wanted: Grain | None) -> tuple[Grain, bool]:
    """How the lake is cut, and whether it says so itself (else from the project's manifest).

    Raises:
        ConfigError: the lake is cut otherwise than wanted.
        LakeError: it was made by a later version.
    """
    record = decode_record(store.read(LAKE_KEY), LakeRecord)
    if record is not None and record.layout_version != LAYOUT_VERSION:
        raise LakeError(
            f"{store.url} has layout version {record.layout_version}, this version of "
            f"backup-frames knows {LAYOUT_VERSION}. Update backup-frames.",
            path=LAKE_KEY,
        )
    manifest = None
    if record is None:
        manifest = decode_record(store.read(meta_key(project_id, "manifest.json")), Manifest)
    known = record or manifest
    if known is None:
        return wanted or "day", False
    if wanted is not None and wanted != known.partition_by:
        raise ConfigError(
            f"{store.url} is partitioned by {known.partition_by}, not by {wanted}, and that "
            "cannot be changed. Leave the setting out, or sync into a new lake."
        )
    return ("month" if known.partition_by == "month" else "day"), record is not None


def read_records(store: Store, project_id: str, grain: Grain) -> ProjectRecords:
    """Read a project's records and make them fit its files.

    A lost manifest is made anew from the files (all are read) and the state is given up. After
    an unfinished run the files it named beforehand are looked at, each as it is now.
    """
    pending_data = store.read(meta_key(project_id, "pending.json"))
    pending = decode_record(pending_data, Pending)
    manifest = decode_record(store.read(meta_key(project_id, "manifest.json")), Manifest)
    if manifest is None or (pending_data is not None and pending is None):
        return ProjectRecords(_rebuild_manifest(store, project_id, grain), None, pending, True)
    state = decode_record(store.read(meta_key(project_id, "state.json")), State)
    records = ProjectRecords(manifest, state, pending, False)
    if pending is not None:
        _settle(store, records, pending, grain)
    return records


def load_table(store: Store, records: ProjectRecords, table: str, partition: date) -> pa.Table:
    """A table of one partition as it is stored, empty if it does not exist.

    Raises:
        LakeError: the file is damaged or missing.
    """
    key = partition_path(table, partition, records.manifest.project_id)
    return load_file(store, records, key, LEDGER_SCHEMAS[table])


def load_file(store: Store, records: ProjectRecords, key: str, schema: pa.Schema) -> pa.Table:
    """The table in one file as it is stored, empty if it does not exist; see `load_table`."""
    entry = records.manifest.files.get(key)
    data = None if entry is None and records.is_listed else store.read(key)
    if data is None and entry is None:
        return _empty_table(schema)
    if data is None or (entry is not None and describe_file(data, entry.rows) != entry):
        problem = "is missing" if data is None else "is not as it was written"
        raise LakeError(
            f"{key} of {store.url} {problem}. Nothing was marked gone; run "
            "`backup-frames verify --repair`, then sync again.",
            path=key,
        )
    return decode_table(data, rows=entry.rows if entry else None)


_empty_table = cache(pa.Schema.empty_table)


def recount_partition(
    state: State, partition: date, grain: Grain, backups: pa.Table, verified_at_s: int
) -> None:
    """Bring the state's days of a partition up to its rows; what was verified stays so."""
    begin_s, end_s = partition_span(partition, grain)
    days = count_days(backups, verified_at_s)
    for day in (day_of(second).isoformat() for second in range(begin_s, end_s, DAY_S)):
        old = state.days.pop(day, None)
        if old is not None and day in days:
            days[day].verified_at_s = old.verified_at_s
            days[day].cursor_s, days[day].cursor_at_s = old.cursor_s, old.cursor_at_s
    state.days |= days
    if partition == NO_DATE:
        state.unknown_begin = count_unknown_begin(backups)


def _rebuild_manifest(store: Store, project_id: str, grain: Grain) -> Manifest:
    manifest = Manifest(project_id, grain)
    for table in (*TABLE_NAMES, RUNS, *INVENTORY_NAMES):
        for file in store.list(table):
            parts = parse_key(file.key)
            if parts is not None and parts.project_id == project_id:
                entry = _read_entry(store, file.key)
                if entry is not None:
                    manifest.files[file.key] = entry
    return manifest


def _read_entry(store: Store, key: str) -> FileEntry | None:
    """The entry of a file as it is, None if it is missing or no Parquet."""
    data = store.read(key)
    if data is None:
        return None
    try:
        return describe_file(data, decode_table(data).num_rows)
    except LakeError:
        return None


def _settle(store: Store, records: ProjectRecords, pending: Pending, grain: Grain) -> None:
    """Find out which of the files an unfinished run announced are in place."""
    is_done = defaultdict[date, dict[str, bool]](dict)
    for key, versions in pending.files.items():
        data = store.read(key)
        sha256 = describe_file(data, 0).sha256 if data is not None else None
        found = [version for version in versions if version.sha256 == sha256]
        if found:
            records.manifest.files[key] = found[0]
        parts = parse_key(key)
        if parts is not None and parts.kind == "run" and data is None:
            records.manifest.files.pop(key, None)  # the run died before it wrote its row
        if parts is None or parts.partition is None or parts.table not in TABLE_NAMES:
            continue
        is_done[parts.partition][parts.table] = bool(found)
        if found and data is not None and parts.table == "backups" and records.state is not None:
            recount_partition(
                records.state,
                parts.partition,
                grain,
                decode_table(data, rows=found[0].rows),
                pending.as_of_s,
            )
    for partition, tables in sorted(is_done.items()):
        if any(tables.values()):
            records.announced.add(partition)
        if any(tables.values()) and not all(tables.values()):
            records.torn.append(partition)
            if not tables.get("backups", True):
                ids = pending.child_changed.get(partition.isoformat(), [])
                records.child_changed[partition] = ids
