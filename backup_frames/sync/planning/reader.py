"""What a sync asks of the service's side; `backup_frames.read.one_liners.BackupReader` answers it.

In: spans of seconds. Out: parts (rows, and which spans they cover), counts, and the certificate.
The lake knows no HTTP: this protocol is the wall.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from ...scan.ranges import Span

if TYPE_CHECKING:
    from ...frames.frames import Part
    from ...scan.assumptions import ServiceProof
    from ...scan.certificate import Certificate


class Reader(Protocol):
    """One read of one project, at one moment.

    Attributes:
        known: what an earlier read has proven of the service; set to None to prove it anew.
    """

    known: ServiceProof | None

    @property
    def now_s(self) -> int:
        """The read's moment, before its first request; see `correct_clock`."""

    @property
    def begin_floor_s(self) -> int:
        """Where a full read begins: no backup is older."""

    @property
    def end_ceiling_s(self) -> int:
        """Where a full read ends: beyond now."""

    @property
    def filter_ends(self) -> tuple[bool, bool]:
        """Whether the service counts a span's begin and end as inside, as far as is known."""

    @property
    def certificate(self) -> Certificate:
        """The certificate of everything scanned so far."""

    def scan(self, spans: Sequence[Span], *, is_full: bool = False) -> Iterator[Part]:
        """Read the spans at both levels, streamed in any order; each part covers what it says.

        Args:
            spans: what to read, disjoint.
            is_full: read backups without begin time as well.
        """

    def scan_untimed(self) -> Iterator[Part]:
        """Read the backups that no window of time shows, at both levels: some requests each."""

    def count_all(self, level: str) -> int:
        """Ask how many backups there are, with begin time or without: one request."""

    def correct_clock(self) -> float | None:
        """Let `now_s` be by the service's clock, as far as its answers so far have told the time.

        Returns:
            Seconds by which this machine's clock is ahead, if they matter; else None.
        """

    def count(self, level: str, begin_s: int, end_s: int) -> int:
        """Ask how many backups began in ``[begin_s - 1, end_s]``: one request."""
