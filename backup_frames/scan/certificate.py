"""What a read proves: who was asked what, what came back, and the verdict.

In: a question, its finished ranges and the gate's counts. Out: a frozen `Certificate` that prints as
a short table, serialises to JSON, and rides on the frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ..api.scrub import as_printable
from ..facts import Report
from ..version import VERSION
from .assumptions import ServiceProof
from .finished import FinishedRange
from .plan import to_moment

Verdict = Literal["complete", "incomplete"]
_SHOWN_REASONS = 5


@dataclass(frozen=True, slots=True)
class RangeCount:
    """One finished range of a read; times are UTC, None for the rows without begin time."""

    level: str
    begin: datetime | None
    end: datetime | None
    rows: int
    requests: int
    repeats: int
    is_certified: bool

    @classmethod
    def of(cls, done: FinishedRange) -> RangeCount:
        """The counts of a finished range, without its rows."""
        return cls(
            level=done.level,
            begin=None if done.begin_s is None else to_moment(done.begin_s),
            end=None if done.end_s is None else to_moment(done.end_s),
            rows=done.row_count,
            requests=done.request_count,
            repeats=done.repeat_count,
            is_certified=not done.reasons,
        )


@dataclass(frozen=True, slots=True)
class Certificate(Report):
    """The proof that rides on every read.

    A verdict of ``complete`` promises: every backup that the service showed to these credentials for
    the whole read is in the frames, once. Times are aware UTC.

    Attributes:
        endpoint: the service that was asked.
        project_id: whose backups.
        filters: the filters that were set, by name.
        levels: the levels asked: ``Instance``, ``DatabaseTable`` or both.
        begin: start of the begin times asked, included; None without lower bound.
        end: their end, excluded; None without upper bound.
        as_of: when the read began; what came later may be missing.
        verdict: ``complete`` or ``incomplete``.
        reasons: why it is incomplete, a text each; empty if it is complete.
        rows: backups in the frames.
        requests: requests sent, logins and retries included.
        retries: requests that were tried again after a failure.
        throttles: times the service said "too many requests".
        duplicates_removed: rows seen more than once, or beyond their range, and dropped.
        unknown_values: values the reference page does not name, by column.
        odd_value_count: values of the wrong type or unreadable: null in their column, as sent in
            ``extra``.
        first_odd_value: the first of them: ``backup_id``, ``field``, ``text`` (JSON, cut).
        duration_s: seconds the read took.
        ranges: what was read, range by range.
        proof: what was proven of the service, and by which backups; None: nothing was tried.
        oldest_verified_at: in a sync: when the day that waits longest was last verified.
        service: which service's backups: ``geminidb``.
        api_version: of the list that was asked: ``v3.1`` or ``v4``.
        tool_version: of this package.
        caller: who asked: the kind of credential, with a fingerprint of access key ID or of account
            and user, such as ``keys 1f6a90b2``; ``token`` for a bare token. Never a secret.
        warnings: what the reader should know though it leaves the verdict alone, such as a wrong
            clock, or credentials other than the last run's that may be shown less.
    """

    endpoint: str
    project_id: str
    filters: dict[str, str]
    levels: tuple[str, ...]
    begin: datetime | None
    end: datetime | None
    as_of: datetime
    verdict: Verdict
    reasons: list[str]
    rows: int
    requests: int
    retries: int
    throttles: int
    duplicates_removed: int
    unknown_values: dict[str, list[str]]
    duration_s: float
    ranges: tuple[RangeCount, ...] = field(repr=False)
    oldest_verified_at: datetime | None = None
    proof: ServiceProof | None = None
    service: str = "geminidb"
    api_version: str = "v3.1"
    tool_version: str = VERSION
    caller: str = "unknown"
    warnings: list[str] = field(default_factory=list)
    odd_value_count: int = 0
    first_odd_value: dict[str, str] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the verdict is ``complete``."""
        return self.verdict == "complete"

    def facts(self) -> list[tuple[str, str]]:
        """What it says, heading by heading."""
        span = f"{_day(self.begin, 'the first backup')} to {_day(self.end, 'the last')}"
        facts = [
            ("verdict", self.verdict),
            ("backups", f"{self.rows:,}"),
            ("asked", f"{self.project_id} at {self.endpoint}, {self.service} {self.api_version}"),
            ("asked by", f"{self.caller}, backup-frames {self.tool_version}"),
            ("levels", ", ".join(self.levels)),
            ("begin times", span),
            ("as of", f"{self.as_of:%Y-%m-%d %H:%M:%S} UTC"),
            (
                "requests",
                (
                    f"{self.requests:,} in {self.duration_s:.1f} s "
                    f"({self.retries:,} retried, {self.throttles:,} throttled)"
                ),
            ),
            ("ranges", f"{len(self.ranges):,}"),
            ("duplicates removed", f"{self.duplicates_removed:,}"),
        ]
        if self.filters:
            facts.insert(5, ("filters", ", ".join(f"{k}={v}" for k, v in self.filters.items())))
        for column, values in self.unknown_values.items():
            facts.append((f"unknown {column}", ", ".join(values)))
        if self.oldest_verified_at:
            facts.append(("oldest proof", f"{self.oldest_verified_at:%Y-%m-%d %H:%M:%S} UTC"))
        if self.proof:
            facts += [("time filter", self.proof.describe())] if self.proof.backups else []
            facts += [("note", note) for note in self.proof.notes]
        facts += [("warning", warning) for warning in self.warnings]
        facts += [("reason", reason) for reason in self.reasons[:_SHOWN_REASONS]]
        if len(self.reasons) > _SHOWN_REASONS:
            facts.append(("reason", f"… and {len(self.reasons) - _SHOWN_REASONS} more"))
        return facts


def describe_odd_values(count: int, first: dict[str, str] | None) -> list[str]:
    """A warning about values that no column could take; none if there are none."""
    if first is None:
        return []
    shown = {name: as_printable(text) for name, text in first.items()}
    warning = (
        f"odd values: {count:,}, the first {shown['field']} = {shown['text']} of backup "
        f"{shown['backup_id']}: null in the column, as sent in extra. Report it to the service."
    )
    return [warning]


def _day(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
