"""The controls against a slow, plain Python oracle, on generated fleets with everything wrong."""

from __future__ import annotations

from contextlib import AbstractContextManager

import duckdb
import pytest
from support.control_oracle import controls
from support.fleets import change_policies, make_fleet
from support.lake_maker import at, borrow_views, rows_of
from support.oracle import Fleet

SEEDS = [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 100))]
MIDNIGHT = at("2026-03-10 00:00")
KINDS = {
    "unprotected": "has_restore_point",
    "rpo missed": "rpo_kept",
    "retention short": "retention_kept",
    "stuck": "no_stuck_backup",
    "policy off": "policy_enabled",
    "stale data": "list_certified",
}


def views(fleet: Fleet) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    return borrow_views(
        backups=fleet.backups,
        instances=fleet.instances,
        policies=fleet.policies,
        policy_changes=fleet.policy_changes,
        runs=fleet.runs,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_every_control_on_every_day(seed: int) -> None:
    """v_control_result has each control, instance and day once, with the status by definition."""
    fleet = change_policies(make_fleet(seed), seed)
    with views(fleet) as connection:
        rows = rows_of(connection, "SELECT * FROM v_control_result")
    found = {
        (row["control_id"], row["project_id"], row["instance_id"], row["date"]): row for row in rows
    }
    expected = controls(fleet)
    assert len(found) == len(rows)
    assert found.keys() == expected.keys()
    wrong = {key: (row["status"], expected[key], row["reason"]) for key, row in found.items()}
    assert {key: one for key, one in wrong.items() if one[0] != one[1]} == {}


@pytest.mark.parametrize("seed", SEEDS)
def test_exceptions_and_controls_never_contradict(seed: int) -> None:
    """At the end of a day, what check reports the controls do not pass, and the reverse."""
    fleet = make_fleet(seed, now=MIDNIGHT)
    if fleet.now != MIDNIGHT:
        fleet.runs[-1] |= {"as_of": MIDNIGHT}
    with views(fleet) as connection:
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
        for b in fleet.backups
        if b["begin_time"] and b["begin_time"] > MIDNIGHT
    }
    assert {key for key in alarms if key[0] in of_the_end and key[1:] not in ahead} <= told
