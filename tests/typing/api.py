"""What type checkers see of the public interface: mypy reads this file, nothing runs it.

Each use is one from the README. An ignored error is part of the promise: mypy reports an ignore
that is needed no longer, so a type that grows too wide fails here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, assert_type

import duckdb
import pandas as pd

import backup_frames as bf
from backup_frames.insight import PublishReport, connect_lake, publish_lake, write_report
from backup_frames.sandbox import Sandbox


def read_in_memory() -> None:
    frames = bf.read_backups(
        region="eu-west-101",
        instance_id="1e2f",
        datastore_type="cassandra",
        backup_type="Manual",
        level="DatabaseTable",
        begin=date(2026, 1, 1),
        end=datetime(2026, 2, 1, tzinfo=UTC),
        allow_incomplete=True,
    )
    assert_type(frames, bf.BackupFrames)
    assert_type(frames.backups, pd.DataFrame)
    assert_type(frames.databases, pd.DataFrame)
    assert_type(frames.tables, pd.DataFrame)
    assert_type(frames.arrow, bf.ArrowFrames)
    assert_type(frames.records(), list[dict[str, Any]])
    assert_type(frames.write(Path("export")), list[Path])
    assert_type(len(frames), int)
    if frames.certificate is not None:
        assert_type(frames.certificate, bf.Certificate)
        assert_type(frames.certificate.reasons, list[str])


def refuse_what_no_service_takes() -> None:
    bf.read_backups(level="instance")  # type: ignore[arg-type]  # a level is one of two words
    bf.read_backups(begin=20260101)  # type: ignore[arg-type]  # a number is no moment
    bf.read_backups("2026-01-01")  # type: ignore[call-arg, arg-type]  # keywords only
    bf.sync_backups(partition_by="week")  # type: ignore[arg-type]  # by day or month


def read_in_parts() -> None:
    parts = bf.scan_backups(begin="2026-01-01")
    assert_type(parts, Iterator[bf.BackupFrames])
    assert_type(sum(len(part) for part in parts), int)
    plan = bf.plan_read(begin="2026-01-01")
    assert_type(plan, bf.ReadPlan)
    assert_type(plan.requests, int)


def keep_a_lake() -> None:
    report = bf.sync_backups(lake="./lake", partition_by="month", lake_format="delta")
    assert_type(report, bf.SyncReport)
    assert_type(report.certificate, bf.Certificate)
    assert_type(report.exit_code, int)
    assert_type(bf.open_lake("./lake"), bf.Lake)
    assert_type(bf.verify_lake("./lake"), list[bf.Finding])


def show_a_lake(lake: str) -> None:
    assert_type(publish_lake(lake, Path("lake.duckdb")), PublishReport)
    assert_type(write_report(lake, "lake.html"), Path)
    with connect_lake(lake) as connection:
        assert_type(connection, duckdb.DuckDBPyConnection)


def catch_errors() -> None:
    try:
        bf.read_backups()
    except bf.IncompleteReadError as error:
        assert_type(error.exit_code, int)
    except (bf.FetchError, bf.LakeError, bf.ConfigError) as error:
        root: bf.BackupFramesError = error
        assert_type(root.exit_code, int)


def test_against_the_sandbox() -> None:
    with Sandbox(backups=500, seed=1) as box:
        settings = bf.load_settings(
            endpoint=box.endpoint, project_id=box.project_id, token=box.token
        )
        assert_type(settings, bf.Settings)
        bf.read_backups(settings=settings)
        box.clock.advance(timedelta(days=1))
