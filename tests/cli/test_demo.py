from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from backup_frames.cli.commands import demo


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> tuple[str, Path]:
    """What a demo prints on both streams, and its lake."""
    lake = tmp_path_factory.mktemp("demo") / "lake"
    done = subprocess.run(
        [Path(sys.executable).with_name("backup-frames"), "demo", "--backups", "60", "--lake", lake],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    return done.stdout, lake


def test_the_demo_is_a_screenful_in_a_newcomers_words(shown):
    """KPIs, the report's path and next steps within 30 lines, without this package's own terms."""
    text, lake = shown
    assert len(text.splitlines()) <= 30
    assert str(lake.with_name("lake.html")) in text
    assert (
        text.index("How the backups") < text.index("The report") < text.index("Where to look next")
    )
    assert not re.search(r"range|proof|proven|held back|braked|probe|overlap|head\b", text)
    assert pq.read_table(lake / "backups").num_rows > 60
    assert lake.with_name("lake.duckdb").is_file()


def test_its_second_sync_is_an_hour_later_and_its_third_a_day(shown):
    """Each has a line with what it cost; the second costs less than the first."""
    text, lake = shown
    moments = sorted(pq.read_table(lake / "sync_runs")["as_of"].to_pylist())
    assert [(b - a).total_seconds() for a, b in pairwise(moments)] == [3600, 86_400]
    costs = re.findall(
        r"^(First sync|An hour later|A day later) .*?([\d,]+) requests", text, re.MULTILINE
    )
    assert len(costs) == 3
    assert int(costs[1][1]) < int(costs[0][1])


@pytest.mark.usefixtures("draws_here")
def test_every_command_that_the_demo_prints_works(shown, run, monkeypatch, tmp_path):
    """From another folder, with no more than the words that are printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BROWSER", "true")
    for line in shown[0].partition("Where to look next\n")[2].splitlines():
        program, *arguments = shlex.split(line)
        assert shutil.which(program, path="/usr/local/bin:/usr/bin:/bin")
        assert Path(program).samefile(Path(sys.executable).with_name("backup-frames"))
        ran = run(*arguments)
        assert ran.code == 0, line + ran.err


@pytest.mark.slow  # a process for each
def test_they_work_in_a_bare_shell(shown, tmp_path):
    """/bin/sh without any variable of this one."""
    for line in shown[0].partition("Where to look next\n")[2].splitlines():
        bare = ["env", "-i", "BROWSER=true", "/bin/sh", "-c", line]
        subprocess.run(bare, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow  # two demos: ten seconds
def test_the_demo_runs_again_in_its_own_lake(run, tmp_path):
    """A second demo replaces the first."""
    lake = tmp_path / "lake"
    assert run("demo", "--lake", lake, "--backups", 60, "--quiet").code == 0
    assert run("demo", "--lake", lake, "--backups", 30, "--quiet").code == 0
    assert pq.read_table(lake / "backups").num_rows < 60


def test_the_demo_leaves_another_lake_alone(run, tmp_path):
    """A folder with anything else in it is refused, and nothing in it changes."""
    other = tmp_path / "lake" / "backups" / "date=2026-01-01" / "realproject.parquet"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"precious")
    ran = run("demo", "--lake", tmp_path / "lake")
    assert ran.code == 2
    assert "realproject" in ran.err
    assert other.read_bytes() == b"precious"
    assert [p for p in (tmp_path / "lake").rglob("*") if p.is_file()] == [other]


def test_the_demo_leaves_another_database_alone(run, monkeypatch, tmp_path):
    """A file where the DuckDB file would go is not replaced, unless an earlier demo wrote it."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))  # as in the next test
    other = tmp_path / "lake.duckdb"
    other.write_bytes(b"precious")
    assert run("demo", "--lake", tmp_path / "lake", "--backups", 20).code == 2
    assert other.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["lake.duckdb", "lake.html"])
def test_the_demo_begins_only_if_it_can_end(run, monkeypatch, tmp_path, name):
    """A folder in the place of a result is refused before anything starts."""
    monkeypatch.setattr(demo, "_start_sandbox", lambda *_: pytest.fail("it began"))
    (tmp_path / name).mkdir()
    ran = run("demo", "--lake", tmp_path / "lake")
    assert (ran.code, f"{name} is a folder" in ran.err) == (2, True)


@pytest.mark.slow  # four seconds; that the stand-in starts here, and pages are drawn, show others
def test_the_demo_needs_no_process_beside_its_own(run, monkeypatch, tmp_path):
    """Where none can be started, the stand-in for the service answers from this one."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    assert run("demo", "--lake", tmp_path / "lake", "--backups", 20, "--quiet").code == 0
    assert pq.read_table(tmp_path / "lake" / "backups").num_rows > 20
