from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from support.real_lab import wait_until

from backup_frames.cli import STOP_WITHIN_S
from backup_frames.errors import ConfigError
from backup_frames.sandbox import Dialect, Sandbox
from backup_frames.sync.one_project import sync_backups


def files(folder) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*.parquet")}


def test_a_sync_fills_a_lake_and_the_next_changes_nothing(run, account, tmp_path):
    """The lake holds every backup; a second run leaves its data files alone."""
    lake = tmp_path / "lake"
    ran = run("sync", "--lake", lake, "--quiet")
    assert ran.code == 0, ran.err
    assert pq.read_table(lake / "backups").num_rows == 40
    before = files(lake / "backups")
    assert run("sync", "--lake", lake, "--quiet").code == 0
    assert files(lake / "backups") == before


def test_dry_run_writes_nothing(run, account, tmp_path):
    """--dry-run says what it would do and leaves no file."""
    ran = run("sync", "--lake", tmp_path / "lake", "--dry-run")
    assert ran.code == 0, ran.err
    assert "requests" in ran.out
    assert list(tmp_path.rglob("*.parquet")) == []


def test_without_a_lake_it_asks_for_one(run, account):
    """A missing lake is a settings error that names option and variable."""
    ran = run("sync")
    assert ran.code == 2
    assert "--lake" in ran.err


def test_the_metrics_file_tells_the_run(run, account, tmp_path):
    """--metrics-file holds success and exit code, also of a run that failed."""
    path = tmp_path / "m.prom"
    assert run("sync", "--lake", tmp_path / "lake", "--quiet", "--metrics-file", path).code == 0
    assert f'is_success{{project_id="{account.project_id}"}} 1' in path.read_text()
    arguments = ["--endpoint", "http://127.0.0.1:1", "--metrics-file", path]
    assert run("sync", "--lake", tmp_path / "lake", *arguments).code == 3
    assert f'exit_code{{project_id="{account.project_id}"}} 3' in path.read_text()


def test_a_run_is_one_line(run, account, tmp_path):
    """Verdict, what came and went, requests and seconds; then what is new to look at; quiet: nothing."""
    first = run("sync", "--lake", tmp_path / "lake").out.splitlines()
    told = r"complete, \+40 ~0 -0 = 40 backups, \d+ requests, [\d.]+ s"
    assert re.fullmatch(f"{account.project_id}: {told}", first[0])
    assert first[1].startswith("New to look at since the last run")
    second = run("sync", "--lake", tmp_path / "lake").out.splitlines()
    assert len(second) == 1
    assert "+0 ~0 -0 = 40 backups" in second[0]
    quiet = run("sync", "--lake", tmp_path / "lake", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_success_and_failure_are_json_lines_of_one_shape(run, account, monkeypatch, tmp_path):
    """With --log-format json a line on stdout for each run, quiet or not, with the same names."""
    asked = ["sync", "--lake", tmp_path / "lake", "--quiet", "--log-format", "json"]
    ran = [
        run(*asked),
        run(*asked, "--endpoint", "http://127.0.0.1:1"),
        run(*asked, "--project-id", "../x"),
    ]
    lines = [json.loads(one.out) for one in ran]
    assert [one.code for one in ran] == [0, 3, 2]
    assert [(line["level"], line["exit_code"]) for line in lines] == [
        ("info", 0), ("error", 3), ("error", 2),
    ]  # fmt: skip
    assert lines[0].keys() == lines[1].keys() == lines[2].keys()
    assert lines[0].keys() >= {"time", "level", "message", "project_id", "exit_code", "verdict"}
    assert [line["project_id"] for line in lines] == [account.project_id] * 2 + ["../x"]
    assert [line["error"] for line in lines] == [None, "UnavailableError", "ConfigError"]
    assert (ran[0].err, *(bool(one.err) for one in ran[1:])) == ("", True, True)


@pytest.mark.parametrize("held", ["notes.txt", "folder/x"])
def test_a_folder_of_other_things_is_no_place_for_a_lake(run, account, tmp_path, held):
    """It is refused before the service is asked, until --force; what is hidden is no other thing."""
    (tmp_path / "lake" / held).parent.mkdir(parents=True)
    (tmp_path / "lake" / ".hidden").touch()
    (tmp_path / "lake" / "lost+found").mkdir()
    assert run("sync", "--lake", tmp_path / "lake", "--dry-run").code == 2 * ("/" in held)
    (tmp_path / "lake" / held).touch()
    asked = account.request_count
    ran = run("sync", "--lake", tmp_path / "lake")
    assert (ran.code, account.request_count) == (2, asked)
    assert held.split("/")[0] in ran.err
    assert "--force" in ran.err
    assert run("sync", "--lake", tmp_path / "lake", "--force", "--quiet").code == 0
    assert run("sync", "--lake", tmp_path / "lake", "--quiet").code == 0


def test_a_dry_run_counts_where_wide_windows_are_refused(tmp_path):
    """A first sync can be foretold of any service that it can read."""
    with Sandbox(backups=40, seed=1, dialect=Dialect(window_cap_days=1)) as box:
        account = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
        report = sync_backups(lake=tmp_path / "lake", **account, dry_run=True)
    assert report.expected_requests > 0


@pytest.mark.parametrize("place", ["lake/inner", "lake/_meta/inner", "link/a/b"])
def test_no_lake_begins_in_another(run, account, tmp_path, place):
    """The first lake holds its own files only, links followed; nothing is asked or made."""
    assert run("sync", "--lake", tmp_path / "lake", "--quiet").code == 0
    (tmp_path / "link").symlink_to(tmp_path / "lake")
    asked = account.request_count
    ran = run("sync", "--lake", tmp_path / place)
    assert (ran.code, account.request_count) == (2, asked)
    assert f"lies in the lake {tmp_path / 'lake'}" in ran.err
    assert run("sync", "--lake", tmp_path / place, "--force").code == 2
    with pytest.raises(ConfigError, match="lies in the lake"):
        sync_backups(lake=tmp_path / place)
    assert account.request_count == asked
    assert not (tmp_path / place).exists()


def test_one_failing_project_does_not_stop_the_others(run, monkeypatch, tmp_path):
    """All projects of the file run; the exit code is the worst; the lake holds the good ones."""
    with Sandbox(backups=40, seed=1) as first, Sandbox(backups=50, seed=2) as second:
        monkeypatch.setenv("TOKEN_1", first.token)
        monkeypatch.setenv("TOKEN_2", second.token)
        monkeypatch.setenv("TOKEN_3", "wrong")
        tables = [
            (first.project_id, first.endpoint, "TOKEN_1"),
            ("nobody", first.endpoint, "TOKEN_3"),
            ("unset", first.endpoint, "TOKEN_4"),
            (second.project_id, second.endpoint, "TOKEN_2"),
        ]
        config = tmp_path / "config.toml"
        config.write_text(
            f'[lake]\nurl = "{tmp_path / "lake"}"\n'
            + "".join(
                f'[[project]]\nproject_id = "{p}"\nendpoint = "{e}"\ntoken_env = "{t}"\n'
                for p, e, t in tables
            )
        )
        ran = run("sync", "--config", config)
    assert ran.code == 3, ran.err
    assert "Error: unset: " in ran.err
    assert "TOKEN_4" in ran.err
    assert "2 of 4 projects" in ran.err
    assert pq.read_table(tmp_path / "lake" / "backups").num_rows == 90


BAD_TABLES = (  # an unknown key, no id, a lake that is none, too long a name, other things' folder
    'project_id = "bad1"\nnonsense = 1',
    'project_id = "../bad2"',
    'project_id = "bad3"\nlake = "s3:/bucket"',
    'project_id = "bad4"\nlake = "/' + "n" * 300 + '"',
    'project_id = "bad5"\nlake = "{tmp}/held"',
)


def test_bad_tables_do_not_stop_the_others(run, account, tmp_path):
    """Each is told on stderr and as a line on stdout, with exit code 2; the other project is synced."""
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "thesis.txt").touch()
    config, metrics = tmp_path / "config.toml", tmp_path / "metrics.prom"
    tables = [f"[[project]]\n{table.format(tmp=tmp_path)}\n" for table in BAD_TABLES]
    config.write_text(
        f'lake = "{tmp_path}/lake"\n{"".join(tables)}'
        f'[[project]]\nproject_id = "{account.project_id}"\n'
    )
    ran = run("sync", "--config", config, "--log-format", "json", "--metrics-file", metrics)
    lines = {one["project_id"]: one for one in map(json.loads, ran.out.splitlines())}
    assert ran.code == 2
    assert lines.pop(account.project_id)["exit_code"] == 0
    assert sorted(name.removeprefix("../") for name in lines) == [f"bad{n}" for n in range(1, 6)]
    assert {line["exit_code"] for line in lines.values()} == {2}
    told = [json.loads(line) for line in ran.err.splitlines()]
    assert lines.keys() <= {one.get("project_id") for one in told if one.get("exit_code") == 2}
    assert 'sync_exit_code{project_id="' + account.project_id + '"} 0' in metrics.read_text()
    assert pq.read_table(tmp_path / "lake" / "backups").num_rows
    ran = run("verify", "--config", config)
    assert ran.code in (2, 5)  # settings, or a lake that is none
    assert all(word in ran.err for word in ("bad1", "bad2", "s3:/bucket", "nnn", "held"))


def test_a_signal_stops_within_five_seconds(run, monkeypatch, tmp_path):
    """However slow the service, the process ends in time; the next run makes the lake right."""
    assert STOP_WITHIN_S < 5
    with Sandbox(backups=40, latency_s=300) as slow:
        for name, value in slow.environment().items():
            monkeypatch.setenv(name, value)
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            lake = tmp_path / str(code)
            command = [sys.executable, "-m", "backup_frames", "sync", "--lake", str(lake)]
            asked = slow.request_count
            process = subprocess.Popen(command, stderr=subprocess.PIPE)
            assert process.stderr is not None
            wait_until(lambda: slow.request_count > asked, process)  # noqa: B023 - ends in this turn
            process.send_signal(number)
            assert process.wait(timeout=120) == code  # long before an answer
            assert b"Traceback" not in process.stderr.read()
            process.stderr.close()
        slow.service.latency_s = 0
        for code in ("143", "130"):
            assert run("sync", "--lake", tmp_path / code, "--quiet").code == 0
            assert pq.read_table(tmp_path / code / "backups").num_rows == 40
