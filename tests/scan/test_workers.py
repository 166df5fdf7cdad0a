"""An error in a thread is an error of the call: nothing hangs, nothing is lost on the way."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from backup_frames.errors import RejectedError, UnavailableError
from backup_frames.scan.asking.schedule import Ask
from backup_frames.scan.asking.workers import Workers

WITHIN_S = 20  # only a hang takes so long


class Questions:
    """A schedule of so many questions, each of which may go wrong."""

    def __init__(self, count: int = 50, take: Callable[[int], Any] | None = None) -> None:
        self.count = self.left = self.open = count
        self._take = take

    @property
    def is_done(self) -> bool:
        return not self.open

    def take(self) -> Ask | None:
        if self._take is not None and self._take(self.left) is False:
            return None
        if not self.left:
            return None
        self.left -= 1
        return Ask(self.left, None)  # type: ignore[arg-type]

    def give(self, ask: Ask, page: Any) -> list[Any]:
        self.open -= 1
        return [page]


def run(schedule: Any, fetch: Callable[[Any], Any], count: int = 4) -> list[Any]:
    """The results, in a thread that is waited for only so long."""
    results: list[Any] = []

    def consume() -> None:
        try:
            with closing(Workers(schedule, fetch, count).run()) as ranges:
                results.extend(ranges)
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    thread.join(WITHIN_S)
    assert not thread.is_alive(), "it hangs"
    return results


def fail(error: BaseException) -> Callable[..., Any]:
    def raise_it(*_: object) -> Any:
        raise error

    return raise_it


def test_all_questions_are_answered() -> None:
    """Without errors every answer comes out once."""
    assert sorted(run(Questions(), lambda query: query)) == list(range(50))


@pytest.mark.parametrize(
    "error",
    [UnavailableError("gone"), OverflowError("year 0"), KeyboardInterrupt(), SystemExit(3)],
)
@pytest.mark.parametrize("where", ["fetch", "take", "give"])
def test_whatever_a_thread_raises_reaches_the_caller(error: BaseException, where: str) -> None:
    """In asking, in planning under the lock, in taking the answer: it is the caller's error."""
    schedule = Questions()
    if where != "fetch":
        setattr(schedule, where, fail(error))
    assert run(schedule, fail(error) if where == "fetch" else lambda query: query)[-1] is error


class LetsOthersIn(threading.Condition):
    """Who leaves it with an error lets another thread have its turn before going on."""

    def __init__(self) -> None:
        super().__init__()
        self._caller = threading.current_thread()
        self._turn = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self._mark()
        return super().wait(timeout)

    def notify_all(self) -> None:
        self._mark()
        super().notify_all()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if isinstance(raised[1], OverflowError) and self._is_worker():
            self._turn.clear()
            with self:
                super().notify_all()
            assert self._turn.wait(WITHIN_S), "no other thread had its turn"

    def _mark(self) -> None:
        if self._is_worker():
            self._turn.set()

    def _is_worker(self) -> bool:
        return threading.current_thread() is not self._caller


@pytest.mark.parametrize("where", ["take", "give"])
def test_an_error_is_told_before_others_stumble_over_what_it_left(where: str) -> None:
    """It reaches the caller, also where a thread looks for work right behind it."""
    questions, error = Questions(1), OverflowError("date value out of range")

    def fail_once(*_: object) -> None:
        setattr(questions, where, lambda *_: None)  # the step that failed has left nothing to do
        raise error

    setattr(questions, where, fail_once)
    workers = Workers(questions, lambda query: query, 2)  # type: ignore[arg-type]
    workers._changed = LetsOthersIn()
    with pytest.raises(OverflowError) as caught:
        list(workers.run())
    assert caught.value is error


def test_no_thread_changes_what_is_looked_at() -> None:
    """How far a read is, is read from a schedule that stands still meanwhile."""
    workers = Workers(Questions(), lambda query: query, 4)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as other:
        take = partial(other.submit, workers._changed.acquire, blocking=False)
        assert not workers.look(lambda _: take().result())


def test_an_error_late_in_planning_reaches_the_caller() -> None:
    """The last question fails in planning, while the other threads wait."""

    def refuse_last(left: int) -> None:
        if left == 1:
            raise OverflowError("date value out of range")

    assert isinstance(run(Questions(take=refuse_last), lambda query: query)[-1], OverflowError)


def test_a_schedule_that_asks_nothing_is_an_error() -> None:
    """Not done, nothing under way and nothing to ask: told, instead of waiting for ever."""
    schedule = Questions()
    schedule.left = 0
    assert isinstance(run(schedule, lambda query: query)[-1], RuntimeError)


@pytest.mark.parametrize("started", [0, 1, 3])
def test_threads_that_do_not_start(monkeypatch: pytest.MonkeyPatch, started: int) -> None:
    """Fewer threads than wanted do the work; none at all is the caller's error."""
    start, own = threading.Thread.start, [0]

    def start_some(thread: threading.Thread) -> None:
        if getattr(thread, "_target", None).__name__ == "_work":  # type: ignore[union-attr]
            own[0] += 1
            if own[0] > started:
                raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    results = run(Questions(), lambda query: query)
    assert isinstance(results[-1], RuntimeError) if not started else len(results) == 50


@pytest.mark.parametrize(
    ("latencies_s", "at_once"),
    [
        ((0.5, 0.001, 0.001), 2),  # the first has to connect, and says nothing
        ((0.0, 0.5, 0.5), 32),
        ((0.1, 0.02, 0.02), 15),
        ((0.3, 0.08, 0.08), 32),
        ((60.0, 30.0, 59.0), 32),
        ((3.0, 3.0, 24.0), 8),  # it does one thing after the other: more would wait in vain
    ],
)
def test_as_many_ask_at_once_as_the_latency_wants(
    latencies_s: tuple[float, float, float], at_once: int
) -> None:
    """Few for a service that answers at once, up to 32 for one that is far away, but not slowed."""
    stopwatch = defaultdict[int, float](float)
    lock, asked, most = threading.Lock(), [0, 0], [0]
    steps = [threading.Barrier(min(size, at_once)) for size in (1, 2, 8, 32)]

    def take(_: int) -> bool:  # as the schedule does: one question until the first answer is in
        return not asked[0] or questions.open < questions.count

    def fetch(query: Any) -> Any:
        with lock:
            asked[0] += 1
            asked[1] += 1
            most[0] = max(most[0], asked[1])
            step = sum(asked[0] > before for before in (1, 1 + 2, 1 + 2 + 8))
            stopwatch[threading.get_ident()] += latencies_s[min(step, 2)]
        # whatever the order in which threads run, a step is taken before the next questions go out
        steps[step].wait(WITHIN_S)
        with lock:
            asked[1] -= 1
        return query

    questions = Questions(1 + 2 + 8 + 4 * at_once, take)
    workers = Workers(questions, fetch, None, lambda: stopwatch[threading.get_ident()])  # type: ignore[arg-type]
    assert len(list(workers.run())) == questions.count
    assert most[0] == at_once


@pytest.mark.parametrize(
    ("is_quick", "threads"),
    [
        (lambda number: number < 20, 32),  # counts first, then pages; a cache that was warm
        (lambda number: number % 5 == 0, 32),  # a level without a row, a window without one
        (lambda number: number % 5 != 0, 2),
    ],
)
def test_what_most_answers_take_counts(is_quick: Callable[[int], bool], threads: int) -> None:
    """Some quick answers do not hide that the service is far away, and some slow ones not that it is near."""
    stopwatch = defaultdict[int, float](float)

    def take(_: int) -> bool:  # as the schedule does: one question until the first answer is in
        return questions.left == questions.count or questions.open < questions.count

    def fetch(query: Any) -> Any:
        number = questions.count - query
        stopwatch[threading.get_ident()] += 0.001 if is_quick(number) else 0.1
        return query

    questions = Questions(400, take)
    workers = Workers(questions, fetch, None, lambda: stopwatch[threading.get_ident()])  # type: ignore[arg-type]
    assert len(list(workers.run())) == questions.count
    assert len(workers._threads) == threads


def test_which_thread_is_held_up_says_nothing_of_the_latency() -> None:
    """A slow answer that comes late, together with the next slow one, does not make most answers slow."""
    stopwatch = defaultdict[int, float](float)
    next_slow_one = threading.Event()

    def take(_: int) -> bool:  # as the schedule does: one question until the first answer is in
        return questions.left == questions.count or questions.open < questions.count

    def fetch(query: Any) -> Any:
        number = questions.count - query
        stopwatch[threading.get_ident()] += 0.1 if number % 5 == 0 else 0.001
        if number == 5:
            next_slow_one.wait(WITHIN_S)
        elif number == 10:
            next_slow_one.set()
        return query

    questions = Questions(100, take)
    workers = Workers(questions, fetch, None, lambda: stopwatch[threading.get_ident()])  # type: ignore[arg-type]
    assert len(list(workers.run())) == questions.count
    assert len(workers._threads) == 2


def test_a_refusal_says_nothing_of_the_latency() -> None:
    """What the service refuses at once is no measure of how fast it answers with pages."""
    stopwatch = defaultdict[int, float](float)

    def take(_: int) -> bool:  # as the schedule does: one question until the first answer is in
        return questions.left == questions.count or questions.open < questions.count

    def fetch(query: Any) -> Any:
        if query == questions.count - 2:
            raise RejectedError("a window too wide")
        stopwatch[threading.get_ident()] += 0.5
        return query

    questions = Questions(200, take)
    workers = Workers(questions, fetch, None, lambda: stopwatch[threading.get_ident()])  # type: ignore[arg-type]
    assert len(list(workers.run())) == questions.count
    assert len(workers._threads) == 32


def test_a_consumer_that_leaves_stops_the_threads() -> None:
    """An error where answers are used ends every thread: none goes on asking."""
    before = set(threading.enumerate())
    with closing(Workers(Questions(10**6), lambda query: query, 4).run()) as ranges:  # type: ignore[arg-type]
        next(ranges)
    for thread in set(threading.enumerate()) - before:
        thread.join(WITHIN_S)
        assert not thread.is_alive()
