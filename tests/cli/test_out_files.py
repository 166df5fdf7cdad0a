"""The files that commands write: each the same way, over whatever stands there."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from backup_frames.cli.session.session import Session

COMMANDS = {
    "read": ["read", "--format", "csv", "--out"],
    "report": ["report", "--out"],
    "publish": ["publish", "--out"],
    "metrics": ["sync", "--dry-run", "--metrics-file"],
}
each_command = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)


@pytest.fixture
def lake(account, synced, monkeypatch, tmp_path):
    """A lake in the environment, and a folder of one's own to be in."""
    monkeypatch.setenv("BACKUP_FRAMES_LAKE", str(synced))
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path / "own")
    return tmp_path / "own"


@each_command
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "is a folder"),
        ("folder", "is a folder"),
        ("missing/file", "There is no folder"),
        ("file/more", "Not a directory"),
        ("x" * 256, "has 256 bytes"),
    ],
)
def test_a_wrong_place_is_said_before_any_work(run, account, lake, command, path, words):
    """Exit code 2 and one line on stderr; the service is not asked, no file is made."""
    Path("folder").mkdir()
    Path("file").touch()
    asked = account.request_count
    ran = run(*command, path)
    assert ran.code == 2, ran.err
    assert words in ran.err or not path
    assert account.request_count == asked
    assert sorted(os.listdir()) == ["file", "folder"]  # noqa: PTH208 - names, the current folder's


@pytest.mark.parametrize("command", ["report", "publish"])
def test_a_wrong_place_is_said_before_work_is_announced(run, lake, monkeypatch, command):
    """Nobody reads that a page is being drawn which cannot be written."""

    def begin(*_arguments, **_options):
        pytest.fail("work began")

    monkeypatch.setattr(Session, "step", begin)
    Path("folder").mkdir()
    ran = run(command, "--out", "folder")
    assert (ran.code, "is a folder" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        (["--out", "full"], 5, "is not empty"),
        (["--out", "missing/pack"], 5, "cannot be written: No such file or directory"),
        (["--out", "dangling"], 5, "cannot be written: No such file or directory"),
        (["--out", "-"], 5, "is no folder"),
        (["--out", "folder.zip"], 2, "is a folder"),
        (["--calendar", "folder.zip"], 2, "is a folder"),
        (["--calendar", "page.html", "--out", "full"], 5, "is not empty"),
    ],
)
def test_evidence_is_not_gathered_for_a_wrong_place(
    run, tmp_path, monkeypatch, target, code, words
):
    """The place is refused before the lake is looked for, and of two none is written."""
    monkeypatch.chdir(tmp_path)
    for folder in ("full/own", "folder.zip"):
        Path(folder).mkdir(parents=True)
    Path("dangling").symlink_to("missing/pack")
    days = ["--from", "2026-01-01", "--to", "2026-01-02"]
    ran = run("evidence", "--lake", "nowhere", *days, *target)
    assert ran.code == code, ran.err
    assert words in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "folder.zip", "full"]


def drain_terminal(terminal: int) -> None:
    """Read what is written to a terminal, until its other end is closed."""
    with suppress(OSError):
        while os.read(terminal, 65_536):
            pass


@pytest.mark.parametrize(
    "command",
    [
        COMMANDS["read"],
        COMMANDS["metrics"],
        pytest.param(COMMANDS["report"], marks=pytest.mark.slow),  # five pages, five databases:
        pytest.param(COMMANDS["publish"], marks=pytest.mark.slow),  # links in `test_lake_commands`
    ],
    ids=["read", "metrics", "report", "publish"],
)
def test_devices_pipes_links_and_modes(run, lake, command):
    """One stays a device, one a pipe, one a link; 0600 stays 0600, and 255 bytes are a name."""
    Path("private").touch()
    Path("private").chmod(0o600)
    Path("real").touch()
    Path("link").symlink_to("real")
    os.mkfifo("pipe")
    read = list[bytes]()
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_bytes()))
    reader.start()
    terminal, writer = os.openpty()  # not the machine's own device: a fault would cost it
    device = Path(os.ttyname(writer))
    drain = threading.Thread(target=drain_terminal, args=[terminal], daemon=True)
    drain.start()
    for path in ("private", "link", "pipe", str(device), "x" * 255):
        ran = run(*command, path)
        assert ran.code == 0, ran.err
    reader.join(20)
    assert stat.S_ISCHR(device.stat().st_mode)
    os.close(writer)
    drain.join(20)
    os.close(terminal)
    assert stat.S_IMODE(Path("private").stat().st_mode) == 0o600
    assert Path("link").is_symlink()
    sizes = [Path(path).stat().st_size for path in ("private", "real", "x" * 255)]
    assert min(sizes) > 100
    assert len(read[0]) > 100
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
    left = sorted(os.listdir())  # noqa: PTH208 - as above
    assert left == ["link", "pipe", "private", "real", "x" * 255]


def test_a_reader_of_the_published_file_keeps_the_old_one(run, lake):
    """Who has the database open goes on reading it; who opens it anew reads the new one."""
    assert run("publish", "--materialize", "--out", "a.duckdb").code == 0
    with duckdb.connect("a.duckdb", read_only=True) as connection:
        assert run("publish", "--materialize", "--out", "a.duckdb").code == 0
        assert connection.sql("FROM backups").fetchall()
    with duckdb.connect("a.duckdb", read_only=True) as connection:
        assert connection.sql("FROM backups").fetchall()


@pytest.mark.parametrize("path", ["", "file"])
def test_a_folder_of_partitions_is_no_file(run, lake, path):
    """`read --format parquet` wants a folder: a file's name, or none, is exit code 2."""
    Path("file").touch()
    ran = run("read", "--format", "parquet", "--out", path)
    assert ran.code == 2, ran.err
    assert os.listdir() == ["file"]  # noqa: PTH208 - as above


def test_a_pipe_whose_reader_left_ends_as_stdout_does(run, lake):
    """Exit code 141 and one line, with no advice to look after the machine."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = run(*COMMANDS["read"], f"/dev/fd/{writer}")
    os.close(writer)
    assert ran.code == 141
    assert "Error: What was written to was closed by its reader; the rest is not" in ran.err
