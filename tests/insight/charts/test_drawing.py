"""Drawing in a process of its own: the same pictures, whatever becomes of that process."""

from __future__ import annotations

import os
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


@pytest.fixture
def expected() -> str:
    return vl_convert.vegalite_to_svg(SPEC)


def test_a_picture_from_the_process_is_the_same(expected: str) -> None:
    """Letters of all kinds come back whole, and the process is gone at the end."""
    before = children()
    with Drawing() as drawing:
        assert len(children() - before) == 1
        assert [drawing.svg(SPEC), drawing.svg(SPEC)] == [expected, expected]
    assert children() <= before


def test_a_process_that_ends_is_done_without(expected: str) -> None:
    """Killed, as a machine short of memory does, or ended by a specification: the next ones are drawn."""
    before = children()
    with Drawing() as drawing:
        assert drawing.svg(SPEC) == expected
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        assert drawing.svg(SPEC) == expected
    with Drawing() as drawing:
        with pytest.raises(ValueError, match="conversion failed"):
            drawing.svg(BROKEN)
        assert drawing.svg(SPEC) == expected


@pytest.mark.parametrize("executable", ["", None, "/no/such/python"])
def test_where_no_process_can_be_started_this_one_draws(
    executable: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python inside another program does not know its own file, or knows a wrong one."""
    monkeypatch.setattr(sys, "executable", executable)
    with Drawing() as drawing:
        assert drawing.svg(SPEC) == expected


def test_no_file_of_the_folder_is_run(
    tmp_path: Path, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file named like a package, in the folder somebody is in, is not taken for the package."""
    (tmp_path / "vl_convert.py").write_text("open('ran', 'w').close()", encoding="ascii")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    with Drawing() as drawing:
        assert drawing.svg(SPEC) == expected
    assert not (tmp_path / "ran").exists()
