"""Times as the service and its siblings write them: text in, UTC timestamps out, and back.

In: a column of text. Out: timestamp[us, UTC]. Five notations are read, mixed at will (they occur
across the API's editions and sibling calls)::

    2019-05-27T03:38:51+0000    v3.1 and v4, the canonical one
    2018-08-06T12:41:14+0800    sibling services; any numeric offset, with or without colon
    2019-10-30T17:34:02Z        API versions
    2019-01-17T07:05:52         list of instances; no zone means UTC
    2022-01-01 00:00:00         v3; UTC, with or without " UTC" behind it

Up to six digits of a second's fraction are read in each. An empty string is null. Everything else
is unreadable: null, and told, never silently. One Arrow cast reads the canonical notation (50 ns a
row); only a column that holds anything else is looked at by regular expression first.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ..api.wire.times import FIRST_S, LAST_S, NOTATION
from .record.fields import TIMESTAMP

_CANONICAL_LENGTH = len("2019-05-27T03:38:51+0000")
_ZONELESS = r"^(.{10})[T ](\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?: ?UTC)?$"

# Python, pandas and DuckDB know the years 1 to 9999; an offset can push a time out of them.
_FIRST_US = FIRST_S * 1_000_000
_LAST_US = LAST_S * 1_000_000 + 999_999


class TimesRead(NamedTuple):
    """A column of times, read.

    Attributes:
        times: timestamp[us, UTC], null where there is none.
        is_odd: where the text is not in the canonical notation, so that the time does not give it
            back; None if it is nowhere.
        is_unreadable: where a text is no time; None if it is nowhere.
    """

    times: pa.Array
    is_odd: pa.BooleanArray | None
    is_unreadable: pa.BooleanArray | None


def read_times(texts: pa.Array) -> TimesRead:
    """Read what can be read, and tell what is odd."""
    is_canonical = _is_canonical(texts)
    if pc.all(is_canonical, min_count=0).as_py():
        with suppress(pa.ArrowInvalid):
            times = pc.cast(texts, TIMESTAMP)
            if not _is_outside(times):
                return TimesRead(times, None, None)
    filled = pc.if_else(pc.equal(texts, ""), None, texts)
    times = _read_readable(filled)
    is_unreadable = pc.and_(times.is_null(), filled.is_valid())
    is_odd = pc.or_(pc.invert(is_canonical), is_unreadable)
    has_unreadable = pc.any(is_unreadable, min_count=0).as_py()
    return TimesRead(times, is_odd, is_unreadable if has_unreadable else None)


def render_times(times: pa.Array) -> pa.Array:
    """The canonical text of each time, to the second: the inverse of `read_times`."""
    return pc.strftime(
        pc.cast(times, pa.timestamp("s", tz="UTC"), safe=False), format="%Y-%m-%dT%H:%M:%S+0000"
    )


def _is_canonical(texts: pa.Array) -> pa.BooleanArray:
    """Where a text, if it is a time at all, is in the canonical notation; null counts as such."""
    is_long = pc.equal(pc.binary_length(texts), _CANONICAL_LENGTH)
    has_t = pc.equal(pc.binary_slice(texts.cast(pa.binary()), 10, 11), b"T")
    return pc.and_(pc.and_(is_long, pc.ends_with(texts, "+0000")), has_t).fill_null(True)


def _read_readable(texts: pa.Array) -> pa.Array:
    """The times, whatever their notation, null where a text is none; no cast can fail."""
    texts = pc.if_else(pc.match_substring_regex(texts, f"^(?:{NOTATION})$"), texts, None)
    texts = pc.replace_substring_regex(texts, pattern=_ZONELESS, replacement=r"\1T\2Z")
    days = pc.utf8_slice_codeunits(texts, 0, 10)
    no_days = [day for day in days.unique().to_pylist() if day is not None and not _is_day(day)]
    texts = pc.if_else(pc.is_in(days, value_set=pa.array(no_days, pa.string())), None, texts)
    times = pc.cast(texts, TIMESTAMP)
    if not _is_outside(times):
        return times
    us = times.view(pa.int64())
    is_inside = pc.and_(pc.less_equal(_FIRST_US, us), pc.less_equal(us, _LAST_US))
    return pc.if_else(is_inside, times, None)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_outside(times: pa.Array) -> bool:
    span = pc.min_max(times.view(pa.int64()))
    first, last = span["min"].as_py(), span["max"].as_py()
    return first is not None and not _FIRST_US <= first <= last <= _LAST_US
