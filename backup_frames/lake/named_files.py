"""Which files are a lake's own: those that the records of its projects name.

In: a store. Out: the keys of the tables' files, with what the records say of each: all at once, or of
keys that were listed. Any other file, whatever its name, is foreign: it is never read; one that is not
as its record says is not decoded, since Arrow ends the process on some damaged files. A project whose
manifest is lost has, as the next sync will find, every file that bears its id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ..errors import LakeError
from ..frames.partitions import open_parquet
from .ledger.metadata import FileEntry, Manifest, Pending, decode_record, describe_file
from .storage.layout import INVENTORY_NAMES, RUNS, TABLE_NAMES, known_projects, meta_key, parse_key
from .storage.store import Store


@dataclass
class NamedFiles:
    """The files of a lake at one moment.

    Attributes:
        entries: by key every version of the file that the records know, none if they are lost: a
            run that is under way may already have put what it announced.
        projects: every known project.
        without_manifest: those of them whose manifest is lost.
    """

    entries: dict[str, list[FileEntry]] = field(default_factory=dict)
    projects: set[str] = field(default_factory=set)
    without_manifest: set[str] = field(default_factory=set)

    def of_table(self, table: str) -> list[str]:
        """The keys of a table's files, sorted."""
        return sorted(key for key in self.entries if key.partition("/")[0] == table)

    def is_empty(self, key: str) -> bool:
        """Whether the records say that the file has no row."""
        return bool(self.entries[key]) and not any(one.rows for one in self.entries[key])

    def row_range(self, table: str) -> tuple[int, int] | None:
        """How many rows the table has; None if the records do not say."""
        counts = [[one.rows for one in self.entries[key]] for key in self.of_table(table)]
        return (sum(map(min, counts)), sum(map(max, counts))) if all(counts) else None


def find_named_files(store: Store) -> NamedFiles:
    """Read the manifests. Costs one listing and two small reads per project.

    Raises:
        LakeError: the store cannot be read.
    """
    found = NamedFiles(projects=known_projects(file.key for file in store.list("_meta")))
    for project_id in sorted(found.projects):
        entries = _read_entries(store, project_id, with_announced=False)
        if entries is None:
            found.without_manifest.add(project_id)
        else:
            found.entries |= entries
    if found.without_manifest or not found.projects:
        _add_by_name(store, found)
    return found


def _read_entries(
    store: Store, project_id: str, *, with_announced: bool
) -> dict[str, list[FileEntry]] | None:
    """What a project's records say of the files that its manifest names; None without a manifest.

    With those as well that only a run that is at work, or died, has announced. A file is announced
    before it is put, and stays so until it is recorded: read in this order, after a listing, the records
    name every file of it.
    """
    pending = decode_record(store.read(meta_key(project_id, "pending.json")), Pending)
    manifest = decode_record(store.read(meta_key(project_id, "manifest.json")), Manifest)
    if manifest is None:
        return None
    entries = {key: [entry] for key, entry in manifest.files.items()}
    for key, versions in (pending.files if pending else {}).items():
        if with_announced or key in entries:
            entries[key] = [*entries.get(key, ()), *versions]
    return entries


def rows_by_record(entries: Collection[FileEntry], data: bytes) -> int | None:
    """How many rows a file with these bytes has, None if no record says anything of it.

    Costs a sha256, a hundredth of what decoding costs.

    Raises:
        LakeError: the records know the file, and not with these bytes.
    """
    found = describe_file(data, 0)
    for entry in entries:
        if (entry.size, entry.sha256) == (found.size, found.sha256):
            return entry.rows
    if not entries:
        return None
    raise LakeError(
        f"Its {found.size:,} bytes are not as they were written. "
        "Run verify --repair to read its partition again."
    )


def _add_by_name(store: Store, found: NamedFiles) -> None:
    tables = (*TABLE_NAMES, RUNS, *INVENTORY_NAMES)
    keys = [file.key for table in tables for file in store.list(table)]
    if not found.projects:  # exported files, or a lake that lost all records
        found.projects = found.without_manifest = known_projects(keys)
    for key in keys:
        parts = parse_key(key)
        if parts is not None and parts.project_id in found.without_manifest:
            found.entries[key] = []


class ListedFiles:
    """The files that the records of a lake's projects name, read when they are first asked for.

    Args:
        store: the lake.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: dict[str, dict[str, list[FileEntry]] | None] = {}  # None: no manifest

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
            known = self._entries.get(project_id) or {}
            if not known.keys() >= set(some):
                self._read(project_id)
        return [key for key in keys if self._is_named(key)]

    def rows_of(self, key: str, data: bytes) -> int | None:
        """How many rows a data file with these bytes has; see `rows_by_record`."""
        project_id = _project_of(key)
        if self._store.format != "parquet":
            return None
        if project_id not in self._entries:
            self._read(project_id)
        return rows_by_record((self._entries[project_id] or {}).get(key, ()), data)

    def check(self, key: str, data: bytes) -> None:
        """Raise a `LakeError` if a data file is none that this process may decode lazily.

        One that no manifest vouches for is decoded once before that, by the store; tables of a
        format are not, whose own log names their files.
        """
        rows = self.rows_of(key, data)
        if rows is None and self._store.format == "parquet":
            self._store.decode(key, data)
        else:
            open_parquet(data, rows=rows).close()

    def forget(self) -> None:
        """Read the records again: a sync may have written them anew."""
        self._entries.clear()

    def _is_named(self, key: str) -> bool:
        entries = self._entries[_project_of(key)]
        return entries is None or key in entries

    def _read(self, project_id: str) -> None:
        self._entries[project_id] = _read_entries(self._store, project_id, with_announced=True)


def _project_of(key: str) -> str:
    parts = parse_key(key)
    return str(parts.project_id if parts else None)
