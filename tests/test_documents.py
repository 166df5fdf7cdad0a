"""The documents are executed: README blocks run, doctests run, commands and settings are all named."""

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
from backup_frames.sandbox import Sandbox
from backup_frames.settings import environment_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTIONAL = ("backup_frames.engines",)  # need extras that the commit tier does not install
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(backup_frames.__path__, "backup_frames.")
    if not info.name.startswith(OPTIONAL) and not info.name.endswith("__main__")
)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A sandbox that the environment points to, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    with Sandbox(backups=300, seed=2) as box:
        for name, value in box.environment().items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.usefixtures("exported")
def test_the_readme_python_blocks_run_as_written() -> None:
    """Every Python block of the README runs, top to bottom, in one namespace."""
    blocks = re.findall(r"(<!-- [^\n]*-->\n)?```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, object] = {}
    for mark, block in blocks:
        if "not run here" not in mark:
            exec(compile(block, "README.md", "exec"), names)  # the README is ours
    assert (Path("my-lake") / "backups").is_dir()


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_run(module: str) -> None:
    """Examples in docstrings give what they show."""
    failed, _ = doctest.testmod(importlib.import_module(module))
    assert failed == 0


def test_the_readme_names_every_command_and_no_other() -> None:
    """The README's table of commands is the command line's."""
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]  # the app is a group
    assert set(re.findall(r"^\| `backup-frames (\w+)", README, re.MULTILINE)) == commands


def test_the_readme_names_every_setting_of_the_environment() -> None:
    """No environment variable is understood in secret."""
    fields = ("endpoint", "region", "project_id", "token", "username", "iam_endpoint", "lake")
    fields += ("lake_format", "iceberg_catalog")
    for field in (*fields, "timeout_s", "max_connections", "max_requests_per_second"):
        for name in environment_names(field):
            assert name in README


def test_ci_runs_the_readmes_test_command() -> None:
    """`.ci/run` takes the test command from the README instead of repeating it."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- tests -->" in script
    assert re.search(r"<!-- tests -->\n```sh\n[^\n]*pytest[^\n]*\n```", README)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_change_log_has_an_entry_for_the_next_release() -> None:
    """What changes is written down."""
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
