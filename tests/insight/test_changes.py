"""What happened in a lake since a moment, against a service whose day is known."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from support.lake_maker import at, backup, instance, make_lake, run

import backup_frames as bf
from backup_frames.api.query import parse_moment
from backup_frames.insight.kpi.changes import find_changes, find_exceptions

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FIRST, BETWEEN, LAST = at("2026-03-09 09:00"), at("2026-03-10 00:00"), at("2026-03-10 09:00")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, a day apart; between them backups came, changed and went, and one failed."""
    seen = {"first_seen_at": FIRST, "updated_at": FIRST}
    backups = [
        backup("kept", "i1", at("2026-03-09 02:00"), **seen),
        backup("old", "i2", at("2026-02-20 02:00"), backup_type="Manual", **seen),
        backup("built", "i1", at("2026-03-09 08:00"), **seen | {"updated_at": LAST}),
        backup("went", "i3", at("2026-03-08 02:00"), gone_at=LAST, **seen),
        backup("came", "i1", at("2026-03-10 02:00"), first_seen_at=LAST, updated_at=LAST),
        backup("both", "i1", at("2026-03-10 03:00"), first_seen_at=LAST, updated_at=LAST, gone_at=LAST),
    ]  # fmt: skip
    return make_lake(
        tmp_path_factory.mktemp("changes") / "lake",
        backups=backups,
        instances=[instance(name, **seen) for name in ("i1", "i2", "i3")],
        runs=[run(FIRST), run(LAST)],
    )


@pytest.fixture(scope="module")
def exceptions(lake: Path) -> pa.Table:
    """All that somebody should look at in it."""
    return find_exceptions(lake)


def test_events_since_a_moment_are_those_that_the_lake_notes(lake: Path) -> None:
    """Each backup's events by its ledger columns; one that came and went has two."""
    events = find_changes(lake, since=BETWEEN).events.to_pylist()
    assert sorted((row["change"], row["backup_id"]) for row in events) == [
        ("changed", "built"),
        ("gone", "both"),
        ("gone", "went"),
        ("new", "both"),
        ("new", "came"),
    ]
    assert {row["happened_at"] for row in events} == {LAST.replace(tzinfo=None)}


def test_since_before_the_first_sync_everything_is_new(lake: Path, exceptions: pa.Table) -> None:
    """A moment before the lake's first run knows nothing: all rows and exceptions are new."""
    found = find_changes(lake, since=FIRST - timedelta(days=2))
    assert found.counts == {"new": 6, "changed": 0, "gone": 2}
    assert found.exceptions.num_rows == exceptions.num_rows > 0


def test_nothing_happened_after_the_last_run(lake: Path) -> None:
    """Since now: no event, no exception, tables with their columns."""
    found = find_changes(lake, since=LAST)
    assert found.counts == {"new": 0, "changed": 0, "gone": 0}
    assert found.events.num_rows == found.exceptions.num_rows == 0
    assert "backup_id" in found.events.column_names


def test_new_exceptions_are_those_the_run_before_did_not_have(
    lake: Path, exceptions: pa.Table
) -> None:
    """--new leaves out what was an exception at the run before, and nothing else."""
    every = {_key(row) for row in exceptions.to_pylist()}
    new = {_key(row) for row in find_exceptions(lake, new=True).to_pylist()}
    since = {_key(row) for row in find_changes(lake, since=BETWEEN).exceptions.to_pylist()}
    assert new == since < every
    assert ("unprotected", "p1", "i3", None) in new
    assert ("rpo missed", "p1", "i2", "old") in every - new


@pytest.mark.parametrize(
    ("second", "is_told_again"),
    [
        ({}, False),
        ({"new_count": 1, "file_count": 1}, True),
        ({"changed_count": 1, "file_count": 1}, True),
        ({"gone_count": 1, "file_count": 1}, True),
        ({"file_count": 1}, True),  # it read the instances, say, and the one before it did not
        ({"verdict": "incomplete", "reasons": "a count differs"}, True),
    ],
)
def test_a_run_of_the_same_second_tells_nothing_twice(
    tmp_path: Path, second: dict[str, object], is_told_again: bool
) -> None:
    """Moments are whole seconds: what cannot be told apart is told again, what found nothing is not."""
    seen = {"first_seen_at": LAST, "updated_at": LAST}
    counts = {"new_count": 0, "changed_count": 0, "gone_count": 0, "file_count": 0}
    lake = make_lake(
        tmp_path / "lake",
        backups=[backup("old", "i2", at("2026-02-20 02:00"), backup_type="Manual", **seen)],
        instances=[instance("i2", **seen)],
        runs=[
            run(
                LAST, run_id="20260310T090000000001Z", **counts | {"new_count": 1, "file_count": 2}
            ),
            run(LAST, run_id="20260310T090000000002Z", **counts | second),
        ],
    )
    assert find_exceptions(lake).num_rows
    assert (find_exceptions(lake, new=True).num_rows > 0) == is_told_again


def test_severities_are_nested(lake: Path, exceptions: pa.Table) -> None:
    """high is a part of medium, medium of low, which is all."""
    counts = [find_exceptions(lake, at_least=one).num_rows for one in ("high", "medium")]
    counts.append(exceptions.num_rows)
    assert counts == sorted(counts)
    with pytest.raises(bf.QueryError, match="severe"):
        find_exceptions(lake, at_least="severe")  # type: ignore[arg-type]


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
    assert parse_moment(since, "since", now=NOON) == moment


@pytest.mark.parametrize(
    "since",
    ["", "h", "-3h", "3y", "999999999d", "9" * 20 + "d", "1" * 5000 + "h", timedelta(-1), "now"],
    ids=lambda since: str(since)[:12],
)
def test_a_moment_that_is_none_is_an_error_of_the_question(since) -> None:
    """What cannot be read is named."""
    with pytest.raises(bf.QueryError, match="since"), warnings.catch_warnings():
        parse_moment(since, "since", now=NOON)


def _key(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("kind", "project_id", "instance_id", "backup_id"))
