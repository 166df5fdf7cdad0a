"""A file system that fills up under a sync: said in one line, nothing broken, space heals it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.real_lab import Account, check_readers, check_sound, content_of

from backup_frames.sandbox import Sandbox

pytestmark = pytest.mark.slow


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(backups=150, seed=13, start=datetime.now(UTC) - timedelta(days=1)) as sandbox:
        yield sandbox


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, of 64 KB; `resize` gives it more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


def check_refusal(account: Account, lake: Path) -> None:
    """A sync says in one line that there is no space, and leaves a lake that can be read."""
    ended = account.run("sync", "--quiet")
    assert ended.code == 5, ended.err
    (line,) = ended.err.splitlines()
    assert line.startswith("Error: ")
    assert "No space left on device" in line
    assert "run again" in line
    check_readers(lake)
    if (lake / "_meta" / "lake.json").exists():
        check_sound(lake)


@pytest.mark.parametrize("unit", ["size", "nr_inodes"])
def test_a_disk_that_fills_up_at_any_point(
    box: Sandbox, disk: Path, tmp_path: Path, unit: str
) -> None:
    """Bytes or inodes run out ever later: exit 5 each time; with room enough one run converges."""
    calm = Account(box, tmp_path / "calm")
    assert calm.run("sync").code == 0
    lake = disk / "lake"
    account = Account(box, lake)
    amounts = {"size": [f"{pages * 4}k" for pages in (1, 3, 8, 20, 60, 120)]}
    amounts["nr_inodes"] = [str(count) for count in (2, 6, 9, 25, 70, 140)]
    resize(disk, "size=64m")
    for amount in amounts[unit]:
        resize(disk, f"{unit}={amount}")
        check_refusal(account, lake)
    resize(disk, "size=64m,nr_inodes=100000")
    assert account.run("sync").code == 0
    check_sound(lake)
    assert content_of(lake) == content_of(Path(calm.lake))


def test_a_disk_that_is_full_when_things_change(box: Sandbox, disk: Path, tmp_path: Path) -> None:
    """A lake that stands keeps what it has: readers see the last good run until there is room."""
    lake, calm = disk / "lake", tmp_path / "calm"
    resize(disk, "size=64m")
    account = Account(box, lake)
    for target in (account, Account(box, calm)):
        assert target.run("sync").code == 0
    before = content_of(lake)
    box.clock.advance(timedelta(days=1))
    used = sum(path.stat().st_blocks * 512 for path in lake.rglob("*") if path.is_file())
    resize(disk, f"size={used // 1024 // 4 * 4 + 4}k")
    check_refusal(account, lake)
    assert content_of(lake) == before
    resize(disk, "size=64m")
    for target in (account, Account(box, calm)):
        assert target.run("sync").code == 0
    check_sound(lake)
    assert content_of(lake) == content_of(calm)
