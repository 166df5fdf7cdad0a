"""SQL over a lake: what reads is answered, what would write is refused."""

from __future__ import annotations

import shutil
from datetime import datetime
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


@pytest.fixture(scope="module")
def now_at(small_lake: Path) -> datetime:
    """The lake's moment, as another view has it."""
    moment: datetime = query_lake(small_lake, "FROM v_kpi_current").to_pylist()[0]["now_at"]
    return moment


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT now_at FROM "V_Now" ORDER BY 1 DESC',
        "SELECT now_at FROM query_table('v_now')",
        "SELECT now_at FROM query('FROM v_' || 'now')",
        "SELECT now_at FROM (SELECT 1) CROSS JOIN main.v_now",
        "SELECT (SELECT now_at FROM v_now) AS now_at",
    ],
)
def test_a_view_is_there_however_it_is_named(small_lake: Path, now_at: datetime, sql: str) -> None:
    """Only what a query names is made for it: it finds the same as any other spelling of it."""
    assert query_lake(small_lake, sql)["now_at"].to_pylist() == [now_at]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT view_name FROM duckdb_views() WHERE NOT internal",
        "SELECT table_name FROM information_schema.tables",
        "SHOW TABLES",
        "SELECT name FROM (DESC)",
    ],
)
def test_a_listing_names_all_views(small_lake: Path, sql: str) -> None:
    """Whoever asks what there is sees every view, though none is asked."""
    found = set(query_lake(small_lake, sql)[0].to_pylist())
    assert {
        view["name"] for view in list_views(small_lake).to_pylist() if view["name"][:2] == "v_"
    } <= found


def test_descriptions_can_be_asked(small_lake: Path) -> None:
    """Words on columns are there for who asks for them."""
    sql = "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'v_exceptions' AND comment IS NULL"
    assert query_lake(small_lake, sql)[0].to_pylist() == [0]


@pytest.mark.parametrize("name", ["v_kpi_dayly", "sync_run"])
def test_a_misspelled_name_is_told_the_one_that_was_meant(small_lake: Path, name: str) -> None:
    """The error knows all names, though the query names none of them."""
    with pytest.raises(bf.QueryError, match=r"Did you mean .*(v_kpi_daily|sync_runs)"):
        query_lake(small_lake, f"SELECT * FROM {name}")


@pytest.mark.parametrize(
    ("sql", "is_answered"),
    [
        ("SELECT 1", True),
        ("FROM sync_runs", True),
        ("FROM fact_sync_run", True),
        ("FROM backups", False),
        ("FROM v_exceptions", False),
    ],
)
def test_a_query_reads_only_what_it_names(
    small_lake: Path, tmp_path: Path, sql: str, is_answered: bool
) -> None:
    """A damaged file of backups stops those who ask for backups, and nobody else."""
    lake = tmp_path / "lake"
    shutil.copytree(small_lake, lake)
    for path in lake.glob("backups/*/*.parquet"):
        path.write_bytes(b"no Parquet")
    if is_answered:
        assert query_lake(lake, sql).num_rows
    else:
        with pytest.raises(bf.LakeError, match="verify"):
            query_lake(lake, sql)


def test_no_query_is_answered_where_no_lake_is(tmp_path: Path) -> None:
    """A query that reads nothing, and the list, tell that there is no lake."""
    for ask in (
        lambda: query_lake(tmp_path / "none", "SELECT 1"),
        lambda: list_views(tmp_path / "none"),
    ):
        with pytest.raises(bf.LakeError, match="There is no lake"):
            ask()


def test_a_name_that_no_folder_can_have_is_a_wrong_setting() -> None:
    """Too long for the file system: our own error, as for any other place that is none."""
    with pytest.raises(bf.ConfigError, match="File name too long"):
        query_lake("x" * 300, "SELECT 1")
