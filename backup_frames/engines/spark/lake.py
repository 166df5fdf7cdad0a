"""A lake as a Spark source: tasks by days, each reading its files through the lake itself.

In: options and a stretch of days. Out: Arrow tables as `open_lake` gives them. Checksums of pages
and the fixed schema hold here as they do there. No Spark is needed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from ...frames.partitions import NO_DATE
from ...frames.schema import FRAME_TABLES
from .options import SourceOptions

if TYPE_CHECKING:
    from ...lake.lake import Lake

_PARTS: Final = 32
_DATE: Final = re.compile(r"date=(\d{4}-\d{2}-\d{2})/")


@dataclass(frozen=True)
class LakeDays:
    """What one task reads of a lake.

    Attributes:
        begin: first day, included; None without bound.
        end: end of the days, excluded; None without bound.
        is_untimed: instead of days, the rows without begin time.
    """

    begin: date | None = None
    end: date | None = None
    is_untimed: bool = False


def plan_days(options: SourceOptions) -> list[LakeDays]:
    """Plan a read of a lake: stretches of days with as many files each, and the untimed rows.

    Costs one listing of the table. Tables that are not split by date are read by one task.
    """
    if options.is_empty:
        return []
    if options.table not in FRAME_TABLES:
        return [LakeDays()]
    paths = [file.path for file in _open(options).dataset(options.table).get_fragments()]
    found = (_DATE.search(path) for path in paths)
    days = sorted({date.fromisoformat(match[1]) for match in found if match} - {NO_DATE})
    step = -(-len(days) // (options.partitions or _PARTS)) or 1
    edges: list[date | None] = [None, *days[step::step], None]
    planned = [LakeDays(*pair) for pair in pairwise(edges)]
    return [*planned, LakeDays(is_untimed=True)] if options.is_full else planned


def read_days(options: SourceOptions, days: LakeDays) -> pa.Table:
    """Read some days of a lake's table.

    Raises:
        LakeError: there is no lake, or a file is damaged.
    """
    lake = _open(options)
    dataset = lake.dataset(options.table)
    if options.table not in FRAME_TABLES:
        return dataset.to_table()
    in_days = _in_days(days)
    wanted = in_days & _wanted(options)
    if options.table == "backups":
        return dataset.to_table(filter=wanted)
    key = ["project_id", "backup_id"]
    backups = lake.dataset("backups").to_table(columns=key, filter=wanted)
    return dataset.to_table(filter=in_days).join(backups, key, join_type="left semi")


def _open(options: SourceOptions) -> Lake:
    # at the top it would cost every process that reads the service only a second
    from ...lake.lake import open_lake  # noqa: PLC0415  # see above

    return open_lake(options.lake or "")


def _in_days(days: LakeDays) -> pc.Expression:
    begin_date = pc.field("begin_date")
    if days.is_untimed:
        return begin_date.is_null()
    held = begin_date.is_valid()
    if days.begin is not None:
        held &= begin_date >= pa.scalar(days.begin)
    if days.end is not None:
        held &= begin_date < pa.scalar(days.end)
    return held


def _wanted(options: SourceOptions) -> pc.Expression:
    """The backups asked for."""
    wanted = pc.scalar(True)
    for name, value in options.filters.items():
        wanted &= pc.field(name) == value
    if options.present:
        wanted &= pc.field("gone_at").is_null()
    if options.project_ids:
        wanted &= pc.field("project_id").isin(list(options.project_ids))
    if len(options.levels) == 1:
        wanted &= pc.field("backup_level") == options.levels[0]
    if options.begin is not None:
        wanted &= pc.field("begin_time") >= pa.scalar(options.begin)
    if options.end is not None:
        wanted &= pc.field("begin_time") < pa.scalar(options.end)
    return wanted
