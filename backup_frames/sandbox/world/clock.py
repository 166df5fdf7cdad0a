"""The sandbox's own time: stands still until it is advanced, or follows the real clock.

In: a start and `advance` calls. Out: `now()`, which decides what the fleet holds. The same object
answers `monotonic` and `sleep`, so that it can be handed to whatever reads the sandbox as its
clock: then "now" means the fleet's day. Signatures, tokens and the Date header use real time.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

DEFAULT_START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


class SandboxClock:
    """A wall clock that tests and the demo turn by hand.

    Args:
        start: Where it begins; aware, any zone.
        is_live: Whether it also runs on by itself, at the speed of the real clock.

    Example:
        >>> clock = SandboxClock()
        >>> clock.advance(timedelta(days=1)).isoformat()
        '2026-02-01T12:00:00+00:00'
    """

    is_virtual = True
    """Whether comparing it with the Date of an answer says nothing: that one is real."""

    def __init__(self, start: datetime = DEFAULT_START, *, is_live: bool = False) -> None:
        if not isinstance(start, datetime):
            raise TypeError(f"start is {start!r}: give a datetime with a time zone, e.g. UTC")
        if start.tzinfo is None:
            raise ValueError(f"start {start.isoformat()} has no time zone: give one, e.g. UTC")
        self.is_live = is_live
        self._start = start.astimezone(UTC)
        self._advanced = timedelta(0)
        self._born = time.monotonic()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The sandbox's wall clock, in UTC."""
        with self._lock:
            elapsed = time.monotonic() - self._born if self.is_live else 0.0
            return self._start + self._advanced + timedelta(seconds=elapsed)

    def advance(self, by: timedelta) -> datetime:
        """Turn the clock forward and return the new time; backwards is a `ValueError`."""
        if by < timedelta(0):
            raise ValueError(f"the clock cannot go back by {-by}: advance by a positive timedelta")
        with self._lock:
            self._advanced += by
        return self.now()

    def monotonic(self) -> float:
        """Real seconds from an arbitrary start; advancing does not touch them."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait that many real seconds: the server's throttling is real, too."""
        time.sleep(seconds)
