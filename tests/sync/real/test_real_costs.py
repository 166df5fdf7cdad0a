"""What a sync costs on large accounts: real requests to a service with hundreds of thousands of backups."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from support.real_lab import stamps

from backup_frames.sandbox import Sandbox
from backup_frames.sync.one_project import SyncReport, sync_backups

pytestmark = pytest.mark.slow


class Large(NamedTuple):
    """A large account and its lake, synced once."""

    box: Sandbox
    lake: Path

    def sync(self) -> tuple[SyncReport, int]:
        """One sync, and how many requests really came, whatever the report says."""
        before = self.box.request_count
        report = sync_backups(
            lake=str(self.lake),
            endpoint=self.box.endpoint,
            project_id=self.box.project_id,
            token=self.box.token,
            clock=self.box.clock,
        )
        return report, self.box.request_count - before


@pytest.fixture(scope="module", params=[200_000, 1_000_000], ids=lambda count: f"{count:_}")
def large(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Large]:
    """As many backups, over two years; in the million none is still being built.

    Unfinished backups are read again by every sync: that is a cost of its own.
    """
    with Sandbox(backups=request.param, seed=3) as box:
        open_ones = [one["id"] for one in box.fleet.records() if one["status"] == "BUILDING"]
        for one in open_ones if request.param == 1_000_000 else ():
            box.fleet.update(one, status="COMPLETED", end_time="2026-01-31T11:59:00+0000")
        made = Large(box, tmp_path_factory.mktemp("large") / "lake")
        report, _ = made.sync()
        assert (report.verdict, report.counts["present"]) == ("complete", request.param)
        yield made


def test_nothing_changed_costs_a_handful(large: Large) -> None:
    """At most 20 requests, and no data file is touched; at once and again.

    Ten more where 22 backups of two days are still being built.
    """
    before = stamps(large.lake)
    records = large.box.fleet.records()
    most = 30 if any(one["status"] == "BUILDING" for one in records) else 20
    for _ in range(3):
        report, requests = large.sync()
        assert requests <= most
        assert (report.verdict, report.file_count) == ("complete", 0)
    assert stamps(large.lake) == before


def test_one_deletion_costs_at_most_60_requests(large: Large) -> None:
    """Wherever it is: found, proven, marked; one partition is written."""
    ids = large.box.fleet.ids()
    for place in (0.001, 0.3, 0.6, 0.999):
        large.box.fleet.delete(ids[int(len(ids) * place)])
        before = stamps(large.lake)
        report, requests = large.sync()
        assert report.counts["gone"] == 1
        assert requests <= 60
        after = stamps(large.lake)
        assert sum(after[path] != before[path] for path in before) == 1


def test_a_day_of_life_costs_what_changed(large: Large) -> None:
    """Two hours of new and expired backups: the lake has what the service has, for as little."""
    large.box.clock.advance(timedelta(hours=2))
    report, requests = large.sync()
    assert report.verdict == "complete"
    assert report.counts["present"] == len(large.box.fleet)
    changes = report.counts["new"] + report.counts["gone"] + report.counts["changed"]
    assert requests <= 60 + 2 * changes
