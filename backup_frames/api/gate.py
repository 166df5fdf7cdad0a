"""One gate for all requests to the service: rate, pauses, retry budget, and giving up.

In: what each request met (an answer, a 429, a failure). Out: when the next request may start, and
the error itself when it is time to stop trying. Shared by all threads of a client.

What is tried again, and how often:

- 5xx, 408, 425, timeouts, broken connections, 2xx bodies that are no JSON: 4 tries of a request
  while nothing has succeeded yet (about 0.5, 1 and 2 s apart: a wrong address shows soon), else 8
  tries (up to 20 s apart);
- JSON outside the contract: 3 tries, since a fault that passes is rare there;
- 429, and 5xx with Retry-After: as long as it takes, within the limits of a run;
- any other 4xx, a redirect, a certificate that is not trusted: never;
- in a run: 40 retries and a tenth of the requests that succeeded; and it ends after 13 minutes of
  nothing but failures, or at once if a Retry-After goes beyond them.

Why not a retry library: these wait per call. Here a 429 met by one thread pauses them all, and one
request probes after each pause. A server that names its limit is held to its word: so many
requests per period from then on. Waste stays small by one rule: for every 20 requests that went
through between two pauses, one may run into the next pause, and one may try whether it is over. So
many go side by side, and so often is a window of time tried. The clock is handed in, so that the
simulation lives through hours of throttling in milliseconds.

Source: the gateway's text ``The throttling threshold has been reached: policy user over
ratelimit,limit:200,time:5 minute`` (APIGW.0308); its windows are whole minutes.
"""

from __future__ import annotations

import random
import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from math import ceil
from typing import Final

from ..clock import Clock
from ..errors import FetchError, SchemaError, ThrottledError, UnavailableError

MAX_ATTEMPTS_COLD: Final = 4
MAX_ATTEMPTS: Final = 8
MAX_CONTRACT_ATTEMPTS: Final = 3
GIVE_UP_AFTER_S: Final = 780.0
RETRY_FLOOR: Final = 40
RETRY_SHARE: Final = 0.10
FEWEST_CONNECTIONS: Final = 2
MOST_CONNECTIONS: Final = 32
"""Requests side by side, where no number is given: so many as `connections_for` says between these."""

_BACKOFF_S: Final = 0.5
_MAX_BACKOFF_S: Final = 20.0
_WINDOW_S: Final = 60.0  # of a server that does not name its own
_REQUESTS_PER_WASTE: Final = 20
_MAX_TRIES: Final = 30  # of one window
_MAX_LOG: Final = 100_000
_SLICE_S: Final = 1.0
_TURN_S: Final = 0.05
_PAGE_S: Final = 0.0015  # what a page costs this machine, which takes in one after the other


def connections_for(latency_s: float) -> int:
    """How many requests side by side are worth it if the service answers one in so many seconds.

    Example:
        >>> [connections_for(latency_s) for latency_s in (0.001, 0.02, 0.08, 0.5)]
        [2, 15, 32, 32]
    """
    return min(max(ceil(latency_s / _PAGE_S) + 1, FEWEST_CONNECTIONS), MOST_CONNECTIONS)


@dataclass(slots=True)
class GateCounts:
    """What went through the gate so far."""

    requests: int = 0
    retries: int = 0
    throttles: int = 0


class Gate:
    """Decides when a request may start and whether a failed one may be tried again.

    Args:
        clock: time and waiting.
        max_requests_per_second: an own limit, None for none.
        rng: jitter; seeded in the simulation.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_requests_per_second: float | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.counts = GateCounts()
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311  # jitter needs no secrecy
        self._interval_s = 1.0 / max_requests_per_second if max_requests_per_second else 0.0
        self._lock = threading.Lock()
        self._is_closed = False
        self._successes = 0
        self._failing_since: float | None = None
        self._next_at = self._resume_at = clock.monotonic()
        self._is_probing = False
        self._pauses = 0
        self._paused_at = 0.0
        self._waited_s = 0.0  # from the last "too many requests" to the next success
        self._in_flight = 0
        self._passed = 0  # successes since the last pause
        self._passed_before = _MAX_LOG  # between that pause and the one before; none yet
        self._limit: tuple[int, float] | None = None
        self._granted: deque[float] = deque(maxlen=_MAX_LOG)  # starts of what succeeded

    def enter(self) -> float:
        """Wait until a request may start, and count it.

        Returns:
            When it started; to be given back to `leave`.

        Raises:
            UnavailableError: the gate was closed meanwhile.
        """
        while True:
            with self._lock:
                if self._is_closed:
                    stopped = UnavailableError(
                        "The connection is closed: connect again, and read before it is closed."
                    )
                    stopped.is_retryable = False
                    raise stopped
                now = self._clock.monotonic()
                wait_s = self._wait_s(now)
                if wait_s <= 0:
                    self.counts.requests += 1
                    self._in_flight += 1
                    self._next_at = max(now, self._next_at) + self._interval_s
                    return now
            # short slices: closing the gate is noticed soon
            self._clock.sleep(min(wait_s, _SLICE_S))

    def leave(self, entered_at: float, *, is_success: bool) -> None:
        """A request is over; one that was sent after a pause and succeeded ends it."""
        with self._lock:
            self._in_flight -= 1
            if not is_success:
                return
            self._successes += 1
            self._failing_since = None
            if self._is_probing and entered_at >= self._resume_at:
                self._is_probing, self._pauses, self._passed = False, 0, 0
                self._waited_s = entered_at - self._paused_at
                if self._limit and self._is_full(self._limit, entered_at):
                    # sooner than a sliding window allows: the server counts in fixed ones, and
                    # this request is the first of the next
                    self._granted.clear()
            self._passed += 1
            self._granted.append(entered_at)

    def failed(self, error: FetchError | SchemaError, attempt: int) -> None:
        """Book a failed attempt, and wait if it may be tried again.

        Args:
            error: what was met.
            attempt: which try of this request it was, from 1.

        Raises:
            FetchError: ``error`` itself, if trying again would be wrong or is over the budget. It
                is marked as not retryable then, so that no caller starts over.
        """
        retry_after_s: float | None = getattr(error, "retry_after_s", None)
        is_throttled = isinstance(error, ThrottledError)
        with self._lock:
            now = self._clock.monotonic()
            if self._failing_since is None and error.is_retryable:
                self._failing_since = now
            since = now if self._failing_since is None else self._failing_since
            give_up_at = since + GIVE_UP_AFTER_S
            self.counts.throttles += is_throttled
            if (
                self._is_closed
                or not error.is_retryable
                or attempt >= self._most_attempts(error, is_paused=retry_after_s is not None)
                or self.counts.retries >= RETRY_FLOOR + RETRY_SHARE * self._successes
                or now + (retry_after_s or 0.0) >= give_up_at
            ):
                error.is_retryable = False
                raise error
            self.counts.retries += 1
            if is_throttled or retry_after_s is not None:
                self._pause(error, retry_after_s, now, give_up_at)
                return
        backoff_s = min(_BACKOFF_S * 2 ** (attempt - 1), _MAX_BACKOFF_S)
        self._sleep(backoff_s * (0.5 + self._rng.random()))

    def close(self) -> None:
        """Let no further request through; waiting threads stop within a second."""
        with self._lock:
            self._is_closed = True

    def _sleep(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while (left_s := until - self._clock.monotonic()) > 0 and not self._is_closed:
            self._clock.sleep(min(left_s, _SLICE_S))

    def _most_attempts(self, error: FetchError | SchemaError, *, is_paused: bool) -> float:
        if isinstance(error, ThrottledError) or is_paused:
            return float("inf")  # throttling passes if one waits
        if isinstance(error, SchemaError):
            return MAX_CONTRACT_ATTEMPTS
        return MAX_ATTEMPTS if self._successes else MAX_ATTEMPTS_COLD

    def _wait_s(self, now: float) -> float:
        """Seconds until a request may start; 0 or less for now. Called with the lock held."""
        wait_s = max(self._resume_at, self._next_at) - now
        lanes = max(self._passed, self._passed_before) // _REQUESTS_PER_WASTE
        if self._in_flight >= (1 if self._is_probing else max(lanes, 1)):
            return max(wait_s, _TURN_S)
        if self._limit and not self._is_probing:
            count, period_s = self._limit
            # a little longer than it says: not all requests take the same time to arrive
            period_s = period_s * 1.01 + _TURN_S
            if self._in_flight >= count:
                return max(wait_s, _TURN_S)
            if self._is_full((count - self._in_flight, period_s), now):
                wait_s = max(wait_s, self._granted[self._in_flight - count] + period_s - now)
        return wait_s

    def _is_full(self, limit: tuple[int, float], now: float) -> bool:
        """Whether as many requests as the limit allows were granted in the period up to now."""
        count, period_s = limit
        return len(self._granted) >= count and self._granted[-count] + period_s > now

    def _pause(
        self,
        error: FetchError | SchemaError,
        retry_after_s: float | None,
        now: float,
        give_up_at: float,
    ) -> None:
        """Stop all threads for as long as the server says, or as its windows suggest."""
        if isinstance(error, ThrottledError) and error.limit and error.period_s:
            self._limit = (error.limit, error.period_s)
        if now < self._resume_at:  # paused already: this answer was on its way before
            self._resume_at = max(self._resume_at, now + (retry_after_s or 0.0))
            return
        self._is_probing = True
        self._pauses += 1
        if self._pauses == 1:
            self._paused_at = now
            self._passed_before = self._passed
        if retry_after_s is not None:
            self._resume_at = now + retry_after_s + self._rng.random()
            return
        window_s = self._limit[1] if self._limit else _WINDOW_S
        recent = len(self._granted) - bisect_right(self._granted, now - window_s)
        pause_s = window_s / min(max(recent // _REQUESTS_PER_WASTE, 1), _MAX_TRIES)
        if not self._limit:
            tries = min(max(self._passed // _REQUESTS_PER_WASTE, 1), 4)
            pause_s = min(pause_s, max(2.0, self._waited_s / tries) * 2 ** (self._pauses - 1))
        pause_s *= 1.0 + 0.1 * self._rng.random()
        self._resume_at = min(now + pause_s, give_up_at)
