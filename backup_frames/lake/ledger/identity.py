"""A backup is its id: where each one is stored, so that it keeps one row whatever else changes.

In: short hashes of the ids in each partition, as the state keeps them (four bytes a backup, gone ones
included). Out: the partitions that may hold an id already; their files say whether they do. And the
joints of tables by which a row goes from one partition to another, with its children and history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .merge import LedgerTables, without

if TYPE_CHECKING:
    import numpy.typing as npt

Hashes: TypeAlias = "npt.NDArray[np.uint32]"

_STORED = np.dtype("<u4")


def hash_ids(ids: pa.ChunkedArray | pa.Array) -> Hashes:
    """Short hashes of ids, sorted; two ids of a million rarely share one, and then files are looked at."""
    return np.sort(hash_each(ids))


def hash_each(ids: pa.ChunkedArray | pa.Array) -> Hashes:
    """The short hash of each id."""
    texts = ids.cast(pa.binary()).to_pylist()
    return np.fromiter(map(crc32, texts), dtype=_STORED, count=len(texts))


def pick_ids(ids: pa.ChunkedArray, hashes: Hashes) -> pa.Array:
    """Those ids that have one of these hashes."""
    return ids.filter(pa.array(np.isin(hash_each(ids), hashes))).combine_chunks()


class StoredIds:
    """Where backups may be stored.

    Args:
        ids: by partition's ISO date the hashes of its ids, as in the state.
    """

    def __init__(self, ids: Mapping[str, bytes]) -> None:
        self._partitions = [date.fromisoformat(name) for name in sorted(ids)]
        each = [np.frombuffer(ids[name], dtype=_STORED) for name in sorted(ids)]
        hashes = np.concatenate([np.empty(0, _STORED), *each])
        place = np.repeat(np.arange(len(each), dtype=np.int32), [len(one) for one in each])
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._place = hashes[order], place[order]

    def elsewhere(self, partition: date, ids: pa.ChunkedArray) -> set[date]:
        """The other partitions that may hold one of these ids of a partition."""
        wanted = hash_ids(ids)
        low = np.searchsorted(self._hashes, wanted, side="left")
        high = np.searchsorted(self._hashes, wanted, side="right")
        # Nearly always there is one at most: the partition itself.
        places = set(self._place[low[high > low]].tolist())
        for start, end in zip(low[high > low + 1], high[high > low + 1], strict=True):
            places.update(self._place[start:end].tolist())
        return {self._partitions[place] for place in places} - {partition}

    def shared(self, hashes: Iterable[Hashes]) -> Hashes:
        """Those of these hashes that two stored ids have, or one that is stored twice."""
        wanted = np.sort(np.concatenate([np.empty(0, _STORED), *hashes]))
        low = np.searchsorted(self._hashes, wanted, side="left")
        high = np.searchsorted(self._hashes, wanted, side="right")
        return wanted[high > low + 1]

    def doubled(self, hashes: Iterable[Hashes]) -> list[tuple[date, date]]:
        """Pairs of partitions that may both hold an id with one of these hashes."""
        wanted = self.shared(hashes)
        low = np.searchsorted(self._hashes, wanted, side="left")
        high = np.searchsorted(self._hashes, wanted, side="right")
        pairs = set[tuple[date, date]]()
        for start, end in zip(low, high, strict=True):
            places = sorted(set(self._place[start:end].tolist()))
            names = [self._partitions[place] for place in places]
            pairs |= {(one, two) for one in names for two in names if one < two}
        return sorted(pairs)


def pick_rows(tables: LedgerTables, ids: pa.ChunkedArray | pa.Array) -> LedgerTables:
    """The rows of these backups."""
    return LedgerTables(
        *(table.filter(pc.is_in(table["backup_id"], value_set=ids)) for table in tables)
    )


def drop_ids(ids: pa.Array, others: pa.ChunkedArray | pa.Array) -> pa.Array:
    """All other ids."""
    return ids.filter(pc.invert(pc.is_in(ids, value_set=others)))


def drop_rows(tables: LedgerTables, ids: pa.ChunkedArray | pa.Array) -> LedgerTables:
    """The rows of all other backups."""
    return LedgerTables(*(without(table, ids) for table in tables))


def join_rows(stored: LedgerTables, moved: LedgerTables) -> LedgerTables:
    """A partition's tables with rows that lived elsewhere; of a backup in both the one stored here.

    That one then has been known since it was first seen anywhere.
    """
    known, ids = stored.backups, moved.backups["backup_id"]
    at = pc.index_in(known["backup_id"], value_set=ids)
    elsewhere = moved.backups["first_seen_at"].take(at)
    is_earlier = pc.fill_null(pc.less(elsewhere, known["first_seen_at"]), False)
    first_seen_at = pc.if_else(is_earlier, elsewhere, known["first_seen_at"])
    place = known.schema.get_field_index("first_seen_at")
    known = known.set_column(place, known.schema.field(place), first_seen_at)
    coming = drop_rows(moved, known["backup_id"])
    # Children without parents may stand here: a run died between the files.
    here = drop_rows(stored, coming.backups["backup_id"])._replace(backups=known)
    return LedgerTables(*(pa.concat_tables(pair) for pair in zip(here, coming, strict=True)))
