"""The server around it: starts, stops, prints what a client needs, and stands alone."""

from __future__ import annotations

import ast
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import backup_frames.sandbox
from backup_frames.sandbox import Sandbox, Status

SERVE = """
from backup_frames.sandbox import serve
serve(backups=30, faults="500:every=2", tell=lambda line: print(line, flush=True))
print("stopped")
"""


def test_it_serves_and_frees_its_port() -> None:
    """Inside the with block it answers on loopback; afterwards port and thread are free."""
    before = set(threading.enumerate())
    with Sandbox(backups=5) as sandbox:
        response = httpx.get(
            f"{sandbox.endpoint}/v3.1/{sandbox.project_id}/backups",
            headers={"X-Auth-Token": sandbox.token},
        )
        assert response.json()["total_count"] == len(sandbox.fleet.ids("Instance"))
        assert len(response.headers["X-Request-Id"]) == 32
        assert parsedate_to_datetime(response.headers["Date"]).year > 2025  # real time
        assert sandbox.request_count == 1
        port = httpx.URL(sandbox.endpoint).port
    left = set(threading.enumerate()) - before
    assert "sandbox" not in {thread.name for thread in left}
    with Sandbox(backups=5, port=port) as again:
        assert httpx.URL(again.endpoint).port == port
    sandbox.stop()  # twice is once


def test_a_taken_port_is_an_error() -> None:
    """A port that somebody listens on is an OSError, and nothing is left open."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        Sandbox(backups=1, port=taken.getsockname()[1]).start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_and_stops(number: signal.Signals) -> None:
    """serve prints lines to export, answers with them, and ends cleanly when told to."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(backup_frames.sandbox.__file__).parents[2],
    )
    with process:
        lines = dict(process.stdout.readline().strip().split("=", 1) for _ in range(6))
        exported = [process.stdout.readline().split() for _ in range(3)]
        assert [word for words in exported for word in words if word != "export"] == list(lines)
        url = f"{lines['BACKUP_FRAMES_ENDPOINT']}/v3.1/{lines['BACKUP_FRAMES_PROJECT_ID']}/backups"
        headers = {"X-Auth-Token": lines["BACKUP_FRAMES_TOKEN"]}
        assert httpx.get(url, headers=headers).json()["total_count"] > 0
        assert httpx.get(url, headers=headers).status_code == 500
        assert {"HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"} < set(lines)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "stopped\n", "")


def test_many_at_once_get_whole_answers(
    connect: Callable[..., Callable[..., httpx.Response]],
) -> None:
    """Eight threads at a time, with the fleet changing, all get consistent answers."""
    with Sandbox(backups=500) as sandbox:
        failures: list[object] = []
        get = connect(sandbox)

        def read() -> None:
            for offset in range(0, 400, 50):
                answer = get(limit=50, offset=offset).json()
                rows = min(50, max(0, answer["total_count"] - offset))
                if len(answer["backups"]) != rows:
                    failures.append(answer["total_count"])

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for backup_id in sandbox.fleet.ids("Instance")[::5]:
            sandbox.fleet.delete(backup_id)
        for thread in threads:
            thread.join()
        assert failures == []
        assert sandbox.request_count == 64


def test_it_imports_nothing_of_the_rest() -> None:
    """The twin shares no code with what it tests, in-function imports included."""
    foreign = []
    for path in Path(backup_frames.sandbox.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{'.' * node.level}{node.module or ''}"]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            foreign += [n for n in names if n.startswith(("backup_frames", ".."))]
    assert foreign == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"is_live": "false"}, "is_live is 'false': give True or False"),
        ({"is_live": 2}, "is_live is 2: give True or False"),
        ({"latency_s": "1"}, "latency_s is '1': give seconds"),
        ({"latency_s": float("nan")}, "latency_s is nan: give seconds"),
        ({"unfinished": "none"}, "unfinished is 'none': use one of null, "),
        ({"faults": ["429:every=50"]}, "'429:every=50' is no fault: give one such as Status"),
        ({"faults": "430x"}, "fault '430x' is unknown: use a status or one of "),
        ({"is_plus_lenient": "false"}, "is_plus_lenient is 'false': give True or False"),
        ({"limit_cap": "5"}, "limit_cap is '5': give a number"),
    ],
)
def test_an_argument_of_another_kind_is_told(given: dict[str, Any], told: str) -> None:
    """It is refused by name where it is given; no call is answered by a failure of our own."""
    with pytest.raises(ValueError, match=re.escape(told)):
        Sandbox(backups=5, **given)


def test_faults_are_taken_as_text() -> None:
    """As on the command line, where the text comes from."""
    assert Sandbox(backups=5, faults="429:every=50").faults == [Status(status=429, every=50)]
