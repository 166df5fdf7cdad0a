"""The same backups are the same bytes: whatever the time zone, hash seed, order and threads."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.lake_service import DAY, LEVELS, PROJECT, START, ModelService, sync
from support.stores import MemoryStore, snapshot

SCRIPT = """
import sys
sys.path[:0] = {paths!r}
from test_same_bytes import digest
print(digest(seed={seed}, threads={threads}))
"""


def digest(seed: int, threads: int) -> str:
    """Sync a fixed fleet twice, parts in an order that the seed decides; hash what is stored."""
    service, store = ModelService(seed=seed), MemoryStore(scratch=f"_meta/{PROJECT}/tmp")
    for number in range(400):
        tables = [("db", ["ä", "b"]), ("x", None)] if number % 7 == 0 else None
        begin = START - 5 * DAY + number * DAY / 80
        service.add(begin, level=LEVELS[number % 3 == 0], tables=tables)
    service.add(None)
    sync(service, store, threads=threads)
    service.clock.advance(DAY)
    service.remove(*sorted(service.backups)[40:50])
    sync(service, store, threads=threads)
    content = hashlib.sha256()
    for key, data in sorted(snapshot(store).items()):
        if not key.startswith("sync_runs/") and "manifest" not in key:
            content.update(key.encode() + data)
    return content.hexdigest()


@pytest.mark.parametrize(
    ("zone", "locale", "hash_seed", "seed", "threads"),
    [
        ("Asia/Kathmandu", "C", "1", 2, 1),
        ("America/St_Johns", "C.UTF-8", "77", 3, 4),
    ],
)
def test_nothing_of_the_machine_shows(zone, locale, hash_seed, seed, threads):
    """Another process in another place, with parts in another order, writes the same lake."""
    tests = Path(__file__).parents[1]
    paths = [str(tests.parent), str(tests), str(Path(__file__).parent)]
    environment = os.environ | {
        "TZ": zone,
        "LC_ALL": locale,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONIOENCODING": "utf-8",
    }
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(paths=paths, seed=seed, threads=threads)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == digest(seed=1, threads=1)
