"""The gate on a virtual clock: how long it waits, what it wastes, and when it gives up."""

from __future__ import annotations

import itertools
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clocks import TurnClock, VirtualClock

from backup_frames.api import gate as rules
from backup_frames.api.auth import StaticToken
from backup_frames.api.client import BackupClient
from backup_frames.api.gate import Gate
from backup_frames.api.query import BackupQuery
from backup_frames.errors import (
    BackupFramesError,
    FetchError,
    PageError,
    RejectedError,
    SchemaError,
    ThrottledError,
    UnavailableError,
)

FIFTEEN_MINUTES = 900.0
HANG_S = 60  # only a hang takes so long
TEXT = (
    "The throttling threshold has been reached: policy user over ratelimit,limit:{},time:{} second"
)


def make_gate(clock: VirtualClock | None = None, **options: float) -> tuple[Gate, VirtualClock]:
    clock = clock or VirtualClock()
    return Gate(clock, rng=random.Random(7), **options), clock  # type: ignore[arg-type]


def succeed(gate: Gate, times: int = 1) -> None:
    for _ in range(times):
        gate.leave(gate.enter(), is_success=True)


def fail(gate: Gate, error: FetchError | SchemaError, attempt: int = 1) -> None:
    gate.leave(gate.enter(), is_success=False)
    gate.failed(error, attempt)


def wait_of(gate: Gate, clock: VirtualClock) -> float:
    """Seconds until the next request may start."""
    before = clock.seconds
    entered_at = gate.enter()
    gate.leave(entered_at, is_success=False)
    return entered_at - before


def unavailable(retry_after_s: float | None = None) -> UnavailableError:
    error = UnavailableError("down")
    error.retry_after_s = retry_after_s
    return error


# -- waiting -----------------------------------------------------------------------------------------


@given(seconds=st.floats(0, 700), before=st.integers(0, 50))
def test_retry_after_is_obeyed(seconds: float, before: int) -> None:
    """After a 429 with Retry-After no request starts earlier than the server said."""
    gate, clock = make_gate()
    succeed(gate, before)
    fail(gate, ThrottledError("slow down", retry_after_s=seconds))
    assert seconds <= wait_of(gate, clock) <= seconds + 1.001


@given(seconds=st.floats(0, 700))
def test_retry_after_of_an_outage_is_obeyed(seconds: float) -> None:
    """A 503 with Retry-After pauses like a 429."""
    gate, clock = make_gate()
    fail(gate, unavailable(seconds))
    assert seconds <= wait_of(gate, clock) <= seconds + 1.001


def test_the_longest_retry_after_of_several_answers_counts() -> None:
    """Two threads meet 429 with different waits: the longer one is obeyed by both."""
    gate, clock = make_gate()
    entered = [gate.enter(), gate.enter()]
    for entered_at, seconds in zip(entered, (5.0, 50.0), strict=True):
        gate.leave(entered_at, is_success=False)
        gate.failed(ThrottledError("slow down", retry_after_s=seconds), 1)
    assert wait_of(gate, clock) >= 50.0


def test_a_retry_after_beyond_the_end_of_the_run_ends_it_at_once() -> None:
    """Nobody waits for a time that the run does not have, and nobody asks before it."""
    gate, clock = make_gate()
    with pytest.raises(ThrottledError):
        fail(gate, ThrottledError("slow down", retry_after_s=rules.GIVE_UP_AFTER_S + 1))
    assert clock.seconds == 0


@settings(max_examples=50)
@given(
    limit=st.integers(1, 200),
    period_s=st.sampled_from((1.0, 5.0, 60.0)),
    requests=st.integers(1, 400),
)
def test_a_limit_that_was_named_is_kept_from_then_on(
    limit: int, period_s: float, requests: int
) -> None:
    """No period of the learned length ever sees more requests start than the limit allows."""
    gate, _clock = make_gate()
    fail(gate, ThrottledError("slow down", limit=limit, period_s=period_s))
    starts: list[float] = []
    for _ in range(requests):
        starts.append(gate.enter())
        gate.leave(starts[-1], is_success=True)
    for first, beyond in zip(starts, starts[limit:], strict=False):
        assert beyond - first > period_s


def test_only_one_request_tries_the_ice() -> None:
    """After a pause one request goes alone, and the others wait for what it meets."""
    gate, clock = make_gate()
    for entered_at in [gate.enter() for _ in range(8)]:
        gate.leave(entered_at, is_success=False)
        gate.failed(ThrottledError("slow down", retry_after_s=5), 1)
    first = gate.enter()

    class Stepping(VirtualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.seconds >= first + 3 and gate._is_probing:
                gate.leave(first, is_success=True)

    gate._clock = stepping = Stepping()
    stepping.seconds = clock.seconds
    assert gate.enter() >= first + 3


def test_a_pause_begins_with_what_the_last_one_took() -> None:
    """Where the server names nothing, the length of its windows is learned from the last wait."""
    gate, clock = make_gate()
    fail(gate, ThrottledError("slow down"))
    assert wait_of(gate, clock) < 3
    clock.sleep(60)
    succeed(gate)
    fail(gate, ThrottledError("slow down"))
    assert wait_of(gate, clock) >= 15


def test_a_late_success_of_before_the_pause_does_not_end_it() -> None:
    """An answer that was on its way when the pause began proves nothing: the ice is still thin."""
    gate, clock = make_gate()
    early, refused = gate.enter(), gate.enter()
    gate.leave(refused, is_success=False)
    gate.failed(ThrottledError("slow down", retry_after_s=30), 1)
    gate.leave(early, is_success=True)
    probe = gate.enter()
    assert probe >= 30
    gate.leave(probe, is_success=False)
    gate.failed(ThrottledError("slow down"), 2)
    assert wait_of(gate, clock) >= 4  # the second pause in a row, not the first again


def test_an_own_rate_is_kept() -> None:
    """max_requests_per_second spaces requests evenly."""
    gate, _clock = make_gate(max_requests_per_second=4)
    starts = []
    for _ in range(20):
        starts.append(gate.enter())
        gate.leave(starts[-1], is_success=True)
    assert starts[-1] - starts[0] == pytest.approx(19 / 4)


def test_backoff_grows_and_has_jitter() -> None:
    """Waits between tries double up to 20 s, each half to one and a half of its nominal length."""
    gate, clock = make_gate()
    succeed(gate)
    waits = []
    for attempt in range(1, rules.MAX_ATTEMPTS):
        before = clock.seconds
        fail(gate, UnavailableError("down"), attempt)
        waits.append(clock.seconds - before)
    nominal = [0.5, 1, 2, 4, 8, 16, 20]
    assert all(0.5 * n <= wait <= 1.5 * n for wait, n in zip(waits, nominal, strict=True))
    assert len({wait / n for wait, n in zip(waits, nominal, strict=True)}) == len(waits)


# -- giving up ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "successes", "tries"),
    [
        (UnavailableError("down"), 0, 4),
        (UnavailableError("down"), 1, 8),
        (PageError("cut"), 0, 4),
        (PageError("cut"), 1, 8),
        (SchemaError("odd"), 0, 3),
        (SchemaError("odd"), 1, 3),
        (RejectedError("no"), 0, 1),
        (RejectedError("no"), 1, 1),
    ],
    ids=lambda value: value if isinstance(value, int) else type(value).__name__,
)
def test_tries_of_one_request(error: FetchError | SchemaError, successes: int, tries: int) -> None:
    """How often a failing request is tried, before and after the first success."""
    gate, _clock = make_gate()
    succeed(gate, successes)
    for attempt in range(1, tries):
        fail(gate, error, attempt)
    with pytest.raises(type(error)) as caught:
        fail(gate, error, tries)
    assert caught.value is error
    assert not error.is_retryable  # so that no caller starts over


def test_retries_of_a_run_have_a_budget() -> None:
    """40 retries, and one for every ten requests that succeeded; then the next failure ends it."""
    gate, _clock = make_gate()
    succeed(gate, 200)
    for _ in range(40 + 20):
        fail(gate, UnavailableError("down"))
        gate._failing_since = None  # time is not what ends it here
    with pytest.raises(UnavailableError):
        fail(gate, UnavailableError("down"))
    assert gate.counts.retries == 60


KINDS: dict[str, Callable[[], FetchError | SchemaError]] = {
    "outage": lambda: UnavailableError("down"),
    "outage with Retry-After": lambda: unavailable(20),
    "no page": lambda: PageError("cut"),
    "outside the contract": lambda: SchemaError("odd"),
    "429": lambda: ThrottledError("slow down"),
    "429 with Retry-After": lambda: ThrottledError("slow down", retry_after_s=120),
    "429, 200 a second": lambda: ThrottledError("slow down", limit=200, period_s=1),
    "429, 200 in 5 minutes": lambda: ThrottledError("slow down", limit=200, period_s=300),
    "429, 10 a day": lambda: ThrottledError("slow down", limit=10, period_s=86400),
}


@pytest.mark.parametrize("request_s", [0.05, 60.0])
@pytest.mark.parametrize("successes", [0, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_failures_ends_within_fifteen_minutes(
    kind: str, successes: int, request_s: float
) -> None:
    """Whatever fails, with answers at once or after a minute, a run of failures only ends."""
    gate, clock = make_gate()
    succeed(gate, successes)
    start = clock.seconds

    def fail_forever() -> None:
        for attempt in itertools.count(1):
            entered_at = gate.enter()
            clock.sleep(request_s)
            gate.leave(entered_at, is_success=False)
            gate.failed(KINDS[kind](), attempt)

    with pytest.raises(BackupFramesError):
        fail_forever()
    assert clock.seconds - start <= FIFTEEN_MINUTES


def test_idle_time_is_no_failure() -> None:
    """A client that rested for hours still tries again after one broken connection."""
    gate, clock = make_gate()
    for hours in range(5):
        succeed(gate)
        clock.sleep(3600 * hours)
        fail(gate, UnavailableError("the connection was closed meanwhile"))
    assert gate.counts.retries == 5


@pytest.mark.parametrize("wait", ["pause", "backoff"])
def test_closing_ends_the_wait_within_a_second(wait: str) -> None:
    """A thread that waits at the gate looks up each second, and after `close` waits no more."""
    asleep, is_over = threading.Semaphore(0), threading.Event()
    clock = VirtualClock()

    def doze(seconds: float) -> None:
        clock.naps.append(seconds)
        asleep.release()
        assert is_over.wait(HANG_S)

    clock.sleep = doze  # type: ignore[method-assign]
    gate = Gate(clock)
    stopped: list[UnavailableError] = []
    if wait == "pause":
        gate.leave(gate.enter(), is_success=False)
        gate.failed(ThrottledError("slow down", retry_after_s=600), 1)

    def wait_long() -> None:
        try:
            if wait == "backoff":
                succeed(gate)
                gate.failed(UnavailableError("down"), 7)
            gate.enter()
        except UnavailableError as error:
            stopped.append(error)

    threads = [threading.Thread(target=wait_long) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert all(asleep.acquire(timeout=HANG_S) for _ in threads)
    gate.close()
    is_over.set()
    for thread in threads:
        thread.join(HANG_S)
    assert len(stopped) == len(clock.naps) == 8
    assert max(clock.naps) <= 1


# -- efficiency --------------------------------------------------------------------------------------


@dataclass
class Throttling(httpx.BaseTransport):
    """A service that grants so many requests per window and refuses the rest."""

    clock: TurnClock
    limit: int = 600
    period_s: float = 60.0
    is_sliding: bool = False
    counts_refused: bool = False
    phase_s: float = 0.0
    names_limit: bool = True
    sends_retry_after: bool = False
    taken_by_others: float = 0.0
    latency_s: float = 0.05
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    granted: deque[float] = field(default_factory=deque)
    requests: int = 0
    wasted: int = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        there_s, back_s = (self.latency_s * (0.25 + 0.5 * self.rng.random()) for _ in range(2))
        self.clock.sleep(there_s)
        now = self.clock.seconds + self.phase_s
        is_granted = self._grant(now)
        self.requests += 1
        self.wasted += not is_granted
        self.clock.sleep(back_s)
        if is_granted:
            return httpx.Response(200, json={"total_count": 0, "backups": []})
        text = TEXT.format(self.limit, int(self.period_s)) if self.names_limit else "slow down"
        left_s = int(self.period_s - now % self.period_s) + 1
        headers = {"Retry-After": str(left_s)} if self.sends_retry_after else {}
        body = {"error_code": "APIGW.0308", "error_msg": text}
        return httpx.Response(429, json=body, headers=headers)

    def _grant(self, now: float) -> bool:
        since = now - self.period_s if self.is_sliding else now - now % self.period_s
        while self.granted and self.granted[0] < since:
            self.granted.popleft()
        is_granted = len(self.granted) < self.limit * (1 - self.taken_by_others)
        if is_granted or self.counts_refused:
            self.granted.append(now)
        return is_granted

    def ideal_s(self, pages: int, threads: int) -> float:
        """When the last page could be there at the earliest, with no request wasted."""
        limit = int(self.limit * (1 - self.taken_by_others))
        windows, rest = divmod(pages - 1, limit)
        start_s = 0.0 if self.is_sliding else self.phase_s
        return windows * self.period_s - start_s + (rest + 1) * self.latency_s / threads


def read_side_by_side(service: Throttling, pages: int, threads: int = 8) -> None:
    clock = service.clock
    client = BackupClient(
        "http://127.0.0.1:1",
        StaticToken("a-token"),
        transport=service,
        clock=clock,
        gate=Gate(clock, rng=random.Random(7)),
    )
    left = list(range(pages))
    errors: list[BackupFramesError] = []

    def work() -> None:
        try:
            while left and not errors:
                left.pop()
                client.fetch_page(BackupQuery("p"))
        except BackupFramesError as error:
            errors.append(error)

    clock.run(*[work] * threads)
    assert not errors


@pytest.mark.parametrize(
    "phase_s",
    [
        pytest.param(0.0, marks=pytest.mark.slow),
        20.0,
        pytest.param(45.0, marks=pytest.mark.slow),
        pytest.param(55.0, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "service",
    [
        {},
        pytest.param({"sends_retry_after": True}, marks=pytest.mark.slow),
        pytest.param({"names_limit": False}, marks=pytest.mark.slow),
        {"names_limit": False, "sends_retry_after": True},
        {"taken_by_others": 0.5},
    ],
    ids=lambda service: ", ".join(service) or "names its limit",
)
def test_fixed_windows_are_used_well(service: dict[str, bool], phase_s: float) -> None:
    """600 requests a minute in fixed windows: 2,000 pages in 1.3 times the ideal, 10 % wasted."""
    throttling = Throttling(TurnClock(), phase_s=phase_s, **service)  # type: ignore[arg-type]
    read_side_by_side(throttling, 2000)
    assert throttling.clock.seconds <= 1.3 * throttling.ideal_s(2000, 8)
    assert throttling.wasted <= 0.1 * throttling.requests


@pytest.mark.parametrize(
    "service",
    [{}, {"counts_refused": True}, {"names_limit": False}, {"taken_by_others": 0.5}],
    ids=lambda service: ", ".join(service) or "names its limit",
)
def test_sliding_windows_are_used_well(service: dict[str, bool]) -> None:
    """The same in windows that slide, whether or not they count what they refuse."""
    throttling = Throttling(TurnClock(), is_sliding=True, **service)  # type: ignore[arg-type]
    read_side_by_side(throttling, 2000)
    assert throttling.clock.seconds <= 1.3 * throttling.ideal_s(2000, 8)
    assert throttling.wasted <= 0.1 * throttling.requests


@pytest.mark.parametrize(
    ("limit", "period_s", "pages"),
    [
        (20, 60.0, 220),
        pytest.param(40, 60.0, 300, marks=pytest.mark.slow),
        pytest.param(200, 300.0, 700, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("is_sliding", [False, True], ids=["fixed", "sliding"])
@pytest.mark.parametrize("names_limit", [True, False], ids=["named", "not named"])
def test_small_limits_waste_little(
    limit: int, period_s: float, pages: int, is_sliding: bool, names_limit: bool
) -> None:
    """Under a limit of some requests per window, 8 threads still waste at most a tenth."""
    throttling = Throttling(
        TurnClock(), limit, period_s, is_sliding=is_sliding, names_limit=names_limit
    )
    read_side_by_side(throttling, pages)
    assert throttling.clock.seconds <= 1.3 * throttling.ideal_s(pages, 8)
    assert throttling.wasted <= 0.1 * throttling.requests


def test_without_throttling_the_gate_costs_nothing() -> None:
    """8 threads against a service without limit are never held up."""
    throttling = Throttling(TurnClock(), limit=10**9)
    read_side_by_side(throttling, 2000)
    assert throttling.clock.seconds <= 1.05 * throttling.ideal_s(2000, 8)
