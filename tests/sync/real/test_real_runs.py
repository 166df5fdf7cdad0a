"""Real processes side by side and stopped: two syncs at once, SIGTERM, readers all the while."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from support.real_lab import (
    Account,
    check_readers,
    check_sound,
    content_of,
    copy_lake,
    data_files,
    finish,
    stamps,
    wait_until,
)

from backup_frames.lake.lake import open_lake
from backup_frames.sandbox import Sandbox

pytestmark = pytest.mark.slow

IMPORTS = (
    "import backup_frames.cli.commands.sync, backup_frames.sync.one_project, "
    "backup_frames.lake.storage.local"
)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(backups=150, seed=4, start=datetime.now(UTC) - timedelta(days=3)) as sandbox:
        yield sandbox


def test_of_two_syncs_at_once_one_is_turned_away(box: Sandbox, tmp_path: Path) -> None:
    """The second ends with exit code 5 and one line, within 3 seconds; the first completes."""
    account = Account(box, tmp_path / "lake")
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    import_s = time.monotonic() - begun  # what only loading costs on this machine, at this hour
    box.service.latency_s = 1.0
    first = account.start("sync")
    wait_until(lambda: box.request_count, first)
    begun = time.monotonic()
    second = account.run("sync", "--quiet")
    took_s = time.monotonic() - begun
    assert first.poll() is None, "the first run was too quick for this test"
    box.service.latency_s = 0.0
    assert second.code == 5
    assert len(second.err.splitlines()) == 1
    assert f"process {first.pid}" in second.err or str(first.pid) in second.err
    assert took_s < 3 + import_s
    ended = finish(first)
    assert ended.code == 0, ended.err
    check_sound(tmp_path / "lake")
    assert account.run("sync").code == 0


def test_a_killed_owner_never_blocks(box: Sandbox, tmp_path: Path) -> None:
    """The lock of a process that kill -9 ended is free at once."""
    account = Account(box, tmp_path / "lake")
    box.service.latency_s = 5.0
    first = account.start("sync")
    wait_until(lambda: box.request_count, first)
    first.kill()
    box.service.latency_s = 0.0
    assert finish(first).code == -signal.SIGKILL
    assert account.run("sync").code == 0
    assert open_lake(str(tmp_path / "lake")).backups().num_rows == 150


@pytest.mark.parametrize("kind", ["first", "changed"])
def test_sigterm_at_any_moment(box: Sandbox, tmp_path: Path, kind: str) -> None:
    """It ends within 5 seconds with 143, the lake is sound, and the next run makes it right."""
    calm, before, lake = (tmp_path / name for name in ("calm", "before", "lake"))
    if kind == "changed":
        assert Account(box, before).run("sync").code == 0
    box.clock.advance(timedelta(days=1))
    copy_lake(before, calm)
    box.service.latency_s = 0.1
    asked = box.request_count
    assert Account(box, calm).run("sync").code == 0
    needed, expected = box.request_count - asked, content_of(calm)
    account = Account(box, lake)
    for number in range(0, needed, max(1, needed // 8)):
        copy_lake(before, lake)
        asked = box.request_count + number
        process = account.start("sync")
        wait_until(lambda: box.request_count > asked, process)  # noqa: B023 - ends in this turn
        begun = time.monotonic()
        process.terminate()
        ended = finish(process)
        assert time.monotonic() - begun < 5
        assert ended.code == 143
        assert "Traceback" not in ended.err
        check_readers(lake)
        if (lake / "_meta" / "lake.json").exists():
            check_sound(lake)
        assert account.run("sync").code == 0
        check_sound(lake)
        assert content_of(lake) == expected


def test_a_stopped_first_run_is_not_wasted(tmp_path: Path) -> None:
    """What a stopped run had finished is in the lake, and the next one does not write it again."""
    with Sandbox(backups=3000, seed=6, start=datetime.now(UTC)) as box:
        account = Account(box, tmp_path / "lake")
        lake = tmp_path / "lake"
        box.service.latency_s = 0.1
        process = account.start("sync")
        wait_until(lambda: any((lake / "backups").rglob("*.parquet")), process)
        process.terminate()
        assert finish(process).code == 143
        box.service.latency_s = 0.0
        kept = stamps(lake)
        assert kept
        assert account.run("sync").code == 0
        after = stamps(lake)
        assert sum(after[path] == kept[path] for path in kept) >= 0.9 * len(kept)


def test_readers_see_no_damage_while_runs_come_and_die(box: Sandbox, tmp_path: Path) -> None:
    """pandas, pyarrow and duckdb read without a pause while syncs write, and while some are killed."""
    lake = tmp_path / "lake"
    account = Account(box, lake)
    problems, reads, is_over = list[BaseException](), [0], threading.Event()

    def read_on() -> None:
        with duckdb.connect() as connection:
            seen = 0
            while not is_over.is_set():
                try:
                    rows = check_readers(lake, connection)
                    assert rows >= seen, "rows that were there are gone"
                except BaseException as problem:
                    problems.append(problem)
                    return
                seen, reads[0] = rows, reads[0] + 1

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        for turn in range(16):
            asked = box.request_count
            process = account.start("sync", *(["--full"] if turn % 4 == 2 else []))
            wait_until(lambda: box.request_count > asked, process)  # noqa: B023 - ends in this turn
            if turn % 2:
                time.sleep(0.05 * turn)
                process.kill()
            assert finish(process).code in (0, -signal.SIGKILL)
            box.clock.advance(timedelta(hours=4))
            for one in box.fleet.ids()[turn * 5 : turn * 5 + 60 : 5]:
                box.fleet.update(one, description=f"in turn {turn}")
    finally:
        is_over.set()
        reader.join()
    assert problems == []
    assert reads[0] >= 10
    assert account.run("sync", "--full").code == 0
    check_sound(lake)
    assert len(data_files(lake)) > 50
