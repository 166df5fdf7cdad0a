"""Which days are known from reading, and since when.

In: the state and what a read has proven. Out: the state's days with their verification moved on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from ...api.query import LEVELS
from ...scan.ranges import DAY_S, Grain, Span, clip_spans, covers, day_start, partition_of
from .merge import Proof
from .metadata import DayState, State


def note_verified(
    state: State, proof: Proof, *, as_of_s: int, grain: Grain, unproven: Collection[date]
) -> None:
    """Note the days that the read proves whole, or up to where.

    Args:
        state: its days are changed in place.
        proof: what was read, certified, at both levels.
        as_of_s: the read's moment.
        grain: how the lake is cut.
        unproven: partitions whose absent backups were not marked gone (the deletion guard held): they
            are not as the service has them, so they do not count as verified.
    """
    for name, day in state.days.items():
        start_s = day_start(date.fromisoformat(name))
        whole = (start_s, start_s + DAY_S)
        if partition_of(date.fromisoformat(name), grain) in unproven:
            continue
        if all(covers(proof.spans[level], whole) for level in LEVELS):
            day.verified_at_s, day.cursor_s, day.cursor_at_s = as_of_s, None, None
        else:
            _move_cursor(day, whole, proof.spans, as_of_s)


def _move_cursor(
    day: DayState, whole: Span, spans: Mapping[str, Sequence[Span]], as_of_s: int
) -> None:
    """Where a slice was read from the cursor on, move it; at the day's end the day is done."""
    cursor_s = day.cursor_s if day.cursor_s is not None else whole[0]
    reach = []
    for level in LEVELS:
        inside = clip_spans(spans[level], (cursor_s, whole[1]))
        reach.append(inside[0][1] if inside and inside[0][0] == cursor_s else cursor_s)
    if min(reach) == cursor_s:
        return
    begun_s = day.cursor_at_s if day.cursor_at_s is not None else as_of_s
    day.cursor_s, day.cursor_at_s = min(reach), begun_s
    if day.cursor_s == whole[1]:
        day.verified_at_s, day.cursor_s, day.cursor_at_s = begun_s, None, None
