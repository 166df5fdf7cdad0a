"""Times as the service and its siblings write them: text in, UTC timestamps out, and back.

In: a column of text. Out: timestamp[us, UTC]. Five notations are read, mixed at will (they occur
across the API's editions and sibling calls)::

    2019-05-27T03:38:51+0000    v3.1 and v4, the canonical one
    2018-08-06T12:41:14+0800    sibling services; any numeric offset, with or without colon
    2019-10-30T17:34:02Z        API versions
    2019-01-17T07:05:52         list of instances; no zone means UTC
    2022-01-01 00:00:00         v3; UTC, with or without " UTC" behind it

Up to six digits of a second's fraction are read in each. An empty string is null. Everything else
is an error, never a silent null. One Arrow cast reads the canonical notation (50 ns a row); only a
column that holds anything else is rewritten by regular expression first.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SchemaError
from .schema import TIMESTAMP

EXPECTED = (
    "a time such as 2019-05-27T03:38:51+0000, 2019-05-27T03:38:51Z, 2019-05-27T03:38:51 "
    "or 2019-05-27 03:38:51 UTC"
)

_CANONICAL_LENGTH = len("2019-05-27T03:38:51+0000")
_ZONELESS = r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(\.\d{1,6})?)( ?UTC)?$"
_ZONED = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)$"

# Python, pandas and DuckDB know the years 1 to 9999; an offset can push a time out of them.
_FIRST_US = -62_135_596_800_000_000
_LAST_US = 253_402_300_799_999_999


def parse_times(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Read a column of times.

    Args:
        column: text, in any mixture of the notations above.

    Returns:
        timestamp[us, UTC] of the same length; null where the text is null or empty.

    Raises:
        SchemaError: a text is not a time of the years 1 to 9999 UTC; ``path`` is its position.

    Example:
        >>> import pyarrow as pa
        >>> str(parse_times(pa.array(["2018-08-06T12:41:14+0800", ""]))[0])
        '2018-08-06 04:41:14+00:00'
    """
    texts = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return read_times(texts)[0]


def read_times(texts: pa.Array) -> tuple[pa.Array, pa.BooleanArray | None]:
    """The times, and which texts are in another notation than the canonical one; None if none is.

    Raises:
        SchemaError: as of `parse_times`.
    """
    is_canonical = _is_canonical(texts)
    has_odd = not pc.all(is_canonical, min_count=0).as_py()
    times = _read_any(texts) if has_odd else _read_zoned(texts)
    if times is not None:
        return times, pc.invert(is_canonical) if has_odd else None
    row = first_unreadable(texts)
    got = texts[row].as_py()
    message = f"Row {row} holds {got!r}, which is not a time. Expected {EXPECTED}."
    raise SchemaError(message, path=f"[{row}]", expected=EXPECTED, got=got[:200])


def first_unreadable(texts: pa.Array) -> int:
    """Position of the first text that is not a time; -1 if all are times."""
    if _read_any(texts) is not None:
        return -1
    first, end = 0, len(texts)
    while end - first > 1:
        middle = (first + end) // 2
        if _read_any(texts.slice(first, middle - first)) is None:
            end = middle
        else:
            first = middle
    return first


def render_times(times: pa.Array) -> pa.Array:
    """The canonical text of each time, to the second: the inverse of `parse_times`."""
    return pc.strftime(
        pc.cast(times, pa.timestamp("s", tz="UTC"), safe=False), format="%Y-%m-%dT%H:%M:%S+0000"
    )


def _is_canonical(texts: pa.Array) -> pa.BooleanArray:
    """Where a text, if it is a time at all, is in the canonical notation; null counts as such."""
    is_long = pc.equal(pc.binary_length(texts), _CANONICAL_LENGTH)
    has_t = pc.equal(pc.binary_slice(texts.cast(pa.binary()), 10, 11), b"T")
    return pc.and_(pc.and_(is_long, pc.ends_with(texts, "+0000")), has_t).fill_null(True)


def _read_any(texts: pa.Array) -> pa.Array | None:
    """The times, whatever their notation; None if one is no time."""
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    texts = pc.replace_substring_regex(texts, pattern=_ZONELESS, replacement=r"\1T\2Z")
    is_time = pc.match_substring_regex(texts, _ZONED)
    return _read_zoned(texts) if pc.all(is_time, min_count=0).as_py() else None


def _read_zoned(texts: pa.Array) -> pa.Array | None:
    """The times of texts that all carry a zone; None if one is no time."""
    try:
        times = pc.cast(texts, TIMESTAMP)
    except pa.ArrowInvalid:
        return None
    span = pc.min_max(times.view(pa.int64()))
    first, last = span["min"].as_py(), span["max"].as_py()
    return times if first is None or _FIRST_US <= first <= last <= _LAST_US else None
