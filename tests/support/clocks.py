"""Clocks on which waiting costs nothing."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 6, 1, tzinfo=UTC)


class InstantClock:
    """Real wall clock plus all that was slept; sleeping returns at once. Safe to share."""

    def __init__(self) -> None:
        self.slept_s = 0.0
        self.naps: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.slept_s)

    def monotonic(self) -> float:
        return time.monotonic() + self.slept_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept_s += seconds
            self.naps.append(seconds)
        time.sleep(0.0005)  # lets the threads that have work do it


class VirtualClock:
    """Time that passes only when somebody sleeps or advances it."""

    def __init__(self, start: datetime = START) -> None:
        self.start = start
        self.seconds = 0.0
        self.naps: list[float] = []

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += max(seconds, 0.0)
        self.naps.append(seconds)

    def advance(self, by: timedelta) -> None:
        self.seconds += by.total_seconds()


class TurnClock(VirtualClock):
    """Virtual time for threads that run one at a time, each until it sleeps: deterministic.

    When all sleep, time jumps to the earliest awakening.
    """

    def __init__(self) -> None:
        super().__init__()
        self._turns: list[tuple[float, int, threading.Event]] = []
        self._number = itertools.count()
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        turn = self._book(self.seconds + max(seconds, 0.0))
        self._wake_next()
        turn.wait()

    def run(self, *tasks: Callable[[], None]) -> None:
        """Run tasks side by side to their end."""

        def work(task: Callable[[], None], turn: threading.Event) -> None:
            turn.wait()
            try:
                task()
            finally:
                self._wake_next()

        threads = []
        for task in tasks:
            args = (task, self._book(self.seconds))
            threads.append(threading.Thread(target=work, args=args, daemon=True))
            threads[-1].start()
        self._wake_next()
        for thread in threads:
            thread.join()

    def _book(self, at: float) -> threading.Event:
        turn = threading.Event()
        with self._lock:
            heapq.heappush(self._turns, (at, next(self._number), turn))
        return turn

    def _wake_next(self) -> None:
        with self._lock:
            if self._turns:
                self.seconds, _, turn = heapq.heappop(self._turns)
                turn.set()
