"""Time as a part that is handed in: what it is now, how long it took, and waiting.

In: what a caller gave. Out: a `Clock` for the client, the scan and the lake. Production uses `SystemClock`;
the simulation in the tests uses a virtual one, so that hours of throttling pass in microseconds.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Protocol

from .errors import ConfigError


class Clock(Protocol):
    """The three things this package asks of time.

    One that is not the machine's, such as the sandbox's, says so by an attribute ``is_virtual``:
    it is not compared with the time that the service's answers tell.
    """

    def now(self) -> datetime:
        """The wall clock, as an aware datetime in UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards, from an arbitrary start."""

    def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""


def clock_or_machines(clock: Clock | None) -> Clock:
    """The clock that was given, or the machine's.

    Raises:
        ConfigError: it is no clock.
    """
    if clock is not None and not callable(getattr(clock, "monotonic", None)):
        raise ConfigError(
            f"clock is {clock!r}; give an object with now, monotonic and sleep, or None."
        )
    return clock or SystemClock()


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The machine's wall clock in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """The machine's monotonic clock, in seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block this thread for that many seconds."""
        time.sleep(seconds)


# Linux' monotonic clock stands still while the machine sleeps, that of macOS does not.
_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_uptime() -> float:
    """Seconds since the machine started, those in which it was suspended included: for leases."""
    return time.clock_gettime(_UPTIME)


@lru_cache(maxsize=8)  # the same for all answers of one second
def read_date(header: str) -> datetime | None:
    """The moment that a ``Date`` header tells, in UTC; None if it tells none."""
    try:
        moment = parsedate_to_datetime(header)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
