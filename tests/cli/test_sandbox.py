from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from backup_frames.sandbox import Dialect


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_prints_what_to_export_and_serves_until_stopped(run_process, number):
    """Its lines, exported, let another process read; a signal ends it quietly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "backup_frames", "sandbox", "--backups", "30"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().strip() for _ in range(9)]
    environment = dict(line.split("=", 1) for line in lines[:6])
    assert max(map(len, lines)) <= 80
    try:
        pasted = "\n".join([*lines, "env"])
        shell = subprocess.run(
            ["/bin/sh", "-c", pasted], capture_output=True, text=True, check=True
        )
        assert set(shell.stdout.splitlines()) >= set(lines[:6])
        ran = run_process("read", "--format", "csv", "--quiet", **environment)
    finally:
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert ran.code == 0, ran.err
    assert len(ran.out.splitlines()) == 31
    assert environment.keys() >= {
        "BACKUP_FRAMES_ENDPOINT",
        "BACKUP_FRAMES_PROJECT_ID",
        "BACKUP_FRAMES_TOKEN",
        "HUAWEICLOUD_SDK_AK",
        "HUAWEICLOUD_SDK_SK",
    }


def test_a_taken_port_is_told(run, account):
    """A port in use is a settings error."""
    ran = run("sandbox", "--port", account.endpoint.rsplit(":", 1)[1])
    assert ran.code == 2
    assert "port" in ran.err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--time-filter", "middle"),
        ("--levels", "some"),
        ("--window-cap", "loud"),
        ("--window-cap-days", -1),
        ("--ignored-filter", "limit"),
        ("--filter-case", "title"),
        ("--limit-cap", 0),
    ],
)
def test_a_switch_without_meaning_is_told(run, option, value):
    """It is a usage error that names value and choices."""
    ran = run("sandbox", option, value)
    assert ran.code == 2
    assert str(value) in ran.err


def test_switches_reach_the_service(run, monkeypatch):
    """Each option becomes the dialect's field of that name."""
    served = {}
    monkeypatch.setattr("backup_frames.sandbox.serve", lambda **given: served.update(given))
    switches = {
        "time_filter": "end",
        "levels": "ignored",
        "window_cap_days": 31.0,
        "window_cap": "silent",
        "ignored_filter": "backup_id",
        "filter_case": "ignored",
        "limit_cap": 50,
    }
    options = [(f"--{name.replace('_', '-')}", value) for name, value in switches.items()]
    assert run("sandbox", *[word for option in options for word in option]).code == 0
    assert served["dialect"] == Dialect(**switches)
