"""Each KPI against a small fleet whose numbers were worked out by hand.

It is Tuesday 2026-03-10, 12:00 UTC. The lake was first synced on 2026-02-01 and last just now. Six
instances, backups of 1 GiB and one hour, begun at 02:00; policies ask for 02:00 every day and keep 7:

==========  ==========  ======================================================================
instance    created     backups
==========  ==========  ======================================================================
healthy     2026-01-01  every day since 02-01, each gone 7 days and an hour after its begin
failing     2026-03-04  every day since 03-04; those of 03-09 and 03-10 failed
bare        2026-03-01  none, and no policy
manual      2025-01-01  one by hand on 2025-11-01, 5 GiB; no policy
weekly      2026-03-01  policy: Mondays, keep 14; one on Tue 03-03, empty; BUILDING since 03-08
losing      2026-02-01  every day since 03-05; those of 03-05 and 03-06 were gone on 03-08
==========  ==========  ======================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from support.lake_maker import (
    at,
    backup,
    borrow_views,
    connect_rows,
    instance,
    policy,
    rows_of,
    run,
)

NOW = at("2026-03-10 12:00")
DAY = timedelta(days=1)


def daily(name: str, first: str, last: str, **other: Any) -> list[dict[str, Any]]:
    begin, end = at(f"{first} 02:00"), at(f"{last} 02:00")
    days = range((end - begin).days + 1)
    return [backup(f"{name}-{begin + n * DAY:%m%d}", name, begin + n * DAY, **other) for n in days]


def fleet() -> dict[str, Any]:
    healthy = daily("healthy", "2026-02-01", "2026-03-10")
    for row in healthy:
        gone = row["begin_time"] + 7 * DAY + timedelta(hours=1)
        row["gone_at"] = gone if gone <= NOW else None
    backups = [
        *healthy,
        *daily("failing", "2026-03-04", "2026-03-08"),
        *daily("failing", "2026-03-09", "2026-03-10", status="FAILED"),
        *daily("manual", "2025-11-01", "2025-11-01", backup_type="Manual", size_kb=5 * 1048576.0),
        *daily("weekly", "2026-03-03", "2026-03-03", size_kb=0.0),
        *daily("weekly", "2026-03-08", "2026-03-08", status="BUILDING", size_kb=0.0),
        *daily("losing", "2026-03-05", "2026-03-06", gone_at=at("2026-03-08 00:00")),
        *daily("losing", "2026-03-07", "2026-03-10"),
    ]
    created = {
        "healthy": "2026-01-01",
        "failing": "2026-03-04",
        "bare": "2026-03-01",
        "manual": "2025-01-01",
        "weekly": "2026-03-01",
        "losing": "2026-02-01",
    }
    return {
        "backups": backups,
        "instances": [
            instance(name, created_at=at(f"{day} 00:00")) for name, day in created.items()
        ],
        "policies": [
            policy("healthy"),
            policy("failing"),
            policy("losing"),
            policy("weekly", period="1", keep_days=14),
        ],
        "runs": [run(at("2026-02-01 12:00")), run(NOW)],
    }


@pytest.fixture(scope="module")
def views() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect_rows(**fleet()) as connection:
        yield connection


@pytest.fixture(scope="module")
def current(views: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The row of v_kpi_current."""
    (row,) = views.sql("FROM v_kpi_current").to_arrow_table().to_pylist()
    return row


def one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    ((value,),) = connection.sql(query).fetchall()
    return value


HOURS = 3600
CURRENT = [
    # column, value, how it was worked out
    ("instance_count", 6, "all of the table"),
    ("protected_count", 5, "all but bare"),
    ("unprotected_count", 1, "bare"),
    ("coverage_rate", 5 / 6, "5 of 6"),
    ("rpo_limit_h", 26, "24 h and 2 h of tolerance"),
    ("rpo_missed_count", 2 + 1 + 1, "failing, weekly, manual, bare: no increments of theirs"),
    ("age_upper_bound_count", 0, "no policy speaks of increments"),
    ("rpo_met_count", 2, "healthy and losing: begun today at 02:00"),
    ("rpo_instance_rate", 2 / 6, "2 of 6"),
    ("restore_point_age_p50_h", 58, "ages 10, 10, 58 (03-08 02:00), 178 (03-03), 3106 (11-01)"),
    ("restore_point_age_p95_h", 178 + 0.8 * (3106 - 178), "place 0.95 x 4 = 3.8"),
    ("restore_point_age_max_h", 3106, "129 days and 10 hours"),
    ("age_to_24_h_count", 2, "healthy, losing"),
    ("age_24_to_48_h_count", 0, ""),
    ("age_2_to_7_days_count", 1, "failing"),
    ("age_over_7_days_count", 2, "weekly, manual"),
    ("age_none_count", 1, "bare"),
    (
        "rpo_time_rate",
        (720 + 121 + 0 + 0 + 25 + 117) / (720 + 144 + 216 + 720 + 216 + 720),
        (
            "hours since 02-08 or creation; failing covered 03-04 03:00 to 03-09 04:00, weekly "
            "03-03 03:00 to 03-04 04:00, losing 03-05 03:00 to 03-10 00:00"
        ),
    ),
    ("completed_recent", 7 + 5 + 1 + 5, "03-03 to 03-09: healthy, failing, weekly, losing"),
    ("failed_recent", 1, "failing on 03-09; today is partial"),
    ("success_rate_recent", 18 / 19, "BUILDING is neither"),
    ("failing_count", 1, "failing"),
    ("max_consecutive_failures", 2, "03-09 and 03-10"),
    ("slots_recent", 7 + 6 + 1 + 7, "healthy, failing since 03-04, weekly 03-09, losing"),
    ("missed_slots_recent", 1 + 2, "weekly 03-09, losing 03-03 and 03-04"),
    ("retention_known_count", 4, "those with a policy"),
    ("retention_short_count", 1, "losing: 3.4 of 7 days"),
    ("retention_depth_min_days", 3 + 10 / 24, "losing since 03-07 02:00"),
    ("retention_depth_p50_days", 6 + 10 / 24, "3.4, 6.4 (healthy), 6.4 (failing), 7.4 (weekly)"),
    ("early_loss_recent", 2, "losing"),
    ("duration_p50_s", HOURS, "all take an hour"),
    ("duration_p95_s", HOURS, "all take an hour"),
    ("duration_outlier_count", 0, ""),
    ("empty_count", 1, "weekly on 03-03"),
    ("tiny_count", 0, ""),
    ("stuck_count", 1, "weekly since 03-08"),
    ("present_count", 7 + 7 + 1 + 2 + 4, "healthy holds 03-04 to 03-10"),
    ("ledger_count", 38 + 7 + 1 + 2 + 6, ""),
    ("stored_gib", 7 + 5 + 5 + 0 + 4, "failed and BUILDING ones do not count"),
    ("old_manual_count", 1, "manual"),
    ("old_manual_gib", 5, "manual"),
    ("certificate_age_h", 0, "the last run is complete"),
    ("is_inventory_known", True, ""),
    ("project_count", 1, ""),
]


@pytest.mark.parametrize(("column", "value", "how"), CURRENT, ids=[row[0] for row in CURRENT])
def test_current(current: dict[str, Any], column: str, value: float, how: str) -> None:
    """Each column of v_kpi_current has the value worked out by hand."""
    assert current[column] == pytest.approx(value), how


def test_current_has_no_other_number(views: duckdb.DuckDBPyConnection) -> None:
    """A KPI added to v_kpi_current needs a line in the table of this file, or a reason here."""
    columns = set(views.sql("SELECT * FROM v_kpi_current").columns)
    texts = {"now_at", "certified_at", "coverage_note", "rpo_note"}
    elsewhere = {"growth_gib_per_day", "forecast_gib", "forecast_low_gib", "forecast_high_gib"}
    assert columns - texts - elsewhere == {row[0] for row in CURRENT}


def test_findings(views: duckdb.DuckDBPyConnection) -> None:
    """v_exceptions names what is wrong with each instance, and nothing else."""
    rows = views.sql("SELECT kind, instance_id, backup_id FROM v_exceptions").fetchall()
    assert sorted((kind, name, backup_id or "") for kind, name, backup_id in rows) == [
        ("early loss", "losing", "losing-0305"),
        ("early loss", "losing", "losing-0306"),
        ("empty", "weekly", "weekly-0303"),
        ("failing", "failing", ""),
        ("missed slots", "losing", ""),
        ("missed slots", "weekly", ""),
        ("old manual", "manual", "manual-1101"),
        ("retention short", "losing", ""),
        ("rpo missed", "failing", "failing-0308"),
        ("rpo missed", "manual", "manual-1101"),
        ("rpo missed", "weekly", "weekly-0303"),
        ("stuck", "weekly", "weekly-0308"),
        ("unprotected", "bare", ""),
    ]


def test_instance_days(views: duckdb.DuckDBPyConnection) -> None:
    """v_instance_daily has a row for every day, and none for the partial one."""
    rows = views.sql(
        "SELECT date, day_state, rpo_met_s / 3600, restore_point_age_h FROM v_instance_daily "
        "WHERE instance_id = 'failing' ORDER BY date"
    ).fetchall()
    assert rows == [
        (date(2026, 3, 4), "completed", 21, 22),
        (date(2026, 3, 5), "completed", 24, 22),
        (date(2026, 3, 6), "completed", 24, 22),
        (date(2026, 3, 7), "completed", 24, 22),
        (date(2026, 3, 8), "completed", 24, 22),
        (date(2026, 3, 9), "failed", 4, 46),
    ]


def test_gaps_are_rows(views: duckdb.DuckDBPyConnection) -> None:
    """An instance without any backup has its days, as gaps."""
    rows = views.sql(
        "SELECT count(*), min(date), max(date), any_value(day_state), sum(rpo_met_s) "
        "FROM v_instance_daily WHERE instance_id = 'bare'"
    ).fetchall()
    assert rows == [(9, date(2026, 3, 1), date(2026, 3, 9), "none", 0)]


def test_days_before_the_watch_are_not_known(views: duckdb.DuckDBPyConnection) -> None:
    """What had expired before the first sync is no gap: those days count for nothing."""
    rows = views.sql(
        "SELECT day_state, rpo_met_rate FROM v_instance_daily "
        "WHERE instance_id = 'manual' AND date = '2025-12-24'"
    ).fetchall()
    assert rows == [("not known", None)]


def test_daily_kpis(views: duckdb.DuckDBPyConnection) -> None:
    """v_kpi_daily of 03-09: three completed, one failed, weekly and bare and manual uncovered."""
    (row,) = rows_of(views, "SELECT * FROM v_kpi_daily WHERE date = '2026-03-09'")
    assert (row["completed_count"], row["failed_count"], row["success_rate"]) == (2, 1, 2 / 3)
    assert (row["instance_count"], row["gap_count"], row["without_restore_point_count"]) == (
        6,
        4,
        1,
    )
    assert row["rpo_time_rate"] == pytest.approx((24 + 4 + 24) / (6 * 24))
    # at midnight: healthy 22 h, losing 22 h, failing 46 h, weekly 6 d 22 h, manual 128 d 22 h
    assert row["restore_point_age_p50_h"] == 46
    assert row["restore_point_age_max_h"] == 128 * 24 + 22
    # at the end of the day healthy holds 03-03 to 03-09, losing 03-07 to 03-09
    assert row["stored_gib"] == 7 + 5 + 5 + 0 + 3


def test_the_partial_day_is_left_out(views: duckdb.DuckDBPyConnection) -> None:
    """The last day of the daily views is yesterday."""
    assert one(views, "SELECT max(date) FROM v_kpi_daily") == date(2026, 3, 9)
    assert one(views, "SELECT max(date) FROM v_instance_daily") == date(2026, 3, 9)


def test_numbers_do_not_depend_on_the_time_zone(views: duckdb.DuckDBPyConnection) -> None:
    """A session in another time zone gets the same rows: everything is UTC without zone."""
    query = "SELECT * FROM v_instance_daily ORDER BY ALL"
    with views.cursor() as elsewhere:
        elsewhere.execute("SET TimeZone = 'America/New_York'")
        assert elsewhere.sql(query).fetchall() == views.sql(query).fetchall()


def test_settings_move_the_goal() -> None:
    """An update of settings changes every view at once."""
    with borrow_views(**fleet()) as connection:
        connection.execute("UPDATE settings SET rpo_h = 60")
        assert one(connection, "SELECT rpo_met_count FROM v_kpi_current") == 3
        assert one(connection, "SELECT count(*) FROM v_exceptions WHERE kind = 'rpo missed'") == 2


def test_coverage_cannot_be_known_without_inventory() -> None:
    """Without instances in the lake, coverage is null and says so; it is never 100 %."""
    parts = fleet() | {"instances": [], "policies": []}
    with borrow_views(**parts) as connection:
        (row,) = rows_of(connection, "SELECT * FROM v_kpi_current")
    assert (row["coverage_rate"], row["unprotected_count"], row["instance_count"]) == (None,) * 3
    assert row["coverage_note"].startswith("cannot be known")
    # bare is in no backup list, so RPO compliance is of the five others, and says that too
    assert row["rpo_instance_rate"] == pytest.approx(2 / 5)
    assert "cannot be known" in row["rpo_note"]


def test_coverage_cannot_be_known_for_half_the_projects() -> None:
    """One project without an inventory is enough to make the lake's coverage unknown."""
    parts = fleet()
    parts["backups"].append(backup("x", "i", at("2026-03-10 02:00"), project_id="p2"))
    with borrow_views(**parts) as connection:
        assert one(connection, "SELECT coverage_rate FROM v_kpi_current") is None


def test_growth_is_the_median_slope() -> None:
    """2 GiB a day with one jump of 100 GiB grow by 2 GiB a day: Theil-Sen is not carried away."""
    backups = daily("i", "2026-02-01", "2026-03-09", size_kb=2 * 1048576.0, backup_type="Manual")
    backups.append(backup("jump", "i", at("2026-03-05 02:00"), size_kb=100 * 1048576.0))
    runs = [run(NOW - timedelta(days=back)) for back in range(38)]
    with borrow_views(backups=backups, runs=runs) as connection:
        (row,) = rows_of(connection, "SELECT * FROM v_storage_growth WHERE datastore_type = 'all'")
    assert row["day_count"] == 30
    assert row["growth_gib_per_day"] == pytest.approx(2)
    assert row["stored_gib"] == pytest.approx(37 * 2 + 100)
    assert row["forecast_gib"] == pytest.approx(37 * 2 + 100 + 30 * 2)
    assert row["forecast_low_gib"] <= row["forecast_gib"] <= row["forecast_high_gib"]


def test_no_growth_from_a_handful_of_days() -> None:
    """A lake of six full days makes no forecast."""
    backups = daily("i", "2026-02-01", "2026-03-09", backup_type="Manual")
    runs = [run(NOW - timedelta(days=back)) for back in range(7)]
    with borrow_views(backups=backups, runs=runs) as connection:
        assert rows_of(connection, "SELECT * FROM v_storage_growth") == []
        assert one(connection, "SELECT growth_gib_per_day FROM v_kpi_current") is None


def test_unusual_durations_and_sizes() -> None:
    """Nine usual backups, one of five hours, one of a fiftieth of the size: both are found."""
    backups = daily("i", "2026-02-27", "2026-03-09")
    backups[-1]["end_time"] = backups[-1]["begin_time"] + timedelta(hours=5)
    backups[-2]["size_kb"] /= 50
    with borrow_views(backups=backups, runs=[run(NOW)]) as connection:
        rows = rows_of(connection, "SELECT * FROM v_backup_history ORDER BY begin_time")
    assert [row["is_duration_outlier"] for row in rows] == [False] * 10 + [True]
    # the median is 3600 s, the MAD 0, so the spread is a tenth of the median
    assert rows[-1]["duration_z"] == pytest.approx((5 * 3600 - 3600) / 360)
    assert [row["is_tiny"] for row in rows] == [False] * 9 + [True, False]


def test_the_ledger_not_the_survivors() -> None:
    """A failed backup that has left the list still lowers the success rate."""
    gone = backup("g", "i", at("2026-03-05 02:00"), status="FAILED", gone_at=at("2026-03-06 00:00"))
    kept = backup("k", "i", at("2026-03-06 02:00"))
    with borrow_views(backups=[gone, kept], runs=[run(NOW)]) as connection:
        assert one(connection, "SELECT success_rate_recent FROM v_kpi_current") == 0.5


def test_stale_data() -> None:
    """Runs that could not certify anything for two days make a finding, and age the certificate."""
    runs = [run(NOW - 2 * DAY), run(NOW, verdict="incomplete")]
    with borrow_views(backups=[backup("b", "i", NOW)], runs=runs) as connection:
        assert one(connection, "SELECT certificate_age_h FROM v_kpi_current") == 48
        assert (
            one(connection, "SELECT kind FROM v_exceptions WHERE project_id = 'p1'") == "stale data"
        )


def test_a_changed_policy_does_not_judge_the_past() -> None:
    """Slots before the observed change of a policy are not missed slots."""
    changed = policy("i", updated_at=at("2026-03-08 12:00"))
    with borrow_views(
        instances=[instance("i")], policies=[changed], runs=[run(at("2026-02-01 12:00")), run(NOW)]
    ) as connection:
        slots = connection.sql("SELECT slot_at::DATE FROM v_slot ORDER BY 1").fetchall()
    assert slots == [(date(2026, 3, 9),), (date(2026, 3, 10),)]


def test_a_deleted_instance_takes_its_backups_along() -> None:
    """Automated backups that went with their instance are no early loss, and it needs no backup."""
    gone = at("2026-03-09 00:00")
    backups = daily("i", "2026-03-05", "2026-03-08", gone_at=gone)
    with borrow_views(
        backups=backups,
        instances=[instance("i", gone_at=gone), instance("other")],
        policies=[policy("i", gone_at=gone)],
        runs=[run(at("2026-02-01 12:00")), run(NOW)],
    ) as connection:
        findings = connection.sql("SELECT kind, instance_id FROM v_exceptions").fetchall()
        assert findings == [("unprotected", "other")]
        assert one(
            connection, "SELECT max(date) FROM v_instance_daily WHERE instance_id = 'i'"
        ) == date(2026, 3, 9)


def test_no_growth_while_a_project_was_never_certified() -> None:
    """What a project without a complete run stored is not proven, so the sum makes no forecast."""
    backups = daily("i", "2026-02-01", "2026-03-09", backup_type="Manual")
    backups.append(backup("x", "i", at("2026-03-05 02:00"), project_id="p2"))
    runs = [run(at("2026-02-01 12:00")), run(NOW)]
    runs.append(run(NOW, verdict="incomplete", project_id="p2"))
    with borrow_views(backups=backups, runs=runs) as connection:
        assert rows_of(connection, "SELECT * FROM v_storage_growth") == []
        assert not one(connection, "SELECT bool_or(is_watched) FROM v_storage_daily")


def with_increments(*names: str, minutes: int | None = 15) -> dict[str, Any]:
    parts = fleet()
    for rule in parts["policies"]:
        if rule["instance_id"] in names:
            rule["incremental_period_min"] = minutes
    return parts


def test_increments_make_the_age_an_upper_bound() -> None:
    """Where a policy takes increments, a missed RPO is only worth a look, and the texts say why."""
    with borrow_views(**with_increments("failing", "healthy")) as connection:
        found = connection.sql(
            "SELECT instance_id, severity, message FROM v_exceptions WHERE kind = 'rpo missed'"
        ).fetchall()
        (kpi,) = rows_of(connection, "SELECT * FROM v_kpi_current")
        dim = connection.sql(
            "SELECT instance_id, incremental_period_min, is_incremental_enabled FROM dim_instance "
            "WHERE instance_id IN ('failing', 'losing') ORDER BY 1"
        ).fetchall()
    severities = {name: severity for name, severity, _ in found}
    assert severities == {"failing": 3, "weekly": 1, "manual": 1}
    assert all("full backup" in message for _, _, message in found)
    assert [name for name, _, message in found if "upper bound" in message] == ["failing"]
    assert dim == [("failing", 15, True), ("losing", None, False)]
    assert (kpi["age_upper_bound_count"], kpi["rpo_missed_count"]) == (2, 3)
    assert (kpi["rpo_met_count"], kpi["unprotected_count"]) == (2, 1)
    assert "upper bound" in kpi["rpo_note"]


@pytest.mark.parametrize("minutes", [0, None])
def test_without_increments_the_age_is_the_age(minutes: int | None) -> None:
    """Off and not said are no increments: the finding is as severe as ever."""
    with borrow_views(**with_increments("failing", minutes=minutes)) as connection:
        query = "SELECT DISTINCT severity FROM v_exceptions WHERE kind = 'rpo missed'"
        assert one(connection, query) == 1
        assert "upper bound" not in one(connection, "SELECT rpo_note FROM v_kpi_current")


def test_increments_of_a_policy_that_is_off_count_for_nothing() -> None:
    """An increment needs a full backup before it, and a disabled policy takes none."""
    parts = with_increments("failing")
    parts["policies"][1] |= {"is_enabled": False, "keep_days": 0}
    with borrow_views(**parts) as connection:
        assert one(connection, "SELECT age_upper_bound_count FROM v_kpi_current") == 0


def test_other_statuses_are_neither_success_nor_restore_point() -> None:
    """In no view does a backup on its way out, or of an unknown status, count as more than begun."""
    statuses = ("DISABLED", "DELETING", "STOPPED", "completed", "", None)
    begin, end, names = at("2026-03-09 02:00"), at("2026-03-09 03:00"), "abcdef"
    parts = {
        "backups": [
            backup(f"b-{name}", name, begin, end_time=end, status=status)
            for name, status in zip(names, statuses, strict=True)
        ],
        "instances": [instance(name) for name in names],
        "policies": [policy(name) for name in names],
        "runs": [run(at("2026-02-01 12:00")), run(NOW)],
    }
    with borrow_views(**parts) as connection:
        (kpi,) = rows_of(connection, "SELECT * FROM v_kpi_current")
        (day,) = rows_of(connection, "SELECT * FROM v_kpi_daily WHERE date = '2026-03-09'")
        query = "SELECT * FROM v_instance_daily WHERE date = '2026-03-09'"
        of_instances = rows_of(connection, query)
        found = connection.sql("SELECT kind, count(*) FROM v_exceptions GROUP BY 1").fetchall()
    assert (kpi["present_count"], kpi["stored_gib"], kpi["success_rate_recent"]) == (6, 0, None)
    assert (kpi["protected_count"], kpi["completed_recent"], kpi["failed_recent"]) == (0, 0, 0)
    assert (day["completed_count"], day["failed_count"], day["unfinished_count"]) == (0, 0, 6)
    assert (day["stored_gib"], day["success_rate"]) == (0, None)
    for row in of_instances:
        assert (row["day_state"], row["restore_point_count"]) == ("unfinished", 0)
    assert dict(found) == {"unprotected": 6, "missed slots": 6, "retention short": 6}


def year_ahead() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + 365 * DAY


def test_now_never_lies_after_the_wall_clock() -> None:
    """One run whose clock was a year ahead: now is now, nothing is certified by it, and it is named."""
    last = datetime.now(UTC).replace(microsecond=0) - 3 * DAY
    runs = [run(last), run(year_ahead())]
    with borrow_views(backups=[backup("b", "i", last)], runs=runs) as connection:
        connection.execute("SET TimeZone = 'Asia/Shanghai'")
        now = one(connection, "SELECT now_at FROM v_now").replace(tzinfo=UTC)
        (row,) = rows_of(connection, "SELECT * FROM dim_project")
        kinds = dict(
            connection.sql(
                "SELECT kind, measured FROM v_exceptions WHERE instance_id IS NULL"
            ).fetchall()
        )
    assert last < now <= datetime.now(UTC)
    assert row["certified_at"].replace(tzinfo=UTC) == last
    assert row["certificate_age_h"] == pytest.approx(72, abs=0.1)
    assert kinds == {
        "stale data": pytest.approx(72, abs=0.1),
        "clock ahead": pytest.approx(365 * 24, abs=0.1),
    }


def test_only_a_run_ahead_certifies_nothing() -> None:
    """A lake whose only run lies in the future is stale, not certified for a year."""
    with borrow_views(backups=[backup("b", "i", NOW)], runs=[run(year_ahead())]) as connection:
        assert one(connection, "SELECT certified_at FROM v_kpi_current") is None
        kinds = connection.sql("SELECT kind FROM v_exceptions").fetchall()
    assert {("stale data",), ("clock ahead",)} <= set(kinds)


def test_a_clock_some_seconds_ahead_is_no_matter() -> None:
    """Of two machines one is always ahead: the run counts, and now waits for the wall clock."""
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=100)
    with borrow_views(backups=[backup("b", "i", NOW)], runs=[run(soon)]) as connection:
        assert one(connection, "SELECT now_at <= utc_now() FROM v_now")
        assert one(connection, "SELECT certified_at FROM v_kpi_current").replace(tzinfo=UTC) == soon
        kinds = connection.sql("SELECT kind FROM v_exceptions").fetchall()
    assert not {("stale data",), ("clock ahead",)} & set(kinds)


def test_rows_of_the_far_future_do_not_move_now() -> None:
    """In a lake without runs a backup that ends in the year 9999 leaves now at the wall clock."""
    late = backup("b", "i", at("2026-03-10 02:00"), end_time=at("9999-12-31 23:59"))
    with connect_rows(backups=[late]) as connection:
        connection.execute(
            "UPDATE settings SET now_without_runs = (SELECT max(end_time) FROM backups)"
        )
        assert one(connection, "SELECT now_at <= utc_now() FROM v_now")


#: extra, the columns beside it, and what is odd: by field what was sent.
ODD: list[tuple[str | None, dict[str, Any], dict[str, str]]] = [
    ('{"end_time":"-"}', {"end_time": None}, {"end_time": '"-"'}),
    ('{"size":true}', {"size_kb": None}, {"size": "true"}),
    ('{"size":1e400}', {"size_kb": None}, {"size": "1e400"}),
    ('{"name":"a\\ud800b","x":1}', {"name": None}, {"name": '"a\\ud800b"'}),
    (
        '{"status":7,"type":[1]}',
        {"status": None, "backup_type": None},
        {"status": "7", "type": "[1]"},
    ),
    ('{"datastore":"redis"}', {"datastore_type": None}, {"datastore": '"redis"'}),
    ('{"datastore":{"type":5}}', {"datastore_type": None}, {"datastore.type": "5"}),
    ('{"database_tables":7}', {}, {"database_tables": "7"}),
    (
        '{"database_tables":{"0":{"table_names":7},"2":"x"}}',
        {},
        {"database_tables[0].table_names": "7", "database_tables[2]": '"x"'},
    ),
    # What is not odd: other notations, no time, and what no version knows.
    ('{"begin_time":"2018-08-06T12:41:14+0800"}', {}, {}),
    ('{"end_time":""}', {"end_time": None}, {}),
    ('{"size":9007199254740993}', {}, {}),
    ('{"colour":null,"note":{"size":1,"status":2}}', {"size_kb": None, "status": None}, {}),
    ('{"note":1e400}', {}, {}),
    ('{"datastore":{"patch":false}}', {"datastore_type": None}, {}),
    ('{"database_tables":{"0":{"mode":"ttl"}}}', {}, {}),
    (None, {"end_time": None}, {}),
]


def test_odd_values_are_findings() -> None:
    """A value whose column is null and whose text is in extra is listed with field and text."""
    backups = [
        backup(f"b{place}", "i", at("2026-03-10 02:00"), **row, extra=extra)
        for place, (extra, row, _) in enumerate(ODD)
    ]
    with borrow_views(backups=backups, runs=[run(NOW)]) as connection:
        rows = connection.sql("SELECT backup_id, field, sent FROM v_odd_value").fetchall()
        query = "SELECT backup_id, severity, message FROM v_exceptions WHERE kind = 'odd value'"
        findings = connection.sql(query).fetchall()
    for place, (_, _, found) in enumerate(ODD):
        mine = [(field, sent) for backup_id, field, sent in rows if backup_id == f"b{place}"]
        assert dict(mine) == found
        texts = [(level, text) for name, level, text in findings if name == f"b{place}"]
        assert len(mine) == len(texts) == len(found)
        for field, sent in found.items():
            assert any(level == 3 and f"{field} " in text and sent in text for level, text in texts)


def test_a_proof_counts_what_the_lake_had_learned_by_then() -> None:
    """What the proving run counted and the lake lacks is lost: to its moment, not its day."""
    proofs = {
        "2026-03-08 06:00": 5,
        "2026-03-08 12:00": 9,
        "2026-03-09 06:00": 3,
        "2026-03-10 00:00": 3,
    }
    seen = {
        "at-the-proof": ("2026-03-08 06:00", None),
        "after-it": ("2026-03-08 06:01", None),
        "gone-at-it": ("2026-03-07 05:00", "2026-03-08 06:00"),
        "gone-after-it": ("2026-03-07 05:00", "2026-03-08 06:01"),
        "before": ("2026-03-01 05:00", None),
    }
    with borrow_views(
        backups=[
            backup(
                name,
                "i",
                at("2026-03-01 02:00"),
                first_seen_at=at(since),
                gone_at=until and at(until),
            )
            for name, (since, until) in seen.items()
        ],
        runs=[run(at(moment), present_count=count) for moment, count in proofs.items()],
    ) as connection:
        rows = rows_of(connection, "FROM v_watched_daily WHERE date >= DATE '2026-03-06'")
    # 03-08 06:00 proves both days before it: it counted 5 and the lake had 3
    assert {str(row["date"]): row["lost_count"] for row in rows} == {
        "2026-03-06": 2,
        "2026-03-07": 2,
        "2026-03-08": 0,
        "2026-03-09": 0,
    }
