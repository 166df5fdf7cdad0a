"""Rows held against the question: those that do not match are left out, levels are read off the rows.

In: frames of one level or both, as the service sent them. Out: the same, believing only what the rows
themselves say, where the service does not keep to its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from ..api.query import LEVELS
from .flatten import ArrowFrames


def keep_matching(
    frames: ArrowFrames, filters: Mapping[str, Sequence[str]]
) -> tuple[ArrowFrames, dict[str, int]]:
    """The rows with one of the very values that each filter names; how many others there were.

    Engines match in either case; a null never does.
    """
    left_out: dict[str, int] = {}
    for name, accepted in filters.items():
        values, wanted = frames.backups[name], pa.array(accepted, pa.string())
        if name == "datastore_type":
            values, wanted = pc.utf8_lower(values), pc.utf8_lower(wanted)
        is_match = pc.is_in(values, value_set=wanted)
        count = frames.backups.num_rows - (pc.sum(is_match).as_py() or 0)
        if count:
            left_out[name] = count
            frames = _kept(frames, is_match)
    return frames, left_out


def derive_levels(frames: ArrowFrames, levels: Sequence[str]) -> ArrowFrames:
    """Take each backup's level from its ``database_tables``; keep those of the levels asked."""
    is_table = pc.greater(pc.fill_null(frames.backups["database_count"], 0), 0)
    derived = pc.if_else(is_table, "DatabaseTable", "Instance")
    at = frames.backups.schema.get_field_index("backup_level")
    field = frames.backups.schema.field(at)
    backups = frames.backups.set_column(at, field, derived.cast(field.type))
    frames = frames._replace(backups=backups)
    if set(levels) == set(LEVELS):
        return frames
    return _kept(frames, pc.is_in(derived, value_set=pa.array(list(levels))))


def keep_within(frames: ArrowFrames, begin: datetime | None, end: datetime | None) -> ArrowFrames:
    """Only backups that began in ``[begin, end)``, to the microsecond; none without begin time."""
    is_in = frames.backups["begin_time"].is_valid()
    if begin is not None:
        is_in = pc.and_kleene(is_in, pc.greater_equal(frames.backups["begin_time"], begin))
    if end is not None:
        is_in = pc.and_kleene(is_in, pc.less(frames.backups["begin_time"], end))
    if pc.all(is_in, min_count=0).as_py():
        return frames
    return _kept(frames, is_in)


def _kept(frames: ArrowFrames, is_kept: pa.ChunkedArray) -> ArrowFrames:
    backups = frames.backups.filter(is_kept)
    ids = backups["backup_id"].combine_chunks()
    children = (
        table.filter(pc.is_in(table["backup_id"], value_set=ids))
        for table in (frames.databases, frames.tables)
    )
    return ArrowFrames(backups, *children)
