"""Whose fault it is, and that nothing ends in silence: output, terminals, machines."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys

import duckdb
import pyarrow as pa
import pytest
import typer
from support.edge_service import SETTINGS, EdgeService

from backup_frames import sync_backups
from backup_frames.cli import main
from backup_frames.cli.screen.output import write_out
from backup_frames.cli.screen.tables import print_rows
from backup_frames.cli.session.session import Session, command, release_log
from backup_frames.errors import AuthError

HOSTILE = "\x1b]0;owned\x07 [red]x[/] \x9b31m \u202egnp.exe\nsecond"
UNSEEN = "\u00ad\u180e\u200b\u200c\u200d\u2060\u206a\ufeff\U0001d173\U000e0041"


@pytest.fixture(autouse=True)
def _released():
    yield
    release_log()


def run(function, *options: str) -> int:
    app = typer.Typer()
    app.command()(command(function))
    return app(list(options), standalone_mode=False)


@pytest.mark.parametrize("options", [(), ("--quiet",), ("--log-format=json",), ("-q", "--debug")])
@pytest.mark.parametrize("how", ["code", "exit", "error"])
def test_no_exit_but_0_is_silent(options, how, capsys):
    """Whatever sets the exit code and however quiet: one line on stderr."""

    def end(session: Session) -> None:
        if how == "exit":
            raise typer.Exit(6)
        if how == "error":
            raise OSError(errno.EACCES, "Permission denied", "/x")
        session.exit_code = 6

    assert run(end, *options) == (2 if how == "error" else 6)
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith(("Error", "Exit", "{"))]) == 1


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/full/x"), 5, "/full/x: No space left"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/locked/x"),
            2,
            "/locked/x: Permission",
        ),
        (OSError(errno.EMFILE, "Too many open files"), 2, "ulimit -n"),
        (RuntimeError("can't start new thread"), 2, "ulimit -u"),
        (pa.ArrowException("Unknown error: Failed to launch worker thread"), 2, "ulimit -u"),
        (MemoryError(), 2, "memory"),
        (ImportError("_duckdb.so: failed to map segment from shared object"), 2, "memory"),
        (duckdb.OutOfMemoryException("Allocation failure"), 2, "memory"),
    ],
)
def test_faults_of_the_machine_are_no_bugs(error, code, words, capsys):
    """A full disk, a refused path, no threads: the path at fault, what to do, and no bug."""

    def fail(session: Session) -> None:
        raise error

    assert run(fail) == code
    err = capsys.readouterr().err
    assert words in err
    assert "bug" not in err


def test_foreign_text_does_not_steer_the_terminal(capsys):
    """In errors, logs, notes, tables and reports control characters are spelled out."""

    def show(session: Session) -> None:
        session.note(HOSTILE)
        session.warn(HOSTILE)
        session.print(HOSTILE)
        print_rows([HOSTILE], [[HOSTILE]], HOSTILE)
        raise AuthError(HOSTILE)

    assert run(show) == 3
    out, err = capsys.readouterr()
    for text in (out, err):
        assert not set("\x1b\x07\x9b\u202e") & set(text)
        assert "\\u001b]0;owned\\u0007 [red]x[/] \\u009b31m \\u202egnp.exe" in text
    assert len(err.splitlines()) == 4  # the note keeps its lines, a warning and an error are one


def test_json_lines_stay_json(capsys):
    """Spelled out within JSON the text is the same."""
    assert run(lambda session: session.warn(HOSTILE), "--log-format=json") == 0
    text = capsys.readouterr().err
    assert json.loads(text)["message"] == HOSTILE
    assert not set("\x1b\x9b\u202e") & set(text)


def test_what_nobody_sees_is_spelled_out(capsys):
    """Marks without width do not make two names look alike; within JSON they mean the same."""
    assert run(lambda session: session.warn(f"a{UNSEEN}"), "--log-format=json") == 0
    text = capsys.readouterr().err
    assert json.loads(text)["message"] == f"a{UNSEEN}"
    write_out(f"{UNSEEN}\n")
    assert not set(UNSEEN) & set(text + capsys.readouterr().out)


def test_a_callers_text_stream_takes_data(monkeypatch, tmp_path):
    """A stdout that takes no bytes, as `contextlib.redirect_stdout` makes one, is written as text."""
    sync_backups(lake=tmp_path, settings=SETTINGS, transport=EdgeService(), inventory=False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["query", "SELECT 'ä' AS a", "--lake", str(tmp_path), "--format", "csv"]) == 0
    assert "ä" in sys.stdout.getvalue()


def test_another_alphabet_is_spelled_out(monkeypatch):
    """A name that the terminal's encoding lacks is escaped, not an error."""
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", latin)
    write_out("变更 ä\n")
    latin.flush()
    assert latin.buffer.getvalue() == b"\\u53d8\\u66f4 \xe4\n"


@pytest.mark.parametrize("target", ["full", "closed"])
def test_an_output_that_cannot_be_written_stops_no_sync(target, account, tmp_path):
    """With stdout full or closed the lake is whole; the exit code is 2, with one line why."""
    command = [sys.executable, "-m", "backup_frames", "sync", "--lake", str(tmp_path / "lake")]
    redirect = ">/dev/full" if target == "full" else ">&-"
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *command, "--log-format=json", "-q"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Stdout" in done.stderr
    assert list(tmp_path.glob("lake/sync_runs/*/*.parquet"))


def test_a_lost_working_directory_is_named(tmp_path, monkeypatch, capsys):
    """A folder that went away beneath the command is the user's matter, and said."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        code = main(["publish", "--lake", "x", "--out", "y.duckdb"])
    finally:
        os.chdir(tmp_path)
    err = capsys.readouterr().err
    assert code in (2, 5)
    assert "bug" not in err
