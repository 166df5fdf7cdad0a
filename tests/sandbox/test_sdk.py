"""A second opinion: the vendor's SDK reads the sandbox, and sees what the fleet holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backup_frames.sandbox import Sandbox


def test_the_vendors_sdk_reads_the_fleet(still: Sandbox, tmp_path: Path) -> None:
    """With AK/SK and paging of its own, the SDK gets every record of both levels, and filters."""
    pytest.importorskip("huaweicloudsdkgaussdbfornosql")
    # A process of its own: on import the SDK writes into the home directory.
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "ENDPOINT": still.endpoint,
        "PROJECT": still.project_id,
        "AK": still.access_key,
        "SK": still.secret_key,
    }
    script = Path(__file__).with_name("sdk_reads.py")
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    instance_level = still.fleet.records("Instance")
    assert seen["Instance"] == instance_level
    assert seen["DatabaseTable"] == still.fleet.records("DatabaseTable")
    assert seen["window"] == [
        record
        for record in instance_level
        if "2026-01-19T16:00:00" <= record["begin_time"][:19] <= "2026-01-24T16:00:00"
    ]
    assert seen["window"]
    assert seen["redis"] == [
        record
        for record in instance_level
        if (record["datastore"]["type"], record["type"]) == ("redis", "Auto")
    ]
    assert seen["instances"] == len(still.fleet.instances())
    assert seen["wrong"] == [401, "APIGW.0301"]
