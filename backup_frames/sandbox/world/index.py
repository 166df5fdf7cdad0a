"""Rendered rows on lists, sorted by begin time: any page is two bisections and one slice.

In: records (JSON objects as the API sends them). Out: for a filter, the count of all matching rows
and the bytes of one page. A row is rendered once, when it is put in; it stands on one list per
filter that people ask for (all, engine, backup type, both, instance), so that no request scans.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any

Record = dict[str, Any]
LEVELS = ("Instance", "DatabaseTable")
NO_TIME = -(2**62)  # sorts below every time: rows without begin_time are the oldest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_REBUILD_FROM = 200  # from so many removals at once, one pass over a list beats deleting singly
_begin_of = attrgetter("begin_us")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One question to the list, validated: filters, page, and a window of times."""

    level: str | None = "Instance"  # None = both
    engine: str | None = None
    backup_type: str | None = None
    instance_id: str | None = None
    backup_id: str | None = None
    begin_us: int | None = None  # None = no window asked; both ends count
    end_us: int | None = None
    time_field: str = "begin"  # what the window holds: "begin", "end", or "inside" = both of them
    is_case_ignored: bool = False  # of engine and backup type
    limit: int = 100
    offset: int = 0


class Row:
    """One backup: its rendered JSON and what filters need of it."""

    __slots__ = (
        "backup_id",
        "backup_type",
        "begin_us",
        "body",
        "end_us",
        "engine",
        "instance_id",
        "level",
    )

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
        self.begin_us = read_time_us(record.get("begin_time"))
        self.end_us = read_time_us(record.get("end_time"))

    def record(self) -> Record:
        """The record as the API sends it now."""
        record: Record = json.loads(self.body)
        return record

    def place(self) -> tuple[object, ...]:
        """Where it stands; a changed record with the same place need not move."""
        return self.begin_us, self.backup_id, self.lists()

    def lists(self) -> tuple[tuple[object, ...], ...]:
        """The keys of the lists it stands on."""
        level, engine, backup_type = self.level, self.engine, self.backup_type
        return (
            (level, None, None),
            (level, engine, None),
            (level, None, backup_type),
            (level, engine, backup_type),
            (level, self.instance_id),
        )


class BackupIndex:
    """All rows; the newest stands last, among rows of one begin time the one put in last."""

    def __init__(self) -> None:
        self.by_id: dict[Any, Row] = {}
        self._lists: dict[tuple[object, ...], list[Row]] = {}

    def level(self, level: str) -> list[Row]:
        """The rows of one level, oldest first; not to be changed."""
        return self._lists.get((level, None, None), [])

    def fill(self, rows: Iterable[Row]) -> None:
        """Put in many rows at once: one sort per list."""
        touched = set()
        for row in rows:
            self.by_id.setdefault(row.backup_id, row)
            for key in set(row.lists()):
                self._lists.setdefault(key, []).append(row)
                touched.add(key)
        for key in touched:
            self._lists[key].sort(key=_begin_of)

    def insert(self, row: Row) -> None:
        """Put in one row: at the newest end next to free."""
        self.by_id.setdefault(row.backup_id, row)
        for key in set(row.lists()):
            listed = self._lists.setdefault(key, [])
            listed.insert(bisect_right(listed, row.begin_us, key=_begin_of), row)

    def remove(self, rows: list[Row]) -> None:
        """Take out rows that are in: one pass per list if they are many."""
        of_list: dict[tuple[object, ...], set[Row]] = {}
        for row in rows:
            if self.by_id.get(row.backup_id) is row:
                del self.by_id[row.backup_id]
            for key in row.lists():
                of_list.setdefault(key, set()).add(row)
        for key, leaving in of_list.items():
            listed = self._lists[key]
            if len(leaving) >= _REBUILD_FROM:
                listed[:] = [row for row in listed if row not in leaving]
                continue
            for row in leaving:
                del listed[listed.index(row, bisect_left(listed, row.begin_us, key=_begin_of))]

    def page(self, query: ListQuery) -> tuple[int, bytes]:
        """The count of all rows that match, and one page of them, newest first, comma-joined."""
        listed, low, high = self._matching(query)
        newest = high - query.offset
        page = listed[max(low, newest - query.limit) : max(low, newest)]
        return high - low, b",".join([row.body for row in reversed(page)])

    def _matching(self, query: ListQuery) -> tuple[list[Row], int, int]:
        """A list, and the part of it that matches."""
        levels = LEVELS if query.level is None else (query.level,)
        if query.backup_id is not None:
            row = self.by_id.get(query.backup_id)
            listed = [row] if row is not None and row.level in levels else []
        else:
            listed = self._list_of(levels, query)
        if query.backup_id is not None or query.instance_id is not None or query.is_case_ignored:
            listed = [row for row in listed if _has_traits(row, query)]
        if query.begin_us is None or query.end_us is None:
            return listed, 0, len(listed)
        if query.time_field != "begin":
            window, is_inside = (query.begin_us, query.end_us), query.time_field == "inside"
            listed = [row for row in listed if _is_timely(row, *window, is_inside=is_inside)]
            return listed, 0, len(listed)
        low = bisect_left(listed, query.begin_us, key=_begin_of)
        return listed, low, max(low, bisect_right(listed, query.end_us, key=_begin_of))

    def _list_of(self, levels: tuple[str, ...], query: ListQuery) -> list[Row]:
        """The smallest list that holds all rows asked for; that of two levels is put together."""
        key: tuple[object, ...] = (query.engine, query.backup_type)
        if query.instance_id is not None:
            key = (query.instance_id,)
        elif query.is_case_ignored:
            key = (None, None)
        found = [self._lists.get((level, *key), []) for level in levels]
        return found[0] if len(found) == 1 else sorted(chain(*found), key=_begin_of)


def read_time_us(value: object) -> int:
    """Microseconds since the epoch of a time as services write it; `NO_TIME` if it is none."""
    if not isinstance(value, str):
        return NO_TIME
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return NO_TIME
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
    def is_asked(wanted: str | None, value: str | None) -> bool:
        if query.is_case_ignored and wanted is not None and value is not None:
            return wanted.casefold() == value.casefold()
        return wanted in (None, value)

    return (
        query.instance_id in (None, row.instance_id)
        and is_asked(query.engine, row.engine)
        and is_asked(query.backup_type, row.backup_type)
    )


def _is_timely(row: Row, begin_us: int, end_us: int, *, is_inside: bool) -> bool:
    """Whether the row's end, or all of it, lies in the window; one that runs has no end yet."""
    first_us = row.begin_us if is_inside else row.end_us
    return begin_us <= first_us and NO_TIME < row.end_us <= end_us
