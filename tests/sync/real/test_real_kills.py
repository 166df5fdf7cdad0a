"""kill -9 on real processes, anywhere: the lake stays readable, and one more run makes it right."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from support.real_lab import (
    Account,
    check_readers,
    check_sound,
    content_of,
    copy_lake,
    data_files,
    finish,
    wait_until,
)

from backup_frames.lake.lake import open_lake
from backup_frames.sandbox import Sandbox
from backup_frames.sync.one_project import SyncReport, sync_backups

pytestmark = pytest.mark.slow

MOMENTS = (6, 16, 3)
SCENES = ("first", "changed", "full")


class Scene(NamedTuple):
    """A service, the lake as the struck run finds it, and how that run is started."""

    box: Sandbox
    before: Path
    struck: Account
    is_full: bool

    def sync(self, lake: Path) -> SyncReport:
        """Run undisturbed, inside this process, at the sandbox's moment."""
        return sync_backups(
            lake=str(lake),
            endpoint=self.box.endpoint,
            project_id=self.box.project_id,
            token=self.box.token,
            full=self.is_full,
            clock=self.box.clock,
        )


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """A first sync, one after a day of changes, and a full one after the same."""
    kind, before = request.param, tmp_path / "before"
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    with Sandbox(backups=120, seed=9, start=start) as box:
        made = Scene(box, before, Account(box, tmp_path / "struck"), kind == "full")
        if kind != "first":
            made.sync(before)
        box.clock.advance(timedelta(days=1))
        ids = box.fleet.ids()
        for number in (3, 20, 50, 90):
            box.fleet.delete(ids[number])
        for number in (5, 30, 70):
            box.fleet.update(ids[number], description="looked at")
        yield made


def run_arguments(scene: Scene) -> list[str]:
    return ["sync", "--quiet", "--full"] if scene.is_full else ["sync", "--quiet"]


def check_struck(lake: Path) -> None:
    """A lake that a dead run left is readable by everybody, and sound."""
    check_readers(lake)
    if (lake / "_meta" / "lake.json").exists():
        check_sound(lake)
        opened = open_lake(str(lake))
        assert opened.backups().num_rows <= opened.backups(present=False).num_rows
        assert opened.databases().num_rows <= opened.databases(present=False).num_rows
        assert opened.tables().num_rows <= opened.tables(present=False).num_rows


def test_the_command_killed_at_any_moment(scene: Scene, tmp_path: Path) -> None:
    """At each of many moments of a run: readers and verify see no damage, one run heals all.

    Writing is a twentieth of a run: most of the moments are in it, the others before and after.
    """
    lake, phases = Path(scene.struck.lake), (asking, writing, stored)
    copy_lake(scene.before, lake)
    are_begun = [phase(scene) for phase in phases]
    process, begun_s = scene.struck.start(*run_arguments(scene)), list[float]()
    for is_begun in are_begun:
        wait_until(is_begun, process)
        begun_s.append(time.monotonic())
    assert finish(process).code == 0
    begun_s.append(time.monotonic())
    expected = content_of(lake)
    for phase, count, (begin_s, end_s) in zip(phases, MOMENTS, pairwise(begun_s), strict=True):
        for number in range(count):
            delay_s = (end_s - begin_s) * number / count
            while not kill_after(scene, phase, delay_s):
                delay_s /= 2  # this run was quicker than the one that was measured
            check_struck(lake)
            healed = scene.struck.run(*run_arguments(scene))
            assert healed.code == 0, healed.err
            check_sound(lake)
            assert content_of(lake) == expected, (phase, number)


def asking(scene: Scene) -> Callable[[], bool]:
    """Whether a run that starts now has asked for anything yet."""
    before = scene.box.request_count
    return lambda: scene.box.request_count > before


def writing(scene: Scene) -> Callable[[], bool]:
    """Whether a run has announced what it writes."""
    return (records_of(scene) / "pending.json").exists


def stored(scene: Scene) -> Callable[[], bool]:
    """Whether a run that starts now has swapped in the state of the backups."""
    record = records_of(scene) / "state.json"
    before = record.stat().st_mtime_ns if record.exists() else 0
    return lambda: record.exists() and record.stat().st_mtime_ns != before


def records_of(scene: Scene) -> Path:
    return Path(scene.struck.lake) / "_meta" / scene.box.project_id


def kill_after(scene: Scene, phase: Callable[[Scene], Callable[[], bool]], delay_s: float) -> bool:
    """Start a run on a fresh copy and kill it so long after a phase began; was it alive?"""
    copy_lake(scene.before, Path(scene.struck.lake))
    is_begun = phase(scene)
    process = scene.struck.start(*run_arguments(scene))
    wait_until(is_begun, process)
    time.sleep(delay_s)
    process.kill()
    return finish(process).code == -signal.SIGKILL


def test_a_run_killed_before_any_call_of_the_kernel(scene: Scene, tmp_path: Path) -> None:
    """Before renames, flushes and removals: one run later the bytes are those of a calm one."""
    if not can_trace(tmp_path):
        pytest.skip("strace, or the right to trace processes, is missing")
    lake, log = Path(scene.struck.lake), tmp_path / "trace"
    command = scene.struck.frozen(scene.box.clock.now(), "full" if scene.is_full else "plain")
    copy_lake(scene.before, lake)
    calm = [*STRACE, str(log), "-e", f"trace={','.join(CALLS)},unlinkat", *command]
    assert finish(scene.struck.launch(calm)).code == 0
    expected, struck = data_files(lake), 0
    trace = log.read_text()
    places = list(places_of(trace))
    assert len(places) >= 6  # else the store asks the kernel by other calls than these by now
    for spot in [*places, *turns_of(trace)]:
        copy_lake(scene.before, lake)
        ended = finish(scene.struck.launch([*STRACE, str(log), *spot, *command]))
        assert ended.code in (KILLED if spot in places else (0, *KILLED)), (spot, ended.err)
        struck += ended.code != 0
        check_struck(lake)
        scene.sync(lake)
        check_sound(lake)
        assert data_files(lake) == expected, spot
    assert struck >= 15


STRACE = ("strace", "-f", "-qq", "-o")
CALLS = ("renameat", "fsync")
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)


def places_of(trace: str) -> Iterator[list[str]]:
    """Before each time that a record is swapped in or removed, by its name in a folder that is open."""
    for name in ("lake.json", "pending.json", "manifest.json", "state.json"):
        for call in ("renameat", "unlinkat"):
            made = [
                line for line in trace.splitlines() if f" {call}(" in line and f'"{name}"' in line
            ]
            for turn in range(1, len(made) + 1):
                strike = f"inject={call}:signal=KILL:when={turn}"
                yield ["-P", name, "-e", f"trace={call}", "-e", strike]


def turns_of(trace: str) -> Iterator[list[str]]:
    """Spread over all calls that a calm run made; strace counts each thread for itself."""
    for call in CALLS:
        threads = Counter(line.split()[0] for line in trace.splitlines() if f" {call}(" in line)
        last = max(threads.values())
        for turn in sorted({1 + number * last // 9 for number in range(9)}):
            yield ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={turn}"]


def can_trace(folder: Path) -> bool:
    """Whether strace is here and may do its work."""
    if shutil.which("strace") is None:
        return False
    command = [*STRACE, str(folder / "trace"), "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
