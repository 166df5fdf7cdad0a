"""A run's moment is the service's, and never before the newest moment in the lake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.lake_service import DAY, HOUR, START, ModelReader, World, rows_of, sync, table_of

import backup_frames as bf
from backup_frames.api.wire.transport import DeadlineTransport
from backup_frames.clock import SystemClock
from backup_frames.errors import ConfigError
from backup_frames.sandbox import Sandbox
from backup_frames.sync.maintenance.repair import repair_project
from backup_frames.sync.one_project import sync_lake


class WrongClock(SystemClock):
    """This machine's clock, set wrong."""

    def __init__(self, skew: timedelta) -> None:
        self.skew = skew

    def now(self) -> datetime:
        return super().now() + self.skew


class Redated(httpx.BaseTransport):
    """The service's answers with another Date, or none."""

    def __init__(self, box: Sandbox, dates: list[str | None]) -> None:
        self._inner = DeadlineTransport(box.endpoint, max_connections=4)
        self._dates = dates

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        date = self._dates.pop(0) if len(self._dates) > 1 else self._dates[0]
        del response.headers["Date"]
        if date is not None:
            response.headers["Date"] = date
        return response

    def close(self) -> None:
        self._inner.close()


@pytest.fixture(scope="module")
def box() -> Any:
    with Sandbox(backups=40, seed=2) as made:
        yield made


def run(box: Sandbox, lake: Path, **options: Any) -> bf.SyncReport:
    return bf.sync_backups(
        lake=str(lake),
        endpoint=box.endpoint,
        project_id=box.project_id,
        token=box.token,
        inventory=False,
        **options,
    )


@pytest.mark.parametrize(
    ("skew", "is_told"),
    [
        (timedelta(0), False),
        (timedelta(seconds=100), False),
        (timedelta(seconds=-100), False),
        (timedelta(minutes=3), True),
        (timedelta(hours=-20), True),
        (timedelta(hours=23), True),
    ],
)
def test_a_clock_that_is_off_is_corrected_and_said(
    box: Sandbox, tmp_path: Path, skew: timedelta, is_told: bool
) -> None:
    """Within two minutes it is as good as right; beyond, rows carry the service's time."""
    report = run(box, tmp_path / "lake", clock=WrongClock(skew))
    off = abs(report.as_of - datetime.now(UTC)).total_seconds()
    assert off < (60 if is_told else 160)
    assert report.exit_code == 0
    told = " ".join(report.warnings)
    assert ("service's time was used" in told) == is_told
    assert (told in report.to_text()) == bool(told) or not told
    assert list(report.warnings) == report.certificate.warnings
    rows = bf.open_lake(str(tmp_path / "lake")).backups()
    assert set(rows["first_seen_at"].to_pylist()) == {report.as_of}


@pytest.mark.parametrize("skew", [timedelta(days=2), timedelta(days=-2), timedelta(days=365)])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_clock_beyond_a_day_is_refused(
    box: Sandbox, tmp_path: Path, skew: timedelta, is_first: bool
) -> None:
    """Nothing is written, the words say how far off; accepted, the service's time is used."""
    lake = tmp_path / "lake"
    if not is_first:
        run(box, lake)
    before = {path: path.read_bytes() for path in lake.rglob("*.parquet")}
    with pytest.raises(ConfigError, match=r"\d+ days?, .*accept_clock_skew=True"):
        run(box, lake, clock=WrongClock(skew))
    with pytest.raises(ConfigError, match="clock"):
        run(box, lake, clock=WrongClock(skew), dry_run=True)
    assert {path: path.read_bytes() for path in lake.rglob("*.parquet")} == before
    report = run(box, lake, clock=WrongClock(skew), accept_clock_skew=True)
    assert report.exit_code == 0
    assert abs(report.as_of - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("dates", [[None], ["yesterday"], ["Thu, 01 Jan 1970 00:00:00 GMT", None]])
def test_without_a_date_the_local_clock_counts(
    box: Sandbox, tmp_path: Path, dates: list[str | None]
) -> None:
    """No Date, or one that is none, says nothing; one of 1970 alone is a day off."""
    transport = Redated(box, dates)
    if dates[0] and "1970" in dates[0]:
        with pytest.raises(ConfigError, match="clock"):
            run(box, tmp_path / "lake", transport=transport)
        return
    report = run(box, tmp_path / "lake", transport=transport)
    assert report.warnings == ()
    assert abs(report.as_of - datetime.now(UTC)) < timedelta(minutes=1)


class LateReader(ModelReader):
    """A reader whose clock goes otherwise than the world's."""

    def __init__(self, world: World, by: timedelta) -> None:
        super().__init__(world.service)
        self.now_s += int(by.total_seconds())


@pytest.mark.parametrize("back", [HOUR, 20 * HOUR, 400 * DAY])
@pytest.mark.parametrize("is_state_lost", [False, True])
def test_a_run_is_never_before_the_newest_moment(
    world: World, back: timedelta, is_state_lost: bool
) -> None:
    """The clock went back: moments stand still until time has caught up, and order is kept."""
    new = world.service.add(world.clock.now())
    newest = world.sync().as_of
    world.service.remove(new.id, world.ids()[3])
    world.service.add(world.clock.now() - HOUR / 2)
    if is_state_lost:
        world.store.delete("_meta/0a1b2c/state.json")
    project = {"project_id": "0a1b2c", "clock": world.clock}
    report = sync_lake(LateReader(world, -back), world.store, **project)  # type: ignore[arg-type]
    assert report.as_of == newest
    rows = rows_of(world.store)
    assert rows[new.id]["gone_at"] == newest
    assert all(
        row["gone_at"] is None or row["gone_at"] >= row["first_seen_at"] for row in rows.values()
    )
    assert report.counts["new"] == 1
    assert sync(world.service, world.store).exit_code == 0


@pytest.mark.parametrize("jump", [DAY, 365 * DAY])
def test_after_a_jump_ahead_nothing_is_missed(world: World, jump: timedelta) -> None:
    """One run stood a year ahead, as an accepted clock may: later ones find all that is listed."""
    project = {"project_id": "0a1b2c", "clock": world.clock}
    sync_lake(LateReader(world, jump), world.store, **project)  # type: ignore[arg-type]
    for _ in range(3):
        world.clock.advance(5 * HOUR)
        world.service.remove(world.ids()[0])
        world.service.add(world.clock.now() - HOUR / 2)
        report = sync(world.service, world.store, reread_requests=0)
        assert report.exit_code == 0
        present = {
            row["backup_id"] for row in table_of(world.store, "backups") if row["gone_at"] is None
        }
        assert present == set(world.ids())
        assert report.as_of >= START + jump


def test_a_repair_keeps_the_order_of_moments_too(world: World) -> None:
    """What it finds gone is gone at no earlier moment than the newest."""
    newest = world.sync().as_of
    key = min(key for key in world.store.files if key.startswith("backups/"))
    world.store.files[key] = world.store.files[key][:50]
    reader = LateReader(world, -9 * HOUR)
    repair_project(reader, world.store, project_id="0a1b2c", clock=world.clock)
    rows = rows_of(world.store).values()
    assert max(row["first_seen_at"] for row in rows) == newest
