from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from backup_frames import sync_backups
from backup_frames.cli import main
from backup_frames.sandbox import Sandbox


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capfdbinary) -> Callable[..., Ran]:
    """Run the command line in this process."""

    def run_here(*arguments: object) -> Ran:
        capfdbinary.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Ran(code, out.decode(), err.decode())

    return run_here


@pytest.fixture
def run_process() -> Callable[..., Ran]:
    """Run the command line as a user does."""

    def run_there(*arguments: object, **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "backup_frames", *map(str, arguments)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run_there


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A service that stands still, shared by the tests that only read from it."""
    with Sandbox(backups=40) as served:
        yield served


@pytest.fixture(scope="session")
def synced(sandbox, tmp_path_factory) -> Path:
    """A lake of the sandbox, shared by the tests that only read from it."""
    folder = tmp_path_factory.mktemp("lakes") / "lake"
    sync_backups(
        lake=folder,
        endpoint=sandbox.endpoint,
        project_id=sandbox.project_id,
        token=sandbox.token,
    )
    return folder


@pytest.fixture
def account(sandbox, monkeypatch) -> Sandbox:
    """The environment of somebody with an account at the sandbox."""
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    return sandbox
