"""Memory of a sync does not grow with the list."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.clocks import VirtualClock
from support.lake_service import (
    DAY,
    LEVELS,
    PROJECT,
    START,
    Backup,
    ModelReader,
    ModelService,
    frames_of,
)

from backup_frames.frames.frames import Part
from backup_frames.lake.formats.open_tables import open_lake_store
from backup_frames.scan.plan import CoveredSpan
from backup_frames.sync.one_project import sync_lake

SCRIPT = """
import resource, sys
sys.path[:0] = {paths!r}
from test_sync_memory import stream_into
stream_into({lake!r}, days={days}, lake_format={lake_format!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
PER_DAY = 2000


def stream_into(lake: str, days: int, lake_format: str) -> None:
    """A first sync of a list that is made up while it is read: day by day, newest first."""

    class Stream(ModelReader):
        def scan(self, spans, *, is_full=False, align_s=86400):
            ((begin_s, end_s),) = spans
            for day in range(days):
                begin = START - (day + 1) * DAY
                low = begin_s if day == days - 1 else int(begin.timestamp())
                for level in LEVELS:
                    rows = [
                        Backup(f"{day:05d}-{n:05d}-{level}", level, begin + n * DAY / PER_DAY)
                        for n in range(PER_DAY // 2)
                    ]
                    yield Part(frames_of(rows, level), (CoveredSpan(level, low, end_s, True),))
                end_s = low
            nothing = frames_of([], LEVELS[0])
            yield Part(nothing, tuple(CoveredSpan(level, None, None, True) for level in LEVELS))

    store = open_lake_store(lake, scratch=f"_meta/{PROJECT}/tmp", lake_format=lake_format)
    report = sync_lake(
        Stream(ModelService(clock=VirtualClock(START))),
        store,
        project_id=PROJECT,
        clock=VirtualClock(START),
    )
    assert report.exit_code == 0
    assert report.counts["present"] == days * PER_DAY


def peak_kb(lake: Path, days: int, lake_format: str) -> int:
    tests = Path(__file__).parents[1]
    paths = [str(tests.parent), str(tests), str(Path(__file__).parent)]
    script = SCRIPT.format(paths=paths, lake=str(lake), days=days, lake_format=lake_format)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return int(ran.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("lake_format", ["parquet", "delta", "iceberg"])
def test_five_times_the_backups_take_no_more_memory(tmp_path, lake_format):
    """A first sync of 300,000 peaks at most 1.3 times as high as one of 60,000."""
    small = peak_kb(tmp_path / "small", 30, lake_format)
    large = peak_kb(tmp_path / "large", 150, lake_format)
    assert large < 1.3 * small, (small, large)
