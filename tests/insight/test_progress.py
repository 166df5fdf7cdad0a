"""The progress bar: in a terminal, in a log, and when it cannot be drawn."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from backup_frames.insight import progress as module
from backup_frames.insight import show_progress


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def broken_bar(label: str) -> Iterator[module.Advance]:
    """A bar whose window is closed while it works, and again at its end."""

    def draw(done: int, expected: int | None) -> None:
        raise OSError(label)

    yield draw
    raise OSError(label)


@contextmanager
def no_bar(label: str) -> Iterator[module.Advance]:
    raise ImportError(label)
    yield


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar with label and counts is drawn on stderr, also from other threads."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress("Reading") as advance:
        thread = Thread(target=advance, args=(1500, 3000))
        thread.start()
        thread.join()
    assert "Reading" in terminal.getvalue()
    assert "1500/3000" in terminal.getvalue()


@pytest.mark.parametrize("bar", [broken_bar, no_bar])
def test_a_broken_bar_does_not_break_the_job(monkeypatch: pytest.MonkeyPatch, bar: object) -> None:
    """A bar that cannot begin, move or end leaves the job alone."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(module, "_terminal_bar", bar)
    with show_progress("Reading") as advance:
        advance(1, None)
        advance(2, 3)


def test_the_jobs_own_error_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the job is the job's: the bar neither hides nor changes it."""
    monkeypatch.setattr(sys, "stderr", Terminal())

    def job() -> None:
        with show_progress("Reading") as advance:
            advance(1, 2)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        job()


def test_without_a_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without any stderr, as under pythonw, runs on."""
    monkeypatch.setattr(sys, "stderr", None)
    with show_progress("Reading") as advance:
        advance(1, 2)
