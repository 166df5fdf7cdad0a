"""What is to be read: spans of time per level, and where to cut them.

In: begin and end of a question. Out: whole-second spans ``[begin_s, end_s)`` in epoch seconds, the
query for one look at a span, and the second at which a span is cut into two of about equal rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from ..api.query import BackupQuery
from ..api.wire.times import EPOCH, FIRST_S, LAST_S, SECOND

FLOOR_S: Final = FIRST_S
"""0001-01-01: a read without ``begin`` starts here. Services write it for a time that is not set."""
CEILING_S: Final = LAST_S + 1
"""The end of the year 9999: a read without ``end`` goes this far; clocks of instances run ahead."""
SERVICE_START_S: Final = 1420070400
"""2015-01-01, before the service began: the start where it refuses wide windows."""
DAY_S: Final = 86400


@dataclass(frozen=True, slots=True)
class CoveredSpan:
    """A stretch of begin times that was read at one level.

    Attributes:
        level: ``Instance`` or ``DatabaseTable``.
        begin_s: first second, included; None (with ``end_s``) for the rows without begin time.
        end_s: end second, excluded.
        is_certified: whether the read proves that no row of the span was skipped.
    """

    level: str
    begin_s: int | None
    end_s: int | None
    is_certified: bool


def to_span(begin: datetime | None, end: datetime | None) -> tuple[int, int]:
    """The whole-second span of a question; what is omitted is supplied, rounded outward."""
    begin_s = FLOOR_S if begin is None else (begin - EPOCH) // SECOND
    end_s = CEILING_S if end is None else -((EPOCH - end) // SECOND)
    return begin_s, end_s


def to_moment(second: int) -> datetime:
    """The aware UTC datetime of an epoch second; the calendar's ends for what lies beyond them."""
    if second > LAST_S:
        return datetime.max.replace(tzinfo=UTC)
    return EPOCH + timedelta(seconds=max(second, FIRST_S))


def look_at(query: BackupQuery, begin_s: int, end_s: int) -> BackupQuery:
    """The query for ``[begin_s, end_s)``, one second wider at both ends.

    Whether the service includes its ``begin_time`` and ``end_time`` is unknown; asked one second
    beyond, an answer holds the whole span either way, and the rest is trimmed. At the calendar's
    ends there is no second beyond.
    """
    return ask_window(query, begin_s - 1, end_s)


def ask_window(query: BackupQuery, begin_s: int, end_s: int) -> BackupQuery:
    """The query for the window from one second to another, as far as the calendar goes."""
    return replace(query, begin=to_moment(begin_s), end=to_moment(min(end_s, LAST_S)))


def cut_second(begin_s: int, end_s: int, rows_per_s: float, rows: int, align_s: int) -> int | None:
    """Where to cut a span so that both parts hold about half its rows; None if it cannot be cut.

    Args:
        begin_s: first second of the span.
        end_s: its end, excluded.
        rows_per_s: density seen at its newer end; 0 if unknown.
        rows: rows it is believed to hold.
        align_s: prefer cuts at multiples of this, such as 86400 for midnights.
    """
    width_s = end_s - begin_s
    if width_s < 2:
        return None
    half_s = width_s // 2
    if rows_per_s > 0:
        half_s = int(min(half_s, max(1.0, rows / 2 / rows_per_s)))
    cut = end_s - half_s
    aligned = cut - cut % align_s
    if begin_s < aligned < end_s:
        return aligned
    return cut if begin_s < cut < end_s else None
