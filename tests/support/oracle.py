"""The KPIs in slow, plain Python: loops over rows, no SQL, written from the definitions alone.

In: rows as `lake_maker` makes them. Out: what each view must answer. Times are aware datetimes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str | None]
DAY = timedelta(days=1)


@dataclass
class Fleet:
    """What a lake holds."""

    backups: list[Row] = field(default_factory=list)
    instances: list[Row] = field(default_factory=list)
    policies: list[Row] = field(default_factory=list)
    runs: list[Row] = field(default_factory=list)
    policy_changes: list[Row] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return max(row["as_of"] for row in self.runs)

    @property
    def today(self) -> date:
        return self.now.date()


# The defaults of the table settings.
LIMIT = timedelta(hours=26)
STUCK = timedelta(hours=24)
SLOT = timedelta(hours=3)
RECENT, TREND, OLD_MANUAL, NORM = 7, 30, 90, 90


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def hours(span: timedelta) -> float:
    return span.total_seconds() / 3600


def days_of(span: timedelta) -> float:
    return span.total_seconds() / 86400


def quantile(values: Iterable[float], share: float) -> float | None:
    """Linear interpolation between the closest ranks."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def is_point(row: Row) -> bool:
    return row["status"] == "COMPLETED" and row["backup_level"] == "Instance"


def restorable_at(row: Row) -> datetime | None:
    return row["end_time"] or row["begin_time"]


def duration_s(row: Row) -> float | None:
    if row["begin_time"] and row["end_time"] and row["end_time"] >= row["begin_time"]:
        return (row["end_time"] - row["begin_time"]).total_seconds()
    return None


def is_recent(fleet: Fleet, row: Row) -> bool:
    day = row["begin_date"]
    return day is not None and fleet.today - RECENT * DAY <= day < fleet.today


def first_certified(fleet: Fleet, project: str) -> datetime | None:
    moments = [
        run["as_of"]
        for run in fleet.runs
        if run["project_id"] == project and run["verdict"] == "complete"
    ]
    return min(moments, default=None)


def policies(fleet: Fleet) -> dict[Key, Row]:
    """Enabled policies of existing instances, with the start of their validity."""
    found = {}
    for rule in fleet.policies:
        key = (rule["project_id"], rule["instance_id"])
        home = [i for i in fleet.instances if (i["project_id"], i["instance_id"]) == key]
        is_here = home and not home[0].get("gone_at") and not rule.get("gone_at")
        if is_here and rule["is_enabled"] and (rule["keep_days"] or 0) > 0:
            changed = rule["updated_at"] if rule["updated_at"] > rule["first_seen_at"] else None
            found[key] = rule | {"changed_at": changed, "home": home[0]}
    return found


def is_lost_early(fleet: Fleet, row: Row) -> bool:
    rule = policies(fleet).get((row["project_id"], row["instance_id"]))
    if not (rule and row["gone_at"] and row["begin_time"]):
        return False
    if not is_point(row) or row["backup_type"] != "Auto":
        return False
    if rule["changed_at"] and row["begin_time"] < rule["changed_at"]:
        return False
    return row["gone_at"].date() < row["begin_date"] + rule["keep_days"] * DAY


def is_incremental(fleet: Fleet, key: Key) -> bool:
    rule = policies(fleet).get((key[0], key[1]))
    return rule is not None and (rule.get("incremental_period_min") or 0) > 0


def is_stuck(fleet: Fleet, row: Row) -> bool:
    return (
        row["status"] == "BUILDING"
        and row["gone_at"] is None
        and row["begin_time"] is not None
        and row["begin_time"] < fleet.now - STUCK
    )


def is_old_manual(fleet: Fleet, row: Row) -> bool:
    return (
        row["backup_type"] == "Manual"
        and row["gone_at"] is None
        and row["begin_time"] is not None
        and row["begin_time"] < fleet.now - OLD_MANUAL * DAY
    )


@dataclass
class Health:
    """What is known of one instance."""

    key: Key
    rows: list[Row]
    home: Row | None
    rule: Row | None
    is_existing: bool
    watched_from: datetime | None
    watched_until: datetime | None


def instances(fleet: Fleet) -> dict[Key, Health]:
    keys = {(row["project_id"], row["instance_id"]) for row in fleet.backups}
    keys |= {(row["project_id"], row["instance_id"]) for row in fleet.instances}
    rules = policies(fleet)
    found = {}
    for key in keys:
        project, instance_id = key
        rows = [b for b in fleet.backups if (b["project_id"], b["instance_id"]) == key]
        homes = [i for i in fleet.instances if (i["project_id"], i["instance_id"]) == key]
        home = homes[0] if homes else None
        if any(i["project_id"] == project for i in fleet.instances):
            is_existing = home is not None and not home.get("gone_at")
        else:
            is_existing = instance_id is not None and any(b["gone_at"] is None for b in rows)
        begins = [b["begin_time"] for b in rows if b["begin_time"]]
        born = (home and (home.get("created_at") or home.get("first_seen_at"))) or min(
            begins, default=None
        )
        first = first_certified(fleet, project)
        watched_from = None
        if first is not None:
            keep = rules[key]["keep_days"] if key in rules else 7
            start = first - keep * DAY
            watched_from = max(start, born) if born else start
        if is_existing:
            until = fleet.now
        else:
            gone = (home and home.get("gone_at")) or max(
                (b["gone_at"] for b in rows if b["gone_at"]), default=None
            )
            until = min(gone, fleet.now) if gone else fleet.now
        found[key] = Health(key, rows, home, rules.get(key), is_existing, watched_from, until)
    return found


def covered_s(fleet: Fleet, health: Health, begin: datetime, end: datetime) -> float:
    """Seconds of [begin, end) with a restore point within the limit present."""
    spans = []
    for row in health.rows:
        start = restorable_at(row)
        if not is_point(row) or row["begin_time"] is None or start >= fleet.now:
            continue
        stop = min(row["begin_time"] + LIMIT, row["gone_at"] or row["begin_time"] + LIMIT)
        start, stop = max(start, begin), min(stop, end)
        if start < stop:
            spans.append((start, stop))
    total, reached = 0.0, begin
    for start, stop in sorted(spans):
        if stop > reached:
            total += (stop - max(start, reached)).total_seconds()
            reached = stop
    return total


def point_age_h(fleet: Fleet, health: Health, moment: datetime) -> float | None:
    """Age of the newest restore point present just before a moment that has passed."""
    begins = [
        row["begin_time"]
        for row in health.rows
        if is_point(row)
        and row["begin_time"] is not None
        and restorable_at(row) < min(moment, fleet.now)
        and (row["gone_at"] is None or row["gone_at"] >= moment)
    ]
    return hours(moment - max(begins)) if begins else None


def instance_daily(fleet: Fleet) -> dict[tuple[Key, date], Row]:
    found = {}
    for key, health in instances(fleet).items():
        if key[1] is None:
            continue
        begins = [b["begin_time"] for b in health.rows if b["begin_time"]]
        starts = [moment for moment in (health.watched_from, min(begins, default=None)) if moment]
        if not starts:
            continue
        day = min(starts).date()
        last = min(health.watched_until.date(), fleet.today - DAY)
        while day <= last:
            mine = [b for b in health.rows if b["begin_date"] == day]
            start, stop = midnight(day), midnight(day + DAY)
            watched = 0.0
            if health.watched_from:
                low, high = max(start, health.watched_from), min(stop, health.watched_until)
                watched = max((high - low).total_seconds(), 0.0)
            found[key, day] = {
                "backup_count": len(mine),
                "completed_count": sum(b["status"] == "COMPLETED" for b in mine),
                "failed_count": sum(b["status"] == "FAILED" for b in mine),
                "restore_point_count": sum(map(is_point, mine)),
                "watched_s": watched,
                "rpo_met_s": covered_s(fleet, health, low, high) if watched else None,
                "restore_point_age_h": point_age_h(fleet, health, stop) if watched else None,
            }
            day += DAY
    return found


def slots(fleet: Fleet) -> dict[tuple[Key, datetime], bool]:
    """Slots that are due, and whether each was missed."""
    found = {}
    for key, rule in policies(fleet).items():
        first = first_certified(fleet, key[0])
        if first is None or not rule["window_start"]:
            continue
        hour, minute = map(int, rule["window_start"].split(":"))
        born = rule["home"].get("created_at") or rule["home"].get("first_seen_at")
        since = max(born, first - rule["keep_days"] * DAY, rule["changed_at"] or born)
        for back in range(TREND + 1):
            day = fleet.today - back * DAY
            slot = datetime.combine(day, time(hour, minute), UTC)
            if day.isoweekday() in weekdays(rule) and slot >= since and slot + SLOT <= fleet.now:
                found[key, slot] = not any(
                    (b["project_id"], b["instance_id"]) == key
                    and b["backup_type"] == "Auto"
                    and b["backup_level"] == "Instance"
                    and b["begin_time"]
                    and slot <= b["begin_time"] < slot + SLOT
                    for b in fleet.backups
                )
    return found


def weekdays(rule: Row) -> list[int]:
    return sorted(
        {day for day in range(1, 8) if str(day) in rule["period"].replace(" ", "").split(",")}
    )


def weekday_gap(rule: Row) -> int:
    days = weekdays(rule)
    return max((b - a for a, b in zip(days, [*days[1:], days[0] + 7], strict=True)), default=1)


def instance_current(fleet: Fleet) -> dict[Key, Row]:
    due = slots(fleet)
    found = {}
    for key, health in instances(fleet).items():
        if not health.is_existing:
            continue
        points = [
            b for b in health.rows if is_point(b) and b["gone_at"] is None and b["begin_time"]
        ]
        newest = max((b["begin_time"] for b in points), default=None)
        age = max(hours(fleet.now - newest), 0.0) if newest else None
        success = max(
            (b["begin_time"] for b in health.rows if is_point(b) and b["begin_time"]), default=None
        )
        failures = [
            b["begin_time"]
            for b in health.rows
            if b["status"] == "FAILED" and b["backup_level"] == "Instance" and b["begin_time"]
        ]
        mine = {slot: missed for (owner, slot), missed in due.items() if owner == key}
        recent = {
            s: m for s, m in mine.items() if fleet.today - RECENT * DAY <= s.date() < fleet.today
        }
        row: Row = {
            "restore_point_count": sum(is_point(b) and b["gone_at"] is None for b in health.rows),
            "restore_point_age_h": age,
            "is_rpo_met": age is not None and age <= hours(LIMIT),
            "is_age_upper_bound": is_incremental(fleet, key)
            and any(is_point(b) and b["gone_at"] is None for b in health.rows),
            "consecutive_failures": sum(not success or f > success for f in failures),
            "slots_recent": len(recent),
            "missed_slots_recent": sum(recent.values()),
            "stored_gib": sum(
                (b["size_kb"] or 0) / 1048576
                for b in health.rows
                if b["gone_at"] is None and b["status"] == "COMPLETED"
            ),
        }
        if health.rule:
            autos = [b["begin_time"] for b in points if b["backup_type"] == "Auto"]
            depth = days_of(fleet.now - min(autos)) if autos else 0.0
            assert health.home
            born = health.home.get("created_at")
            if born is None:
                all_autos = [
                    b["begin_time"]
                    for b in health.rows
                    if b["backup_type"] == "Auto" and b["begin_time"]
                ]
                born = min(all_autos, default=fleet.now)
            since = max(born, health.rule["changed_at"] or born)
            target = min(health.rule["keep_days"], days_of(fleet.now - since))
            slack = weekday_gap(health.rule) + hours(SLOT) / 24
            row |= {"retention_depth_days": depth, "is_retention_met": depth + slack >= target}
        else:
            row |= {"retention_depth_days": None, "is_retention_met": None}
        found[key] = row
    return found


def outliers(fleet: Fleet) -> tuple[set[str], set[str]]:
    """Ids of backups of unusual duration, and of tiny ones."""
    unusual, tiny = set(), set()
    since = fleet.now - NORM * DAY
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for b in fleet.backups:
        if (
            b["status"] == "COMPLETED"
            and b["begin_time"]
            and b["begin_time"] >= since
            and b["instance_id"]
        ):
            key = (b["project_id"], b["instance_id"], b["backup_level"])
            groups.setdefault(key, []).append(b)
    for rows in groups.values():
        if len(rows) < 8:
            continue
        durations = [d for b in rows if (d := duration_s(b)) is not None]
        sizes = [b["size_kb"] for b in rows if b["size_kb"] and b["size_kb"] > 0]
        for b in rows:
            if durations and (d := duration_s(b)) is not None:
                median = statistics.median(durations)
                mad = statistics.median(abs(x - median) for x in durations)
                if abs(d - median) > 3.5 * max(1.4826 * mad, median / 10, 1):
                    unusual.add(b["backup_id"])
            if sizes and b["size_kb"] and 0 < b["size_kb"] < 0.1 * statistics.median(sizes):
                tiny.add(b["backup_id"])
    return unusual, tiny


def storage_daily(fleet: Fleet) -> dict[tuple[str, date], float]:
    kept = [b for b in fleet.backups if b["status"] == "COMPLETED" and restorable_at(b) is not None]
    engines = {b["datastore_type"] for b in kept}
    changes = [restorable_at(b).date() for b in kept]
    if not changes:
        return {}
    found, day = (
        {},
        min(changes + [max(b["gone_at"], restorable_at(b)).date() for b in kept if b["gone_at"]]),
    )
    while day < fleet.today:
        for engine in engines:
            found[engine, day] = sum(
                (b["size_kb"] or 0) / 1048576
                for b in kept
                if b["datastore_type"] == engine
                and restorable_at(b).date() <= day
                and not (b["gone_at"] and b["gone_at"].date() <= day)
            )
        day += DAY
    return found


STALE = timedelta(hours=26)


def looked_at_days(fleet: Fleet) -> set[date]:
    """The days at whose end each project that has anything was between two close runs."""
    found = None
    for project in {row["project_id"] for row in (*fleet.backups, *fleet.instances)}:
        moments = [
            run["as_of"]
            for run in fleet.runs
            if run["project_id"] == project and run["verdict"] == "complete"
        ]
        moments = [*sorted(moments), fleet.now]
        mine = set()
        for earlier, later in pairwise(moments):
            end = midnight(earlier.date() + DAY)
            if later - earlier <= STALE:
                while end <= later and end <= fleet.now:
                    mine.add(end.date() - DAY)
                    end += DAY
        found = mine if found is None else found & mine
    return found or set()


def storage_growth(fleet: Fleet) -> dict[str, Row]:
    watched = looked_at_days(fleet)
    sizes = {key: max(size, 0) for key, size in storage_daily(fleet).items()}
    found = {}
    for engine in {name for name, _ in sizes} | {"all"}:
        points = [
            (
                float(back),
                sum(s for (name, on), s in sizes.items() if on == day and fits(name, engine)),
            )
            for back in range(-TREND, 0)
            if (day := fleet.today + back * DAY) in watched and any(on == day for _, on in sizes)
        ]
        if len(points) < 7:
            continue
        slopes = sorted((y2 - y1) / (x2 - x1) for x1, y1 in points for x2, y2 in points if x1 < x2)
        count, pairs = len(points), len(slopes)
        # Sen's interval: 1.96 standard deviations of Kendall's S on either side, in ranks
        reach = 1.96 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
        low = slopes[max(math.floor((pairs - reach) / 2), 1) - 1]
        high = slopes[min(math.ceil((pairs + reach) / 2) + 1, pairs) - 1]
        last = points[-1][1]
        found[engine] = {
            "day_count": count,
            "stored_gib": last,
            "growth_gib_per_day": statistics.median(slopes),
            "forecast_gib": max(last + TREND * statistics.median(slopes), 0),
            "forecast_low_gib": max(last + TREND * low, 0),
            "forecast_high_gib": max(last + TREND * high, 0),
        }
    return found


def fits(engine: str, wanted: str) -> bool:
    return wanted in ("all", engine)


def kpi_current(fleet: Fleet) -> Row:
    now = instance_current(fleet)
    projects = {row["project_id"] for row in (*fleet.backups, *fleet.instances, *fleet.runs)}
    is_known = all(any(i["project_id"] == p for i in fleet.instances) for p in projects)
    protected = sum(row["restore_point_count"] > 0 for row in now.values())
    ages = [r["restore_point_age_h"] for r in now.values() if r["restore_point_age_h"] is not None]
    recent = [b for b in fleet.backups if is_recent(fleet, b)]
    completed = [b for b in recent if b["status"] == "COMPLETED"]
    failed = [b for b in recent if b["status"] == "FAILED"]
    durations = [d for b in completed if (d := duration_s(b)) is not None]
    unusual, tiny = outliers(fleet)
    watched = met = 0.0
    for key, health in instances(fleet).items():
        if key[1] is not None and health.watched_from:
            low = max(midnight(fleet.today - TREND * DAY), health.watched_from)
            high = min(midnight(fleet.today), health.watched_until)
            if low < high:
                watched += (high - low).total_seconds()
                met += covered_s(fleet, health, low, high)
    old = [b for b in fleet.backups if is_old_manual(fleet, b)]
    depths = [d for r in now.values() if (d := r["retention_depth_days"]) is not None]
    last = [
        max(
            (r["as_of"] for r in fleet.runs if (r["project_id"], r["verdict"]) == (p, "complete")),
            default=None,
        )
        for p in projects
    ]
    growth = storage_growth(fleet).get("all", {})
    return {
        "project_count": len(projects),
        "is_inventory_known": is_known,
        "certificate_age_h": hours(fleet.now - min(last)) if all(last) else None,
        "rpo_met_count": sum(r["is_rpo_met"] for r in now.values()),
        "rpo_missed_count": sum(
            not r["is_rpo_met"] and not r["is_age_upper_bound"] for r in now.values()
        ),
        "age_upper_bound_count": sum(r["is_age_upper_bound"] for r in now.values()),
        "retention_known_count": len(depths),
        "retention_depth_min_days": min(depths, default=None),
        "retention_depth_p50_days": quantile(depths, 0.5),
        "growth_gib_per_day": growth.get("growth_gib_per_day"),
        "forecast_gib": growth.get("forecast_gib"),
        "forecast_low_gib": growth.get("forecast_low_gib"),
        "forecast_high_gib": growth.get("forecast_high_gib"),
        "instance_count": len(now) if is_known else None,
        "protected_count": protected,
        "unprotected_count": len(now) - protected if is_known else None,
        "coverage_rate": protected / len(now) if is_known and now else None,
        "rpo_instance_rate": sum(r["is_rpo_met"] for r in now.values()) / len(now) if now else None,
        "rpo_time_rate": met / watched if watched else None,
        "restore_point_age_p50_h": quantile(ages, 0.5),
        "restore_point_age_p95_h": quantile(ages, 0.95),
        "restore_point_age_max_h": max(ages, default=None),
        "age_to_24_h_count": sum(age <= 24 for age in ages),
        "age_24_to_48_h_count": sum(24 < age <= 48 for age in ages),
        "age_2_to_7_days_count": sum(48 < age <= 168 for age in ages),
        "age_over_7_days_count": sum(age > 168 for age in ages),
        "age_none_count": len(now) - len(ages),
        "completed_recent": len(completed),
        "failed_recent": len(failed),
        "success_rate_recent": len(completed) / (len(completed) + len(failed))
        if completed or failed
        else None,
        "failing_count": sum(r["consecutive_failures"] >= 2 for r in now.values()),
        "max_consecutive_failures": max(
            (r["consecutive_failures"] for r in now.values()), default=0
        ),
        "slots_recent": sum(r["slots_recent"] for r in now.values()),
        "missed_slots_recent": sum(r["missed_slots_recent"] for r in now.values()),
        "retention_short_count": sum(r["is_retention_met"] is False for r in now.values()),
        "early_loss_recent": sum(
            is_lost_early(fleet, b) and b["gone_at"] >= midnight(fleet.today - RECENT * DAY)
            for b in fleet.backups
        ),
        "duration_p50_s": quantile(durations, 0.5),
        "duration_p95_s": quantile(durations, 0.95),
        "duration_outlier_count": sum(b["backup_id"] in unusual for b in recent),
        "empty_count": sum(b["gone_at"] is None and b["size_kb"] == 0 for b in completed),
        "tiny_count": sum(b["gone_at"] is None and b["backup_id"] in tiny for b in recent),
        "stuck_count": sum(is_stuck(fleet, b) for b in fleet.backups),
        "present_count": sum(b["gone_at"] is None for b in fleet.backups),
        "ledger_count": len(fleet.backups),
        "stored_gib": sum(
            (b["size_kb"] or 0) / 1048576
            for b in fleet.backups
            if b["gone_at"] is None and b["status"] == "COMPLETED"
        ),
        "old_manual_count": len(old),
        "old_manual_gib": sum((b["size_kb"] or 0) / 1048576 for b in old),
    }


def kpi_daily(fleet: Fleet) -> dict[date, Row]:
    daily = instance_daily(fleet)
    watched_days = [day for (_, day), row in daily.items() if row["watched_s"] > 0]
    begun = [b["begin_date"] for b in fleet.backups if b["begin_date"]]
    days = begun + watched_days
    stored, looked = storage_daily(fleet), looked_at_days(fleet)
    found, day = {}, min(days, default=fleet.today)
    while day < fleet.today:
        mine = [b for b in fleet.backups if b["begin_date"] == day]
        completed = [b for b in mine if b["status"] == "COMPLETED"]
        failed = sum(b["status"] == "FAILED" for b in mine)
        watched = [row for (_, on), row in daily.items() if on == day and row["watched_s"] > 0]
        ages = [
            row["restore_point_age_h"] for row in watched if row["restore_point_age_h"] is not None
        ]
        total = sum(row["watched_s"] for row in watched)
        durations = [d for b in completed if (d := duration_s(b)) is not None]
        found[day] = {
            "backup_count": len(mine),
            "completed_count": len(completed),
            "failed_count": failed,
            "success_rate": len(completed) / (len(completed) + failed)
            if completed or failed
            else None,
            "instance_count": len(watched),
            "rpo_time_rate": sum(row["rpo_met_s"] for row in watched) / total if total else None,
            "restore_point_age_p50_h": quantile(ages, 0.5),
            "restore_point_age_max_h": max(ages, default=None),
            "restore_point_age_p95_h": quantile(ages, 0.95),
            "gap_count": sum(row["restore_point_count"] == 0 for row in watched)
            if watched
            else None,
            "without_restore_point_count": len(watched) - len(ages) if watched else None,
            "duration_p50_s": quantile(durations, 0.5),
            "duration_p95_s": quantile(durations, 0.95),
            "size_gib": sum((b["size_kb"] or 0) / 1048576 for b in completed),
            "stored_gib": sum(max(size, 0) for (_, on), size in stored.items() if on == day),
            "is_stored_watched": day in looked and any(on == day for _, on in stored),
            "is_watched": day in looked,
        }
        day += DAY
    return found


def exceptions(fleet: Fleet) -> set[tuple[str, str | None, str | None, str | None]]:
    """(kind, project, instance, backup) of every finding about instances and backups."""
    found: set[tuple[str, str | None, str | None, str | None]] = set()
    for (project, instance), row in instance_current(fleet).items():
        for kind, is_so in (
            ("unprotected", row["restore_point_count"] == 0),
            ("rpo missed", row["restore_point_count"] > 0 and not row["is_rpo_met"]),
            ("failing", row["consecutive_failures"] >= 2),
            ("missed slots", row["missed_slots_recent"] > 0),
            ("retention short", row["is_retention_met"] is False),
        ):
            if is_so:
                found.add((kind, project, instance, None))
    for rule in fleet.policies:
        homes = [i for i in fleet.instances if i["instance_id"] == rule["instance_id"]]
        is_here = any(i["project_id"] == rule["project_id"] and not i.get("gone_at") for i in homes)
        if is_here and not (rule["is_enabled"] and rule["keep_days"]):
            found.add(("policy off", rule["project_id"], rule["instance_id"], None))
    unusual, tiny = outliers(fleet)
    for b in fleet.backups:
        recent = is_recent(fleet, b)
        is_lost = is_lost_early(fleet, b)
        for kind, is_so in (
            ("early loss", is_lost and b["gone_at"] >= midnight(fleet.today - RECENT * DAY)),
            ("stuck", is_stuck(fleet, b)),
            (
                "empty",
                recent and b["status"] == "COMPLETED" and b["size_kb"] == 0 and not b["gone_at"],
            ),
            ("tiny", recent and b["backup_id"] in tiny and not b["gone_at"]),
            ("unusual duration", recent and b["backup_id"] in unusual),
            ("old manual", is_old_manual(fleet, b)),
        ):
            if is_so:
                found.add((kind, b["project_id"], b["instance_id"], b["backup_id"]))
    return found
