"""What a view costs, counted in the engine's plans: how often it scans a table, and what it joins by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from backup_frames.insight import connect_lake

# How often a view scans the backups and the runs: over files, each scan opens them all again. The
# lowest version of DuckDB that is allowed shares fewer scans than later ones, and sets the number.
SCANS = {
    "dim_instance": (1, 2),
    "dim_project": (1, 2),
    "v_backups_current": (2, 4),
    "v_backup_history": (2, 2),
    "v_control_day": (5, 6),
    "v_control_grid": (4, 6),
    "v_control_judged": (6, 10),
    "v_control_result": (6, 10),
    "v_exceptions": (7, 10),
    "v_exception_history": (6, 11),
    "v_instance_current": (2, 4),
    "v_instance_daily": (2, 3),
    "v_instance_day": (2, 3),
    "v_instance_health": (2, 4),
    "v_instance_ledger": (1, 2),
    "v_kpi_current": (8, 13),
    "v_kpi_daily": (6, 7),
    "v_kpi_owner": (3, 6),
    "v_storage_daily": (3, 3),
    "v_storage_growth": (3, 4),
    "v_watched_daily": (2, 2),
}


def plan_of(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """The operators that DuckDB would run for a query."""

    def walk(operator: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield operator
        for child in operator["children"]:
            yield from walk(child)

    ((_, text),) = connection.execute(f"EXPLAIN (FORMAT json) {query}").fetchall()
    return [operator for root in json.loads(text) for operator in walk(root)]


def scans_of(connection: duckdb.DuckDBPyConnection, view: str) -> tuple[int, int]:
    tables = Counter(
        operator["extra_info"]["Table"].rpartition(".")[-1]
        for operator in plan_of(connection, f"FROM {view}")
        if "Table" in operator["extra_info"]
    )
    return tables["backups"], tables["sync_runs"]


def test_how_often_a_view_scans_the_lake(large_views: duckdb.DuckDBPyConnection) -> None:
    """No view scans the backups or the runs more often than its budget, which is once for most."""
    views = large_views.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    found = {name: scans_of(large_views, name) for (name,) in views}
    over = {
        name: counts
        for name, counts in found.items()
        if any(count > most for count, most in zip(counts, SCANS.get(name, (1, 1)), strict=True))
    }
    assert not over
    assert found["v_exceptions"] > (1, 1)  # what was counted are scans


@pytest.mark.parametrize("materialize", [False, True])
def test_words_of_an_exception_are_looked_up_by_all_of_its_key(
    small_lake: Path, materialize: bool
) -> None:
    """By the date alone, each exception would meet all results of its day: a large lake never ends."""
    with connect_lake(small_lake, materialize=materialize) as connection:
        plan = plan_of(connection, "FROM v_exception_history")
    joins = [operator["extra_info"].get("Conditions") for operator in plan]
    keys = [{key} if isinstance(key, str) else set(key) for key in joins if key]
    assert {"date = date"} not in keys
    assert {"control_id = control_id", "n = n", "date = date"} in keys


def test_days_of_instances_have_one_number_each(large_views: duckdb.DuckDBPyConnection) -> None:
    """v_instance_day has a day of an instance once; its numbers stand for the instance and the day."""
    found = large_views.execute("""
        SELECT count(*), count(DISTINCT (n, d)), count(DISTINCT (project_id, instance_id, date)),
            count(DISTINCT n), count(DISTINCT (project_id, instance_id)),
            count(DISTINCT (n, project_id, instance_id)), bool_and(date = DATE '1970-01-01' + d::INTEGER)
        FROM v_instance_day
    """).fetchall()
    ((days, *keys, numbers, instances, pairs, is_date),) = found
    assert days > 1_000
    assert keys == [days, days]
    assert numbers == instances == pairs == 60
    assert is_date
