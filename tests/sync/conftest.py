"""Fixtures of the lake's tests: a model service with a lake in memory, synced or not."""

from __future__ import annotations

import pytest
from lake_service import HOUR
from lake_world import World


@pytest.fixture
def world() -> World:
    """Six days of eight backups, in a lake that a full sync made an hour ago."""
    made = World()
    made.fill(days=6)
    assert made.sync().verdict == "complete"
    made.clock.advance(HOUR)
    return made


@pytest.fixture
def empty_world() -> World:
    """A service without backups and a store without files."""
    return World()
