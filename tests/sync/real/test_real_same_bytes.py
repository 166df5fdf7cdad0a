"""The same service at the same moment is the same bytes, whatever the process is like."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from support.real_lab import Account, data_files, finish

from backup_frames.sandbox import Sandbox

PLACES = (
    {
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "1",
        "BACKUP_FRAMES_MAX_CONNECTIONS": "1",
    },
    {
        "TZ": "America/St_Johns",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "77",
        "BACKUP_FRAMES_MAX_CONNECTIONS": "13",
    },
)


@pytest.mark.slow  # four processes; test_same_bytes.py asks the same with two
def test_place_and_connections_do_not_show(tmp_path: Path) -> None:
    """Time zone, locale, hash seed and requests side by side: a first sync and one that changes."""
    with Sandbox(backups=90, seed=21) as box:
        lakes = [tmp_path / str(number) for number in range(len(PLACES))]
        for _ in range(2):
            runs = [
                start(Account(box, lake), place) for lake, place in zip(lakes, PLACES, strict=True)
            ]
            assert [finish(run).code for run in runs] == [0, 0]
            box.clock.advance(timedelta(days=1, hours=5))
            box.fleet.delete(box.fleet.ids()[11])
    one, two = map(data_files, lakes)
    assert len(one) > 30
    assert one == two
    states = [
        json.loads(path.read_bytes()) for lake in lakes for path in lake.glob("_meta/*/state.json")
    ]
    assert len(states) == 2
    for state in states:
        for name in ("lake_id", "manifest", "checksum"):  # of this lake, and of no other
            assert state.pop(name)
    assert states[0] == states[1]


def start(account: Account, place: dict[str, str]) -> subprocess.Popen[str]:
    return account.launch(account.frozen(account.box.clock.now()), **place)
