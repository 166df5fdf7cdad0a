"""A lake of Delta Lake or Iceberg in a folder, that tests can strike and put back.

    lake = FormatLake(tmp_path / "lake", "delta")
    sync(service, lake.store())
    before = lake.save()                       # a copy of the folder, to come back to
    with suppress(Killed):
        sync(service, lake.store(strike=Strike(1, "after")))
    lake.restore(before)

`Strike` kills at the n-th commit of a table, which is where half a run can be visible.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.lake_service import PROJECT
from support.stores import Killed, snapshot

from backup_frames.frames.partitions import encode_table
from backup_frames.lake.formats.open_tables import open_lake_store
from backup_frames.lake.formats.table_format import Slot, TableFile
from backup_frames.lake.storage.store import RunNote, Store

FORMATS = ("delta", "iceberg")
TABLES = ("backups/", "backup_databases/", "backup_tables/")


@dataclass(frozen=True)
class Strike:
    """The run dies at the table commit of that number (from 0), before or after its effect."""

    at: int
    when: str


class StruckTables:
    """`Tables` whose swaps are counted, and where a run may die."""

    def __init__(self, inner: Any, strike: Strike | None) -> None:
        self._inner = inner
        self._strike = strike
        self.swaps: list[tuple[str, RunNote]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def files(self, table: str) -> Mapping[Slot, Sequence[TableFile]] | None:
        return self._inner.files(table)

    def swap(
        self,
        table: str,
        added: Sequence[TableFile],
        removed: Sequence[TableFile],
        note: RunNote,
    ) -> None:
        is_struck = self._strike is not None and self._strike.at == len(self.swaps)
        self.swaps.append((table, note))
        if is_struck and self._strike and self._strike.when == "before":
            raise Killed(f"before the commit of {table}")
        self._inner.swap(table, added, removed, note)
        if is_struck:
            raise Killed(f"after the commit of {table}")


def encoded(store: Store) -> dict[str, bytes]:
    """The rows of the tables' partitions in a store, encoded as a plain lake's files are."""
    return {
        key: encode_table(store.decode(key, data))
        for key, data in snapshot(store).items()
        if key.startswith(TABLES)
    }


class FormatLake:
    """A lake of one format in one folder."""

    def __init__(self, folder: Path, lake_format: str) -> None:
        self.folder = folder
        self.format = lake_format
        self.tables: StruckTables

    @property
    def url(self) -> str:
        return str(self.folder)

    def store(self, project_id: str = PROJECT, *, strike: Strike | None = None) -> Store:
        """The store, as a new process would open it."""
        scratch = f"_meta/{project_id}/tmp"
        store: Any = open_lake_store(self.url, scratch=scratch, lake_format=self.format)
        store._tables = self.tables = StruckTables(store._tables, strike)
        return store

    def save(self) -> Path:
        """A copy of the folder; the lake itself stays where it is, as Iceberg wants it."""
        number = len(list(self.folder.parent.glob("saved-*")))
        saved = self.folder.parent / f"saved-{number}"
        if self.folder.exists():
            shutil.copytree(self.folder, saved)
        return saved

    def restore(self, saved: Path) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if saved.exists():
            shutil.copytree(saved, self.folder)

    def data(self) -> dict[str, bytes]:
        """The rows of the tables' partitions, encoded as a plain lake's files are."""
        return encoded(self.store())

    def stamps(self) -> dict[str, int]:
        """When each file outside of the records was last touched."""
        return {
            path.relative_to(self.folder).as_posix(): path.stat().st_mtime_ns
            for path in self.folder.rglob("*")
            if path.is_file() and "_meta" not in path.relative_to(self.folder).parts
        }
