"""Which files the lake's records name, and how many rows each may have: what readers go by.

In: a store. Out: keys, and a count for each. What is named like a file of the lake but is in no record
is foreign; what has more rows than its record says is not decoded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from .ledger.metadata import Manifest, Pending, decode_record
from .storage.layout import meta_key, parse_key
from .storage.store import Store


class ListedFiles:
    """The files that the records of a lake's projects name, read when they are first asked for.

    Args:
        store: the lake.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = dict[str, dict[str, int] | None]()  # by project; None: there is no manifest

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
            known = self._rows.get(project_id) or {}
            if not known.keys() >= set(some):
                self._rows[project_id] = _read_rows(self._store, project_id)
        return [key for key in keys if self._is_named(key)]

    def most_rows(self, key: str) -> int | None:
        """How many rows a data file may have, None if there is no record to tell."""
        project_id = _project_of(key)
        if self._store.format != "parquet":
            return None
        if project_id not in self._rows:
            self._rows[project_id] = _read_rows(self._store, project_id)
        return (self._rows[project_id] or {}).get(key)

    def forget(self) -> None:
        """Read the records again: a sync may have written them anew."""
        self._rows.clear()

    def _is_named(self, key: str) -> bool:
        rows = self._rows[_project_of(key)]
        return rows is None or key in rows


def _read_rows(store: Store, project_id: str) -> dict[str, int] | None:
    """What a run that is at work, or died, has announced counts; None without a manifest.

    A file is announced before it is put, and stays so until it is recorded: read in this order, after
    a listing, the records name every file of it.
    """
    pending = decode_record(store.read(meta_key(project_id, "pending.json")), Pending)
    manifest = decode_record(store.read(meta_key(project_id, "manifest.json")), Manifest)
    if manifest is None:
        return None
    rows = {key: entry.rows for key, entry in manifest.files.items()}
    for key, versions in (pending.files if pending else {}).items():
        rows[key] = max([rows.get(key, 0), *(entry.rows for entry in versions)])
    return rows


def _project_of(key: str) -> str:
    parts = parse_key(key)
    return str(parts.project_id if parts else None)
