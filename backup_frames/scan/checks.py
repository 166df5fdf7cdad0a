"""Can this answer be believed? The checks of one page against itself and its question.

In: a page. Out: what contradicts what, or nothing.
"""

from __future__ import annotations

from typing import Final

from ..api.answers import Page

STRAYED: Final = "rows lay outside the times asked for"


class BreachError(Exception):
    """An answer contradicts itself and does not stop doing so; never leaves this package."""

    def __init__(self, reason: str, page: Page) -> None:
        super().__init__(reason)
        self.reason = reason
        self.page = page


def find_breach(page: Page) -> str | None:
    """What in an answer contradicts itself or its question; None if nothing does.

    Order matters only while more is left than the page holds: an answer that holds all of its
    window may come in any order.
    """
    query, rows = page.query, len(page.ids)
    if rows != min(query.limit, max(page.total_count - query.offset, 0)):
        return f"{rows} rows came where total_count {page.total_count} and limit {query.limit} say otherwise"
    if len(set(page.ids)) != rows:
        return "one answer held a backup twice"
    seconds = [s for s in page.begin_s if s is not None]
    if query.begin is not None and query.end is not None and seconds:
        begin_s, end_s = int(query.begin.timestamp()), int(query.end.timestamp())
        if min(seconds) < begin_s or max(seconds) > end_s:
            return STRAYED
    if rows < page.total_count and seconds != sorted(seconds, reverse=True):
        return "rows were not sorted by begin time, newest first"
    return None


def holds_all(page: Page) -> bool:
    """Whether the answer holds all that matches; a page filled to the brim may hide a wrong total."""
    rows = len(page.ids)
    return page.total_count == rows and rows < page.query.limit
