"""Query strings of the list calls, read the way the service reads them.

In: decoded name/value pairs. Out: a `ListQuery`, or a `Problem` with status 400. Strict where the
reference page is strict: a client that passes here sends what the page asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .answers import refuse_parameter
from .shelves import LEVELS, NO_BEGIN, ListQuery, read_begin_us

ENGINES = ("cassandra", "redis", "mongodb", "influxdb")
BACKUP_TYPES = ("Auto", "Manual")
# The zone may be left blank; `Z` in the page's format stands for an offset, not for itself.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d{4})?")
_SPACED_ZONE = re.compile(r" (?=\d{4}$)")


@dataclass(frozen=True)
class Dialect:
    """Where the real service's behaviour is not known, how this one behaves.

    Args:
        is_begin_inclusive: Whether rows that begin at `begin_time` are in.
        is_end_inclusive: Whether rows that begin at `end_time` are in.
        is_plus_lenient: Whether a `+` sent raw (which decodes to a space) is taken as a plus.
    """

    is_begin_inclusive: bool = True
    is_end_inclusive: bool = True
    is_plus_lenient: bool = False


def read_list_query(params: Mapping[str, str], dialect: Dialect) -> ListQuery:
    """The question a backup list is asked; unknown parameters are ignored, as the service does."""
    window = read_window(params, dialect)
    return ListQuery(
        level=_one_of(params, "type", LEVELS) or "Instance",
        engine=_one_of(params, "datastore_type", ENGINES),
        backup_type=_one_of(params, "backup_type", BACKUP_TYPES),
        instance_id=params.get("instance_id"),
        backup_id=params.get("backup_id"),
        begin_us=window and window[0],
        end_us=window and window[1],
        limit=read_count(params, "limit", 100, low=1, high=100),
        offset=read_count(params, "offset", 0, low=0, high=2**31 - 1),
    )


def read_window(params: Mapping[str, str], dialect: Dialect) -> tuple[int, int] | None:
    """First and last microsecond asked for; None if no times are given, an error if one is."""
    if "begin_time" not in params and "end_time" not in params:
        return None
    begin, end = (_moment_us(params.get(name), dialect) for name in ("begin_time", "end_time"))
    if end < begin:
        raise refuse_parameter()
    return begin + (not dialect.is_begin_inclusive), end - (not dialect.is_end_inclusive)


def read_count(params: Mapping[str, str], name: str, default: int, *, low: int, high: int) -> int:
    """A whole number within bounds; the default if it is not given."""
    text = params.get(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,10}", text) or not low <= int(text) <= high:
        raise refuse_parameter()
    return int(text)


def _moment_us(text: str | None, dialect: Dialect) -> int:
    if text is not None and dialect.is_plus_lenient:
        text = _SPACED_ZONE.sub("+", text)
    moment = read_begin_us(text) if text and _MOMENT.fullmatch(text) else NO_BEGIN
    if moment == NO_BEGIN:
        raise refuse_parameter()
    return moment


def _one_of(params: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    value = params.get(name)
    if value is not None and value not in choices:
        raise refuse_parameter()
    return value
