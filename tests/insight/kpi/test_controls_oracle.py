"""The controls against a slow, plain Python oracle, on generated fleets with everything wrong."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime

import duckdb
import pytest
from support.control_oracle import controls
from support.fleets import NOW, change_policies, make_fleet
from support.lake_maker import at, borrow_views, rows_of, run
from support.oracle import Fleet

# many fleets in one lake, because a query costs the same whatever it finds
SEEDS = [
    range(6),
    *(pytest.param(range(n, n + 24), marks=pytest.mark.slow) for n in range(6, 102, 24)),
]
MIDNIGHT = at("2026-03-10 00:00")
KINDS = {
    "unprotected": "has_restore_point",
    "rpo missed": "rpo_kept",
    "retention short": "retention_kept",
    "stuck": "no_stuck_backup",
    "policy off": "policy_enabled",
    "stale data": "list_certified",
}


def own_projects(fleet: Fleet, seed: int, now: datetime) -> Fleet:
    """The fleet under projects of its own, with one more that was synced now: all share the clock."""
    for rows in vars(fleet).values():
        for row in rows:
            row["project_id"] = f"{seed}-{row['project_id']}"
    fleet.runs.append(run(now, project_id=f"{seed}-clock"))
    return fleet


def views(*fleets: Fleet) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    return borrow_views(
        backups=[row for one in fleets for row in one.backups],
        instances=[row for one in fleets for row in one.instances],
        policies=[row for one in fleets for row in one.policies],
        policy_changes=[row for one in fleets for row in one.policy_changes],
        runs=[row for one in fleets for row in one.runs],
    )


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_every_control_on_every_day(seeds: range) -> None:
    """v_control_result has each control, instance and day once, with the status by definition."""
    fleets = [own_projects(change_policies(make_fleet(n), n), n, NOW) for n in seeds]
    with views(*fleets) as connection:
        rows = rows_of(connection, "SELECT * FROM v_control_result")
    found = {
        (row["control_id"], row["project_id"], row["instance_id"], row["date"]): row for row in rows
    }
    expected = {key: status for fleet in fleets for key, status in controls(fleet).items()}
    assert len(found) == len(rows)
    assert found.keys() == expected.keys()
    wrong = {key: (row["status"], expected[key], row["reason"]) for key, row in found.items()}
    assert {key: one for key, one in wrong.items() if one[0] != one[1]} == {}


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_exceptions_and_controls_never_contradict(seeds: range) -> None:
    """At the end of a day, what check reports the controls do not pass, and the reverse."""
    fleets = [own_projects(make_fleet(n, now=MIDNIGHT), n, MIDNIGHT) for n in seeds]
    with views(*fleets) as connection:
        results = rows_of(
            connection, "SELECT * FROM v_control_result, v_now WHERE date = today - 1"
        )
        exceptions = rows_of(connection, "SELECT * FROM v_exceptions")
    by_key = {(r["control_id"], r["project_id"], r["instance_id"]): r for r in results}
    told = {
        (KINDS[e["kind"]], e["project_id"], e["instance_id"])
        for e in exceptions
        if e["kind"] in KINDS
    }
    for key in told & by_key.keys():
        assert by_key[key]["status"] in ("alarm", "cannot_be_known"), by_key[key]
    # These two judge the whole day, v_exceptions its end: a miss may be over by then.
    of_the_end = set(KINDS.values()) - {"rpo_kept", "list_certified"}
    alarms = {key for key, row in by_key.items() if row["status"] == "alarm"}
    # What begins after now, by a clock that is ahead, counts for now and for no day.
    ahead = {
        (b["project_id"], b["instance_id"])
        for fleet in fleets
        for b in fleet.backups
        if b["begin_time"] and b["begin_time"] > MIDNIGHT
    }
    assert {key for key in alarms if key[0] in of_the_end and key[1:] not in ahead} <= told
