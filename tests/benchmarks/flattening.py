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


def ours(bodies: list[bytes]) -> None:
    flatten_pages(bodies, project_id="p", level="Instance")


def json_normalize(bodies: list[bytes]) -> None:
    rows = [row for body in bodies for row in json.loads(body)["backups"]]
    frame = pd.json_normalize(rows)
    for name in ("begin_time", "end_time"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    held = [row for row in rows if row["database_tables"]]
    if held:
        pd.json_normalize(held, "database_tables", ["id"]).explode("table_names")


def with_polars(bodies: list[bytes]) -> None:
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
    backups = pages.explode("backups").unnest("backups").unnest("datastore", separator="_")
    backups.with_columns(
        pl.col("begin_time", "end_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%z", strict=False)
    )
    entries = backups.select("id", "database_tables").explode("database_tables")
    entries.unnest("database_tables").explode("table_names")


def with_duckdb(bodies: list[bytes]) -> None:
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
    con.sql("SELECT r.*, strptime(r.begin_time, '%Y-%m-%dT%H:%M:%S%z') FROM b").to_arrow_table()
    con.sql("SELECT r.id, unnest(r.database_tables) FROM b").to_arrow_table()


def rates() -> dict[str, tuple[float, float]]:
    """Rows per wall second and microseconds of CPU per row, by way: medians of the rounds."""
    with Sandbox(backups=60_000, seed=4) as box:
        records = box.fleet.records()
    bodies = [
        json.dumps({"total_count": len(records), "backups": records[i : i + 100]}).encode()
        for i in range(0, len(records), 100)
    ]
    ways: dict[str, Callable[[list[bytes]], None]] = {
        "backup_frames": ours,
        "polars": with_polars,
        "duckdb": with_duckdb,
        "pandas json_normalize": json_normalize,
    }
    walls: dict[str, list[float]] = {name: [] for name in ways}
    cpus: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            way(bodies)
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    return {
        name: (len(records) / median(walls[name]), 1e6 * median(cpus[name]) / len(records))
        for name in ways
    }


if __name__ == "__main__":
    for name, (rows, micros) in rates().items():
        print(f"{name:24} {rows:>12,.0f} rows/s {micros:8.2f} us CPU/row")
