"""Read-only SQL over a lake's KPI views, for whoever wants a number without Python.

In: a lake and one SELECT. Out: an Arrow table. Without SQL: the list of views and what they answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Final

import duckdb
import pyarrow as pa

from ...errors import QueryError
from ...settings.owners import Attestation, OwnerRule
from .catalog import INNER
from .publish import error_text, open_views

_CATALOGUE: Final = f"""
    SELECT name, description FROM (
        SELECT view_name AS name, comment AS description FROM duckdb_views() WHERE NOT internal
        UNION ALL
        SELECT table_name, comment FROM duckdb_tables() WHERE NOT internal
    )
    WHERE description IS NOT NULL AND name NOT IN {(*sorted(INNER), "sync_runs_held")}
    ORDER BY name <> 'v_readme', name NOT LIKE 'v\\_%' ESCAPE '\\', name
"""  # noqa: S608 - names of ours
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
    with open_views(
        fspath(lake),
        materialize=False,
        owners=owners,
        attestations=attestations,
        projects=projects,
        follow=False,
        words=True,
    ) as connection:
        connection.execute("SET lock_configuration = true")
        try:
            relation = connection.sql(statement)
            return relation.to_arrow_table()
        except duckdb.Error as error:
            is_of_sql = isinstance(error, _OF_SQL)
            advice = "lists what can be asked" if is_of_sql else "tells whether the lake is damaged"
            command = "query" if is_of_sql else "verify"
            raise QueryError(
                f"The SQL cannot be answered: {error_text(error)} `backup-frames {command}` {advice}."
            ) from error


def list_views(lake: str | PathLike[str]) -> pa.Table:
    """The tables and views that `query_lake` can ask, with what each answers: name, description."""
    with open_views(fspath(lake), materialize=False, follow=False, words=True) as connection:
        return connection.sql(_CATALOGUE).to_arrow_table()


def _reading_statement(sql: str) -> str:
    """The one statement, if it only reads."""
    try:
        statements = duckdb.extract_statements(sql)
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
