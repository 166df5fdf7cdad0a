"""Which question is asked next: walks side by side, split where the rows are.

In: a query, levels, spans. Out: `Ask` after `Ask` for any number of workers; finished ranges as
pages come back. No I/O and no threads: workers call `take` and `give` under one lock, and so does the
simulation, which answers in any order it likes.

A level goes through stages: a trial of what is assumed of the service, walks, a second trial if the
first had no backup to go by, the closing witness. Where an assumption fails, it is read by offset.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from ...api.answers import Page
from ...api.query import FILTERS, BackupQuery, Level
from ...errors import RejectedError
from ..assumptions import ServiceProof, TimedRow, find_qualifying
from ..checks import STRAYED
from ..finished import FinishedRange, Window
from ..plan import cut_second
from ..proof.trial import Trial
from ..walks.offset_read import OffsetRead
from ..walks.walk import Walk
from ..walks.witness import Witness

MIN_SPLIT_PAGES: Final = 16
"""Pages a range must still hold to be worth splitting: each cut costs about half a page. With 10, a
read of 20,000 backups takes 234 to 237 requests, with 14 to 20 it takes 230 to 234."""
BREACH_SPLITS: Final = 32


class Task(Protocol):
    """What asks: a walk, a trial, a witness, a read by offset."""

    query: BackupQuery
    finished: list[FinishedRange]

    def steps(self) -> Generator[BackupQuery, Page, None]:
        """Yield queries, take pages."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One question to put to the service, and the task that waits for its answer."""

    query: BackupQuery
    walk: Task


class Schedule:
    """Hands out questions and takes answers until every span is read.

    Args:
        query: filters; its level and times are replaced.
        levels: which levels to read.
        spans: disjoint spans ``[begin_s, end_s)``.
        now_s: when the read began.
        is_full: the one span is all there is: rows without begin time are looked for as well.
        align_s: prefer cuts at multiples of this many seconds.
        is_proving: prove what is assumed of the service.
        known: what an earlier read has proven, not to be proven again; None: nothing.
    """

    def __init__(
        self,
        query: BackupQuery,
        *,
        levels: Sequence[Level],
        spans: Sequence[tuple[int, int]],
        now_s: int,
        is_full: bool = False,
        align_s: int = 1,
        is_proving: bool = False,
        known: ServiceProof | None = None,
    ) -> None:
        self._align_s = align_s
        self._window = Window(now_s)
        self._steps: dict[Task, Generator[BackupQuery, Page, None]] = {}
        self._ready: deque[Ask] = deque()
        self._waiting: deque[Task] = deque()
        self._in_flight: set[Task] = set()
        self._has_answer = False
        self._is_moving = False
        self._rows: dict[str, int] = dict.fromkeys(levels, 0)
        self._open_levels: dict[str, int] = dict.fromkeys(levels, 0)
        self._without_untimed: set[str] = set()
        self._is_full = is_full
        self._splits = [BREACH_SPLITS]
        self._query = query
        self._spans = spans
        self._is_proving = is_proving
        self._proven: dict[str, str | None] = dict.fromkeys(sorted(levels))
        self._failures: dict[str, str] = {}
        self._is_level_ignored = False
        self._proven_at_s = now_s if known is None or known.max_window_s else known.at_s
        self._mirrored: Level | None = None
        self._trials: dict[Level, Trial] = {}
        self._late_rows: dict[str, list[TimedRow]] = {}
        self._stirred: set[str] = set()
        # table-level backups are few: read first, they wait for the others, not the reverse
        is_known = known is not None and known.max_window_s is None  # where the list lies is not
        if is_proving and spans and not is_known:
            for level in sorted(levels):
                asked, is_alone = replace(query, level=level), len(levels) == 1
                self._trials[level] = Trial(asked, self._window, with_other_level=is_alone)
                self._add(self._trials[level])
            return
        if known is not None:
            self._proven |= {level: known.backups.get(level) for level in levels}
            self._is_level_ignored = known.is_level_ignored
        for level in sorted(levels):
            self._read(level)

    @property
    def is_done(self) -> bool:
        """Whether every span is read and every answer is in."""
        return not self._steps

    @property
    def rows_done(self) -> int:
        """Rows of finished ranges so far."""
        return sum(self._rows.values())

    @property
    def rows_expected(self) -> int:
        """Rows in all, as far as answers have told."""
        open_walks = [walk for walk in self._steps if isinstance(walk, Walk)]
        return self.rows_done + sum(walk.remaining + walk.unclosed_rows for walk in open_walks)

    @property
    def end_votes(self) -> tuple[int, int]:
        """Answers that showed the service's ``end_time`` to be included, and excluded."""
        return self._window.inside, self._window.outside

    @property
    def service_proof(self) -> ServiceProof:
        """What was proven of the service, as far as the read has come."""
        return ServiceProof(
            at_s=self._proven_at_s,
            backups=dict(self._proven) if self._is_proving else {},
            failures=tuple(self._failures.values()),
            is_level_ignored=self._is_level_ignored,
            max_window_s=self._window.silent_s,
        )

    def take(self) -> Ask | None:
        """The next question; None if there is none until another answer comes back.

        Until the first answer is in, only one question is out: credentials that are refused, or an
        address that is wrong, should not be tried eight times.
        """
        if not self._has_answer and self._in_flight:
            return None
        while not self._ready and self._waiting:
            self._advance(self._waiting.popleft(), None)
        if not self._ready:
            self._split_largest()
        if not self._ready:
            return None
        ask = self._ready.popleft()
        self._in_flight.add(ask.walk)
        return ask

    def give(self, ask: Ask, page: Page | RejectedError) -> list[FinishedRange]:
        """Take the answer to a question; the ranges that it finished.

        Raises:
            RejectedError: the service refuses the question itself, not only a window too wide.
        """
        self._has_answer = True
        self._in_flight.discard(ask.walk)
        level = ask.query.level
        if isinstance(page, Page) and isinstance(ask.walk, Walk) and self._seeks_rows(level):
            self._late_rows[level] = find_qualifying(page)
        finished = self._advance(ask.walk, page)
        # some may end without a question
        while self._waiting and (isinstance(ask.walk, Trial) or self._window.max_s is not None):
            finished += self._advance(self._waiting.popleft(), None)
        return finished

    def _seeks_rows(self, level: str) -> bool:
        """Whether a backup is still wanted that can prove the time filter."""
        is_proven = not self._is_proving or self._proven[level] is not None
        return not is_proven and not self._late_rows.get(level)

    def _read(self, level: Level) -> None:
        """Begin to read a level: by walks, or by offset where an assumption has failed."""
        if level in self._failures:
            self._read_by_offset(level)
            return
        page = self._trials[level].page if level in self._trials else None
        for begin_s, end_s in self._spans:
            walk = Walk(
                replace(self._query, level=level),
                begin_s,
                end_s,
                self._window,
                is_open=self._is_full,
                is_witnessed=self._is_full,
                is_likely_empty=not self._is_full,
                splits=self._splits,
                first_page=page,
            )
            self._add(walk)

    def _read_by_offset(self, level: Level) -> None:
        query = replace(self._query, level=level)
        trial = self._trials.get(level)
        if trial is not None and trial.is_filter_failed:
            query = replace(query, **dict.fromkeys(FILTERS))  # type: ignore[arg-type]  # names of filters
        self._add(
            OffsetRead(query, self._spans, is_full=self._is_full, reason=self._failures[level])
        )

    def _add(self, walk: Task) -> None:
        self._steps[walk] = walk.steps()
        self._waiting.append(walk)
        self._open_levels[walk.query.level] += 1

    def _advance(self, walk: Task, page: Page | RejectedError | None) -> list[FinishedRange]:
        steps = self._steps[walk]
        try:
            if isinstance(page, RejectedError):
                query = steps.throw(page)
            else:
                query = steps.send(page) if page is not None else next(steps)
            self._ready.append(Ask(query, walk))
        except StopIteration:
            self._end(walk)
        finished = list(walk.finished)
        walk.finished.clear()
        for done in finished:
            self._rows[done.level] += done.row_count
        level = self._mirrored
        return finished + ([done.mirror(level) for done in finished] if level else [])

    def _end(self, task: Task) -> None:
        """What comes after a task: the next stage of its level once no other is open."""
        del self._steps[task]
        level = task.query.level
        if isinstance(task, Walk):
            self._is_moving |= task.is_moving
            if task.has_stirred or task.is_moving:
                self._stirred.add(level)
            if task.has_all_untimed:
                self._without_untimed.add(level)
            for half in task.halves:
                self._add(half)
        self._open_levels[level] -= 1
        if self._open_levels[level] > 0:
            return
        if isinstance(task, Trial):
            self._end_trial(task, level)
        elif isinstance(task, Walk):
            self._end_walks(level)
        elif isinstance(task, Witness):
            self._compare(task, level)

    def _end_trial(self, trial: Trial, level: Level) -> None:
        self._proven[level] = trial.backup_id
        if trial.failure is not None:
            self._failures[level] = trial.failure
        if level not in self._trials or self._trials[level] is not trial:  # a late one
            self._close(level)
        elif not any(self._open_levels.values()):
            self._judge_levels()
            for one in self._trials:
                if one != self._mirrored:
                    self._read(one)

    def _judge_levels(self) -> None:
        """Whether the service tells the levels apart; if it lists the same at both, one is read."""
        pages = [trial.page for trial in self._trials.values() if trial.page is not None]
        ids = [page.ids for page in pages]
        ids += [trial.other_ids for trial in self._trials.values() if trial.other_ids]
        self._is_level_ignored = len(ids) > 1 and not set(ids[0]).isdisjoint(ids[1])
        if self._is_level_ignored and len(pages) > 1 and not self._failures:
            first, second = pages
            if (first.ids, first.total_count) == (second.ids, second.total_count):
                self._mirrored = "DatabaseTable"

    def _end_walks(self, level: Level) -> None:
        if self._is_proving and level in self._window.strayed | self._window.torn:
            why = STRAYED if level in self._window.strayed else "some show in no window"
            self._failures[level] = f"{level}: begin_time and end_time do not bound the rows: {why}"
        elif self._is_proving and self._proven[level] is None and self._late_rows.get(level):
            query = replace(self._query, level=level)
            self._add(Trial(query, self._window, rows=self._late_rows[level]))
            return
        self._close(level)

    def _close(self, level: Level) -> None:
        """The last stage of a level that was walked."""
        if level in self._failures:
            self._read_by_offset(level)
        elif self._is_full and level not in self._without_untimed:
            self._add(
                Witness(
                    replace(self._query, level=level),
                    lambda: self._is_moving,
                    lambda: self._rows[level],
                    is_capped=self._window.silent_s is not None,
                )
            )

    def _compare(self, witness: Witness, level: Level) -> None:
        """Hold the rows found against the service's own count, where two counts agree.

        More than counted is no loss: some were deleted, others came. That the service counts more
        with times than without, the witness has told.
        """
        trial = self._trials.get(level)
        before = trial.page.total_count if trial is not None and trial.page is not None else 0
        found = self._rows[level] + sum(done.row_count for done in witness.finished)
        self._stirred |= {level} if any(done.reasons for done in witness.finished) else set()
        if level not in self._stirred and before == witness.total and found < before:
            self._failures[level] = (
                f"{level}: the service counts {before} rows and {found} were found: the others show "
                "in no window of time"
            )
            self._read_by_offset(level)

    def _split_largest(self) -> None:
        """Give an idle worker the older half of the range with the most rows left."""
        walks = [walk for walk in self._in_flight if isinstance(walk, Walk) and walk.is_started]
        for walk in sorted(walks, key=lambda walk: walk.remaining, reverse=True):
            width_s = walk.end_s - walk.begin_s
            is_wide = self._window.max_s is not None and width_s > 2 * self._window.max_s
            if walk.remaining < MIN_SPLIT_PAGES * self._query.limit and not is_wide:
                return
            if walk.claim_s is None and self._window.max_s is not None:
                continue  # it will know better when its answer is in
            density = 0.0 if is_wide else walk.rows_per_s
            cut = cut_second(walk.begin_s, walk.end_s, density, walk.remaining, self._align_s)
            if cut is not None:
                older = walk.split(cut)
                self._add(older)
                self._advance(self._waiting.pop(), None)
                return
