"""Where the list changed since the last sync, found by counting.

In: the forecast of the state and a reader that counts. Out: the few spans to read again. The part
of the list that is closed (no backup can start there any more) is counted whole, per level, with
one request; if the number is not as foretold, both halves are, down to spans that cost less to
read than to count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Final

from ...api.query import LEVELS, MAX_LIMIT
from ...errors import RejectedError
from ...lake.ledger.counts import Forecast
from ...scan.ranges import DAY_S, Span, merge_spans
from .reader import Reader

WORTH_READING: Final = 6
"""A span that takes so many requests to read is not counted down any further: a cut costs up to
two, and each one may turn out to be needed (measured: 4 to 8 differ by a request or two)."""


BUCKETS: Final = 8
"""In so many buckets at most the levels are counted together: in one sum a backup that left and one
that came late cancel each other. The cuts differ from run to run, so no two days stay together."""
LEAST_BUCKETS: Final = 4
"""Of a level with any rows."""


def find_changed_spans(
    reader: Reader, forecast: Forecast, spans: Sequence[Span], *, count: int = BUCKETS
) -> list[Span]:
    """The spans inside `spans` whose counts are not as the forecast says.

    Costs up to `BUCKETS` requests if nothing changed, and about twice the binary logarithm of
    (rows in a bucket / 600) more for each lone change.

    Args:
        reader: counts.
        forecast: how many it should find.
        spans: where; merged.
        count: buckets, for all levels together; 0 for one each.
    """
    found = list[Span]()
    for level, bucket in _cut_buckets(reader, forecast, spans, count):
        found += _descend(reader, forecast, level, bucket)
    return merge_spans(found)


def _cut_buckets(
    reader: Reader, forecast: Forecast, spans: Sequence[Span], count: int
) -> list[tuple[str, Span]]:
    """What is counted in one request each: more of a level with more rows."""
    phase = reader.now_s / 60 * 0.618034 % 1  # the golden ratio: never near where it was lately
    rows = {level: sum(forecast.rows(level, *span) for span in spans) for level in LEVELS}
    least = LEAST_BUCKETS if count else 1
    spare = max(count - least * sum(each > 0 for each in rows.values()), 0)
    total = sum(rows.values()) or 1
    return [
        (level, bucket)
        for level, each in rows.items()
        for bucket in forecast.buckets(
            level, spans, least + spare * each // total if each else 1, phase
        )
    ]


def estimate_requests(rows: int) -> int:
    """Requests that reading so many rows of one level takes; a walk side by side takes some more."""
    if rows == 0:
        return 2  # that there is nothing must be said twice
    return 1 if rows <= MAX_LIMIT else 1 + rows * 5 // (4 * MAX_LIMIT)


def _descend(reader: Reader, forecast: Forecast, level: str, top: Span) -> Iterator[Span]:
    todo: list[tuple[Span, int | None]] = [(top, None)]  # with the count, if it is known
    while todo:
        span, found = todo.pop()
        if found is None:
            found = _count(reader, level, span)
        if found is None:  # too wide for this service: only where there is something to lose
            if span[1] - span[0] <= DAY_S:  # to count it in pieces costs what reading it does
                yield span
                continue
            halves = _halves(span)
            todo += [(half, None) for half in halves if forecast.rows(level, *half)]
            continue
        if found == forecast.matches(level, *span, reader.filter_ends):
            continue
        others = sum(forecast.rows(other, *span) for other in LEVELS if other != level)
        cost = estimate_requests(found) + estimate_requests(others)
        cut_s = forecast.cut(level, span) if cost > WORTH_READING else None
        if cut_s is None:
            yield span
            continue
        older, newer = (span[0], cut_s), (cut_s, span[1])
        is_clean = forecast.rows(level, cut_s - 1, cut_s + 1) == 0
        found_newer = reader.count(level, *newer)
        # Where no row stands at the cut, what one half has the other has not.
        todo += [(newer, found_newer), (older, found - found_newer if is_clean else None)]


def _count(reader: Reader, level: str, span: Span) -> int | None:
    """The count, None if the service refuses so wide a window (its limit is unknown)."""
    try:
        return reader.count(level, *span)
    except RejectedError as error:
        if error.status != HTTPStatus.BAD_REQUEST:
            raise
        return None


def _halves(span: Span) -> tuple[Span, Span]:
    """The span cut near its middle, at a midnight if there is one inside."""
    middle_s = (span[0] + span[1]) // 2
    midnight_s = middle_s - middle_s % DAY_S
    cut_s = midnight_s if midnight_s > span[0] else middle_s
    return (span[0], cut_s), (cut_s, span[1])
