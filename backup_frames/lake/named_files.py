"""Which files are a lake's own: those that the records of its projects name.

In: a store. Out: the keys of the tables' files, with how many rows each may have by the records: all
at once, or of keys that were listed. Any other file, whatever its name, is foreign: it is never read;
what has more rows than its record says is not decoded. A project whose manifest is lost has, as the
next sync will find, every file that bears its id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from .ledger.metadata import Manifest, Pending, decode_record
from .storage.layout import INVENTORY_NAMES, RUNS, TABLE_NAMES, known_projects, meta_key, parse_key
from .storage.store import Store


@dataclass
class NamedFiles:
    """The files of a lake at one moment.

    Attributes:
        rows: by key the fewest and the most rows that the file has by the records; None if they
            do not say. A run that is under way may already have put what it announced.
        projects: every known project.
        without_manifest: those of them whose manifest is lost.
    """

    rows: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    projects: set[str] = field(default_factory=set)
    without_manifest: set[str] = field(default_factory=set)

    def of_table(self, table: str) -> list[str]:
        """The keys of a table's files, sorted."""
        return sorted(key for key in self.rows if key.partition("/")[0] == table)

    def row_range(self, table: str) -> tuple[int, int] | None:
        """How many rows the table has; None if the records do not say."""
        ranges = [self.rows[key] for key in self.of_table(table)]
        known = [one for one in ranges if one is not None]
        if len(known) < len(ranges):
            return None
        return sum(low for low, _ in known), sum(high for _, high in known)


def find_named_files(store: Store) -> NamedFiles:
    """Read the manifests. Costs one listing and two small reads per project.

    Raises:
        LakeError: the store cannot be read.
    """
    found = NamedFiles(projects=known_projects(file.key for file in store.list("_meta")))
    for project_id in sorted(found.projects):
        counts = _read_counts(store, project_id)
        if counts is None:
            found.without_manifest.add(project_id)
        else:
            found.rows |= {key: (min(some), max(some)) for key, some in counts.recorded.items()}
    if found.without_manifest or not found.projects:
        _add_by_name(store, found)
    return found


class _Counts(NamedTuple):
    """How many rows files have by a project's records: as recorded, and as a run has announced.

    Attributes:
        recorded: of files that the manifest names.
        announced: of those that only a run that is at work, or died, has announced.
    """

    recorded: dict[str, list[int]]
    announced: dict[str, list[int]]


def _read_counts(store: Store, project_id: str) -> _Counts | None:
    """What the records say; None without a manifest.

    A file is announced before it is put, and stays so until it is recorded: read in this order, after
    a listing, the records name every file of it.
    """
    pending = decode_record(store.read(meta_key(project_id, "pending.json")), Pending)
    manifest = decode_record(store.read(meta_key(project_id, "manifest.json")), Manifest)
    if manifest is None:
        return None
    recorded = {key: [entry.rows] for key, entry in manifest.files.items()}
    announced = dict[str, list[int]]()
    for key, versions in (pending.files if pending else {}).items():
        counts = [entry.rows for entry in versions]
        if key in recorded:
            recorded[key] += counts
        else:
            announced[key] = counts
    return _Counts(recorded, announced)


def _add_by_name(store: Store, found: NamedFiles) -> None:
    tables = (*TABLE_NAMES, RUNS, *INVENTORY_NAMES)
    keys = [file.key for table in tables for file in store.list(table)]
    if not found.projects:  # exported files, or a lake that lost all records
        found.projects = found.without_manifest = known_projects(keys)
    for key in keys:
        parts = parse_key(key)
        if parts is not None and parts.project_id in found.without_manifest:
            found.rows[key] = None


class ListedFiles:
    """The files that the records of a lake's projects name, read when they are first asked for.

    Args:
        store: the lake.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts = dict[str, dict[str, list[int]] | None]()  # by project; None: no manifest

    def select(self, keys: Iterable[str]) -> list[str]:
        """Those keys of data files, as they were listed just now, that are the lake's own.

        Costs two small reads for each project of which it does not know all.
        """
        keys = list(keys)
        if self._store.format != "parquet":
            return keys  # the table itself says which files it consists of
        by_project = defaultdict[str, list[str]](list)
        for key in keys:
            by_project[_project_of(key)].append(key)
        for project_id, some in by_project.items():
            known = self._counts.get(project_id) or {}
            if not known.keys() >= set(some):
                self._read(project_id)
        return [key for key in keys if self._is_named(key)]

    def most_rows(self, key: str) -> int | None:
        """How many rows a data file may have, None if there is no record to tell."""
        project_id = _project_of(key)
        if self._store.format != "parquet":
            return None
        if project_id not in self._counts:
            self._read(project_id)
        counts = (self._counts[project_id] or {}).get(key)
        return max(counts) if counts else None

    def forget(self) -> None:
        """Read the records again: a sync may have written them anew."""
        self._counts.clear()

    def _is_named(self, key: str) -> bool:
        counts = self._counts[_project_of(key)]
        return counts is None or key in counts

    def _read(self, project_id: str) -> None:
        counts = _read_counts(self._store, project_id)
        self._counts[project_id] = None if counts is None else counts.recorded | counts.announced


def _project_of(key: str) -> str:
    parts = parse_key(key)
    return str(parts.project_id if parts else None)
