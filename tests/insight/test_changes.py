"""What happened in a lake since a moment, against a service whose day is known."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import backup_frames as bf
from backup_frames.insight.changes import find_changes, find_exceptions, read_since
from backup_frames.sandbox import Sandbox

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime, list[dict[str, int]]]:
    """Two syncs, two days apart at the service; the moment between them; what each counted."""
    folder = tmp_path_factory.mktemp("changes") / "lake"
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=60)
    with Sandbox(backups=600, seed=7, start=start) as box:
        clock = _Clock(box)
        counts = []
        for hours in (0, 48):
            box.clock.advance(timedelta(hours=hours))
            report = bf.sync_backups(
                lake=str(folder), endpoint=box.endpoint, project_id=box.project_id, token=box.token,
                clock=clock,
            )  # fmt: skip
            counts.append(report.counts)
    return folder, start + timedelta(hours=5), counts


class _Clock:
    """The sandbox's own time, as a connector in the same world would have it."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box

    def now(self) -> datetime:
        return self._box.clock.now()

    def monotonic(self) -> float:
        return self._box.clock.now().timestamp()

    def sleep(self, seconds: float) -> None:
        self._box.clock.advance(timedelta(seconds=seconds))


def test_events_since_a_moment_are_those_the_sync_after_it_counted(lake) -> None:
    """New, changed and gone since then are what the later sync reported."""
    folder, between, (_, later) = lake
    found = find_changes(folder, since=between)
    assert later["new"] > 0
    assert later["gone"] > 0
    assert found.counts == {name: later[name] for name in ("new", "changed", "gone")}
    assert min(found.events["happened_at"].to_pylist()) > between.replace(tzinfo=None)


def test_since_before_the_first_sync_everything_is_new(lake) -> None:
    """A moment before the lake's first run knows nothing: all rows and exceptions are new."""
    folder, between, (first, later) = lake
    found = find_changes(folder, since=between - timedelta(days=2))
    assert found.counts["new"] == first["new"] + later["new"]
    assert found.exceptions.num_rows == find_exceptions(folder).num_rows


def test_nothing_happened_after_the_last_run(lake) -> None:
    """Since now: no event, no exception, tables with their columns."""
    found = find_changes(lake[0], since=timedelta(0))
    assert found.counts == {"new": 0, "changed": 0, "gone": 0}
    assert found.events.num_rows == found.exceptions.num_rows == 0
    assert "backup_id" in found.events.column_names


def test_new_exceptions_are_those_the_run_before_did_not_have(lake) -> None:
    """--new leaves out what was an exception at the run before, and nothing else."""
    folder, between, _ = lake
    every = {_key(row) for row in find_exceptions(folder).to_pylist()}
    new = {_key(row) for row in find_exceptions(folder, new=True).to_pylist()}
    since = {_key(row) for row in find_changes(folder, since=between).exceptions.to_pylist()}
    assert new == since
    assert new < every


def test_severities_are_nested(lake) -> None:
    """high is a part of medium, medium of low."""
    counts = [find_exceptions(lake[0], at_least=one).num_rows for one in ("high", "medium", "low")]
    assert counts == sorted(counts)
    with pytest.raises(bf.QueryError, match="severe"):
        find_exceptions(lake[0], at_least="severe")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("24h", NOON - timedelta(hours=24)),
        (" 90m ", NOON - timedelta(minutes=90)),
        ("2w", NOON - timedelta(weeks=2)),
        (timedelta(days=1), NOON - timedelta(days=1)),
        ("2026-01-30", datetime(2026, 1, 30, tzinfo=UTC)),
        (NOON, NOON),
    ],
)
def test_moments_are_read_as_people_write_them(since, moment) -> None:
    """A span back from now, a day, a moment."""
    assert read_since(since, now=NOON) == moment


@pytest.mark.parametrize("since", ["", "h", "-3h", "3y", "999999999d", timedelta(hours=-1), "now"])
def test_a_moment_that_is_none_is_an_error_of_the_question(since) -> None:
    """What cannot be read is named."""
    with pytest.raises(bf.QueryError, match="since"), warnings.catch_warnings():
        read_since(since, now=NOON)


def _key(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("kind", "project_id", "instance_id", "backup_id"))
