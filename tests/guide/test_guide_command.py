"""``backup-frames guide``: pages and examples, on a terminal and through a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest
from guide.documents import GUIDE, PAGES, ROOT

from backup_frames.cli import main

PAGE_NAMES = [page.stem for page in PAGES[1:]]
EXAMPLES = sorted(path.name for path in (GUIDE / "examples").iterdir() if path.is_file())
TOPICS = [
    "lake",
    "scheduling",
    "bi",
    "kpis",
    "table-formats",
    "spark",
    "settings",
    "errors",
    "proof",
    "benchmarks",
    "python",
    "commands",
]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["guide", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_without_a_topic_it_lists_every_page_with_a_line_and_every_example(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line of at most 120 characters for each page; the names of the examples."""
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert re.findall(r"^  (\S+)  +\S.*\.$", out, re.MULTILINE) == PAGE_NAMES
    assert set(TOPICS) <= set(PAGE_NAMES)
    assert all(name in out for name in EXAMPLES)
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_a_pipe_gets_a_page_as_it_is(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The Markdown, to the byte; a file's name is understood, too."""
    text = (GUIDE / f"{name}.md").read_text("utf-8")
    assert run(capsys, name) == (0, text, "")
    assert run(capsys, f"{name.upper()}.md")[1] == text


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_printed_to_be_written_to_a_file(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """As it is, so that > FILE makes it."""
    assert run(capsys, name) == (0, (GUIDE / "examples" / name).read_text("utf-8"), "")


@pytest.mark.parametrize(
    ("topic", "meant"),
    [("lkae", "lake"), ("KPI", "kpis"), ("backup-frames.servic", "backup-frames.service")],
)
def test_a_misspelt_topic_ends_with_2_and_the_names(
    capsys: pytest.CaptureFixture[str], topic: str, meant: str
) -> None:
    """All names on stderr, and the one that is probably meant."""
    code, out, err = run(capsys, topic)
    assert (code, out) == (2, "")
    assert f"Did you mean {meant}?" in err
    assert all(name in err for name in (*PAGE_NAMES, *EXAMPLES))


@pytest.mark.parametrize(
    "topic", ["", "..", "../settings", "examples/../lake", "/etc/passwd", "\x1b[31m", "x" * 10_000]
)
def test_a_topic_is_a_name_and_no_path(capsys: pytest.CaptureFixture[str], topic: str) -> None:
    """Whatever is given: exit 2, one line, nothing of it obeyed by the terminal."""
    code, out, err = run(capsys, topic)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "\x1b" not in err
    assert len(err) < 1000


def on_a_terminal(*arguments: str) -> str:
    """What a terminal of 80 columns shows."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "backup_frames", "guide", *arguments]
    variables = os.environ | {"COLUMNS": "80", "TERM": "xterm-256color"}
    variables.pop("NO_COLOR", None)
    process = subprocess.Popen(command, stdout=theirs, env=variables)
    os.close(theirs)
    shown = b""
    while part := read_some(ours):
        shown += part
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()


def read_some(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_a_terminal_gets_a_page_laid_out() -> None:
    """Colours instead of marks, no comments, no line wider than the terminal."""
    shown = on_a_terminal("proof")
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m|\x1b\]8;.*?\x1b\\", "", shown)
    assert "What complete means" in plain
    assert not re.search(r"^## |<!--|\\u001b", plain, re.MULTILINE)
    assert max(len(line.rstrip()) for line in plain.splitlines()) <= 80


def test_pages_link_to_what_there_is() -> None:
    """Every relative link of the README and the pages leads to a file."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if not target.startswith(("https://", ".github/")):  # not in the sdist
                assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_the_readme_leads_to_every_page_and_scheduling_to_every_example() -> None:
    """Nothing of the guide can only be found by its name."""
    readme = (ROOT / "README.md").read_text("utf-8")
    scheduling = (GUIDE / "scheduling.md").read_text("utf-8")
    assert all(f"backup_frames/guide/{name}.md" in readme for name in PAGE_NAMES)
    assert all(f"(examples/{name})" in scheduling for name in EXAMPLES)


def test_pages_name_no_inner_module() -> None:
    """Only what may be imported: inner modules move."""
    public = {"settings", "sandbox", "insight", "engines"}
    for page in PAGES:
        for line in re.findall(r"(?:from|import) backup_frames\.([\w.]+)", page.read_text("utf-8")):
            assert line.split(".")[0] in public, f"{page.name}: {line}"


def test_the_list_of_pages_keeps_to_the_terminals_width(capsys, monkeypatch):
    """What a page answers goes on below itself."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["guide"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(" " * 17) for line in lines)
