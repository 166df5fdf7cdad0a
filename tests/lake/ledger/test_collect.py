"""Parts in any order become partitions, each once, with all their rows."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lake_service import DAY, HOUR, LEVELS, START, ModelService, frames_of

from backup_frames.frames.flatten import concat_frames
from backup_frames.frames.frames import Part
from backup_frames.lake.ledger import collect
from backup_frames.lake.ledger.collect import PartitionCollector
from backup_frames.scan.plan import CoveredSpan
from backup_frames.scan.ranges import DAY_S, clip_spans, covers, merge_spans, subtract_spans

START_S = int(START.timestamp())
spans = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def seconds(some):
    return {second for low, high in some for second in range(low, high)}


@given(spans, spans, st.tuples(st.integers(0, 30), st.integers(0, 30)))
def test_spans_are_sets_of_seconds(one, two, within):
    """Union, cut, difference and cover do what they do to sets."""
    merged, holes = merge_spans(one), merge_spans(two)
    assert seconds(merged) == seconds(one)
    assert all(low < high for low, high in merged)
    assert all(a[1] < b[0] for a, b in pairwise(merged))
    assert seconds(clip_spans(merged, within)) == seconds(one) & seconds([within])
    assert seconds(subtract_spans(merged, holes)) == seconds(one) - seconds(two)
    assert covers(merged, within) == (seconds([within]) <= seconds(one))


def part(service, *covered):
    """A part of these (level, begin_s, end_s), rows and all."""
    frames = [frames_of(service.between(level, low, high), level) for level, low, high in covered]
    return Part(
        concat_frames(frames), tuple(CoveredSpan(*one, is_certified=True) for one in covered)
    )


def fleet():
    service = ModelService(seed=1)
    for number in range(60):
        service.add(START + number * HOUR * 2, level=LEVELS[number % 3 == 0])
    return service


@given(st.lists(st.integers(1, 6 * 86400 - 1), max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_each_partition_comes_once_and_whole(cuts, shuffle):
    """Whatever the cuts and the order, each day comes with all its rows and its whole proof."""
    service, ends = fleet(), sorted({0, 6 * DAY_S, *cuts})
    pieces = [
        (level, START_S + low, START_S + high) for level in LEVELS for low, high in pairwise(ends)
    ]
    shuffle.shuffle(pieces)
    asked = [(START_S, START_S + 6 * DAY_S)]
    empty_day = (START + 5 * DAY).date()
    collector = PartitionCollector(asked, is_full=False, stored=[empty_day], grain="day")
    found = [fresh for piece in pieces for fresh in collector.add(part(service, piece))]
    assert list(collector.finish()) == []
    assert sorted(fresh.partition for fresh in found) == [
        (START + day * DAY).date() for day in range(6)
    ]
    assert sum(fresh.fresh.backups.num_rows for fresh in found) == 60
    for fresh in found:
        low = START_S + (fresh.partition - START.date()).days * DAY_S
        assert all(fresh.proof.spans[level] == [(low, low + DAY_S)] for level in LEVELS)
    assert collector.missing() == {}


@pytest.mark.parametrize("loose_rows", [0, 7, 1_000])
def test_rows_that_waited_compressed_are_as_they_came(monkeypatch, loose_rows):
    """A month comes with the rows and children of all its parts in their order, however they waited."""
    monkeypatch.setattr(collect, "LOOSE_ROWS", loose_rows)
    service, span = fleet(), (START_S, START_S + 5 * DAY_S)
    collector = PartitionCollector([span], is_full=False, stored=[], grain="month")
    parts = [
        part(service, (level, START_S + day * DAY_S, START_S + (day + 1) * DAY_S))
        for day in range(5)
        for level in LEVELS
    ]
    found = [fresh for one in parts for fresh in collector.add(one)] + list(collector.finish())
    assert len(found) == 1
    assert concat_frames(found[0].pieces) == concat_frames([one.frames for one in parts])


def test_a_partition_waits_for_both_levels():
    """One level alone proves nothing about the day."""
    service, day = fleet(), (START_S, START_S + DAY_S)
    collector = PartitionCollector([day], is_full=False, stored=[], grain="day")
    assert list(collector.add(part(service, (LEVELS[0], *day)))) == []
    assert list(collector.missing()) == [LEVELS[1]]
    assert len(list(collector.add(part(service, (LEVELS[1], *day))))) == 1


def test_rows_read_twice_prove_nothing_about_the_others():
    """A stretch that comes again after its day is done must not make the day's rest absent."""
    service, day = fleet(), (START_S, START_S + DAY_S)
    collector = PartitionCollector([day], is_full=False, stored=[], grain="day")
    whole = part(service, *((level, *day) for level in LEVELS))
    assert len(list(collector.add(whole))) == 1
    (again,) = collector.add(part(service, (LEVELS[0], START_S, START_S + 3600 * 6)))
    assert again.fresh.backups.num_rows > 0
    assert again.proof.spans == {}


def test_uncertified_stretches_are_no_part_of_the_proof():
    """Their rows come, their seconds are not proven."""
    service, day = fleet(), (START_S, START_S + DAY_S)
    collector = PartitionCollector([day], is_full=False, stored=[], grain="day")
    rows = part(service, *((level, *day) for level in LEVELS))
    doubtful = tuple(CoveredSpan(level, *day, is_certified=False) for level in LEVELS)
    (fresh,) = collector.add(Part(rows.frames, doubtful))
    assert fresh.fresh.backups.num_rows == 12
    assert not any(fresh.proof.spans.values())


def test_what_was_not_covered_still_comes_at_the_end():
    """A read that broke off hands out the rows it has, with the proof it has."""
    service, day = fleet(), (START_S, START_S + DAY_S)
    collector = PartitionCollector([day], is_full=False, stored=[], grain="day")
    assert list(collector.add(part(service, (LEVELS[0], *day)))) == []
    (fresh,) = collector.finish()
    assert fresh.partition == START.date()
    assert fresh.proof.spans == {LEVELS[0]: [day], LEVELS[1]: []}


def test_a_backup_at_both_levels_is_one_backup():
    """Should a service ignore the level it is asked for, Instance counts."""
    service, day = fleet(), (START_S, START_S + DAY_S)
    rows = list(service.between(LEVELS[0], *day))
    collector = PartitionCollector([day], is_full=False, stored=[], grain="day")
    found = []
    for level in LEVELS:
        piece = Part(frames_of(rows, level), (CoveredSpan(level, *day, is_certified=True),))
        found += collector.add(piece)
    (fresh,) = found
    assert fresh.fresh.backups["backup_level"].unique().to_pylist() == ["Instance"]
    assert fresh.fresh.backups.num_rows == len(rows)


def test_months_wait_for_all_their_days():
    """Grain month: the partition is whole when its last day is."""
    service = fleet()
    collector = PartitionCollector(
        [(START_S, START_S + 31 * DAY_S)], is_full=False, stored=[], grain="month"
    )
    found = []
    for day in range(31):
        low = START_S + day * DAY_S
        found += collector.add(part(service, *((level, low, low + DAY_S) for level in LEVELS)))
        assert len(found) == (day == 30)
    assert found[0].partition == date(2026, 1, 1)
    assert found[0].fresh.backups.num_rows == 60
    assert timedelta(days=31) == timedelta(seconds=31 * DAY_S)
