"""The KPI views against a slow, plain Python oracle, on generated fleets with everything wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest
from support import oracle
from support.fleets import make_fleet
from support.lake_maker import connect_rows, rows_of
from support.oracle import Fleet

SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 100))]


@dataclass
class Case:
    """A fleet and the views over it."""

    fleet: Fleet
    connection: duckdb.DuckDBPyConnection

    def rows(self, query: str) -> list[dict[str, Any]]:
        return rows_of(self.connection, query)


@pytest.fixture(scope="module", params=SEEDS)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    fleet = make_fleet(request.param)
    with connect_rows(
        backups=fleet.backups,
        instances=fleet.instances,
        policies=fleet.policies,
        runs=fleet.runs,
    ) as connection:
        yield Case(fleet, connection)


def differences(got: dict[str, Any], expected: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The columns that differ, as (answer of the view, answer of the oracle)."""
    found = {}
    for name, wanted in expected.items():
        answer = got[name]
        if isinstance(wanted, int | float) and isinstance(answer, int | float):
            is_same = math.isclose(answer, wanted, rel_tol=1e-9, abs_tol=1e-6)
        else:
            is_same = answer == wanted
        if not is_same:
            found[name] = (answer, wanted)
    return found


def keyed(rows: list[dict[str, Any]], *names: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    for row in rows:
        yield tuple(row[name] for name in names), row


def test_current_kpis(case: Case) -> None:
    """The one row of v_kpi_current is what the definitions give when followed by hand."""
    (row,) = case.rows("SELECT * FROM v_kpi_current")
    assert not differences(row, oracle.kpi_current(case.fleet))


def test_daily_kpis(case: Case) -> None:
    """v_kpi_daily has every full day, none twice, and each day's numbers."""
    rows = case.rows("SELECT * FROM v_kpi_daily ORDER BY date")
    expected = oracle.kpi_daily(case.fleet)
    assert [row["date"] for row in rows] == sorted(expected)
    for row in rows:
        assert not differences(row, expected[row["date"]])


def test_instance_days(case: Case) -> None:
    """v_instance_daily is dense, and its counts, RPO seconds and ages are right."""
    rows = case.rows("SELECT * FROM v_instance_daily")
    expected = oracle.instance_daily(case.fleet)
    found = {
        (key[:2], key[2]): row for key, row in keyed(rows, "project_id", "instance_id", "date")
    }
    assert len(found) == len(rows)
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert not differences(row, expected[key])


def test_instance_health(case: Case) -> None:
    """v_instance_current has every existing instance once, with its health."""
    rows = case.rows("SELECT * FROM v_instance_current")
    expected = oracle.instance_current(case.fleet)
    found = dict(keyed(rows, "project_id", "instance_id"))
    assert len(found) == len(rows)
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert not differences(row, expected[key])


def test_slots(case: Case) -> None:
    """v_slot has every slot that was due, and says which were missed."""
    rows = case.rows("SELECT * FROM v_slot")
    found = {
        ((row["project_id"], row["instance_id"]), _utc(row["slot_at"])): row["is_missed"]
        for row in rows
    }
    assert found == oracle.slots(case.fleet)


def test_storage(case: Case) -> None:
    """v_storage_daily is what was present at the end of each day, by engine."""
    rows = case.rows("SELECT * FROM v_storage_daily")
    found = {(row["datastore_type"], row["date"]): row["stored_gib"] for row in rows}
    expected = oracle.storage_daily(case.fleet)
    assert not differences(found, {key: max(size, 0) for key, size in expected.items()})
    assert found.keys() == expected.keys()


def test_growth(case: Case) -> None:
    """v_storage_growth has Theil-Sen's slope, its interval and the forecast, where days suffice."""
    rows = case.rows("SELECT * FROM v_storage_growth")
    expected = oracle.storage_growth(case.fleet)
    assert {row["datastore_type"] for row in rows} == set(expected)
    for row in rows:
        assert not differences(row, expected[row["datastore_type"]])


def test_exceptions(case: Case) -> None:
    """v_exceptions has every finding once and nothing else."""
    rows = case.rows("SELECT * FROM v_exceptions WHERE kind <> 'stale data'")
    found = [(r["kind"], r["project_id"], r["instance_id"], r["backup_id"]) for r in rows]
    found = [
        (kind, project, instance, None if kind == "rpo missed" else backup)
        for kind, project, instance, backup in found
    ]
    assert len(set(found)) == len(found)
    assert set(found) == oracle.exceptions(case.fleet)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
