"""The seek walk: reads one span of one level, newest first, without ever being able to skip a row.

In: a span of whole seconds. Out, step by step: queries to ask; given their pages, finished ranges.
No I/O and no threads here: a walk is a generator of queries, so that a simulation can drive the very
same code against a mutating server.

Why it cannot skip: an answer is one atomic look at the newest ``limit`` rows of a window. All seconds
newer than its last row's second are complete in it; the next window ends with that second, asked
again. So every second of the span is taken whole from exactly one answer, and nothing that happens
between two answers can hide a row that was there all along. An answer that contradicts itself, or
the one before, is asked again; if it stays so, the span is cut, and at last read without a proof and
marked uncertified.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Final

from ...api.answers import Page
from ...api.query import BackupQuery
from ...errors import RejectedError
from ..checks import STRAYED, BreachError, find_breach, holds_all
from ..finished import FinishedRange, OpenRange, Window
from ..plan import DAY_S, look_at, to_moment
from .dense import read_dense
from .list_ends import find_list_ends

MAX_ASKS: Final = 4
"""Times one look is asked before its breach counts as the server's way."""
RANGE_PAGES: Final = 40
"""Pages after which a range is closed and handed out: the unit of memory and resumption."""
SURPRISE_ASKS: Final = 8
KEPT_CHANGING: Final = "answers to the same question kept changing"

Steps = Generator[BackupQuery, Page, None]


@dataclass(slots=True, eq=False)
class Walk:
    """One walk down a span of one level.

    Attributes:
        query: level and filters.
        begin_s: first second still to read; a split moves it up.
        end_s: end of what is still to read; the walk moves it down.
        window: widths the service accepts, shared.
        is_open: the span is all there is: the first look is asked without times, and if it holds
            everything, it also proves that there is nothing without begin time.
        is_witnessed: a closing witness tells if rows lie beyond what the walk looks at.
        is_likely_empty: no rows would be no surprise, as in the last hour of a quiet project.
        splits: breaches that may still be answered by a cut, shared.
        first_page: the open look's answer, if it was asked before.
        has_stirred: a count was not the one before less what was taken: rows came or went.
        claim_s: the begin of what this walk answers for; before ``begin_s`` if nothing is older.
    """

    query: BackupQuery
    begin_s: int
    end_s: int
    window: Window
    is_open: bool = False
    is_witnessed: bool = False
    is_likely_empty: bool = False
    splits: list[int] = field(default_factory=lambda: [0])
    first_page: Page | None = None
    claim_s: int | None = None
    remaining: int = 0
    rows_per_s: float = 0.0
    is_started: bool = False
    is_moving: bool = False
    has_stirred: bool = False
    has_all_untimed: bool = False
    finished: list[FinishedRange] = field(default_factory=list)
    halves: list[Walk] = field(default_factory=list)
    _range: OpenRange = field(init=False)
    _at_least: tuple[int | None, int, int] = (None, 0, 0)
    _before: Page | None = None
    _before_end_s: int = 0
    _has_end_rows: bool = False

    def __post_init__(self) -> None:
        self._range = OpenRange(self.query.level, self.end_s)

    @property
    def unclosed_rows(self) -> int:
        """Rows taken since the last range was handed out."""
        return self._range.row_count

    def steps(self) -> Steps:
        """Yield queries, take pages, until the span is read; finished ranges pile up."""
        if self.is_open:
            yield from self._open_look()
        while self.begin_s < self.end_s:
            if self.window.max_s is not None and self.claim_s is None:
                yield from self._shorten()
                continue
            floor_s = self._floor_s()
            try:
                page = yield from self._look(floor_s)
            except RejectedError as error:
                yield from self._narrow(error, self.end_s - floor_s)
                continue
            except BreachError as breach:
                if self._can_halve():
                    return
                self._take_unproven(breach, floor_s)
                continue
            if self._take(page, floor_s):
                continue
            if any(second is not None for second in page.begin_s):
                yield from self._dense()
            else:
                self._range.reasons.append(
                    f"{self._span_text()}: only rows without begin time came"
                )
                self.end_s = floor_s
        self._close(self.begin_s if self.claim_s is None else self.claim_s)

    def split(self, cut_s: int) -> Walk:
        """Give the part below ``cut_s`` to a new walk; called between this walk's steps."""
        older = Walk(self.query, self.begin_s, cut_s, self.window, splits=self.splits)
        older.is_witnessed = self.is_witnessed
        older.remaining = self.remaining // 2
        older.rows_per_s = self.rows_per_s
        older.is_likely_empty = self.window.max_s is not None
        older.claim_s = self.claim_s
        self.begin_s = cut_s
        self.claim_s = None if self.claim_s is None else cut_s
        self.remaining -= older.remaining
        return older

    def _floor_s(self) -> int:
        if self.window.max_s is None:
            return self.begin_s
        return max(self.begin_s, self.end_s - self.window.max_s)

    def _shorten(self) -> Steps:
        """Not window after window over centuries, where the list is known to lie within less.

        Of a full read, the closing witness tells if rows lie beyond.
        """
        self.claim_s = self.begin_s
        ends = yield from find_list_ends(
            self.query, self.window, self.begin_s, self.end_s, is_open=self.is_open
        )
        self._range.request_count += ends.request_count
        if ends.is_hidden and not self.is_witnessed:
            self._range.reasons.append(
                f"{self._span_text()}: the service refuses wide windows, and its list does not "
                "show where it ends"
            )
        self.begin_s = max(self.begin_s, min(ends.oldest_s, self.end_s))
        ahead_s = max(ends.newest_s, self.window.now_s) + 2 * DAY_S
        self.end_s = max(min(self.end_s, ahead_s), self.begin_s)
        self.is_open, self.is_likely_empty = False, True

    def _open_look(self) -> Steps:
        """The first look without times: it may hold all there is, or the newest rows."""
        try:
            page = self.first_page or (yield from self._checked(self.query, 0))
        except BreachError:
            return  # the windows below will tell more
        if holds_all(page):
            self._range.take(page, range(len(page.ids)))
            self.has_all_untimed = True
            self.end_s = self.begin_s
            return
        seconds = [s for s in page.begin_s if s is not None]
        if seconds and self.begin_s <= min(seconds) and max(seconds) < self.end_s:
            self._take(page, self.begin_s)

    def _look(self, floor_s: int) -> Generator[BackupQuery, Page, Page]:
        """One look at the newest rows of ``[floor_s, end_s)``, checked and, if odd, confirmed."""
        expected_floor_s, count, ties = self._at_least
        query = look_at(self.query, floor_s, self.end_s)
        if expected_floor_s != floor_s:
            return (yield from self._checked(query, 0))
        was_moving, page = self.is_moving, (yield from self._checked(query, count))
        if page.total_count < count:
            is_torn, page = yield from self._doubt(page)
            self.is_moving = was_moving if is_torn else self.is_moving
        elif page.total_count > count + ties:
            self.has_stirred = True
            yield from self._look_back(page, count + ties)
        return page

    def _doubt(self, page: Page) -> Generator[BackupQuery, Page, tuple[bool, Page]]:
        """Fewer rows than the look before had left: did some go, or does this window not show them?

        If both looks still say what they said, windows that touch do not hold what one over both
        does. Returns whether that is so, and the fuller answer: one may come of a replica.
        """
        before = self._before
        if before is None:
            return False, page
        same = []
        for one in (before, page):
            again = yield one.query
            self._range.request_count += 1
            same.append((again.ids, again.total_count) == (one.ids, one.total_count))
        if all(same):
            # without times, rows without begin time count, too: the closing witness tells
            self.window.torn |= {self.query.level} if before.query.begin is not None else set()
            return True, page
        self.has_stirred = True
        is_fuller = again.total_count > page.total_count and find_breach(again) is None
        return False, again if is_fuller else page

    def _look_back(self, page: Page, most: int) -> Steps:
        """More rows than the look before had left: some came late, or a replica lacks some.

        What that look left out is taken from the same look, asked again. If it still knows of no
        more rows, nor now this one, the two were answered from different lists.
        """
        before, low_s, end_s = self._before, self.end_s, self._before_end_s
        if before is None or low_s == self._range.end_s:  # the range is handed out
            return
        again = yield before.query
        self._range.request_count += 1
        if find_breach(again) is None:
            known, rows = set(before.ids), enumerate(again.begin_s)
            taken = [i for i, s in rows if s is not None and low_s <= s < end_s]
            self._range.take(again, [i for i in taken if again.ids[i] not in known])
        if again.total_count <= before.total_count:
            self._range.request_count += 1
            if (yield page.query).total_count <= most:
                self._range.reasons.append(f"{self._span_text()}: {KEPT_CHANGING}")

    def _checked(self, query: BackupQuery, at_least: int) -> Generator[BackupQuery, Page, Page]:
        """Ask until an answer contradicts neither itself nor what was known.

        Less than the answer before had left (a deletion, or a stale or empty answer) must be said
        twice; nothing at all three times, but twice in a span that may well be empty.
        """
        alike: list[Page] = []
        breaches = 0
        for _ in range(MAX_ASKS + SURPRISE_ASKS):
            page = yield query
            self._range.request_count += 1
            reason = find_breach(page)
            if reason is not None:
                breaches += 1
                self._range.repeat_count += 1
                if breaches == MAX_ASKS:
                    raise BreachError(reason, page)
                if 0 < len(page.ids) < min(query.limit, page.total_count):
                    query = replace(query, limit=len(page.ids))  # it may cap pages silently
                continue
            if page.total_count >= max(at_least, 1) or not holds_all(page):
                return page
            if alike and (alike[0].total_count, alike[0].ids) != (page.total_count, page.ids):
                alike.clear()
            alike.append(page)
            self.is_moving |= at_least > 0
            if len(alike) >= (3 if page.total_count == 0 and not self.is_likely_empty else 2):
                return page
            self._range.repeat_count += 1
        raise BreachError(KEPT_CHANGING, page)

    def _take(self, page: Page, floor_s: int) -> bool:
        """Take the seconds that are complete in a page; False if there is none (a dense second)."""
        self.is_started = True
        limit = page.query.limit
        seconds = page.begin_s
        done_s = floor_s
        if not holds_all(page):
            last_s = min((s for s in seconds if s is not None), default=self.end_s)
            done_s = max(last_s + 1, floor_s)
        if done_s >= self.end_s:
            return False
        # a split may have moved begin_s up while this page was on its way
        low_s = max(done_s, self.begin_s)
        kept = [i for i, s in enumerate(seconds) if s is None or low_s <= s < self.end_s]
        self._range.take(page, kept)
        self.rows_per_s = limit / (self.end_s - done_s)
        self.window.vote(is_shown=self.end_s in seconds, is_expected=self._has_end_rows)
        self._has_end_rows = done_s in seconds
        self._expect(page, floor_s, done_s)
        self.end_s = low_s
        if self._range.row_count >= RANGE_PAGES * self.query.limit:
            self._close(low_s)
        return True

    def _expect(self, page: Page, floor_s: int, done_s: int) -> None:
        """What a still list must at least answer to the next look (a row at done_s may drop)."""
        newer = sum(s is None or s >= done_s for s in page.begin_s)
        ties = page.begin_s.count(done_s)
        self._at_least = (floor_s, max(page.total_count - newer, 0), ties)
        self._before, self._before_end_s = page, self.end_s
        left = self._at_least[1]
        self.remaining = left if self.begin_s == floor_s else left // 2

    def _dense(self) -> Steps:
        """More than a page in one second: read it by filters, and go on below it."""
        floor_s = max(self.begin_s, self.end_s - 2)
        found = yield from read_dense(self.query, floor_s, self.end_s)
        self._range.request_count += found.request_count
        for page, rows in found.pieces:
            self._range.take(page, rows)
        if found.reason:
            self._range.reasons.append(f"{self._span_text(floor_s)}: {found.reason}")
        self.end_s = floor_s
        self._at_least = (None, 0, 0)
        self._has_end_rows = False

    def _narrow(self, error: RejectedError, refused_s: int) -> Steps:
        """A refused window: if the same question without times is accepted, ask narrower ones."""
        if refused_s <= 2:
            raise error
        if self.window.max_s is None:
            # raises the refusal itself if times are not at fault
            yield replace(self.query, limit=1)
            self._range.request_count += 1
        self.window.narrow(refused_s)

    def _take_unproven(self, breach: BreachError, floor_s: int) -> None:
        """Take what came of an answer that contradicts itself for good, and say so."""
        if breach.reason == STRAYED:
            self.window.strayed.add(self.query.level)
        self._range.reasons.append(f"{self._span_text()}: {breach.reason}")
        if not self._take(breach.page, floor_s):
            self.end_s = floor_s  # nothing to go on with: the rest stays unproven

    def _can_halve(self) -> bool:
        """Answer a lasting breach by two smaller spans, as long as there are cuts to spend."""
        if self.splits[0] <= 0 or self.end_s - self.begin_s < 4:
            return False
        self.splits[0] -= 1
        self._close(self.end_s)
        middle_s = (self.begin_s + self.end_s) // 2
        for low_s, high_s in ((middle_s, self.end_s), (self.begin_s, middle_s)):
            half = Walk(self.query, low_s, high_s, self.window, splits=self.splits)
            half.is_witnessed = self.is_witnessed
            self.halves.append(half)
        if self.claim_s is not None:
            self.halves[0].claim_s, self.halves[1].claim_s = middle_s, self.claim_s
        return True

    def _close(self, begin_s: int) -> None:
        """Hand out what was read since the last close, as one finished range."""
        if begin_s != self._range.end_s or self._range.pieces:
            self.finished.append(self._range.close(begin_s))
            self._range = OpenRange(self.query.level, begin_s)

    def _span_text(self, begin_s: int | None = None) -> str:
        begin = to_moment(self.begin_s if begin_s is None else begin_s)
        return f"{self.query.level} {begin:%FT%TZ} to {to_moment(self.end_s):%FT%TZ}"
