"""Lakes on disk that several tests read: a small one with everything, and one of hostile names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
from support.fleets import make_fleet
from support.hostile import HOSTILE, LONG_WORDS
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
    return _lake_with_texts(tmp_path_factory.mktemp("lakes") / "hostile", HOSTILE)


@pytest.fixture(scope="session")
def wordy_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same fleet with texts that offer no place to break a line."""
    return _lake_with_texts(tmp_path_factory.mktemp("lakes") / "wordy", LONG_WORDS)


def _lake_with_texts(folder: Path, texts: Sequence[str]) -> Path:
    fleet = make_fleet(3)
    names = sorted({row["instance_id"] for row in fleet.backups if row["instance_id"]})
    for row in (*fleet.backups, *fleet.instances):
        if row["instance_id"]:
            place = names.index(row["instance_id"]) + 5 * (row["project_id"] == "p2")
            row["instance_name"] = texts[place % len(texts)]
            row["instance_id"] = f"{row['instance_id']}{texts[place % len(texts)]}"
    for place, row in enumerate(fleet.backups):
        row["backup_id"] += texts[place % len(texts)]
        row["datastore_type"] = texts[place % 2]
        row["description"] = texts[place % len(texts)]
    for row in fleet.policies:
        row["instance_id"] = next(
            home["instance_id"]
            for home in fleet.instances
            if home["instance_id"].startswith(row["instance_id"])
            and home["project_id"] == row["project_id"]
        )
    return make_lake(
        folder,
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
