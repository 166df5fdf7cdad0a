"""A real client against the service's twin over real sockets, into a real folder."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from backup_frames.errors import LakeConflictError, LakeError
from backup_frames.lake.lake import open_lake
from backup_frames.lake.storage.urls import open_store
from backup_frames.sandbox import Sandbox
from backup_frames.settings import Settings, load_settings
from backup_frames.sync.maintenance.verify import verify_lake
from backup_frames.sync.one_project import sync_backups

DATA = ("backups", "backup_databases", "backup_tables")


@pytest.fixture
def box():
    """A sandbox of 60 backups over two years."""
    with Sandbox(backups=60, seed=11) as sandbox:
        yield sandbox


def settings_of(box: Sandbox, lake: Path) -> Settings:
    return load_settings(
        lake=str(lake), endpoint=box.endpoint, project_id=box.project_id, token=box.token
    )


def files_of(lake: Path) -> dict[str, bytes]:
    return {
        path.relative_to(lake).as_posix(): path.read_bytes()
        for name in DATA
        for path in (lake / name).rglob("*.parquet")
    }


def test_a_lake_follows_its_service(box, tmp_path):
    """First sync, nothing, a day later: verified against the service each time."""
    lake = tmp_path / "lake"
    settings = settings_of(box, lake)
    first = sync_backups(settings=settings, clock=box.clock)
    assert (first.exit_code, first.counts["new"]) == (0, 60)
    assert verify_lake(str(lake), against_service=True, settings=settings, clock=box.clock) == []
    before = files_of(lake)
    second = sync_backups(settings=settings, clock=box.clock)
    assert second.file_count == 0
    assert second.requests <= 20
    assert files_of(lake) == before
    box.clock.advance(timedelta(days=1, hours=3))
    third = sync_backups(settings=settings, clock=box.clock)
    assert third.exit_code == 0
    assert verify_lake(str(lake), against_service=True, settings=settings, clock=box.clock) == []
    opened = open_lake(str(lake))
    assert opened.backups().num_rows == third.counts["present"]
    assert opened.backups(present=False).num_rows == 60 + third.counts["new"]
    assert opened.runs().num_rows == 3


def test_readers_read_it_with_one_line(box, tmp_path):
    """pandas and pyarrow read each table of the lake as it lies there."""
    lake = tmp_path / "lake"
    sync_backups(settings=settings_of(box, lake), clock=box.clock)
    for name in DATA:
        assert len(pd.read_parquet(lake / name)) == pq.read_table(lake / name).num_rows
    assert len(pd.read_parquet(lake / "backups")) == 60


def test_arguments_and_url_are_enough(box, tmp_path):
    """sync_backups with plain keywords, months, and the lake as file://."""
    report = sync_backups(
        lake=f"file://{tmp_path}/lake",
        endpoint=box.endpoint,
        project_id=box.project_id,
        token=box.token,
        partition_by="month",
        clock=box.clock,
    )
    assert report.exit_code == 0
    assert all(path.parent.name.endswith("-01") for path in (tmp_path / "lake").rglob("date=*/*"))
    again = sync_backups(settings=settings_of(box, tmp_path / "lake"), clock=box.clock)
    assert again.file_count == 0


def test_a_damaged_file_is_repaired_from_the_service(box, tmp_path):
    """verify names it, a sync refuses to build on it, repair makes it as it was."""
    lake = tmp_path / "lake"
    settings = settings_of(box, lake)
    sync_backups(settings=settings, clock=box.clock)
    before = files_of(lake)
    path = max((lake / "backups").rglob("*.parquet"), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    (finding,) = verify_lake(str(lake))
    assert finding.path == path.relative_to(lake).as_posix()
    report = sync_backups(settings=settings, clock=box.clock, full=True)
    assert (report.exit_code, report.damaged) == (5, (finding.path,))
    assert verify_lake(str(lake), repair=True, settings=settings, clock=box.clock) == []
    assert verify_lake(str(lake)) == []
    assert files_of(lake).keys() == before.keys()


def test_a_second_sync_is_turned_away_at_once(box, tmp_path, monkeypatch):
    """While one run holds the folder another one fails before it asks anything or waits."""
    lake = tmp_path / "lake"
    settings = settings_of(box, lake)
    sync_backups(settings=settings, clock=box.clock)
    store = open_store(str(lake), scratch=f"_meta/{box.project_id}/tmp")
    with store.lock(f"_meta/{box.project_id}/lock"):
        asked, naps = box.request_count, list[float]()
        monkeypatch.setattr(box.clock, "sleep", naps.append)
        with pytest.raises(LakeConflictError):
            sync_backups(settings=settings, clock=box.clock)
        assert (box.request_count, naps) == (asked, [])


def test_verify_of_nothing_is_an_error(tmp_path):
    """A mistyped address is no sound lake."""
    with pytest.raises(LakeError, match="no lake"):
        verify_lake(str(tmp_path / "typo"))
