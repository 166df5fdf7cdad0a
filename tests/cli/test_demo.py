from __future__ import annotations

import pyarrow.parquet as pq
import pytest


def test_the_demo_ends_with_tables_certificate_and_next_steps(run, monkeypatch, tmp_path):
    """One command shows tables, KPIs and certificate, and leaves lake and DuckDB file.

    Settings of the environment have no part in it: nobody's account is used.
    """
    monkeypatch.setenv("BACKUP_FRAMES_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("BACKUP_FRAMES_CONFIG", "/nowhere.toml")
    monkeypatch.setenv("BACKUP_FRAMES_PARTITION_BY", "month")
    monkeypatch.setenv("BACKUP_FRAMES_TIMEOUT_S", "soon")
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", "ak")
    lake = tmp_path / "lake"
    ran = run("demo", "--lake", lake, "--backups", 400)
    assert ran.code == 0, ran.err
    for text in (
        "backups:",
        "backup_databases:",
        "backup_tables:",
        "KPIs:",
        "complete",
        "Where to look",
    ):
        assert text in ran.out
    assert pq.read_table(lake / "backups").num_rows > 400
    assert (tmp_path / "lake.duckdb").is_file()


@pytest.mark.slow  # two demos: ten seconds
def test_the_demo_runs_again_in_its_own_lake(run, tmp_path):
    """A second demo replaces the first."""
    lake = tmp_path / "lake"
    assert run("demo", "--lake", lake, "--backups", 60, "--quiet").code == 0
    assert run("demo", "--lake", lake, "--backups", 30, "--quiet").code == 0
    assert pq.read_table(lake / "backups").num_rows < 60


def test_the_demo_leaves_another_lake_alone(run, tmp_path):
    """A folder with anything else in it is refused, and nothing in it changes."""
    other = tmp_path / "lake" / "backups" / "date=2026-01-01" / "realproject.parquet"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"precious")
    ran = run("demo", "--lake", tmp_path / "lake")
    assert ran.code == 2
    assert "realproject" in ran.err
    assert other.read_bytes() == b"precious"
    assert [p for p in (tmp_path / "lake").rglob("*") if p.is_file()] == [other]


def test_the_demo_leaves_another_database_alone(run, tmp_path):
    """A file where the DuckDB file would go is not replaced, unless an earlier demo wrote it."""
    other = tmp_path / "lake.duckdb"
    other.write_bytes(b"precious")
    assert run("demo", "--lake", tmp_path / "lake").code == 2
    assert other.read_bytes() == b"precious"
