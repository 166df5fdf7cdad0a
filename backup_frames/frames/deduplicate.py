"""Order, and each backup once.

In: frames whose rows came in any order, some more than once (ranges overlap by a second). Out: the
same rows sorted, one per backup. Everything is a whole-column operation: a million backups take
about a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .flatten import ArrowFrames

if TYPE_CHECKING:
    import numpy.typing as npt

#: Columns that rows are sorted by, as far as a table has them. `backups` has its begin time; the
#: tables below it have the day of it.
SORT_COLUMNS = (
    "begin_time",
    "begin_date",
    "run_id",
    "backup_id",
    "database_index",
    "table_index",
    "instance_id",
    "project_id",
)

_DATABASE_KEY = ("backup_id", "database_index")
_TABLE_KEY = ("backup_id", "database_index", "table_index")


def sort_table(table: pa.Table) -> pa.Table:
    """The rows in the order every table of ours has on storage: a total order on its key.

    ``backups``: (begin_time, backup_id), oldest first, rows without begin time last. The tables
    below: (begin_date, backup_id, database_index, table_index). One chunk per column.
    """
    names = set(table.column_names)
    keys = [(name, "ascending") for name in SORT_COLUMNS if name in names]
    if table.num_rows < 2 or not keys:
        return table.combine_chunks()
    order = pc.sort_indices(table, sort_keys=keys)
    is_sorted = bool((order.to_numpy() == np.arange(len(order), dtype=np.uint64)).all())
    return (table if is_sorted else table.take(order)).combine_chunks()


def deduplicate_frames(frames: ArrowFrames) -> tuple[ArrowFrames, int]:
    """Keep each backup once, with its own databases and tables, in `sort_table`'s order.

    Args:
        frames: of one project (a backup is told by its id).

    Returns:
        The frames, and how many rows of ``backups`` were dropped. Of a backup given more than once
        the last row wins, and with it the databases and tables that came along.
    """
    once, duplicates = drop_duplicates(frames)
    return ArrowFrames(*(sort_table(table) for table in once)), duplicates


def drop_duplicates(frames: ArrowFrames) -> tuple[ArrowFrames, int]:
    """Keep each backup once, as `deduplicate_frames` does, in whatever order they are."""
    if pc.count_distinct(frames.backups["backup_id"]).as_py() == frames.backups.num_rows:
        return frames, 0
    last = _last_rows(frames.backups, ("backup_id",))
    backups = frames.backups.take(pa.array(last))
    databases = _last_children(frames.databases, _DATABASE_KEY, backups, "database_count")
    tables = _last_children(frames.tables, _TABLE_KEY, databases, "table_count")
    return ArrowFrames(backups, databases, tables), frames.backups.num_rows - len(last)


def _last_children(
    children: pa.Table, key: tuple[str, ...], parents: pa.Table, count_name: str
) -> pa.Table:
    """The children of these parents, where some were given with an older version of their parent.

    Of rows with the same key the last wins; an older version may have had more of them, so
    positions from the parent's count on go too.
    """
    children = children.take(pa.array(_last_rows(children, key)))
    counts = parents.select([*key[:-1], count_name])
    own = children.append_column("row", pa.array(np.arange(children.num_rows)))
    own = own.select([*key, "row"]).join(counts, list(key[:-1]), join_type="inner")
    is_current = pc.fill_null(pc.less(own[key[-1]], own[count_name]), False)
    return children.take(pa.array(np.sort(own.filter(is_current)["row"].to_numpy())))


def _last_rows(table: pa.Table, key: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Positions, ascending, of the last row of each key."""
    codes = np.zeros(table.num_rows, np.int64)
    for name in key:
        column = table[name].combine_chunks()
        if pa.types.is_string(column.type):
            column = column.dictionary_encode().indices
        values = column.to_numpy(zero_copy_only=False).astype(np.int64)
        codes = codes * (int(values.max(initial=0)) + 1) + values
    codes = np.unique(codes, return_inverse=True)[1] if len(key) > 1 else codes
    last = np.zeros(int(codes.max(initial=-1)) + 1, np.int64)
    last[codes] = np.arange(table.num_rows)  # of equal codes the last assignment stays
    return np.sort(last)
