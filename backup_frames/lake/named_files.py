"""Which files are a lake's own: those that the manifests of its projects name.

In: a store. Out: the keys of the tables' files, with how many rows each may have by the records. Any
other file, whatever its name, is foreign: it is never read. A project whose manifest is lost has, as
the next sync will find, every file that bears its id.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .ledger.metadata import FileEntry, Manifest, Pending, decode_record
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
        manifest = decode_record(store.read(meta_key(project_id, "manifest.json")), Manifest)
        if manifest is None:
            found.without_manifest.add(project_id)
            continue
        pending = decode_record(store.read(meta_key(project_id, "pending.json")), Pending)
        for key, entry in manifest.files.items():
            found.rows[key] = _row_range(entry, pending.files.get(key, []) if pending else [])
    if found.without_manifest or not found.projects:
        _add_by_name(store, found)
    return found


def _row_range(entry: FileEntry, announced: list[FileEntry]) -> tuple[int, int]:
    counts = [entry.rows, *(one.rows for one in announced)]
    return min(counts), max(counts)


def _add_by_name(store: Store, found: NamedFiles) -> None:
    tables = (*TABLE_NAMES, RUNS, *INVENTORY_NAMES)
    keys = [file.key for table in tables for file in store.list(table)]
    if not found.projects:  # exported files, or a lake that lost all records
        found.projects = found.without_manifest = known_projects(keys)
    for key in keys:
        parts = parse_key(key)
        if parts is not None and parts.project_id in found.without_manifest:
            found.rows[key] = None
