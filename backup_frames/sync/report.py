"""What a sync did, for people and for machines.

In: a finished run. Out: a frozen `SyncReport` that prints as a short table, serialises to JSON and
becomes the run's row in ``sync_runs``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..facts import Report
from ..frames.schema import SYNC_RUNS
from ..version import VERSION

if TYPE_CHECKING:
    from ..scan.certificate import Certificate


@dataclass(frozen=True)
class SyncReport(Report):
    """One sync of one project; times are aware UTC.

    Attributes:
        run_id: names the run's row in ``sync_runs``; of a dry run none is written.
        project_id: whose backups.
        verdict: ``complete`` or ``incomplete``.
        reasons: why it is incomplete, or what the deletion guard held back; empty if neither.
        is_full: whether everything was read.
        is_guarded: so many backups would have been marked gone that none was.
        is_dry_run: nothing was written; the report says what a run would do.
        counts: backups by name: ``new``, ``changed``, ``returned``, ``gone`` and ``held_back`` by
            the deletion guard in this run, ``present`` in the lake after it.
        requests: requests sent, probes and retries included.
        expected_requests: dry run: requests that reading would add, about; else None.
        file_count: data files written.
        byte_count: their size in bytes.
        days: dry run: UTC days that would be read, ISO; a full read names those known so far.
        partitions: dry run: the partitions these days are in, ISO.
        as_of: the moment the run stands for, before its first request.
        started_at: when the run began.
        duration_s: seconds it took.
        oldest_verified_at: when the day that waits longest was last read; None without backups.
        certificate: the certificate of the read.
        inventory: instances by name: ``new``, ``changed``, ``gone``, ``present``, and policies as
            ``policies_asked``; empty if none of them was due.
        warnings: what else the reader should know, such as a permission that the inventory lacks;
            it says nothing about the backups.
        damaged: files of the lake that could not be read; what they hold was left alone.
    """

    run_id: str
    project_id: str
    verdict: str
    reasons: tuple[str, ...]
    is_full: bool
    is_guarded: bool
    is_dry_run: bool
    counts: dict[str, int]
    requests: int
    expected_requests: int | None
    file_count: int
    byte_count: int
    days: tuple[str, ...]
    partitions: tuple[str, ...]
    as_of: datetime
    started_at: datetime
    duration_s: float
    oldest_verified_at: datetime | None
    certificate: Certificate
    inventory: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """What the command exits with: 0 done and complete, 5 damaged, 6 incomplete or guarded."""
        if self.damaged:
            return 5
        return 6 if self.verdict != "complete" or self.is_guarded else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values: times as ISO texts, the certificate as its own `to_dict`."""
        plain = super().to_dict()
        certificate = plain.pop("certificate")
        return plain | {"exit_code": self.exit_code, "certificate": certificate}

    def facts(self) -> list[tuple[str, str]]:
        """What it says, heading by heading."""
        moved = ", ".join(
            f"{count:,} {name.replace('_', ' ')}"
            for name, count in self.counts.items()
            if name != "present" and (count or name != "held_back")
        )
        kind = "full" if self.is_full else "incremental"
        facts = [
            ("verdict", self.verdict + (", guarded" if self.is_guarded else "")),
            ("project", self.project_id),
            ("run", f"{self.run_id} ({kind}{', dry run' if self.is_dry_run else ''})"),
            ("as of", f"{self.as_of:%Y-%m-%d %H:%M:%S} UTC"),
            ("backups", f"{self.counts['present']:,} present in the lake"),
        ]
        if self.is_dry_run:
            more = self.expected_requests or 0
            unnamed = "all that the service has" if self.is_full else "none"
            facts += [
                ("requests", f"{self.requests:,} sent to find out, about {more:,} more to read"),
                ("days", _some(self.days) or unnamed),
                ("partitions", _some(self.partitions) or unnamed),
            ]
        else:
            facts += [
                ("changes", moved),
                ("requests", f"{self.requests:,} in {self.duration_s:.1f} s"),
                ("written", f"{self.file_count:,} data files, {self.byte_count:,} bytes"),
            ]
        if self.oldest_verified_at is not None:
            facts.append(("oldest proof", f"{self.oldest_verified_at:%Y-%m-%d %H:%M:%S} UTC"))
        if self.inventory:
            facts.append(("inventory", _counted(self.inventory)))
        facts += [("reason", reason) for reason in self.reasons]
        return [*facts, *(("warning", warning) for warning in self.warnings)]


def run_row(report: SyncReport, *, error: str | None = None) -> pa.Table:
    """The run as one row of ``sync_runs``."""
    certificate = report.certificate
    row = {
        "run_id": report.run_id,
        "project_id": report.project_id,
        "endpoint": certificate.endpoint,
        "started_at": report.started_at,
        "finished_at": report.started_at + timedelta(seconds=report.duration_s),
        "as_of": report.as_of,
        "duration_s": report.duration_s,
        "is_full": report.is_full,
        "verdict": report.verdict,
        "reasons": "\n".join(report.reasons),
        "is_guarded": report.is_guarded,
        "levels": ",".join(certificate.levels),
        "request_count": report.requests,
        "retry_count": certificate.retries,
        "throttle_count": certificate.throttles,
        "range_count": len(certificate.ranges),
        "row_count": certificate.rows,
        "duplicate_count": certificate.duplicates_removed,
        **{f"{name}_count": report.counts[name] for name in ("present", "new", "changed", "gone")},
        "file_count": report.file_count,
        "byte_count": report.byte_count,
        "oldest_verified_at": report.oldest_verified_at,
        "error": error,
        "tool_version": VERSION,
        "caller": certificate.caller,
        "service": certificate.service,
        "api_version": certificate.api_version,
    }
    return pa.Table.from_pylist([row], schema=SYNC_RUNS)


def _counted(counts: dict[str, int]) -> str:
    changes = ", ".join(f"{counts[name]:,} {name}" for name in ("new", "changed", "gone"))
    asked = counts["policies_asked"]
    return f"{counts['present']:,} instances present ({changes}), {asked:,} policies asked"


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:7])
    return f"{len(names):,}: {shown}{', …' if len(names) > 7 else ''}" if names else ""
