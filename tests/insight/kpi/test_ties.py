"""What shares a moment: the same rows give the same numbers, in whichever order they stand in the files.

`as_of` is in whole seconds, so two quick syncs share one, and two backups of an instance may begin at
once. Each test asks with its rows in both orders.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.lake_maker import (
    at,
    backup,
    borrow_views,
    instance,
    policy,
    policy_change,
    rows_of,
    run,
)

MOMENT = at("2026-03-08 12:00")
orders = pytest.mark.parametrize("step", [1, -1], ids=["one order", "the other"])


def runs_of_one_second(**second: Any) -> list[dict[str, Any]]:
    """Two runs with the same as_of; the second started half a second later."""
    later = {"run_id": "20260308T115959500000Z", "started_at": MOMENT + timedelta(seconds=0.5)}
    return [run(MOMENT, run_id="20260308T115959000000Z"), run(MOMENT, **later | second)]


@orders
def test_the_last_run_of_a_second_is_the_one_that_started_last(step: int) -> None:
    """A project's last verdict and endpoint are those of the later run."""
    runs = runs_of_one_second(verdict="incomplete", endpoint="https://later.test")
    with borrow_views(runs=[*runs, run(at("2026-03-07 12:00"))][::step]) as views:
        (project,) = rows_of(views, "FROM dim_project")
    assert (project["last_verdict"], project["endpoint"]) == ("incomplete", "https://later.test")


@orders
def test_two_certified_runs_of_a_second(step: int) -> None:
    """The second proves the day before, and is its own day's last; what follows is silence."""
    runs = [*runs_of_one_second(), run(at("2026-03-12 12:00"))]
    with borrow_views(runs=runs[::step], instances=[instance("i1")]) as views:
        days = rows_of(views, "FROM v_watched_daily WHERE date >= DATE '2026-03-07' ORDER BY date")
    assert days[0]["proving_run_id"] == runs[1]["run_id"]
    assert days[1]["certified_run_id"] == days[1]["last_run_id"] == runs[1]["run_id"]
    assert [day["is_watched"] for day in days[1:]] == [False, False, False, False]


@orders
def test_of_backups_that_began_at_once_always_the_same_counts(step: int) -> None:
    """The later by name names the instance; the greater backup_id is its restore point and its proof."""
    backups = [
        backup(name, "i1", at(f"2026-03-{day:02d} 02:00"), instance_name=f"of {name}",
            datastore_type=f"type {name}", datastore_version=f"version {name}")
        for day in range(1, 9) for name in (f"a{day}", f"b{day}")
    ]  # fmt: skip
    runs = [run(at(f"2026-03-{day:02d} 12:00")) for day in range(1, 9)]
    with borrow_views(
        backups=backups[::step], runs=runs, instances=[instance("i1", instance_name=None,
            datastore_type=None, datastore_version=None)], policies=[policy("i1", keep_days=3)],
    ) as views:  # fmt: skip
        (home,) = rows_of(views, "FROM v_instance_ledger")
        found = rows_of(views, "FROM v_control_result WHERE date = DATE '2026-03-07'")
        (day,) = rows_of(views, "FROM v_control_day WHERE date = DATE '2026-03-07'")
    assert home["newest_restore_point_id"] == "b8"
    assert home["instance_name"] == "of b8"
    assert (home["datastore_type"], home["datastore_version"]) == ("type b8", "version b8")
    shown = {row["control_id"]: row["backup_id"] for row in found}
    assert day["restore_point_id"] == "b7"
    assert shown["has_restore_point"] == shown["rpo_kept"] == shown["daily_success"] == "b7"
    assert shown["retention_kept"] == "a1"  # the oldest


@orders
def test_two_changes_of_a_policy_in_one_second(step: int) -> None:
    """Before them the policy was what the first found it to be; after them what the second left."""
    earlier = {"seen_at": MOMENT, "old_seen_at": MOMENT - timedelta(days=1)}
    later = {"seen_at": MOMENT, "old_seen_at": MOMENT}
    changes = [
        policy_change("i1", "keep_days", "30", "9", **earlier),
        policy_change("i1", "keep_days", "9", "7", **later),
        policy_change("i1", "is_readable", "true", "false", **earlier),
        policy_change("i1", "is_readable", "false", "true", **later),
    ]
    with borrow_views(
        instances=[instance("i1")],
        policies=[policy("i1", updated_at=MOMENT)],
        policy_changes=changes[::step],
        runs=[run(at(f"2026-03-{day:02d} 13:00")) for day in range(1, 12)],
    ) as views:
        versions = rows_of(views, "FROM v_policy_version ORDER BY from_at")
        day = rows_of(views, "FROM v_control_day WHERE date = DATE '2026-03-09'")
        (told,) = rows_of(views, "FROM v_exceptions WHERE kind = 'policy weakened'")
    assert [version["keep_days"] for version in versions] == [30, 7]
    assert day[0]["is_policy_known"]
    assert told["message"].index("from 30") < told["message"].index("from 9")
