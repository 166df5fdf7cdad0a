from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pyarrow.parquet as pq
import pytest

from backup_frames.sandbox import Sandbox


def files(folder) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*.parquet")}


def test_a_sync_fills_a_lake_and_the_next_changes_nothing(run, account, tmp_path):
    """The lake holds every backup; a second run leaves its data files alone."""
    lake = tmp_path / "lake"
    ran = run("sync", "--lake", lake)
    assert ran.code == 0, ran.err
    assert pq.read_table(lake / "backups").num_rows == 120
    before = files(lake / "backups")
    assert run("sync", "--lake", lake).code == 0
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
    assert run("sync", "--lake", tmp_path / "lake", "--metrics-file", path).code == 0
    assert f'is_success{{project_id="{account.project_id}"}} 1' in path.read_text()
    arguments = ["--endpoint", "http://127.0.0.1:1", "--metrics-file", path]
    assert run("sync", "--lake", tmp_path / "lake", *arguments).code == 3
    assert f'exit_code{{project_id="{account.project_id}"}} 3' in path.read_text()


def test_a_report_is_json_if_asked(run, account, tmp_path):
    """With --log-format json the report on stdout is one JSON object."""
    ran = run("sync", "--lake", tmp_path / "lake", "--log-format", "json")
    report = json.loads(ran.out)
    assert (report["verdict"], report["exit_code"]) == ("complete", 0)


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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_within_five_seconds(run, monkeypatch, tmp_path, number, code):
    """However slow the service, the process ends in time; the next run makes the lake right."""
    with Sandbox(backups=40, latency_s=7) as slow:
        asked = threading.Event()
        slow.on_request(lambda _: asked.set())
        command = [sys.executable, "-m", "backup_frames", "sync", "--lake", str(tmp_path / "lake")]
        environment = os.environ | slow.environment()
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        assert process.stderr is not None
        assert asked.wait(60)
        begun = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=30) == code
        assert time.monotonic() - begun < 5
        assert b"Traceback" not in process.stderr.read()
        process.stderr.close()
        slow.service.latency_s = 0
        for name, value in slow.environment().items():
            monkeypatch.setenv(name, value)
        assert run("sync", "--lake", tmp_path / "lake").code == 0
    assert pq.read_table(tmp_path / "lake" / "backups").num_rows == 40
