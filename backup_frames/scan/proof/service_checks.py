"""Does the service do what `assumptions` lists? The lines of ``backup-frames doctor`` about that.

In: a project's query and a function that asks. Out: a `Check` per assumption with what was seen; what
no backup of the list can prove is said, and is no failure. About 25 requests.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from ...api.answers import Page
from ...api.doctor import Check, failed_check, failure_shape
from ...api.query import FILTERS, LEVELS, BackupQuery, Level
from ...api.wire.times import read_seconds
from ...errors import BackupFramesError, QueryError, RejectedError
from ..assumptions import (
    ASKS,
    TimedRow,
    ask_sound,
    drive,
    filter_value,
    find_ends,
    find_qualifying,
    read_rows,
)
from ..checks import find_breach
from ..finished import Window
from ..plan import CEILING_S, DAY_S, FLOOR_S, look_at
from .trial import Trial, find_hidden, matches

Fetch = Callable[[BackupQuery], Page]
Pages = Mapping[Level, Page]

_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z")

REPORT: Final = "Please report it with the output of: backup-frames doctor --share"
BY_OFFSET: Final = f"Reads go by offset, end incomplete and mark nothing gone. {REPORT}"


def check_service(query: BackupQuery, fetch: Fetch, *, now_s: int) -> Iterator[Check]:
    """Check limit, time formats, level, time filter, ends, window width, filters and counts.

    Args:
        query: the project; without filters and times.
        fetch: asks the service for one page.
        now_s: this moment, in seconds since 1970.

    Yields:
        A check per assumption, one per level for the time filter. An error of the service ends them
        with a failed check.
    """
    try:
        newest = {level: drive(ask_sound(replace(query, level=level)), fetch) for level in LEVELS}
        limit_check, limit = _check_limit(newest, query.limit)
        yield limit_check
        yield _check_time_formats(newest)
        if limit == 0:
            return
        yield _check_level(newest)
        yield from _check_times(replace(query, limit=limit), fetch, now_s)
        largest = max(newest.values(), key=lambda page: len(page.ids))
        yield _check_filters(replace(largest.query, limit=limit), largest, fetch)
        yield _check_counts(newest, fetch)
    except BackupFramesError as error:
        left_out = "What is assumed of the service is not checked to the end."
        yield failed_check("assumptions", error, left_out=left_out)


def _check_limit(newest: Pages, limit: int) -> tuple[Check, int]:
    """Whether pages are as large as asked, and the limit to go on with; 0 if no rows come."""
    for page in newest.values():
        rows, due = len(page.ids), min(limit, page.total_count)
        if rows < due:
            message = f"{rows} rows came where {due} were due. Reads ask for as many as come"
            if rows == 0:
                message = f"no rows came where total_count is {page.total_count}. {REPORT}"
            return Check("limit", is_ok=False, message=message, shape=f"{rows} of {due}"), rows
        if breach := find_breach(page):
            return Check("limit", is_ok=False, message=f"{breach}. {REPORT}"), limit
    rows = max(len(page.ids) for page in newest.values())
    if rows < limit:
        return _unproven("limit", f"no level has {limit} backups"), limit
    return Check("limit", is_ok=True, message=f"{rows} rows a page", shape=str(rows)), limit


def _check_time_formats(newest: Pages) -> Check:
    """Whether all times can be read; how they look is told by `shapes`."""
    odd = 0
    for page in newest.values():
        for row in read_rows(page):
            try:
                read_seconds(row.get("end_time") or "1970-01-01T00:00:00")
            except (ValueError, TypeError, AttributeError):
                odd += 1
    if odd:
        message = f"{odd} end times cannot be read and are null in the tables. {REPORT}"
        return Check("time formats", is_ok=False, message=message)
    if not any(page.ids for page in newest.values()):
        return _unproven("time formats", "no backup is listed")
    return Check("time formats", is_ok=True, message="every time of the newest backups is readable")


def _check_level(newest: Pages) -> Check:
    pages = list(newest.values())
    if shared := set(pages[0].ids) & set(pages[1].ids):
        message = (
            f"the service ignores type: {len(shared)} of the newest backups are listed at both "
            f"levels. Reads take the level from database_tables. {REPORT}"
        )
        return Check("level", is_ok=False, message=message)
    if not any(page.ids for page in pages):
        return _unproven("level", "no backup is listed")
    return Check("level", is_ok=True, message="no backup is among the newest of both levels")


def _check_times(query: BackupQuery, fetch: Fetch, now_s: int) -> Iterator[Check]:
    """Time filter, ends and window width: what `begin_time` and `end_time` do."""
    window = Window(now_s)
    proven: list[tuple[BackupQuery, TimedRow]] = []
    for level in LEVELS:
        name, asked = f"time filter {level}", replace(query, level=level)
        trial = Trial(asked, window)
        drive(trial.steps(), fetch)
        if trial.failure:
            message = f"{trial.failure.removeprefix(f'{level}: ')}. {BY_OFFSET}"
            shape = _MOMENT.sub("one time", trial.failure)
            yield Check(name, is_ok=False, message=message, shape=shape)
        elif trial.backup_id is None or trial.page is None:
            yield _unproven(name, "no backup qualifies")
        else:
            yield Check(name, is_ok=True, message=f"proven by backup {trial.backup_id}")
            rows = find_qualifying(trial.page)
            proven += [(asked, row) for row in rows if row.backup_id == trial.backup_id]
    yield _check_ends(proven, fetch)
    yield _check_width(query, window, fetch, is_proven=bool(proven))


def _check_ends(proven: list[tuple[BackupQuery, TimedRow]], fetch: Fetch) -> Check:
    """Which ends of a window are included; reads ask a second beyond, so either will do."""
    if not proven:
        return _unproven("ends", "the time filter is not proven")
    try:
        ends = drive(find_ends(*proven[0]), fetch)
    except RejectedError as error:
        return _unproven("ends", f"a window of one second is refused ({failure_shape(error)})")
    seen = ", ".join(
        f"{name} {'included' if is_in else 'excluded'}"
        for name, is_in in zip(("begin_time", "end_time"), ends, strict=True)
    )
    return Check("ends", is_ok=True, message=seen, shape=seen)


def _check_width(query: BackupQuery, window: Window, fetch: Fetch, *, is_proven: bool) -> Check:
    refusal = ""
    try:
        fetch(replace(look_at(query, FLOOR_S, CEILING_S), limit=1))
    except RejectedError as error:
        refusal = failure_shape(error)
    width_s = window.silent_s if window.max_s is None else window.max_s
    if refusal or width_s is not None:
        seen = f"refused ({refusal})" if refusal else "answered without some of their rows"
        message = f"wide windows are {seen}"
        if width_s is not None:
            message += f"; {width_s / DAY_S:.2g} days are answered in full"
        advice = f"Reads ask narrower windows, with more requests. {REPORT}"
        return Check("window width", is_ok=False, message=f"{message}. {advice}", shape=message)
    if not is_proven:
        return _unproven("window width", "the time filter is not proven")
    return Check("window width", is_ok=True, message="a window of all times holds every backup")


def _check_filters(query: BackupQuery, newest: Page, fetch: Fetch) -> Check:
    """Each filter with a value of the newest backups, and if they are alike, with one of none."""
    if not newest.ids:
        return _unproven("filters", "no backup is listed")
    wrong, unsure = list[str](), list[str]()
    for name in FILTERS:
        fault = _try_filter(query, newest, name, fetch)
        if fault is None:
            unsure.append(name)
        elif fault:
            wrong.append(f"{name} {fault}")
    if wrong:
        seen = "; ".join(wrong)
        message = f"{seen}. Reads check each row and say what they left out. {REPORT}"
        return Check("filters", is_ok=False, message=message, shape=seen)
    message = "all rows match what was asked"
    if unsure:
        message += f"; values of the list are refused for {', '.join(unsure)}"
    return Check("filters", is_ok=True, message=message, shape=message)


def _try_filter(query: BackupQuery, newest: Page, name: str, fetch: Fetch) -> str | None:
    """What a filter does wrong; empty if nothing, None if the value is refused."""
    shown = (filter_value(row, name) for row in read_rows(newest))
    values = Counter(value for value in shown if isinstance(value, str) and value)
    rarest = values.most_common()[-1][0] if values else ""
    if name == "datastore_type":
        rarest = rarest.casefold()  # engines are named in either case, asked in lower case
    found = _ask_filter(query, name, rarest, fetch)
    strays = _find_strays(found, name, rarest)
    if len(values) < 2:  # alike: it takes a value that none of them has to tell
        other = _other_value(name, rarest)
        strays += _find_strays(_ask_filter(query, name, other, fetch), name, other)
    if found is None:
        return None
    if not found.ids:
        return "finds nothing for a value of the list"
    if _is_hiding(newest, found, name, rarest, fetch):
        return "hides some backups with a value of the list"
    return "lets other backups through" if strays else ""


def _ask_filter(query: BackupQuery, name: str, value: str, fetch: Fetch) -> Page | None:
    """The newest rows for a filter; None if the value is refused."""
    try:
        return drive(ask_sound(replace(query, **{name: value})), fetch)  # type: ignore[arg-type]  # a filter's name
    except (QueryError, RejectedError):
        return None


def _is_hiding(newest: Page, found: Page, name: str, value: str, fetch: Fetch) -> bool:
    """Whether a filter hides some of the newest rows; asked again, since one may just have gone."""
    hidden = find_hidden(newest, found, {name: value})
    return bool(
        hidden and hidden & find_hidden(fetch(newest.query), fetch(found.query), {name: value})
    )


def _find_strays(page: Page | None, name: str, value: str) -> list[dict[str, Any]]:
    rows = read_rows(page) if page is not None else []
    return [row for row in rows if not matches(row, {name: value})]


def _other_value(name: str, value: str) -> str:
    if name == "backup_type":
        return "Manual" if value == "Auto" else "Auto"
    if name == "datastore_type":
        return "redis" if value != "redis" else "cassandra"
    return "0" * 32 + ("in06" if name == "instance_id" else "br06")


def _check_counts(newest: Pages, fetch: Fetch) -> Check:
    """Whether the last row stands where total_count says."""
    if not any(page.total_count for page in newest.values()):
        return _unproven("counts", "no backup is listed")
    for level, page in newest.items():
        total = page.total_count
        for _ in range(ASKS):
            if total == 0:
                break
            try:
                last = fetch(replace(page.query, offset=total - 1, limit=2))
            except RejectedError as error:
                return _unproven("counts", f"deep offsets are refused ({failure_shape(error)})")
            if last.total_count == total and len(last.ids) == 1:
                break
            total = last.total_count  # the list moves
        else:
            message = f"{level}: the last backup does not stand where total_count says. {REPORT}"
            return Check("counts", is_ok=False, message=message)
    return Check("counts", is_ok=True, message="the last backup stands where total_count says")


def _unproven(name: str, why: str) -> Check:
    text = f"not proven: {why}"
    return Check(name, is_ok=True, message=text, shape=text)
