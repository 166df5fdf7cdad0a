"""Read-only SQL over a lake's KPI views, for whoever wants a number without Python.

In: a lake and one SELECT. Out: an Arrow table. Without SQL: the list of views and what they answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from typing import Final

import duckdb
import pyarrow as pa

from ...errors import QueryError
from ...settings.owners import Attestation, OwnerRule
from ...whole_files import is_utf8, path_text
from .catalog import INNER, declare_views
from .publish import error_text, open_views
from .relations import create_relations, open_memory

_CATALOGUE: Final = f"""
    SELECT name, description FROM (
        SELECT view_name AS name, comment AS description FROM duckdb_views() WHERE NOT internal
        UNION ALL
        SELECT table_name, comment FROM duckdb_tables() WHERE NOT internal
    )
    WHERE description IS NOT NULL AND name NOT IN {(*sorted(INNER), "sync_runs_held")}
    ORDER BY name <> 'v_readme', name NOT LIKE 'v\\_%' ESCAPE '\\', name
"""  # noqa: S608 - names of ours
# Words of a parsed query that may list what there is, or read its descriptions.
_LISTING: Final = r"show_ref|information_schema|(?:duckdb|pg|pragma|sqlite)_\w+"
#: What DuckDB raises for a query that no lake answers.
_OF_SQL: Final = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)


def query_lake(
    lake: str | PathLike[str],
    sql: str,
    *,
    owners: Sequence[OwnerRule] = (),
    attestations: Sequence[Attestation] = (),
    projects: Sequence[str] = (),
) -> pa.Table:
    """Answer one SQL query over a lake's tables and KPI views; nothing can be written.

    Costs what the query reads of the lake's files. Times are UTC without zone. The dialect is
    DuckDB's: ``SELECT``, ``WITH``, ``FROM``, ``DESCRIBE``, ``SUMMARIZE``, ``SHOW``.

    Args:
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        sql: one statement that reads.
        owners: who answers for which instances, as ``load_owners`` reads them.
        attestations: what people vouch for, as ``load_attestations`` reads them.
        projects: those that should be in the lake, as ``load_project_ids`` reads them.

    Returns:
        The answer's rows in its order; empty, with its columns, if there are none.

    Raises:
        QueryError: the SQL is wrong, is more than one statement, or would write or set something.
        LakeError: no lake there, or a file of it is unreadable.

    Examples:
        >>> query_lake("/data/lake", "SELECT success_rate FROM v_kpi_current")  # doctest: +SKIP
    """
    statement = _reading_statement(sql)

    def answer(only: set[str] | None) -> pa.Table:
        with open_views(
            path_text(lake, "lake"),
            materialize=False,
            owners=owners,
            attestations=attestations,
            projects=projects,
            only=only,
            follow=False,
            words=only is None,
        ) as connection:
            connection.execute("SET lock_configuration = true")
            return connection.sql(statement).to_arrow_table()

    try:
        named = _names_in(statement)
        if named is not None:
            # what is not found gets an error that knows all that there is
            with suppress(duckdb.BinderException, duckdb.CatalogException):
                return answer(named)
        return answer(None)
    except duckdb.OutOfMemoryException as error:
        raise QueryError(
            f"The memory does not suffice for the SQL: {error_text(error)} Ask for less, or give more."
        ) from error
    except duckdb.Error as error:
        is_of_sql = isinstance(error, _OF_SQL)
        advice = "lists what can be asked" if is_of_sql else "tells whether the lake is damaged"
        command = "query" if is_of_sql else "verify"
        raise QueryError(
            f"The SQL cannot be answered: {error_text(error)} `backup-frames {command}` {advice}."
        ) from error


def list_views(lake: str | PathLike[str]) -> pa.Table:
    """The tables and views that `query_lake` can ask, with what each answers: name, description."""
    with open_memory() as connection:
        declare_views(connection, words=True)
        # tells whether there is a lake
        create_relations(connection, path_text(lake, "lake"), materialize=True, only=())
        return connection.sql(_CATALOGUE).to_arrow_table()


def _names_in(sql: str) -> set[str] | None:
    """The words of a query, and so the views that it asks; None if it may list what there is."""
    with open_memory() as connection:
        ((tree,),) = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    words = set(re.findall(r"\w+", tree.lower()))
    is_parsed = tree.startswith('{"error":false')  # it knows no PIVOT
    return words if is_parsed and not any(map(re.compile(_LISTING).fullmatch, words)) else None


def _reading_statement(sql: str) -> str:
    """The one statement, if it only reads."""
    if not isinstance(sql, str) or not is_utf8(sql):
        raise QueryError(f"The SQL is {sql!r}, and no text in UTF-8; give one SELECT.")
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.OutOfMemoryException as error:
        raise MemoryError(error_text(error)) from error
    except duckdb.Error as error:
        raise QueryError(f"The SQL cannot be read: {error_text(error)}") from error
    if len(statements) != 1:
        raise QueryError(f"There are {len(statements)} statements; give one SELECT.")
    (statement,) = statements
    # DESCRIBE, SHOW and SUMMARIZE are SELECTs; EXPLAIN ANALYZE would run what it explains
    if statement.type != duckdb.StatementType.SELECT:
        kind = statement.type.name
        raise QueryError(
            f"A statement {kind} is not a query; only SELECT and its like are answered."
        )
    return sql
