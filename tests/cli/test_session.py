from __future__ import annotations

import json
import logging
import re
import time
from types import SimpleNamespace

import pytest
import typer

from backup_frames import errors
from backup_frames.cli.session.session import Session, command, release_log
from backup_frames.settings import load_settings

CANARY = "canary-0815"
ALL_ERRORS = [
    error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.BackupFramesError)
]


@pytest.fixture(autouse=True)
def _released():
    yield
    release_log()


def run(function, **options) -> int:
    """Run a command as typer would, and return its exit code."""
    app = typer.Typer()
    app.command()(command(function))
    return app([f"--{name}" for name in options], standalone_mode=False)


@pytest.mark.parametrize("error", ALL_ERRORS)
def test_each_error_ends_with_its_own_code(error, capsys):
    """The exit code is the error class's; its message is one line on stderr."""

    def fail(session: Session) -> None:
        raise error("It broke\nhere. Mend it.")

    assert run(fail) == error.exit_code
    assert capsys.readouterr().err == "Error: It broke here. Mend it.\n"


def test_another_exception_is_a_bug_of_ours(capsys):
    """An exception of no class of ours ends with 1 and asks for a report."""

    def fail(session: Session) -> None:
        raise KeyError("x")

    assert run(fail) == 1
    err = capsys.readouterr().err
    assert "KeyError" in err
    assert "report" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback_without_secrets(capsys):
    """The traceback of --debug does not show a secret that settings brought in."""

    def fail(session: Session) -> None:
        session.watch(load_settings(token=CANARY))
        raise RuntimeError(f"header {CANARY}")

    assert run(fail, debug=True) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "header ***" in err
    assert CANARY not in err


def test_log_lines_are_json_if_asked(capsys):
    """Each record of the package's logger is one JSON object without secrets."""
    session = Session()
    session.adopt(debug=False, quiet=False, log_format="json")
    session.watch(load_settings(token=CANARY))
    logging.getLogger("backup_frames.api").info("took %s\nand %s", CANARY, "é")
    session.note("done")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["message"] == "took ***\nand é"
    assert first["level"] == "info"
    assert second["message"] == "done"


def test_quiet_leaves_only_errors(capsys):
    """With --quiet neither notes nor progress nor info lines appear; errors do."""
    session = Session()
    session.adopt(debug=False, quiet=True, log_format=None)
    session.note("a note")
    logging.getLogger("backup_frames.api").info("a line")
    with session.progress("Reading") as advance:
        advance(1, 2)
    session.fail(errors.LakeError("Full. Make room."))
    assert capsys.readouterr().err == "Error: Full. Make room.\n"


def test_ctrl_c_is_130():
    """Ctrl-C ends with the shell's code for it."""

    def interrupted(session: Session) -> None:
        raise KeyboardInterrupt

    assert run(interrupted) == 130


def test_progress_without_a_terminal_logs_now_and_then(capsys, monkeypatch):
    """Where stderr is no terminal progress is a plain log line every few seconds."""
    moments = iter([0.0, 5.0, 11.0, 11.0, 12.0])
    clock = SimpleNamespace(monotonic=lambda: next(moments))
    monkeypatch.setattr("backup_frames.insight.progress.time", clock)
    session = Session()
    session.adopt(debug=False, quiet=False, log_format=None)
    with session.progress("Reading") as advance:
        advance(500, None)
        advance(1500, 20_000)
        advance(1600, 20_000)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "Reading: 1,500 of 20,000 rows",
    ]


@pytest.mark.parametrize("how", ["step", "progress"])
def test_what_takes_longer_than_a_second_has_a_line(capsys, monkeypatch, how):
    """Where no bar can move, a line says what is being done; --quiet says nothing."""
    monkeypatch.setattr("backup_frames.cli.session.session.ANNOUNCE_AFTER_S", 0)
    session = Session()
    session.adopt(debug=False, quiet=False, log_format=None)
    said, deadline = "", time.monotonic() + 30
    with getattr(session, how)("Drawing"):
        while not said and time.monotonic() < deadline:
            said = capsys.readouterr().err
    assert said == "Drawing …\n"


@pytest.mark.parametrize("how", ["step", "progress"])
def test_a_talkative_run_shows_on_a_pipe_that_it_lives(capsys, monkeypatch, how):
    """The line of what takes long grows until it is done, and then ends."""
    monkeypatch.setattr("backup_frames.cli.session.session.ANNOUNCE_AFTER_S", 0)
    monkeypatch.setattr("backup_frames.cli.session.session.ANNOUNCE_EVERY_S", 0.001)
    session = Session(is_talkative=True)
    session.adopt(debug=False, quiet=False, log_format=None)
    said, deadline = "", time.monotonic() + 30
    with getattr(session, how)("Drawing"):
        while said.count("…") < 3 and time.monotonic() < deadline:
            said += capsys.readouterr().err
    said += capsys.readouterr().err
    assert re.fullmatch(r"Drawing …( …)+\n", said)
