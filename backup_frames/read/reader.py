"""Pages to parts: the verified walk and the flattening, joined, for one project.

In: a client and a question. Out: parts (Arrow tables and the spans they cover), streamed as ranges
are finished, counts, and the certificate of everything read. Memory holds the ranges on their way,
never the whole list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from ..api.query import LEVELS, BackupQuery, Level
from ..errors import ConfigError, RejectedError
from ..frames.believe import derive_levels, keep_matching, keep_within
from ..frames.deduplicate import deduplicate_frames
from ..frames.flatten import ArrowFrames, concat_frames, flatten_pages
from ..frames.frames import Part
from ..frames.record.fields import FIELDS
from ..frames.record.odd_values import SHOWN_LENGTH, OddValue
from ..scan.asking.schedule import Schedule
from ..scan.asking.workers import Workers
from ..scan.assumptions import ServiceProof, drive
from ..scan.certificate import Certificate, RangeCount, describe_odd_values
from ..scan.finished import FinishedRange
from ..scan.plan import CEILING_S, FLOOR_S, CoveredSpan, look_at
from ..scan.walks.witness import Witness

if TYPE_CHECKING:
    from ..api.client import BackupClient

Progress = Callable[[int, int | None], None]
"""Told rows done and rows expected (None while unknown), from the thread that consumes."""

PART_BYTES: Final = 2**23
"""Answers are flattened in parts of about this size: each costs the same few milliseconds beside its
rows. With a quarter of it, a sync of a million backups takes a tenth more processor time and needs 33
MB less; with twice as much it is no faster."""
PART_S: Final = 5.0
"""Or of what so many seconds bring, if that is less: what waits here is lost if the run is killed."""

IGNORED_SKEW_S: Final = 120
"""A clock that is so far off is as good as right."""


class BackupReader:
    """One read of one project at one moment; what a sync asks of the service's side.

    Args:
        client: asks one page at a time.
        query: project and filters; level and times are set by the read.
        levels: levels to read.
        connections: requests side by side; None for as many as the service's latency asks for.
        progress: told about rows done and expected.
        is_proving: prove what is assumed of the service.

    Attributes:
        known: what an earlier read has proven of the service; None: prove it anew.
        selection: values by column, matched after the read; the service is not asked for them.
        warnings: what the certificate says beside the verdict.
        empty_advice: likewise, if nothing was found.
    """

    def __init__(
        self,
        client: BackupClient,
        query: BackupQuery,
        *,
        levels: Sequence[Level] = LEVELS,
        connections: int | None = 8,
        progress: Progress | None = None,
        is_proving: bool = True,
    ) -> None:
        if progress is not None and not callable(progress):
            raise ConfigError(
                f"progress is {progress!r}; give a function of (rows done, rows expected or None), "
                "such as backup_frames.insight.show_progress yields."
            )
        self.client = client
        self.query = query
        self.levels = tuple(levels)
        self._connections = connections
        self._progress = progress
        self._is_proving = is_proving
        self.known: ServiceProof | None = None
        self.selection: Mapping[str, Sequence[str]] = {}
        self.warnings: list[str] = []
        self.empty_advice: list[str] = []
        self._proof: ServiceProof | None = None
        self._started = client.clock.monotonic()
        self._begun_at = self._as_of = client.clock.now().replace(microsecond=0)
        self._counts = replace(client.gate.counts)
        self._ranges: list[RangeCount] = []
        self._reasons: list[str] = []
        self._rows = 0
        self._duplicates = 0
        self._unknown: dict[str, set[str]] = {}
        self._left_out = Counter[str]()
        self._misplaced = 0
        self._odd_count = 0
        self._first_odd: OddValue | None = None
        self._ends = (0, 0)
        self.begin: datetime | None = None
        self.end: datetime | None = None

    @property
    def now_s(self) -> int:
        """The read's moment in epoch seconds, before its first request; see `correct_clock`."""
        return int(self._as_of.timestamp())

    @property
    def row_count(self) -> int:
        """Backups found so far."""
        return self._rows

    @property
    def begin_floor_s(self) -> int:
        """Where a full read begins."""
        return FLOOR_S

    @property
    def end_ceiling_s(self) -> int:
        """Where a full read ends."""
        return CEILING_S

    @property
    def filter_ends(self) -> tuple[bool, bool]:
        """Whether the service includes a window's begin and its end, as its answers have shown.

        The begin is taken as included (the service's own tests rely on it); the end as well, until
        answers left out the rows of the second they should end with.
        """
        inside, outside = self._ends
        return True, outside <= inside

    def scan(
        self, spans: Sequence[tuple[int, int]], *, is_full: bool = False, align_s: int = 86400
    ) -> Iterator[Part]:
        """Read spans at every level, streamed in any order; each part covers what it says.

        Args:
            spans: disjoint spans ``[begin_s, end_s)`` in epoch seconds.
            is_full: the one span is all there is: rows without begin time are read as well.
            align_s: cut ranges at multiples of this where that costs nothing.

        Raises:
            FetchError: the service failed; parts yielded before are proven.
            SchemaError: an answer is outside the contract.
        """
        schedule = Schedule(
            self.query,
            levels=self.levels,
            spans=spans,
            now_s=self.now_s,
            is_full=is_full,
            align_s=align_s,
            is_proving=self._is_proving,
            known=self.known,
        )
        workers = Workers(
            schedule, self.client.fetch_page, self._connections, self.client.clock.monotonic
        )
        with closing(workers.run()) as ranges:  # whatever goes wrong below stops the threads
            for batch in self._gather(ranges, workers):
                self._note_proof(workers.look(lambda plan: plan.service_proof))
                yield self._part(batch)
        self._note_proof(schedule.service_proof)
        self._ends = schedule.end_votes

    def scan_untimed(self) -> Iterator[Part]:
        """Read the rows that no window of time shows, level by level; each part says if proven.

        Raises:
            FetchError: the service failed.
            SchemaError: an answer is outside the contract.
        """
        for level in self.levels:
            witness = Witness(replace(self.query, level=level), lambda: True, lambda: 0)
            drive(witness.steps(), self.client.fetch_page)
            yield self._part(witness.finished)

    def count_all(self, level: str) -> int:
        """How many backups of a level there are, with begin time or without: one request."""
        return self._count(level, self.query)

    def correct_clock(self) -> float | None:
        """Let the read's moment be by the service's clock, as far as its answers have told the time.

        Returns:
            Seconds by which this machine's clock is ahead, None if they are two minutes or less,
            or not known.
        """
        skew_s = self.client.skew_s
        if skew_s is None or abs(skew_s) <= IGNORED_SKEW_S:
            return None
        self._as_of = self._begun_at - timedelta(seconds=ceil(skew_s))
        return skew_s

    def count(self, level: str, begin_s: int, end_s: int) -> int:
        """How many backups began in ``[begin_s - 1, end_s]`` as the service sees it: one request."""
        if self.known and self.known.max_window_s and end_s - begin_s > self.known.max_window_s:
            raise RejectedError("the service counts so wide a window short", status=400)
        return self._count(level, look_at(self.query, begin_s, end_s))

    def _count(self, level: str, query: BackupQuery) -> int:
        known = next(name for name in LEVELS if name == level)
        return self.client.fetch_page(replace(query, level=known, limit=1)).total_count

    @property
    def certificate(self) -> Certificate:
        """What everything read so far proves."""
        counts = self.client.gate.counts
        first_odd = self._first_odd._asdict() if self._first_odd else None
        return Certificate(
            endpoint=self.client.endpoint,
            project_id=self.query.project_id,
            filters=self.query.filters()
            | {name: ", ".join(values) for name, values in self.selection.items()},
            levels=self.levels,
            begin=self.begin,
            end=self.end,
            as_of=self._as_of,
            verdict="incomplete" if self._reasons else "complete",
            reasons=list(self._reasons),
            rows=self._rows,
            requests=counts.requests - self._counts.requests,
            retries=counts.retries - self._counts.retries,
            throttles=counts.throttles - self._counts.throttles,
            duplicates_removed=self._duplicates,
            unknown_values={name: sorted(values) for name, values in self._unknown.items()},
            duration_s=round(self.client.clock.monotonic() - self._started, 3),
            ranges=tuple(self._ranges),
            proof=self._proof
            and replace(self._proof, left_out=dict(self._left_out), misplaced=self._misplaced),
            api_version=self.query.api_version,
            caller=self.client.caller,
            odd_value_count=self._odd_count,
            first_odd_value=first_odd,
            warnings=[
                *self.warnings,
                *([] if self._rows else self.empty_advice),
                *describe_odd_values(self._odd_count, first_odd),
            ],
        )

    def _gather(
        self, ranges: Iterator[FinishedRange], workers: Workers
    ) -> Iterator[list[FinishedRange]]:
        """Finished ranges, as many as make a part; before a failure is raised those that it found."""
        monotonic = self.client.clock.monotonic
        waiting, size, since_s = list[FinishedRange](), 0, monotonic()
        try:
            for done in ranges:
                waiting.append(done)
                size += sum(len(piece.body) for piece in done.pieces)
                if size >= PART_BYTES or monotonic() - since_s > PART_S:
                    yield waiting
                    waiting, size, since_s = [], 0, monotonic()
                if self._progress:
                    self._progress(*workers.look(lambda plan: (plan.rows_done, plan.rows_expected)))
        except Exception:
            if waiting:
                yield waiting
            raise
        if waiting:
            yield waiting

    def _note_proof(self, proof: ServiceProof) -> None:
        self._proof = proof
        self._reasons += [one for one in proof.failures if one not in self._reasons]

    def _part(self, ranges: list[FinishedRange]) -> Part:
        frames: list[ArrowFrames] = []
        odd_values: list[OddValue] = []
        for level in self.levels:
            pieces = [piece for done in ranges if done.level == level for piece in done.pieces]
            if pieces:
                frames.append(
                    flatten_pages(
                        [piece.body for piece in pieces],
                        project_id=self.query.project_id,
                        level=level,
                        keep=[piece.rows for piece in pieces],
                        odd_values=odd_values,
                    )
                )
        sent = {name: [value] for name, value in self.query.filters().items()}
        fresh, left_out = keep_matching(concat_frames(frames), sent)
        self._left_out.update(left_out)
        if self._proof is not None and self._proof.is_level_ignored:
            fresh = derive_levels(fresh, self.levels)
        else:
            is_instance = pc.equal(fresh.backups["backup_level"], "Instance")
            has_tables = pc.greater(fresh.backups["database_count"], 0)
            self._misplaced += pc.sum(pc.and_(is_instance, has_tables)).as_py() or 0
        rows, duplicates = deduplicate_frames(keep_matching(fresh, self.selection)[0])
        if self.begin is not None or self.end is not None:
            rows = keep_within(rows, self.begin, self.end)
        self._note_odd(rows.backups, odd_values)
        self._rows += rows.backups.num_rows
        self._duplicates += duplicates + sum(done.trimmed_count for done in ranges)
        self._ranges += map(RangeCount.of, ranges)
        reasons = dict.fromkeys(reason for done in ranges for reason in done.reasons)
        self._reasons += [reason for reason in reasons if reason not in self._reasons]
        self._note_unknown(rows.backups)
        covered = [
            CoveredSpan(done.level, done.begin_s, done.end_s, not done.reasons) for done in ranges
        ]
        return Part(rows, tuple(covered))

    def _note_odd(self, backups: pa.Table, values: list[OddValue]) -> None:
        """Count what is odd in these rows, each value once."""
        if not values:
            return
        ids = set(backups["backup_id"].to_pylist())
        own = {(one.backup_id, one.field): one for one in values if one.backup_id in ids}
        self._odd_count += len(own)
        if own and self._first_odd is None:
            first = next(iter(own.values()))
            clean = (self.client.scrub(text) for text in first)  # it may echo a credential
            self._first_odd = OddValue(*(text[:SHOWN_LENGTH] for text in clean))

    def _note_unknown(self, backups: pa.Table) -> None:
        for field in FIELDS:
            if not field.known:
                continue
            values = set(pc.unique(backups[field.column]).to_pylist()) - {None, *field.known}
            if values:
                clean = (self.client.scrub(value)[:SHOWN_LENGTH] for value in values)
                self._unknown.setdefault(field.column, set()).update(clean)

    def close_books(self, rows: int, duplicates: int) -> None:
        """Tell how many rows are left after duplicates between parts were removed."""
        self._rows = rows
        self._duplicates += duplicates
