"""The fleet's life: backups start, run, complete or fail, expire; instances come and go.

In: a seed, the number of backups to begin with, and how far time has come. Out: changes on the
index. Times are epoch seconds. Events wait in a heap, so that running on costs what happens.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .index import BackupIndex, Record, Row
from .instances import DAY_S, MANUAL_CAP, Instance, Series, invent_instance
from .seeded import SeededRandom

_DESCRIPTIONS = {
    "Auto": (None, None, "", "", "automated backup"),
    "Manual": (
        None,
        "",
        "backup description",
        "vor dem Upgrade: Größe geprüft ✓",
        "升级前备份",
        "before migration 🚀, do not delete",
    ),
}
_TITLES = ("before-upgrade", "month-end", "vor_Migration", "月末备份", "release", "audit")
_MISSED = 0.003
_MANUAL_DAYS = 400  # people began to make manual backups so long ago
_CHURN_FROM = 50  # instances
_FAILED = 0.012


@dataclass(frozen=True, slots=True)
class Backup:
    """What is decided about a backup when it starts."""

    series: Series
    backup_id: str
    name: str
    description: str | None
    begin_s: int
    end_s: int | None  # None = it never ends
    size: float
    is_failed: bool

    def finished(self) -> Record:
        """The fields that change when it ends."""
        return {
            "end_time": None if self.end_s is None else api_time(self.end_s),
            "status": "FAILED" if self.is_failed else "COMPLETED",
            "size": 0 if self.is_failed else self.size,
        }

    def record(self, now_s: int, unfinished: Record) -> Record:
        """The API's record as of now, in the order of the reference page's sample."""
        instance = self.series.instance
        is_done = self.end_s is not None and self.end_s <= now_s
        record: Record = {
            "id": self.backup_id,
            "name": self.name,
            "instance_id": instance.instance_id,
            "instance_name": instance.name,
            "datastore": {"type": instance.engine, "version": instance.version},
            "type": self.series.backup_type,
            "begin_time": api_time(self.begin_s),
        }
        record.update(self.finished() if is_done else unfinished)
        record["description"] = self.description
        record["database_tables"] = self.series.database_tables
        return record


class Life:
    """Runs the invented instances of one fleet.

    Args:
        index: Where the rows stand; shared with the fleet.
        seed: Decides everything.
        now_s: The first moment.
        backups: How many rows to begin with, exactly.
        unfinished: The changing fields of a backup that has not ended yet.
    """

    def __init__(
        self, index: BackupIndex, seed: int, now_s: int, backups: int, unfinished: Record
    ) -> None:
        self.instances: dict[str, Instance] = {}
        self._index = index
        self._seed = seed
        self._backups = backups
        self._unfinished = unfinished
        self._now_s = now_s
        self._number = 0
        self._order = 0
        self._events: list[tuple[int, int, str, Any]] = []
        self._leaving: dict[Row, None] = {}
        index.fill(self._first_rows())
        self._plan(now_s // DAY_S * DAY_S + DAY_S, "midnight", None)

    def run(self, until_s: int) -> None:
        """Let everything happen that happens up to and including that second."""
        acts: dict[str, Callable[[Any], None]] = {
            "start": self._start,
            "end": self._end,
            "expire": self._expire,
            "midnight": self._midnight,
        }
        while self._events and self._events[0][0] <= until_s:
            self._now_s, _, act, subject = heapq.heappop(self._events)
            acts[act](subject)
        self._now_s = max(self._now_s, until_s)
        if self._leaving:
            self._index.remove([row for row in self._leaving if self._is_listed(row)])
            self._leaving.clear()

    def delete_instance(self, instance_id: str) -> None:
        """Delete an instance: automated backups go with it, manual ones stay."""
        instance = self.instances.pop(instance_id)
        for series in instance.series:
            series.last_day = -1
            if series.backup_type == "Auto":
                self._leaving.update(dict.fromkeys(series.rows))
                series.rows.clear()

    def _first_rows(self) -> Iterator[Row]:
        missing = self._backups
        while missing > 0:
            instance = self._invent()
            found = [backup for series in instance.series for backup in self._surviving(series)]
            found.sort(key=lambda backup: backup.begin_s)
            if len(found) > missing:  # it was created later than it first seemed
                found = found[-missing:]
                instance.created_s = max(instance.created_s, found[0].begin_s - 3600)
            missing -= len(found)
            for backup in found:
                yield self._row(backup)
            for series in instance.series:
                self._plan_expiry(series)
                self._plan_start(series, self._now_s)

    def _invent(self) -> Instance:
        day = self._now_s // DAY_S
        instance = invent_instance(self._seed, self._number, day, backups=self._backups)
        self._number += 1
        if instance.outcome != "deleted":
            self.instances[instance.instance_id] = instance
        return instance

    def _surviving(self, series: Series) -> list[Backup]:
        """The backups of a series that the service holds now, oldest first."""
        today = self._now_s // DAY_S
        created_day = series.instance.created_s // DAY_S
        span = series.keep_days + 8 if series.keep_days else min(_MANUAL_DAYS, self._backups)
        days = [d for d in range(max(created_day, today - span), today + 1) if series.is_due(d)]
        starts = [start for start in (self._draw(series, day) for day in days) if start]
        starts = [start for start in starts if start[0] <= self._now_s]
        if not series.keep_days:
            starts = starts[-MANUAL_CAP:]
        while len(starts) >= 2 and self._has_expired(series, starts[1][0]):
            del starts[0]
        return [self._decide_outcome(series, *start) for start in starts]

    def _has_expired(self, series: Series, next_begin_s: int) -> bool:
        """An automated backup outlives its retention until its successor has done so, too."""
        return 0 < series.keep_days * DAY_S <= self._now_s - next_begin_s

    def _draw(self, series: Series, day: int) -> tuple[int, int, SeededRandom] | None:
        """Begin second, day and remaining draws of a day's backup; None if it is missed."""
        instance = series.instance
        rng = SeededRandom(self._seed, instance.number, series.level, series.backup_type, day)
        if rng.has_luck(_MISSED):
            return None
        is_manual = series.backup_type == "Manual"
        hour = 7 + rng.below(11) if is_manual else instance.hour
        minute, second = rng.below(60), rng.below(60)
        if not is_manual and rng.has_luck(0.5):  # the scheduler's tick: many start at once
            minute, second = minute // 5 * 5, 0
        return day * DAY_S + hour * 3600 + minute * 60 + second, day, rng

    def _decide_outcome(self, series: Series, begin_s: int, day: int, rng: SeededRandom) -> Backup:
        """Decide everything about a backup that starts."""
        instance = series.instance
        age_days = day - instance.created_s // DAY_S
        size = instance.base_kb * (1 + instance.growth) ** age_days * rng.between(0.9, 1.1)
        if series.level == "DatabaseTable":
            size /= 20
        has_outcome = day >= instance.outcome_day
        if (instance.outcome == "shrinking" and has_outcome) or rng.has_luck(0.002):
            size = rng.pick((0, 0.5, 12))
        speed = 1024 * rng.between(20, 70) * instance.node_count
        duration_s = int(120 + rng.below(240) + size / speed) * (8 if rng.has_luck(0.005) else 1)
        is_stuck = instance.outcome == "stuck" and day == instance.outcome_day
        moment = datetime.fromtimestamp(begin_s, UTC)
        if series.backup_type == "Auto":
            name = f"GeminiDB-{instance.name}-{moment:%Y%m%d%H%M%S}"
        else:
            name = f"{rng.pick(_TITLES)}-{moment:%Y%m%d}"
        return Backup(
            series=series,
            backup_id=f"{rng.hex32()}br{instance.instance_id[-2:]}",
            name=name,
            description=rng.pick(_DESCRIPTIONS[series.backup_type]),
            begin_s=begin_s,
            end_s=None if is_stuck else begin_s + min(duration_s, DAY_S // 2),
            size=round(size, 5) if instance.is_fractional else int(size),
            is_failed=(instance.outcome == "failing" and has_outcome)
            or rng.has_luck(0.16 if instance.outcome == "flaky" else _FAILED),
        )

    def _row(self, backup: Backup) -> Row:
        """The backup's row, with its end planned if that is still to come."""
        series = backup.series
        row = Row(backup.record(self._now_s, self._unfinished), series.level)
        series.rows.append(row)
        if backup.end_s is not None and backup.end_s > self._now_s:
            self._plan(backup.end_s, "end", (row, backup))
        return row

    def _plan(self, at_s: int, act: str, subject: object) -> None:
        self._order += 1
        heapq.heappush(self._events, (at_s, self._order, act, subject))

    def _plan_start(self, series: Series, after_s: int) -> None:
        """Plan the next backup of a series; none if there is none within two years."""
        today = after_s // DAY_S
        for day in range(today, today + 731):
            start = self._draw(series, day) if series.is_due(day) else None
            if start is not None and start[0] > after_s:
                self._plan(start[0], "start", (series, start))
                return

    def _plan_expiry(self, series: Series) -> None:
        if series.keep_days and len(series.rows) >= 2 and not series.is_expiry_planned:
            series.is_expiry_planned = True
            successor_s = series.rows[1].begin_us // 1_000_000
            self._plan(successor_s + series.keep_days * DAY_S, "expire", series)

    def _start(self, subject: tuple[Series, tuple[int, int, SeededRandom]]) -> None:
        series, start = subject
        if not series.is_due(start[1]):
            return  # the instance was deleted meanwhile
        self._index.insert(self._row(self._decide_outcome(series, *start)))
        if not series.keep_days and len(series.rows) > MANUAL_CAP:
            self._leaving[series.rows.popleft()] = None
        self._plan_expiry(series)
        self._plan_start(series, self._now_s)

    def _end(self, subject: tuple[Row, Backup]) -> None:
        row, backup = subject
        if self._is_listed(row):
            row.render({**row.record(), **backup.finished()})

    def _expire(self, series: Series) -> None:
        series.is_expiry_planned = False
        if series.rows:
            self._leaving[series.rows.popleft()] = None
            self._plan_expiry(series)

    def _midnight(self, _: None) -> None:
        """Now and then an instance is deleted, and another created, in fleets of some size."""
        self._plan(self._now_s + DAY_S, "midnight", None)
        if len(self.instances) < _CHURN_FROM:
            return
        rng = SeededRandom(self._seed, "midnight", self._now_s)
        if rng.has_luck(0.25):
            self.delete_instance(rng.pick(list(self.instances)))
        if rng.has_luck(0.25):
            for series in self._invent().series:
                series.instance.created_s = self._now_s
                self._plan_start(series, self._now_s)

    def _is_listed(self, row: Row) -> bool:
        return self._index.by_id.get(row.backup_id) is row


def api_time(second: int) -> str:
    """An epoch second as the API writes times."""
    return f"{datetime.fromtimestamp(second, UTC).isoformat()[:19]}+0000"
