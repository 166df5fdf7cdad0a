"""SQL text: names and values, the columns of a base relation, and the rows of its files.

In: any text; a relation's schema, and the columns that files have. Out: SQL that means that text and
nothing else; that selects the schema's columns with its types, whatever the files lack or call otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from ...frames.schema import RENAMED_COLUMNS, TIMESTAMP

_SMALL_ROWS = 1_000  # of a file; measured with files of 1 to 3,000 rows
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


def read_now(connection: duckdb.DuckDBPyConnection, paths: Sequence[str], schema: pa.Schema) -> str:
    """SQL that selects the rows of small files, which are read here.

    To ask thousands of them for their columns first would open each twice.
    """
    some = ", ".join(map(quoted, paths))
    connection.execute(
        "CREATE TEMP TABLE just_read AS "
        f"FROM read_parquet([{some}], hive_partitioning = false, union_by_name = true)"
    )
    found = connection.execute("FROM just_read LIMIT 0").description
    columns = columns_of(schema, [column[0] for column in found or ()])
    return f"SELECT {columns} FROM just_read"  # noqa: S608 - our columns


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


@contextmanager
def few_threads(
    connection: duckdb.DuckDBPyConnection, file_count: int, row_count: int | None
) -> Iterator[None]:
    """Read small files by one thread: several wait for each other, and take twice the processor time."""
    if row_count is None or row_count > _SMALL_ROWS * file_count:
        yield
        return
    connection.execute("SET threads = 1")
    yield  # after an error the connection is of no more use
    connection.execute("RESET threads")
