"""Flattening alone: the same pages through this package, json_normalize, polars and DuckDB.

Every way gives backups, databases and tables as columns in memory. Interleaved rounds, wall and CPU.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from statistics import median

import duckdb
import pandas as pd
import polars as pl

from backup_frames.frames.flatten import flatten_pages
from backup_frames.sandbox import Sandbox

ROUNDS = 5

Counts = tuple[int, int, int]


def ours(bodies: list[bytes]) -> Counts:
    backups, databases, tables = flatten_pages(bodies, project_id="p", level="Instance")
    return backups.num_rows, databases.num_rows, tables.num_rows


def json_normalize(bodies: list[bytes]) -> Counts:
    rows = [row for body in bodies for row in json.loads(body)["backups"]]
    backups = pd.json_normalize(rows)
    for name in ("begin_time", "end_time"):
        backups[name] = pd.to_datetime(backups[name], utc=True)
    held = [row for row in rows if row["database_tables"]]
    databases = pd.json_normalize(held, "database_tables", ["id"])
    tables = databases.explode("table_names").dropna(subset="table_names")
    return len(backups), len(databases), len(tables)


def with_polars(bodies: list[bytes]) -> Counts:
    entry = pl.Struct({"database_name": pl.String, "table_names": pl.List(pl.String)})
    row = dict.fromkeys(
        [
            *("id", "name", "instance_id", "instance_name", "type", "begin_time", "end_time"),
            *("status", "description"),
        ],
        pl.String,
    )
    row |= {"size": pl.Float64, "database_tables": pl.List(entry)}
    row |= {"datastore": pl.Struct({"type": pl.String, "version": pl.String})}
    schema = {"total_count": pl.Int64, "backups": pl.List(pl.Struct(row))}
    pages = pl.read_ndjson(io.BytesIO(b"\n".join(bodies)), schema=schema)
    rows = pages.explode("backups").unnest("backups")
    backups = rows.unnest("datastore", separator="_").with_columns(
        pl.col("begin_time", "end_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%z", strict=False)
    )
    held = rows.select("id", "database_tables").filter(pl.col("database_tables").list.len() > 0)
    databases = held.explode("database_tables").unnest("database_tables")
    tables = databases.explode("table_names").drop_nulls("table_names")
    return len(backups), len(databases), len(tables)


def with_duckdb(bodies: list[bytes]) -> Counts:
    pages = pl.DataFrame({"body": [body.decode() for body in bodies]}).to_arrow()
    con = duckdb.connect()
    con.register("pages", pages)
    shape = (
        '[{"id":"VARCHAR","name":"VARCHAR","instance_id":"VARCHAR","instance_name":"VARCHAR",'
        '"datastore":{"type":"VARCHAR","version":"VARCHAR"},"type":"VARCHAR","begin_time":"VARCHAR",'
        '"end_time":"VARCHAR","status":"VARCHAR","size":"DOUBLE","description":"VARCHAR",'
        '"database_tables":[{"database_name":"VARCHAR","table_names":["VARCHAR"]}]}]'
    )
    con.execute(
        "CREATE TABLE b AS SELECT unnest(from_json(body->'$.backups', ?), recursive := false) AS r "
        "FROM pages",
        [shape],
    )
    backups = con.sql(
        "SELECT r.*, strptime(r.begin_time, '%Y-%m-%dT%H:%M:%S%z') FROM b"
    ).to_arrow_table()
    con.execute("CREATE TABLE d AS SELECT r.id, unnest(r.database_tables) AS e FROM b")
    databases = con.sql("SELECT id, e.* FROM d").to_arrow_table()
    tables = con.sql("SELECT id, unnest(e.table_names) FROM d").to_arrow_table()
    return backups.num_rows, databases.num_rows, tables.num_rows


def rates() -> dict[str, tuple[float, float]]:
    """Rows per wall second and microseconds of CPU per row, by way: medians of the rounds."""
    with Sandbox(backups=60_000, seed=4) as box:
        records = box.fleet.records()
    bodies = [
        json.dumps({"total_count": len(records), "backups": records[i : i + 100]}).encode()
        for i in range(0, len(records), 100)
    ]
    odd = [body.replace(b'"status":', b'"zone": "a", "status":') for body in bodies]
    ways: dict[str, Callable[[list[bytes]], Counts]] = {
        "backup_frames": ours,
        "backup_frames, one unknown field": lambda _: ours(odd),
        "polars": with_polars,
        "duckdb": with_duckdb,
        "pandas json_normalize": json_normalize,
    }
    walls: dict[str, list[float]] = {name: [] for name in ways}
    cpus: dict[str, list[float]] = {name: [] for name in ways}
    counts: set[Counts] = set()
    for _ in range(ROUNDS):
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            counts.add(way(bodies))
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    assert len(counts) == 1, counts
    return {
        name: (len(records) / median(walls[name]), 1e6 * median(cpus[name]) / len(records))
        for name in ways
    }


if __name__ == "__main__":
    for name, (rows, micros) in rates().items():
        print(f"{name:24} {rows:>12,.0f} rows/s {micros:8.2f} us CPU/row")
