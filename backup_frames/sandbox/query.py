"""Query strings of the list calls, read the way the service reads them.

In: decoded name/value pairs. Out: a `ListQuery`, or a `Problem` with status 400. Strict where the
reference page is strict: a client that passes here sends what the page asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .answers import refuse_parameter
from .world.index import LEVELS, NO_TIME, ListQuery, read_time_us

ENGINES = ("cassandra", "redis", "mongodb", "influxdb")
BACKUP_TYPES = ("Auto", "Manual")
# The zone may be left blank; `Z` in the page's format stands for an offset, not for itself.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d{4})?")
_SPACED_ZONE = re.compile(r" (?=\d{4}$)")
# With `time_filter="created"`, every backup is created so long after its begin.
CREATED_AFTER_S = 40
TIME_FILTERS = ("begin", "inside", "end", "created", "zone", "day", "minute", "ignored")
FILTERS = ("instance_id", "backup_id", "backup_type", "datastore_type")
_UNIT_US = {"day": 86_400_000_000, "minute": 60_000_000}
_CHOICES = {
    "time_filter": TIME_FILTERS,
    "levels": ("apart", "ignored"),
    "window_cap": ("refusing", "silent"),
    "ignored_filter": (None, *FILTERS),
    "filter_case": ("exact", "ignored", "upper"),
}


@dataclass(frozen=True)
class Dialect:
    """Where the real service's behaviour is not known, how this one behaves.

    Args:
        time_filter: What `begin_time` and `end_time` select: "begin" = a begin between them,
            "inside" = a begin and an end between them, "end" = an end between them, "created" = a
            creation between them, 40 s after the begin; a begin, but "zone" = their zone is not
            read and taken for +0800, "day", "minute" = they are cut to that unit, "ignored" = they
            do not count.
        levels: "apart", or "ignored": whatever `type` asks, both levels are listed.
        window_cap_days: Windows can be so wide; None = without end. A call without times has none.
        window_cap: A wider one is refused ("refusing"), or its oldest part left out ("silent").
        ignored_filter: This one of the four filters does not count, e.g. "instance_id".
        filter_case: How engines and backup types are compared with their filters: "exact",
            "ignored" = without regard to case, "upper" = with the filter's value in upper case.
        limit_cap: No page has more rows, whatever `limit` asks; None = as asked.
        is_begin_inclusive: Whether rows that begin at `begin_time` are in.
        is_end_inclusive: Whether rows that begin at `end_time` are in.
        is_plus_lenient: Whether a `+` sent raw (which decodes to a space) is taken as a plus.

    Raises:
        ValueError: A value that is none of these.
    """

    time_filter: str = "begin"
    levels: str = "apart"
    window_cap_days: float | None = None
    window_cap: str = "refusing"
    ignored_filter: str | None = None
    filter_case: str = "exact"
    limit_cap: int | None = None
    is_begin_inclusive: bool = True
    is_end_inclusive: bool = True
    is_plus_lenient: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                known = ", ".join(choice for choice in choices if choice)
                raise ValueError(f"{name} {value!r} is unknown: use one of {known}")
        for name in ("window_cap_days", "limit_cap"):
            value = getattr(self, name)
            if not isinstance(value, int | float | None):
                raise ValueError(f"{name} is {value!r}: give a number")
            if value is not None and value <= 0:
                raise ValueError(f"{name} {value} leaves nothing to list: use more than 0")
        for name in ("is_begin_inclusive", "is_end_inclusive", "is_plus_lenient"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ValueError(f"{name} is {value!r}: give True or False")


def read_list_query(params: Mapping[str, str], dialect: Dialect) -> ListQuery:
    """The question a backup list is asked; unknown parameters are ignored, as the service does."""
    params = {name: value for name, value in params.items() if name != dialect.ignored_filter}
    window = read_window(params, dialect)
    level = _one_of(params, "type", LEVELS) or "Instance"
    limit = read_count(params, "limit", 100, low=1, high=100)
    return ListQuery(
        level=None if dialect.levels == "ignored" else level,
        engine=_word(params, "datastore_type", ENGINES, dialect),
        backup_type=_word(params, "backup_type", BACKUP_TYPES, dialect),
        instance_id=params.get("instance_id"),
        backup_id=params.get("backup_id"),
        begin_us=window and window[0],
        end_us=window and window[1],
        time_field=dialect.time_filter if dialect.time_filter in ("inside", "end") else "begin",
        is_case_ignored=dialect.filter_case == "ignored",
        limit=min(limit, dialect.limit_cap or limit),
        offset=read_count(params, "offset", 0, low=0, high=2**31 - 1),
    )


def read_window(params: Mapping[str, str], dialect: Dialect) -> tuple[int, int] | None:
    """First and last microsecond that count; None if no times do, an error if only one is given."""
    if "begin_time" not in params and "end_time" not in params:
        return None
    begin, end = (_moment_us(params.get(name), dialect) for name in ("begin_time", "end_time"))
    if end < begin:
        raise refuse_parameter()
    if dialect.window_cap_days and end - begin > dialect.window_cap_days * _UNIT_US["day"]:
        if dialect.window_cap == "refusing":
            raise refuse_parameter("DBS.201215", "Time is illegal.")
        begin = end - int(dialect.window_cap_days * _UNIT_US["day"])
    if dialect.time_filter == "ignored":
        return None
    return begin + (not dialect.is_begin_inclusive), end - (not dialect.is_end_inclusive)


def read_count(params: Mapping[str, str], name: str, default: int, *, low: int, high: int) -> int:
    """A whole number within bounds; the default if it is not given."""
    text = params.get(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,10}", text) or not low <= int(text) <= high:
        raise refuse_parameter()
    return int(text)


def _moment_us(text: str | None, dialect: Dialect) -> int:
    """The moment that a parameter means to this dialect, in begin times."""
    if text is not None and dialect.is_plus_lenient:
        text = _SPACED_ZONE.sub("+", text)
    moment = read_time_us(text) if text and _MOMENT.fullmatch(text) else NO_TIME
    if text is None or moment == NO_TIME:
        raise refuse_parameter()
    if dialect.time_filter == "zone":
        return read_time_us(f"{text[:19]}+0800")
    if dialect.time_filter == "created":
        return moment - CREATED_AFTER_S * 1_000_000
    return moment - moment % _UNIT_US.get(dialect.time_filter, 1)


def _one_of(params: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    value = params.get(name)
    if value is not None and value not in choices:
        raise refuse_parameter()
    return value


def _word(
    params: Mapping[str, str], name: str, choices: tuple[str, ...], dialect: Dialect
) -> str | None:
    value = _one_of(params, name, choices)
    return value.upper() if value is not None and dialect.filter_case == "upper" else value
