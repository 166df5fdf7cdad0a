"""The question: which backups, at which level, from when to when, which page of them.

In: what a person writes (strings, dates, datetimes). Out: a validated, frozen `BackupQuery` and the
exact path and parameters it has on the wire. No I/O happens here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args

from ..errors import QueryError
from ..settings.values import ApiVersion

if TYPE_CHECKING:
    import numpy as np

Level = Literal["Instance", "DatabaseTable"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)

API_VERSIONS: Final[tuple[ApiVersion, ...]] = get_args(ApiVersion)

ENGINES: Final = ("cassandra", "redis", "mongodb", "influxdb")
"""Values of ``datastore_type`` that the reference page names."""
BACKUP_TYPES: Final = ("Auto", "Manual")

NAME_ADVICE: Final = ", or instance_name= for an instance's name"

FILTERS: Final[Mapping[str, tuple[str, ...]]] = {
    "instance_id": ("instance_id",),
    "datastore_type": ("datastore", "type"),
    "backup_id": ("id",),
    "backup_type": ("type",),
}
"""The filters of a query, each with the place where a row, as sent, shows its value."""

MAX_LIMIT: Final = 100
"""Rows the service hands out per request at most (reference page, ``limit``)."""

Moment = Union[str, date, timedelta, "np.datetime64"]
"""A point in time as users write it; see `parse_moment`."""

_MOMENTS: Final = (
    "give a datetime, a date, or text such as 2026-01-31, 2026-01-31T06:00:00+00:00, 2026-01 or 7d "
    "(7 days back from now; also h, w)"
)
_BACK = re.compile(r"(\d{1,9}) ?([mhdw])", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MONTH = re.compile(r"\d{4}-\d\d", re.ASCII)
_PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Filters travel as query parameters; ids and types of the service are short printable ASCII.
_FILTER = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class BackupQuery:
    """One request to "Querying Backups (Recommended)", validated when it is made.

    Attributes:
        project_id: project of the tenant in one region; ``[A-Za-z0-9_-]{1,64}``.
        level: ``Instance`` or ``DatabaseTable``: the API's ``type``. One request sees one level.
        instance_id: only backups of this instance; None for all.
        datastore_type: only backups of this engine, such as ``cassandra``; None for all.
        backup_id: only this backup; None for all.
        backup_type: ``Auto`` or ``Manual``, case-sensitive; None for both.
        begin: aware datetime, sent as the API's ``begin_time`` in whole seconds (rounded down).
        end: aware datetime, sent as ``end_time`` (rounded up); the API wants both times or none.
        limit: rows wanted, 1 to 100.
        offset: rows to skip, counted from the newest; 0 or more.
        api_version: ``v3.1`` or its successor ``v4``, which has the same parameters and answers.

    Raises:
        QueryError: a value makes no sense; nothing has been sent.

    Examples:
        >>> BackupQuery("0a1b", level="Instance", limit=2).params()
        (('type', 'Instance'), ('limit', '2'), ('offset', '0'))
    """

    project_id: str
    level: Level = "Instance"
    instance_id: str | None = None
    datastore_type: str | None = None
    backup_id: str | None = None
    backup_type: str | None = None
    begin: datetime | None = None
    end: datetime | None = None
    limit: int = MAX_LIMIT
    offset: int = 0
    api_version: ApiVersion = API_VERSIONS[0]

    def __post_init__(self) -> None:
        check_project_id(self.project_id)
        if self.level not in LEVELS:
            raise QueryError(f"level is {self.level!r}; use 'Instance' or 'DatabaseTable'.")
        if self.backup_type not in (None, "Auto", "Manual"):
            raise QueryError(f"backup_type is {self.backup_type!r}; use 'Auto' or 'Manual'.")
        for name, value in self.filters().items():
            if not isinstance(value, str) or not _FILTER.fullmatch(value):
                raise QueryError(
                    f"{name} is {value!r}; give an id or type as the service shows it"
                    f"{NAME_ADVICE if name == 'instance_id' else ''}."
                )
        if self.api_version not in API_VERSIONS:
            raise QueryError(
                f"api_version is {self.api_version!r}; use {' or '.join(API_VERSIONS)}."
            )
        _check_number("limit", self.limit, 1, MAX_LIMIT)
        _check_number("offset", self.offset, 0, None)
        self._check_times()

    def _check_times(self) -> None:
        for name, value in (("begin", self.begin), ("end", self.end)):
            if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
                raise QueryError(f"{name} is {value!r}; give an aware datetime, such as in UTC.")
        if (self.begin is None) != (self.end is None):
            missing = "begin" if self.begin is None else "end"
            raise QueryError(f"{missing} is missing; one request takes both begin and end or none.")
        if self.begin is not None and self.end is not None and self.begin > self.end:
            raise QueryError(f"begin {self.begin} is after end {self.end}; swap them.")
        try:
            self.params()
        except OverflowError as exc:
            raise QueryError(
                f"begin {self.begin} or end {self.end} leaves the calendar; give nearer times."
            ) from exc

    def filters(self) -> dict[str, str]:
        """The filters that are set, by name, without level, times and paging."""
        return {name: value for name in FILTERS if (value := getattr(self, name)) is not None}

    @property
    def path(self) -> str:
        """The path of the URL, below the endpoint."""
        return f"/{self.api_version}/{self.project_id}/backups"

    @property
    def other_version(self) -> str:
        """The version that was not asked, which may be there where this one is not."""
        return next(version for version in API_VERSIONS if version != self.api_version)

    def params(self) -> tuple[tuple[str, str], ...]:
        """The query parameters in a fixed order, times with a numeric zone (``+0000``)."""
        pairs = [("type", self.level), *self.filters().items()]
        if self.begin is not None and self.end is not None:
            pairs.append(("begin_time", _wire_time(self.begin)))
            is_whole = self.end.microsecond == 0
            pairs.append(("end_time", _wire_time(self.end + timedelta(seconds=not is_whole))))
        pairs += [("limit", str(self.limit)), ("offset", str(self.offset))]
        return tuple(pairs)


def check_project_id(project_id: object) -> str:
    """Give the project id back if it is safe in a path and a URL.

    Raises:
        QueryError: it is not 1 to 64 of ``A-Z a-z 0-9 _ -``.
    """
    if not isinstance(project_id, str) or not _PROJECT_ID.fullmatch(project_id):
        raise QueryError(
            f"project_id is {str(project_id)[:80]!r}; it must be 1 to 64 letters, digits, "
            "'_' or '-' as the console shows under My Credentials."
        )
    return project_id


def parse_moment(value: Moment, name: str, *, now: datetime | None = None) -> datetime:
    """Read a point in time as users write it.

    Args:
        value: datetime (UTC without zone), `pandas.Timestamp`, `numpy.datetime64`, date or month (its
            first midnight in UTC; also a `pandas.Period`), ISO 8601 text, or a time back from now:
            timedelta, or text such as ``7d`` (also ``30m`` for minutes, ``24h``, ``2w``).
        name: the argument's name, for the message.
        now: what times back are counted from; None: this machine's time.

    Returns:
        An aware datetime in UTC, in whole microseconds.

    Raises:
        QueryError: it is no time (text that cannot be read, NaT, a number), or beyond the calendar.

    Examples:
        >>> parse_moment("2026-01", "begin").isoformat()
        '2026-01-01T00:00:00+00:00'
        >>> parse_moment("7d", "begin", now=datetime(2026, 1, 31, tzinfo=UTC)).isoformat()
        '2026-01-24T00:00:00+00:00'
    """
    text = " ".join(str(value).split())[:80]
    shown = f"{name} is {value[:80]!r}" if isinstance(value, str) else f"{name} is {text}"
    if isinstance(value, str):
        value = _read_text(value.strip(), shown)
    elif hasattr(value, "astype"):  # numpy's, without importing numpy for it
        value = _read_numpy(value)
    elif hasattr(value, "start_time"):  # pandas' period, such as a month
        value = value.start_time
    if _is_missing(value):
        raise QueryError(f"{shown}, which is no time; give one, or None for no bound.")
    try:
        if isinstance(value, timedelta):
            if value < timedelta(0):
                raise QueryError(f"{shown}; give a time back from now, such as 7d.")
            return (now or datetime.now(UTC)).astimezone(UTC) - value
        if isinstance(value, datetime):
            # not as it came: pandas' own kind counts nanoseconds
            plain = datetime.combine(value.date(), value.time(), value.tzinfo or UTC)
            return plain.replace(fold=value.fold).astimezone(UTC)
    except OverflowError as exc:
        raise QueryError(f"{shown}, beyond the calendar; give a nearer time.") from exc
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise QueryError(f"{shown}; {_MOMENTS}.")


def _read_text(text: str, shown: str) -> date | timedelta:
    if back := _BACK.fullmatch(text):
        try:
            return timedelta(**{_UNITS[back[2].lower()]: int(back[1])})
        except OverflowError as exc:
            raise QueryError(f"{shown}, beyond the calendar; give less.") from exc
    try:
        return datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text)
    except ValueError as exc:
        raise QueryError(f"{shown}; {_MOMENTS}.") from exc


def _read_numpy(value: Any) -> Any:
    """The Python value of a ``numpy.datetime64`` or ``timedelta64``, to the microsecond."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    names = {"M": "datetime64[us]", "m": "timedelta64[us]"}
    return value.astype(names[kind]).item() if kind in names and not _is_missing(value) else value


def _is_missing(value: object) -> bool:
    """Whether it is NaT, NaN or pandas' NA: what stands for no value, and equals not even itself."""
    try:
        return value is None or bool(value != value)  # noqa: PLR0124 - that is how they are told
    except (TypeError, ValueError):  # pandas' NA; several values
        return type(value).__name__ == "NAType"


def spell_filter(name: str, value: str) -> str:
    """The value of a filter as the service spells it, whatever its case: ``Cassandra``, ``auto``."""
    known = {"datastore_type": ENGINES, "backup_type": BACKUP_TYPES, "level": LEVELS}.get(name, ())
    return next((one for one in known if one.casefold() == value.strip().casefold()), value)


def _wire_time(moment: datetime) -> str:
    return _spell_utc(moment.astimezone(UTC))


@lru_cache(maxsize=64)  # each is checked and then sent, and windows share their begin
def _spell_utc(moment: datetime) -> str:
    # isoformat, because strftime writes years before 1000 without leading zeros
    return moment.replace(microsecond=0, tzinfo=None).isoformat() + "+0000"


def _check_number(name: str, value: object, low: int, high: int | None) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < low or (high is not None and value > high):  # type: ignore[operator]  # is_whole says it is an int
        span = f"from {low} to {high}" if high is not None else f"of {low} or more"
        raise QueryError(f"{name} is {value!r}; give a whole number {span}.")
