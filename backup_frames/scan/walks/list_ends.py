"""Where a list begins and ends, for a service that must be asked in narrow windows.

In: one level's query and the span to be read. Out: the seconds between which rows can lie, so that
nobody asks window after window over centuries.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Final, NamedTuple

from ...api.answers import Page
from ...api.query import BackupQuery
from ...errors import RejectedError
from ..finished import Window
from ..plan import DAY_S, SERVICE_START_S

LOOKS: Final = 2


class ListEnds(NamedTuple):
    """What is known of a list's ends.

    Attributes:
        oldest_s: no row began before it.
        newest_s: none later, as far as is known; 0 if nothing is.
        request_count: answers it took.
        is_hidden: the list does not show where it ends.
    """

    oldest_s: int
    newest_s: int
    request_count: int = 0
    is_hidden: bool = False


def find_list_ends(
    query: BackupQuery, window: Window, begin_s: int, end_s: int, *, is_open: bool
) -> Generator[BackupQuery, Page, ListEnds]:
    """Where rows can be; asked only if the span reaches beyond the years in which the service exists."""
    oldest_s = window.oldest_s.get(query.level, SERVICE_START_S if is_open else None)
    newest_s = window.newest_s.get(query.level, 0 if is_open else None)
    if oldest_s is not None and newest_s is not None:
        return ListEnds(oldest_s, newest_s)
    if begin_s >= SERVICE_START_S and end_s <= window.now_s + 2 * DAY_S:
        return ListEnds(begin_s, 0)
    return (yield from _ask_ends(query, begin_s))


def _ask_ends(query: BackupQuery, begin_s: int) -> Generator[BackupQuery, Page, ListEnds]:
    """The seconds of the whole list, end excluded; hidden if it moves, or cannot be asked so deep."""
    seconds: list[int] = []
    agreed = requests = 0
    for _ in range(2 * LOOKS):
        first = yield replace(query, limit=1)
        try:
            last = yield replace(query, limit=1, offset=max(first.total_count - 1, 0))
        except RejectedError:  # an offset too deep for this service
            break
        requests += 2
        known = [second for second in (*first.begin_s, *last.begin_s) if second is not None]
        if first.total_count == last.total_count and len(known) == 2 * bool(first.total_count):
            seconds += known
            agreed += 1
        if agreed == LOOKS:  # one stale answer does not hide a row
            ends = min(seconds, default=begin_s), max(seconds, default=begin_s) + 1
            return ListEnds(*ends, requests)
    return ListEnds(SERVICE_START_S, 0, requests, is_hidden=True)
