"""Counts of present backups: taken from a partition's rows, and foretold for any span.

In: a partition's `backups` as stored; the state's days. Out: the state's days of that partition,
and how many rows a count over a span should find if nothing left the list.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...api.query import LEVELS
from ...errors import LakeError
from ...scan.plan import CEILING_S, FLOOR_S
from ...scan.ranges import DAY_S, Span, day_of, day_start
from .merge import begin_seconds
from .metadata import DayState, State

if TYPE_CHECKING:
    import numpy.typing as npt

FINAL_STATUSES = pa.array(["COMPLETED", "FAILED"])
"""A backup in one of these no longer changes by itself (reference page, ``status``)."""

_LEVELS = pa.array(LEVELS)

Seconds: TypeAlias = "npt.NDArray[np.int64]"
LoadSeconds = Callable[[date], Mapping[str, Seconds]]


class StateMismatchError(LakeError):
    """The state does not fit the files it was made from; it is thrown away, not raised."""


def present_seconds(backups: pa.Table) -> dict[str, Seconds]:
    """Per level the sorted seconds in which present backups began, without those unknown."""
    is_timed, begin_s = _timed_mask(backups), begin_seconds(backups)
    return _seconds_by_level(backups, is_timed, begin_s)


def seconds_of_day(backups: pa.Table, day: date) -> dict[str, Seconds]:
    """Of a partition's present backups those of one day; see `present_seconds`."""
    begin_s = day_start(day)
    return {
        level: seconds[(begin_s <= seconds) & (seconds < begin_s + DAY_S)]
        for level, seconds in present_seconds(backups).items()
    }


def count_days(backups: pa.Table, verified_at_s: int) -> dict[str, DayState]:
    """The days of some partitions as the state keeps them, days without a present backup left out."""
    days = dict[str, DayState]()
    is_timed, begin_s = _timed_mask(backups), begin_seconds(backups)
    for level, seconds in _seconds_by_level(backups, is_timed, begin_s).items():
        starts_s = np.unique(seconds // DAY_S * DAY_S)
        edges = np.searchsorted(seconds, np.add.outer(starts_s, (0, 1, DAY_S - 1, DAY_S)))
        for start_s, (first, second, last, end) in zip(
            starts_s.tolist(), edges.tolist(), strict=True
        ):
            day = days.setdefault(day_of(start_s).isoformat(), DayState({}, verified_at_s))
            day.counts[level] = (end - first, second - first, end - last)
    is_final = pc.is_in(backups["status"], value_set=FINAL_STATUSES)
    is_open = is_timed & ~np.asarray(is_final, dtype=bool)
    for second in np.unique(begin_s[is_open]).tolist():
        days[day_of(second).isoformat()].open_s.append(second)
    return days


def count_untimed(backups: pa.Table) -> dict[str, int]:
    """Per level the present backups without begin time, levels without any left out."""
    is_unknown = pc.and_(backups["gone_at"].is_null(), backups["begin_time"].is_null())
    levels = backups.filter(is_unknown)["backup_level"].to_pylist()
    return {level: levels.count(level) for level in LEVELS if level in levels}


def count_present(state: State) -> dict[str, int]:
    """Per level the present backups that a state knows of."""
    days = [day.counts for day in state.days.values()]
    return {
        level: sum(counts.get(level, (0, 0, 0))[0] for counts in days) + state.untimed.get(level, 0)
        for level in LEVELS
    }


class Forecast:
    """How many rows counts should find, from the state; inside a day, from its file.

    Args:
        state: per-day counts of present backups.
        load: the sorted begin seconds of a day's present backups, per level.
    """

    def __init__(self, state: State, load: LoadSeconds) -> None:
        self._load = load
        self._days = {date.fromisoformat(day): known for day, known in state.days.items()}
        self._dates = sorted(self._days)
        self._seconds = dict[date, Mapping[str, Seconds]]()
        self._before: dict[str, Seconds] = {
            level: np.concatenate(
                [[0], np.cumsum([self._count(day, level) for day in self._dates], dtype=np.int64)]
            )
            for level in LEVELS
        }

    def rows(self, level: str, begin_s: int, end_s: int) -> int:
        """Rows of a level that began in ``[begin_s, end_s)``."""
        return self._rows_before(level, end_s) - self._rows_before(level, begin_s)

    def matches(self, level: str, begin_s: int, end_s: int, ends: tuple[bool, bool]) -> int:
        """Rows that a count over ``[begin_s, end_s)`` finds on the wire.

        It asks from a second before to the end itself; `ends` says which of these two bounds
        the service counts as inside.
        """
        return self.rows(level, begin_s - ends[0], end_s + ends[1])

    def buckets(self, level: str, spans: Sequence[Span], count: int, phase: float) -> list[Span]:
        """The spans, cut at so many midnights at most, into buckets of about the same rows.

        Args:
            level: whose rows.
            spans: merged.
            count: buckets wanted.
            phase: from 0 to 1: the size of the first among them, so that runs differ in their cuts.
        """
        total = sum(self.rows(level, *span) for span in spans)
        wanted = [total * (number + phase) / (count - 1) for number in range(count - 1)]
        places = np.searchsorted(self._before[level], wanted, side="right")
        cuts = {day_start(self._dates[at]) for at in places.tolist() if at < len(self._dates)}
        buckets = list[Span]()
        for begin_s, end_s in spans:
            inside = [cut_s for cut_s in sorted(cuts) if begin_s < cut_s < end_s]
            buckets += pairwise([begin_s, *inside, end_s])
        return buckets

    def cut(self, level: str, span: Span) -> int | None:
        """A second that parts the span into halves of rows: a midnight if there is one."""
        begin_s, end_s = span
        rows = self.rows(level, begin_s, end_s)
        middle = self._rows_before(level, begin_s) + rows // 2
        if rows:
            at = bisect_right(self._before[level], middle) - 1
            day = self._dates[min(at, len(self._dates) - 1)]
            midnights = [day_start(day), day_start(day) + DAY_S]
        else:
            half = (begin_s + (end_s - begin_s) // 2) // DAY_S * DAY_S
            midnights = [half, half + DAY_S]
        inside = [second for second in midnights if begin_s < second < end_s]
        if inside:
            return min(inside, key=lambda second: abs(self._rows_before(level, second) - middle))
        return self._cut_inside_day(level, span) if rows else None

    def _cut_inside_day(self, level: str, span: Span) -> int | None:
        seconds = self._load_day(day_of(span[0]))[level]
        inside = seconds[bisect_left(seconds, span[0]) : bisect_left(seconds, span[1])]
        distinct = np.unique(inside)
        later = distinct[distinct > span[0]]
        if not len(later):
            return None
        middle = int(inside[len(inside) // 2])
        return middle if middle > span[0] else int(later[0])

    def _rows_before(self, level: str, second: int) -> int:
        if not FLOOR_S < second < CEILING_S:
            return int(self._before[level][-1]) if second >= CEILING_S else 0
        day, offset = day_of(second), second % DAY_S
        at = bisect_left(self._dates, day)
        rows = int(self._before[level][at])
        if offset == 0 or at == len(self._dates) or self._dates[at] != day:
            return rows
        count, first, last = self._days[day].counts.get(level, (0, 0, 0))
        if count == 0 or offset == 1:
            return rows + first
        if offset == DAY_S - 1:
            return rows + count - last
        return rows + bisect_left(self._load_day(day)[level], second)

    def _load_day(self, day: date) -> Mapping[str, Seconds]:
        if day not in self._seconds:
            seconds = self._load(day)
            for level in LEVELS:
                if len(seconds[level]) != self._count(day, level):
                    raise StateMismatchError(f"The state does not fit the files of {day}.")
            self._seconds[day] = seconds
        return self._seconds[day]

    def _count(self, day: date, level: str) -> int:
        known = self._days.get(day)
        return known.counts.get(level, (0, 0, 0))[0] if known else 0


def merge_levels(state: State, load: LoadSeconds) -> tuple[State, LoadSeconds]:
    """A state and its loader as a service sees them that lists every backup at both levels."""

    def load_both(day: date) -> Mapping[str, Seconds]:
        both = np.sort(np.concatenate(list(load(day).values())))
        return dict.fromkeys(LEVELS, both)

    days = {
        name: msgspec.structs.replace(
            day,
            counts=dict.fromkeys(
                LEVELS, tuple(map(sum, zip(*day.counts.values(), strict=True))) or (0, 0, 0)
            ),
        )
        for name, day in state.days.items()
    }
    return msgspec.structs.replace(state, days=days), load_both


def _timed_mask(backups: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows are present and have a begin time."""
    is_timed = pc.and_(backups["gone_at"].is_null(), backups["begin_time"].is_valid())
    return np.asarray(is_timed, dtype=bool)


def _seconds_by_level(
    backups: pa.Table, is_timed: npt.NDArray[np.bool_], begin_s: Seconds
) -> dict[str, Seconds]:
    number = pc.index_in(backups["backup_level"], value_set=_LEVELS).to_numpy()
    return {level: np.sort(begin_s[is_timed & (number == at)]) for at, level in enumerate(LEVELS)}
