"""What a sync reads: everything, or the head and whatever of the rest is due or has changed.

In: the state of the last sync, its forecast, the reader's moment. Out: the spans to read. This
is where a sync's cost is decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from ...api.query import LEVELS, MAX_LIMIT
from ...lake.ledger.counts import (
    Forecast,
    LoadSeconds,
    Seconds,
    StateMismatchError,
    merge_levels,
    seconds_of_day,
)
from ...lake.ledger.metadata import State
from ...lake.ledger.recovery import DamagedFileError, ProjectRecords, load_table, survey_ledger
from ...lake.storage.layout import parse_key
from ...lake.storage.store import Store
from ...scan.ranges import (
    DAY_S,
    Grain,
    Span,
    around_partition,
    covers,
    day_start,
    merge_spans,
    partition_of,
    partition_span,
    subtract_spans,
)
from .changes import BUCKETS, estimate_requests, find_changed_spans
from .proof import recall
from .reader import Reader

FEWEST_REREADS: Final = 3
"""What open and changed backups cost is taken from the budget for old days, but so much is left:
however busy the list is, each old day gets its turn. A day with rows at one level takes three."""


@dataclass(frozen=True)
class SyncSettings:
    """How a sync goes about it.

    Attributes:
        partition_by: "day" or "month"; None takes what the lake has, "day" for a new one.
        overlap_s: how far before the last sync's moment the head begins, in seconds.
        reread_requests: about so many requests a run go into reading old days again.
        is_full: read everything.
        allow_mass_deletion: let go of the deletion guard.
        accept_clock_skew: go on although this machine's clock is more than a day off.
        threads: partitions written side by side.
    """

    partition_by: Grain | None = None
    overlap_s: int = 3600
    reread_requests: int = 10
    is_full: bool = False
    allow_mass_deletion: bool = False
    accept_clock_skew: bool = False
    threads: int = 8


@dataclass(frozen=True)
class SyncPlan:
    """The spans a sync reads at both levels.

    Attributes:
        spans: merged, in seconds.
        is_full: everything is read, backups without begin time included.
        expected_requests: requests that reading them takes, about; None if all is read.
    """

    spans: list[Span]
    is_full: bool
    expected_requests: int | None


def make_plan(
    reader: Reader,
    store: Store,
    records: ProjectRecords,
    state: State,
    damaged: set[date],
    settings: SyncSettings,
) -> tuple[SyncPlan, State]:
    """Plan a run, and hand back the state that it goes by: made anew if it does not fit the files.

    Args:
        reader: counts; `Reader.known` is set to what need not be proven again.
        store: the lake.
        records: the project's.
        state: what is known.
        damaged: partitions that cannot be read; those that turn out to be join them.
        settings: the run's.
    """
    if not settings.is_full and state.as_of_s is not None:
        reader.known = recall(state.proof, reader.certificate, now_s=reader.now_s)

        def load(day: date) -> Mapping[str, Seconds]:
            partition = partition_of(day, records.grain)
            if partition in damaged:  # for estimates of what it costs to read
                counts = state.days[day.isoformat()].counts
                return {
                    level: np.full(counts.get(level, (0, 0, 0))[0], day_start(day))
                    for level in LEVELS
                }
            return seconds_of_day(load_table(store, records, "backups", partition), day)

        with suppress(StateMismatchError):
            while True:
                try:
                    return _plan_known(reader, records, state, load, damaged, settings), state
                except DamagedFileError as error:
                    parts = parse_key(error.path or "")
                    if parts is None or parts.partition is None:
                        raise
                    damaged.add(parts.partition)
        state = survey_ledger(store, records)
    reader.known = None
    return SyncPlan([(reader.begin_floor_s, reader.end_ceiling_s)], True, None), state


def _plan_known(
    reader: Reader,
    records: ProjectRecords,
    state: State,
    load: LoadSeconds,
    damaged: set[date],
    settings: SyncSettings,
) -> SyncPlan:
    """Read the head, open backups, what counting shows to have changed, and a few old days.

    What a dead run left half done is read again; what has no files that can be read is read in case
    it has by now, and not counted. Costs what `find_changed_spans` does on a list that did not change.
    """
    if reader.known is not None and reader.known.is_level_ignored:
        state, load = merge_levels(state, load)
    torn = [partition_span(day, records.grain) for day in records.torn]
    lost = merge_spans(around_partition(day, records.grain) for day in damaged)
    forecast = Forecast(state, load)
    last_s = reader.now_s if state.as_of_s is None else min(state.as_of_s, reader.now_s)
    head_s = max(last_s - settings.overlap_s, reader.begin_floor_s)
    head = (head_s, max(reader.end_ceiling_s, head_s + 1))
    spans = [head, *torn, *lost, *_open_spans(state, forecast, head_s)]
    closed = subtract_spans([(reader.begin_floor_s, head_s)], lost)
    reread_requests = settings.reread_requests
    # What is read again in every run anyway need not be counted in buckets.
    is_small = sum(_cost(forecast, span) for span in closed) <= reread_requests
    buckets = 0 if is_small else BUCKETS
    spans += find_changed_spans(reader, forecast, closed, count=buckets)
    spans = merge_spans(spans)
    cost = sum(_cost(forecast, span) for span in spans[:-1])  # the last is the head
    cost += buckets // 4  # they see in part what reading old days again is for
    budget = max(reread_requests - cost, min(reread_requests, FEWEST_REREADS))
    due = _due_spans(state, forecast, load, spans, head_s=head_s, budget=budget)
    spans = merge_spans([*spans, *due])
    return SyncPlan(spans, False, sum(_cost(forecast, span) for span in spans))


def _cost(forecast: Forecast, span: Span) -> int:
    return sum(estimate_requests(forecast.rows(level, *span)) for level in LEVELS)


def _open_spans(state: State, forecast: Forecast, head_s: int) -> Iterator[Span]:
    """Second by second where backups were not final yet, or the days' stretch if that is less."""
    each = estimate_requests(1) + estimate_requests(0)  # the other level is asked, too
    for day in state.days.values():
        seconds = [second for second in day.open_s if second < head_s]
        if not seconds:
            continue
        start_s = seconds[0] // DAY_S * DAY_S
        if each * len(seconds) <= _cost(forecast, (start_s, start_s + DAY_S)):
            yield from ((second, second + 1) for second in seconds)
        else:
            yield seconds[0], seconds[-1] + 1


def _due_spans(
    state: State,
    forecast: Forecast,
    load: LoadSeconds,
    planned: list[Span],
    *,
    head_s: int,
    budget: int,
) -> list[Span]:
    """The least recently verified days before the head that fit into the budget of requests.

    Neighbours are read as one span. A day that is too large for the budget alone is read in
    slices, run by run, from the cursor that the state keeps.
    """
    dates = sorted(map(date.fromisoformat, state.days))
    place = {day: number for number, day in enumerate(dates)}
    oldest = sorted(dates, key=lambda day: (state.days[day.isoformat()].verified_at_s, day))
    due, last_place = list[Span](), -2
    for day in oldest:
        start_s = state.days[day.isoformat()].cursor_s or day_start(day)
        span = (start_s, day_start(day) + DAY_S)
        if span[1] > head_s or covers(planned, span):
            continue
        is_next = place[day] == last_place + 1 and bool(due)
        extended = (due[-1][0], span[1]) if is_next else span
        others = due[:-1] if is_next else due
        if sum(_cost(forecast, other) for other in [*others, extended]) > budget:
            if not due and budget >= len(LEVELS):
                due.append(_slice(load(day), span, budget))
            break
        due, last_place = [*others, extended], place[day]
    return due


def _slice(seconds: Mapping[str, Seconds], span: Span, budget: int) -> Span:
    """As much of the span, from its begin, as the budget reads; at least one second with rows."""
    begins = np.sort(np.concatenate([seconds[level] for level in LEVELS]))
    begins = begins[begins >= span[0]]
    at = max(1, (budget - len(LEVELS)) * MAX_LIMIT * 4 // 5)
    if at >= len(begins):
        return span
    end_s = int(begins[at])
    return span[0], end_s if end_s > begins[0] else end_s + 1
