"""Lakes on disk that several tests read: a small one with everything, and one of hostile names."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from support.fleets import make_fleet
from support.hostile import HOSTILE
from support.lake_maker import make_big_lake, make_lake

from backup_frames.insight import connect_lake


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated fleet on disk, with instances, policies and runs."""
    fleet = make_fleet(3)
    return make_lake(
        tmp_path_factory.mktemp("lakes") / "small",
        backups=fleet.backups,
        databases=[
            {
                "project_id": "p1",
                "backup_id": "b0",
                "begin_date": fleet.backups[0]["begin_date"],
                "database_index": 0,
                "database_name": "orders",
                "table_count": 2,
                "is_whole_database": False,
            }
        ],
        instances=fleet.instances,
        policies=fleet.policies,
        runs=fleet.runs,
    )


@pytest.fixture(scope="session")
def hostile_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same fleet with hostile text wherever the service sends text."""
    fleet = make_fleet(3)
    names = sorted({row["instance_id"] for row in fleet.backups if row["instance_id"]})
    for row in (*fleet.backups, *fleet.instances):
        if row["instance_id"]:
            place = names.index(row["instance_id"]) + 5 * (row["project_id"] == "p2")
            row["instance_name"] = HOSTILE[place % len(HOSTILE)]
            row["instance_id"] = f"{row['instance_id']}{HOSTILE[place % len(HOSTILE)]}"
    for place, row in enumerate(fleet.backups):
        row["backup_id"] += HOSTILE[place % len(HOSTILE)]
        row["datastore_type"] = HOSTILE[place % 2]
        row["description"] = HOSTILE[place % len(HOSTILE)]
    for row in fleet.policies:
        row["instance_id"] = next(
            home["instance_id"]
            for home in fleet.instances
            if home["instance_id"].startswith(row["instance_id"])
            and home["project_id"] == row["project_id"]
        )
    return make_lake(
        tmp_path_factory.mktemp("lakes") / "hostile",
        backups=fleet.backups,
        instances=fleet.instances,
        policies=fleet.policies,
        runs=fleet.runs,
    )


@pytest.fixture(scope="session")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without any file: a lake before its first sync."""
    return tmp_path_factory.mktemp("lakes")


@pytest.fixture(scope="session")
def large_views(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """The views over 60 instances with 60 days each, as a big lake is made, held in memory."""
    lake = make_big_lake(tmp_path_factory.mktemp("lakes") / "large", backups=3_600, instances=60)
    return connect_lake(lake, materialize=True)
