"""Instances, invented: engines, names, retention, and what goes wrong with each of them.

In: a seed and a number. Out: an `Instance` with the facts the inventory calls send and the
`Series` of backups it makes. Nothing here knows what time it is; `life` lets the series run.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .index import Row
from .seeded import SeededRandom

DAY_S = 86_400
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
MANUAL_CAP = 50  # the service's default quota of manual backups per instance

# engine -> (digits in ids, versions, port)
_ENGINES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "cassandra": ("06", ("3.11", "4.0"), "8635"),
    "redis": ("12", ("5.0", "6.2"), "6379"),
    "mongodb": ("10", ("4.0", "4.2"), "8635"),
    "influxdb": ("13", ("1.7", "1.8"), "8635"),
}
_RETENTION = {7: 30, 14: 12, 30: 18, 35: 10, 60: 6, 90: 8, 180: 6, 365: 6, 732: 4}
_LONG_RETENTION = {7: 10, 30: 15, 90: 20, 180: 20, 365: 20, 732: 15}  # accounts of a million rows
_OUTCOMES = {
    "healthy": 800,
    "flaky": 40,  # one backup in six fails
    "failing": 20,  # every backup fails since some days
    "silent": 20,  # the policy is on, but nothing has started since some days
    "stuck": 25,  # a backup of two days ago never ends
    "shrinking": 20,  # the latest backups are next to empty
    "policy_off": 25,  # manual backups only
    "unprotected": 30,  # no policy, no backup
    "deleted": 20,  # the instance is gone, its manual backups are not
}
_SUBJECTS = ("orders", "billing", "sessions", "telemetry", "catalog", "chat", "risk", "iot", "订单")
_PLACES = ("prod", "staging", "eu", "dr", "analytics", "生产", "größe-test")
_DATABASES = ("DATABASE_X", "DATABASE_Y", "events", "users", "用户数据", "audit_log")
_TABLES = ("TABLE_A", "TABLE_B", "TABLE_C", "by_day", "by_user", "größen", "日志", "index 1")


@dataclass(slots=True)
class Instance:
    """One database instance and the traits its backups follow."""

    number: int
    instance_id: str
    name: str
    engine: str
    version: str
    outcome: str
    outcome_day: int  # the day (since the epoch) from which the outcome shows
    created_s: int
    keep_days: int  # 0 = the policy is off
    hour: int
    period: tuple[int, ...]
    node_count: int
    base_kb: float
    growth: float  # per day
    is_fractional: bool
    series: list[Series] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Series:
    """Backups of one instance that follow one rhythm: a policy's, or a person's."""

    instance: Instance
    level: str
    backup_type: str
    keep_days: int  # 0 = kept until deleted
    period: tuple[int, ...] = EVERY_DAY
    every_days: int = 1
    database_tables: list[dict[str, Any]] | None = None
    last_day: int | None = None  # nothing starts after it
    rows: deque[Row] = field(default_factory=deque)
    is_expiry_planned: bool = False

    def is_due(self, day: int) -> bool:
        """Whether a backup is planned on that day since the epoch (UTC)."""
        is_over = self.last_day is not None and day > self.last_day
        if is_over or day * DAY_S < self.instance.created_s:
            return False
        weekday = (day + 3) % 7 + 1  # 1970-01-01 was a Thursday
        is_turn = (day + self.instance.number) % self.every_days == 0
        return is_turn and weekday in self.period


def invent_instance(seed: int, number: int, day: int, *, backups: int) -> Instance:
    """The instance of that number, as it stands on that day in a fleet of so many backups."""
    rng = SeededRandom(seed, "instance", number)
    engine = list(_ENGINES)[number] if number < len(_ENGINES) else rng.pick(list(_ENGINES))
    digits, versions, _ = _ENGINES[engine]
    keep_days = rng.weigh(_RETENTION if backups < 200_000 else _LONG_RETENTION)
    if keep_days > max(7, backups // 8):
        keep_days = 7  # a small fleet has many short-lived instances rather than one long one
    outcome = rng.weigh(_OUTCOMES) if number >= 2 else "healthy"
    is_young = rng.has_luck(0.1)
    age_days = 1 + rng.below(keep_days) if is_young else keep_days + 30 + rng.below(900)
    instance = Instance(
        number=number,
        instance_id=f"{rng.hex32()}in{digits}",
        name=f"{rng.pick(_SUBJECTS)}-{engine}-{rng.pick(_PLACES)}-{number:04d}",
        engine=engine,
        version=rng.pick(versions),
        outcome=outcome,
        outcome_day=day - 2 - (0 if outcome == "stuck" else rng.below(5)),
        created_s=(day - age_days) * DAY_S + rng.below(DAY_S),
        keep_days=0 if outcome in ("policy_off", "unprotected", "deleted") else keep_days,
        hour=rng.pick((0, 1, 2, 3, 4, 18, 19, 20, 21, 22, 22, 23, 23)),
        period=EVERY_DAY,
        node_count=rng.pick((1, 3, 3, 5, 9)),
        base_kb=10 ** rng.between(3.5, 8.3),
        growth=rng.between(-0.0005, 0.004),
        is_fractional=rng.has_luck(0.5),
    )
    if keep_days >= 14 and rng.has_luck(0.3):  # below a week's retention every day is a must
        instance.period = rng.pick(((1, 2, 3, 4, 5), (1, 3, 5), (1, 2, 4, 5, 6)))
    instance.series = _invent_series(instance, rng)
    return instance


def _invent_series(instance: Instance, rng: SeededRandom) -> list[Series]:
    if instance.outcome == "unprotected":
        return []
    whole: list[dict[str, Any]] | None = None if instance.engine in ("redis", "cassandra") else []
    last_day = instance.outcome_day if instance.outcome in ("silent", "deleted") else None
    series = []
    if instance.keep_days:
        auto = Series(instance, "Instance", "Auto", instance.keep_days, period=instance.period)
        auto.database_tables, auto.last_day = whole, last_day
        series.append(auto)
    if not instance.keep_days or rng.has_luck(0.6):
        manual = Series(instance, "Instance", "Manual", 0, every_days=5 + rng.below(60))
        manual.database_tables = whole
        manual.last_day = last_day if instance.outcome == "deleted" else None
        series.append(manual)
    if instance.engine == "cassandra" and instance.keep_days:
        databases = _invent_databases(rng)
        if instance.number == 0 or rng.has_luck(0.5):
            period = (1 + rng.below(7),)
            tables = Series(instance, "DatabaseTable", "Auto", max(28, instance.keep_days), period)
            tables.database_tables = databases
            series.append(tables)
        if instance.number == 0 or rng.has_luck(0.4):
            by_hand = Series(instance, "DatabaseTable", "Manual", 0, every_days=7 + rng.below(40))
            by_hand.database_tables = databases[:1]
            series.append(by_hand)
    return series


def _invent_databases(rng: SeededRandom) -> list[dict[str, Any]]:
    """One to four databases, each whole (null), empty ([]) or with a few tables named."""
    databases: list[dict[str, Any]] = []
    first = rng.below(len(_DATABASES))
    for position in range(1 + rng.below(4)):
        name = _DATABASES[(first + position) % len(_DATABASES)]
        shape = position % 3 if position else 2
        names = sorted({rng.pick(_TABLES) for _ in range(1 + rng.below(6))})
        databases.append({"database_name": name, "table_names": (None, [], names)[shape]})
    return databases


def instance_record(instance: Instance, region: str, now_s: int) -> dict[str, Any]:
    """The instance as `GET /v3/{project_id}/instances` sends it; types drift as in the manual."""
    rng = SeededRandom(instance.instance_id)
    digits, _, port = _ENGINES[instance.engine]
    age_days = max(0, now_s - instance.created_s) / DAY_S
    used_gb = instance.base_kb / 2**20 * (1 + instance.growth) ** age_days
    volume = {"size": str(max(10, 10 * int(used_gb / 5))), "used": f"{used_gb:.3f}"}
    if rng.has_luck(0.3):
        volume = {"size": int(volume["size"]), "used": float(volume["used"])}  # type: ignore[dict-item]  # numbers, in some answers
    nodes = [
        {
            "id": f"{rng.hex32()}no{digits}",
            "name": f"{instance.name}_node_{position}",
            "status": "normal",
            "role": "Primary" if position == 0 else "Secondary",
            "subnet_id": f"{rng.hex32()}",
            "private_ip": f"192.168.{rng.below(250)}.{rng.below(250)}",
            "public_ip": "",
            "spec_code": f"geminidb.{instance.engine}.xlarge.4",
            "availability_zone": f"{region}{'abc'[position % 3]}",
            "support_reduce": position > 2,
        }
        for position in range(instance.node_count)
    ]
    created = datetime.fromtimestamp(instance.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {
        "id": instance.instance_id,
        "name": instance.name,
        "status": "normal" if instance.outcome != "failing" else "abnormal",
        "port": port,
        "mode": {"redis": "Replication", "mongodb": "ReplicaSet"}.get(instance.engine, "Cluster"),
        "region": region,
        "datastore": {
            "type": instance.engine,
            "version": instance.version,
            "patch_available": rng.has_luck(0.1),
        },
        "engine": "rocksDB",
        "created": created,
        "updated": created,
        "db_user_name": "rwuser",
        "vpc_id": rng.hex32(),
        "subnet_id": rng.hex32(),
        "security_group_id": rng.hex32(),
        "backup_strategy": {"start_time": window(instance), "keep_days": instance.keep_days},
        "pay_mode": rng.pick(("0", "1", 0)),
        "maintenance_window": "02:00-06:00",
        "groups": [
            {
                "id": f"{rng.hex32()}gr{digits}",
                "status": "normal",
                "volume": volume,
                "nodes": nodes,
            }
        ],
        "enterprise_project_id": "0",
        "time_zone": "",
        "actions": [],
    }


# Minutes between increments, as the policy sends them: off, on, or not said.
INCREMENTS = {
    "cassandra": ("0", "15", "5"),
    "mongodb": (None, "0", None),
    "influxdb": ("0", "10", None),
    "redis": (None, None, "120"),
}


def policy_record(instance: Instance) -> dict[str, Any]:
    """The instance's policy as its own call sends it; switched off, it comes in two shapes."""
    if not instance.keep_days:
        is_bare = instance.number % 2 == 0
        return {"keep_days": 0} if is_bare else {"keep_days": 0, "start_time": "", "period": ""}
    return {
        "keep_days": instance.keep_days,
        "start_time": window(instance),
        "period": ",".join(map(str, instance.period)),
        "differential_period": "0",
        "incremental_period": INCREMENTS[instance.engine][instance.number % 3],
    }


def window(instance: Instance) -> str:
    """The hour in which automated backups start, as the policy writes it."""
    return f"{instance.hour:02d}:00-{(instance.hour + 1) % 24:02d}:00"
