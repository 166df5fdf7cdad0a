"""What a command does is counted, since times on shared machines say little: see ``budget.toml``."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from backup_frames.sandbox import Sandbox

BUDGET = tomllib.loads((Path(__file__).parent / "budget.toml").read_text(encoding="utf-8"))
# The libraries' own functions are wrapped in the child before the package is there to take them.
COUNTED = """
import atexit, json, sys
from backup_frames.__main__ import _Unneeded, main
sys.meta_path.insert(0, _Unneeded())  # as `main` does: what it hides is not counted
import pyarrow as pa
import pyarrow.parquet as pq
counts = {"encodes": 0, "decodes": 0}
write, opened = pq.write_table, pq.ParquetFile.__init__
def count_write(*args, **named):
    counts["encodes"] += 1
    return write(*args, **named)
def count_open(*args, **named):
    counts["decodes"] += 1
    opened(*args, **named)
pq.write_table, pq.ParquetFile.__init__ = count_write, count_open
def tell():
    # blocks of Python at the end, and the most that Arrow held: counts, the same within a tenth
    blocks = sys.getallocatedblocks() // 1000
    held = {"thousand_blocks": blocks, "arrow_peak_kb": pa.default_memory_pool().max_memory() // 1024}
    print(json.dumps(counts | held | {"modules": len(sys.modules)}), file=sys.stderr)
atexit.register(tell)
sys.exit(main())
"""


def _parquet_files(lake: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")}


def test_each_command_stays_within_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first sync, one that finds nothing new, and a read do no more than the budget says."""
    lake = tmp_path / "lake"
    with Sandbox(backups=300, seed=1) as box:
        for name, value in box.environment().items():
            monkeypatch.setenv(name, value)
        for name, budget in BUDGET.items():
            asked, before = box.request_count, _parquet_files(lake)
            words = budget.pop("command").format(lake=lake, folder=tmp_path).split()
            done = subprocess.run(
                [sys.executable, "-c", COUNTED, *words], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            spent = json.loads(done.stderr.splitlines()[-1])
            spent["requests"] = box.request_count - asked
            spent["files"] = len(_parquet_files(lake).items() - before.items())
            over = {what: spent[what] for what, most in budget.items() if spent[what] > most}
            assert not over, (name, spent, budget)
