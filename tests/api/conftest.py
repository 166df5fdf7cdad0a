from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.accounts import PROJECT, TOKEN
from support.clocks import InstantClock

from backup_frames.cli import main
from backup_frames.clock import SystemClock


class Ran(NamedTuple):
    """What one run of the command line came to.

    `error` is the class of the error reported, None if there was none; `written` what --out holds.
    """

    code: int
    error: str | None
    message: str
    err: str
    written: list[str]
    slept_s: float


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> InstantClock:
    """Every client opened in this test waits on this clock, the command line's included."""
    clock = InstantClock()
    for name in ("now", "monotonic", "sleep"):
        method = getattr(clock, name)
        monkeypatch.setattr(SystemClock, name, lambda _, *args, method=method: method(*args))
    return clock


@pytest.fixture
def read(
    clock: InstantClock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Callable[..., Ran]:
    """`backup-frames read --format parquet --out …` from an endpoint, without real waiting."""
    out = tmp_path / "out"

    def read_here(endpoint: str, *arguments: str, timeout_s: float = 60.0) -> Ran:
        monkeypatch.setenv("BACKUP_FRAMES_TOKEN", TOKEN)
        monkeypatch.setenv("BACKUP_FRAMES_TIMEOUT_S", str(timeout_s))
        capfdbinary.readouterr()
        place = ["--endpoint", endpoint, "--project-id", PROJECT, "--out", str(out)]
        output = ["--format", "parquet", "--log-format", "json"]
        code = main(["read", *place, *output, *arguments])
        err = capfdbinary.readouterr().err.decode()
        reported: list[dict[str, Any]] = [
            line for line in map(json.loads, err.splitlines()) if "error" in line
        ]
        assert len(reported) == (code != 0), err
        error, message = (reported[0]["error"], reported[0]["message"]) if reported else (None, "")
        written = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")]
        if code:
            assert not out.exists()
        return Ran(code, error, message, err, written, clock.slept_s)

    return read_here
