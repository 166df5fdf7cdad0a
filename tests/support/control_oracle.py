"""The controls in slow, plain Python: one question per instance and day, from the definitions alone.

In: a fleet as `oracle` has it. Out: the status of every control on every day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from support.oracle import (
    DAY,
    LIMIT,
    SLOT,
    STUCK,
    Fleet,
    Health,
    Row,
    covered_s,
    instances,
    is_incremental,
    is_point,
    midnight,
    point_age_h,
    restorable_at,
    weekday_gap,
)

Result = tuple[str, str, str | None, date]
UNKNOWN = "cannot_be_known"


@dataclass
class Version:
    """A policy as it was at one moment."""

    row: Row
    is_known: bool
    changed_at: datetime | None

    @property
    def is_on(self) -> bool:
        return bool(self.row["is_enabled"] and (self.row["keep_days"] or 0) > 0)


def policy_at(fleet: Fleet, key: tuple[str, str | None], moment: datetime) -> Version | None:
    """The policy at a moment, as today's with all later changes taken back."""
    found = [p for p in fleet.policies if (p["project_id"], p["instance_id"]) == key]
    if not found:
        return None
    row = dict(found[0])
    mine = [c for c in fleet.policy_changes if (c["project_id"], c["instance_id"]) == key]
    for change in sorted(mine, key=lambda c: c["seen_at"], reverse=True):
        if change["seen_at"] > moment:
            row[change["field"]] = _typed(change["field"], change["old_value"])
    told = max((c["seen_at"] for c in mine), default=row["first_seen_at"])
    known_from = row["updated_at"] if row["updated_at"] > told else row["first_seen_at"]
    past = [c["seen_at"] for c in mine if c["seen_at"] <= moment]
    changed = max(past, default=None)
    if changed is None and row["updated_at"] > told:
        changed = row["updated_at"]
    return Version(row, moment >= known_from and row["is_enabled"] is not None, changed)


def _typed(field: str, value: str | None) -> Any:
    if value is None:
        return None
    return {"keep_days": int, "is_enabled": lambda text: text == "true"}.get(field, str)(value)


def weekdays(period: str | None) -> set[int]:
    parts = [part.strip() for part in (period or "").split(",")]
    return {int(part) for part in parts if part in "1234567" and part}


def certified(fleet: Fleet, project: str) -> list[datetime]:
    return sorted(
        run["as_of"]
        for run in fleet.runs
        if (run["project_id"], run["verdict"]) == (project, "complete")
    )


def controls(fleet: Fleet) -> dict[Result, str]:
    found: dict[Result, str] = {}
    firsts: dict[str, date] = {}
    listed = {i["project_id"] for i in fleet.instances}
    for key, health in instances(fleet).items():
        project, instance_id = key
        if instance_id is None:
            continue
        if project in listed and health.home is None:
            continue  # it was deleted before the lake watched
        begins = [b["begin_time"] for b in health.rows if b["begin_time"]]
        born = health.home and health.home.get("created_at")
        starts = [m for m in (health.watched_from, min(begins, default=None)) if m]
        start = born or min(starts, default=midnight(fleet.today - DAY))
        day = start.date()
        assert health.watched_until
        last = fleet.today - DAY if health.is_existing else health.watched_until.date() - DAY
        while day <= min(last, fleet.today - DAY):
            firsts[project] = min(firsts.get(project, day), day)
            for control, status in _judge(fleet, health, day).items():
                found[control, project, instance_id, day] = status
            day += DAY
    _judge_projects(fleet, firsts, found, listed)
    return found


def _judge_projects(
    fleet: Fleet, firsts: dict[str, date], found: dict[Result, str], listed: set[str]
) -> None:
    for project in {r["project_id"] for r in fleet.runs} | firsts.keys():
        days = [r["as_of"].date() for r in fleet.runs if r["project_id"] == project]
        day = min([*days, firsts.get(project, fleet.today), fleet.today - DAY])
        good = {moment.date() for moment in certified(fleet, project)}
        while day < fleet.today:
            is_before = not days or day < min(days)
            found["list_certified", project, None, day] = (
                "ok" if day in good else UNKNOWN if is_before else "alarm"
            )
            if project not in listed:
                found["has_restore_point", project, None, day] = UNKNOWN
            day += DAY


def _judge(fleet: Fleet, health: Health, day: date) -> dict[str, str]:
    start, end = midnight(day), midnight(day + DAY)
    version = policy_at(fleet, health.key, end)
    is_known = version is not None and version.is_known
    is_on = version is not None and version.is_on
    keep = version.row["keep_days"] if version and is_on else 7
    born = health.home and health.home.get("created_at")
    proof = min((m for m in certified(fleet, health.key[0]) if m >= end), default=None)
    watched_from, watched_until = health.watched_from, health.watched_until
    is_watched = (
        proof is not None
        and proof <= max(start, born or start) + keep * DAY
        and watched_from is not None
        and watched_until is not None
        and max(start, watched_from) < min(end, watched_until)
    )
    weak = _weakened(fleet, health.key, day)
    policy_status = UNKNOWN if not (is_watched and is_known) else None
    result = {
        "policy_enabled": policy_status or ("ok" if is_on else "alarm"),
        "policy_not_weakened": "alarm"
        if weak
        else policy_status or (UNKNOWN if weak is None else "ok"),
    }
    if not is_watched:
        names = ("has_restore_point", "daily_success", "rpo_kept", "retention_kept")
        return result | dict.fromkeys((*names, "no_early_loss", "no_stuck_backup"), UNKNOWN)
    assert watched_from
    age = point_age_h(fleet, health, end)
    low = max(start, watched_from)
    is_met = covered_s(fleet, health, low, end) >= (end - low).total_seconds() - 0.001
    limit_at = born + LIMIT if born else None
    if is_met:
        rpo = "ok"
    elif limit_at and end <= limit_at:
        rpo = "not_due"
    elif limit_at and start < limit_at and age is not None and age * 3600 <= LIMIT.total_seconds():
        rpo = "ok"
    else:
        rpo = UNKNOWN if is_incremental(fleet, health.key) else "alarm"
    stuck = any(_was_stuck(fleet, b, end) for b in health.rows)
    lost = any(_was_lost(fleet, health, b, day) for b in health.rows)
    unpromised = "not_due" if is_known else UNKNOWN
    return result | {
        "has_restore_point": "ok" if age is not None else "alarm",
        "daily_success": _success(fleet, health, day, version),
        "rpo_kept": rpo,
        "no_stuck_backup": "alarm" if stuck else "ok",
        "no_early_loss": ("alarm" if lost else "ok" if is_on else "not_due")
        if is_known
        else UNKNOWN,
        "retention_kept": unpromised
        if not (version and is_known and is_on)
        else ("ok" if _is_retained(fleet, health, version, end) else "alarm"),
    }


def _weakened(fleet: Fleet, key: tuple[str, str | None], day: date) -> bool | None:
    """Whether a change of the day weakened the policy; None if a value of one is not known."""
    mine = [
        c
        for c in fleet.policy_changes
        if (c["project_id"], c["instance_id"]) == key and c["seen_at"].date() == day
    ]
    switched_on_at = {
        c["seen_at"]
        for c in mine
        if (c["field"], c["old_value"], c["new_value"]) == ("is_enabled", "false", "true")
    }
    found = []
    for change in mine:
        is_weaker = _is_weaker(change["field"], change["old_value"], change["new_value"])
        was_off = change["seen_at"] in switched_on_at
        found.append(False if is_weaker is None and was_off else is_weaker)
    return True if True in found else None if None in found else False


def _is_weaker(field: str, old: str | None, new: str | None) -> bool | None:
    if field == "keep_days":
        return None if old is None or new is None else int(new) < int(old)
    if field == "period":
        before, after = weekdays(old), weekdays(new)
        return bool(before - after) if before and after else None
    return field == "is_enabled" and (old, new) == ("true", "false")


def _success(fleet: Fleet, health: Health, day: date, version: Version | None) -> str:
    rule = version.row if version else {}
    window = rule.get("window_start")
    slot = None
    if window:
        hour, minute = window.split(":")
        slot = midnight(day) + timedelta(hours=int(hour), minutes=int(minute))
    tries = [
        b
        for b in health.rows
        if b["backup_level"] == "Instance"
        and b["begin_time"]
        and (b["begin_date"] == day or (slot is not None and slot <= b["begin_time"] < slot + SLOT))
    ]
    statuses = [b["status"] for b in tries]
    now_stuck = [
        b
        for b in tries
        if b["status"] == "BUILDING" and not b["gone_at"] and b["begin_time"] < fleet.now - STUCK
    ]
    if "COMPLETED" in statuses:
        return "ok"
    if now_stuck or "FAILED" in statuses:
        return "alarm"
    if tries or version is None or not version.is_known:
        return UNKNOWN
    return "not_due" if not version.is_on else _without_any(fleet, health, day, rule, slot)


def _without_any(fleet: Fleet, health: Health, day: date, rule: Row, slot: datetime | None) -> str:
    if slot is None or rule["period"] is None:
        return UNKNOWN
    born = health.home and health.home.get("created_at")
    if day.isoweekday() not in weekdays(rule["period"]) or (born and slot < born):
        return "not_due"
    return UNKNOWN if slot + SLOT > fleet.now else "alarm"


def _was_stuck(fleet: Fleet, row: Row, end: datetime) -> bool:
    begin, done, gone = row["begin_time"], row["end_time"], row["gone_at"]
    if begin is None or begin + STUCK >= end or (gone and gone < end):
        return False
    if row["status"] == "BUILDING":
        return True
    return row["status"] in ("COMPLETED", "FAILED") and done is not None and end < done <= fleet.now


def _was_lost(fleet: Fleet, health: Health, row: Row, day: date) -> bool:
    gone, begin = row["gone_at"], row["begin_time"]
    if not (gone and begin and gone.date() == day and is_point(row)):
        return False
    version = policy_at(fleet, health.key, gone)
    if row["backup_type"] != "Auto" or version is None or not version.is_on or not health.home:
        return False
    left = health.home.get("gone_at")
    if (version.changed_at and begin < version.changed_at) or (left and gone >= left - 2 * DAY):
        return False
    return gone.date() < begin.date() + version.row["keep_days"] * DAY


def _is_retained(fleet: Fleet, health: Health, version: Version, end: datetime) -> bool:
    autos = [b for b in health.rows if b["backup_type"] == "Auto" and b["begin_time"]]
    born = health.home and health.home.get("created_at")
    since = born or min((b["begin_time"] for b in autos), default=fleet.now)
    since = max(since, version.changed_at or since)
    slack = (weekday_gap(version.row) if weekdays(version.row["period"]) else 1) * DAY + SLOT
    target = min(version.row["keep_days"] * DAY, end - since)
    held = [
        b["begin_time"]
        for b in autos
        if is_point(b) and restorable_at(b) <= end and (not b["gone_at"] or b["gone_at"] >= end)
    ]
    depth = end - min(held) if held else timedelta(0)
    return depth + slack >= target
