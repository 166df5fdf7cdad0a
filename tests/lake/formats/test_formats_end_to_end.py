"""A customer's day with a Delta or Iceberg lake: the sandbox, the inventory, every command."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import deltalake
import pytest
from support.format_lake import FORMATS

from backup_frames.insight.charts.report import write_report
from backup_frames.insight.kpi.publish import publish_lake
from backup_frames.lake.lake import open_lake
from backup_frames.sandbox import Sandbox
from backup_frames.settings import load_settings
from backup_frames.sync.maintenance.verify import verify_lake
from backup_frames.sync.one_project import sync_backups


@pytest.mark.slow
@pytest.mark.parametrize("lake_format", FORMATS)
def test_sync_verify_publish_and_report(tmp_path: Path, lake_format: str) -> None:
    """Backups, instances and policies arrive, change and stay comparable with the service."""
    with Sandbox(backups=60, seed=3) as box:
        account = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
        settings = load_settings(lake=str(tmp_path / "lake"), lake_format=lake_format, **account)
        first = sync_backups(settings=settings, clock=box.clock)
        box.clock.advance(timedelta(days=1))
        again = load_settings(lake=str(tmp_path / "lake"), **account)
        second = sync_backups(settings=again, clock=box.clock)
        assert (first.exit_code, second.exit_code) == (0, 0)
        assert second.counts["gone"] > 0
        place = str(tmp_path / "lake")
        findings = verify_lake(place, against_service=True, settings=again, clock=box.clock)
        assert findings == []
    lake = open_lake(str(tmp_path / "lake"))
    assert lake.backups().num_rows == second.counts["present"]
    assert lake.dataset("instances").count_rows() == second.inventory["present"]
    assert publish_lake(tmp_path / "lake", tmp_path / "b.duckdb").as_of is not None
    write_report(str(tmp_path / "lake"), tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size > 10_000


@pytest.mark.slow
def test_spark_reads_a_delta_lake_without_delta_jars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through our data source; Delta's own reader needs jars that pip does not bring."""
    sql = pytest.importorskip("pyspark.sql", reason="needs the extra spark")
    from backup_frames.engines.spark import register  # noqa: PLC0415 - needs the extra

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    place = str(tmp_path / "lake")
    with Sandbox(backups=60, seed=3) as box:
        account = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
        sync_backups(lake=place, lake_format="delta", **account)
    builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
    try:
        register(spark)
        frame = spark.read.format("backup_frames").load(place)
        assert frame.count() == deltalake.DeltaTable(f"{place}/backups").to_pyarrow_table().num_rows
    finally:
        spark.stop()
