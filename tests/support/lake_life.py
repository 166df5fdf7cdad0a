"""A living service that is synced at a steady pace, with mishaps; the lake equals the model.

life = simulate(seed=1, days=4, instances=5, every=HOUR)
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from support.format_lake import FormatLake
from support.lake_service import DAY, HOUR, LEVELS, PROJECT, Backup, World, sync
from support.stores import Fault, FaultStore, Killed, faults_of

from backup_frames.errors import LakeError, UnavailableError
from backup_frames.sync.maintenance.check import check_lake
from backup_frames.sync.maintenance.compare import compare_project

KEEP = 7 * DAY


class Life:
    """Instances that are backed up daily, expire, fail, finish late, and are deleted."""

    def __init__(self, seed: int, instances: int, lake: FormatLake | None) -> None:
        self.random = random.Random(seed)
        self.world = World(seed, lake)
        self.instances = {f"i{number}": self._policy() for number in range(instances)}
        self._number = instances

    def _policy(self) -> tuple[timedelta, str]:
        """When in the day an instance is backed up, and at which level."""
        minute = self.random.choice((0, self.random.randrange(1440)))
        return timedelta(minutes=minute), LEVELS[self.random.random() < 0.25]

    def live(self, span: timedelta) -> None:
        """Let the service live on, minute by minute where anything happens."""
        clock = self.world.clock
        begin, end = clock.now(), clock.now() + span
        service = self.world.service
        for name, (offset, level) in self.instances.items():
            due = begin.replace(hour=0, minute=0, second=0) + offset
            for moment in (due, due + DAY):
                if begin <= moment < end and self.random.random() < 0.97:
                    service.add(
                        moment + timedelta(seconds=self.random.choice((0, 0, 1, 17))),
                        level=level,
                        instance_id=name,
                        status="BUILDING",
                        tables=[("db", ["t1", "t2"])] if level != "Instance" else None,
                    )
        clock.advance(span)
        for backup in list(service.backups.values()):
            self._age(backup)
        self._rare_events()

    def _age(self, backup: Backup) -> None:
        age = self.world.clock.now() - backup.begin
        if backup.status == "BUILDING" and age > HOUR * self.random.choice((1, 1, 2, 30)):
            backup.status = "FAILED" if self.random.random() < 0.03 else "COMPLETED"
            backup.size = float(self.random.randrange(1, 10**6))
        elif backup.name != "manual" and age > KEEP:
            self.world.service.remove(backup.id)

    def _rare_events(self) -> None:
        service, chance = self.world.service, self.random.random()
        manual = [one.id for one in service.backups.values() if one.name == "manual"]
        if chance < 0.03:
            service.add(self.world.clock.now(), name="manual", status="BUILDING")
        elif chance < 0.04 and manual:
            service.remove(self.random.choice(manual))
        elif chance < 0.045 and len(self.instances) > 3:
            name = self.random.choice(sorted(self.instances))
            del self.instances[name]
            gone = [
                one.id
                for one in service.backups.values()
                if one.instance_id == name and one.name != "manual"
            ]
            service.remove(*gone)
        elif chance < 0.06:
            self._number += 1
            self.instances[f"i{self._number}"] = self._policy()


def fail_midway(life: Life) -> None:
    """The service dies while it is read: what was read may be in the lake, nothing is gone."""
    world = life.world
    world.service.fail_after_parts = life.random.randrange(3)
    with suppress(UnavailableError):
        sync(world.service, world.store)
    world.service.fail_after_parts = None


def die(life: Life) -> None:
    """The process is killed at some call to the store."""
    world = life.world
    kills = [Fault(at, "kill", "before") for at in range(40)]  # a lake that cannot be copied
    if world.lake is None:
        calm = FaultStore(world.store.copy())
        sync(world.service, calm)
        kills = [fault for fault in faults_of(calm.calls) if fault.how == "kill"]
    with suppress(Killed, LakeError):
        sync(world.service, FaultStore(world.store, fault=life.random.choice(kills)))


def miss(life: Life) -> None:
    """No run at all: the machine was off for a while."""
    life.live(life.random.randrange(1, 30) * HOUR)


MISHAPS: list[Callable[[Life], None]] = [fail_midway, die, miss]


def simulate(
    seed: int, days: int, instances: int, every: timedelta, lake: FormatLake | None = None
) -> Life:
    """Syncs at a steady pace with mishaps; after each that ends, the lake equals the model."""
    life = Life(seed, instances, lake)
    world = life.world
    requests = runs = 0
    for step in range(int(days * DAY / every)):
        life.live(every)
        if life.random.random() < 0.06:
            life.random.choice(MISHAPS)(life)
            assert step % 5 or check_lake(world.store) == []
        report = sync(
            world.service,
            world.store,
            is_full=life.random.random() < 0.01,
            reread_requests=life.random.choice((0, 2, 10)),
            allow_mass_deletion=True,
        )
        assert report.exit_code == 0
        world.ledger.observe(world.service.backups, report.as_of)
        requests, runs = requests + report.requests, runs + (not report.is_full)
        if lake is None or step % 40 == 0:  # tables of other formats take long to read
            world.check()
        present = {one for one, row in world.ledger.entries.items() if row["gone_at"] is None}
        assert report.counts["present"] == len(present)
    world.check()
    assert check_lake(world.store) == []
    assert compare_project(world.service.reader(), world.store, project_id=PROJECT) == []
    assert requests / runs < 25
    return life
