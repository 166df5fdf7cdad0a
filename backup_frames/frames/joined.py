"""The three tables as one flat table, for a pivot table, a spreadsheet, a quick look.

In: `ArrowFrames`. Out: one Arrow table whose grain is the finest there is: a row per table name, per
database without named tables, per backup without databases. What all have (project, backup, day) is
there once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from .flatten import ArrowFrames

_BACKUP: Final = ["project_id", "backup_id"]
_DATABASE: Final = [*_BACKUP, "database_index"]
_KIB_PER_GIB: Final = 2**20


def join_frames(frames: ArrowFrames) -> pa.Table:
    """Join backups, databases and tables; sorted by (begin_time, backup_id) and list positions.

    Adds ``size_gib`` (GiB) and ``duration_s`` (seconds from begin to end; null where either is
    absent). Sizes stand in every row of a backup: sum them over distinct backups only.
    """
    order = pa.array(range(frames.backups.num_rows), pa.int64())
    backups = frames.backups.append_column("_order", order)
    databases = frames.databases.drop_columns(["begin_date"])
    tables = frames.tables.drop_columns(["begin_date", "database_name"])
    flat = databases.join(tables, _DATABASE, join_type="left outer")
    flat = backups.join(flat, _BACKUP, join_type="left outer")
    flat = flat.sort_by(
        [(name, "ascending") for name in ("_order", "database_index", "table_index")]
    )
    begin, end = (pc.cast(flat[name], pa.int64()) for name in ("begin_time", "end_time"))
    flat = flat.append_column("size_gib", pc.divide(flat["size_kb"], float(_KIB_PER_GIB)))
    duration = pc.divide(pc.cast(pc.subtract(end, begin), pa.float64()), 1e6)
    return flat.append_column("duration_s", duration).drop_columns(["_order"])
