"""SQL over a lake: what reads is answered, what would write is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import backup_frames as bf
from backup_frames.insight.kpi.query import list_views, query_lake


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS n FROM backups",
        "FROM v_kpi_current",
        "WITH one AS (SELECT 1 AS a) FROM one;",
        "DESCRIBE v_kpi_daily",
        "SHOW TABLES",
        "VALUES (1)",
        "-- a comment\nSELECT 1",
    ],
)
def test_what_reads_is_answered(small_lake: Path, sql: str) -> None:
    """One statement that reads gives an Arrow table with its columns."""
    assert query_lake(small_lake, sql).num_columns > 0


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM settings",
        "UPDATE settings SET rpo_h = 1",
        "CREATE TABLE mine AS SELECT 1",
        "COPY (SELECT 1) TO '{out}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
        "EXPORT DATABASE '{out}'",
        "ATTACH '{out}' AS other",
        "SET threads = 1",
        "INSTALL httpfs",
        "PRAGMA enable_profiling",
        "CALL force_checkpoint()",
        "SELECT 1; COPY (SELECT 1) TO '{out}'",
        "SELECT * FROM query('COPY (SELECT 1) TO ''{out}''')",
        "",
        "-- nothing",
        "SELEC 1",
        "SELECT nothing_of_this_name FROM backups",
        "FROM no_view",
        "SELECT 'a'::INT",
    ],
)
def test_what_does_not_only_read_is_refused(small_lake: Path, tmp_path: Path, sql: str) -> None:
    """Nothing is written anywhere, and the error is one of the question."""
    out = tmp_path / "written"
    with pytest.raises(bf.QueryError):
        query_lake(small_lake, sql.format(out=out))
    assert not out.exists()


def test_every_view_of_the_list_can_be_asked(small_lake: Path) -> None:
    """The list names views with what they answer, where to begin first, and no inner ones."""
    views = list_views(small_lake).to_pylist()
    assert {"v_kpi_current", "v_exceptions", "backups"} <= {view["name"] for view in views}
    assert views[0]["name"] == "v_readme"
    inner = {"v_backup_state", "v_backup_norm", "lake_files", "sync_runs_held"}
    assert not inner & {view["name"] for view in views}
    assert all(view["description"] for view in views)
