"""The closing witness: are there rows that no window of time can show?

In: one level of a full read. Out: the rows without begin time, and
whether it is proven that these are all. Asked: the count without times, between two counts with all
times; equal means there is no other row. A list that moves must show it several times in a row, since
one row that went and one that came could cancel each other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Final

from ...api.answers import Page
from ...api.query import BackupQuery
from ...errors import RejectedError
from ..finished import FinishedRange, Piece, pick_unseen
from ..plan import CEILING_S, FLOOR_S, look_at

STILL_COUNTS: Final = 3
MOVING_COUNTS: Final = 7
MAX_COUNTS: Final = 24


class Witness:
    """Counts with and without times, and fetches what only the latter count.

    Args:
        query: level and filters.
        is_moving: tells whether the list was seen to change during the read.
        walked_rows: tells how many rows the walks of this level found, for a service that refuses
            to count all times at once.
        is_capped: the service counts wide windows, but not all of their rows.

    Attributes:
        total: rows that the count without times found; None if the counts never agreed.
    """

    def __init__(
        self,
        query: BackupQuery,
        is_moving: Callable[[], bool],
        walked_rows: Callable[[], int],
        *,
        is_capped: bool = False,
    ) -> None:
        self.query = query
        self.finished: list[FinishedRange] = []
        self._is_moving = is_moving
        self._walked_rows = walked_rows
        self.total: int | None = None
        self._is_capped = is_capped
        self._requests = 0

    def steps(self) -> Generator[BackupQuery, Page, None]:
        """Yield queries, take pages; one finished range without times at the end."""
        missing = yield from self._difference()
        pieces: list[Piece] = []
        rows = 0
        reasons: list[str] = []
        level = self.query.level
        if missing is None:
            reasons.append(
                f"{level}: the list changed too fast to rule out rows without begin time"
            )
        elif missing < 0:
            reasons.append(f"{level}: the service counts more rows with times than without")
        elif missing > 0:
            pieces, rows = yield from self._fetch(missing)
            if rows != missing:
                reasons.append(
                    f"{level}: {missing} rows show in no window of time, but {rows} were found"
                )
        self.finished.append(
            FinishedRange(
                level, None, None, tuple(pieces), rows, self._requests, 0, 0, tuple(reasons)
            )
        )

    def _difference(self) -> Generator[BackupQuery, Page, int | None]:
        """Rows that only the count without times has; None if the counts never agree."""
        counts: tuple[list[int], list[int]] = ([], [])  # with times, without
        for turn in range(MAX_COUNTS):
            kind = turn % 2
            count = (yield from self._count()) if kind else (yield from self._timed_count())
            counts[kind].append(count)
            has_moved = any(len(set(kinds)) > 1 for kinds in counts)
            needed = MOVING_COUNTS if has_moved or self._is_moving() else STILL_COUNTS
            tails = [set(kinds[-(needed // 2) - (needed % 2) :]) for kinds in counts]
            if turn + 1 >= needed and all(len(tail) == 1 for tail in tails):
                self.total = counts[1][-1]
                return self.total - counts[0][-1]
        return None

    def _count(self) -> Generator[BackupQuery, Page, int]:
        page = yield replace(self.query, limit=1)
        self._requests += 1
        return page.total_count

    def _timed_count(self) -> Generator[BackupQuery, Page, int]:
        if self._is_capped:
            return self._walked_rows()
        try:
            page = yield replace(look_at(self.query, FLOOR_S, CEILING_S), limit=1)
        except RejectedError:
            return self._walked_rows()  # the service refuses so wide a window
        self._requests += 1
        return page.total_count

    def _fetch(self, missing: int) -> Generator[BackupQuery, Page, tuple[list[Piece], int]]:
        """The rows without a time to ask for: they lie at an end of the list, or anywhere."""
        total = yield from self._count()
        seen: set[str] = set()
        pieces: list[Piece] = []
        step = self.query.limit - 1  # each page begins with the last row of the one before
        ends = [0, max(total - self.query.limit, 0)]
        for offset in [*ends, *range(step, total, step)]:
            try:
                page = yield replace(self.query, offset=offset)
            except RejectedError:  # an offset too deep for this service
                if offset in ends:
                    continue
                break
            self._requests += 1
            if rows := pick_unseen(page, seen, None):
                pieces.append(Piece(page.body, rows))
            if len(seen) >= missing:
                break
        return pieces, len(seen)
