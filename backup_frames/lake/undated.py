"""Backups whose begin time became known: one backup, one row, wherever it lives.

In: the partition of rows without begin time, and each partition's fresh ids. Out: a partition's
stored tables with the rows that move into it, so that their history comes along, and the undated
partition without them. Costs nothing for a lake that never saw a backup without begin time.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from .ledger import LedgerTables


class UndatedRows:
    """The stored rows without begin time, and which of them were seen elsewhere by now."""

    def __init__(self, stored: LedgerTables) -> None:
        undated = stored.backups.filter(stored.backups["begin_time"].is_null())
        self._rows = _of(stored, undated["backup_id"])._replace(backups=undated)
        self._moved = pa.array([], pa.string())

    def join(self, stored: LedgerTables, ids: pa.ChunkedArray) -> LedgerTables:
        """The partition's stored tables, with the undated rows of those of `ids` it lacks."""
        moving = self.note(ids)
        moving = moving.filter(pc.invert(pc.is_in(moving, value_set=stored.backups["backup_id"])))
        if not len(moving):
            return stored
        added = _of(self._rows, moving)
        pairs = zip(stored, added, strict=True)
        return LedgerTables(*(pa.concat_tables([table, rows]) for table, rows in pairs))

    def note(self, ids: pa.ChunkedArray) -> pa.Array:
        """Note that these ids have a begin time; hand back those that are stored without one."""
        known = self._rows.backups["backup_id"]
        moving = known.filter(pc.is_in(known, value_set=ids)).combine_chunks()
        self._moved = pa.concat_arrays([self._moved, moving]).unique()
        return moving

    @property
    def has_moved(self) -> bool:
        """Whether any row was seen elsewhere."""
        return len(self._moved) > 0

    def without_moved(self, stored: LedgerTables) -> LedgerTables:
        """The undated partition's tables without the rows that live elsewhere now."""
        is_elsewhere = pc.is_in(stored.backups["backup_id"], value_set=self._moved)
        is_moved = pc.and_(is_elsewhere, stored.backups["begin_time"].is_null())
        return _of(stored, stored.backups["backup_id"].filter(pc.invert(is_moved)))


def _of(tables: LedgerTables, ids: pa.ChunkedArray | pa.Array) -> LedgerTables:
    return LedgerTables(
        *(table.filter(pc.is_in(table["backup_id"], value_set=ids)) for table in tables)
    )
