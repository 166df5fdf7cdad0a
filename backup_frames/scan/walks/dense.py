"""Seconds with more rows than a page: told apart by filters, or read by offset without a proof.

In: one or two seconds of one level that hold more than ``limit`` rows. Out: their rows, and the
reason if it could not be proven that these are all. They are told apart second by second, too: where
a window includes its end, two busy seconds come as one.

The proof of a split by filters: every part fits one page and is read twice; between the two, the
whole is counted, twice. Rows in both readings were there at the moment of the counts; if they are
as many as these say, there was no other. A value of a filter that we do not know cannot hide.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ...api.answers import Page
from ...api.query import BACKUP_TYPES, ENGINES, BackupQuery
from ...errors import RejectedError
from ..assumptions import filter_value, read_rows
from ..finished import pick_unseen
from ..plan import look_at, to_moment

ROUNDS: Final = 4
MAX_PARTS: Final = 2_000
MAX_PAGES: Final = 1_000
# By which filters rows are told apart, those with few values first.
_DIMENSIONS: Final = ("backup_type", "datastore_type", "instance_id")


@dataclass(slots=True)
class DenseRows:
    """What was found in a dense span: pages with the indices of the rows to take."""

    pieces: list[tuple[Page, Sequence[int]]] = field(default_factory=list)
    request_count: int = 0
    reason: str | None = None


def read_dense(
    query: BackupQuery, begin_s: int, end_s: int
) -> Generator[BackupQuery, Page, DenseRows]:
    """Read ``[begin_s, end_s)``: by offset to learn what there is, then by filters to prove it."""
    found = DenseRows()
    whole = look_at(query, begin_s, end_s)
    pages = yield from _by_offset(whole, found)
    if len(pages) == 1 and (yield from _holds_all(pages[0], found)):
        found.pieces = _distinct(pages, begin_s, end_s)
        return found
    values = _seen_values(pages)
    seconds = [to_moment(second) for second in range(begin_s - 1, end_s + 1)]
    for parts in ([whole], [replace(whole, begin=second, end=second) for second in seconds]):
        for _ in range(ROUNDS):
            first = yield from _by_filters(whole, parts, values, found)
            if first is None:
                break
            counts = set()
            for limit in (1, 2):  # said twice, since one answer may be stale or empty
                counts.add((yield replace(whole, limit=limit)).total_count)
                found.request_count += 1
            again = yield from _by_filters(whole, parts, values, found)
            if again is None:
                break
            stayed = _ids(first) & _ids(again)
            if counts == {len(stayed)}:
                found.pieces = _distinct(again, begin_s, end_s)
                return found
            pages = [*pages, *again]
    found.pieces = _distinct(pages, begin_s, end_s)
    found.reason = (
        f"more than {whole.limit} backups began within one second and no filter tells them apart"
    )
    return found


def _by_offset(whole: BackupQuery, found: DenseRows) -> Generator[BackupQuery, Page, list[Page]]:
    """Page by offset, each page beginning with the last row of the one before as an anchor."""
    pages: list[Page] = []
    offset = 0
    while len(pages) < MAX_PAGES:
        try:
            page = yield replace(whole, offset=offset)
        except RejectedError:
            break  # an offset too deep for this service; what was seen must do
        found.request_count += 1
        if not page.ids:
            break
        pages.append(page)
        if offset + len(page.ids) >= page.total_count or len(page.ids) < 2:
            break
        offset += len(page.ids) - 1
    return pages


def _holds_all(page: Page, found: DenseRows) -> Generator[BackupQuery, Page, bool]:
    """Whether an answer is all of its window; if full to the brim, nothing may come after it."""
    if page.total_count != len(set(page.ids)):
        return False
    if page.total_count < page.query.limit:
        return True
    try:
        beyond = yield replace(page.query, offset=page.total_count)
    except RejectedError:
        return False
    found.request_count += 1
    return not beyond.ids and beyond.total_count == page.total_count


def _by_filters(
    whole: BackupQuery, parts: list[BackupQuery], values: dict[str, list[str]], found: DenseRows
) -> Generator[BackupQuery, Page, list[Page] | None]:
    """Every part of the span in one page each; None if some part cannot be made small enough."""
    pages: list[Page] = []
    names = [name for name in _DIMENSIONS if getattr(whole, name) is None]
    left = [(part, names) for part in parts]
    while left:
        part, names = left.pop()
        if part is not whole:
            try:
                page = yield part
            except RejectedError:
                continue  # a value unknown to this service; the count tells if rows are missing
            found.request_count += 1
            if (yield from _holds_all(page, found)):
                pages.append(page)
                continue
        if not names or len(pages) > MAX_PARTS:
            return None
        name, *others = names
        left += [(replace(part, **{name: value}), others) for value in values[name]]  # type: ignore[arg-type]  # a filter's name
    return pages


def _seen_values(pages: list[Page]) -> dict[str, list[str]]:
    """The values of each filter that occur in the pages, and those the reference page names."""
    values: dict[str, set[str]] = {
        "backup_type": set(BACKUP_TYPES),
        "datastore_type": set(ENGINES),
        "instance_id": set(),
    }
    for page in pages:
        for row in read_rows(page):
            for name in _DIMENSIONS:
                value = filter_value(row, name)
                if isinstance(value, str) and value:
                    values[name].add(value)
    values["backup_type"] &= set(BACKUP_TYPES)
    return {name: sorted(found) for name, found in values.items()}


def _ids(pages: list[Page]) -> set[str]:
    return {backup_id for page in pages for backup_id in page.ids}


def _distinct(pages: list[Page], begin_s: int, end_s: int) -> list[tuple[Page, Sequence[int]]]:
    """The rows of the span in these pages, each backup once, the last sight of it kept."""
    seen, span = set[str](), (begin_s, end_s)
    return [(page, rows) for page in reversed(pages) if (rows := pick_unseen(page, seen, span))]
