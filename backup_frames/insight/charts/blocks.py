"""The blocks of the page above its charts: what each says, as plain data for its template.

In: a connection with the KPI views, the temporary table `findings` (the rows of v_exceptions with
their engine), and earlier exceptions if `earlier_moments` names any. Out: what the block's template
shows; None leaves the block out. A new block is a template beside this module, a function here, and
one line in `BLOCKS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb

from ..kpi.changes import changes_since, projects_since
from . import data
from .words import counted, percent, quantity

MAX_EXCEPTIONS = 300
#: Findings that a project's own section lists.
MAX_OF_PROJECT = 5

Content = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the page: its template, what that shows, and a template for more of it after the charts."""

    template: str
    read: Callable[[duckdb.DuckDBPyConnection], Content | None]
    tail: str | None = None


def read_kpi(connection: duckdb.DuckDBPyConnection) -> Content:
    """The KPIs of now."""
    (kpi,) = data.rows_of(connection, "SELECT * FROM v_kpi_current")
    return kpi


def read_notice(connection: duckdb.DuckDBPyConnection) -> Content | None:
    """Which projects' numbers are not proven to the end; stands above all numbers but theirs."""
    projects = data.rows_of(
        connection,
        "SELECT project_id, certified_at FROM dim_project CROSS JOIN settings "
        "WHERE certified_at IS NULL OR last_verdict <> 'complete' "
        "OR certificate_age_h > stale_after_h ORDER BY certified_at NULLS FIRST, project_id",
    )
    if not projects:
        ((now_at,),) = connection.execute("SELECT now_at FROM v_now").fetchall()
        return None if now_at else {"text": "The lake holds no run and no backup."}
    first, more = projects[0], len(projects) - 1
    since = f"after {first['certified_at']} UTC" if first["certified_at"] else "so far"
    others = f" {counted(more, 'more project')} likewise." if more else ""
    text = f"Project {first['project_id']} has no complete run {since}: changes may be missing."
    return {"text": text + others}


def read_tiles(connection: duckdb.DuckDBPyConnection) -> Content:
    """The four numbers on top, each with its change since a week ago."""
    kpi = read_kpi(connection)
    (past,) = data.rows_of(connection, _WEEK_AGO)
    coverage, success = kpi["coverage_rate"], kpi["success_rate_recent"]
    rpo, stuck = kpi["rpo_instance_rate"], kpi["stuck_count"]
    tiles = [
        _tile(
            "Coverage",
            percent(coverage)
            or ("cannot be known" if not kpi["is_inventory_known"] else "no instances"),
            _coverage_words(kpi),
            None if coverage is None else coverage == 1,
            _delta(coverage, past["coverage"]),
        ),
        _tile(
            "RPO compliance",
            percent(rpo) or "no instances",
            _rpo_words(kpi),
            # also unknown where only increments, which the list does not show, could tell
            None if rpo is None or (rpo < 1 and not kpi["rpo_missed_count"]) else rpo == 1,
            _delta(rpo, past["rpo"]),
        ),
        _tile(
            "Success, 7 days",
            percent(success) or "nothing finished",
            f"{kpi['completed_recent']:,} completed, {kpi['failed_recent']:,} failed.",
            None if success is None else kpi["failed_recent"] == 0,
            _delta(success, past["success"]),
        ),
        _tile("Stuck", f"{stuck:,}", "backups BUILDING for too long.", stuck == 0, ""),
    ]
    return {"tiles": tiles}


# A week ago counts only if the lake watched it; a day's end stands for the moment of the day.
_WEEK_AGO: Final = """
    WITH past AS (SELECT today - 8 AS day, rpo_h + rpo_tolerance_h AS limit_h FROM v_now CROSS JOIN settings),
    watched AS (
        SELECT date FROM v_watched_daily CROSS JOIN past WHERE date BETWEEN day - 6 AND day
        GROUP BY date HAVING bool_and(is_watched)
    ),
    fleet AS (
        SELECT count(restore_point_age_h) / nullif(count(*), 0) AS coverage,
            count(*) FILTER (restore_point_age_h <= limit_h) / nullif(count(*), 0) AS rpo
        FROM v_instance_daily CROSS JOIN past
        WHERE date = day AND is_watched AND day IN (SELECT date FROM watched)
    ),
    finished AS (
        SELECT count(*) FILTER (is_completed) / nullif(count(*), 0) AS success
        FROM fact_backup WHERE begin_date IN (SELECT date FROM watched) AND (is_completed OR is_failed)
            AND (SELECT count(*) FROM watched) = 7
    )
    SELECT coverage, rpo, success FROM fleet CROSS JOIN finished
"""


def _coverage_words(kpi: Mapping[str, Any]) -> str:
    if not kpi["is_inventory_known"]:
        return f"{kpi['coverage_note'].capitalize()}."
    known, without = kpi["instance_count"], kpi["unprotected_count"]
    if not known:
        return "The inventory was read and names no instance."
    words = f"{kpi['protected_count']:,} of {counted(known, 'instance')} can be restored"
    return f"{words}; {without:,} without any restore point." if without else f"{words}."


def _rpo_words(kpi: Mapping[str, Any]) -> str:
    age, over_time = kpi["restore_point_age_max_h"], kpi["rpo_time_rate"]
    words = f"{counted(kpi['rpo_met_count'], 'instance')} within {kpi['rpo_limit_h']:g} h"
    words += f", the oldest {quantity(age, 'h')}." if age is not None else "."
    if over_time is not None:
        words += f" Of the time watched in 30 days: {percent(over_time)}."
    if not kpi["is_inventory_known"]:
        words += " Only of instances that have a backup."
    if unsure := kpi["age_upper_bound_count"]:
        words += f" {counted(unsure, 'instance')} may have newer increments, which no list shows."
    return words


def _delta(now: float | None, then: float | None) -> str:
    if now is None or then is None:
        return ""
    points = round(100 * (now - then), 1)
    if not points:
        return "as a week ago"
    size = f"{abs(points):g} point{'' if abs(points) == 1 else 's'}"
    return f"{'▲' if points > 0 else '▼'} {size} since a week ago"


def _tile(name: str, value: str, detail: str, is_good: bool | None, delta: str) -> Content:
    tones = {True: ("good", "✓ good"), False: ("warn", "! look"), None: ("", "? unknown")}
    tone, word = tones[is_good]
    shown = {"name": name, "value": value, "is_number": value[:1].isdigit()}
    return shown | {"detail": detail, "tone": tone, "word": word, "delta": delta}


def _changes_span(connection: duckdb.DuckDBPyConnection) -> tuple[datetime, datetime] | None:
    """Since when the page tells changes, and since when it could; None without a certificate."""
    ((now_at, first),) = connection.execute(
        "SELECT now_at, (SELECT max(first_certified_at) FROM dim_project) FROM v_now"
    ).fetchall()
    if now_at is None or first is None:
        return None
    return (now_at - timedelta(hours=24)).replace(tzinfo=UTC), first.replace(tzinfo=UTC)


def earlier_moments(connection: duckdb.DuckDBPyConnection) -> dict[str, datetime]:
    """Of which moment the block of changes wants earlier exceptions held; empty if of none."""
    span = _changes_span(connection)
    return projects_since(connection, span[0]) if span and span[1] <= span[0] else {}


def read_changes(connection: duckdb.DuckDBPyConnection) -> Content | None:
    """What came, changed and went in the 24 hours before the last run, and which findings are new."""
    span = _changes_span(connection)
    if span is None:
        return None
    since, first = span
    if first > since:
        return {"since": since.replace(tzinfo=None), "first": first.replace(tzinfo=None)}
    changes = changes_since(connection, since)
    named = (changes.exceptions[name].to_pylist() for name in ("severity", "kind"))
    kinds = Counter(zip(*named, strict=True))
    found = [{"severity": s, "kind": k, "count": n} for (s, k), n in kinds.items()]
    since = since.replace(tzinfo=None)
    return {"since": since, "first": None, "counts": changes.counts, "kinds": found}


def read_projects(connection: duckdb.DuckDBPyConnection) -> Content | None:
    """A row per project of a lake of several, the worst first, each with a section of its own."""
    rows = data.rows_of(connection, _PROJECTS)
    if len(rows) < 2:
        return None
    findings: dict[str, list[Content]] = {}
    for row in data.rows_of(connection, _OF_PROJECT):
        findings.setdefault(row["project_id"], []).append(row)
    for row in rows:
        row["findings"] = findings.get(row["project_id"], [])
    return {"projects": rows}


_PROJECTS: Final = """
    WITH fleet AS (
        SELECT project_id, count(*) FILTER (is_existing) AS instance_count,
            count(*) FILTER (is_existing AND is_protected) AS protected_count,
            count(*) FILTER (is_existing AND is_rpo_met) AS rpo_met_count,
            sum(completed_recent) AS completed, sum(failed_recent) AS failed
        FROM v_instance_health GROUP BY project_id
    ),
    alarms AS (
        SELECT project_id, count(*) FILTER (severity = 1) AS high, count(*) FILTER (severity = 2) AS medium
        FROM findings GROUP BY project_id
    )
    SELECT project_id, certified_at, last_verdict, coalesce(instance_count, 0) AS instance_count,
        CASE WHEN is_inventory_known THEN protected_count / nullif(instance_count, 0) END AS coverage_rate,
        rpo_met_count / nullif(instance_count, 0) AS rpo_rate,
        completed / nullif(completed + failed, 0) AS success_rate,
        coalesce(high, 0) AS high, coalesce(medium, 0) AS medium
    FROM dim_project LEFT JOIN fleet USING (project_id) LEFT JOIN alarms USING (project_id)
    ORDER BY certified_at IS NOT NULL, high DESC, medium DESC, project_id
"""
_WORST_FIRST: Final = (
    "severity, kind <> 'unprotected', kind, since NULLS FIRST, instance_id, backup_id"
)
_OF_PROJECT: Final = f"""
    SELECT project_id, severity, kind, instance_id, instance_name, backup_id, since, measured, unit
    FROM findings
    QUALIFY row_number() OVER (PARTITION BY project_id ORDER BY {_WORST_FIRST}) <= {MAX_OF_PROJECT}
    ORDER BY project_id, {_WORST_FIRST}
"""  # noqa: S608 - words of ours


def read_attention(connection: duckdb.DuckDBPyConnection) -> Content:
    """What somebody should look at: counts by kind, and the most severe singly."""
    kinds = data.rows_of(
        connection,
        "SELECT kind, min(message) AS message, severity, count(*) AS findings FROM findings "
        "GROUP BY kind, severity ORDER BY severity, kind <> 'unprotected', findings DESC, kind",
    )
    exceptions = data.rows_of(
        connection, f"FROM findings ORDER BY {_WORST_FIRST} LIMIT {MAX_EXCEPTIONS}"
    )
    return {
        "kinds": kinds,
        "exceptions": exceptions,
        "exception_count": sum(row["findings"] for row in kinds),
        "filters": {
            name: sorted({row[name] for row in exceptions if row[name]})
            for name in ("project_id", "engine", "owner", "enterprise_project_id")
        },
    }


#: In the order of the page; the charts follow.
BLOCKS: Final = (
    Block("projects.html.j2", read_projects, tail="project_sections.html.j2"),
    Block("notice.html.j2", read_notice),
    Block("tiles.html.j2", read_tiles),
    Block("changes.html.j2", read_changes),
    Block("attention.html.j2", read_attention),
    Block("evidence.html.j2", data.evidence_rows),
)
