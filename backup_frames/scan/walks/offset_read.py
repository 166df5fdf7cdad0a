"""A level read by offset, where windows of time or filters cannot be trusted: all rows, no proof.

In: one level's query without times. Out: its rows, once two passes in a row agreed on them, in
ranges that say why they are not certified. Costs at least two requests per page of the whole list,
and holds one pass in memory.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Final

from ...api.answers import Page
from ...api.query import BackupQuery
from ...errors import RejectedError
from ..assumptions import ask_sound
from ..finished import FinishedRange, Piece, pick_unseen

MAX_PASSES: Final = 6
MAX_REPEATS: Final = 20
"""Pages in a row without a row that is new to their pass: the list does not go on as its count says."""


class OffsetRead:
    """Reads one level by offset.

    Args:
        query: level, and filters that can be trusted.
        spans: what was asked; other rows are left out.
        is_full: rows without begin time belong to what was asked.
        reason: why it is read so.
    """

    def __init__(
        self,
        query: BackupQuery,
        spans: Sequence[tuple[int, int]],
        *,
        is_full: bool,
        reason: str,
    ) -> None:
        self.query = query
        self.finished: list[FinishedRange] = []
        self._spans = spans
        self._is_full = is_full
        self._reasons = [reason]
        self._is_over = False
        self._requests = 0

    def steps(self) -> Generator[BackupQuery, Page, None]:
        """Yield queries, take pages; one finished range per span at the end."""
        before: set[str] | None = None
        kept: list[Page] = []
        for _ in range(MAX_PASSES):
            pages = yield from self._pass()
            if self._is_over:
                kept += pages
                break
            ids = [backup_id for page in pages for backup_id in page.ids]
            now, total = set(ids), pages[-1].total_count if pages else 0
            if now == before and len(ids) == len(now) == total:
                kept = pages
                break
            before = now
            kept += pages
        else:
            self._reasons.append(
                f"{self.query.level}: the list changed too fast to be read twice alike"
            )
        self._finish(kept)

    def _pass(self) -> Generator[BackupQuery, Page, list[Page]]:
        pages: list[Page] = []
        seen: set[str] = set()
        offset = repeats = 0
        while True:
            try:
                page = yield from ask_sound(replace(self.query, offset=offset))
            except RejectedError as refused:
                if not pages:
                    raise
                self._is_over = True
                self._reasons.append(f"{self.query.level}: offset {offset} is refused: {refused}")
                return pages
            self._requests += 1
            pages.append(page)
            offset += len(page.ids)
            repeats = repeats + 1 if seen.issuperset(page.ids) else 0
            seen.update(page.ids)
            if not page.ids or offset >= page.total_count:
                return pages
            if repeats == MAX_REPEATS:
                self._is_over = True
                self._reasons.append(
                    f"{self.query.level}: {repeats} pages up to offset {offset} held only rows that "
                    f"were read before, though there should be {page.total_count}"
                )
                return pages

    def _finish(self, pages: list[Page]) -> None:
        """Hand the rows out span by span, each backup once, the last sight of it kept."""
        seen: set[str] = set()
        found: dict[tuple[int, int] | None, list[Piece]] = {span: [] for span in self._spans}
        if self._is_full:
            found[None] = []
        for page in reversed(pages):
            for span, pieces in found.items():
                if rows := pick_unseen(page, seen, span):
                    pieces.append(Piece(page.body, rows))
        for span, pieces in found.items():
            begin_s, end_s = span or (None, None)
            count = sum(len(piece.rows) for piece in pieces)
            requests, self._requests = self._requests, 0
            reasons = tuple(dict.fromkeys(self._reasons))
            self.finished.append(
                FinishedRange(
                    self.query.level, begin_s, end_s, tuple(pieces), count, requests, 0, 0, reasons
                )
            )
