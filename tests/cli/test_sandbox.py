from __future__ import annotations

import signal
import subprocess
import sys

import pytest


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
    lines = [process.stdout.readline().strip() for _ in range(6)]
    environment = dict(line.split("=", 1) for line in lines)
    try:
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
