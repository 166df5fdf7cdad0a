"""A lake held in memory, set back to a past moment: what came later is taken out, what changed is undone.

In: a connection that holds the rows, and a moment. Out: the same, as it was then; only the columns of
backups are as last seen, because the lake keeps no older version of them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# Columns that are undone, by table and the table of its changes.
_UNDONE = {
    ("backup_policies", "backup_policy_changes"): (
        "is_enabled", "keep_days", "window_start", "period", "start_time"
    ),
    ("instances", "instance_changes"): ("instance_name", "enterprise_project_id", "status"),
}  # fmt: skip


def set_back(
    connection: duckdb.DuckDBPyConnection, as_of: datetime | None, first: date
) -> datetime | None:
    """Set the lake back to a moment (None: its last), let the views reach back to a day; tell the moment."""
    ((now_at,),) = connection.execute("SELECT now_at FROM v_now").fetchall()
    moment = as_of.replace(tzinfo=None) if as_of else now_at
    if moment is not None:
        _undo(connection, moment)
    connection.execute(
        # no further back than there is anything: a day of the year 1 would make a row for each since
        "UPDATE settings SET history_days = greatest(history_days, "
        "(SELECT today FROM v_now) - greatest(?::DATE, (SELECT min(moment)::DATE FROM ("
        "SELECT begin_time AS moment FROM backups UNION ALL SELECT as_of FROM sync_runs "
        "UNION ALL SELECT created_at FROM instances))) + 1)",
        [first],
    )
    return moment.replace(tzinfo=UTC) if moment else None


def _undo(connection: duckdb.DuckDBPyConnection, moment: datetime) -> None:
    run = connection.execute
    run("DELETE FROM sync_runs WHERE as_of > ?", [moment])
    for (table, changes), columns in _UNDONE.items():
        for column in columns:
            run(
                f"UPDATE {table} AS t SET {column} = c.old.value FROM ("  # noqa: S608 - our names
                "SELECT project_id, instance_id, arg_min({'value': old_value}, "
                "{'seen_at': seen_at, 'old_seen_at': old_seen_at}) AS old "
                f"FROM {changes} WHERE field = ? AND seen_at > ? GROUP BY ALL) AS c "
                "WHERE t.project_id = c.project_id AND t.instance_id = c.instance_id",
                [column, moment],
            )
        run(f"DELETE FROM {changes} WHERE seen_at > ?", [moment])  # noqa: S608 - our names
        run(
            f"UPDATE {table} AS t SET updated_at = coalesce((SELECT max(c.seen_at) FROM {changes} "  # noqa: S608 - our names
            "AS c WHERE c.project_id = t.project_id AND c.instance_id = t.instance_id "
            "AND c.field <> 'is_readable'), "
            "t.first_seen_at) WHERE t.updated_at > ?",
            [moment],
        )
    for table in ("backups", "instances", "backup_policies"):
        run(f"DELETE FROM {table} WHERE first_seen_at > ?", [moment])  # noqa: S608 - our names
        run(f"UPDATE {table} SET gone_at = NULL WHERE gone_at > ?", [moment])  # noqa: S608 - our names
