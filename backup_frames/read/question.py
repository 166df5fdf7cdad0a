"""What a read is asked for: what people write, checked before any request.

In: filters and moments as users write them. Out: the filters that the service is asked for, those that
are matched after the read, and what may not be as it was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ..api.query import (
    ENGINES,
    FILTERS,
    LEVELS,
    BackupQuery,
    Level,
    Moment,
    parse_moment,
    spell_filter,
)
from ..clock import Clock, clock_or_machines
from ..errors import QueryError, RejectedError
from ..scan.plan import to_span
from ..whole_files import is_utf8
from .keywords import Filter

_INSTANCE_ID = re.compile(r"[0-9a-f]{32}in\d\d")


class Question:
    """What is asked for, checked before any request.

    Args:
        instance_id: only backups of this instance; None for all, likewise the other filters. Of
            several values the service is not asked for any: they are matched after the read.
        instance_name: only backups of instances of this name; always matched after the read.
        datastore_type: only backups of this engine.
        backup_id: only this backup.
        backup_type: ``Auto`` or ``Manual``.
        level: ``Instance``, ``DatabaseTable``, or None for both.
        begin: first begin time, included.
        end: end of begin times, excluded.
        clock: what times back are counted from; None: the machine's.

    Attributes:
        selection: values by filter that are matched after the read.
        warnings: what may not be as it was meant.
        empty_advice: likewise, if nothing is found.

    Raises:
        QueryError: a filter or time makes no sense.
    """

    def __init__(  # noqa: PLR0913 - one keyword per filter
        self,
        *,
        instance_id: Filter = None,
        instance_name: Filter = None,
        datastore_type: Filter = None,
        backup_id: Filter = None,
        backup_type: Filter = None,
        level: Level | Sequence[Level] | None = None,
        begin: Moment | None = None,
        end: Moment | None = None,
        clock: Clock | None = None,
    ) -> None:
        now = clock_or_machines(clock).now()
        self.begin = None if begin is None else parse_moment(begin, "begin", now=now)
        self.end = None if end is None else parse_moment(end, "end", now=now)
        if self.begin is not None and self.end is not None and self.begin > self.end:
            raise QueryError(f"begin {self.begin} is after end {self.end}; swap them.")
        levels = LEVELS if level is None else _read_values("level", level)
        for one in levels:
            BackupQuery("unknown", level=one)  # type: ignore[arg-type]  # refused if it is none
        self.levels: tuple[Level, ...] = tuple(one for one in LEVELS if one in levels)
        given = {
            "instance_id": instance_id,
            "instance_name": instance_name,
            "datastore_type": datastore_type,
            "backup_id": backup_id,
            "backup_type": backup_type,
        }
        values = {
            name: _read_values(name, value) for name, value in given.items() if value is not None
        }
        for name in values.keys() & FILTERS.keys():
            for value in values[name]:
                BackupQuery("unknown", **{name: value})  # type: ignore[arg-type]  # likewise
        sent = {name: one[0] for name, one in values.items() if name in FILTERS and len(one) == 1}
        self._query = BackupQuery("unknown", level=self.levels[0], **sent)  # type: ignore[arg-type]  # filters
        self.selection = {name: one for name, one in values.items() if name not in sent}
        self.warnings = _doubt_engines(values)
        self.empty_advice = _doubt_ids(values.get("instance_id", ()))

    @property
    def is_full(self) -> bool:
        """Whether all of time is asked for, backups without begin time included."""
        return self.begin is None and self.end is None

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The seconds asked for; none if the end is the begin."""
        span = to_span(self.begin, self.end)
        return [span] if span[0] < span[1] else []

    @property
    def filters(self) -> dict[str, str]:
        """The filters that the service is asked for."""
        return self._query.filters()

    def query(self, project_id: str, api_version: Any) -> BackupQuery:
        """The request's filters for a project."""
        return replace(self._query, project_id=project_id, api_version=api_version)


@contextmanager
def naming_filters(question: Question) -> Iterator[None]:
    """Let a refusal say which filters were sent: one of them may be at fault."""
    try:
        yield
    except RejectedError as error:
        if sent := question.filters:
            named = ", ".join(f"{name}={value!r}" for name, value in sent.items())
            error.args = (f"{error} Filters sent: {named}.",)
        raise


def _read_values(name: str, given: Filter) -> tuple[str, ...]:
    """The values of a filter, each once, as the service spells them."""
    is_one = isinstance(given, (str, bytes)) or not isinstance(given, Iterable)
    values: list[object] = [given] if is_one else list(given)  # type: ignore[arg-type]  # by is_one
    if not values:
        raise QueryError(f"{name} is empty; give a value, or None for all.")
    found = dict[str, None]()
    for value in values:
        if not isinstance(value, str) or not value.strip() or not is_utf8(value):
            raise QueryError(
                f"{name} is {value!r}; give a text, several in a list, or None for all."
            )
        found[spell_filter(name, value)] = None
    return tuple(found)


def _doubt_engines(values: Mapping[str, Sequence[str]]) -> list[str]:
    unknown = [one for one in values.get("datastore_type", ()) if one not in ENGINES]
    if not unknown:
        return []
    text = (
        f"datastore_type is {', '.join(map(repr, unknown))}, which the service's reference does not "
        f"name; it names {', '.join(ENGINES)}. Asked all the same, with these filters: "
        f"{', '.join(values)}."
    )
    return [text]


def explain_selection(selection: Mapping[str, Sequence[str]]) -> list[str]:
    """What a certificate says of filters that were matched after the read."""
    if not selection:
        return []
    text = (
        f"{', '.join(selection)}: matched after the read; all backups that the other filters let "
        "through were read and proven complete, and then these values were picked"
    )
    return [text]


def _doubt_ids(instance_ids: Sequence[str]) -> list[str]:
    return [
        f"instance_id {one!r} matches no backup and does not look like an id (32 hexadecimal digits, "
        f"'in' and two digits). If it is a name, pass instance_name={one!r}."
        for one in instance_ids
        if not _INSTANCE_ID.fullmatch(one)
    ]
