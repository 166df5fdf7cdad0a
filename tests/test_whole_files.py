"""One way to write a file: whole or not at all, and never over what is no file."""

from __future__ import annotations

import errno
import os
import pty
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backup_frames.errors import ConfigError, LakeError
from backup_frames.whole_files import find_target, whole_file, write_whole


def by_bytes(path: Path, data: bytes) -> None:
    write_whole(path, data)


def by_function(path: Path, data: bytes) -> None:
    write_whole(path, lambda file: file.write(data))


def by_name(path: Path, data: bytes) -> None:
    with whole_file(path) as aside:
        aside.write_bytes(data)


each_way = pytest.mark.parametrize("write", [by_bytes, by_function, by_name])
Write = Callable[[Path, bytes], None]


def names_in(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@each_way
def test_a_new_file_follows_the_umask(tmp_path: Path, write: Write) -> None:
    """Under umask 027 a new file is 0640; beside it nothing is left."""
    before = os.umask(0o027)
    try:
        write(tmp_path / "new", b"x")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new") == 0o640
    assert names_in(tmp_path) == ["new"]


@each_way
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o400])
def test_a_replaced_file_keeps_its_mode_and_readers_the_old_one(
    tmp_path: Path, write: Write, mode: int
) -> None:
    """0600 stays 0600; who has the old file open reads it to its end."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(mode)
    with path.open("rb") as reader:
        write(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert mode_of(path) == mode


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_a_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    """root's cron job does not take a file from the user who reads it."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    os.chown(path, 65534, 65534)
    path.chmod(0o600)
    write_whole(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid, mode_of(path)) == (65534, 65534, 0o600)


@each_way
def test_links_are_followed_and_stay(tmp_path: Path, write: Write) -> None:
    """Through a link to a link the last file is replaced; a dangling link gets its file."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_bytes(b"old")
    (tmp_path / "second").symlink_to("there/real")
    (tmp_path / "first").symlink_to(tmp_path / "second")
    (tmp_path / "dangling").symlink_to("there/other")
    write(tmp_path / "first", b"new")
    write(tmp_path / "dangling", b"made")
    assert (tmp_path / "there" / "real").read_bytes() == b"new"
    assert (tmp_path / "there" / "other").read_bytes() == b"made"
    assert all((tmp_path / name).is_symlink() for name in ("first", "second", "dangling"))
    assert names_in(tmp_path / "there") == ["other", "real"]


@each_way
def test_a_pipe_is_written_into(tmp_path: Path, write: Write) -> None:
    """A named pipe, also behind a link, hands the bytes to its reader and stays a pipe."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    read = list[bytes]()
    for name in ("pipe", "link"):
        reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
        reader.start()
        write(tmp_path / name, b"x" * 100_000)
        reader.join(20)
    assert read == [b"x" * 100_000] * 2
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@each_way
def test_a_device_is_written_into(tmp_path: Path, write: Write) -> None:
    """A device stays what it is, for root too; a full one is an error with words."""
    terminal, device = (
        pty.openpty()
    )  # of our own: were it replaced, the machine would be none the worse
    name = Path(os.ttyname(device))
    (tmp_path / "link").symlink_to(name)
    write(name, b"x")
    write(tmp_path / "link", b"y")
    assert os.read(terminal, 1) + os.read(terminal, 1) == b"xy"
    assert stat.S_ISCHR(name.stat().st_mode)
    for descriptor in (terminal, device):
        os.close(descriptor)
    with pytest.raises(LakeError, match="/dev/full could not be written: No space left"):
        write(Path("/dev/full"), b"x")


WRITE = """
import sys
from backup_frames.whole_files import write_whole
for path in sys.argv[1:]:
    write_whole(path, b"data ")
"""


@pytest.mark.parametrize("kind", ["pipe", "file", "socket"])
def test_open_files_are_written_into(tmp_path: Path, kind: str) -> None:
    """/dev/stdout, /dev/fd/N and /proc/self/fd/N are what they stand for, and are not emptied."""
    import socket  # noqa: PLC0415

    paths = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
    command = [sys.executable, "-c", WRITE, *paths]
    if kind == "pipe":
        assert subprocess.run(command, check=True, capture_output=True).stdout == b"data " * 3
    elif kind == "file":
        log = tmp_path / "log"
        log.write_bytes(b"before ")
        with log.open("ab") as file:
            subprocess.run(command, check=True, stdout=file)
        assert log.read_bytes() == b"before " + b"data " * 3
    else:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            subprocess.run(command, check=True, stdout=theirs)
            assert ours.recv(100, socket.MSG_WAITALL | socket.MSG_DONTWAIT) == b"data " * 3


@each_way
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".", "is a folder. Give the name of a file"),
        ("folder", "is a folder. Give the name of a file"),
        ("link", "is a folder. Give the name of a file"),
        ("missing/f", "There is no folder .*/missing to write f into. Create it"),
        ("file/f", "Not a directory"),
        ("circle", "Too many levels of symbolic links"),
        ("ä" * 128, "has 256 bytes .* Choose a shorter one"),
        ("x" * 256, "has 256 bytes .* Choose a shorter one"),
        ("socket", "is a socket"),
        ("a\0b", "cannot be a file's name"),
        ("\ud800", "cannot be a file's name"),
        ("/proc/self/fd/999", "Bad file descriptor"),
        ("", "empty|is a folder"),
    ],
)
def test_what_no_file_can_replace_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, name: str, words: str
) -> None:
    """Wrong places are the caller's fault (exit code 2), in words, and nothing is touched."""
    import socket  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    Path("circle").symlink_to("circle")
    Path("file").write_bytes(b"mine")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    before = names_in(".")
    with pytest.raises(ConfigError, match=words) as caught:
        write(Path(name), b"x")
    with pytest.raises(ConfigError):
        find_target(name)
    assert caught.value.exit_code == 2
    assert not isinstance(caught.value.__cause__, ConfigError)  # said once
    assert names_in(".") == before
    assert names_in("folder") == []


@each_way
@pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, " ", "-", "a\nb", "\udcff"])
def test_any_name_that_the_disk_takes_will_do(tmp_path: Path, write: Write, name: str) -> None:
    """255 bytes, blanks, line ends and bytes that are no text are names like others."""
    for data in (b"first", b"second"):
        write(tmp_path / name, data)
        assert (tmp_path / name).read_bytes() == data
    assert names_in(tmp_path) == [name]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    """What goes wrong half-way passes through; the old file stands and nothing is beside it."""

    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as aside:
        _ = aside.write_bytes(b"half") / 0
    with pytest.raises(ZeroDivisionError):
        write_whole(path, lambda file: (file.write(b"half"), 1 / 0))
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["f"]


def test_a_disk_that_fails_is_named(tmp_path: Path) -> None:
    """Whoever writes is told which file it was; the old one stands, and nothing is beside it."""

    def fill(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(LakeError, match=f"{path} could not be written: No space left on device"):
        write_whole(path, fill)
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["f"]


def test_a_folder_without_permission_is_said_before(tmp_path: Path) -> None:
    """A user who may not write there is told which folder it is; root is let through."""
    folder = Path(tempfile.mkdtemp())  # other users cannot reach `tmp_path`
    folder.chmod(0o555)
    code = (
        "import os, sys; from backup_frames.whole_files import find_target\n"
        "os.getuid() or os.setuid(65534)\n"
        "find_target(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(folder / "f")]
    said = subprocess.run(command, check=False, capture_output=True, text=True).stderr
    folder.rmdir()
    assert f"ConfigError: {folder}/f cannot be written: this user may not write to {folder}" in said


def test_data_are_flushed_before_they_get_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, rename, folder: in this order, so that a power cut leaves the old or the new file."""
    events, flush, rename = list[str](), os.fsync, os.replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (events.append(f"flush {os.fstat(fd).st_mode >> 12:o}"), flush(fd))[1],
    )
    monkeypatch.setattr(
        os, "replace", lambda *a, **k: (events.append("rename"), rename(*a, **k))[1]
    )
    write_whole(tmp_path / "f", b"x")
    assert events[0] == "flush 10"
    assert events[-2:] == ["rename", "flush 4"]
    assert "rename" not in events[:-2]
