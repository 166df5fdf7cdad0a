"""A backup is its id: whatever else of it changes, it keeps one row and its history."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support.format_lake import FormatLake
from support.lake_service import DAY, HOUR, LEVELS, START, Backup, World, rows_of, sync

from backup_frames.sync.maintenance.check import check_lake

DAYS = 30
PER_DAY = 5


@pytest.fixture(scope="module")
def large() -> World:
    """Thirty days of five backups, two without begin time, synced once."""
    made = World()
    made.fill(DAYS, PER_DAY)
    for level in LEVELS:
        made.service.add(None, level=level, tables=[("d", ["t"])])
    assert made.sync().verdict == "complete"
    return made


@pytest.fixture
def world(large: World) -> World:
    """The same, an hour later, to be changed."""
    made = large.copy()
    made.clock.advance(HOUR)
    return made


def timed(world: World, day: int) -> Backup:
    """A backup of that day, with databases and tables."""
    return world.service.backups[world.ids()[day * PER_DAY]]


def move(world: World, backup: Backup, **facts: object) -> None:
    for name, value in facts.items():
        setattr(backup, name, value)
    world.service._index = None


MOVES = {
    "to the day before": {"begin": START - 21 * DAY + HOUR},
    "to an older day": {"begin": START - 28 * DAY},
    "to a younger day": {"begin": START - 3 * DAY + HOUR},
    "into the head": {"begin": START + HOUR / 2},
    "to a day without any": {"begin": START - 90 * DAY},
    "to no time": {"begin": None},
    "to the other level": {"level": LEVELS[0]},
    "to another level and day": {"level": LEVELS[0], "begin": START - 2 * DAY},
    "to no time and level": {"level": LEVELS[0], "begin": None},
}
FOUND_IN_FULL = ("to the day before", "to a younger day", "to no time and level")


def test_a_small_move_is_found_when_its_days_turn_comes(world: World) -> None:
    """No count shows it; until it is read again the row is as it was, neither gone nor twice."""
    backup = timed(world, 20)
    move(world, backup, begin=START - 21 * DAY + HOUR)
    for _ in range(30):
        world.clock.advance(HOUR)
        report = sync(world.service, world.store)
        assert report.counts["gone"] == report.counts["new"] == 0
        if report.counts["changed"]:
            break
    assert rows_of(world.store)[backup.id]["begin_time"] == backup.begin
    assert report.requests < 30


@pytest.mark.parametrize(
    ("how", "is_full"),
    [
        *((how, False) for how in list(MOVES)[1:]),
        *((how, True) for how in FOUND_IN_FULL),
        *(
            pytest.param(how, True, marks=pytest.mark.slow)
            for how in MOVES
            if how not in FOUND_IN_FULL
        ),
    ],
)
def test_a_backup_that_moves_keeps_its_row(world: World, how: str, is_full: bool) -> None:
    """Its begin time or level is set to something else: changed, never gone, never twice."""
    move(world, timed(world, 20), **MOVES[how])
    report = world.sync(is_full=is_full, reread_requests=0)  # compares every row with the model
    assert report.exit_code == 0
    assert [report.counts[name] for name in ("new", "changed", "gone")] == [0, 1, 0]
    assert check_lake(world.store) == []
    assert world.sync(after=HOUR, reread_requests=0).file_count == 0


@pytest.mark.parametrize("grain", ["day", "month"])
def test_untimed_backups_move_too(grain: str) -> None:
    """Null to a day, a day to null, by turns and at once, in partitions of days and of months."""
    world = World()
    world.fill(DAYS, 5)
    world.service.add(None)
    world.sync(partition_by=grain)
    untimed, other = next(one for one in world.service.backups.values() if not one.begin), None
    for number in range(3):
        other = world.service.backups[world.ids()[40 + number]]
        move(world, untimed, begin=START - 4 * DAY + number * HOUR)
        move(world, other, begin=None)
        report = world.sync(after=HOUR, reread_requests=0)
        assert [report.counts[name] for name in ("new", "changed", "gone")] == [0, 2, 0]
        untimed = other
    assert check_lake(world.store) == []


def test_two_backups_that_change_places_are_found(world: World) -> None:
    """Their counts cancel: no row is doubled or gone on the way, and a full read sees both."""
    one, two = timed(world, 10), timed(world, 25)
    begins = one.begin, two.begin
    move(world, one, begin=begins[1])
    move(world, two, begin=begins[0])
    report = sync(world.service, world.store, reread_requests=0)
    assert report.counts["gone"] == 0
    rows_of(world.store)  # asserts that no id is there twice
    world.ledger.observe(world.service.backups, world.clock.now() + HOUR)
    report = world.sync(after=HOUR, is_full=True)
    assert report.counts["changed"] == 2


def test_a_gone_backup_that_returns_on_another_day_is_the_same(world: World) -> None:
    """Its gone_at is null again, on the new day, with its first_seen_at."""
    backup = timed(world, 15)
    world.service.remove(backup.id)
    assert world.sync(reread_requests=0).counts["gone"] == 1
    world.service.backups[backup.id] = backup
    move(world, backup, begin=START - 5 * DAY + HOUR / 3)
    report = world.sync(after=HOUR, reread_requests=0)
    assert [report.counts[name] for name in ("new", "returned", "gone")] == [0, 1, 0]


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("begin", [START - 2 * DAY + HOUR, START - 29 * DAY, None])
def test_one_that_moves_while_it_is_read_is_not_gone(
    world: World, begin: object, is_full: bool
) -> None:
    """It slips from what is not read yet into what is: the count at the end finds it."""
    backup, moved = timed(world, 20), []
    world.service.remove(timed(world, 19).id)  # so that the day before is read

    def slip() -> None:
        if not moved:
            moved.append(1)
            move(world, backup, begin=begin)

    world.service.on_part = slip
    report = sync(world.service, world.store, is_full=is_full, reread_requests=0)
    found = rows_of(world.store)[backup.id]
    assert report.verdict == "incomplete" or found["gone_at"] is None
    assert found["first_seen_at"] == START
    world.service.on_part = lambda: None
    sync(world.service, world.store, is_full=True)
    assert rows_of(world.store)[backup.id]["begin_time"] == begin
    assert rows_of(world.store)[backup.id]["gone_at"] is None


def test_a_first_read_of_a_list_that_is_edited_has_each_backup_once() -> None:
    """Edited while it is read for the first time, and shown on both days: one row."""
    world = World(seed=4)
    world.fill(DAYS, PER_DAY)
    ids, turn = world.ids(), []

    def shift() -> None:
        for one in ids[:: len(ids) // 7]:
            backup = world.service.backups[one]
            assert backup.begin is not None
            move(world, backup, begin=backup.begin + (-1) ** len(turn) * 15 * DAY)
        turn.append(1)

    world.service.on_part = shift
    sync(world.service, world.store)
    rows_of(world.store)
    world.service.on_part = lambda: None
    sync(world.service, world.store, is_full=True)
    rows = rows_of(world.store)
    assert {one: row["begin_time"] for one, row in rows.items() if row["gone_at"] is None} == {
        one: backup.begin for one, backup in world.service.backups.items()
    }
    assert check_lake(world.store) == []


def test_a_loss_and_a_late_arrival_on_other_days_are_both_found(world: World) -> None:
    """Same level, same sum: counted in buckets, whose cuts differ from run to run."""
    found = set()
    for run in range(3):
        removed = timed(world, 8)
        world.service.remove(removed.id)
        world.service.add(START - 9 * DAY + run * HOUR, level=removed.level)
        world.clock.advance(timedelta(minutes=61))
        report = sync(world.service, world.store, reread_requests=0)
        found |= {name for name in ("new", "gone") if report.counts[name]}
    assert found == {"new", "gone"}
    assert report.requests < 40


@pytest.mark.parametrize("lake_format", ["delta", pytest.param("iceberg", marks=pytest.mark.slow)])
def test_a_backup_moves_between_the_partitions_of_a_table_format(
    tmp_path: Path, lake_format: str
) -> None:
    """From a day to another, and to no time: in Delta Lake and Iceberg, too."""
    world = World(lake=FormatLake(tmp_path / "lake", lake_format))
    world.fill(6, 4)
    world.sync()
    first, second = (world.service.backups[one] for one in world.ids()[5:7])
    move(world, first, begin=START - DAY + HOUR)
    move(world, second, begin=None)
    report = world.sync(after=HOUR)
    assert [report.counts[name] for name in ("new", "changed", "gone")] == [0, 2, 0]
    assert check_lake(world.store) == []
