"""The sandbox in a process of its own: it makes its fleet and answers while its client works.

In: how large a fleet, which seed, which start. Out: what a client needs, and the clock that both go by.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Self

from .world.clock import SandboxClock

_PROGRAM = """\
import gc, json, signal, sys
from datetime import datetime, timedelta

signal.signal(signal.SIGINT, signal.SIG_IGN)  # the client ends it, or its own end does
from backup_frames.sandbox import Sandbox

gc.disable()  # a fleet is many objects and no garbage
backups, seed, start = json.loads(sys.argv[1])
with Sandbox(backups, seed=seed, start=datetime.fromisoformat(start)) as sandbox:
    told = {name: getattr(sandbox, name) for name in ("endpoint", "region", "project_id", "token")}
    print(json.dumps(told), flush=True)
    for line in sys.stdin:
        print(sandbox.clock.advance(timedelta(seconds=float(line))), flush=True)
"""


class SandboxApart:
    """A `Sandbox` in a process of its own, which starts when this is made.

    Its `with` block begins when it serves; the time until then is the caller's.

    Args:
        backups: As of `Sandbox`, like the others.
        seed: Same seed, same fleet.
        start: The clock's first time.

    Raises:
        OSError: No process can be started, or it ended.
    """

    endpoint: str
    region: str
    project_id: str
    token: str

    def __init__(self, backups: int, *, seed: int, start: datetime) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the program above, by this interpreter
            [sys.executable or "", "-P", "-c", _PROGRAM, json.dumps((backups, seed, str(start)))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},  # to find what this found
            encoding="utf-8",
        )
        self.clock: SandboxClock = _SharedClock(start, self._advance)

    def __enter__(self) -> Self:
        for name, value in json.loads(self._answer()).items():
            setattr(self, name, value)
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _advance(self, by: timedelta) -> None:
        there = self._process.stdin
        assert there is not None  # noqa: S101 - it is a pipe
        there.write(f"{by.total_seconds()}\n")
        there.flush()
        self._answer()

    def _answer(self) -> str:
        back = self._process.stdout
        assert back is not None  # noqa: S101 - it is a pipe
        if not (line := back.readline()):
            raise ChildProcessError("The process of the sandbox has ended.")
        return line


class _SharedClock(SandboxClock):
    def __init__(self, start: datetime, tell: Callable[[timedelta], None]) -> None:
        super().__init__(start)
        self._tell = tell

    def advance(self, by: timedelta) -> datetime:
        """Turn both clocks forward and return the new time."""
        now = super().advance(by)
        self._tell(by)
        return now
