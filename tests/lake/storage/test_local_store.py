"""The local store against real disks, limits, permissions and deaths."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_frames.errors import ConfigError, LakeConflictError, LakeError
from backup_frames.lake.storage.urls import check_store, open_store
from backup_frames.whole_files import flush_folder

SCRATCH = "_meta/p/tmp"
LOCK = "_meta/p/lock"
HANG_S = 60  # only a hang takes so long
PRELUDE = """
import sys
from backup_frames.errors import LakeError
from backup_frames.lake.storage.urls import open_store
store = open_store(sys.argv[1], scratch="_meta/p/tmp")
"""


def start(lake: Path, code: str, stdin: int | None = None) -> subprocess.Popen[str]:
    script = PRELUDE + textwrap.dedent(code.lstrip("\n"))
    return subprocess.Popen(
        [sys.executable, "-c", script, str(lake)], stdout=subprocess.PIPE, text=True, stdin=stdin
    )


# root may write anywhere; Python itself may live where only root can read, so not earlier
BE_NOBODY = """
        import os
        if os.getuid() == 0:
            os.setuid(65534)
"""
HOLD = """
with store.lock("_meta/p/lock"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike `tmp_path`."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def test_kill_9_frees_the_lock(tmp_path: Path) -> None:
    """The lock of a killed process is free at once, although its file still names the process."""
    owner = start(tmp_path, HOLD, stdin=subprocess.PIPE)
    assert owner.stdout.readline() == "held\n"
    store = open_store(str(tmp_path), scratch=SCRATCH)
    with pytest.raises(LakeConflictError, match=f"process {owner.pid} on "), store.lock(LOCK):
        pass
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == owner.pid
    with store.lock(LOCK) as lock:
        lock.check()
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert (tmp_path / LOCK).read_bytes() == b""


def test_of_two_processes_one_is_refused_at_once(tmp_path: Path) -> None:
    """Two runs at once: one holds the lake, the other does not wait for it to let go."""
    owner = start(tmp_path, HOLD, stdin=subprocess.PIPE)
    assert owner.stdout.readline() == "held\n"
    other = start(
        tmp_path,
        """
        try:
            with store.lock("_meta/p/lock"):
                print("held")
        except LakeError as error:
            print(type(error).__name__)
        """,
    )
    assert other.communicate(timeout=HANG_S)[0] == "LakeConflictError\n"
    owner.communicate("")


def test_a_removed_lock_file_is_noticed(tmp_path: Path) -> None:
    """Whoever removes the lock file lets a second run in; the first one sees it at its check."""
    store = open_store(str(tmp_path), scratch=SCRATCH)
    with store.lock(LOCK) as lock:
        (tmp_path / LOCK).unlink()
        with store.lock(LOCK) as second:
            second.check()
            with pytest.raises(LakeConflictError, match="removed"):
                lock.check()


def test_a_folder_of_temporary_files_that_goes_away_is_made_again(tmp_path: Path) -> None:
    """Somebody tidies up in the middle of a run: its next file is written all the same."""
    store = open_store(str(tmp_path / "lake"), scratch="_meta/p/tmp")
    with store.lock("_meta/p/lock"):
        store.put("backups/a", b"1")
        (tmp_path / "lake/_meta/p/tmp").rmdir()
        store.put("backups/a", b"2")
        assert store.read("backups/a") == b"2"


def test_killed_in_the_middle_of_a_put(tmp_path: Path) -> None:
    """kill -9 between write and rename leaves the old file, and a leftover the next run clears."""
    store = open_store(str(tmp_path), scratch=SCRATCH)
    store.put("a/f", b"old")
    victim = start(
        tmp_path,
        """
        import os, signal
        os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        store.put("a/f", b"new")
        """,
    )
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL
    assert [file.key for file in store.list("")][1:] == ["a/f"]
    assert [file.size for file in store.list(SCRATCH)] == [3]
    assert store.read("a/f") == b"old"
    with store.lock(LOCK):
        assert store.list(SCRATCH) == []


def test_a_file_beyond_the_size_limit_leaves_no_trace(tmp_path: Path) -> None:
    """A write cut short by the kernel (here: ulimit -f) keeps the old file and no temporary one."""
    child = start(
        tmp_path,
        """
        import resource
        store.put("a/f", b"old")
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            store.put("a/f", bytes(1_000_000))
        except LakeError as error:
            print(error)
        print(store.read("a/f"), store.list("_meta"))
        """,
    )
    said = child.communicate()[0]
    assert "a/f: File too large. The limit on file sizes is too low" in said
    assert said.endswith("b'old' []\n")


def test_a_folder_without_permission_says_so(open_folder: Path) -> None:
    """A user who may not write there reads what to do, and nothing is created."""
    open_folder.chmod(0o555)
    child = start(
        open_folder / "lake",
        BE_NOBODY
        + """
        for call in (lambda: store.put("a/f", b"x"), lambda: store.lock("_l").__enter__()):
            try:
                call()
            except LakeError as error:
                print(error)
        """,
    )
    lines = child.communicate()[0].splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "Permission denied. Give this user read and write permission" in line
    assert list(open_folder.iterdir()) == []


def test_an_unreadable_folder_is_not_an_empty_one(open_folder: Path) -> None:
    """Listing what may not be read is an error, never a shorter list."""
    (open_folder / "a").mkdir(mode=0)
    child = start(
        open_folder,
        BE_NOBODY
        + """
        try:
            print(store.list(""))
        except LakeError as error:
            print(error)
        """,
    )
    assert "Permission denied" in child.communicate()[0]


@pytest.mark.parametrize("key", ["taken/f", "folder"])
def test_files_and_folders_in_the_way_are_named(tmp_path: Path, key: str) -> None:
    """A file where a folder belongs, or the reverse, is an error that names the path."""
    (tmp_path / "taken").write_bytes(b"mine")
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    store = open_store(str(tmp_path), scratch=SCRATCH)
    with pytest.raises(LakeError, match="stands where a folder belongs") as caught:
        store.put(key, b"x")
    assert caught.value.path == key
    assert str(tmp_path / key.partition("/")[0]) in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).path == key
    assert (tmp_path / "taken").read_bytes() == b"mine"
    assert store.list(SCRATCH) == []


def test_a_lake_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    """A lake path that is a file fails on every use, instead of looking empty."""
    (tmp_path / "lake").write_bytes(b"mine")
    store = open_store(str(tmp_path / "lake"), scratch=SCRATCH)
    for call in (
        lambda: store.read("a"),
        lambda: store.list(""),
        lambda: store.put("a", b""),
        lambda: store.lock(LOCK).__enter__(),
    ):
        with pytest.raises(LakeError, match="stands where a folder belongs"):
            call()


def test_what_is_put_is_flushed_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data is flushed before its rename, and each folder after a rename or a delete in it."""
    events: list[str] = []
    flush, rename = os.fsync, os.replace

    def name_of(descriptor: int) -> str:
        path = Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)
        return "temporary" if "tmp" in path.parts[:-1] else path.as_posix()

    monkeypatch.setattr(
        os, "fsync", lambda number: (events.append(f"flush {name_of(number)}"), flush(number))
    )
    monkeypatch.setattr(
        os, "replace", lambda *a, **k: (events.append("rename"), rename(*a, **k))[1]
    )
    store = open_store(str(tmp_path / "lake"), scratch="_meta/tmp")
    store.put("a/b/f", b"x")
    store.delete("a/b/f")
    assert events == [
        "flush .",
        "flush lake",
        "flush lake/_meta",
        "flush temporary",
        "flush lake",
        "flush lake/a",
        "rename",
        "flush lake/a/b",
        "flush lake/a/b",
    ]


@pytest.mark.parametrize("form", ["{0}", "file://{0}", "file://localhost{0}", "~/lake here"])
def test_local_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """Paths, file URLs (percent-encoded) and ~ reach the same folder; `url` is as written."""
    monkeypatch.setenv("HOME", str(tmp_path))
    lake = tmp_path / "lake here"
    url = form.format(str(lake).replace(" ", "%20") if "://" in form else lake)
    store = open_store(url, scratch=SCRATCH)
    store.put("a", b"x")
    assert (lake / "a").read_bytes() == b"x"
    assert store.url == url


def test_a_linked_lake_works(tmp_path: Path) -> None:
    """A symbolic link may stand for the lake's folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = open_store(str(tmp_path / "link"), scratch=SCRATCH)
    store.put("a/f", b"x")
    with store.lock(LOCK) as lock:
        lock.check()
    assert (tmp_path / "real" / "a" / "f").read_bytes() == b"x"
    assert [file.key for file in store.list("")] == [LOCK, "a/f"]


def test_foreign_names_that_are_no_text_are_listed(tmp_path: Path) -> None:
    """A file name that is no UTF-8 is listed in a form that can be printed."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xff")).write_bytes(b"")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    listed = open_store(str(tmp_path), scratch=SCRATCH).list("")
    assert [file.key.encode() for file in listed] == [b"dangling", b"f\\udcff"]


@pytest.mark.parametrize(
    "url", ["", "gs://bucket/x", "https://host/x", "file://host/x", "file:///x?y=1", "a\0b"]
)
def test_other_urls_are_refused(url: str) -> None:
    """What is no lake's URL is a ConfigError before any I/O."""
    with pytest.raises(ConfigError):
        open_store(url, scratch=SCRATCH)


def test_the_doctor_reports_instead_of_raising(tmp_path: Path) -> None:
    """`check_store` stops at the first step that fails and says why."""
    (tmp_path / "file").write_bytes(b"")
    steps = check_store(str(tmp_path / "file"), scratch="_meta/p/doctor")
    assert [(step.step, step.is_ok) for step in steps] == [("open", True), ("lock", False)]
    assert "stands where a folder belongs" in steps[-1].message
    assert [step.is_ok for step in check_store("gs://x/y", scratch="d")] == [False]


def test_file_systems_that_cannot_flush_folders_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EINVAL from flushing a folder (some network file systems) is no reason to fail."""

    def refuse(descriptor: int) -> None:
        raise OSError(22, "Invalid argument")

    descriptor = os.open(tmp_path, os.O_RDONLY)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        flush_folder(descriptor)
    os.close(descriptor)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.getuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine refuses to mount a tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    """ENOSPC leaves the old file and no temporary one; with room again the put succeeds."""
    store = open_store(str(small_disk / "lake"), scratch=SCRATCH)
    store.put("a/f", b"old")
    with pytest.raises(LakeError, match="No space left on device"):
        store.put("a/f", bytes(1_000_000))
    assert store.read("a/f") == b"old"
    assert store.list(SCRATCH) == []
    store.put("a/f", bytes(100_000))


@pytest.mark.slow
def test_a_read_only_disk_says_so(small_disk: Path) -> None:
    """A read-only mount can be read; writing and locking say what to do."""
    store = open_store(str(small_disk), scratch=SCRATCH)
    store.put("a/f", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert store.read("a/f") == b"old"
    for call in (lambda: store.put("a/f", b"x"), lambda: store.lock(LOCK).__enter__()):
        with pytest.raises(LakeError, match="mounted read-only: remount it"):
            call()
