"""What came, changed and went in a lake since a moment, and which exceptions are new since then.

In: a lake and a moment. Out: Arrow tables of events and of exceptions. Exceptions of then are found by
the very views that find those of now, over what the lake had been told by then: a row counts from its
``first_seen_at``, and is gone from its ``gone_at``. Columns of a row are as last seen: the lake keeps
no older version of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from os import PathLike
from typing import Final, Literal, get_args

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ...api.query import parse_moment
from ...errors import QueryError
from ...settings.owners import OwnerRule
from ...settings.values import check_switches
from .catalog import declare_views, fill_settings, set_now
from .narrow import narrow_to
from .publish import open_views
from .relations import RELATIONS

Severity = Literal["high", "medium", "low"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)

_VIEW: Final = "v_exceptions"
_KEY: Final = ("kind", "project_id", "instance_id", "backup_id")
_EVENTS: Final = """
    SELECT change, happened_at, project_id, instance_id, instance_name, backup_id, backup_type,
        backup_level, status, begin_time, size_kb
    FROM (
        SELECT 'new' AS change, first_seen_at AS happened_at, * FROM backups WHERE first_seen_at > $since
        UNION ALL
        SELECT 'changed', updated_at, * FROM backups
        WHERE updated_at > $since AND first_seen_at <= $since
            AND (gone_at IS NULL OR updated_at < gone_at)
        UNION ALL
        SELECT 'gone', gone_at, * FROM backups WHERE gone_at > $since
    )
    ORDER BY happened_at DESC, project_id, begin_time DESC, backup_id
"""
_EXCEPTIONS: Final = """
    SELECT ['high', 'medium', 'low'][severity] AS severity, kind, project_id, instance_id,
        instance_name, backup_id, since, measured, limit_value, unit, message,
        opened_on, closed_on, days_open, owner, enterprise_project_id
    FROM v_exceptions
    {}
    ORDER BY v_exceptions.severity, kind, project_id, instance_name, instance_id, backup_id
"""
_IS_NEW: Final = "WHERE NOT EXISTS (FROM earlier_exceptions AS e WHERE {})".format(
    " AND ".join(f"e.{name} IS NOT DISTINCT FROM v_exceptions.{name}" for name in _KEY)
)
_SAME_SECOND: Final = """
    SELECT project_id FROM dim_project JOIN fact_sync_run USING (project_id)
    WHERE as_of = last_run_at GROUP BY project_id HAVING count(*) > 1
"""
_BEFORE_LAST_RUN: Final = """
    SELECT project_id, CASE WHEN is_repeat THEN as_of ELSE as_of - INTERVAL 1 MICROSECOND END
    FROM (
        SELECT project_id, as_of, row_number() OVER runs AS position,
            file_count = 0 AND row(as_of, verdict, reasons)
                IS NOT DISTINCT FROM lead(row(as_of, verdict, reasons)) OVER runs AS is_repeat
        FROM fact_sync_run WHERE NOT is_ahead
        WINDOW runs AS (PARTITION BY project_id ORDER BY as_of DESC, started_at DESC, run_id DESC)
    )
    WHERE position = 1
"""
# A row counts from when it was first seen; what had not left by then was there.
_EARLIER: Final = {
    "backups": """
        SELECT * REPLACE (CASE WHEN gone_at <= moment THEN gone_at END AS gone_at)
        FROM {} JOIN moments USING (project_id) WHERE first_seen_at <= moment""",
    "instances": """
        SELECT * REPLACE (CASE WHEN gone_at <= moment THEN gone_at END AS gone_at)
        FROM {} JOIN moments USING (project_id) WHERE first_seen_at <= moment""",
    "backup_policies": "SELECT * FROM {} JOIN moments USING (project_id)",
    "backup_policy_changes": """
        SELECT * FROM {} JOIN moments USING (project_id) WHERE seen_at <= moment""",
    "sync_runs": "SELECT * FROM {} JOIN moments USING (project_id) WHERE as_of <= moment",
}


@dataclass(frozen=True, slots=True)
class LakeChanges:
    """What happened in a lake since a moment.

    Attributes:
        since: the moment, aware UTC; what happened at it is not counted.
        events: one row per event, newest first: ``change`` (new, changed, gone), ``happened_at``, and the
            backup as last seen. A backup that came and went has two rows.
        exceptions: rows of ``v_exceptions`` that were none at the moment, the most severe first.
    """

    since: datetime
    events: pa.Table
    exceptions: pa.Table

    @property
    def counts(self) -> dict[str, int]:
        """Events by change; changes that did not occur are there with 0."""
        found = self.events["change"].value_counts().to_pylist()
        return {"new": 0, "changed": 0, "gone": 0} | {one["values"]: one["counts"] for one in found}


def find_changes(lake: str | PathLike[str], *, since: str | datetime | timedelta) -> LakeChanges:
    """Tell what came, changed and went since a moment, and what somebody should look at since then.

    Reads the lake once and evaluates the KPI views twice: a few seconds for a million backups.

    Args:
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        since: ``24h``, ``90m``, ``7d``, a timedelta back from now, or a moment as reads take it.

    Raises:
        QueryError: the moment cannot be read.
        LakeError: no lake there, or a file of it is unreadable.

    Examples:
        >>> find_changes("/data/lake", since="24h").counts  # doctest: +SKIP
        {'new': 31, 'changed': 4, 'gone': 29}
    """
    moment = parse_moment(since, "since")
    with open_views(lake, materialize=True, only={_VIEW}, brief=True) as connection:
        earlier_asked(connection, projects_since(connection, moment))()
        return changes_since(connection, moment)


def changes_since(connection: duckdb.DuckDBPyConnection, moment: datetime) -> LakeChanges:
    """As `find_changes`, over a connection with the KPI views that was `earlier_asked`."""
    parameters = {"since": moment.replace(tzinfo=None)}
    events = connection.sql(_EVENTS, params=parameters).to_arrow_table()
    return LakeChanges(moment, events, _new_exceptions(connection))


def projects_since(connection: duckdb.DuckDBPyConnection, moment: datetime) -> dict[str, datetime]:
    """The moment, which is aware, for each project, as `earlier_asked` takes it."""
    projects = connection.execute("SELECT project_id FROM dim_project").fetchall()
    return dict.fromkeys((project_id for (project_id,) in projects), moment)


def find_exceptions(
    lake: str | PathLike[str],
    *,
    at_least: Severity = "low",
    new: bool = False,
    owner: str | None = None,
    enterprise_project_id: str | None = None,
    owners: Sequence[OwnerRule] = (),
    projects: Sequence[str] = (),
) -> pa.Table:
    """Tell what somebody should look at: the rows of ``v_exceptions``, the most severe first.

    Args:
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        at_least: ``high``: only those; ``medium``: those and worse ones; ``low``: all.
        new: only those that were none before each project's last run.
        owner: only those of this owner's instances, and of the projects that they are in.
        enterprise_project_id: likewise of this enterprise project.
        owners: who answers for which instances, as ``load_owners`` reads them.
        projects: those that should be in the lake, as ``load_project_ids`` reads them.

    Raises:
        QueryError: there is no such severity, or no instance belongs to whom is asked for.
        LakeError: no lake there, or a file of it is unreadable.

    Examples:
        >>> find_exceptions("/data/lake", at_least="high").num_rows  # doctest: +SKIP
        0
    """
    check_switches(new=new)
    if at_least not in SEVERITIES:
        raise QueryError(f"There is no severity {at_least!r}. Choose high, medium or low.")
    with open_views(
        lake, materialize=True, owners=owners, projects=projects, only={_VIEW}, brief=True
    ) as connection:
        narrow_to(connection, owner, enterprise_project_id)
        if new:
            earlier_asked(connection, _before_last_runs(connection, lake))()
            found = _new_exceptions(connection)
        else:
            found = connection.sql(_EXCEPTIONS.format("")).to_arrow_table()
    wanted = SEVERITIES[: SEVERITIES.index(at_least) + 1]
    return found.filter(pc.is_in(found["severity"], value_set=pa.array(wanted)))


def _before_last_runs(
    connection: duckdb.DuckDBPyConnection, lake: str | PathLike[str]
) -> dict[str, datetime]:
    """The moment, for each project, up to which its lake told what its last run did not tell first.

    Moments are whole seconds. A run of the same second as the one before it, which wrote no file and
    ended as that one did, told nothing; otherwise nobody knows what of that second is its own, so all
    is told.
    """
    with ExitStack() as stack:
        if connection.execute(_SAME_SECOND).fetchone():  # what a run found is not in its brief
            connection = stack.enter_context(
                open_views(lake, materialize=True, only={"fact_sync_run"}, follow=False)
            )
        runs = connection.execute(_BEFORE_LAST_RUN).fetchall()
    return {project_id: moment.replace(tzinfo=UTC) for project_id, moment in runs}


def _new_exceptions(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The exceptions of now that were none at each project's moment."""
    return connection.sql(_EXCEPTIONS.format(_IS_NEW)).to_arrow_table()


def earlier_asked(
    connection: duckdb.DuckDBPyConnection, then: Mapping[str, datetime]
) -> Callable[[], None]:
    """Call it to hold in `earlier_exceptions` the keys of what the views find in the lake as of then.

    It asks the relations alone, by a cursor of its own: another thread may call it while this one asks
    the views.
    """
    found = connection.execute(
        "SELECT * FROM settings CROSS JOIN (SELECT current_database() AS now)"
    )
    names = [column[0] for column in found.description]
    *values, now = found.fetchall()[0]
    numbers = {n: v for n, v in zip(names, values, strict=False) if isinstance(v, int | float)}
    return partial(_hold_earlier, connection.cursor(), now, then, numbers)


def _hold_earlier(
    cursor: duckdb.DuckDBPyConnection,
    now: str,
    then: Mapping[str, datetime],
    numbers: Mapping[str, float],
) -> None:
    """They stand in a database beside the lake's, `now`, for so long: no row leaves the engine."""
    with cursor as earlier:
        run = earlier.execute
        run("ATTACH ':memory:' AS earlier")
        try:
            run("USE earlier")
            declare_views(earlier, only={_VIEW})
            run(
                "CREATE TABLE moments AS SELECT unnest(?) AS project_id, unnest(?)::TIMESTAMP AS moment",
                [list(then), [at.replace(tzinfo=None) for at in then.values()]],
            )
            for name, query in _EARLIER.items():
                columns = ", ".join(RELATIONS[name].names)
                source = f"{now}.main.{name}"
                run(f"INSERT INTO {name} SELECT {columns} FROM ({query.format(source)})")  # noqa: S608 - our names
            run(f"INSERT INTO expected_project FROM {now}.main.expected_project")
            fill_settings(earlier, numbers)
            set_now(earlier)
            held = f"{now}.main.earlier_exceptions"
            run(f"CREATE TABLE {held} AS SELECT {', '.join(_KEY)} FROM {_VIEW}")  # noqa: S608 - our names
        finally:
            run(f"USE {now}")
            run("DETACH earlier")
