"""A lake's files against its own records: what is missing, damaged, foreign or inconsistent.

In: a store. Out: findings, none for a sound lake, also while a sync runs and after one that died:
what an unfinished run announced in ``pending.json`` is as sound as what the manifest says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import LakeError
from ...frames.partitions import partition_keys, partition_path
from ...frames.schema import KEYS, LEDGER_SCHEMAS, TABLES, as_written
from ...lake.ledger.encoding import encoding_of, in_this_encoding
from ...lake.ledger.identity import StoredIds, hash_ids
from ...lake.ledger.merge import EMPTY_LEDGER, LedgerTables
from ...lake.ledger.metadata import (
    FileEntry,
    LakeRecord,
    Manifest,
    Pending,
    State,
    decode_record,
    describe_file,
    why_foreign,
    why_not_pending,
    why_not_state,
)
from ...lake.storage.layout import LAKE_KEY, KeyParts, known_projects, meta_key, parse_key
from ...lake.storage.store import Store, StoredFile

_SCHEMAS: Final = {**TABLES, **LEDGER_SCHEMAS}
PARENT_KEYS: Final = {
    "backup_databases": ["backup_id"],
    "backup_tables": ["backup_id", "database_index"],
}
CHILD_COUNTS: Final = {"backup_databases": "database_count", "backup_tables": "table_count"}
_DATA_KINDS: Final = ("table", "run", "inventory")
_TRIES: Final = 3
_REPAIR = "Run `backup-frames verify --repair`."


NOT_REPAIRED: Final = ("mismatch", "doubled")
"""Kinds of findings that a sync sets right."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        path: the file, relative to the lake.
        kind: ``missing``, ``damaged``, ``unlisted`` (of ours by name, but in no record),
            ``foreign``, ``schema``, ``keys``, ``children``, ``mismatch`` (a record of another
            moment, lake or project), ``doubled``, ``lost`` (by a repair), ``service``.
        message: what it is and what to do.
    """

    path: str
    kind: str
    message: str


def check_lake(store: Store) -> list[Finding]:
    """Check every file of the lake; reads all of it, one partition in memory at a time."""
    files = store.list("")
    findings = list[Finding]()
    named = {file.key: parse_key(file.key) for file in files}
    projects = known_projects(named)
    for key, parts in named.items():
        if parts is None:
            message = "It is no file of the lake's layout. Nothing reads it; move it away."
            findings.append(Finding(key, "foreign", message))
        elif parts.kind in _DATA_KINDS and parts.project_id not in projects:
            message = (
                f"The lake has no records of a project {parts.project_id}. Nothing reads the file; "
                "move it away, or sync that project if it is one of yours."
            )
            findings.append(Finding(key, "foreign", message))
    if projects and decode_record(_read(store, LAKE_KEY), LakeRecord) is None:
        message = f"The lake's own record cannot be read; a sync writes it again. {_REPAIR}"
        findings.append(Finding(LAKE_KEY, "damaged", message))
    for project_id in sorted(projects):
        findings += check_project(store, project_id, files)
    return sorted(findings)


def check_project(store: Store, project_id: str, files: list[StoredFile]) -> list[Finding]:
    """Check one project's files; again if a sync changed its records meanwhile.

    Where syncs never leave off, what is found each time is so: a file on its way differs by then.
    """
    lasting = list[Finding]()
    for number in range(_TRIES):
        before = _record_bytes(store, project_id)
        findings = list(_ProjectCheck(store, project_id, before).run(files))
        lasting = [found for found in findings if not number or found in lasting]
        listed, files = files, store.list("")  # the listing may be older than the records
        if not findings or (files == listed and _record_bytes(store, project_id) == before):
            return findings
    return lasting


def _record_bytes(store: Store, project_id: str) -> dict[str, bytes | None]:
    names = ("pending.json", "manifest.json", "state.json")
    return {name: _read(store, meta_key(project_id, name)) for name in names}


def _read(store: Store, key: str) -> bytes | None:
    """A record's bytes; none of them if it cannot be read."""
    try:
        return store.read(key)
    except LakeError:
        return b""


class _ProjectCheck:
    def __init__(self, store: Store, project_id: str, records: dict[str, bytes | None]) -> None:
        self._store = store
        self._project_id = project_id
        self._records = records
        self._take_records(decode_record(_read(store, LAKE_KEY), LakeRecord))
        self._ids = dict[str, bytes]()
        # Without a manifest either will do.
        self._grains = (self._manifest.partition_by,) if self._manifest else ("day", "month")
        self._accepted = defaultdict[str, list[FileEntry]](list)
        for key, entry in (self._manifest.files if self._manifest else {}).items():
            self._accepted[key].append(entry)
        for key, versions in (self._pending.files if self._pending else {}).items():
            self._accepted[key] += versions

    def _take_records(self, lake: LakeRecord | None) -> None:
        """Decode the records, and note which of them do not belong to the others."""
        manifest = decode_record(self._records["manifest.json"], Manifest)
        pending = decode_record(self._records["pending.json"], Pending)
        state = decode_record(self._records["state.json"], State)
        project_id, lake_id = self._project_id, lake.lake_id if lake else None
        why = {
            "manifest.json": manifest and why_foreign(manifest, project_id, lake_id),
            "pending.json": pending and why_not_pending(pending, project_id, manifest),
        }
        if state is not None and state.manifest and manifest is not None:  # of before: no name
            why["state.json"] = why_not_state(state, project_id, lake_id, manifest, pending)
        self._mismatches = {name: str(reason) for name, reason in why.items() if reason}
        self._manifest = None if "manifest.json" in self._mismatches else manifest
        self._pending = None if "pending.json" in self._mismatches else pending
        if self._manifest and self._manifest.encoding != encoding_of(self._store):
            # What another version announced cannot be told by its hash: what is there must do.
            renewed = None if pending else in_this_encoding(self._store, self._manifest)
            self._manifest, self._pending = renewed, None

    def run(self, files: list[StoredFile]) -> Iterator[Finding]:
        """All findings of the project."""
        yield from self._check_records()
        found = {file.key: parse_key(file.key) for file in files}
        mine = {
            key: parts
            for key, parts in found.items()
            if parts and parts.project_id == self._project_id and parts.kind in _DATA_KINDS
        }
        for key in sorted(self._manifest.files if self._manifest else ()):
            if key not in mine and not self._is_row_to_come(key):
                message = f"The manifest names it, but it is gone. {_REPAIR}"
                if self._store.is_blocked(key):
                    message = f"A folder stands in its place. Move it away, then: {_REPAIR}"
                yield Finding(key, "missing", message)
        partitions = defaultdict[date, dict[str, KeyParts]](dict)
        for key, parts in sorted(mine.items()):
            if parts.kind == "table" and parts.partition is not None:
                partitions[parts.partition][key] = parts
            else:
                yield from self._check_file(key, parts)[1]
        for partition, keys in sorted(partitions.items()):
            yield from self._check_partition(partition, keys)
        yield from self._check_ids()

    def _is_row_to_come(self, key: str) -> bool:
        """Whether it is the row of a run that is about to end: the manifest comes before it."""
        parts = parse_key(key)
        is_announced = self._pending is not None and key in self._pending.files
        return is_announced and parts is not None and parts.kind == "run"

    def _check_records(self) -> Iterator[Finding]:
        kinds = {"manifest.json": Manifest, "state.json": State, "pending.json": Pending}
        advice = {
            "manifest.json": f"Files cannot be checked against it. {_REPAIR}",
            "state.json": "It is a cache: the next sync reads everything and writes it again.",
            "pending.json": "It announced what a run would write; the next sync removes it.",
        }
        for name, kind in kinds.items():
            data = self._records[name]
            is_expected = self._records["pending.json"] is None and name != "pending.json"
            if data is None and is_expected:
                yield Finding(meta_key(self._project_id, name), "missing", advice[name])
            elif name in self._mismatches:
                message = (
                    f"{self._mismatches[name]} The next sync reads everything and writes it again."
                )
                yield Finding(meta_key(self._project_id, name), "mismatch", message)
            elif data is not None and decode_record(data, kind) is None:  # type: ignore[arg-type]  # one of the records
                yield Finding(meta_key(self._project_id, name), "damaged", advice[name])

    def _check_file(self, key: str, parts: KeyParts) -> tuple[pa.Table | None, list[Finding]]:
        """The file's rows if they can be trusted, and what is wrong with it."""
        try:
            data = self._store.read(key)
        except LakeError as error:
            return None, [Finding(key, "damaged", f"It cannot be read: {error} {_REPAIR}")]
        versions = self._accepted.get(key)
        if versions is None and self._manifest is not None:
            message = "It is named like a file of the lake, but no sync recorded it. " + _REPAIR
            return None, [Finding(key, "unlisted", message)]
        if data is None:
            return None, [Finding(key, "missing", f"It vanished while it was checked. {_REPAIR}")]
        found, rows = describe_file(data, 0), None
        if versions is not None:
            fitting = [entry for entry in versions if entry.sha256 == found.sha256]
            if not fitting:
                message = (
                    f"It has {found.size} bytes with sha256 {found.sha256[:12]}…; written were "
                    f"{versions[0].size} bytes with {versions[0].sha256[:12]}…. {_REPAIR}"
                )
                return None, [Finding(key, "damaged", message)]
            rows = fitting[0].rows
        try:
            table = self._store.decode(key, data, rows=rows)
        except LakeError as error:
            return None, [Finding(key, "damaged", str(error))]
        problem = _wrong_schema(table, parts) or _wrong_keys(table, parts, self._grains)
        return table, [Finding(key, *problem)] if problem else []

    def _check_partition(self, partition: date, keys: dict[str, KeyParts]) -> Iterator[Finding]:
        tables = EMPTY_LEDGER._asdict()
        paths = {name: partition_path(name, partition, self._project_id) for name in LEDGER_SCHEMAS}
        is_sound = all(path in keys for path in paths.values() if path in self._accepted)
        for key, parts in keys.items():
            table, findings = self._check_file(key, parts)
            yield from findings
            is_sound = is_sound and table is not None and not findings
            if table is not None and parts.table is not None:
                tables[parts.table] = table
        is_unfinished = self._pending is not None and any(
            path in self._pending.files for path in paths.values()
        )
        if is_sound and not is_unfinished:
            if tables["backups"].num_rows:
                ids = hash_ids(tables["backups"]["backup_id"])
                self._ids[partition.isoformat()] = ids.tobytes()
            for name, message in check_children(LedgerTables(**tables)):
                yield Finding(paths[name], "children", f"{message} {_REPAIR}")

    def _check_ids(self) -> Iterator[Finding]:
        """Backups that have a row in two partitions; reads the few again that may."""
        hashes = [np.frombuffer(ids, "<u4") for ids in self._ids.values()]
        for days in StoredIds(self._ids).doubled(hashes):
            paths = [partition_path("backups", day, self._project_id) for day in days]
            tables = (self._store.decode(path, self._store.read(path) or b"") for path in paths)
            one, two = (table["backup_id"] for table in tables)
            ids = one.filter(pc.is_in(one, value_set=two)).to_pylist()
            if ids:
                message = f"{len(ids)} backups have a row in {paths[1]} as well, as {min(ids)}."
                yield Finding(paths[0], "doubled", f"{message} Run `backup-frames sync --full`.")


def check_children(tables: LedgerTables) -> Iterator[tuple[str, str]]:
    """Table name and problem wherever the children of a partition do not fit their parents."""
    databases, rows = tables.backup_databases, tables.backup_tables
    for name, wrong in (
        ("backup_databases", find_miscounted(tables.backups, databases, "backup_databases")),
        ("backup_tables", find_miscounted(databases, rows, "backup_tables")),
    ):
        if wrong.num_rows:
            example = min(wrong["backup_id"].to_pylist())
            yield name, f"{wrong.num_rows} parents lack children or have too many, as {example}."


def find_miscounted(parents: pa.Table, children: pa.Table, name: str) -> pa.Table:
    """The parents' keys under which there are more or fewer children than the parent counts."""
    key, count = PARENT_KEYS[name], CHILD_COUNTS[name]
    counted = children.group_by(key).aggregate([([], "count_all")])
    joined = parents.select([*key, count]).join(counted, key, join_type="full outer")
    found = pc.fill_null(joined["count_all"], 0)
    return joined.filter(pc.not_equal(pc.fill_null(joined[count], 0), found)).select(key)


def _wrong_schema(table: pa.Table, parts: KeyParts) -> tuple[str, str] | None:
    schema = as_written(_SCHEMAS[str(parts.table)], table.column_names)
    if table.schema.equals(schema):
        return None
    differing = sorted(
        {f"{field.name} {field.type}" for field in table.schema}
        ^ {f"{field.name} {field.type}" for field in schema}
    )
    what = ", ".join(differing[:5]) or "the order of its columns"
    return "schema", f"Its columns are not those of the table: {what}. {_REPAIR}"


def _wrong_keys(table: pa.Table, parts: KeyParts, grains: Sequence[str]) -> tuple[str, str] | None:
    key = list(KEYS[str(parts.table)])
    distinct = table.group_by(key).aggregate([]).num_rows if table.num_rows > 1 else table.num_rows
    if distinct != table.num_rows:
        return "keys", f"{table.num_rows - distinct} rows have a key that others have. {_REPAIR}"
    projects = set(pc.unique(table["project_id"]).to_pylist()) - {parts.project_id}
    if projects:
        return "keys", f"It holds rows of project {min(map(str, projects))}. {_REPAIR}"
    if parts.kind == "table" and table.num_rows:
        found = [set(pc.unique(partition_keys(table, grain)).to_pylist()) for grain in grains]
        if {parts.partition} not in found:
            return "keys", f"It holds rows that began on other days. {_REPAIR}"
    return None
