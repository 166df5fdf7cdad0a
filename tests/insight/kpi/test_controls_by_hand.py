"""Each control against a small fleet whose answers were worked out by hand.

It is Sunday 2026-03-08, 12:00 UTC. The lake was synced every day at 12:00 from 02-20 on, but for 03-02
(the run was incomplete). Policies ask for 02:00 every day, keep 7, and were first read on 02-20. Backups
begin at 02:00 and take an hour, from 02-13 on, and are gone after 7 days and 12 hours, unless told:

==========  ================================================================================
instance    what is different
==========  ================================================================================
good        nothing
weekly      policy: Mondays only; keeps 14; backups on 02-16, 02-23 and 03-02
tired       that of 03-05 failed, none on 03-06, that of 03-07 began at 09:00 by itself
bare        created 03-01, no backup, and its policy is refused
off         policy off since it was first read; one backup by hand on 03-01
weakened    keep_days went from 14 to 7 between 03-03 and 03-04; weekday 7 was removed on 03-05
losing      backups of 03-03 and 03-04 were gone on 03-06
stuck       that of 03-05 is BUILDING
refused     its policy was read on 03-02 and 03-06, and refused in between, on 03-04
deleted     it was gone in the list of 03-05, and its backups with it
blurred     on 03-03 its weekdays became what cannot be read, and on 03-05 Monday to Friday
switched    off with nothing else said until it was switched on, as seen on 03-03
==========  ================================================================================

Other projects, with one instance each and a backup every day, unless told:

==========  ================================================================================
project     what is different
==========  ================================================================================
vain        all runs were incomplete
skewed      the runs from 03-04 on were refused, because the clock was wrong
silent      it has no run, and nothing but its instance is known
waiting     it stands in the lake, and has neither a run nor an instance nor a backup
paused      no run from 02-22 to 03-06
==========  ================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from support.lake_maker import (
    at,
    backup,
    connect_rows,
    instance,
    policy,
    policy_change,
    rows_of,
    run,
)

NOW = at("2026-03-08 12:00")
DAY = timedelta(days=1)
NAMES = ("good", "weekly", "tired", "bare", "off", "weakened", "losing", "stuck", "refused")
MORE = ("deleted", "blurred", "switched")
PROJECTS = ("vain", "skewed", "silent", "paused")


def day(text: str) -> date:
    return date.fromisoformat(f"2026-{text}")


def daily(name: str, *days: str, **other: Any) -> list[dict[str, Any]]:
    found = []
    for one in days:
        begin = at(f"2026-{one} 02:00")
        gone = begin + timedelta(days=other.get("keep", 7), hours=12)
        row = backup(f"{name}-{one}", name, begin, gone_at=gone if gone < NOW else None)
        found.append(row)
    return found


def since(first: str, last: str = "03-08") -> list[str]:
    begin = day(first)
    return [f"{begin + n * DAY:%m-%d}" for n in range((day(last) - begin).days + 1)]


def verdict(project: str, one: str) -> str:
    if project == "skewed" and one >= "03-04":
        return "failed"
    return "incomplete" if project == "vain" else "complete"


def fleet() -> dict[str, Any]:
    tired = daily("tired", *since("02-13", "03-05"), "03-07", "03-08")
    tired[-3] |= {"status": "FAILED", "end_time": None}
    tired[-2] |= {"begin_time": at("2026-03-07 09:00"), "end_time": at("2026-03-07 10:00")}
    losing = daily("losing", *since("02-13"))
    for row in losing:
        if row["backup_id"] in ("losing-03-03", "losing-03-04"):
            row["gone_at"] = at("2026-03-06 12:00")
    stuck = daily("stuck", *since("02-13"))
    stuck[-4] |= {"status": "BUILDING", "end_time": None}
    backups = [
        *daily("good", *since("02-13")),
        *daily("weekly", "02-16", "02-23", "03-02", keep=14),
        *tired,
        *daily("weakened", *since("02-13")),
        *losing,
        *stuck,
        *daily("refused", *since("02-13")),
        *(
            row | {"gone_at": row["gone_at"] or at("2026-03-05 12:00")}
            for row in daily("deleted", *since("02-13", "03-05"))
        ),
        *daily("blurred", *since("02-13")),
        *daily("switched", *since("02-13")),
        *(
            row | {"project_id": project}
            for project in PROJECTS
            if project != "silent"
            for row in daily("any", *since("02-13"))
        ),
        backup("off-1", "off", at("2026-03-01 05:00"), backup_type="Manual"),
    ]
    for row in backups:  # what came or went while nobody looked was seen at the next look
        for name in ("first_seen_at", "gone_at"):
            if row["project_id"] == "paused" and row[name] and row[name] > at("2026-02-21 12:00"):
                row[name] = max(row[name], at("2026-03-07 12:00"))
    seen = {"first_seen_at": at("2026-02-20 12:00"), "updated_at": at("2026-02-20 12:00")}
    created = {"bare": at("2026-03-01 08:00")}
    return {
        "backups": backups,
        "instances": [
            *(instance(one, created_at=created.get(one, at("2026-01-01 00:00"))) for one in NAMES),
            *(instance(one) for one in MORE if one != "deleted"),
            instance("deleted", gone_at=at("2026-03-05 12:00")),
            *(instance("any", project_id=project) for project in PROJECTS),
        ],
        "policies": [
            *(policy(one, **seen) for one in ("good", "tired", "losing", "stuck", "refused")),
            policy("deleted", **seen),
            policy(
                "blurred", **seen | {"period": "1,2,3,4,5", "updated_at": at("2026-03-05 12:00")}
            ),
            policy("switched", **seen | {"updated_at": at("2026-03-03 12:00")}),
            *(policy("any", project_id=project, **seen) for project in PROJECTS),
            policy("weekly", **seen | {"period": "1", "keep_days": 14}),
            policy("off", **seen | {"is_enabled": False}),
            policy(
                "weakened",
                **seen | {"period": "1,2,3,4,5,6", "updated_at": at("2026-03-05 12:00")},
            ),
        ],
        "policy_changes": [
            policy_change("weakened", "keep_days", "14", "7", seen_at=at("2026-03-04 12:00")),
            policy_change(
                "weakened", "period", "1,2,3,4,5,6,7", "1,2,3,4,5,6", seen_at=at("2026-03-05 12:00")
            ),
            policy_change(
                "blurred", "period", "1,2,3,4,5,6,7", None, seen_at=at("2026-03-03 12:00")
            ),
            policy_change("blurred", "period", None, "1,2,3,4,5", seen_at=at("2026-03-05 12:00")),
            *(
                policy_change("switched", field, old, new, seen_at=at("2026-03-03 12:00"))
                for field, old, new in (
                    ("is_enabled", "false", "true"),
                    ("keep_days", None, "7"),
                    ("period", None, "1,2,3,4,5,6,7"),
                )
            ),
            policy_change(
                "refused", "is_readable", "true", "false", seen_at=at("2026-03-04 12:00")
            ),
            policy_change(
                "refused", "is_readable", "false", "true", seen_at=at("2026-03-06 12:00")
            ),
        ],
        "runs": [
            run(
                at(f"2026-{one} 12:00"),
                verdict="incomplete" if one == "03-02" else "complete",
            )
            for one in since("02-20")
        ]
        + [
            run(at(f"2026-{one} 12:00"), project_id=project, verdict=verdict(project, one))
            for project in ("vain", "skewed", "paused")
            for one in since("02-20")
            if project != "paused" or not "02-22" <= one <= "03-06"
        ],
    }


@pytest.fixture(scope="module")
def views() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect_rows(**fleet()) as connection:
        connection.execute("INSERT INTO lake_files (project_id, file_key) VALUES ('waiting', 'x')")
        yield connection


@pytest.fixture(scope="module")
def results(views: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    return rows_of(views, "SELECT * FROM v_control_result")


OK, ALARM, NOT_DUE, UNKNOWN = "ok", "alarm", "not_due", "cannot_be_known"
BY_HAND = [
    # control, instance, days, status, outcome, how it was worked out
    (
        "has_restore_point",
        "good",
        since("02-14", "03-07"),
        OK,
        "ok",
        "02-20 12:00 less 7 is in 02-13",
    ),
    ("has_restore_point", "good", since("02-01", "02-13"), UNKNOWN, "not watched", "before"),
    ("has_restore_point", "bare", since("03-01", "03-07"), ALARM, "none", "none ever"),
    ("daily_success", "good", since("02-14", "03-07"), OK, "ok", "each day"),
    ("daily_success", "tired", ["03-05"], ALARM, "failed", "FAILED"),
    ("daily_success", "tired", ["03-06"], ALARM, "missed", "none, and one was due"),
    ("daily_success", "tired", ["03-07"], OK, "late", "09:00 is after the window 02:00 to 05:00"),
    ("daily_success", "weekly", ["02-16", "02-23", "03-02"], OK, "ok", "Mondays"),
    ("daily_success", "weekly", since("03-03", "03-07"), NOT_DUE, "not due", "other weekdays"),
    ("daily_success", "bare", ["03-04"], UNKNOWN, "not known", "its policy was refused"),
    ("daily_success", "off", ["03-01"], OK, "ok", "by hand"),
    ("daily_success", "off", ["03-02", "03-03"], NOT_DUE, "not due", "the policy is off"),
    ("daily_success", "stuck", ["03-05"], ALARM, "failed", "BUILDING for 3 days"),
    ("rpo_kept", "good", since("02-15", "03-07"), OK, "ok", "never older than 25 h"),
    (
        "rpo_kept",
        "tired",
        ["03-05", "03-06", "03-07"],
        ALARM,
        "missed",
        "03-05 04:00 to 03-07 10:00",
    ),
    ("rpo_kept", "bare", ["03-01"], NOT_DUE, "not due", "16 h old at midnight"),
    ("rpo_kept", "bare", since("03-02", "03-07"), ALARM, "missed", "26 h old at 03-02 10:00"),
    ("policy_enabled", "good", since("02-20", "03-07"), OK, "ok", "read on 02-20"),
    ("policy_enabled", "good", since("02-13", "02-19"), UNKNOWN, "not known", "not read before"),
    ("policy_enabled", "off", since("02-20", "03-07"), ALARM, "off", "off"),
    ("policy_enabled", "bare", since("03-01", "03-07"), UNKNOWN, "not known", "refused"),
    ("retention_kept", "good", since("02-20", "03-07"), OK, "ok", "6.9 days less 1.125 allowed"),
    (
        "retention_kept",
        "losing",
        ["03-05", "03-06", "03-07"],
        OK,
        "ok",
        "02-27 to 03-01 still there",
    ),
    ("retention_kept", "weakened", ["02-25", "03-03"], ALARM, "short", "7 of the 14 of then"),
    ("retention_kept", "weakened", ["03-04", "03-07"], OK, "ok", "7 since 03-04"),
    ("retention_kept", "off", ["03-03"], NOT_DUE, "not due", "nothing promised"),
    ("retention_kept", "bare", ["03-03"], UNKNOWN, "not known", "no policy read"),
    ("no_early_loss", "losing", ["03-06"], ALARM, "lost", "2 gone after 3 and 2 days"),
    ("no_early_loss", "losing", ["03-05", "03-07"], OK, "ok", "none on these days"),
    ("no_early_loss", "good", since("02-20", "03-07"), OK, "ok", "gone after 7.5 days"),
    ("no_early_loss", "off", ["03-03"], NOT_DUE, "not due", "nothing promised"),
    ("no_stuck_backup", "stuck", ["03-06", "03-07"], ALARM, "stuck", "46 h and 70 h at midnight"),
    ("no_stuck_backup", "stuck", ["03-04", "03-05"], OK, "ok", "22 h at the midnight after 03-05"),
    (
        "list_certified",
        None,
        [*since("02-20", "03-01"), *since("03-03", "03-07")],
        OK,
        "ok",
        "daily",
    ),
    ("list_certified", None, ["03-02"], ALARM, "incomplete", "the run was incomplete"),
    ("list_certified", None, ["02-19"], UNKNOWN, "not watched", "no run yet"),
    (
        "policy_not_weakened",
        "weakened",
        ["03-04", "03-05"],
        ALARM,
        "weakened",
        "seen on these days",
    ),
    ("policy_not_weakened", "weakened", ["03-03", "03-06"], OK, "ok", "not on these"),
    ("policy_not_weakened", "good", since("02-20", "03-07"), OK, "ok", "never"),
    ("policy_enabled", "refused", ["03-03", "03-06", "03-07"], OK, "ok", "read before and after"),
    ("policy_enabled", "refused", ["03-04", "03-05"], UNKNOWN, "not known", "refused on 03-04"),
    ("policy_not_weakened", "refused", ["03-04", "03-05"], UNKNOWN, "not known", "refused"),
    ("no_early_loss", "refused", ["03-04", "03-05"], UNKNOWN, "not known", "refused"),
    ("retention_kept", "refused", ["03-04", "03-05"], UNKNOWN, "not known", "refused"),
    ("retention_kept", "refused", ["03-03", "03-07"], OK, "ok", "no change of the policy"),
    ("daily_success", "refused", ["03-04", "03-05"], OK, "ok", "its backups are there"),
    ("policy_not_weakened", "bare", ["03-05"], UNKNOWN, "not known", "no policy read"),
    (
        "policy_not_weakened",
        "blurred",
        ["03-03", "03-05"],
        UNKNOWN,
        "not known",
        "from and to what is unknown",
    ),
    ("policy_not_weakened", "blurred", ["03-02", "03-04", "03-06"], OK, "ok", "no change"),
    ("policy_not_weakened", "switched", ["03-03"], OK, "ok", "what was off promised nothing"),
    ("has_restore_point", "deleted", ["03-03", "03-04"], OK, "ok", "it was there with its backups"),
    ("no_early_loss", "deleted", ["03-03", "03-04"], OK, "ok", "gone with the instance is no loss"),
]
CONTROLS_OF_INSTANCES = 8
OF_PROJECTS = [
    # project, whether of its instance, days, status of every control of these, how it was worked out
    ("vain", True, since("02-14", "03-07"), UNKNOWN, "an incomplete run proves nothing"),
    ("vain", False, since("02-20", "03-07"), ALARM, "nobody looked at the whole list"),
    ("skewed", True, since("03-03", "03-07"), UNKNOWN, "the last certified run was at noon on 03-03"),
    ("skewed", False, since("03-04", "03-07"), ALARM, "refused runs"),
    ("silent", True, since("03-01", "03-07"), UNKNOWN, "nobody looked"),
    ("silent", False, since("03-01", "03-07"), UNKNOWN, "nobody looked"),
    ("waiting", False, ["03-07"], UNKNOWN, "nobody looked"),
    ("paused", True, since("02-22", "02-27"), UNKNOWN, "older than 7 days when the run of 03-07 came"),
    ("paused", False, since("02-22", "03-06"), ALARM, "no run"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("control", "name", "days", "status", "outcome", "_why"),
    BY_HAND,
    ids=[f"{one[0]} {one[1]} {one[2][0]}" for one in BY_HAND],
)
def test_each_control_by_hand(
    results: list[dict[str, Any]],
    control: str,
    name: str | None,
    days: list[str],
    status: str,
    outcome: str,
    _why: str,
) -> None:
    """Status and outcome of a control, of an instance on some days, are as worked out."""
    found = {
        row["date"]: (row["status"], row["outcome"])
        for row in results
        if (row["control_id"], row["instance_id"]) == (control, name) and row["project_id"] == "p1"
    }
    assert {one: found.get(day(one)) for one in days} == dict.fromkeys(days, (status, outcome))


@pytest.mark.parametrize(
    ("project", "is_of_instance", "days", "status", "_why"),
    OF_PROJECTS,
    ids=[f"{one[0]} {one[1]}" for one in OF_PROJECTS],
)
def test_what_nobody_saw_is_never_a_pass(
    results: list[dict[str, Any]],
    project: str,
    is_of_instance: bool,
    days: list[str],
    status: str,
    _why: str,
) -> None:
    """All controls of an instance, or the project's own, on days that no certified run proves."""
    found: dict[date, set[str]] = {}
    count = 0
    for row in results:
        is_mine = (
            row["project_id"] == project and (row["instance_id"] is not None) == is_of_instance
        )
        if is_mine and row["date"] in map(day, days):
            found.setdefault(row["date"], set()).add(row["status"])
            count += 1
    assert found == {day(one): {status} for one in days}
    assert not is_of_instance or count == CONTROLS_OF_INSTANCES * len(days)


def test_a_deleted_instance_is_judged_no_more(results: list[dict[str, Any]]) -> None:
    """Its last day is the last one at whose end it existed; its days before stay."""
    days = {row["date"] for row in results if row["instance_id"] == "deleted"}
    assert max(days) == day("03-04")


def test_every_control_has_a_definition_and_results(
    views: duckdb.DuckDBPyConnection, results: list[dict[str, Any]]
) -> None:
    """Nine controls, each with all its words, and each judged; one row per control, who and day."""
    rows = rows_of(views, "SELECT * FROM dim_control")
    assert len(rows) == 9
    assert all(value for row in rows for value in row.values())
    assert {row["control_id"] for row in results} == {row["control_id"] for row in rows}


def test_the_evidence_is_named(results: list[dict[str, Any]]) -> None:
    """The backup that shows it, and the first certified run after the day ended."""
    key = ("daily_success", "good", day("03-01"))
    (row,) = (r for r in results if (r["control_id"], r["instance_id"], r["date"]) == key)
    # the run of 03-02 is incomplete and proves nothing
    assert row["backup_id"] == "good-03-01"
    assert row["run_id"] == run(at("2026-03-03 12:00"))["run_id"]


def test_alarms_open_and_close(views: duckdb.DuckDBPyConnection) -> None:
    """Each stretch of alarms once, with its first day, the first good day after, and its length."""
    rows = rows_of(
        views,
        "SELECT control_id, instance_id, opened_on, closed_on, days_open FROM v_exception_history "
        "WHERE instance_id IN ('tired', 'stuck', 'weakened') ORDER BY ALL",
    )
    assert [list(row.values()) for row in rows] == [
        ["daily_success", "stuck", day("03-05"), day("03-06"), 1],
        ["daily_success", "tired", day("03-05"), day("03-07"), 2],
        ["no_early_loss", "weakened", day("02-20"), day("03-04"), 12],
        ["no_stuck_backup", "stuck", day("03-06"), None, 2],
        ["policy_not_weakened", "weakened", day("03-04"), day("03-06"), 2],
        ["retention_kept", "weakened", day("02-20"), day("03-04"), 12],
        ["rpo_kept", "stuck", day("03-05"), day("03-07"), 2],
        ["rpo_kept", "tired", day("03-05"), None, 3],
    ]


def test_check_tells_of_a_weakened_policy_and_one_that_is_off(
    views: duckdb.DuckDBPyConnection,
) -> None:
    """Both are exceptions: the policy's, with what changed between which moments."""
    rows = rows_of(
        views,
        "SELECT kind, instance_id, message FROM v_exceptions WHERE kind LIKE 'policy%' ORDER BY kind",
    )
    assert [(row["kind"], row["instance_id"]) for row in rows] == [
        ("policy off", "off"),
        ("policy weakened", "weakened"),
    ]
    assert (
        "from 14 to 7 days, between 2026-03-03 12:00 and 2026-03-04 12:00 UTC" in rows[1]["message"]
    )
