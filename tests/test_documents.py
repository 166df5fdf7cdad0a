"""The documents keep up with the code: doctests run, commands and settings are all named.

That the blocks of README and guide run is tested in ``tests/guide``.
"""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
from pathlib import Path

import pytest
from typer.main import get_command

import backup_frames
from backup_frames.cli import app
from backup_frames.settings import Settings, environment_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = Path(backup_frames.__file__).parent / "guide"
OPTIONAL = ("backup_frames.engines",)  # need extras that the commit tier does not install
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(backup_frames.__path__, "backup_frames.")
    if not info.name.startswith(OPTIONAL) and not info.name.endswith("__main__")
)


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_run(module: str) -> None:
    """Examples in docstrings give what they show."""
    failed, _ = doctest.testmod(importlib.import_module(module))
    assert failed == 0


def test_the_guide_names_every_command_and_no_other() -> None:
    """The guide's table of commands is the command line's."""
    page = (GUIDE / "commands.md").read_text(encoding="utf-8")
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]  # the app is a group
    assert set(re.findall(r"^\| `backup-frames (\w+)", page, re.MULTILINE)) == commands


def test_the_guide_names_every_setting_of_the_environment() -> None:
    """No environment variable is understood in secret."""
    page = (GUIDE / "settings.md").read_text(encoding="utf-8")
    for field in Settings.model_fields:
        for name in environment_names(field):
            assert f"`{name}`" in page


def test_ci_runs_the_readmes_test_command() -> None:
    """`.ci/run` takes the test command from the README instead of repeating it."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- tests -->" in script
    assert re.search(r"<!-- tests -->\n```sh\n[^\n]*pytest[^\n]*\n```", README)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_change_log_has_an_entry_for_the_next_release() -> None:
    """What changes is written down."""
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
