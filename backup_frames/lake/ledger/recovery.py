"""What a project's records say, made to fit its files whatever happened to the last run.

In: a store and a project id. Out: manifest, state and what the last run left pending, such that
the manifest names each file as it is. Nothing is written here.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import ConfigError, LakeConflictError, LakeError
from ...frames.partitions import NO_DATE, partition_path
from ...frames.schema import (
    LEDGER_FIELDS,
    LEDGER_SCHEMAS,
    SYNC_RUNS,
    as_written,
    with_later_columns,
)
from ...scan.ranges import DAY_S, Grain, day_of, partition_span
from ..storage.layout import INVENTORY_NAMES, LAKE_KEY, RUNS, TABLE_NAMES, meta_key, parse_key
from ..storage.store import Store
from .counts import count_days, count_untimed
from .encoding import encoding_of, in_this_encoding
from .identity import Hashes, hash_each, hash_ids
from .metadata import (
    LAYOUT_VERSION,
    FileEntry,
    LakeRecord,
    Manifest,
    Pending,
    State,
    decode_record,
    describe_file,
    manifest_checksum,
    why_foreign,
    why_not_pending,
    why_not_state,
)


class DamagedFileError(LakeError):
    """A file of the lake is missing, is not as it was written, or cannot be read."""


@dataclass
class ProjectRecords:
    """A project's records in memory.

    Attributes:
        grain: how the lake is cut.
        is_new: the lake has no record of its own yet, or has lost it.
        manifest: every file, as it is.
        state: None if it is lost: then everything is read again.
        pending: what an unfinished run may have written; None after a finished one.
        is_listed: the store was listed just now: what the manifest lacks does not exist.
        lake_id: the lake's.
        found: checksum of the manifest that is in place, empty if none is.
        is_known: each announced file could be looked at; else the announcement must stay.
        announced: partitions of which an unfinished run put files in place.
        torn: partitions of which an unfinished run put some files in place and not the others:
            they must be read again.
        child_changed: of torn partitions, ids whose children were replaced, so that comparing no
            longer shows their change.
    """

    grain: Grain
    is_new: bool
    manifest: Manifest
    state: State | None
    pending: Pending | None
    is_listed: bool
    lake_id: str
    found: str
    is_known: bool = True
    announced: set[date] = field(default_factory=set)
    torn: list[date] = field(default_factory=list)
    child_changed: dict[date, list[str]] = field(default_factory=dict)

    def partitions(self) -> set[date]:
        """The partitions that the manifest names."""
        parts = filter(None, map(parse_key, self.manifest.files))
        return {one.partition for one in parts if one.table == "backups" and one.partition}


def _read_grain(store: Store, project_id: str, wanted: Grain | None) -> tuple[Grain, str | None]:
    """How the lake is cut, and its id, None if it does not say so itself (but the manifest does)."""
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
        return wanted or "day", None
    if wanted is not None and wanted != known.partition_by:
        raise ConfigError(
            f"{store.url} is partitioned by {known.partition_by}, not by {wanted}, and that "
            "cannot be changed. Leave the setting out, or sync into a new lake."
        )
    return ("month" if known.partition_by == "month" else "day"), record.lake_id if record else None


def read_records(store: Store, project_id: str, wanted: Grain | None = None) -> ProjectRecords:
    """Read a project's records and make them fit its files, and each other.

    A manifest that is lost, of another lake or project, or of another moment than what a run
    announced is made anew from the files (all are read), and the state is given up; so is a state
    that was not written with this manifest. After an unfinished run the files it named beforehand
    are looked at, each as it is now.

    Args:
        store: the lake.
        project_id: whose records.
        wanted: how the lake is to be cut; None: as it is, by day if it is new.

    Raises:
        ConfigError: the lake is cut otherwise than wanted.
        LakeError: it was made by a later version.
    """
    grain, known_id = _read_grain(store, project_id, wanted)
    pending_data = store.read(meta_key(project_id, "pending.json"))
    pending = decode_record(pending_data, Pending)
    manifest = decode_record(store.read(meta_key(project_id, "manifest.json")), Manifest)
    found = manifest_checksum(manifest) if manifest is not None else ""
    if manifest is None or why_foreign(manifest, project_id, known_id):
        manifest = None
    if pending is not None and why_not_pending(pending, project_id, manifest):
        pending, manifest = None, None
    lake_id = known_id or (manifest.lake_id if manifest else "")
    lake_id = lake_id or str(uuid.uuid5(uuid.NAMESPACE_URL, store.url))
    is_new = known_id is None
    is_old = manifest is not None and manifest.encoding != encoding_of(store)
    if manifest is None or (pending_data is not None and (pending is None or is_old)):
        manifest, is_whole = _rebuild_manifest(store, project_id, grain)
        return ProjectRecords(grain, is_new, manifest, None, pending, is_whole, lake_id, found)
    state = decode_record(store.read(meta_key(project_id, "state.json")), State)
    if state is not None and why_not_state(state, project_id, lake_id, manifest, pending):
        state = None
    manifest = in_this_encoding(store, manifest)
    records = ProjectRecords(grain, is_new, manifest, state, pending, False, lake_id, found)
    if pending is not None:
        _recover(store, records, pending)
    return records


def load_table(store: Store, records: ProjectRecords, table: str, partition: date) -> pa.Table:
    """A table of one partition as it is stored, empty if it does not exist.

    Raises:
        DamagedFileError: the file is damaged, missing or unreadable.
    """
    key = partition_path(table, partition, records.manifest.project_id)
    schema = LEDGER_SCHEMAS[table]
    return with_later_columns(load_file(store, records, key, schema), schema)


def load_file(store: Store, records: ProjectRecords, key: str, schema: pa.Schema) -> pa.Table:
    """The table in one file as it is stored, empty if it does not exist; see `load_table`."""
    entry = records.manifest.files.get(key)
    problem = "is not as it was written"
    try:
        data = None if entry is None and records.is_listed else store.read(key)
        if data is None and entry is None:
            return schema.empty_table()
        if data is None:
            problem = "is missing"
        elif entry is None or describe_file(data, entry.rows) == entry:
            table = store.decode(key, data, rows=entry.rows if entry else None)
            found = table.schema
            if found.equals(schema) or found.equals(as_written(schema, found.names)):
                # What no record named, such as a partition restored by hand, is the ledger's now.
                # An empty one is made up by a table format, which keeps no empty files.
                if entry is None and (table.num_rows or store.format == "parquet"):
                    records.manifest.files[key] = describe_file(data, table.num_rows)
                return table
            problem = "has other columns than the table"
    except LakeConflictError:
        raise
    except LakeError as error:
        problem = f"cannot be read ({error})"
    raise DamagedFileError(
        f"{key} of {store.url} {problem}. Run `backup-frames verify --lake {store.url} --repair`, "
        "then sync again.",
        path=key,
    )


def recount_partitions(
    state: State, partitions: Mapping[date, pa.Table], grain: Grain, verified_at_s: int
) -> None:
    """Bring the state's days and ids of partitions up to their rows; what was verified stays so."""
    backups = pa.concat_tables(partitions.values())
    _note_ids(state, partitions, backups)
    days = count_days(backups, verified_at_s)
    for partition in partitions:
        begin_s, end_s = partition_span(partition, grain)
        for day in (day_of(second).isoformat() for second in range(begin_s, end_s, DAY_S)):
            old = state.days.pop(day, None)
            if old is not None and day in days:
                days[day].verified_at_s = old.verified_at_s
                days[day].cursor_s, days[day].cursor_at_s = old.cursor_s, old.cursor_at_s
    state.days |= days
    if NO_DATE in partitions:
        state.untimed = count_untimed(partitions[NO_DATE])


def count_first(
    state: State, partitions: Mapping[date, pa.Table], backups: pa.Table, verified_at_s: int
) -> Hashes:
    """Bring a state up to partitions that it knows nothing of, all in one; not that of untimed rows.

    Args:
        state: is changed in place.
        partitions: slices of `backups`, one behind the other.
        backups: rows that are all present.
        verified_at_s: when they were read.

    Returns:
        The hashes of all ids, sorted.
    """
    state.days |= count_days(backups, verified_at_s)
    return np.sort(_note_ids(state, partitions, backups))


def _note_ids(state: State, partitions: Mapping[date, pa.Table], backups: pa.Table) -> Hashes:
    """Bring the state's ids up to slices of `backups`, one behind the other; the hashes of all."""
    hashes, begin = hash_each(backups["backup_id"]), 0
    for partition, rows in partitions.items():
        end = begin + rows.num_rows
        state.ids.pop(partition.isoformat(), None)
        if rows.num_rows:
            state.ids[partition.isoformat()] = np.sort(hashes[begin:end]).tobytes()
        begin = end
    return hashes


def survey_ledger(store: Store, records: ProjectRecords) -> State:
    """What a state must know before anything is read: which ids are where, and the newest moment.

    Reads every file of `backups`; for a project whose state is lost. Damaged files are left out.
    """
    state = State(records.manifest.project_id)
    for partition in sorted(records.partitions()):
        try:
            backups = load_table(store, records, "backups", partition)
        except DamagedFileError:
            continue
        if backups.num_rows:
            state.ids[partition.isoformat()] = hash_ids(backups["backup_id"]).tobytes()
            moments = [pc.max(backups[field.name]).as_py() for field in LEDGER_FIELDS]
            state.newest_s = max(state.newest_s, *map(_to_second, moments))
    runs = [key for key in records.manifest.files if key.startswith(f"{RUNS}/")]
    for key in sorted(runs)[-1:]:
        with suppress(DamagedFileError):
            moments = load_file(store, records, key, SYNC_RUNS)["as_of"].to_pylist()
            state.newest_s = max(state.newest_s, *map(_to_second, moments))
    return state


def _to_second(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp())


def _rebuild_manifest(store: Store, project_id: str, grain: Grain) -> tuple[Manifest, bool]:
    """A manifest of the files as they are, and whether it names all: damaged ones are left out."""
    manifest, is_whole = Manifest(project_id, grain), True
    for table in (*TABLE_NAMES, RUNS, *INVENTORY_NAMES):
        for file in store.list(table):
            parts = parse_key(file.key)
            if parts is not None and parts.project_id == project_id:
                entry = _read_entry(store, file.key)
                if entry is not None:
                    manifest.files[file.key] = entry
                is_whole = is_whole and entry is not None
    return manifest, is_whole


def _read_entry(store: Store, key: str) -> FileEntry | None:
    """The entry of a file as it is, None if it is missing, unreadable or no Parquet."""
    try:
        data = store.read(key)
        return None if data is None else describe_file(data, store.decode(key, data).num_rows)
    except LakeError:
        return None


def _read_announced(store: Store, records: ProjectRecords, key: str) -> bytes | None:
    try:
        return store.read(key)
    except LakeError:  # whoever needs the file will say so
        records.is_known = False
        return None


def _recover(store: Store, records: ProjectRecords, pending: Pending) -> None:
    """Find out which of the files an unfinished run announced are in place."""
    is_done = defaultdict[date, dict[str, bool]](dict)
    for key, versions in pending.files.items():
        data = _read_announced(store, records, key)
        sha256 = describe_file(data, 0).sha256 if data is not None else None
        found = [version for version in versions if version.sha256 == sha256]
        if found:
            records.manifest.files[key] = found[0]
        parts = parse_key(key)
        if parts is not None and parts.kind == "run" and data is None:
            records.manifest.files.pop(key, None)  # the run died before it wrote its row
        if parts is None or parts.partition is None or parts.table not in TABLE_NAMES:
            continue
        # A partition may be written more than once: an older version beside newer files is torn.
        is_done[parts.partition][parts.table] = found == versions[-1:]
        if found:
            records.announced.add(parts.partition)
        if found and data is not None and parts.table == "backups" and records.state is not None:
            rows = {parts.partition: store.decode(key, data, rows=found[0].rows)}
            recount_partitions(records.state, rows, records.grain, pending.as_of_s)
    for partition, tables in sorted(is_done.items()):
        if any(tables.values()) and not all(tables.values()):
            records.torn.append(partition)
            if not tables.get("backups", True):
                ids = pending.child_changed.get(partition.isoformat(), [])
                records.child_changed[partition] = ids
