"""Months of scheduled syncs of a living service: the lake equals the model at every step."""

from __future__ import annotations

import pytest
from support.lake_life import simulate
from support.lake_service import DAY, HOUR, World
from support.stores import MemoryStore


def test_days_of_hourly_syncs() -> None:
    """Three days with mishaps, and two weeks of daily syncs with retention and deletions."""
    simulate(1, days=3, instances=5, every=HOUR)
    simulate(2, days=16, instances=5, every=DAY)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_weeks_of_hourly_syncs(seed: int) -> None:
    """Five weeks, each hour: five times as long as an automated backup is kept."""
    life = simulate(seed, days=35, instances=8, every=HOUR)
    assert len(life.world.ledger.entries) > 400


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_year_of_daily_syncs(seed: int) -> None:
    """A year, each day, as cron would."""
    simulate(seed, days=365, instances=8, every=DAY)


def test_the_store_of_a_simulation_is_a_real_one() -> None:
    """The world's store is the one that other tests hold against the real ones."""
    assert isinstance(World().store, MemoryStore)
