"""What a read assumes of the service, how each assumption is proven, and what follows if it fails.

In: queries out, pages in, as generators, so that a read, a simulation and `doctor` run the same code.
Out: what was seen. No public document says what the service's windows of time select on, so nothing
here is believed; `ASSUMPTIONS` is the whole list.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeVar

from ..api.answers import Page
from ..api.json_text import parse_json
from ..api.query import FILTERS, BackupQuery
from ..api.wire.times import read_seconds
from ..errors import RejectedError
from .checks import STRAYED, find_breach
from .plan import CEILING_S, FLOOR_S, ask_window, look_at, to_moment

MIN_DURATION_S: Final = 3
"""Shorter backups prove nothing: a second around the begin and one around the end would touch."""
ASKS: Final = 3
"""Times a look is asked whose answer contradicts itself, or speaks against an assumption."""

UNCLEAR: Final = "too many backups began in the same second, or the answers contradict themselves"

_T = TypeVar("_T")


class Assumption(NamedTuple):
    """One line of `ASSUMPTIONS`."""

    name: str
    assumed: str
    proof: str
    otherwise: str


ASSUMPTIONS: Final = (
    Assumption(
        "time filter",
        "begin_time and end_time select backups by when they began",
        "a backup that took 3 s or more is in the window from a second before its begin on, and in "
        "the window up to a second after it; where these are refused or capped: in the window of a "
        "second around its begin, and not in one from after its begin to its end",
        "read by offset, incomplete, nothing marked gone; without such a backup: told, no reason, "
        "unless others show in no window that should hold them",
    ),
    Assumption(
        "window width",
        "a window holds all of its rows, however wide it is",
        "the two windows above hold as many rows as the list without times",
        "narrower windows are asked, as after a refusal",
    ),
    Assumption(
        "level",
        "type tells the two levels apart",
        "no backup is among the newest of both levels, none with database_tables comes as Instance",
        "of backups at both, the level is taken from database_tables; told in either case; if only "
        "table-level ones are asked and the other list alone holds one: incomplete",
    ),
    Assumption(
        "filters",
        "instance_id, datastore_type, backup_id and backup_type select rows with that very value",
        "every row is checked; of the newest and of the oldest rows without filters those that match "
        "are in the answer; where none does, likewise with what the newest or oldest row shows",
        "rows that do not match are left out, and told; a matching row that a filter hides: read by "
        "offset without it, incomplete, nothing marked gone",
    ),
    Assumption(
        "counts",
        "total_count counts the rows that windows of time show",
        "after a full read the rows found are as many as the list without times counts, if it "
        "counted the same before and nothing moved",
        "read by offset, incomplete, nothing marked gone",
    ),
    Assumption(
        "limit",
        "an answer holds min(limit, rows left) rows, newest first",
        "every answer is checked",
        "the limit is lowered to what comes; else the range is incomplete",
    ),
)
"""The one table of assumptions: what is assumed, how it is proven, what happens if it is not so."""


@dataclass(frozen=True, slots=True)
class ServiceProof:
    """What a read has proven of the service.

    Attributes:
        at_s: when it was proven, in epoch seconds.
        backups: per level, the id of the backup that proved the time filter; None: none qualifies.
        failures: assumptions that failed, a text each; then nothing may be marked gone.
        is_level_ignored: the service ignores ``type``; levels come from ``database_tables``.
        max_window_s: widest window that holds all its rows, in seconds; None: none lacked any.
        left_out: rows that came though they do not match, by filter.
        misplaced: rows that came as Instance, but have ``database_tables``; their level is left so.
    """

    at_s: int
    backups: dict[str, str | None] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    is_level_ignored: bool = False
    max_window_s: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    misplaced: int = 0

    @property
    def notes(self) -> list[str]:
        """What the service does differently, without harm to the read, a text each."""
        notes = [
            f"{name}: the service does not keep to it; {count} rows that do not match were left out"
            for name, count in self.left_out.items()
        ]
        if self.is_level_ignored:
            notes.append(
                "type: the service lists the same backups at both levels, so the level is taken "
                "from database_tables; table-level backups are missing if it lists none at either"
            )
        if self.misplaced:
            notes.append(
                f"type: {self.misplaced} backups came as Instance, but have database_tables as "
                "table-level ones do; their level is left as the service says"
            )
        if self.max_window_s is not None:
            days = self.max_window_s / 86400
            notes.append(
                f"window width: wider ones are refused or lack rows; {days:.1f} days were asked at once"
            )
        return notes

    def describe(self) -> str:
        """The time filter's proof in words, level by level."""
        at = f"{to_moment(self.at_s):%Y-%m-%d %H:%M} UTC"
        failed = {failure.partition(":")[0] for failure in self.failures}
        texts = []
        for level, one in self.backups.items():
            text = f"proven by backup {one}, {at}" if one else "not proven: no backup qualifies"
            texts.append(f"{level}: {'failed' if level in failed else text}")
        return "; ".join(texts)


class TimedRow(NamedTuple):
    """A backup that can prove what a window of time selects on."""

    backup_id: str
    begin_s: int
    end_s: int

    @property
    def is_long(self) -> bool:
        """Whether it can prove the time filter; a short one can only speak against it."""
        return self.end_s - self.begin_s >= MIN_DURATION_S


def read_rows(page: Page) -> list[dict[str, Any]]:
    """The rows of an answer, as sent."""
    rows: list[dict[str, Any]] = parse_json(page.body)["backups"]
    return rows


def filter_value(row: dict[str, Any], name: str) -> object:
    """What a row, as sent, shows for a filter; None if nothing."""
    value: Any = row
    for key in FILTERS[name]:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def find_qualifying(page: Page) -> list[TimedRow]:
    """The backups of an answer that began and ended 3 s or more apart, the most telling first.

    A begin at a whole minute or midnight would also fit a service that cuts its times there. A row
    far down, or one of many in a second, might be pushed off the answer that should hold it; the
    very newest are the likeliest to change.
    """
    found = []
    for rank, (row, begin_s) in enumerate(zip(read_rows(page), page.begin_s, strict=True)):
        try:
            end_s = read_seconds(row.get("end_time") or "")
        except (ValueError, TypeError, AttributeError):
            continue
        if begin_s is None or not FLOOR_S < begin_s <= end_s - MIN_DURATION_S < CEILING_S:
            continue
        is_far = rank > page.query.limit // 2
        is_round = not 1 < begin_s % 60 < 59
        ties = sum(s is not None and abs(s - begin_s) <= 1 for s in page.begin_s)
        found.append((is_far, is_round, ties, -rank, TimedRow(page.ids[rank], begin_s, end_s)))
    return [row for *_, row in sorted(found)]


def find_begun(page: Page) -> list[TimedRow]:
    """The backups of an answer with a begin time, as if none took any time, the newest last."""
    rows = zip(page.ids, page.begin_s, strict=True)
    begun = [TimedRow(one, s, s) for one, s in rows if s is not None and FLOOR_S < s < CEILING_S]
    return begun[: page.query.limit // 2][::-1]


def ask_sound(query: BackupQuery) -> Generator[BackupQuery, Page, Page]:
    """Ask until an answer does not contradict itself; after three times the last one must do.

    Where fewer rows come than are due, as many are asked for as come: it may cap pages silently.
    """
    page = yield query
    for _ in range(ASKS - 1):
        if find_breach(page) is None:
            break
        if 0 < len(page.ids) < min(query.limit, page.total_count - query.offset):
            query = replace(query, limit=len(page.ids))
        page = yield query
    return page


def prove_row(query: BackupQuery, row: TimedRow) -> Generator[BackupQuery, Page, str | None]:
    """Whether two windows, around a backup's begin and after it, select on when backups begin.

    Args:
        query: level and filters.
        row: a backup on the list; only the first window is asked about a short one.

    Returns:
        None if so; `UNCLEAR` if nothing can be told from it; else what was seen. Costs two requests, up
        to six if it fails.

    Raises:
        RejectedError: the service refuses even such windows.
    """
    fault = yield from _prove_begin(query, row)
    if fault is not None or not row.is_long:
        return fault
    when = f"{to_moment(row.begin_s):%FT%TZ}"
    after = ask_window(query, row.begin_s + 2, row.end_s + 1)
    page = yield from _ask_until(after, row, is_held=False)
    if page.total_count > page.query.limit:  # too many to see it among
        around = look_at(query, row.end_s, row.end_s + 1)
        page = yield from _ask_until(around, row, is_held=False)
    if find_breach(page) == STRAYED or row.backup_id in page.ids:
        return f"a window from after {when} on holds backups that began before it"
    return None


def _prove_begin(query: BackupQuery, row: TimedRow) -> Generator[BackupQuery, Page, str | None]:
    """Whether the window around a backup's begin holds it, and no backup that began elsewhere."""
    when = f"{to_moment(row.begin_s):%FT%TZ}"
    page = yield from _ask_until(look_at(query, row.begin_s, row.begin_s + 1), row, is_held=True)
    if (breach := find_breach(page)) is not None and breach != STRAYED:
        return UNCLEAR
    if breach == STRAYED:
        return f"a window of one second around {when} holds rows that began at other times"
    if row.backup_id not in page.ids:
        if page.total_count > page.query.limit:
            return UNCLEAR
        return f"a window of one second around {when} does not hold a backup that began then"
    return None


def _ask_until(
    look: BackupQuery, row: TimedRow, *, is_held: bool
) -> Generator[BackupQuery, Page, Page]:
    """Ask until the answer is sound and as hoped; after three times the last one counts."""
    for _ in range(ASKS):
        page = yield look
        if find_breach(page) is None and (row.backup_id in page.ids) == is_held:
            break
    return page


def prove_cut(query: BackupQuery, row: TimedRow) -> Generator[BackupQuery, Page, int | None]:
    """Whether the two widest windows that meet at a backup's begin both hold it.

    A window from a second before its begin on and one up to a second after it both hold it only if
    what the service looks at lies within a second of its begin.

    Returns:
        How many rows the two hold; fewer than the list without times means that wide windows do not
        hold all rows. None if one of them does not hold the backup. Costs two requests.
    """
    upper = yield from ask_sound(ask_window(query, row.begin_s - 1, CEILING_S))
    lower = yield from ask_sound(ask_window(query, FLOOR_S, row.begin_s + 1))
    if find_breach(upper) or find_breach(lower):
        return None
    both = set(upper.ids) & set(lower.ids)
    if row.backup_id not in both:
        return None
    return upper.total_count + lower.total_count - len(both)


def find_ends(query: BackupQuery, row: TimedRow) -> Generator[BackupQuery, Page, tuple[bool, bool]]:
    """Whether a window includes its begin and its end, told by two requests about a known backup."""
    first = yield ask_window(query, row.begin_s, row.begin_s + 1)
    last = yield ask_window(query, row.begin_s - 1, row.begin_s)
    return row.backup_id in first.ids, row.backup_id in last.ids


def drive(steps: Generator[BackupQuery, Page, _T], fetch: Callable[[BackupQuery], Page]) -> _T:
    """Run one of the generators above with a function that asks; refusals are told to it."""
    try:
        query = next(steps)
        while True:
            try:
                page = fetch(query)
            except RejectedError as refused:
                query = steps.throw(refused)
            else:
                query = steps.send(page)
    except StopIteration as end:
        result: _T = end.value
        return result
