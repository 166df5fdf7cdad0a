"""Counting: what is foretold, and how lone changes are found among many backups."""

from __future__ import annotations

from datetime import timedelta
from math import log2
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lake_service import DAY, HOUR, LEVELS, START, ModelService, World, frames, sync

from backup_frames.errors import RejectedError
from backup_frames.lake.ledger.counts import (
    Forecast,
    StateMismatchError,
    count_days,
    present_seconds,
)
from backup_frames.lake.ledger.merge import EMPTY_LEDGER, Proof, merge_fresh
from backup_frames.lake.ledger.metadata import DayState, State
from backup_frames.scan.plan import FLOOR_S
from backup_frames.scan.ranges import DAY_S, covers, day_of, day_start
from backup_frames.sync.planning.changes import find_changed_spans

START_S = int(START.timestamp())
offsets = st.lists(
    st.tuples(
        st.integers(-5 * DAY_S, 5 * DAY_S)
        | st.integers(-5, 5).map(lambda day: day * DAY_S - day % 2),
        st.sampled_from(LEVELS),
    ),
    max_size=40,
)
moments = st.integers(-6 * DAY_S, 6 * DAY_S) | st.integers(-6, 6).map(lambda day: day * DAY_S)


def forecast_of(service: ModelService) -> Forecast:
    """The forecast of a state that saw the service as it is now."""
    rows = list(service.backups.values())
    backups = merge_fresh(EMPTY_LEDGER, frames(rows), Proof(), as_of=START).tables.backups
    state = State("p", START_S, count_days(backups, START_S))

    def load(day):
        begin_s = day_start(day)
        return {
            level: seconds[(begin_s <= seconds) & (seconds < begin_s + DAY_S)]
            for level, seconds in present_seconds(backups).items()
        }

    return Forecast(state, load)


@given(offsets, moments, moments)
@settings(max_examples=30)
def test_a_forecast_counts_every_span_right(rows, one, two):
    """Any span, at midnights, beside them, or inside a day: the number is the number."""
    service = ModelService()
    for offset, level in rows:
        service.add(START + timedelta(seconds=offset), level=level)
    forecast = forecast_of(service)
    low, high = sorted((START_S + one, START_S + two))
    for level in LEVELS:
        assert forecast.rows(level, low, high) == len(service.between(level, low, high))


@given(offsets, st.data())
@settings(max_examples=25)
def test_no_change_costs_a_few_counts_and_one_is_always_found(rows, data):
    """Nothing changed: nothing to read, in nine counts at most. One backup less or more: found."""
    service = ModelService()
    for offset, level in rows:
        service.add(START + timedelta(seconds=offset), level=level)
    forecast = forecast_of(service)
    span = (FLOOR_S, START_S + 7 * DAY_S)
    reader = service.reader()
    assert find_changed_spans(reader, forecast, [span]) == []
    assert reader.requests <= 9
    if rows and data.draw(st.booleans()):
        changed = service.backups[data.draw(st.sampled_from(sorted(service.backups)))]
        service.remove(changed.id)
    else:
        offset, level = (
            data.draw(st.integers(-5 * DAY_S, 5 * DAY_S)),
            data.draw(st.sampled_from(LEVELS)),
        )
        changed = service.add(START + timedelta(seconds=offset), level=level)
    second = int(changed.begin.timestamp())
    found = find_changed_spans(service.reader(), forecast, [span])
    assert covers(found, (second, second + 1))


@pytest.mark.parametrize("per_day", [30, 3000])
def test_a_lone_change_costs_the_logarithm(per_day):
    """Many days or few: a deletion among 12,000 is found and bounded in about 20 counts."""
    service = ModelService()
    days = 12_000 // per_day
    for number in range(12_000):
        begin = START - days * DAY + timedelta(seconds=number * DAY_S // per_day)
        service.add(begin, level=LEVELS[number % 10 == 0])
    forecast = forecast_of(service)
    removed = service.backups[sorted(service.backups)[7_777]]
    service.remove(removed.id)
    reader = service.reader()
    (span,) = find_changed_spans(reader, forecast, [(FLOOR_S, START_S)])
    assert sum(len(service.between(level, *span)) for level in LEVELS) <= 600
    assert reader.requests <= 2 + 2 * (log2(12_000 / 300) + 1)


@pytest.mark.parametrize("widest_s", [31 * DAY_S, DAY_S // 2])
def test_a_service_that_refuses_wide_windows_is_counted_in_pieces(widest_s):
    """Where 400 says that the window is too wide, halves are counted, empty time is not.

    Of days that are too wide themselves those with backups are read.
    """
    service = ModelService()
    for number in range(100):
        service.add(START - number * DAY)
    forecast = forecast_of(service)
    service.remove(sorted(service.backups)[50])
    reader = service.reader()
    count = reader.count

    def narrow(level, begin_s, end_s):
        if end_s - begin_s > widest_s:
            reader.requests += 1
            raise RejectedError("Too wide.", status=400)
        return count(level, begin_s, end_s)

    reader.count = narrow
    found = find_changed_spans(reader, forecast, [(FLOOR_S, START_S + DAY_S)])
    second = START_S - 50 * DAY_S
    assert covers(found, (second, second + 1))
    assert reader.requests < (80 if widest_s > DAY_S else 250)


def test_any_other_refusal_is_an_error():
    """A 403 on a count is not a window too wide."""
    reader = ModelService().reader()

    def refuse(*_):
        raise RejectedError("No.", status=403)

    reader.count = refuse
    with pytest.raises(RejectedError):
        find_changed_spans(reader, forecast_of(ModelService()), [(FLOOR_S, START_S)])


def test_a_state_that_does_not_fit_its_file_is_noticed():
    """The day's file is compared with the day's count when it is opened."""
    day = day_of(START_S).isoformat()
    state = State("p", START_S, {day: DayState({LEVELS[0]: (5, 0, 0)}, START_S)})
    empty = present_seconds(EMPTY_LEDGER.backups)
    with pytest.raises(StateMismatchError):
        Forecast(state, lambda _: empty).rows(LEVELS[0], START_S + 7, START_S + 9)


class FewCuts(Random):
    """Ranges as long as the model makes them: a part of half a page costs what a whole one does."""

    def choice(self, seq: Any) -> Any:
        return seq[-1]


@pytest.fixture(scope="module")
def large():
    """200,000 backups over 100 days, synced once."""
    made = World()
    made.service.random = FewCuts(0)
    for number in range(200_000):
        made.service.add(
            START - timedelta(seconds=number * 43 + 60), level=LEVELS[number % 10 == 0]
        )
    assert sync(made.service, made.store).counts["present"] == 200_000
    return made


@pytest.mark.slow
def test_an_unchanged_list_of_200_000_costs_a_handful(large):
    """No change: at most 20 requests, and no data file is written."""
    for _ in range(3):
        large.clock.advance(HOUR)
        report = sync(large.service, large.store)
        assert report.requests <= 20
        assert report.file_count == 0


@pytest.mark.slow
def test_one_deletion_among_200_000_costs_at_most_60_requests(large):
    """Found, read, marked: wherever it is."""
    for one in (5, 99_999, 150_001, 199_990):
        large.service.remove(sorted(large.service.backups)[one])
        large.clock.advance(HOUR)
        report = sync(large.service, large.store)
        assert report.counts["gone"] == 1
        assert report.requests <= 60
