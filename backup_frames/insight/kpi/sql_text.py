"""SQL text: names and values, the columns of a base relation, and the rows of its files.

In: any text; a relation's schema, its files and the columns that they have. Out: SQL that means that text and
nothing else; that selects the schema's columns with its types, whatever the files lack or call otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from ...frames.schema import RENAMED_COLUMNS, TIMESTAMP
from ...lake.storage.layout import parse_key

# Patterns, since a view shall show the files of later syncs; which of them count, manifests say.
_DAY = "date=" + "-".join(("[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2))
_RUN_ID = "[0-9]" * 8 + "T*"
_SMALL_ROWS = 1_000  # of a file; measured with files of 1 to 3,000 rows
_PART_FILES = 500  # that one thread reads at a time
_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    TIMESTAMP: "TIMESTAMP",
}


def quoted(text: str) -> str:
    """The text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def escaped(path: str) -> str:
    """The path as a pattern for itself alone; DuckDB knows no other escape than a set of one."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)


def patterns_of(place: str, keys: Sequence[str]) -> list[str]:
    """For each project that has a file among `keys`, a pattern of these and of later ones."""
    parts = [one for one in map(parse_key, keys) if one]
    names = sorted({(one.table, one.project_id, one.run_id is not None) for one in parts})
    return [
        f"{escaped(place)}/{table}/{_DAY}/{project_id}{f'-{_RUN_ID}' * is_run}.parquet"
        for table, project_id, is_run in names
    ]


def columns_of(schema: pa.Schema, stored: Sequence[str]) -> str:
    """The columns as SQL, times as UTC without zone; null where the files lack one.

    With a zone, every tool would show them in its own, and Python's `fetchall` would want pytz.
    """
    former = {new: old for old, new in RENAMED_COLUMNS.items() if old in stored}

    def column(field: pa.Field) -> str:
        names = (field.name, former.get(field.name, field.name))
        named = [name for name in dict.fromkeys(names) if name in stored]
        if not named:
            return f"NULL::{_SQL_TYPES[field.type]} AS {field.name}"
        source = f"coalesce({', '.join(named)})" if len(named) > 1 else named[0]
        if field.type == TIMESTAMP:
            source = f"make_timestamp(epoch_us({source}))"
        # views were made over the types of the schema, and refuse others
        return f"{source}::{_SQL_TYPES[field.type]} AS {field.name}"

    return ", ".join(map(column, schema))


def no_rows(schema: pa.Schema) -> str:
    """SQL that selects no rows, with the schema's columns and types."""
    return f"SELECT {columns_of(schema, ())} WHERE false"


def read_now(
    connection: duckdb.DuckDBPyConnection,
    paths: Sequence[str],
    schema: pa.Schema,
    wanted: Sequence[str] = (),
) -> str:
    """SQL that selects the rows of small files, which are read here into a database `just_read`.

    With `wanted` the other columns may be null.

    To ask thousands of them for their columns first would open each twice, so those of this version
    are taken for granted; a part with a file that lacks one is read by what each file has. They are
    read side by side, each part by one thread into a table of its own: one query would read them one
    by one, and threads that share small files wait for each other.
    """
    parts = [paths[n : n + _PART_FILES] for n in range(0, len(paths), _PART_FILES)]
    present = ", ".join(wanted or schema.names)
    connection.execute("ATTACH ':memory:' AS just_read")
    cursors = [connection.cursor() for _ in parts]

    def read(n: int) -> None:
        some = ", ".join(map(quoted, parts[n]))
        source = f"read_parquet([{some}], hive_partitioning = false, union_by_name ="
        with cursors[n] as cursor:
            create = f"CREATE TABLE just_read.part_{n} AS"
            try:
                cursor.execute(f"{create} SELECT {present} FROM {source} false)")  # noqa: S608 - our columns
            except duckdb.Error:
                cursor.execute(f"{create} FROM {source} true)")

    with _one_thread(connection), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(read, range(len(parts))))
    rows = " UNION ALL BY NAME ".join(f"FROM just_read.part_{n}" for n in range(len(parts)))
    found = connection.execute(f"FROM ({rows}) LIMIT 0").description
    columns = columns_of(schema, [column[0] for column in found or ()])
    return f"SELECT {columns} FROM ({rows})"  # noqa: S608 - our columns


def rows_of_files(
    connection: duckdb.DuckDBPyConnection,
    paths: Sequence[str],
    schema: pa.Schema,
    *,
    is_evolving: bool = False,
) -> str:
    """SQL that selects the rows of files; what they lack is null.

    Unless they are `is_evolving`, only the first is asked for its columns.
    """
    some = ", ".join(map(quoted, paths))
    parquet = (
        f"read_parquet([{some}], hive_partitioning = false, filename = true, "
        f"union_by_name = {is_evolving})"
    )
    found = connection.execute(f"SELECT * FROM {parquet} LIMIT 0")  # noqa: S608 - quoted paths
    columns = columns_of(schema, [column[0] for column in found.description or ()])
    return f"SELECT {columns} FROM {parquet}"  # noqa: S608 - our columns, quoted paths


def is_of_small_files(file_count: int, row_count: int | None) -> bool:
    """Whether a table has few rows in each of its files."""
    return row_count is not None and row_count <= _SMALL_ROWS * file_count


@contextmanager
def _one_thread(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let a query have one thread: several would take twice the processor time for small files."""
    connection.execute("SET threads = 1")
    yield  # after an error the connection is of no more use
    connection.execute("RESET threads")
