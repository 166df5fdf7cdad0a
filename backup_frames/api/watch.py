"""How busy one run is with the service, seen from outside its threads.

In: a run's endpoint. Out: a transport and a clock to hand to it; they tell whether it does nothing but
wait (for slow answers, or until a throttle is over), and can make it end soon.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final, cast

import httpx

from ..clock import SystemClock
from ..errors import UnavailableError
from .wire.transport import Body, DeadlineTransport

PATIENCE_S: Final = 0.5
"""A run that waits counts as busy so long."""
BUSY_ANSWERS: Final = 2
"""Answers in the last second that make a run busy, though it waits for the next."""


class Watch:
    """Watches one run.

    Args:
        endpoint: the service it asks; None if it is not known.
        max_connections: connections kept open at most; None for no bound.
    """

    def __init__(self, endpoint: str | None, *, max_connections: int | None) -> None:
        wire = DeadlineTransport(endpoint, max_connections=max_connections) if endpoint else None
        self.transport = _Transport(wire, self) if wire else None
        self.clock = _Clock(self)
        self._started_at = time.monotonic()
        self._lock = threading.Lock()
        self._waiting = 0
        self._answers: deque[float] = deque(maxlen=BUSY_ANSWERS)
        self._is_stopped = False

    @property
    def is_idle(self) -> bool:
        """Whether the run only waits, so that another may use its turn."""
        now = time.monotonic()
        with self._lock:
            if not self._waiting or now - self._started_at < PATIENCE_S:
                return False
            return len(self._answers) < BUSY_ANSWERS or now - self._answers[0] > 1.0

    def stop(self) -> None:
        """Let no further request and no further waiting through."""
        self._is_stopped = True

    def begin_wait(self) -> None:
        """A thread of the run begins to wait.

        Raises:
            UnavailableError: the run was stopped.
        """
        if self._is_stopped:
            stopped = UnavailableError("The run was stopped; start it again.")
            stopped.is_retryable = False
            raise stopped
        with self._lock:
            self._waiting += 1

    def end_wait(self, *, is_answer: bool) -> None:
        """A thread of the run goes on, with an answer or without."""
        with self._lock:
            self._waiting -= 1
            if is_answer:
                self._answers.append(time.monotonic())


class _Clock(SystemClock):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def sleep(self, seconds: float) -> None:
        self._watch.begin_wait()
        try:
            super().sleep(seconds)
        finally:
            self._watch.end_wait(is_answer=False)


class _Transport(httpx.BaseTransport):
    def __init__(self, wire: httpx.BaseTransport, watch: Watch) -> None:
        self._wire = wire
        self._watch = watch

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._watch.begin_wait()
        try:
            response = self._wire.handle_request(request)
        except BaseException:
            self._watch.end_wait(is_answer=False)
            raise
        wired = cast("httpx.SyncByteStream", response.stream)

        def end() -> None:
            try:
                wired.close()
            finally:
                self._watch.end_wait(is_answer=True)  # the answer is there when its body is

        response.stream = Body(wired, end)
        return response

    def close(self) -> None:
        self._wire.close()
