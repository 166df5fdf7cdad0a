"""Arithmetic on spans of seconds and on partitions' dates.

In: half-open spans ``(begin_s, end_s)`` of epoch seconds. Out: the same, sorted, disjoint, not
touching. A partition is named by a date (UTC): a day, or the first day of a month.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final, Literal

Span = tuple[int, int]
Grain = Literal["day", "month"]

DAY_S: Final = 86400

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """The union, sorted; empty spans vanish, touching ones grow together."""
    merged = list[Span]()
    for begin_s, end_s in sorted(spans):
        if begin_s >= end_s:
            continue
        if merged and begin_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end_s, merged[-1][1]))
        else:
            merged.append((begin_s, end_s))
    return merged


def clip_spans(spans: Sequence[Span], within: Span) -> list[Span]:
    """What of merged `spans` lies inside `within`."""
    first = max(bisect_right(spans, (within[0],)) - 1, 0)
    clipped = list[Span]()
    for begin_s, end_s in spans[first:]:
        if begin_s >= within[1]:
            break
        if end_s > within[0]:
            clipped.append((max(begin_s, within[0]), min(end_s, within[1])))
    return clipped


def subtract_spans(spans: Iterable[Span], holes: Sequence[Span]) -> list[Span]:
    """What of merged `spans` lies outside merged `holes`."""
    rest = list[Span]()
    for begin_s, end_s in spans:
        cursor_s = begin_s
        for hole_begin_s, hole_end_s in clip_spans(holes, (begin_s, end_s)):
            if cursor_s < hole_begin_s:
                rest.append((cursor_s, hole_begin_s))
            cursor_s = hole_end_s
        if cursor_s < end_s:
            rest.append((cursor_s, end_s))
    return rest


def covers(spans: Sequence[Span], asked: Span) -> bool:
    """Whether merged `spans` hold every second of `asked`; of an empty one they always do."""
    return asked[0] >= asked[1] or clip_spans(spans, asked) == [asked]


def day_of(second: int) -> date:
    """The UTC day of an epoch second; seconds beyond the calendar's ends count to its ends."""
    ordinal = _EPOCH_DAY + second // DAY_S
    return date.fromordinal(min(max(ordinal, 1), date.max.toordinal()))


def day_start(day: date) -> int:
    """The epoch second at which a UTC day begins."""
    return (day.toordinal() - _EPOCH_DAY) * DAY_S


def partition_of(day: date, grain: Grain) -> date:
    """The date that names the partition of a day."""
    return day if grain == "day" else day.replace(day=1)


def around_partition(partition: date, grain: Grain) -> Span:
    """The partition's seconds and one more at both ends: no count beside it then touches its rows."""
    begin_s, end_s = partition_span(partition, grain)
    return begin_s - 1, end_s + 1


def partition_span(partition: date, grain: Grain) -> Span:
    """The seconds whose backups live in a partition."""
    if grain == "day":
        return day_start(partition), day_start(partition) + DAY_S
    month_days = monthrange(partition.year, partition.month)[1]
    return day_start(partition), day_start(partition) + month_days * DAY_S
