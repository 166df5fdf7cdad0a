"""Generated fleets with everything that goes wrong in real ones, from a seed."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from support.lake_maker import at, backup, instance, policy, policy_change, run
from support.oracle import Fleet

NOW = at("2026-03-10 09:30")


def make_fleet(seed: int, *, now: datetime = NOW) -> Fleet:
    """Two projects, a dozen instances, up to 120 days of backups; small enough for the oracle."""
    rnd = random.Random(seed)
    has_inventory = {"p1": rnd.random() < 0.8, "p2": rnd.random() < 0.7}
    fleet = Fleet()
    for project in ("p1", "p2")[: rnd.choice((1, 2, 2))]:
        first_run = rnd.randint(0, 20)
        for back in range(first_run, -1, -1):
            verdict = "complete" if rnd.random() < 0.85 else "incomplete"
            fleet.runs.append(
                run(now - timedelta(days=back, minutes=rnd.randint(0, 90)), verdict=verdict)
                | {"project_id": project}
            )
        for number in range(rnd.randint(1, 6)):
            _add_instance(rnd, fleet, project, f"i{number}", has_inventory[project])
    return fleet


def change_policies(fleet: Fleet, seed: int) -> Fleet:
    """Tell of each policy that changed what it was before; of some that did not, too."""
    rnd = random.Random(seed)
    for rule in fleet.policies:
        if rule["updated_at"] == rule["first_seen_at"] or rnd.random() < 0.2:
            continue
        olds = {
            "keep_days": rnd.choice(("0", "3", "7", "30", None)),
            "is_enabled": rnd.choice(("true", "false")),
            "period": rnd.choice(("1,2,3,4,5,6,7", "3,4", None)),
            "window_start": rnd.choice(("02:00", "05:00", None)),
        }
        moment = rule["updated_at"]
        for field in rnd.sample(sorted(olds), rnd.randint(1, 3)):
            new = rule[field]
            fleet.policy_changes.append(
                policy_change(
                    rule["instance_id"],
                    field,
                    olds[field],
                    str(new).lower() if new is not None else None,
                    project_id=rule["project_id"],
                    seen_at=moment,
                )
            )
    return fleet


def _add_instance(
    rnd: random.Random, fleet: Fleet, project: str, name: str, is_listed: bool
) -> None:
    born = NOW - timedelta(hours=rnd.randint(1, 24 * 40))
    if is_listed:
        home = instance(
            name,
            project_id=project,
            created_at=born if rnd.random() < 0.9 else None,
            first_seen_at=born + timedelta(hours=rnd.randint(0, 30)),
            datastore_type=rnd.choice(("cassandra", "mongodb")),
            gone_at=NOW - timedelta(hours=rnd.randint(0, 200)) if rnd.random() < 0.15 else None,
        )
        fleet.instances.append(home)
        if rnd.random() < 0.8:
            seen = home["first_seen_at"]
            fleet.policies.append(
                policy(
                    name,
                    project_id=project,
                    is_enabled=rnd.random() < 0.9,
                    keep_days=rnd.choice((0, 1, 3, 7, 14)),
                    window_start=rnd.choice(("02:00", "23:00", "00:00", "07:00")),
                    incremental_period_min=rnd.choice((None, 0, 5, 120)),
                    period=rnd.choice(("1,2,3,4,5,6,7", "1,4", "2", "1, 3,5,x,9", "1,2,3,4,5")),
                    first_seen_at=seen,
                    updated_at=seen + timedelta(days=rnd.choice((0, 0, 0, 2, 9))),
                )
            )
    for back in range(rnd.randint(0, 20), -1, -1):
        if rnd.random() < 0.8:
            _add_backup(rnd, fleet, project, name, NOW - timedelta(days=back))
    for _ in range(rnd.choice((0, 0, 1, 3))):
        _add_backup(
            rnd,
            fleet,
            project,
            name,
            NOW - timedelta(days=rnd.randint(0, 120)),
            backup_type="Manual",
        )


def _add_backup(
    rnd: random.Random, fleet: Fleet, project: str, name: str, near: datetime, **other: Any
) -> None:
    begin: datetime | None = near.replace(
        hour=rnd.choice((0, 2, 3, 7, 23)), minute=rnd.randint(0, 59)
    )
    if rnd.random() < 0.02:
        begin = None
    statuses = ("COMPLETED", "FAILED", "BUILDING", "DISABLED", "DELETING", "STOPPED", None)
    status = rnd.choices(statuses, weights=(78, 12, 4, 2, 2, 1, 1))[0]
    length = timedelta(minutes=rnd.choice((0, 5, 30, 31, 32, 33, 60, 300, 1900)))
    has_end = begin is not None and status != "BUILDING" and rnd.random() < 0.95
    end = begin + length if begin and has_end else None
    gone = None
    if rnd.random() < 0.4:
        gone = (end or begin or near) + timedelta(hours=rnd.choice((-1, 0, 1, 30, 100, 168, 200)))
        gone = None if gone > NOW else gone
    fleet.backups.append(
        backup(
            f"b{len(fleet.backups)}",
            name if rnd.random() < 0.98 else None,  # type: ignore[arg-type]  # the API may omit it
            begin,
            project_id=project,
            instance_name=f"name-{name}",
            datastore_type=rnd.choice(("cassandra", "cassandra", "mongodb")),
            backup_type=other.get("backup_type", "Auto"),
            backup_level="Instance" if rnd.random() < 0.9 else "DatabaseTable",
            status=status,
            end_time=end,
            size_kb=rnd.choice((1e6, 1e6, 1.1e6, 2e6, 0.0, 5.0, None)),
            first_seen_at=begin or near,
            updated_at=begin or near,
            gone_at=gone,
        )
    )
