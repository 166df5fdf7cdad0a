"""The fleet: everything the sandbox holds, as the API would show it at the clock's time.

In: a clock and either a seed (the fleet is invented and lives) or records (served as they are).
Out: pages for the server, and for tests the records themselves, to add, delete, update and compare.
Every call first lets happen what has become due. One lock: calls may come from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from .clock import SandboxClock
from .index import LEVELS, BackupIndex, ListQuery, Record, Row
from .instances import instance_record, policy_record
from .simulation import Life

UNFINISHED: dict[str, Record] = {
    "null": {"end_time": None, "status": "BUILDING", "size": 0},
    "empty": {"end_time": "", "status": "BUILDING", "size": 0},
    "absent": {"status": "BUILDING"},
    "all-null": {"end_time": None, "status": "BUILDING", "size": None},
}


class Fleet:
    """Backups, instances and policies of one project.

    Args:
        clock: What time it is.
        seed: Same seed, same start, same count: same fleet, and the same future.
        backups: How many backups an invented fleet has at the start, exactly.
        records: Serve these instead, by level; any JSON objects, newest first among equal times.
        instances: With `records`: what the instance list sends.
        policies: With `records`: instance id -> policy.
        unfinished: How a running backup shows size and end: "null", "empty", "absent", "all-null".
        region: Named in instance records.

    Example:
        >>> fleet = Fleet(SandboxClock(), backups=30)
        >>> len(fleet.records("Instance")) + len(fleet.records("DatabaseTable"))
        30
    """

    def __init__(
        self,
        clock: SandboxClock,
        *,
        seed: int = 7,
        backups: int = 2000,
        records: Mapping[str, Iterable[Record]] | None = None,
        instances: Iterable[Record] = (),
        policies: Mapping[str, Record] | None = None,
        unfinished: str = "null",
        region: str = "eu-west-101",
    ) -> None:
        self.lock = threading.RLock()
        self._clock = clock
        self._region = region
        self._index = BackupIndex()
        self._instances = {str(instance["id"]): dict(instance) for instance in instances}
        self._policies = dict(policies or {})
        self._life: Life | None = None
        if records is None:
            self._life = Life(self._index, seed, self._now_s(), backups, UNFINISHED[unfinished])
        else:
            for level, of_level in records.items():
                _check_level(level)
                self._index.fill(Row(record, level) for record in reversed(list(of_level)))

    def __len__(self) -> int:
        with self.lock:
            self._catch_up()
            return sum(len(self._index.level(level)) for level in LEVELS)

    def page(self, query: ListQuery) -> tuple[int, bytes]:
        """Count of all matching rows and the comma-joined JSON of one page, newest first."""
        with self.lock:
            self._catch_up()
            return self._index.page(query)

    def records(self, level: str | None = None) -> list[Record]:
        """All records as now held, newest first; of one level, or of both, one after the other."""
        if level is not None:
            _check_level(level)
        with self.lock:
            self._catch_up()
            levels = LEVELS if level is None else (level,)
            return [row.record() for name in levels for row in reversed(self._index.level(name))]

    def ids(self, level: str | None = None) -> list[str]:
        """The ids of `records(level)`, without reading the records."""
        with self.lock:
            self._catch_up()
            levels = LEVELS if level is None else (level,)
            rows = [row for name in levels for row in reversed(self._index.level(name))]
            return [row.backup_id for row in rows if row.backup_id is not None]

    def add(self, record: Record, level: str = "Instance") -> None:
        """Put in a record; among equal begin times it is the newest. A known id is refused."""
        _check_level(level)
        row = Row(record, level)
        with self.lock:
            self._catch_up()
            if row.backup_id in self._index.by_id:
                raise ValueError(f"backup {row.backup_id} is there already: use update")
            self._index.insert(row)

    def delete(self, backup_id: str) -> None:
        """Take a backup out of the list; an unknown id is a `KeyError`."""
        with self.lock:
            self._catch_up()
            self._index.remove([self._index.by_id[backup_id]])

    def update(self, backup_id: str, **fields: object) -> None:
        """Change fields of a record; with a new begin time it also moves in the list."""
        with self.lock:
            self._catch_up()
            row = self._index.by_id[backup_id]
            record = {**row.record(), **fields}
            changed = Row(record, row.level)
            if changed.place() == row.place():
                row.render(record)
            else:
                self._index.remove([row])
                row.render(record)
                self._index.insert(row)

    def instances(self) -> list[Record]:
        """The instances as the API lists them now, in order of creation."""
        return self.instance_page(limit=None)[1]

    def instance_page(
        self,
        *,
        limit: int | None = 100,
        offset: int = 0,
        instance_id: str | None = None,
        engine: str | None = None,
    ) -> tuple[int, list[Record]]:
        """Count of all instances that match, and the records of one page of them."""
        with self.lock:
            self._catch_up()
            page = slice(offset, None if limit is None else offset + limit)
            if self._life is not None:
                alive = [
                    one
                    for one in self._life.instances.values()
                    if instance_id in (None, one.instance_id) and engine in (None, one.engine)
                ]
                now_s = self._now_s()
                return len(alive), [
                    instance_record(one, self._region, now_s) for one in alive[page]
                ]
            given = [
                one
                for one in self._instances.values()
                if instance_id in (None, one["id"])
                and engine in (None, one.get("datastore", {}).get("type"))
            ]
            return len(given), given[page]

    def policy(self, instance_id: str) -> Record | None:
        """The policy of an instance that exists; None for one that does not."""
        with self.lock:
            self._catch_up()
            if self._life is not None and instance_id in self._life.instances:
                return self._policies.get(instance_id) or policy_record(
                    self._life.instances[instance_id]
                )
            if instance_id in self._instances:
                return self._policies.get(instance_id, {"keep_days": 0})
            return None

    def update_policy(self, instance_id: str, **fields: object) -> None:
        """Set fields of an instance's policy, such as ``keep_days=3``."""
        with self.lock:
            known = self.policy(instance_id)
            if known is None:
                raise KeyError(instance_id)
            self._policies[instance_id] = known | fields

    def delete_instance(self, instance_id: str) -> None:
        """Delete an instance: its automated backups go too, manual ones stay."""
        with self.lock:
            self._catch_up()
            self._policies.pop(instance_id, None)
            if self._life is not None and instance_id in self._life.instances:
                self._life.delete_instance(instance_id)
                self._catch_up()
            else:
                del self._instances[instance_id]

    def _catch_up(self) -> None:
        if self._life is not None:
            self._life.run(self._now_s())

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())


def _check_level(level: str) -> None:
    if level not in LEVELS:
        raise ValueError(f"level {level!r} is unknown: use one of {', '.join(LEVELS)}")
