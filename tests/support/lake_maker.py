"""Lakes for the tests of this room, without a sync: rows in, Parquet in the lake's layout out.

`make_lake` takes rows as plain dicts (what a test cares about; the rest is filled in), and
`make_big_lake` a whole fleet built by numpy for the measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from backup_frames.frames.schema import (
    BACKUP_DATABASES,
    BACKUP_POLICIES,
    BACKUP_POLICY_CHANGES,
    BACKUP_TABLES,
    BACKUPS,
    INSTANCES,
    SYNC_RUNS,
    with_ledger,
)
from backup_frames.insight.kpi.catalog import declare_views
from backup_frames.insight.kpi.relations import insert_arrow

PROJECT = "p1"
Row = Mapping[str, Any]


SCHEMAS = {
    "backups": with_ledger(BACKUPS),
    "backup_databases": BACKUP_DATABASES,
    "backup_tables": BACKUP_TABLES,
}


def day_of(text: str) -> date:
    return date.fromisoformat(text)


def at(text: str) -> datetime:
    """A UTC moment from text such as `2026-03-10 02:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def backup(
    backup_id: str, instance_id: str, begin: datetime | None, **other: Any
) -> dict[str, Any]:
    """One row of `backups`: completed after an hour, automated, 1 GiB, present, unless told."""
    row: dict[str, Any] = {
        "project_id": PROJECT,
        "backup_id": backup_id,
        "name": f"name-{backup_id}",
        "instance_id": instance_id,
        "instance_name": f"name-{instance_id}",
        "datastore_type": "cassandra",
        "datastore_version": "3.11",
        "backup_type": "Auto",
        "backup_level": "Instance",
        "status": "COMPLETED",
        "size_kb": 1048576.0,
        "begin_time": begin,
        "end_time": begin + timedelta(hours=1) if begin else None,
        "begin_date": begin.date() if begin else None,
        "first_seen_at": begin,
        "updated_at": begin,
        "gone_at": None,
    }
    row.update(other)
    if row["status"] != "COMPLETED" and "end_time" not in other:
        row["end_time"] = None
    return row


def instance(instance_id: str, **other: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "project_id": PROJECT,
        "instance_id": instance_id,
        "instance_name": f"name-{instance_id}",
        "status": "normal",
        "mode": "Cluster",
        "region": "eu-west-101",
        "datastore_type": "cassandra",
        "datastore_version": "3.11",
        "created_at": at("2026-01-01 00:00"),
        "first_seen_at": at("2026-02-01 00:00"),
        "updated_at": at("2026-02-01 00:00"),
    }
    return row | other


def policy(instance_id: str, **other: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "project_id": PROJECT,
        "instance_id": instance_id,
        "is_enabled": True,
        "keep_days": 7,
        "start_time": "02:00-03:00",
        "window_start": "02:00",
        "period": "1,2,3,4,5,6,7",
        "first_seen_at": at("2026-02-01 00:00"),
        "updated_at": at("2026-02-01 00:00"),
    }
    return row | other


def policy_change(
    instance_id: str, field: str, old: str | None, new: str | None, **other: Any
) -> dict[str, Any]:
    """One row of `backup_policy_changes`; give `seen_at`."""
    row = {
        "project_id": PROJECT,
        "instance_id": instance_id,
        "field": field,
        "old_value": old,
        "new_value": new,
    } | other
    return {"old_seen_at": row["seen_at"] - timedelta(days=1)} | row


def run(as_of: datetime, *, verdict: str = "complete", **other: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run_id": as_of.strftime("%Y%m%dT%H%M%S%fZ"),
        "project_id": PROJECT,
        "endpoint": "https://gaussdb-nosql.example.test",
        "started_at": as_of,
        "finished_at": as_of + timedelta(minutes=1),
        "as_of": as_of,
        "duration_s": 60.0,
        "is_full": False,
        "is_guarded": False,
        "verdict": verdict,
        "tool_version": "0",
    }
    return row | other


def make_lake(
    root: Path,
    *,
    backups: Iterable[Row] = (),
    databases: Iterable[Row] = (),
    tables: Iterable[Row] = (),
    instances: Iterable[Row] | None = None,
    policies: Iterable[Row] | None = None,
    policy_changes: Iterable[Row] | None = None,
    runs: Iterable[Row] = (),
) -> Path:
    """Write the rows as a lake; None for instances or policies means that no file exists."""
    root.mkdir(parents=True, exist_ok=True)
    for name, rows in (
        ("backups", backups),
        ("backup_databases", databases),
        ("backup_tables", tables),
    ):
        write_partitions(root, name, table_of(rows, SCHEMAS[name]))
    for name, some, schema in (
        ("instances", instances, INSTANCES),
        ("backup_policies", policies, BACKUP_POLICIES),
        ("backup_policy_changes", policy_changes, BACKUP_POLICY_CHANGES),
    ):
        if some is not None:
            rows = list(some)
            (root / name).mkdir()
            for project in {row["project_id"] for row in rows} or {PROJECT}:
                mine = [row for row in rows if row["project_id"] == project]
                pq.write_table(table_of(mine, schema), root / name / f"{project}.parquet")
    for row in runs:
        folder = root / "sync_runs" / f"date={row['as_of'].date()}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{row['project_id']}-{row['run_id']}.parquet"
        pq.write_table(table_of([row], SYNC_RUNS), path)
    return root


def table_of(rows: Iterable[Row], schema: pa.Schema) -> pa.Table:
    rows = list(rows)
    return pa.table(
        {
            field.name: pa.array([row.get(field.name) for row in rows], _plain(field.type))
            for field in schema
        }
    ).cast(schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def write_partitions(root: Path, name: str, table: pa.Table) -> None:
    """One file per project and UTC day, sorted as the lake sorts."""
    if not table.num_rows:
        return
    days = pc.fill_null(table["begin_date"], date(1970, 1, 1)).combine_chunks()
    projects = table["project_id"].combine_chunks()
    keyed = table.append_column("_day", days)
    for project in pc.unique(projects).to_pylist():
        mine = keyed.filter(pc.equal(keyed["project_id"], project)).sort_by("_day")
        own_days = mine["_day"].to_numpy()
        starts = np.flatnonzero(np.r_[True, own_days[1:] != own_days[:-1]])
        for start, stop in zip(starts, np.r_[starts[1:], len(own_days)], strict=True):
            folder = root / name / f"date={own_days[start]}"
            folder.mkdir(parents=True, exist_ok=True)
            part = mine.slice(start, stop - start).drop_columns("_day")
            pq.write_table(part, folder / f"{project}.parquet", compression="zstd")


def make_big_lake(root: Path, *, backups: int, instances: int = 2_000, seed: int = 7) -> Path:
    """A fleet of that many daily backups with policies, failures, losses and manual ones.

    Automated backups are kept 30 days; the lake has been synced every day from the start.
    """
    random = np.random.default_rng(seed)
    days = backups // instances
    now = np.datetime64("2026-03-10T12:00:00", "us")
    first = np.datetime64("2026-03-10", "D") - np.timedelta64(days - 1, "D")
    which = np.tile(np.arange(instances), days)
    day = np.repeat(np.arange(days), instances)
    count = len(which)
    hour = random.integers(0, 24, instances)
    begin = (
        (first + day.astype("timedelta64[D]")).astype("datetime64[us]")
        + hour[which].astype("timedelta64[h]").astype("timedelta64[us]")
        + random.integers(0, 3_600_000_000, count).astype("timedelta64[us]")
    )
    begin = np.minimum(begin, now - np.timedelta64(60, "m"))
    duration_s = (600 + 30 * (which % 97)) * random.lognormal(0, 0.2, count)
    end = begin + (duration_s * 1e6).astype("timedelta64[us]")
    is_manual = random.random(count) < 0.03
    status = np.where(random.random(count) < 0.02, "FAILED", "COMPLETED")
    status[(day == days - 1) & (random.random(count) < 0.01)] = "BUILDING"
    gone = begin + np.timedelta64(30, "D") + np.timedelta64(6, "h")
    has_gone = (gone < now) & ~is_manual
    ids = np.array([f"{n:032x}br01" for n in range(count)])
    instance_ids = np.array([f"{n * 7919:032x}in06" for n in range(instances)])
    names = np.array([f"orders-{n:05d}" for n in range(instances)])
    engines = np.array(["cassandra", "mongodb", "influxdb", "redis"])[np.arange(instances) % 4]
    versions = np.array(["3.11", "4.0", "1.7", "6.2"])[np.arange(instances) % 4]
    size_kb = (
        (1 + which % 50) * 1e6 * (1 + day / max(days, 1) / 4) * random.lognormal(0, 0.05, count)
    )
    columns = {
        "project_id": pa.array(np.full(count, PROJECT)),
        "backup_id": pa.array(ids),
        "name": pa.array(np.char.add("backup-", ids)),
        "instance_id": pa.array(instance_ids[which]),
        "instance_name": pa.array(names[which]),
        "datastore_type": pa.array(engines[which]),
        "datastore_version": pa.array(versions[which]),
        "backup_type": pa.array(np.where(is_manual, "Manual", "Auto")),
        "backup_level": pa.array(np.full(count, "Instance")),
        "status": pa.array(status),
        "size_kb": pa.array(np.where(status == "COMPLETED", size_kb, 0.0)),
        "begin_time": _times(begin),
        "end_time": _times(end, status == "BUILDING"),
        "begin_date": pa.array(begin.astype("datetime64[D]")),
        "first_seen_at": _times(end),
        "updated_at": _times(end),
        "gone_at": _times(gone, ~has_gone),
    }
    schema = SCHEMAS["backups"]
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in schema
    ]
    write_partitions(root, "backups", pa.Table.from_arrays(arrays, schema=schema))
    start = at(str(first))
    fleet = [
        instance(
            str(instance_ids[n]),
            instance_name=str(names[n]),
            datastore_type=str(engines[n]),
            created_at=start - timedelta(days=30),
            first_seen_at=start,
            updated_at=start,
        )
        for n in range(instances)
    ]
    rules = [
        policy(
            str(instance_ids[n]),
            keep_days=30,
            window_start=f"{hour[n]:02d}:00",
            start_time=f"{hour[n]:02d}:00-{(hour[n] + 1) % 24:02d}:00",
            first_seen_at=start,
            updated_at=start,
        )
        for n in range(instances)
    ]
    end_of_time = at("2026-03-10 12:00")
    runs = [run(end_of_time - timedelta(days=n)) for n in range(days)]
    return make_lake(root, instances=fleet, policies=rules, runs=runs)


def _times(values: np.ndarray, nulls: np.ndarray | None = None) -> pa.Array:
    return pa.array(values.astype("datetime64[us]"), mask=nulls).cast(pa.timestamp("us", "UTC"))


def connect_rows(**rows: Iterable[Row]) -> duckdb.DuckDBPyConnection:
    """The views over rows in memory, without a lake on disk; names as for `make_lake`."""
    connection = duckdb.connect()
    declare_views(connection)
    _insert_rows(connection, rows)
    return connection


@contextmanager
def borrow_views(**rows: Iterable[Row]) -> Iterator[duckdb.DuckDBPyConnection]:
    """As `connect_rows`, on one connection that every test leaves as it was: views take a while."""
    connection = _shared_views()
    connection.begin()
    try:
        _insert_rows(connection, rows)
        yield connection
    finally:
        connection.rollback()


@cache
def _shared_views() -> duckdb.DuckDBPyConnection:
    return connect_rows()


def _insert_rows(connection: duckdb.DuckDBPyConnection, rows: Mapping[str, Iterable[Row]]) -> None:
    for name, table, schema in (
        ("backups", "backups", SCHEMAS["backups"]),
        ("instances", "instances", INSTANCES),
        ("policies", "backup_policies", BACKUP_POLICIES),
        ("policy_changes", "backup_policy_changes", BACKUP_POLICY_CHANGES),
        ("runs", "sync_runs", SYNC_RUNS),
    ):
        insert_arrow(connection, table, table_of(rows.get(name, ()), schema))


def rows_of(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """A query's rows as dicts."""
    return connection.sql(query).to_arrow_table().to_pylist()
