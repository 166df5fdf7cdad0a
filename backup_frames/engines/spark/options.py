"""What a Spark user asks for: options as text, checked, and narrowed by pushed filters.

In: the options of ``spark.read.format("backup_frames")``. Out: a frozen `SourceOptions`, picklable
and without any secret: credentials come from the environment of driver and executors, because Spark
options may turn up in plans, logs and the UI. No Spark is needed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from ...api.query import FILTERS, LEVELS, BackupQuery, Level, check_project_id, parse_moment
from ...errors import ConfigError, QueryError
from ...frames.schema import FRAME_TABLES, TABLES
from ...settings import Settings, load_projects, load_settings
from ...settings.toml_file import SECRETS

CONNECTIONS: Final = 2
"""Requests side by side in one task, unless set: on Spark the tasks bring the parallelism."""

_SETTINGS: Final = (
    "endpoint",
    "region",
    "iam_endpoint",
    "api_version",
    "timeout_s",
    "max_connections",
    "max_requests_per_second",
    "overlap_s",
)
_PLANNING: Final = ("partitions", "rows_per_partition", "concurrency")
_OTHERS: Final = ("table", "lake", "path", "present", "config", "project_id", "level")
_KNOWN: Final = (*_OTHERS, *FILTERS, "begin", "end", *_SETTINGS, *_PLANNING)
_SECRET_OPTION: Final = re.compile(
    rf"{'|'.join(SECRETS)}|.*(password|secret|token|accesskey|credential).*|ak|sk"
)


@dataclass(frozen=True)
class SourceOptions:
    """One read, as asked for.

    Attributes:
        table: ``backups``, ``backup_databases`` or ``backup_tables``; of a lake any of its tables.
        lake: URL of a lake to read instead of the service; None for the service.
        present: of a lake: only backups that are still on the service's list.
        config: TOML file of settings; it must exist on the executors too.
        project_ids: projects to read; empty for those of the settings.
        levels: levels to read.
        filters: filters of the query, by name.
        begin: first begin time, included; None without bound.
        end: end of begin times, excluded; None without bound.
        settings: what goes to `load_settings`, by name; never a secret.
        partitions: wanted per project; None for as many as the rows suggest.
        rows_per_partition: rows that one task should read and hold at most, about.
        concurrency: tasks that run at once, among which a request rate is divided; None for all.
        is_empty: pushed filters contradict each other: nothing can match.
    """

    table: str = "backups"
    lake: str | None = None
    present: bool = True
    config: str | None = None
    project_ids: tuple[str, ...] = ()
    levels: tuple[Level, ...] = LEVELS
    filters: Mapping[str, str] = field(default_factory=dict)
    begin: datetime | None = None
    end: datetime | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    partitions: int | None = None
    rows_per_partition: int = 20_000
    concurrency: int | None = None
    is_empty: bool = False

    @property
    def is_full(self) -> bool:
        """Whether no time bounds the read: rows without begin time belong to it."""
        return self.begin is None and self.end is None

    def load_projects(self) -> list[Settings]:
        """The settings of every project asked for, with the credentials of this machine.

        Raises:
            ConfigError: a setting is missing or wrong.
        """
        if self.project_ids:
            return [
                load_settings(self.config, project_id=one, **self.settings)
                for one in self.project_ids
            ]
        return load_projects(self.config, **self.settings)


def parse_options(options: Mapping[str, str]) -> SourceOptions:
    """Read the options of a Spark read.

    Args:
        options: names (in any case) and texts. ``path``, as ``load(path)`` sets it, is the lake.

    Raises:
        ConfigError: an option is unknown, unreadable, or a secret.
        QueryError: a filter, level or time makes no sense.
    """
    given = {name.lower(): value for name, value in options.items()}
    _check_names(given)
    lake = given.get("lake") or given.get("path")
    table = given.get("table", "backups")
    known = tuple(TABLES) if lake else FRAME_TABLES
    if table not in known:
        raise ConfigError(f"Option table is {table!r}. Choose one of {', '.join(known)}.")
    level = given.get("level")
    if level is not None and level not in LEVELS:
        raise QueryError(f"level is {level!r}; use 'Instance' or 'DatabaseTable'.")
    filters: dict[str, str] = {name: given[name] for name in FILTERS if name in given}
    BackupQuery("check", **filters)  # type: ignore[arg-type]  # it checks its own arguments
    begin, end = (
        parse_moment(given[name], name) if name in given else None for name in ("begin", "end")
    )
    if begin is not None and end is not None and begin > end:
        raise QueryError(f"begin {begin} is after end {end}; swap them.")
    ids = [text.strip() for text in given.get("project_id", "").split(",") if text.strip()]
    parsed = SourceOptions(
        table=table,
        lake=lake,
        present=_flag("present", given.get("present", "true")),
        config=given.get("config"),
        project_ids=tuple(dict.fromkeys(map(check_project_id, ids))),
        levels=tuple(name for name in LEVELS if level in (None, name)),
        filters=filters,
        begin=begin,
        end=end,
        settings={name: given[name] for name in _SETTINGS if name in given},
        partitions=_number("partitions", given.get("partitions")),
        rows_per_partition=_number("rows_per_partition", given.get("rows_per_partition")) or 20_000,
        concurrency=_number("concurrency", given.get("concurrency")),
    )
    if parsed.settings:
        # an unreadable setting is told here, at load(), not by the first task
        load_settings(parsed.config, **parsed.settings)
    return parsed


def narrow_options(options: SourceOptions, filters: Sequence[Any]) -> SourceOptions:
    """Let the service's own query take over what filters it can.

    Args:
        options: the read so far.
        filters: Spark's filters, all of which hold; Spark applies every one of them again, so a
            filter that is taken over only in part, or not at all, is still right.

    Returns:
        A read of a part of the rows that holds all rows for which the filters are true. Comparisons
        of ``begin_time`` and ``begin_date`` narrow the time; equality narrows ``instance_id``,
        ``datastore_type``, ``backup_id``, ``backup_type``, ``backup_level`` and ``project_id``.
    """
    for one in filters:
        path: Sequence[str] = getattr(one, "attribute", ())
        if len(path) != 1:
            continue  # a negation, or a field inside a column
        name, kind, value = path[0], type(one).__name__, getattr(one, "value", None)
        if name in ("begin_time", "begin_date") and isinstance(value, date):
            options = _narrow_time(options, kind, value)
        elif kind in ("EqualTo", "EqualNullSafe", "In"):
            values = value if kind == "In" and isinstance(value, tuple | list) else (value,)
            options = _narrow_values(options, name, [one for one in values if one is not None])
    is_over = options.begin and options.end and options.begin >= options.end
    return replace(options, is_empty=True) if is_over else options


def _narrow_time(options: SourceOptions, kind: str, value: date) -> SourceOptions:
    moment = parse_moment(value, "begin_time") if _is_clear(value) else None
    if moment is None:
        return options
    grain = timedelta(microseconds=1) if isinstance(value, datetime) else timedelta(days=1)
    begin, end = options.begin, options.end
    if kind in ("EqualTo", "EqualNullSafe", "GreaterThan", "GreaterThanOrEqual"):
        begin = moment if begin is None else max(begin, moment)
    if kind in ("EqualTo", "EqualNullSafe", "LessThanOrEqual"):
        end = moment + grain if end is None else min(end, moment + grain)
    if kind == "LessThan":
        end = moment if end is None else min(end, moment)
    return replace(options, begin=begin, end=end)


def _is_clear(value: date) -> bool:
    """Whether a moment has a zone (a date has UTC's), and leaves room for rounding."""
    has_zone = not isinstance(value, datetime) or value.tzinfo is not None
    return has_zone and 1 < value.year < 9999


def _narrow_values(options: SourceOptions, name: str, values: list[Any]) -> SourceOptions:
    if name == "project_id" and options.project_ids:
        ids = tuple(one for one in options.project_ids if one in values)
        return replace(options, project_ids=ids, is_empty=options.is_empty or not ids)
    if name == "backup_level":
        levels = tuple(one for one in options.levels if one in values)
        return replace(options, levels=levels, is_empty=options.is_empty or not levels)
    if name not in FILTERS or name in options.filters or len(values) != 1:
        return options
    try:
        BackupQuery("check", **{name: values[0]})
    except QueryError:
        return options  # no such value can be asked for: Spark finds that nothing matches
    return replace(options, filters={**options.filters, name: values[0]})


def _check_names(given: Mapping[str, str]) -> None:
    for name in given:
        if name in _KNOWN:
            continue
        if _SECRET_OPTION.fullmatch(name):
            raise ConfigError(
                f"Option {name!r} is a secret, and Spark may show options in plans and its UI. Set "
                "it in the environment of driver and executors, such as with the Spark setting "
                "spark.executorEnv.BACKUP_FRAMES_TOKEN before the session starts."
            )
        raise ConfigError(f"There is no option {name!r}. Choose from {', '.join(_KNOWN)}.")


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise ConfigError(f"Option {name} is {text!r}. Give a whole number of 1 or more.")
    return int(text)


def _flag(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ConfigError(f"Option {name} is {text!r}. Give true or false.")
    return text.lower() == "true"
