"""The threads that ask: a schedule's questions go out side by side, finished ranges come in.

In: a `Schedule` and a function that fetches one page. Out: finished ranges, as they are finished.
Threads, not async: nothing clashes with Jupyter's event loop, and the consumer's Arrow code releases
the interpreter lock while the threads fetch.

How many, unless told: as many as keep this machine busy while the service thinks, which its latest
answers tell. They become more step by step, and no more once answers take longer for it: a service
that does one thing after the other would keep the last of 32 waiting beyond any deadline.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final, TypeVar

from ...api.answers import Page
from ...api.gate import FEWEST_CONNECTIONS, connections_for
from ...api.query import BackupQuery
from ...errors import RejectedError
from ..finished import FinishedRange
from .schedule import Ask, Schedule

T = TypeVar("T")

MAX_WAITING_RANGES = 16
"""Finished ranges that may wait for the consumer before the threads pause: memory stays flat."""

GROWTH: Final = 4
"""So many times as many threads at each step."""
SLOWED: Final = 2.0
"""Answers that usually take so many times as long as before a step show that enough are asked."""


class Workers:
    """Runs a schedule on threads.

    Args:
        schedule: what to ask.
        fetch: asks one question; called from several threads.
        count: threads; None for as many as the service's latency asks for.
        monotonic: seconds, to measure the latency by.
    """

    def __init__(
        self,
        schedule: Schedule,
        fetch: Callable[[BackupQuery], Page],
        count: int | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._schedule = schedule
        self._fetch = fetch
        self._changed = threading.Condition()
        self._finished: deque[FinishedRange] = deque()
        self._error: BaseException | None = None
        self._is_stopped = False
        self._count = count
        self._monotonic = monotonic
        self._threads: list[threading.Thread] = []
        self._before_s = inf
        self._latencies_s = deque[float](maxlen=2 * FEWEST_CONNECTIONS)
        self._answers = 0
        self._step = 0
        self._asking = 0

    def run(self) -> Generator[FinishedRange, None, None]:
        """Yield finished ranges until the schedule is done; close it to stop before.

        Raises:
            BackupFramesError: what a fetch raised; ranges finished before have been yielded.
            Exception: whatever else went wrong in a thread, or in starting the first.
        """
        try:
            with self._changed:
                self._start(self._count or FEWEST_CONNECTIONS)
            while (finished := self._next()) is not None:
                yield finished
        finally:
            with self._changed:
                self._is_stopped = True
                self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def look(self, at: Callable[[Schedule], T]) -> T:
        """What the schedule tells of itself, while no thread changes it."""
        with self._changed:
            return at(self._schedule)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock; an error is noted before another thread can stumble over what it left."""
        with self._changed:
            try:
                yield
            except BaseException as error:
                self._note(error)
                raise

    def _note(self, error: BaseException) -> None:
        """Keep the first error for the consumer. Called with the lock held."""
        self._error = self._error or error
        self._changed.notify_all()

    def _start(self, count: int) -> None:
        """Let there be so many threads. Called with the lock held."""
        while len(self._threads) < count:
            # daemons: a stop must not wait for a thread that waits for the service
            thread = threading.Thread(target=self._work, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the machine starts no more of them: fewer do as well
                if not self._threads:
                    raise
                self._count = len(self._threads)
                return
            self._threads.append(thread)

    def _next(self) -> FinishedRange | None:
        with self._changed:
            while not self._finished:
                if self._error is not None:
                    raise self._error
                if self._schedule.is_done:
                    return None
                self._changed.wait()
            finished = self._finished.popleft()
            self._changed.notify_all()
            return finished

    def _work(self) -> None:
        try:
            while (ask := self._take()) is not None:
                self._answer(ask)
        except BaseException as error:  # handed to the consumer, whatever it is
            with self._changed:
                self._note(error)

    def _take(self) -> Ask | None:
        """Wait for a question; None if there will be none."""
        with self._turn():
            while not (self._is_stopped or self._error is not None or self._schedule.is_done):
                if len(self._finished) < MAX_WAITING_RANGES:
                    ask = self._schedule.take()
                    if ask is not None:
                        self._asking += 1
                        return ask
                    if not self._asking:
                        raise RuntimeError("The schedule is not done, but asks nothing.")
                self._changed.wait()
            self._changed.notify_all()
            return None

    def _answer(self, ask: Ask) -> None:
        step, asked_at = self._step, self._monotonic()
        try:
            answer: Page | RejectedError = self._fetch(ask.query)
        except RejectedError as refused:
            answer = refused
        latency_s = self._monotonic() - asked_at
        with self._turn():
            if not isinstance(answer, RejectedError):  # refused at once: no page is so fast
                self._follow(latency_s, step)
            self._asking -= 1
            self._finished += self._schedule.give(ask, answer)
            self._changed.notify_all()

    def _follow(self, latency_s: float, step: int) -> None:
        """Ask more at once if the latency wants it, unless asking more has made it grow."""
        self._answers += 1
        # the first answer of all had to connect; of others count those asked since the last step
        if self._answers == 1 or step < self._step or self._count is not None or self._is_stopped:
            return
        self._latencies_s.append(latency_s)
        if step and len(self._latencies_s) < len(self._threads):
            return  # who asks first after a step waits least
        # of two in the middle the quicker: which answers are the latest depends on the threads' order
        usual_s = sorted(self._latencies_s)[(len(self._latencies_s) - 1) // 2]
        wanted = connections_for(usual_s)
        if wanted > len(self._threads) and usual_s <= SLOWED * self._before_s:
            self._step += 1
            self._before_s = min(usual_s, self._before_s)
            self._start(min(wanted, GROWTH * len(self._threads)))
            self._latencies_s = deque(maxlen=2 * len(self._threads))
