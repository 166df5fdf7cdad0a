"""Rows held against the question: those that do not match are left out, levels are read off the rows.

In: frames of one level or both, as the service sent them. Out: the same, believing only what the rows
themselves say, where the service does not keep to its parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ..api.query import LEVELS
from .flatten import ArrowFrames


def keep_matching(
    frames: ArrowFrames, filters: dict[str, str]
) -> tuple[ArrowFrames, dict[str, int]]:
    """The rows with the very values the filters name; how many others there were, by filter.

    Engines match in either case; a null never does.
    """
    left_out: dict[str, int] = {}
    for name, wanted in filters.items():
        values = frames.backups[name]
        if name == "datastore_type":
            is_match = pc.equal(pc.utf8_lower(values), wanted.lower())
        else:
            is_match = pc.equal(values, wanted)
        is_match = pc.fill_null(is_match, False)
        count = frames.backups.num_rows - (pc.sum(is_match).as_py() or 0)
        if count:
            left_out[name] = count
            frames = _kept(frames, is_match)
    return frames, left_out


def relabel_tables(frames: ArrowFrames, levels: Sequence[str]) -> tuple[ArrowFrames, int, int]:
    """Take backups that came as instance-level but have ``database_tables`` as table-level.

    Returns:
        The rows of the levels asked, how many of them have another level now, and how many others
        were left out.
    """
    is_table = pc.greater(pc.fill_null(frames.backups["database_count"], 0), 0)
    is_wrong = pc.and_(pc.equal(frames.backups["backup_level"], "Instance"), is_table)
    count = pc.sum(is_wrong).as_py() or 0
    if count == 0:
        return frames, 0, 0
    if "DatabaseTable" not in levels:
        return _kept(frames, pc.invert(is_wrong)), 0, count
    level = pc.if_else(is_wrong, "DatabaseTable", frames.backups["backup_level"].cast("string"))
    return _with_levels(frames, level), count, 0


def derive_levels(frames: ArrowFrames, levels: Sequence[str]) -> ArrowFrames:
    """Take each backup's level from its ``database_tables``; keep those of the levels asked."""
    is_table = pc.greater(pc.fill_null(frames.backups["database_count"], 0), 0)
    derived = pc.if_else(is_table, "DatabaseTable", "Instance")
    frames = _with_levels(frames, derived)
    if set(levels) == set(LEVELS):
        return frames
    return _kept(frames, pc.is_in(derived, value_set=pa.array(list(levels))))


def _with_levels(frames: ArrowFrames, levels: pa.ChunkedArray) -> ArrowFrames:
    at = frames.backups.schema.get_field_index("backup_level")
    field = frames.backups.schema.field(at)
    return frames._replace(backups=frames.backups.set_column(at, field, levels.cast(field.type)))


def _kept(frames: ArrowFrames, is_kept: pa.ChunkedArray) -> ArrowFrames:
    backups = frames.backups.filter(is_kept)
    ids = backups["backup_id"].combine_chunks()
    children = (
        table.filter(pc.is_in(table["backup_id"], value_set=ids))
        for table in (frames.databases, frames.tables)
    )
    return ArrowFrames(backups, *children)
