"""From some to none always looks like a fault, however few they were."""

from __future__ import annotations

import pytest
from support.lake_service import DAY, HOUR, LEVELS, START, World, sync

GRAINS = ["day", "month"]


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("count", [1, 2, 20, 21])
def test_all_that_vanish_at_once_are_held_back(count: int, is_full: bool) -> None:
    """None is marked, it exits with 6, run by run, until they are back or it is allowed."""
    world = World()
    for number in range(count):
        world.service.add(START - 3 * DAY + number * HOUR, level=LEVELS[number % 2])
    world.sync()
    kept = dict(world.service.backups)
    world.service.remove(*kept)
    for _ in range(2):
        report = world.sync(after=HOUR, is_full=is_full)
        assert (report.exit_code, report.is_guarded) == (6, True)
        assert (report.counts["gone"], report.counts["held_back"]) == (0, count)
        assert "allow_mass_deletion=True" in report.reasons[-1]
    world.service.backups.update(kept)
    world.service._index = None
    assert world.sync(after=HOUR).exit_code == 0
    world.service.remove(*kept)
    report = world.sync(after=HOUR, is_full=is_full, allow_mass_deletion=True)
    assert (report.exit_code, report.counts["gone"]) == (0, count)
    assert world.sync(after=HOUR).exit_code == 0


def test_a_level_that_comes_empty_is_held_back() -> None:
    """Its list is asked by itself, and may come empty by itself; a few of it may go."""
    world = World()
    world.fill(days=6, per_day=20)
    world.sync()
    table_level = [one.id for one in world.service.backups.values() if one.level == LEVELS[1]]
    world.service.remove(*table_level[:-6])
    assert world.sync(after=HOUR).exit_code == 0
    world.service.remove(*table_level[-6:])
    assert world.sync(after=HOUR).exit_code == 6


def test_a_project_that_turns_over_does_not_stop() -> None:
    """The only backup is replaced each day: something is left, so nothing is held back."""
    world = World()
    for _ in range(3):
        world.service.remove(*world.ids())
        world.service.add(world.clock.now())
        assert world.sync(after=DAY).exit_code == 0


def test_a_list_that_changes_in_each_reading_loses_nothing() -> None:
    """While no two counts agree, a backup that is not shown may be shown elsewhere: none is gone."""
    world = World()
    world.fill(days=30, per_day=5)
    world.sync()
    old = world.ids()[:100:3]
    world.service.remove(old.pop())
    world.service.on_part = lambda: world.service.remove(old.pop())
    report = sync(world.service, world.store, is_full=True, allow_mass_deletion=True)
    assert (report.exit_code, report.counts["gone"]) == (6, 0)
    assert "changed again and again" in report.reasons[-1]
    world.service.on_part = lambda: None
    assert world.sync(after=HOUR, allow_mass_deletion=True).exit_code == 0
