"""Tables back to the API's records: nothing is lost in flattening.

In: `ArrowFrames`. Out: a list of dicts, one per backup, equal to what the service sent, with every
known field present (null and absent count as one, and so do ``datastore: {}`` and null).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .record.extras import restore_extra
from .record.fields import ENTRIES, FIELDS, OBJECTS, RECORD_NAMES, TIMESTAMP
from .times import render_times

if TYPE_CHECKING:
    import numpy.typing as npt

    from .flatten import ArrowFrames

_Indices: TypeAlias = "npt.NDArray[np.int64]"


def rebuild_records(frames: ArrowFrames) -> list[dict[str, Any]]:
    """The records of these tables, in the order of ``backups``; the others may be in any order.

    Raises:
        ValueError: the three tables do not belong together, or a backup is there twice.
    """
    backups = frames.backups.combine_chunks()
    values = {field.path: _as_sent(backups[field.column]) for field in FIELDS}
    for name, inner in OBJECTS.items():
        values[name] = [
            dict(zip(inner, row, strict=True)) if any(one is not None for one in row) else None
            for row in zip(*(values[f"{name}.{one}"] for one in inner), strict=True)
        ]
    values[ENTRIES] = list(_database_tables(frames))
    names = (*RECORD_NAMES, ENTRIES)
    rows = zip(*(values[name] for name in names), strict=True)
    records = [dict(zip(names, row, strict=True)) for row in rows]
    for record, extra in zip(records, backups["extra"].to_pylist(), strict=True):
        if extra is not None:
            restore_extra(record, extra)
    return records


def _as_sent(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column as the service writes them."""
    values: list[Any] = (render_times(column) if column.type == TIMESTAMP else column).to_pylist()
    return values


def _database_tables(frames: ArrowFrames) -> Iterator[list[dict[str, Any]] | None]:
    """The value of ``database_tables`` of each backup in turn."""
    databases, owners = _in_order(frames.databases, frames.backups, ("database_index",))
    tables, table_owners = _in_order(
        frames.tables, frames.backups, ("database_index", "table_index")
    )
    counts, table_counts = frames.backups["database_count"], databases["table_count"]
    expected = np.repeat(np.arange(frames.backups.num_rows), _filled(counts))
    expected_tables = np.repeat(owners, _filled(table_counts))
    if not (np.array_equal(owners, expected) and np.array_equal(table_owners, expected_tables)):
        raise ValueError(
            "The three tables do not belong together, or hold a backup twice. Pass those of one "
            "read, each backup once."
        )
    names = iter(tables["table_name"].to_pylist())
    entries = (
        {
            "database_name": name,
            "table_names": None if count is None else list(islice(names, count)),
        }
        for name, count in zip(
            databases["database_name"].to_pylist(), table_counts.to_pylist(), strict=True
        )
    )
    for count in counts.to_pylist():
        yield None if count is None else list(islice(entries, count))


def _in_order(
    children: pa.Table, backups: pa.Table, positions: tuple[str, ...]
) -> tuple[pa.Table, _Indices]:
    """The children in their backups' order, each one's by position; and the row of their backup."""
    parents = pc.index_in(children["backup_id"], value_set=backups["backup_id"].combine_chunks())
    owners: _Indices = parents.fill_null(-1).to_numpy().astype(np.int64)
    order = np.lexsort((*(children[name].to_numpy() for name in reversed(positions)), owners))
    return children.take(pa.array(order)), owners[order]


def _filled(counts: pa.ChunkedArray) -> _Indices:
    filled: _Indices = counts.fill_null(0).to_numpy().astype(np.int64)
    return filled
