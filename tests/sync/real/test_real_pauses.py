"""Runs killed or stopped at random moments, on disk and in a bucket, with readers beside them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from backup_frames.lake.lake import open_lake
from backup_frames.sandbox import Sandbox
from backup_frames.sync.maintenance.verify import verify_lake

pytestmark = pytest.mark.slow

LEASE_S = 9.0  # a sixth of it is the patience of one request, on a busy machine
MOTO = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.disable()
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://{}:{}".format(*server.get_host_and_port()), flush=True)
sys.stdin.read()
server.stop()
"""
CONFLICT = 5
SAMPLES = pytest.mark.parametrize(("place", "rounds"), [("disk", 40), ("bucket", 30)])


class Zygote:
    """Starts syncs of one lake, and waits for them."""

    def __init__(self, box: Sandbox, lake: str, log: Path) -> None:
        self.box = box
        self.lake = lake
        self.log = log
        script = Path(__file__).with_name("zygote.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self) -> int:
        order = {"lake": self.lake, "endpoint": self.box.endpoint, "token": self.box.token}
        moment = self.box.clock.now().isoformat()
        more = {"project_id": self.box.project_id, "moment": moment, "lease_s": LEASE_S}
        return self._say(order | more | {"log": str(self.log)})

    def wait(self, pid: int) -> int:
        return self._say({"wait": pid})

    def run(self) -> int:
        return self.wait(self.start())

    def run_when_free(self) -> int:
        """A sync as soon as a dead run's lock has ended."""
        deadline = time.monotonic() + 240
        while (code := self.run()) == CONFLICT and time.monotonic() < deadline:
            time.sleep(0.1)
        return code

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)

    def _say(self, order: dict[str, Any]) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


class Beside(threading.Thread):
    """Reads the lake and verifies it over and over; whatever is not right is kept."""

    def __init__(self, lake: str) -> None:
        super().__init__()
        self.lake = lake
        self.faults = list[str]()
        self.counts = Counter[str]()
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.5 if "://" in self.lake else 0.1):
            for name in ("read", "verify"):
                try:
                    getattr(self, f"_{name}")()
                    self.counts[name] += 1
                except Exception:
                    self.faults.append(traceback.format_exc())

    def stop(self) -> None:
        self._is_over.set()
        self.join()

    def _read(self) -> None:
        lake = open_lake(self.lake)
        ids = lake.backups(present=False)["backup_id"].to_pylist()
        assert len(ids) == len(set(ids))
        assert lake.tables(present=False).num_rows

    def _verify(self) -> None:
        assert verify_lake(self.lake) == []


@pytest.fixture
def lake(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    if request.node.callspec.params["place"] == "disk":
        yield str(tmp_path / "lake")
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/EXAMPLEKEY")
    # In a process of its own: the readers here would hold up its answers beyond the lease.
    server = subprocess.Popen(
        [sys.executable, "-c", MOTO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin
    assert server.stdout
    endpoint = server.stdout.readline().strip()
    bucket = uuid.uuid4().hex
    urlopen(Request(f"{endpoint}/{bucket}", method="PUT")).close()
    yield f"s3://{bucket}/lake?endpoint={endpoint}"
    server.stdin.close()
    server.stdout.close()
    server.wait(60)


@pytest.fixture
def zygote(lake: str, tmp_path: Path) -> Iterator[Zygote]:
    with Sandbox(backups=60, seed=3) as box:
        made = Zygote(box, lake, tmp_path / "log")
        assert made.run() == 0
        yield made
        made.close()


def change(zygote: Zygote, number: int) -> None:
    """An hour passes; two backups go, two are new."""
    box = zygote.box
    moment = f"{box.clock.advance(timedelta(hours=1)):%Y-%m-%dT%H:%M:%S+0000}"
    ids = box.fleet.ids()
    model = box.fleet.records("DatabaseTable")[0] | {"begin_time": moment, "end_time": moment}
    for place in (0, 1):
        box.fleet.delete(ids[(number * 7 + place * 20) % len(ids)])
        box.fleet.add(model | {"id": f"{number:04x}{place}new"}, "DatabaseTable")


def check_whole(zygote: Zygote) -> None:
    """The next run is clean, and then the lake has what the service has."""
    assert zygote.run_when_free() == 0, zygote.log.read_text()
    assert verify_lake(zygote.lake) == []
    rows = open_lake(zygote.lake).backups().select(["backup_id", "description"]).to_pylist()
    found = {row["backup_id"]: row["description"] for row in rows}
    there = {row["id"]: row.get("description") for row in zygote.box.fleet.records()}
    assert found == there


def calm_seconds(zygote: Zygote) -> float:
    change(zygote, 0)
    begun = time.monotonic()
    assert zygote.run() == 0
    return time.monotonic() - begun


def moments(rounds: int, whole_s: float) -> list[float]:
    """When to strike: once in each slice of a calm run, in no order, so that no stretch is left out."""
    dice = random.Random(rounds)
    slices = dice.sample(range(rounds), rounds)
    return [(one + dice.random()) / rounds * whole_s * 0.8 for one in slices]


@SAMPLES
def test_killed_at_random(zygote: Zygote, place: str, rounds: int) -> None:
    """kill -9 anywhere: no reader sees an error, verify finds nothing, the next run is clean."""
    strikes = moments(rounds, calm_seconds(zygote))
    beside, outcomes = Beside(zygote.lake), Counter[int]()
    beside.start()
    try:
        for number, strike_s in enumerate(strikes, 1):
            change(zygote, number)
            pid = zygote.start()
            time.sleep(strike_s)
            os.kill(pid, signal.SIGKILL)
            outcomes[zygote.wait(pid)] += 1
            check_whole(zygote)
    finally:
        beside.stop()
        say(f"{sum(outcomes.values())} of {rounds} kills", zygote, outcomes, beside)
    assert beside.faults == []
    assert set(outcomes) <= {-signal.SIGKILL, 0}


@SAMPLES
def test_stopped_at_random(zygote: Zygote, place: str, rounds: int) -> None:
    """Stopped anywhere, for longer than its lease, while another run does the work: as above.

    On a disk the lock of a stopped run holds; there somebody removes its file every other time.
    """
    strikes = moments(rounds, calm_seconds(zygote))
    is_disk = place == "disk"
    beside, outcomes = Beside(zygote.lake), Counter[int]()
    beside.start()
    try:
        for number, strike_s in enumerate(strikes, 1):
            change(zygote, number)
            pid = zygote.start()
            time.sleep(strike_s)
            os.kill(pid, signal.SIGSTOP)
            if is_disk and number % 2:
                (Path(zygote.lake) / "_meta" / zygote.box.project_id / "lock").unlink()
            if not is_disk:
                time.sleep(LEASE_S + 1)
            zygote.box.clock.advance(timedelta(minutes=1))
            between = zygote.run() if is_disk else zygote.run_when_free()
            assert between in ((0, CONFLICT) if is_disk else (0,)), zygote.log.read_text()
            os.kill(pid, signal.SIGCONT)
            outcomes[zygote.wait(pid)] += 1
            check_whole(zygote)
    finally:
        beside.stop()
        say(f"{sum(outcomes.values())} of {rounds} pauses", zygote, outcomes, beside)
    assert beside.faults == []
    assert set(outcomes) <= {0, CONFLICT}, zygote.log.read_text()


def say(what: str, zygote: Zygote, outcomes: Counter[int], beside: Beside) -> None:
    place = "bucket" if "://" in zygote.lake else "disk"
    reads = dict(beside.counts)
    sys.stderr.write(
        f"\n{what} on {place}: exit codes {dict(outcomes)}, beside them {reads}, "
        f"faults {len(beside.faults)}\n"
    )
