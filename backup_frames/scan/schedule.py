"""Which question is asked next: walks side by side, split where the rows are.

In: a query, levels, spans. Out: `Ask` after `Ask` for any number of workers; finished ranges as
pages come back. No I/O and no threads: workers call `take` and `give` under one lock, and so does the
simulation, which answers in any order it likes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..api.answers import Page
from ..api.query import BackupQuery, Level
from ..errors import RejectedError
from .plan import cut_second
from .walk import FinishedRange, Walk, Window
from .witness import Witness

MIN_SPLIT_PAGES: Final = 10
"""Pages a range must still hold to be worth splitting: each cut costs about half a page."""
BREACH_SPLITS: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One question to put to the service, and the walk that waits for its answer."""

    query: BackupQuery
    walk: Walk | Witness


class Schedule:
    """Hands out questions and takes answers until every span is read.

    Args:
        query: filters; its level and times are replaced.
        levels: which levels to read.
        spans: disjoint spans ``[begin_s, end_s)``.
        now_s: when the read began.
        is_full: the one span is all there is: rows without begin time are looked for as well.
        align_s: prefer cuts at multiples of this many seconds.
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
    ) -> None:
        self._align_s = align_s
        self._window = Window(now_s)
        self._steps: dict[Walk | Witness, Generator[BackupQuery, Page, None]] = {}
        self._ready: deque[Ask] = deque()
        self._waiting: deque[Walk | Witness] = deque()
        self._in_flight: set[Walk | Witness] = set()
        self._has_answer = False
        self._is_moving = False
        self._rows: dict[str, int] = dict.fromkeys(levels, 0)
        self._open_levels: dict[str, int] = dict.fromkeys(levels, 0)
        self._without_untimed: set[str] = set()
        self._is_full = is_full
        self._query = query
        splits = [BREACH_SPLITS]
        # table-level backups are few: read first, they wait for the others, not the reverse
        for level in sorted(levels):
            for begin_s, end_s in spans:
                asked = replace(query, level=level)
                walk = Walk(asked, begin_s, end_s, self._window, is_open=is_full, splits=splits)
                walk.is_likely_empty, walk.is_witnessed = not is_full, is_full
                self._add(walk)

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
        return self._advance(ask.walk, page)

    def _add(self, walk: Walk | Witness) -> None:
        self._steps[walk] = walk.steps()
        self._waiting.append(walk)
        self._open_levels[walk.query.level] += 1

    def _advance(
        self, walk: Walk | Witness, page: Page | RejectedError | None
    ) -> list[FinishedRange]:
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
        return finished

    def _end(self, walk: Walk | Witness) -> None:
        del self._steps[walk]
        level = walk.query.level
        if isinstance(walk, Walk):
            self._is_moving |= walk.is_moving
            if walk.has_all_untimed:
                self._without_untimed.add(level)
            for half in walk.halves:
                self._add(half)
        self._open_levels[level] -= 1
        if (
            self._is_full
            and self._open_levels[level] == 0
            and isinstance(walk, Walk)
            and level not in self._without_untimed
        ):
            self._add(
                Witness(
                    replace(self._query, level=level),
                    lambda: self._is_moving,
                    lambda: self._rows[level],
                )
            )

    def _split_largest(self) -> None:
        """Give an idle worker the older half of the range with the most rows left."""
        walks = [walk for walk in self._in_flight if isinstance(walk, Walk) and walk.is_started]
        for walk in sorted(walks, key=lambda walk: walk.remaining, reverse=True):
            width_s = walk.end_s - walk.begin_s
            is_wide = self._window.max_s is not None and width_s > 2 * self._window.max_s
            if walk.remaining < MIN_SPLIT_PAGES * self._query.limit and not is_wide:
                return
            density = 0.0 if is_wide else walk.rows_per_s
            cut = cut_second(walk.begin_s, walk.end_s, density, walk.remaining, self._align_s)
            if cut is not None:
                older = walk.split(cut)
                self._add(older)
                self._advance(self._waiting.pop(), None)
                return
