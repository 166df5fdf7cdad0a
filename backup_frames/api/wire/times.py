"""Times as the service writes them, as whole seconds.

In: the text of a time, in one of the API's five notations. Out: its second since the epoch.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

NOTATION: Final = (
    r"\d{4}-\d\d-\d\d[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"
    r"(?: ?UTC|Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?"
)
"""The five notations of a time, as a regular expression for Python's and for Arrow's engine."""
_NOTATION = re.compile(NOTATION, re.ASCII)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
FIRST_S: Final = -62_135_596_800
"""0001-01-01T00:00:00Z, where the calendar of Python, pandas and DuckDB begins."""
LAST_S: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, its last second."""


def read_seconds(text: str) -> int:
    """Read a time in any of the API's five shapes as whole epoch seconds; UTC without zone.

    Raises:
        ValueError: it is no time of the years 1 to 9999.
    """
    try:
        # the hour with its day, and what follows: both come again and again, a time seldom does
        second = _read_hour(text[:13]) + _read_rest(text[13:])
    except ValueError:
        raise ValueError(f"{text[:80]!r} is in no notation of a time") from None
    if not FIRST_S <= second <= LAST_S:
        raise ValueError(f"{text} lies outside the calendar in UTC")
    return second


@lru_cache(maxsize=2**14)
def _read_hour(text: str) -> int:
    return _count_seconds(f"{text}:00:00")


@lru_cache(maxsize=2**14)
def _read_rest(text: str) -> int:
    return _count_seconds(f"1970-01-01T00{text}")


def _count_seconds(text: str) -> int:
    """Whole seconds since the epoch, rounded down."""
    if not _NOTATION.fullmatch(text):
        raise ValueError
    moment = datetime.fromisoformat(text.removesuffix("UTC").rstrip())
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // SECOND
