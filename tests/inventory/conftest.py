"""Fixtures of the inventory's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from inventory_lab import START, Lab

from backup_frames.sandbox import Sandbox


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Sandbox(records={}, start=START) as box:
        yield Lab(tmp_path / "lake", box)
