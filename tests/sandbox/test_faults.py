"""Faults: each does to a client what its name says, on the calls that it was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import httpx
import pytest

from backup_frames.sandbox import (
    Cut,
    EmptyOk,
    HtmlError,
    Latency,
    Redirect,
    Reset,
    Sandbox,
    Status,
    Throttle,
    TokenExpiry,
    WindowLimit,
    faults,
    parse_faults,
)

Get = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(backups=300, seed=3) as running:
        yield running


@pytest.fixture
def ask(sandbox: Sandbox, connect: Callable[[Sandbox], Get]) -> Iterator[Get]:
    yield connect(sandbox)
    sandbox.faults.clear()


def statuses(ask: Get, count: int) -> list[int]:
    return [ask(limit=1).status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "DBS.200001"),
        (401, "APIGW.0301"),
        (403, "DBS.280032"),
        (429, "APIGW.0308"),
        (500, "DBS.280005"),
        (502, "APIGW.0201"),
        (503, "APIGW.0613"),
        (418, "DBS.200998"),
    ],
)
def test_a_status_comes_with_its_usual_body(
    sandbox: Sandbox, ask: Get, status: int, code: str
) -> None:
    """A bare status has the documented code; a body of one's own is sent as it is."""
    sandbox.faults[:] = [Status(status, times=1), Status(status, body={"errCode": "X"}, times=1)]
    first, second = ask(), ask()
    assert (first.status_code, first.json()["error_code"]) == (status, code)
    assert (second.status_code, second.json()) == (status, {"errCode": "X"})
    assert ask().status_code == 200


def test_when_a_fault_strikes(sandbox: Sandbox, ask: Get) -> None:
    """after, every, times, rate and on decide which calls are struck; counting is by itself."""
    sandbox.faults[:] = [Status(500, after=2, every=3, times=2)]
    assert statuses(ask, 12) == [200] * 4 + [500, 200, 200, 500] + [200] * 4
    sandbox.faults[:] = [Status(500, rate=0.5)]
    drawn = statuses(ask, 40)
    assert 8 < drawn.count(500) < 32
    sandbox.faults[:] = [Status(500, rate=0.5)]
    assert statuses(ask, 40) == drawn
    sandbox.faults[:] = [Status(500, on="instances"), Status(503, on="*", after=1)]
    assert statuses(ask, 2) == [200, 503]
    assert ask("/v3/{project}/instances").status_code == 500


def test_throttling_tells_limit_and_period(sandbox: Sandbox, ask: Get) -> None:
    """Calls beyond the limit are 429 with the gateway's text; Retry-After only on request."""
    sandbox.faults[:] = [Throttle(limit=3, period_s=120)]
    assert statuses(ask, 5) == [200, 200, 200, 429, 429]
    refused = ask()
    text = "The throttling threshold has been reached: policy user over ratelimit,"
    assert refused.json()["error_msg"] == text + "limit:3,time:2 minute"
    assert "Retry-After" not in refused.headers
    sandbox.faults[:] = [Throttle(limit=0, period_s=0.5, retry_after_s=9)]
    refused = ask()
    assert refused.json()["error_msg"] == text + "limit:0,time:0.5 second"
    assert refused.headers["Retry-After"] == "9"


def test_a_throttling_window_ends(
    sandbox: Sandbox, ask: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the period is over, calls pass again."""
    now_s = [1000.0]
    monkeypatch.setattr(faults, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    sandbox.faults[:] = [Throttle(limit=1, period_s=60)]
    assert statuses(ask, 2) == [200, 429]
    now_s[0] += 60
    assert statuses(ask, 2) == [200, 429]


def test_bodies_that_are_no_page(sandbox: Sandbox, ask: Get) -> None:
    """HTML, nothing, and a JSON that breaks off under a matching length."""
    whole = ask().content
    sandbox.faults[:] = [HtmlError(503, times=1), EmptyOk(times=1), Cut(0.25, times=1)]
    page, empty, cut = ask(), ask(), ask()
    assert (page.status_code, page.headers["Content-Type"][:9]) == (503, "text/html")
    assert (empty.status_code, empty.content) == (200, b"")
    assert cut.content == whole[: len(whole) // 4]


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_connections_break(sandbox: Sandbox, ask: Get, keep: float) -> None:
    """A reset ends the call before or within the body; the next call is served."""
    sandbox.faults[:] = [Reset(keep, times=1)]
    with pytest.raises(httpx.TransportError):
        ask()
    assert ask().status_code == 200


def test_redirects_lead_away(sandbox: Sandbox, ask: Get) -> None:
    """A redirect has a Location and no body."""
    sandbox.faults[:] = [Redirect("http://127.0.0.1:9/x", 307)]
    response = ask()
    assert (response.status_code, response.headers["Location"]) == (307, "http://127.0.0.1:9/x")


def test_a_token_dies_early(connect: Callable[[Sandbox], Get]) -> None:
    """The token of the struck call is refused from that call on."""
    with Sandbox(backups=5, faults=[TokenExpiry(after=1, times=1)]) as sandbox:
        assert statuses(connect(sandbox), 3) == [200, 401, 401]


def test_wide_windows_are_refused(sandbox: Sandbox, ask: Get) -> None:
    """A window up to the limit passes; a wider one, or none, is 400."""
    sandbox.faults[:] = [WindowLimit(2)]
    begin = {"begin_time": "2026-01-20T00:00:00+0000"}
    assert ask(**begin, end_time="2026-01-22T00:00:00+0000").status_code == 200
    assert ask(**begin, end_time="2026-01-22T00:00:01+0000").json()["error_code"] == "DBS.201215"
    assert ask().status_code == 400


def test_answers_can_be_slow(sandbox: Sandbox, ask: Get) -> None:
    """Latency holds an answer back for its time."""
    sandbox.faults[:] = [Latency(0.05, times=1)]
    assert ask(limit=1).elapsed.total_seconds() >= 0.05


def test_faults_can_be_written_as_text() -> None:
    """The command line's form gives the same faults as the classes."""
    text = "429:every=50, 500:rate=0.01:on=*,throttle:limit=9:period_s=1.5,reset:keep=0.5,cut"
    assert parse_faults(text) == [
        Status(429, every=50),
        Status(500, rate=0.01, on="*"),
        Throttle(9, 1.5),
        Reset(0.5),
        Cut(),
    ]
    assert parse_faults("") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("storm", "fault 'storm' is unknown: use a status or one of status, throttle"),
        ("429:often=3", "'often' is no setting of fault 'status': use one of after, every"),
        ("429:every=x", "'x' in fault '429:every=x' is no number"),
        ("429:every=0", "every=0"),
    ],
)
def test_text_that_makes_no_fault_is_explained(text: str, message: str) -> None:
    """The error names the part that is not understood, and what would be."""
    with pytest.raises(ValueError, match="fault") as caught:
        parse_faults(text)
    assert message in str(caught.value)
