"""Days that a read shows again are compared in one go; what comes of it is what each alone gives."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pyarrow as pa
import pytest
from support.lake_service import DAY, HOUR, World
from support.stores import snapshot

from backup_frames.sync import apply


def _changed_world() -> World:
    """Eight days, of which a day each has a new, a changed, a gone, a moved and a returned backup."""
    world = World()
    world.fill(days=8)
    assert world.sync().verdict == "complete"
    ids = world.ids()  # numbered from the oldest on
    back = world.service.backups[ids[42]]
    world.service.remove(back.id)
    world.clock.advance(HOUR)
    assert world.sync(is_full=True).counts["gone"] == 1
    world.clock.advance(HOUR)
    world.service.backups[back.id] = back
    world.service.add(world.service.backups[ids[3]].begin + timedelta(seconds=7))
    world.service.backups[ids[12]].status = "DELETING"
    world.service.backups[ids[30]].begin += 2 * DAY
    world.service.remove(ids[20])
    return world


def test_days_compared_together_end_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report's counts and every byte of the tables are the same, whatever is compared together."""
    made = []
    for rows in (10_000, 20, 0):
        monkeypatch.setattr(apply, "GROUP_ROWS", rows)
        world = _changed_world()
        report = world.sync(is_full=True)
        files = snapshot(world.store).items()
        tables = {key: data for key, data in files if key.startswith("backup")}
        made.append((report.counts, tables))
    assert made[0][0] | {"present": 0} == {
        "new": 1, "changed": 2, "returned": 1, "gone": 1, "held_back": 0, "present": 0
    }  # fmt: skip
    assert made[0] == made[1] == made[2]


def test_a_day_that_changed_is_read_from_the_lake_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared, merged, counted and marked: each of its files is decoded once in a run."""
    world, decoded = _changed_world(), Counter[str]()
    decode = world.store.decode

    def count(key: str, data: bytes, *, rows: int | None = None) -> pa.Table:
        decoded[key] += 1
        return decode(key, data, rows=rows)

    monkeypatch.setattr(world.store, "decode", count)
    assert world.sync(is_full=True).counts["gone"] == 1
    assert set(decoded.values()) == {1}
