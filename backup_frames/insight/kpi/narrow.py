"""A lake held in memory, narrowed to the instances of one owner or enterprise project.

In: a connection that holds the rows. Out: the same without the others' instances and backups, and
without the runs of projects that have none of theirs; now stays the moment of the whole lake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...errors import QueryError
from ...lake.storage.layout import INVENTORY_NAMES, RUNS, TABLE_NAMES

if TYPE_CHECKING:
    import duckdb

_FITS: Final = (
    "coalesce(owner = $owner, $owner IS NULL) "
    "AND coalesce(enterprise_project_id = $enterprise_project_id, $enterprise_project_id IS NULL)"
)


def narrow_to(
    connection: duckdb.DuckDBPyConnection, owner: str | None, enterprise_project_id: str | None
) -> None:
    """Leave only what belongs to an owner, to an enterprise project, or to both; None: to any.

    Raises:
        QueryError: no instance fits; else a name that is misspelled would have no exceptions.
    """
    if owner is None and enterprise_project_id is None:
        return
    run = connection.execute
    wanted = {"owner": spelled(owner), "enterprise_project_id": spelled(enterprise_project_id)}
    run(
        "CREATE TEMP TABLE narrowed AS SELECT project_id, instance_id FROM v_instance_ledger "  # noqa: S608 - our text
        f"WHERE instance_id IS NOT NULL AND {_FITS}",
        wanted,
    )
    check_fits(connection, "narrowed", owner, enterprise_project_id)
    ((now_at,),) = run("SELECT now_at FROM v_now").fetchall()
    if now_at is not None:
        moment = f"TIMESTAMP '{now_at.isoformat(sep=' ')}'"
        run(f"CREATE OR REPLACE MACRO now_of(last_as_of, now_without_runs) AS {moment}")
    # what the runs counted is of all: afterwards the others' backups would count as lost
    views = run(
        "SELECT count(*) FROM duckdb_views() WHERE view_name = 'v_watched_daily'"
    ).fetchall()
    if views[0][0]:
        run("CREATE TABLE watched AS FROM v_watched_daily SEMI JOIN narrowed USING (project_id)")
        run("CREATE OR REPLACE VIEW v_watched_daily AS FROM watched")
    for table in ("backups", *INVENTORY_NAMES):
        run(
            f"DELETE FROM {table} AS t WHERE NOT EXISTS (FROM narrowed AS n "  # noqa: S608 - our names
            "WHERE n.project_id = t.project_id AND n.instance_id = t.instance_id)"
        )
    for table in set(TABLE_NAMES) - {"backups"}:
        run(
            f"DELETE FROM {table} AS t WHERE NOT EXISTS (FROM backups AS b "  # noqa: S608 - our names
            "WHERE b.project_id = t.project_id AND b.backup_id = t.backup_id)"
        )
    for table in (RUNS, "lake_files", "expected_project"):
        run(f"DELETE FROM {table} WHERE project_id NOT IN (SELECT project_id FROM narrowed)")  # noqa: S608 - our names


def spelled(name: str | None) -> str | None:
    """A name as the engine takes it: with halves of characters, as a shell may hand on, spelled out."""
    return None if name is None else name.encode("utf-8", "backslashreplace").decode()


def check_fits(
    connection: duckdb.DuckDBPyConnection,
    instances: str,
    owner: str | None,
    enterprise_project_id: str | None,
) -> None:
    """Refuse an owner or enterprise project of whom the table `instances` has none.

    Raises:
        QueryError: it names the owners that there are.
    """
    if owner is None and enterprise_project_id is None:
        return
    ((count,),) = connection.execute(f"SELECT count(*) FROM {instances}").fetchall()  # noqa: S608 - our name
    if count:
        return
    asked = [f"owner {owner!r}"] if owner is not None else []
    if enterprise_project_id is not None:
        asked.append(f"enterprise project {enterprise_project_id!r}")
    owners = connection.execute("SELECT DISTINCT owner FROM owner_rule ORDER BY 1").fetchall()
    known = ", ".join(repr(one) for (one,) in owners[:20]) or "none"
    raise QueryError(
        f"No instance belongs to {' and '.join(asked)}. The config file's owners are: {known}."
    )
