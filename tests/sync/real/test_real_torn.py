"""What readers see between two files of one partition: children are written before their backups."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from support.real_lab import check_readers

from backup_frames.lake.lake import open_lake
from backup_frames.sandbox import Sandbox
from backup_frames.sync.one_project import sync_backups


def test_children_without_their_backups_are_nobody_s(tmp_path: Path) -> None:
    """As after a death in between: no error, and no rows of backups that are not there yet."""
    with Sandbox(backups=60, seed=9) as box:
        box.clock.advance(timedelta(hours=1))
        sync_backups(
            lake=str(tmp_path),
            endpoint=box.endpoint,
            project_id=box.project_id,
            token=box.token,
            clock=box.clock,
        )
    lake = open_lake(str(tmp_path))
    torn = lake.databases()["begin_date"][0].as_py()
    (tmp_path / f"backups/date={torn}").rename(tmp_path / "elsewhere")
    check_readers(tmp_path)
    for children in (lake.databases(), lake.tables()):
        assert torn not in children["begin_date"].to_pylist()
    assert torn in lake.databases(present=False)["begin_date"].to_pylist()
