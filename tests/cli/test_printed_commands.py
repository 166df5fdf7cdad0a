"""Commands that are printed can be typed as they stand, from whatever folder."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from backup_frames.cli.screen.invocation import as_typed


@pytest.mark.parametrize(
    ("said", "lake", "typed"),
    [
        ("Run `backup-frames verify --repair`.", "a b", "Run `backup-frames verify --repair --lake {}`."),
        ("Run `backup-frames sync --lake a b` first.", None, "Run `backup-frames sync --lake {}` first."),
        ("`backup-frames verify --lake a b --repair`", "x", "`backup-frames verify --lake {} --repair`"),
        ("`backup-frames doctor`, then `make`", "a b", "`backup-frames doctor`, then `make`"),
    ],
)  # fmt: skip
def test_a_message_names_the_lake_as_a_shell_takes_it(said, lake, typed, tmp_path, monkeypatch):
    """Whole and quoted, added where it is missing; commands about no lake stay as they are."""
    monkeypatch.chdir(tmp_path)
    assert as_typed(said, lake) == typed.format(shlex.quote(str(tmp_path / "a b")))


def test_verify_names_the_lake_that_it_would_repair(run, synced, tmp_path, monkeypatch):
    """Though it was given from another folder, and has an odd name."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(synced, "a lake")
    next(Path("a lake/backups").rglob("*.parquet")).write_bytes(b"torn")
    said = run("verify", "--lake", "a lake").out
    command = re.search(r"`backup-frames (verify [^`]*)`", said)
    assert command is not None, said
    assert shlex.split(command[1]) == ["verify", "--repair", "--lake", str(tmp_path / "a lake")]


def test_what_gives_all_exceptions_can_be_typed(run, synced, tmp_path, monkeypatch):
    """The line below the first exceptions works from another folder."""
    monkeypatch.setattr("backup_frames.cli.screen.exceptions.SHOWN_ROWS", 3)
    monkeypatch.chdir(synced.parent)
    shown = run("check", "--lake", synced.name, "--fail-on", "medium").out
    assert "more lines" in shown
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(shown.splitlines()[-1])
    assert shutil.which(program)
    assert run(*words).code == 0
