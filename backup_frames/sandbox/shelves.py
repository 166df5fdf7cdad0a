"""Rendered rows on shelves, sorted by begin time: any page is two bisections and one slice.

In: records (JSON objects as the API sends them). Out: for a filter, the count of all matching rows
and the bytes of one page. A row is rendered once, when it is put in; it stands on one shelf per
filter that people ask for (all, engine, backup type, both, instance), so that no request scans.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

Record = dict[str, Any]
LEVELS = ("Instance", "DatabaseTable")
NO_BEGIN = -(2**62)  # sorts below every time: rows without begin_time are the oldest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_REBUILD_FROM = 200  # from so many removals at once, one pass over a shelf beats deleting singly
_begin_of = attrgetter("begin_us")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One question to the list, validated: filters, page, and a window of begin times."""

    level: str = "Instance"
    engine: str | None = None
    backup_type: str | None = None
    instance_id: str | None = None
    backup_id: str | None = None
    begin_us: int | None = None  # None = no window asked; both ends count
    end_us: int | None = None
    limit: int = 100
    offset: int = 0


class Row:
    """One backup: its rendered JSON and what filters need of it."""

    __slots__ = ("backup_id", "backup_type", "begin_us", "body", "engine", "instance_id", "level")

    def __init__(self, record: Record, level: str) -> None:
        self.level = level
        self.render(record)

    def render(self, record: Record) -> None:
        """Take over the record's content."""
        self.body = render_json(record)
        self.backup_id = _text(record.get("id"))
        self.instance_id = _text(record.get("instance_id"))
        self.backup_type = _text(record.get("type"))
        datastore = record.get("datastore")
        self.engine = _text(datastore.get("type")) if isinstance(datastore, dict) else None
        self.begin_us = read_begin_us(record.get("begin_time"))

    def record(self) -> Record:
        """The record as the API sends it now."""
        record: Record = json.loads(self.body)
        return record

    def place(self) -> tuple[object, ...]:
        """Where it stands; a changed record with the same place need not move."""
        return self.begin_us, self.backup_id, self.shelves()

    def shelves(self) -> tuple[tuple[object, ...], ...]:
        """The keys of the shelves it stands on."""
        level, engine, backup_type = self.level, self.engine, self.backup_type
        return (
            (level, None, None),
            (level, engine, None),
            (level, None, backup_type),
            (level, engine, backup_type),
            (level, self.instance_id),
        )


class Shelves:
    """All rows; the newest stands last, among rows of one begin time the one put in last."""

    def __init__(self) -> None:
        self.by_id: dict[Any, Row] = {}
        self._shelves: dict[tuple[object, ...], list[Row]] = {}

    def level(self, level: str) -> list[Row]:
        """The rows of one level, oldest first; not to be changed."""
        return self._shelves.get((level, None, None), [])

    def fill(self, rows: Iterable[Row]) -> None:
        """Put in many rows at once: one sort per shelf."""
        touched = set()
        for row in rows:
            self.by_id.setdefault(row.backup_id, row)
            for key in set(row.shelves()):
                self._shelves.setdefault(key, []).append(row)
                touched.add(key)
        for key in touched:
            self._shelves[key].sort(key=_begin_of)

    def insert(self, row: Row) -> None:
        """Put in one row: at the newest end next to free."""
        self.by_id.setdefault(row.backup_id, row)
        for key in set(row.shelves()):
            shelf = self._shelves.setdefault(key, [])
            shelf.insert(bisect_right(shelf, row.begin_us, key=_begin_of), row)

    def remove(self, rows: list[Row]) -> None:
        """Take out rows that are in: one pass per shelf if they are many."""
        of_shelf: dict[tuple[object, ...], set[Row]] = {}
        for row in rows:
            if self.by_id.get(row.backup_id) is row:
                del self.by_id[row.backup_id]
            for key in row.shelves():
                of_shelf.setdefault(key, set()).add(row)
        for key, leaving in of_shelf.items():
            shelf = self._shelves[key]
            if len(leaving) >= _REBUILD_FROM:
                shelf[:] = [row for row in shelf if row not in leaving]
                continue
            for row in leaving:
                del shelf[shelf.index(row, bisect_left(shelf, row.begin_us, key=_begin_of))]

    def page(self, query: ListQuery) -> tuple[int, bytes]:
        """The count of all rows that match, and one page of them, newest first, comma-joined."""
        shelf, low, high = self._matching(query)
        newest = high - query.offset
        page = shelf[max(low, newest - query.limit) : max(low, newest)]
        return high - low, b",".join([row.body for row in reversed(page)])

    def _matching(self, query: ListQuery) -> tuple[list[Row], int, int]:
        if query.backup_id is not None:
            row = self.by_id.get(query.backup_id)
            shelf = [row] if row is not None and row.level == query.level else []
        elif query.instance_id is not None:
            shelf = self._shelves.get((query.level, query.instance_id), [])
        else:
            shelf = self._shelves.get((query.level, query.engine, query.backup_type), [])
        is_single = query.backup_id is not None or query.instance_id is not None
        if is_single and (query.backup_id or query.engine or query.backup_type):
            shelf = [row for row in shelf if _has_traits(row, query)]
        if query.begin_us is None or query.end_us is None:
            return shelf, 0, len(shelf)
        low = bisect_left(shelf, query.begin_us, key=_begin_of)
        return shelf, low, max(low, bisect_right(shelf, query.end_us, key=_begin_of))


def read_begin_us(value: object) -> int:
    """Microseconds since the epoch of a time as services write it; `NO_BEGIN` if it is none."""
    if not isinstance(value, str):
        return NO_BEGIN
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return NO_BEGIN
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def render_json(value: object) -> bytes:
    """Compact JSON in UTF-8; lone surrogates, which UTF-8 cannot hold, are escaped."""
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _text(value: object) -> str | None:
    """What a filter can be compared with; anything else matches no filter."""
    return value if isinstance(value, str) else None


def _has_traits(row: Row, query: ListQuery) -> bool:
    return (
        query.instance_id in (None, row.instance_id)
        and query.engine in (None, row.engine)
        and query.backup_type in (None, row.backup_type)
    )
