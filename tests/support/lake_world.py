"""A service, a lake and the truth, in one hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from support.clocks import VirtualClock
from support.format_lake import FormatLake
from support.lake_service import (
    DAY,
    LEVELS,
    PROJECT,
    ModelLedger,
    ModelService,
    rows_of,
    sync,
)
from support.stores import MemoryStore

from backup_frames.sync.one_project import SyncReport


class World:
    """A service, a lake (of plain files in memory, or the one given), and what it should hold."""

    def __init__(
        self, seed: int = 0, lake: FormatLake | None = None, memory: MemoryStore | None = None
    ) -> None:
        self.service = ModelService(seed=seed)
        self.lake = lake
        self.ledger = ModelLedger()
        self._memory = memory or MemoryStore(scratch=f"_meta/{PROJECT}/tmp")

    @property
    def store(self) -> Any:
        """The lake's store, as a new process would open it."""
        return self._memory if self.lake is None else self.lake.store()

    @property
    def clock(self) -> VirtualClock:
        return self.service.clock

    def fill(self, days: int, per_day: int = 8) -> None:
        """Backups of the last days at both levels, some with databases and tables."""
        step = DAY / per_day
        for number in range(days * per_day):
            self.service.add(
                self.clock.now() - days * DAY + number * step,
                level=LEVELS[number % 5 == 0],
                tables=[("db", ["a", "b"]), ("all", None)] if number % 5 == 0 else None,
            )

    def ids(self) -> list[str]:
        return sorted(self.service.backups)

    def sync(self, *, after: timedelta = timedelta(0), **settings: object) -> SyncReport:
        """Let time pass, sync, and check that the lake is what the model says."""
        self.clock.advance(after)
        report = sync(self.service, self.store, **settings)
        marks = not report.is_guarded
        self.ledger.observe(self.service.backups, report.as_of, marks=marks)
        self.check()
        return report

    def check(self) -> None:
        found = rows_of(self.store)
        assert found.keys() == self.ledger.entries.keys()
        for one, row in found.items():
            assert row == self.ledger.entries[one], one
