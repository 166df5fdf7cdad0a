"""Before and after a level is read: are the assumptions of `assumptions` true of it?

In: one level's query. Out: what was proven, or what failed. No I/O, as in `walk`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from ...api.answers import Page
from ...api.query import FILTERS, LEVELS, BackupQuery, Level
from ...errors import QueryError, RejectedError
from ..assumptions import (
    ASKS,
    UNCLEAR,
    TimedRow,
    ask_sound,
    drive,
    filter_value,
    find_begun,
    find_qualifying,
    prove_cut,
    prove_row,
    read_rows,
)
from ..checks import find_breach
from ..finished import FinishedRange, Window
from ..plan import CEILING_S, FLOOR_S, SERVICE_START_S, ask_window, to_moment

ROWS: Final = 3
"""Backups that are tried to prove the time filter: one alone may have been deleted."""

Steps = Generator[BackupQuery, Page, None]


class Trial:
    """Asks one level for its newest rows, and proves the assumptions with them.

    Args:
        query: level and filters.
        window: widths the service accepts; a silent limit is noted there.
        rows: backups that can prove the time filter, found while reading; None: before the read.
        with_other_level: compare with the other level's newest rows, too.

    Attributes:
        page: the level's newest rows; None if there are none, or they contradict themselves.
        backup_id: the backup that proved the time filter; None if none qualifies.
        failure: what failed; None if nothing did.
        is_filter_failed: what failed is a filter, not the windows of time.
        other_ids: the newest backups of the other level, if they were asked.
    """

    def __init__(
        self,
        query: BackupQuery,
        window: Window,
        *,
        rows: list[TimedRow] | None = None,
        with_other_level: bool = False,
    ) -> None:
        self.query = query
        self.page: Page | None = None
        self.backup_id: str | None = None
        self.failure: str | None = None
        self.is_filter_failed = False
        self.other_ids: tuple[str, ...] = ()
        self.finished: list[FinishedRange] = []
        self._window = window
        self._rows = rows
        self._with_other_level = with_other_level

    def steps(self) -> Steps:
        """Yield queries, take pages, until it is known what holds."""
        if self._rows is not None:
            yield from self._prove_rows(self._rows)
            return
        page = yield from ask_sound(self.query)
        if self._with_other_level:
            (other,) = set(LEVELS) - {self.query.level}
            other_page = yield from ask_sound(replace(self.query, level=other))
            self.other_ids = other_page.ids
        if find_breach(page) is not None:
            return
        if self._with_other_level and self.query.level == "DatabaseTable":
            self._find_mislaid(page, other_page)
        self.page = page if page.total_count else None  # that there is none, the walk makes sure of
        newest_s = max((s for s in page.begin_s if s is not None), default=0)
        self._window.newest_s[self.query.level] = newest_s
        if self.query.filters():
            yield from self._doubt_filters(page)
        if page.total_count == 0 or self.failure is not None:
            return
        rows = find_qualifying(page) or find_begun(page)
        if rows and not (yield from self._prove_at_once(page, rows[0])):
            yield from self._prove_rows(rows)
            if self.backup_id is not None and self._window.max_s is None:
                row = next(row for row in rows if row.backup_id == self.backup_id)
                yield from self._narrow(row)

    def _find_mislaid(self, page: Page, other: Page) -> None:
        """Does the list of instance-level backups hold table-level ones that this one lacks?"""
        oldest_s = min((s for s in page.begin_s if s is not None), default=FLOOR_S)
        since_s = FLOOR_S if page.total_count == len(page.ids) else oldest_s + 1
        for row, backup_id, begin_s in zip(read_rows(other), other.ids, other.begin_s, strict=True):
            is_due = begin_s is not None and begin_s >= since_s
            if row.get("database_tables") and is_due and backup_id not in page.ids:
                self.failure = (
                    f"{self.query.level}: type does not select table-level backups: {backup_id} has "
                    "database_tables and is listed as Instance only. Read both levels"
                )
                return

    def _prove_at_once(self, page: Page, row: TimedRow) -> Generator[BackupQuery, Page, bool]:
        """Prove time filter and width by the two widest windows; False if they do not hold it."""
        try:
            count = yield from prove_cut(self.query, row)
        except RejectedError:  # wide windows are refused: narrow ones will tell
            yield from self._note_oldest()
            return False
        if count is None:
            return False
        self.backup_id = row.backup_id if row.is_long else None
        if count > page.total_count:  # some came, or that answer lacked them: the walk goes by this
            again = yield from ask_sound(self.query)
            self.page = again if find_breach(again) is None and again.total_count else None
        if count < page.total_count:
            hidden = yield from self._find_hidden(count)
            if hidden is not None:
                yield from self._narrow(hidden)
                if self._window.max_s is None and self.failure is None:
                    yield from self._count_hidden(row)
        return True

    def _count_hidden(self, row: TimedRow) -> Steps:
        """Do the widest windows lack rows that are none of the oldest? Counted until it stands still."""
        seen: list[tuple[int, int, str]] = []
        for _ in range(ASKS):
            total = (yield from ask_sound(replace(self.query, limit=1))).total_count
            count = yield from prove_cut(self.query, row)
            if count is None or count >= total:
                return  # some went or came meanwhile
            hidden = yield from self._find_hidden(count)
            if hidden is None:
                return  # one came between the first count and the look at what lies beyond it
            found = total, count, hidden.backup_id
            if found in seen:
                self.failure = (
                    f"{self.query.level}: the service counts {total} rows and its windows of time "
                    f"{count}, though they reach beyond the oldest: the others show in none"
                )
                return
            seen.append(found)

    def _prove_rows(self, rows: list[TimedRow]) -> Steps:
        """Prove the time filter by the first of these backups for which it holds.

        One that does not show in its own second speaks against it if it is still listed, even where
        another does show.
        """
        seen: list[str] = []
        for row in rows[:ROWS]:
            try:
                fault = yield from prove_row(self.query, row)
            except RejectedError:
                return
            if fault is None:
                self.backup_id = row.backup_id if row.is_long else None
                break
            if fault != UNCLEAR and (yield from self._is_listed(row)):
                seen.append(fault)
        if seen:
            self.failure = (
                f"{self.query.level}: begin_time and end_time do not select on when backups "
                f"began: {seen[0]}"
            )

    def _is_listed(self, row: TimedRow) -> Generator[BackupQuery, Page, bool]:
        try:
            page = yield from ask_sound(replace(self.query, backup_id=row.backup_id))
        except RejectedError:  # as some siblings answer for a backup that is gone
            return False
        return row.backup_id in page.ids

    def _find_hidden(self, count: int) -> Generator[BackupQuery, Page, TimedRow | None]:
        """A row with a begin time beyond the `count` rows that windows show; None if there is none."""
        try:
            page = yield replace(self.query, offset=count, limit=1)
        except RejectedError:  # an offset too deep for this service: the closing witness will tell
            return None
        begin_s = page.begin_s[0] if page.ids else None
        if begin_s is None or not FLOOR_S <= begin_s < CEILING_S:
            return None  # what windows cannot show
        return TimedRow(page.ids[0], begin_s, begin_s)

    def _narrow(self, row: TimedRow) -> Steps:
        """Find the widest window that shows this row at its far end, whichever end that is."""
        if self._window.max_s is not None:
            return
        width_s = CEILING_S - FLOOR_S
        while width_s > 2 and not (yield from self._is_shown(row, width_s)):
            width_s = min(width_s, 2 * (self._window.now_s - SERVICE_START_S)) // 2
        if width_s > 2 and width_s < CEILING_S - FLOOR_S:
            self._window.max_s = self._window.silent_s = width_s - 2
            yield from self._note_oldest()
        elif width_s <= 2 and (yield from self._is_listed(row)):
            self.failure = (
                f"{self.query.level}: a backup that began at {to_moment(row.begin_s):%FT%TZ} is one "
                "of the rows that show in no window of time"
            )

    def _is_shown(self, row: TimedRow, width_s: int) -> Generator[BackupQuery, Page, bool]:
        begin_s, end_s = row.begin_s - 1, row.begin_s + 1
        upper = ask_window(self.query, begin_s, begin_s + width_s)
        lower = ask_window(self.query, end_s - width_s, end_s)
        try:
            oldest = yield from self._ask_oldest(upper)
            if row.backup_id not in oldest.ids:
                return False
            page = yield from ask_sound(lower)
        except RejectedError:
            return False
        return row.backup_id in page.ids

    def _ask_oldest(self, query: BackupQuery) -> Generator[BackupQuery, Page, Page]:
        return (yield from self._go_to_end((yield from ask_sound(query))))

    def _go_to_end(self, page: Page) -> Generator[BackupQuery, Page, Page]:
        """The last rows of a list; asked again where they moved on meanwhile."""
        for _ in range(ASKS):
            if page.query.offset + len(page.ids) >= page.total_count:
                break
            offset = page.total_count - len(page.ids)
            page = yield from ask_sound(replace(page.query, offset=offset))
        return page

    def _note_oldest(self) -> Steps:
        """Learn where the list begins: narrow windows need not be asked before that."""
        try:
            page = yield from self._ask_oldest(self.query)
        except RejectedError:  # an offset too deep for this service
            return
        is_last = page.ids and page.query.offset + len(page.ids) == page.total_count
        if is_last and page.begin_s[-1] is not None:
            self._window.oldest_s[self.query.level] = page.begin_s[-1]

    def _doubt_filters(self, page: Page) -> Steps:
        """Hold the answer against the list without filters, at its newest and at its oldest rows."""
        plain = replace(self.query, **dict.fromkeys(FILTERS))  # type: ignore[arg-type]  # names of filters
        listed = yield from ask_sound(plain)
        yield from self._find_missing(listed, page)
        if self.failure is None and len(listed.ids) < listed.total_count:
            with suppress(RejectedError):  # an offset too deep for this service
                oldest = yield from self._go_to_end(listed)
                yield from self._find_missing(oldest, page)

    def _find_missing(self, listed: Page, page: Page) -> Steps:
        """Of listed rows, does the answer hold those that match? If none does, ask for one's values."""
        asked = self.query
        if not any(matches(row, asked.filters()) for row in read_rows(listed)):
            try:
                asked = stand_in(asked, listed)
                page = yield from ask_sound(asked)
            except (QueryError, RejectedError):  # no value is shown that may be asked for
                return
        if listed.query.offset:
            page = yield from self._go_to_end(page)
        hidden = find_hidden(listed, page, asked.filters())
        if hidden:  # by accident, if it came or went just now
            again = yield from ask_sound(page.query)
            listed = yield from ask_sound(listed.query)
            hidden &= find_hidden(listed, again, asked.filters())
        if hidden:
            self.is_filter_failed = True
            self.failure = (
                f"{self.query.level}: {asked.filters()} does not find backup {min(hidden)}, "
                "which matches: the list without filters holds it"
            )


def is_as_assumed(
    query: BackupQuery, levels: Sequence[Level], now_s: int, fetch: Callable[[BackupQuery], Page]
) -> bool:
    """Whether nothing speaks against reading spans of time apart, level by level.

    Costs three requests per level, one more if only one is asked, one to five with filters, and more
    where something fails.
    """
    seen: list[tuple[str, ...]] = []
    for level in levels:
        window = Window(now_s)
        trial = Trial(replace(query, level=level), window, with_other_level=len(levels) == 1)
        drive(trial.steps(), fetch)
        if trial.failure is not None or window.silent_s is not None:
            return False
        seen += [trial.page.ids if trial.page else (), trial.other_ids]
    ids = [one for page in seen for one in page]
    return len(ids) == len(set(ids))


def stand_in(query: BackupQuery, listed: Page) -> BackupQuery:
    """The query with other values for its filters: those that the outmost row with all of them shows.

    Raises:
        QueryError: no row has all of them, or no query takes these values.
    """
    rows = read_rows(listed)
    for row in rows[::-1] if listed.query.offset else rows:
        shown = {name: filter_value(row, name) for name in query.filters()}
        if all(isinstance(value, str) and value for value in shown.values()):
            if isinstance(engine := shown.get("datastore_type"), str):
                # it is shown in either case, and asked for in lower case
                shown["datastore_type"] = engine.casefold()
            return replace(query, **shown)  # type: ignore[arg-type]  # each is a text
    raise QueryError("No row shows all that is filtered by.")


def find_hidden(listed: Page, page: Page, filters: dict[str, str]) -> set[str]:
    """Of the listed rows the ids of those that match, and that the page for these filters lacks.

    Where the page is not the whole answer, what began in its outmost second may lie beyond it.
    """
    seconds = [s for s in page.begin_s if s is not None]
    is_last = page.query.offset + len(page.ids) >= page.total_count
    after_s = FLOOR_S - 1 if is_last else min(seconds, default=FLOOR_S)
    before_s = max(seconds, default=CEILING_S) if page.query.offset else CEILING_S
    is_whole = page.total_count == len(page.ids)
    return {
        backup_id
        for row, backup_id, s in zip(read_rows(listed), listed.ids, listed.begin_s, strict=True)
        if (is_whole or (s is not None and after_s < s < before_s)) and matches(row, filters)
    } - set(page.ids)


def matches(row: dict[str, Any], filters: dict[str, str]) -> bool:
    """Whether a row, as sent, has the very values that a query's filters name."""
    for name, wanted in filters.items():
        value = filter_value(row, name)
        if name == "datastore_type" and isinstance(value, str):  # named in either case
            value, wanted = value.casefold(), wanted.casefold()  # noqa: PLW2901 - as it is compared
        if value != wanted:
            return False
    return True
