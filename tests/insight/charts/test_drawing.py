"""Drawing in a process of its own: the same words and marks, whatever becomes of that process."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest
import vl_convert

from backup_frames.insight.charts.drawing import Drawing

SPEC = {
    "data": {"values": [{"name": "生产 👩‍👩‍👧 </svg>", "count": 3}]},
    "mark": "bar",
    "encoding": {"x": {"field": "name"}, "y": {"field": "count", "type": "quantitative"}},
}
BROKEN = {"data": {"values": []}, "mark": "no such mark"}


def children() -> set[int]:
    """Processes that this one started and that run."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return set(map(int, found))


def shown(svg: str) -> list[tuple[str, str]]:
    """Which elements a picture has, and what they say: all but where they are."""
    return re.findall(r"<(\w+)|>([^<>]+)<", svg)


@pytest.fixture
def expected() -> list[tuple[str, str]]:
    return shown(vl_convert.vegalite_to_svg(SPEC))


def test_a_picture_from_the_process_is_the_same(expected: list[tuple[str, str]]) -> None:
    """Letters of all kinds come back whole, and the process is gone at the end."""
    before = children()
    with Drawing() as drawing:
        assert len(children() - before) == 1
        assert [shown(drawing.svg(SPEC)) for _ in range(2)] == [expected, expected]
    assert children() <= before


def test_the_fonts_of_the_machine_play_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever draws a page, and with whatever fonts, lays it out alike."""
    with Drawing() as drawing:
        usual = drawing.svg(SPEC)
    own = tmp_path / "fonts.conf"
    own.write_text(f"<fontconfig><dir>{tmp_path}</dir></fontconfig>", encoding="ascii")
    monkeypatch.setenv("FONTCONFIG_FILE", str(own))  # a machine that has none
    with Drawing() as drawing:
        assert drawing.svg(SPEC) == usual


def test_a_process_that_ends_is_done_without(expected: list[tuple[str, str]]) -> None:
    """Killed, as a machine short of memory does, or ended by a specification: the next ones are drawn."""
    before = children()
    with Drawing() as drawing:
        assert shown(drawing.svg(SPEC)) == expected
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        assert shown(drawing.svg(SPEC)) == expected
    with Drawing() as drawing:
        with pytest.raises(ValueError, match="conversion failed"):
            drawing.svg(BROKEN)
        assert shown(drawing.svg(SPEC)) == expected


@pytest.mark.parametrize("executable", ["", None, "/no/such/python"])
def test_where_no_process_can_be_started_this_one_draws(
    executable: str | None, expected: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python inside another program does not know its own file, or knows a wrong one."""
    monkeypatch.setattr(sys, "executable", executable)
    with Drawing() as drawing:
        assert shown(drawing.svg(SPEC)) == expected


def test_no_file_of_the_folder_is_run(
    tmp_path: Path, expected: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file named like a package, in the folder somebody is in, is not taken for the package."""
    (tmp_path / "vl_convert.py").write_text("open('ran', 'w').close()", encoding="ascii")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    with Drawing() as drawing:
        assert shown(drawing.svg(SPEC)) == expected
    assert not (tmp_path / "ran").exists()
