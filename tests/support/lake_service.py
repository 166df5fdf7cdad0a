"""A model of the service at the seam of the lake's reader: fast, exact, and as hostile as asked.

    service = ModelService(seed=1)
    service.add(begin=...)
    report = sync(service, store)     # one sync of the model into a store

    world = World()                   # a service, a lake and the truth, in one hand
    world.fill(days=6)
    world.sync()                      # also checks that the lake is what the model says

The model knows no lake: its ledger is plain Python, one dict per backup.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from support.clocks import VirtualClock
from support.stores import MemoryStore

from backup_frames.errors import UnavailableError
from backup_frames.frames.deduplicate import deduplicate_frames
from backup_frames.frames.flatten import ArrowFrames, concat_frames, flatten_pages
from backup_frames.frames.frames import Part
from backup_frames.frames.partitions import decode_table
from backup_frames.frames.record.fields import FIELDS
from backup_frames.scan.certificate import Certificate
from backup_frames.scan.plan import CEILING_S, FLOOR_S, CoveredSpan
from backup_frames.sync.one_project import SyncReport, sync_lake
from backup_frames.sync.planning.plan import SyncSettings

if TYPE_CHECKING:
    from support.format_lake import FormatLake

    from backup_frames.lake.storage.store import Store

PROJECT = "0a1b2c"
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
LEVELS = ("Instance", "DatabaseTable")

Row = dict[str, Any]


@dataclass
class Backup:
    """One backup as the service holds it."""

    id: str
    level: str
    begin: datetime | None
    status: str = "COMPLETED"
    size: float = 1.0
    name: str = "b"
    instance_id: str = "i1"
    tables: list[tuple[str, list[str] | None]] | None = None

    def record(self) -> dict[str, Any]:
        tables = self.tables
        return {
            "id": self.id,
            "name": self.name,
            "instance_id": self.instance_id,
            "instance_name": "orders",
            "datastore": {"type": "cassandra", "version": "3.11"},
            "type": "Auto",
            "status": self.status,
            "size": self.size,
            "description": None,
            "begin_time": self.begin and wire_time(self.begin),
            "end_time": None,
            "database_tables": None
            if tables is None
            else [{"database_name": name, "table_names": names} for name, names in tables],
        }


def wire_time(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat()}+0000"


class ModelService:
    """The service's list, which may change between any two requests."""

    def __init__(self, *, seed: int = 0, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock(START)
        self.random = random.Random(seed)
        self.backups: dict[str, Backup] = {}
        self.uncertified: list[tuple[int, int]] = []
        self.fail_after_parts: int | None = None
        self.error: BaseException = UnavailableError("The model is down. Wait for it.")
        self.on_part: Callable[[], None] = lambda: None
        self.includes_end = True
        self._number = 0
        self._index: dict[str, list[tuple[float, str]]] | None = None

    def add(self, begin: datetime | None, *, level: str = "Instance", **facts: Any) -> Backup:
        self._number += 1
        backup = Backup(f"{self._number:08x}br", level, begin, **facts)
        self.backups[backup.id] = backup
        self._index = None
        return backup

    def remove(self, *ids: str) -> None:
        for one in ids:
            del self.backups[one]
        self._index = None

    def between(self, level: str, begin_s: float, end_s: float) -> list[Backup]:
        """Backups of a level that began in [begin_s, end_s)."""
        if self._index is None:
            self._index = {name: [] for name in LEVELS}
            for backup in self.backups.values():
                if backup.begin is not None:
                    self._index[backup.level].append((backup.begin.timestamp(), backup.id))
            for entries in self._index.values():
                entries.sort()
        entries = self._index[level]
        low, high = bisect_left(entries, (begin_s, "")), bisect_left(entries, (end_s, ""))
        return [self.backups[one] for _, one in entries[low:high]]

    def reader(self) -> ModelReader:
        return ModelReader(self)


class ModelReader:
    """A reader of the model, as the lake's protocol wants it."""

    def __init__(self, service: ModelService) -> None:
        self.service = service
        self.requests = 0
        self.rows = 0
        self.reasons: list[str] = []
        self.as_of = service.clock.now().replace(microsecond=0)
        self.now_s = int(self.as_of.timestamp())
        self.begin_floor_s = FLOOR_S
        self.end_ceiling_s = CEILING_S
        self.scanned: list[tuple[int, int]] = []

    @property
    def filter_ends(self) -> tuple[bool, bool]:
        return True, self.service.includes_end

    @property
    def certificate(self) -> Certificate:
        return Certificate(
            endpoint="http://model",
            project_id=PROJECT,
            filters={},
            levels=LEVELS,
            begin=None,
            end=None,
            as_of=self.as_of,
            verdict="incomplete" if self.reasons else "complete",
            reasons=list(self.reasons),
            rows=self.rows,
            requests=self.requests,
            retries=0,
            throttles=0,
            duplicates_removed=0,
            unknown_values={},
            duration_s=0.0,
            ranges=(),
        )

    def count(self, level: str, begin_s: int, end_s: int) -> int:
        self.requests += 1
        last = end_s + 1 if self.service.includes_end else end_s
        return len(self.service.between(level, begin_s - 1, last))

    def correct_clock(self) -> float | None:
        return None

    def count_all(self, level: str) -> int:
        self.requests += 1
        return sum(backup.level == level for backup in self.service.backups.values())

    def scan_untimed(self) -> Iterator[Part]:
        for level in LEVELS:
            yield self._part([(level, None, None)])

    def scan(
        self, spans: Sequence[tuple[int, int]], *, is_full: bool = False, align_s: int = 86400
    ) -> Iterator[Part]:
        self.scanned += spans
        ranges: list[tuple[str, int | None, int | None]] = []
        for begin_s, end_s in spans:
            for level in LEVELS:
                cuts = self._cuts(level, begin_s, end_s)
                ranges += [(level, *pair) for pair in pairwise(cuts)]
        if is_full:
            ranges += [(level, None, None) for level in LEVELS]
        self.service.random.shuffle(ranges)
        size = self.service.random.choice((1, 2, 5))
        for number, first in enumerate(range(0, len(ranges), size)):
            if self.service.fail_after_parts == number:
                raise self.service.error
            yield self._part(ranges[first : first + size])
            self.service.on_part()
        if self.service.fail_after_parts is not None:
            raise self.service.error

    def _cuts(self, level: str, begin_s: int, end_s: int) -> list[int]:
        """The span's ends, and cuts inside about every few hundred rows, some at odd seconds."""
        rows = self.service.between(level, begin_s, end_s)
        step = self.service.random.choice((50, 300, 1000))
        inside = {int(row.begin.timestamp()) for row in rows[step::step] if row.begin}
        return sorted({begin_s, end_s, *(cut for cut in inside if begin_s < cut < end_s)})

    def _part(self, ranges: list[tuple[str, int | None, int | None]]) -> Part:
        pieces, covered = [], []
        for level, begin_s, end_s in ranges:
            if begin_s is None or end_s is None:
                rows = [
                    backup
                    for backup in self.service.backups.values()
                    if backup.begin is None and backup.level == level
                ]
            else:
                rows = self.service.between(level, begin_s, end_s)
            is_certified = begin_s is None or not any(
                begin_s < high and low < end_s for low, high in self.service.uncertified
            )
            if not is_certified:
                self.reasons.append(f"{level} {begin_s}: not certified")
            covered.append(CoveredSpan(level, begin_s, end_s, is_certified))
            pieces.append(frames_of(rows, level))
            self.requests += max(1, -(-len(rows) // 100))
            self.rows += len(rows)
        return Part(deduplicate_frames(concat_frames(pieces))[0], tuple(covered))


def frames_of(backups: Sequence[Backup], level: str) -> ArrowFrames:
    body = json.dumps({"total_count": 0, "backups": [one.record() for one in backups]}).encode()
    return (_flattened if len(body) < 100_000 else _flattened.__wrapped__)(body, level)


@lru_cache(maxsize=1000)  # hundreds of runs that are struck at read the same few backups
def _flattened(body: bytes, level: str) -> ArrowFrames:
    return flatten_pages([body], project_id=PROJECT, level=level)


def frames(backups: Sequence[Backup]) -> ArrowFrames:
    """The tables of backups of any level."""
    by_level = [[one for one in backups if one.level == level] for level in LEVELS]
    pairs = zip(by_level, LEVELS, strict=True)
    return concat_frames([frames_of(some, level) for some, level in pairs])


def sync(service: ModelService, store: Any, **settings: Any) -> SyncReport:
    """One sync of the model into the store."""
    is_dry_run = settings.pop("is_dry_run", False)
    return sync_lake(
        service.reader(),
        store,
        project_id=PROJECT,
        clock=service.clock,
        settings=SyncSettings(**{"threads": 1, **settings}),
        is_dry_run=is_dry_run,
    )


def sync_as(project_id: str, service: ModelService, store: Store) -> None:
    """One sync under another project's id; the model's rows bear the model's, so they are named."""

    class Reader(ModelReader):
        def scan(self, *arguments: Any, **options: Any) -> Any:
            for part in super().scan(*arguments, **options):
                yield replace(part, frames=renamed(part.frames, project_id))

    sync_lake(Reader(service), store, project_id=project_id, clock=service.clock)


def renamed(frames: Any, project_id: str) -> Any:
    def rename(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("project_id")
        column = pa.array([project_id] * table.num_rows, pa.string())
        return table.set_column(place, table.schema.field(place), column)

    return type(frames)(*(rename(table) for table in frames))


def table_of(store: Any, name: str, project_id: str = PROJECT) -> list[Row]:
    """All rows of a table in the store, in the order of the files."""
    files = [file.key for file in store.list(name) if file.key.endswith(f"/{project_id}.parquet")]
    if store.format != "parquet":
        return [row for key in files for row in store.decode(key, store.read(key)).to_pylist()]
    return [row for key in files for row in _decoded(store.read(key))]


@lru_cache(maxsize=4096)
def _decoded(data: bytes) -> list[Row]:
    """The rows of a file: most files of a lake are the same after a sync as before."""
    return decode_table(data).to_pylist()


def rows_of(store: Any) -> dict[str, Row]:
    """The lake's backups by id, their children nested as the model has them."""
    rows: dict[str, Row] = {}
    for row in table_of(store, "backups"):
        assert row["backup_id"] not in rows, f"{row['backup_id']} is there twice"
        rows[row["backup_id"]] = row | {"databases": [], "tables": []}
    for table, name in (("backup_databases", "databases"), ("backup_tables", "tables")):
        for row in table_of(store, table):
            rows[row["backup_id"]][name].append(row)
    return rows


@dataclass
class ModelLedger:
    """What the lake should hold, row by row, in plain Python."""

    entries: dict[str, Row] = field(default_factory=dict)

    def observe(self, backups: dict[str, Backup], as_of: datetime, *, marks: bool = True) -> None:
        """A complete sync at this moment saw these backups."""
        for backup in backups.values():
            content = content_of(backup)
            known = self.entries.get(backup.id)
            if known is None:
                self.entries[backup.id] = {
                    **content,
                    "first_seen_at": as_of,
                    "updated_at": as_of,
                    "gone_at": None,
                }
                continue
            if {name: known[name] for name in content} != content:
                known |= {**content, "updated_at": as_of}
            known["gone_at"] = None
        for one, known in self.entries.items():
            if marks and one not in backups and known["gone_at"] is None:
                known["gone_at"] = as_of


def content_of(backup: Backup) -> Row:
    """A backup's columns, spelled out by hand; those that it says nothing of are null."""
    day = None if backup.begin is None else backup.begin.date()
    keys = {"project_id": PROJECT, "backup_id": backup.id, "begin_date": day}
    entries = backup.tables or []
    return {
        **dict.fromkeys(one.column for one in FIELDS),
        **keys,
        "name": backup.name,
        "description": None,
        "instance_id": backup.instance_id,
        "instance_name": "orders",
        "datastore_type": "cassandra",
        "datastore_version": "3.11",
        "backup_type": "Auto",
        "backup_level": backup.level,
        "status": backup.status,
        "size_kb": backup.size,
        "begin_time": backup.begin,
        "end_time": None,
        "database_count": None if backup.tables is None else len(backup.tables),
        # A time in another notation than the reference page's is kept as sent.
        "extra": f'{{"begin_time":"{wire_time(backup.begin)}"}}'
        if backup.begin and backup.begin.microsecond
        else None,
        "databases": [
            {
                **keys,
                "database_index": index,
                "database_name": name,
                "table_count": None if names is None else len(names),
                "is_whole_database": names is None,
            }
            for index, (name, names) in enumerate(entries)
        ],
        "tables": [
            {
                **keys,
                "database_index": index,
                "database_name": name,
                "table_index": position,
                "table_name": table,
            }
            for index, (name, names) in enumerate(entries)
            for position, table in enumerate(names or [])
        ],
    }


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

    def copy(self) -> World:
        """The same service, lake in memory and truth, to be changed on their own."""
        twin = World(memory=self._memory.copy())
        twin.service.backups = {one: replace(row) for one, row in self.service.backups.items()}
        twin.service._number = self.service._number
        twin.service.random.setstate(self.service.random.getstate())
        twin.clock.seconds = self.clock.seconds
        twin.ledger.entries = {one: dict(row) for one, row in self.ledger.entries.items()}
        return twin

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
