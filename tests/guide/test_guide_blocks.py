"""The README and the guide do what they show: every block runs, every output and table is true."""

from __future__ import annotations

import io
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from functools import cache
from pathlib import Path

import pytest
from guide.documents import PAGES, Block, blocks_of, made_anew

import backup_frames as bf
from backup_frames.cli import main
from backup_frames.sandbox import Sandbox

# What these pages show of the fleet shows only in a larger one, whose lake takes three times as long.
LARGER = {"README": 150, "commands": 150}


@pytest.fixture(scope="module")
def accounts(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[int], tuple[dict[str, str], Path]]]:
    """By the number of backups: variables that lead to a sandbox, and a lake of it."""
    with ExitStack() as boxes:

        @cache
        def account(backups: int) -> tuple[dict[str, str], Path]:
            lake = tmp_path_factory.mktemp("documents") / "my-lake"
            box = boxes.enter_context(Sandbox(backups=backups, seed=7))
            bf.sync_backups(
                lake=lake, endpoint=box.endpoint, project_id=box.project_id, token=box.token
            )
            return box.environment(), lake

        yield account


@pytest.fixture
def place(
    page: Path,
    accounts: Callable[[int], tuple[dict[str, str], Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder with the lake in it, and the variables exported."""
    variables, lake = accounts(LARGER.get(page.stem, 60))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(lake, tmp_path / "my-lake")
    monkeypatch.chdir(tmp_path)


def run_lines(block: Block) -> None:
    """Run each line of a shell block as a shell would."""
    for line in block.code.replace("\\\n", "").splitlines():
        match shlex.split(line, comments=True):
            case []:
                pass
            case ["backup-frames", *arguments]:
                assert main(arguments) == block.exit_code, line
            case other:
                pytest.fail(f"{other} is not run, and no comment says why")


@pytest.mark.usefixtures("place", "draws_here")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_as_written(page: Path) -> None:
    """Each page by itself, top to bottom, in one namespace, and prints what it shows."""
    names: dict[str, object] = {}
    for block in blocks_of(page.read_text("utf-8")):
        if not block.runs:
            continue
        printed = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        with redirect_stdout(printed):
            if block.language == "python":
                exec(compile(block.code, page.name, "exec"), names)  # the pages are ours
            else:
                run_lines(block)
        text = printed.buffer.getvalue().decode()
        assert block.is_truly_shown(text), f"{block.code}\nprints\n{text}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_generated_tables_are_what_the_code_says(page: Path) -> None:
    """`python tests/guide/documents.py` would change nothing."""
    text = page.read_text("utf-8")
    assert made_anew(text) == text
