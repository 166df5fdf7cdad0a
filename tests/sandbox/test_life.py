"""The fleet's life: made by seed, moved by the clock, true to the service's rules."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup_frames.sandbox import DEFAULT_START, Fleet, Sandbox, SandboxClock
from backup_frames.sandbox.world.index import ListQuery

LEVELS = ("Instance", "DatabaseTable")


def begin(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["begin_time"])


def fleet(backups: int = 2000, seed: int = 7, **options: Any) -> tuple[SandboxClock, Fleet]:
    clock = SandboxClock(**options)
    return clock, Fleet(clock, seed=seed, backups=backups)


def days(clock: SandboxClock, count: int) -> Iterator[None]:
    for _ in range(count):
        clock.advance(timedelta(days=1))
        yield


@pytest.mark.parametrize("backups", [0, 1, 10, 333, 5000])
def test_a_fleet_has_the_number_asked_for(backups: int) -> None:
    """The number of backups at the start is exact, and ids are distinct and well-formed."""
    _, made = fleet(backups)
    ids = [record["id"] for record in made.records()]
    assert len(set(ids)) == len(made) == backups
    assert all(len(i) == 36 and i[32:34] == "br" and i[34:].isdigit() for i in ids)


def test_the_seed_decides_everything() -> None:
    """Same seed, same records and the same future in any steps; another seed, another fleet."""
    (clock_a, a), (clock_b, b), (_, other) = fleet(), fleet(), fleet(seed=8)
    assert a.records() == b.records() != other.records()
    clock_a.advance(timedelta(days=3))
    for _ in range(72 * 2):
        clock_b.advance(timedelta(minutes=30))
        len(b)
    assert a.records() == b.records()
    assert a.instances() == b.instances()


def test_a_fleet_looks_real() -> None:
    """Four engines, both types and levels, all statuses, ties, unicode, nulls, short and long."""
    _, made = fleet(8_000)
    records = made.records()
    assert {record["datastore"]["type"] for record in records} == {
        "cassandra",
        "redis",
        "mongodb",
        "influxdb",
    }
    assert {record["type"] for record in records} == {"Auto", "Manual"}
    assert {record["status"] for record in records} == {"COMPLETED", "FAILED", "BUILDING"}
    assert {type(record["size"]) for record in records} == {int, float}
    assert {None, ""} < {record["description"] for record in records}
    assert any(not record["name"].isascii() for record in records)
    assert any(not record["instance_name"].isascii() for record in records)
    same_second = Counter(record["begin_time"] for record in records).most_common(1)[0][1]
    assert 3 <= same_second <= 100
    tables = made.records("DatabaseTable")
    assert {record["datastore"]["type"] for record in tables} == {"cassandra"}
    shapes = {
        "null" if entry["table_names"] is None else bool(entry["table_names"])
        for record in tables
        for entry in record["database_tables"]
    }
    assert shapes == {"null", True, False}
    whole = [record["database_tables"] for record in made.records("Instance")]
    assert None in whole
    assert [] in whole
    keep_days = {made.policy(one["id"])["keep_days"] for one in made.instances()}
    assert {0, 7, 732} <= keep_days
    per_instance = Counter(record["instance_id"] for record in records)
    assert any(one["id"] not in per_instance for one in made.instances())
    gone = set(per_instance) - {one["id"] for one in made.instances()}
    assert {r["type"] for r in records if r["instance_id"] in gone} == {"Manual"}


def test_running_backups_come_to_an_end() -> None:
    """BUILDING has neither end nor size; later it is COMPLETED with both, or FAILED, in place."""
    clock, made = fleet(start=DEFAULT_START.replace(hour=23, minute=50))
    seen: dict[str, dict[str, Any]] = {}
    ended = Counter()
    for _ in days(clock, 30):
        held = {record["id"]: record for record in made.records()}
        for record in seen.values():
            after = held.get(record["id"])
            if after is None or after["status"] == "BUILDING":
                continue
            ended[after["status"]] += 1
            assert datetime.fromisoformat(after["end_time"]) > begin(record)
            changing = ("status", "end_time", "size")
            assert {**after, **{name: record[name] for name in changing}} == record
        seen = {i: record for i, record in held.items() if record["status"] == "BUILDING"}
        assert all((r["end_time"], r["size"]) == (None, 0) for r in seen.values())
    assert ended["COMPLETED"] > 20
    assert ended["FAILED"] >= 1


def test_automated_backups_expire_and_manual_ones_stay() -> None:
    """An automated backup leaves when its successor is past retention; manual ones do not age."""
    clock, made = fleet()
    keep = {one["id"]: made.policy(one["id"])["keep_days"] for one in made.instances()}
    before = {record["id"]: record for record in made.records("Instance")}
    clock.advance(timedelta(days=9))
    after = made.records("Instance")
    held = {record["id"] for record in after}
    gone = [record for i, record in before.items() if i not in held]
    alive = {one["id"] for one in made.instances()}
    assert len(gone) > 50
    for record in gone:
        if record["instance_id"] in alive and record["type"] == "Auto":
            assert begin(record) < clock.now() - timedelta(days=keep[record["instance_id"]])
    for instance_id in alive & set(keep):
        begins = [
            begin(record)
            for record in after
            if record["instance_id"] == instance_id and record["type"] == "Auto"
        ]
        limit = clock.now() - timedelta(days=keep[instance_id])
        assert sum(moment <= limit for moment in begins) <= 1
    lost = [r for r in gone if r["type"] == "Manual"]
    assert not [r for r in lost if sum(o["instance_id"] == r["instance_id"] for o in after) < 50]


@pytest.mark.parametrize("age", [0, 5])
def test_retention_is_kept_to_the_day(age: int) -> None:
    """Of an instance older than its retention, one automated backup is past it: the latest such."""
    clock, made = fleet()
    clock.advance(timedelta(days=age))
    by_instance: dict[str, list[datetime]] = {}
    for record in made.records("Instance"):
        if record["type"] == "Auto":
            by_instance.setdefault(record["instance_id"], []).append(begin(record))
    checked = 0
    for instance in made.instances():
        keep = timedelta(days=made.policy(instance["id"])["keep_days"])
        created = datetime.fromisoformat(instance["created"]).replace(tzinfo=UTC)
        if keep and created < clock.now() - keep - timedelta(days=8):
            past = [m for m in by_instance[instance["id"]] if m <= clock.now() - keep]
            assert len(past) == 1
            checked += 1
    assert checked > 20


def test_a_deleted_instance_leaves_its_manual_backups() -> None:
    """Automated backups go with their instance at once; manual ones stay; nothing new starts."""
    clock, made = fleet()
    per_type = Counter((r["instance_id"], r["type"]) for r in made.records())
    instance_id = next(i for (i, t), _ in per_type.items() if t == "Manual" and per_type[i, "Auto"])
    made.delete_instance(instance_id)
    left = Counter((r["instance_id"], r["type"]) for r in made.records())
    assert left[instance_id, "Auto"] == 0
    assert left[instance_id, "Manual"] == per_type[instance_id, "Manual"]
    assert made.policy(instance_id) is None
    clock.advance(timedelta(days=30))
    later = Counter((r["instance_id"], r["type"]) for r in made.records())
    assert later[instance_id, "Auto"] == 0
    assert later[instance_id, "Manual"] == per_type[instance_id, "Manual"]


def test_half_a_year_passes_without_drift() -> None:
    """After half a year of nights the fleet has about its size, distinct ids, and its order."""
    clock, made = fleet()
    clock.advance(timedelta(days=180))
    records = made.records("Instance")
    assert 0.5 < len(made) / 2000 < 3
    assert len({record["id"] for record in records}) == len(records)
    begins = [begin(record) for record in records]
    assert begins == sorted(begins, reverse=True)
    assert max(begins) > clock.now() - timedelta(days=1)


def test_tests_may_interfere_with_a_living_fleet() -> None:
    """Rows deleted or edited by hand stay so while the fleet lives on."""
    clock, made = fleet(8000, start=DEFAULT_START.replace(hour=23, minute=40))
    hour_ago = clock.now() - timedelta(hours=1)
    young = [r for r in made.records("Instance") if begin(r) > hour_ago]
    first, second = [r["id"] for r in young if r["status"] == "BUILDING"][:2]
    made.delete(first)
    made.update(second, description="edited")
    clock.advance(timedelta(hours=13))
    held = {record["id"]: record for record in made.records("Instance")}
    assert first not in held
    assert held[second]["description"] == "edited"
    assert held[second]["status"] != "BUILDING"
    made.update(held[second]["id"], begin_time="2020-01-01T00:00:00+0000")
    assert made.records("Instance")[-1]["id"] == second


@pytest.mark.parametrize(
    ("unfinished", "shown"),
    [("null", (None, 0)), ("empty", ("", 0)), ("absent", ("-", "-")), ("all-null", (None, None))],
)
def test_how_a_running_backup_looks_can_be_chosen(unfinished: str, shown: tuple[Any, Any]) -> None:
    """Size and end of a running backup come as asked for; unknown is how the service does it."""
    clock = SandboxClock(DEFAULT_START.replace(hour=23))
    made = Fleet(clock, backups=2000, unfinished=unfinished)
    building = [r for r in made.records("Instance") if r["status"] == "BUILDING"]
    assert building
    assert {(r.get("end_time", "-"), r.get("size", "-")) for r in building} == {shown}


def test_the_clock_only_moves_when_told() -> None:
    """A still clock stands, an advanced one has moved, a live one runs, none goes back."""
    still, live = SandboxClock(), SandboxClock(is_live=True)
    assert still.now() == still.now() == DEFAULT_START
    assert still.advance(timedelta(hours=1)) == DEFAULT_START + timedelta(hours=1)
    first = live.now()
    while live.now() == first:
        pass
    with pytest.raises(ValueError, match="cannot go back"):
        still.advance(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="no time zone"):
        SandboxClock(datetime(2026, 1, 1))  # noqa: DTZ001  # the mistake under test


@pytest.mark.parametrize(
    "given",
    [
        {"start": "2026-01-01"},
        {"start": date(2026, 1, 1)},
        {"start": ""},
        {"start": 0},
        {"backups": "20"},
        {"backups": -1},
        {"port": 65_536},
        {"port": "8080"},
    ],
)
def test_an_argument_of_another_kind_is_told(given: dict[str, Any]) -> None:
    """The words name the argument and its value, and say what to give."""
    ((name, value),) = given.items()
    with pytest.raises((TypeError, ValueError), match=re.escape(f"{name} is {value!r}: give")):
        Sandbox(**given)


def test_a_live_sandbox_starts_now() -> None:
    """With is_live the fleet is as of the present."""
    with Sandbox(backups=50, is_live=True) as sandbox:
        assert abs(sandbox.clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
        newest = max(begin(record) for record in sandbox.fleet.records())
        assert timedelta(0) <= datetime.now(UTC) - newest < timedelta(days=3)


def test_a_page_costs_the_same_everywhere() -> None:
    """A page of 100 takes well under 1 ms of CPU at any offset, with filters and windows."""
    _, made = fleet(20_000)
    end_us = int(DEFAULT_START.timestamp() * 1e6)
    queries = [
        ListQuery(),
        ListQuery(offset=10_000),
        ListQuery(offset=19_000),
        ListQuery(engine="redis", backup_type="Auto", offset=2000),
        ListQuery(begin_us=end_us - 10**13, end_us=end_us, offset=500),
    ]
    for query in queries:
        started = time.process_time()
        for _ in range(50):
            made.page(query)
        assert (time.process_time() - started) / 50 < 0.001


@pytest.mark.slow
def test_a_million_backups_fit() -> None:
    """A million backups are made within a minute of CPU and stay under 3 GB."""
    started = time.process_time()
    _, made = fleet(1_000_000)
    assert len(made) == 1_000_000
    assert time.process_time() - started < 60
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert pages * 4096 < 3e9
