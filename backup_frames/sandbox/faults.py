"""Faults as data: what goes wrong, and on which requests.

In: a call about to be answered. Out: another answer, a spoilt one, a delay, or nothing. Faults are
asked in the order of the list; one that answers keeps the call from those after it, and each counts
the calls that reach it: a list of them is a script. Chance comes from a seed, so it repeats.

    Sandbox(faults=[Status(500, every=50), Throttle(limit=200, period_s=60)])
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .answers import THROTTLED, json_response, refuse_call, refuse_usually
from .query import Dialect, read_window

_DAY_US = 86_400_000_000


class Asked(NamedTuple):
    """What a fault may know of a call, and do to it."""

    params: dict[str, str]
    revoke: Callable[[], None]  # ends the life of the token that the call carries


@dataclass(kw_only=True)
class Fault:
    """When a fault happens; the kinds say how.

    Args:
        on: The operation it happens to: backups, instances, policy, tokens, projects, or * for all.
        after: So many calls pass first.
        every: Then every n-th call is applied.
        rate: Of these, this share, by chance.
        times: At most so many; None = without end.
        seed: Of the chance.
    """

    on: str = "backups"
    after: int = 0
    every: int = 1
    rate: float = 1.0
    times: int | None = None
    seed: int = 7
    seen: int = field(default=0, init=False)
    applied: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.every < 1 or not 0 <= self.rate <= 1:
            raise ValueError(
                f"a fault with every={self.every}, rate={self.rate} cannot strike: "
                "use every >= 1 and a rate from 0 to 1"
            )
        self._random = random.Random(self.seed)  # noqa: S311  # a simulation's chance, no secret

    def applies_to(self, operation: str) -> bool:
        """Count a call, and say whether the fault is due on it."""
        if self.on not in ("*", operation):
            return False
        self.seen += 1
        turn = self.seen - self.after
        is_due = turn > 0 and turn % self.every == 0 and self._random.random() < self.rate
        if not is_due or (self.times is not None and self.applied >= self.times):
            return False
        self.applied += 1
        return True

    def delay_s(self) -> float:
        """Seconds to wait before answering."""
        return 0.0

    def replace(self, _: Asked, /) -> Response | None:
        """An answer in place of the real one, or None; may raise a `Problem`."""
        return None

    def spoil(self, response: Response) -> Response:
        """The real answer, or what is left of it."""
        return response


@dataclass
class Status(Fault):
    """An error status with its usual body, or with a body of your own (JSON or raw bytes)."""

    status: int = 500
    body: Any = None

    def replace(self, _: Asked, /) -> Response | None:
        """The error."""
        if self.body is None:
            raise refuse_usually(self.status)
        return json_response(self.body, self.status)


@dataclass
class Throttle(Fault):
    """So many calls per window of time, counted by the real clock; the rest is refused with 429.

    The gateway's text tells limit and period; `Retry-After` is sent only if it is set.
    """

    limit: int = 200
    period_s: float = 60
    retry_after_s: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._window, self._count = 0.0, 0

    def replace(self, _: Asked, /) -> Response | None:
        """A refusal, if the window is full."""
        now = time.monotonic()
        if now - self._window >= self.period_s:
            self._window, self._count = now, 0
        self._count += 1
        if self._count <= self.limit:
            return None
        minutes = self.period_s / 60
        is_minutes = minutes >= 1 and minutes.is_integer()
        period = f"{minutes:g} minute" if is_minutes else f"{self.period_s:g} second"
        problem = refuse_call(429, "APIGW.0308", THROTTLED.format(self.limit, period))
        if self.retry_after_s is not None:
            problem.headers = {"Retry-After": str(self.retry_after_s)}
        raise problem


@dataclass
class Latency(Fault):
    """The answer comes later."""

    seconds: float = 0.1

    def delay_s(self) -> float:
        """Seconds to wait."""
        return self.seconds


@dataclass
class HtmlError(Fault):
    """A web page from a firewall in front of the gateway."""

    status: int = 502

    def replace(self, _: Asked, /) -> Response | None:
        """The page."""
        page = f"<html><head><title>{self.status}</title></head><body>CloudWAF</body></html>"
        return Response(page, self.status, media_type="text/html")


@dataclass
class EmptyOk(Fault):
    """Status 200 and nothing else."""

    def replace(self, _: Asked, /) -> Response | None:
        """Nothing."""
        return Response(b"", 200, media_type="application/json")


@dataclass
class Redirect(Fault):
    """Somewhere else, perhaps to a host that collects credentials."""

    location: str = "http://127.0.0.1:9/"
    status: int = 302

    def replace(self, _: Asked, /) -> Response | None:
        """The redirection."""
        return Response(b"", self.status, {"Location": self.location})


@dataclass
class TokenExpiry(Fault):
    """The call's token dies before its time; logging in again gives a new one."""

    def replace(self, asked: Asked, /) -> Response | None:
        """Nothing: the call goes on, and fails at the gate."""
        asked.revoke()
        return None


@dataclass
class WindowLimit(Fault):
    """Windows of time wider than so many days are refused."""

    days: float = 31

    def replace(self, asked: Asked, /) -> Response | None:
        """A refusal, if the window is too wide; one without times is as wide as can be."""
        window = read_window(asked.params, Dialect(is_plus_lenient=True))
        if window is None or window[1] - window[0] > self.days * _DAY_US:
            raise refuse_call(400, "DBS.201215", "Time is illegal.")
        return None


@dataclass
class Cut(Fault):
    """The body ends early, and Content-Length agrees: only the JSON can tell."""

    keep: float = 0.5

    def spoil(self, response: Response) -> Response:
        """The first part of the answer."""
        body = bytes(response.body)
        return json_response(body[: int(len(body) * self.keep)], response.status_code)


@dataclass
class Reset(Fault):
    """The connection is reset, before the answer or after a part of its body."""

    keep: float = 0.0

    def spoil(self, response: Response) -> Response:
        """An answer that breaks off."""
        return _Broken(bytes(response.body), self.keep)


class _Broken(Response):
    """Sends part of a body (or nothing at all) and resets the connection."""

    def __init__(self, body: bytes, keep: float) -> None:
        super().__init__(body, media_type="application/json")
        self._sent = body[: int(len(body) * keep)]

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Send, and break off; `scope["abort"]` is the server's."""
        if self._sent:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            await send({"type": "http.response.body", "body": self._sent, "more_body": True})
        await scope["abort"]()


KINDS: dict[str, type[Fault]] = {
    "status": Status,
    "throttle": Throttle,
    "latency": Latency,
    "html": HtmlError,
    "empty": EmptyOk,
    "redirect": Redirect,
    "token-expiry": TokenExpiry,
    "window": WindowLimit,
    "cut": Cut,
    "reset": Reset,
}


def parse_faults(text: str) -> list[Fault]:
    """Faults from a command line: `kind:name=value:…`, comma-separated; a number is a status.

    Example:
        >>> [type(fault).__name__ for fault in parse_faults("429:every=50,reset:rate=0.01")]
        ['Status', 'Reset']

    Raises:
        ValueError: Names the part that is not understood, and what would be.
    """
    return [_parse_fault(part.strip()) for part in text.split(",") if part.strip()]


def _parse_fault(text: str) -> Fault:
    kind, *settings = text.split(":")
    if kind.isdigit():
        kind, settings = "status", [f"status={kind}", *settings]
    if kind not in KINDS:
        raise ValueError(f"fault {kind!r} is unknown: use a status or one of {', '.join(KINDS)}")
    hidden = {"body", "location"}
    known = {f.name for f in fields(KINDS[kind]) if f.init and f.name not in hidden}
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise ValueError(
                f"{name!r} is no setting of fault {kind!r}: use one of {', '.join(sorted(known))}"
            )
        try:
            values[name] = value if name == "on" else _number(value)
        except ValueError:
            raise ValueError(f"{value!r} in fault {text!r} is no number: use one") from None
    return KINDS[kind](**values)


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)
