"""A storm of 429 over real sockets: the read waits as it is told, wastes little, and is complete."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from starlette.responses import Response
from support.clocks import InstantClock

from backup_frames.read.one_liners import read_backups
from backup_frames.sandbox import Fault, Sandbox
from backup_frames.sandbox.answers import THROTTLED, refuse_call
from backup_frames.sandbox.faults import Asked
from backup_frames.settings import load_settings


@dataclass(kw_only=True)
class Storm(Fault):
    """So many requests per minute, counted by the clock of the client that waits."""

    clock: InstantClock
    limit: int
    is_named: bool = True
    sends_retry_after: bool = False
    wasted: int = 0
    window: int = -1
    count: int = 0

    def replace(self, _: Asked, /) -> Response | None:
        now = self.clock.monotonic()
        if now // 60 != self.window:
            self.window, self.count = int(now // 60), 0
        self.count += 1
        if self.count <= self.limit:
            return None
        self.wasted += 1
        text = THROTTLED.format(self.limit, "1 minute") if self.is_named else "Slow down."
        problem = refuse_call(429, "APIGW.0308", text)
        if self.sends_retry_after:
            wait_s = int(60 - now % 60) + 1
            problem.headers = {"Retry-After": str(wait_s)}
        raise problem


@pytest.mark.parametrize(
    "kind",
    [
        {"limit": 20},
        {"limit": 60},
        {"limit": 40, "sends_retry_after": True},
        {"limit": 40, "sends_retry_after": True, "is_named": False},
        {"limit": 60, "is_named": False},
    ],
    ids=lambda kind: ", ".join(f"{name}={value}" for name, value in kind.items()),
)
def test_a_storm_is_weathered(kind: dict[str, int]) -> None:
    """8 threads under a small limit: complete, and at most a tenth of its requests wasted."""
    clock = InstantClock()
    storm = Storm(clock=clock, **kind)  # type: ignore[arg-type]  # limits and switches
    with Sandbox(backups=8_000, faults=[storm]) as box:
        settings = load_settings(
            endpoint=box.endpoint, project_id=box.project_id, token=box.token, max_connections=8
        )
        frames = read_backups(settings=settings, clock=clock)
        assert len(frames) == 8_000
    certificate = frames.certificate
    assert certificate is not None
    assert certificate.verdict == "complete"
    assert certificate.throttles == storm.wasted > 0
    assert certificate.requests == box.request_count
    assert storm.wasted <= 0.1 * box.request_count
    assert (
        clock.slept_s >= 60 * (box.request_count - storm.wasted - storm.limit) // storm.limit - 60
    )
