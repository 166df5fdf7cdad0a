"""The lake's tables as relations of a DuckDB connection, typed and described, present or not.

In: a lake URL. Out: `backups`, `backup_databases`, `backup_tables`, `sync_runs`, `instances` and
`backup_policies`, as views over the lake's Parquet by absolute or ``s3://`` path, or as tables that
hold the rows. A table that has no file yet is an empty relation with the right types, so that every
KPI view works on every lake. Delta Lake and Iceberg can only be held: DuckDB's own readers of them
are extensions that it would have to fetch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from backup_frames.errors import LakeError
from backup_frames.frames.schema import BACKUPS, TABLES, TIMESTAMP, with_ledger
from backup_frames.lake.formats import open_lake_store
from backup_frames.lake.layout import INVENTORY_NAMES, RUNS, known_projects, parse_key
from backup_frames.lake.store import Store
from backup_frames.lake.store_url import local_root, scheme_of

#: Every base relation with its columns as they stand in a lake.
RELATIONS: dict[str, pa.Schema] = {**TABLES, "backups": with_ledger(BACKUPS)}

_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    TIMESTAMP: "TIMESTAMP",
}
# Only what the lake's layout names: a stray file beside the data must not break a reader.
_DAY = "date=" + "-".join(("[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2))
# A project's id as Huawei gives it. Other writers' names (part-0, data_0) are none.
_PROJECT_ID, _ANY_ID = "[0-9a-f]" * 32, "[-A-Za-z0-9_]*"


def _find_root(lake: str) -> Path | None:
    """The lake's folder, absolute; None if the lake lives in an object store.

    Raises:
        LakeError: the folder does not exist.
    """
    if scheme_of(lake) in ("s3", "obs"):
        return None
    root = local_root(lake)
    if not root.is_dir():
        raise LakeError(
            f"There is no lake at {root}. Run `backup-frames sync --lake {lake}` first."
        )
    return root


def create_relations(
    connection: duckdb.DuckDBPyConnection, lake: str, *, is_materialized: bool
) -> bool:
    """Create all base relations in the connection's current database.

    Args:
        connection: where to.
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        is_materialized: hold the rows (one read of the whole lake) instead of pointing at files.

    Returns:
        Whether the rows are held: as asked, and always of a lake of format delta or iceberg, which
        DuckDB reads only with extensions that it would have to fetch.

    Raises:
        LakeError: no such lake, or an unreadable file.
        MissingExtraError: views into a bucket are made with fsspec.
    """
    root = _find_root(lake)
    store = open_lake_store(lake, scratch="_meta/insight/tmp")
    is_plain = store.format == "parquet"
    place = str(root)
    projects = known_projects(file.key for file in store.list("_meta"))
    # without records, as in a folder of exported files, the ids are not known
    is_usual = bool(projects) and all(fnmatchcase(one, _PROJECT_ID) for one in projects)
    if root is None and is_plain and not is_materialized:
        from .bucket import attach_bucket  # noqa: PLC0415 - needs an extra

        place = attach_bucket(connection, lake, store)
    for name, schema in RELATIONS.items():
        if not is_plain or (root is None and is_materialized):
            _hold_files(connection, store, name, schema)
            continue
        glob = _glob(place, name, _PROJECT_ID if is_usual else _ANY_ID)
        ((last,),) = connection.execute(f"SELECT max(file) FROM glob({glob})").fetchall()  # noqa: S608 - quoted
        source = _source(connection, glob, name) if last else None
        if name == RUNS and source and not is_materialized:
            _point_at_runs(connection, source, last.rpartition("/")[0])
        else:
            kind = "TABLE" if is_materialized else "VIEW"
            connection.execute(f"CREATE {kind} {name} AS {source or _empty(schema)}")
    return is_materialized or not is_plain


def create_arrow_relations(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]
) -> None:
    """Create all base relations as tables from Arrow; a missing table or column is empty."""
    for name, schema in RELATIONS.items():
        connection.execute(f"CREATE TABLE {name} AS {_empty(schema)}")
        if name in tables:
            insert_arrow(connection, name, tables[name])


def quoted(text: str) -> str:
    """The text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _glob(place: str, name: str, project_id: str) -> str:
    """The pattern of a table's files, as an SQL literal."""
    # The folder is a name, not a pattern; DuckDB knows no other escape than a set of one.
    folder = "".join(f"[{char}]" if char in "*?[" else char for char in place)
    if name in INVENTORY_NAMES:
        return quoted(f"{folder}/{name}/{project_id}.parquet")
    run_id = f"-{'[0-9]' * 8}T*" if name == RUNS else ""
    return quoted(f"{folder}/{name}/{_DAY}/{project_id}{run_id}.parquet")


def _source(connection: duckdb.DuckDBPyConnection, glob: str, name: str) -> str:
    """SQL that selects the table's rows from its files; what the first file lacks is null."""
    filename = name == RUNS
    parquet = f"read_parquet({glob}, hive_partitioning = false, filename = {filename})"
    first = connection.execute(f"SELECT * FROM {parquet} LIMIT 0")  # noqa: S608 - a quoted glob
    columns = _columns(RELATIONS[name], [column[0] for column in first.description or ()])
    return f"SELECT {columns} FROM {parquet}"  # noqa: S608 - our columns, a quoted glob


def _point_at_runs(connection: duckdb.DuckDBPyConnection, source: str, last_day: str) -> None:
    """Hold the runs of closed days, and read only later files with each query.

    Every view asks for the last run; hourly runs leave 8,760 small files a year.
    """
    limit = quoted(last_day)  # the folder of the last day, whose runs are not all there yet
    connection.execute(f"CREATE TABLE sync_runs_held AS {source} WHERE filename < {limit}")
    connection.execute(
        "COMMENT ON TABLE sync_runs_held IS 'The runs of days before the last one when this was "
        "published; sync_runs adds the later ones from the lake.'"
    )
    connection.execute(
        f"CREATE VIEW sync_runs AS FROM sync_runs_held UNION ALL {source} WHERE filename >= {limit}"
    )


def _columns(schema: pa.Schema, stored: Sequence[str]) -> str:
    """The columns as SQL, times as UTC without zone; null where the files lack one.

    With a zone, every tool would show them in its own, and Python's `fetchall` would want pytz.
    """
    return ", ".join(
        f"NULL::{_SQL_TYPES[field.type]} AS {field.name}"
        if field.name not in stored
        else f"make_timestamp(epoch_us({field.name})) AS {field.name}"
        if field.type == TIMESTAMP
        else field.name
        for field in schema
    )


def _empty(schema: pa.Schema) -> str:
    return f"SELECT {_columns(schema, ())} WHERE false"


def _hold_files(
    connection: duckdb.DuckDBPyConnection, store: Store, name: str, schema: pa.Schema
) -> None:
    connection.execute(f"CREATE TABLE {name} AS {_empty(schema)}")
    for file in store.list(name):
        parts = parse_key(file.key)
        if parts is None or parts.table != name or (data := store.read(file.key)) is None:
            continue
        try:
            table = pq.read_table(pa.BufferReader(data))
        except pa.ArrowException as error:
            raise LakeError(
                f"{file.key} is not readable as Parquet: {error}. Run `backup-frames verify`.",
                path=file.key,
            ) from error
        insert_arrow(connection, name, table)


def insert_arrow(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Append Arrow rows to a base relation that is a table; columns it lacks become null."""
    columns = _columns(RELATIONS[name], table.column_names)
    connection.register("_incoming", table)
    connection.execute(f"INSERT INTO {name} SELECT {columns} FROM _incoming")  # noqa: S608 - our columns
    connection.unregister("_incoming")
