"""The dlt source: three tables, merged, from one verified read after another."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pytest

import backup_frames as bf
from backup_frames.frames.partitions import FRAME_TABLES
from backup_frames.sandbox import Sandbox, Status

dlt = pytest.importorskip("dlt", exc_type=ImportError)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def box() -> Any:
    with Sandbox(backups=600, seed=4) as sandbox:
        yield sandbox


@pytest.fixture
def run(box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the pipeline once; gives the ids of the rows in its three tables."""
    backup_source = import_module("backup_frames.engines.dlt").backup_source
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN", box.token)
    file = tmp_path / "out.duckdb"
    pipeline = dlt.pipeline(
        "backups",
        pipelines_dir=str(tmp_path / "pipelines"),
        destination=dlt.destinations.duckdb(str(file)),
        dataset_name="service",
    )

    def once() -> list[list[str]]:
        pipeline.run(backup_source(endpoint=box.endpoint, project_id=box.project_id))
        found = []
        with duckdb.connect(str(file), read_only=True) as base:
            for name in FRAME_TABLES:
                rows = base.execute(f"SELECT backup_id FROM service.{name} ORDER BY 1").fetchall()
                found.append([row[0] for row in rows])
        return found

    return once


def read(box: Sandbox) -> list[list[str]]:
    frames = bf.read_backups(endpoint=box.endpoint, project_id=box.project_id, token=box.token)
    return [sorted(table["backup_id"].to_pylist()) for table in frames.arrow]


def test_a_first_run_loads_what_a_read_gives(run: Any, box: Sandbox) -> None:
    """The three tables hold the rows of the three frames."""
    assert run() == read(box)


def test_a_later_run_reads_the_newest_end_only(run: Any, box: Sandbox) -> None:
    """It merges what came and changed since, in few requests, and doubles nothing."""
    first = run()
    box.clock.advance(timedelta(days=1))
    sent = box.request_count
    second = run()
    assert box.request_count - sent < 12
    for before, after, held in zip(first, second, read(box), strict=True):
        assert sorted({*before, *held}) == sorted(set(after))
    assert len(first[0]) < len(second[0]) == len(set(second[0]))


def test_an_unproven_read_loads_nothing(run: Any, box: Sandbox) -> None:
    """A service that fails in the middle of a read fails the run; the next one loads all."""
    box.service.faults.append(Status(status=403, after=3))
    with pytest.raises(Exception, match="answered 403"):
        run()
    box.service.faults.clear()
    assert run() == read(box)
