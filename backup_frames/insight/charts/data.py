"""The questions behind each chart, which aggregate before a chart sees a row.

In: a connection with the KPI views. Out: lists of plain dicts, at most a few thousand rows for a lake
of any size, with text made visible (`plain`). The report prints the same rows as tables, so that a
picture never says more than its table.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

import duckdb

from .style import MAX_BARS, MAX_ENGINES, MAX_INSTANCES, MAX_OUTLIERS, Rows


def plain(text: str) -> str:
    """The text with every invisible or reordering character spelled out as an escape.

    A name may hold anything: right-to-left overrides that reverse what follows, control characters,
    line breaks. Letters of all languages stay as they are.
    """
    return "".join(
        f"\\u{{{ord(char):x}}}" if unicodedata.category(char)[0] in "CZ" and char != " " else char
        for char in text
    )


def rows_of(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = ()
) -> Rows:
    """A query's rows as dicts; times and days as ISO text, other text made visible."""
    result = connection.execute(query, list(parameters))
    names = [column[0] for column in result.description]
    return [
        {name: _value(value) for name, value in zip(names, row, strict=True)}
        for row in result.fetchall()
    ]


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    return plain(value) if isinstance(value, str) else value


#: Instance x day of the last five weeks, for the existing instances that are worst off.
#: First those without a restore point, then those that miss the RPO, that fail, that had the most
#: bad days. A day without a backup on which the policy asks for none is "not due", and no bad day.
INSTANCE_GRID: Final = f"""
    WITH plans AS MATERIALIZED (
        SELECT project_id, instance_id, list(weekday) AS weekdays,
            any_value(policy_changed_at) AS policy_changed_at
        FROM v_policy_weekday JOIN v_policy USING (project_id, instance_id)
        GROUP BY project_id, instance_id
    ),
    watched AS MATERIALIZED (
        SELECT w.* FROM v_watched_daily AS w CROSS JOIN v_now WHERE date >= today - 35
    ),
    recent AS MATERIALIZED (
        SELECT d.* EXCLUDE (day_state, is_watched), coalesce(w.is_watched, false) AS is_watched,
            CASE WHEN day_state = 'none' AND weekdays IS NOT NULL
                    AND NOT list_contains(weekdays, isodow(d.date))
                    AND d.date >= coalesce(policy_changed_at::DATE, d.date)
                THEN 'not due' ELSE day_state END AS state,
            state IN ('failed', 'partly failed', 'none') AS is_bad
        FROM v_instance_daily AS d
        LEFT JOIN plans AS p
            ON p.project_id = d.project_id AND p.instance_id = d.instance_id
        LEFT JOIN watched AS w ON w.project_id = d.project_id AND w.date = d.date
        CROSS JOIN v_now
        WHERE d.date >= today - 35
    ),
    bad AS (
        SELECT project_id, instance_id, count(*) FILTER (is_bad) AS bad_days
        FROM recent GROUP BY project_id, instance_id
    ),
    ranked AS (
        SELECT project_id, instance_id, instance_name, bad_days,
            row_number() OVER (
                ORDER BY is_protected, is_rpo_met, consecutive_failures DESC, bad_days DESC,
                    instance_name, instance_id
            ) AS place,
            count(*) OVER () AS instance_count
        FROM bad JOIN v_instance_current USING (project_id, instance_id)
    )
    SELECT k.place, coalesce(k.instance_name, k.instance_id) AS instance, k.instance_id,
        r.date, r.state, r.is_watched, r.completed_count AS completed,
        r.failed_count AS failed, k.bad_days, k.instance_count
    FROM ranked AS k
    JOIN recent AS r ON r.project_id = k.project_id AND r.instance_id = k.instance_id
    WHERE k.place <= {MAX_INSTANCES}
    ORDER BY k.place, r.date
"""  # noqa: S608 - a number of ours

#: The existing instances with the oldest restore points; those without any first in a small fleet.
#: Each row carries the counts of all instances by age, for the bands of a large fleet.
RESTORE_POINT_AGE: Final = f"""
    WITH fleet AS MATERIALIZED (
        SELECT instance_name, instance_id, restore_point_age_h, is_rpo_met, rpo_limit_h,
            newest_restore_point_at, is_age_upper_bound, restore_point_age_band AS band
        FROM v_instance_current
    ),
    counts AS (
        SELECT count(*) AS instance_count, count(*) FILTER (is_rpo_met) AS met_count,
            count(*) FILTER (band = 'up to 24 h') AS to_24_h,
            count(*) FILTER (band = '24 to 48 h') AS to_48_h,
            count(*) FILTER (band = '2 to 7 days') AS to_7_days,
            count(*) FILTER (band = 'over 7 days') AS over_7_days,
            count(*) FILTER (band = 'none') AS without
        FROM fleet
    )
    SELECT
        row_number() OVER (
            ORDER BY instance_count > {MAX_BARS} AND restore_point_age_h IS NULL,
                restore_point_age_h DESC NULLS FIRST, instance_name, instance_id
        ) AS place,
        coalesce(instance_name, instance_id) AS instance, instance_id,
        restore_point_age_h AS age_h, is_rpo_met, rpo_limit_h AS limit_h,
        newest_restore_point_at AS restore_point_at, is_age_upper_bound, counts.*
    FROM fleet CROSS JOIN counts
    QUALIFY place <= {MAX_BARS}
    ORDER BY place
"""  # noqa: S608 - a number of ours

#: Counts and success rate of each of the last 60 full days.
SUCCESS: Final = """
    SELECT date, completed_count AS completed, failed_count AS failed,
        unfinished_count AS unfinished, success_rate, is_watched
    FROM v_kpi_daily CROSS JOIN v_now
    WHERE date >= today - 60
    ORDER BY date
"""

#: Stored size of the last 90 full days by engine, and the forecast of the sum as its two ends.
#: Engines beyond the largest are "other". Without a forecast there are no rows of that kind.
STORED_SIZE: Final = f"""
    WITH recent AS MATERIALIZED (
        SELECT s.* FROM v_storage_daily AS s CROSS JOIN v_now WHERE s.date >= today - 90
    ),
    large AS (
        SELECT datastore_type FROM recent GROUP BY datastore_type
        ORDER BY max(stored_gib) DESC, datastore_type LIMIT {MAX_ENGINES - 1}
    ),
    growth AS MATERIALIZED (SELECT * FROM v_storage_growth WHERE datastore_type = 'all')
    SELECT 'stored' AS kind, date,
        CASE WHEN datastore_type IN (SELECT datastore_type FROM large)
            THEN datastore_type ELSE 'other' END AS engine,
        sum(stored_gib) AS gib, NULL AS low_gib, NULL AS high_gib, NULL AS growth_gib_per_day,
        bool_and(is_watched) AS is_watched
    FROM recent
    GROUP BY ALL
    UNION ALL
    SELECT 'forecast', last_date, 'all', stored_gib, stored_gib, stored_gib,
        growth_gib_per_day, true
    FROM growth
    UNION ALL
    SELECT 'forecast', last_date + trend_days, 'all', forecast_gib, forecast_low_gib,
        forecast_high_gib, growth_gib_per_day, true
    FROM growth
    ORDER BY 1 DESC, 2, 3
"""  # noqa: S608 - a number of ours

#: Completed backups of the last 30 full days: counts in logarithmic cells, outliers singly.
DURATION: Final = f"""
    WITH watched AS MATERIALIZED (
        SELECT date, bool_and(is_watched) AS is_watched FROM v_watched_daily GROUP BY date
    ),
    recent AS MATERIALIZED (
        SELECT coalesce(w.is_watched, false) AS is_watched, backup_id,
            coalesce(instance_name, instance_id) AS instance,
            size_gib, duration_s / 60 AS duration_min, is_duration_outlier
        FROM v_backup_history LEFT JOIN watched AS w ON w.date = begin_date
        CROSS JOIN settings CROSS JOIN v_now
        WHERE is_completed AND size_gib > 0 AND duration_s > 0
            AND begin_date >= today - trend_days AND begin_date < today
    )
    SELECT 'usual' AS kind, NULL AS backup_id, NULL AS instance,
        pow(10, (floor(log10(size_gib) * 8) + 0.5) / 8) AS size_gib,
        pow(10, (floor(log10(duration_min) * 8) + 0.5) / 8) AS duration_min,
        count(*) AS backups, is_watched
    FROM recent WHERE NOT is_duration_outlier
    GROUP BY 4, 5, 7
    UNION ALL
    (
        SELECT 'unusual', backup_id, instance, size_gib, duration_min, 1, is_watched
        FROM recent WHERE is_duration_outlier
        ORDER BY duration_min DESC, backup_id LIMIT {MAX_OUTLIERS}
    )
    ORDER BY 1, 7, 6 DESC, 2, 4, 5
"""  # noqa: S608 - a number of ours

#: Backups begun in each hour of the week (UTC), over the watched days of four full weeks.
#: If none of these days was watched, over all of them: what was still there at the first look.
START_HOUR: Final = """
    WITH watched AS MATERIALIZED (
        SELECT date, bool_and(is_watched) AS is_watched,
            count(*) FILTER (bool_and(is_watched)) OVER () AS watched_days
        FROM v_watched_daily CROSS JOIN v_now
        WHERE date >= today - 28
        GROUP BY date
    )
    SELECT weekday, left(weekday_name, 3) AS day, begin_hour AS hour, count(*) AS backups,
        count(*) FILTER (is_failed) AS failed, watched_days
    FROM fact_backup JOIN dim_date ON dim_date.date = begin_date
    JOIN watched ON watched.date = begin_date CROSS JOIN v_now
    WHERE begin_date >= today - 28 AND begin_date < today AND (is_watched OR watched_days = 0)
    GROUP BY ALL
    ORDER BY weekday, hour
"""

#: How many existing instances can go back how far, and how far their policies promise.
RETENTION: Final = """
    WITH fleet AS MATERIALIZED (
        SELECT i.project_id, i.instance_id, any_value(i.retention_target_days) AS target_days,
            (epoch(any_value(now_at)) - epoch(min(b.begin_time))) / 86400 AS depth_days
        FROM v_instance_current AS i CROSS JOIN v_now
        LEFT JOIN v_backups_current AS b ON b.project_id = i.project_id
            AND b.instance_id = i.instance_id AND b.is_restore_point
        GROUP BY i.project_id, i.instance_id
    )
    SELECT days_back, count(*) FILTER (depth_days >= days_back) AS reached,
        count(*) FILTER (target_days >= days_back) AS promised, count(*) AS instance_count
    FROM fleet CROSS JOIN unnest([1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30, 60, 90, 180, 365])
        AS steps (days_back)
    GROUP BY days_back
    HAVING reached > 0 OR promised > 0 OR days_back <= 7
    ORDER BY days_back
"""

#: How many full days the block of evidence judges, as many as take seconds, and the first of them.
_JUDGED: Final = """
    SELECT days, today - days FROM v_now CROSS JOIN (
        SELECT greatest(1, least(28, 100000 // greatest(1, count(*))))::INTEGER AS days
        FROM v_instance_current
    )
"""
#: Owners and attestations that the page lists; it counts the rest.
_MAX_LISTED: Final = 50

_CONTROLS: Final = """
    WITH judged AS (
        SELECT control_id, status, count(*) AS results FROM v_control_result
        WHERE date >= ? GROUP BY ALL
    )
    SELECT c.control_id, c.title, c.threshold, c.definition,
        coalesce(sum(results) FILTER (status = 'ok'), 0)::BIGINT AS ok,
        coalesce(sum(results) FILTER (status = 'alarm'), 0)::BIGINT AS alarm,
        coalesce(sum(results) FILTER (status = 'not_due'), 0)::BIGINT AS not_due,
        coalesce(sum(results) FILTER (status = 'cannot_be_known'), 0)::BIGINT AS cannot_be_known
    FROM dim_control AS c LEFT JOIN judged USING (control_id)
    GROUP BY ALL
"""


def evidence_rows(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The same rows as the evidence pack has, counted over as many full days as take seconds."""
    ((days, first),) = connection.execute(_JUDGED).fetchall()
    # a day that is known beforehand spares the views all others
    connection.execute("CREATE TABLE v_policy_version_held AS FROM v_policy_version")
    connection.execute("CREATE OR REPLACE VIEW v_policy_version AS FROM v_policy_version_held")
    connection.execute("CREATE TABLE judged_day AS FROM v_control_grid WHERE date >= ?", [first])
    connection.execute("CREATE OR REPLACE VIEW v_control_grid AS FROM judged_day")
    controls = rows_of(connection, _CONTROLS, [first])
    order = [one for (one,) in connection.execute("SELECT control_id FROM dim_control").fetchall()]
    controls.sort(key=lambda row: order.index(row["control_id"]))
    owners = rows_of(
        connection,
        "FROM v_kpi_owner ORDER BY coverage_rate NULLS FIRST, rpo_instance_rate, owner, "
        "enterprise_project_id",
    )
    attested = rows_of(connection, "FROM attestation ORDER BY position")
    is_owned = len(owners) > 1 or any(row["owner"] for row in owners)
    return {
        "days": days,
        "controls": controls,
        "owners": owners[:_MAX_LISTED] if is_owned else [],
        "more_owners": max(0, len(owners) - _MAX_LISTED),
        "attested": attested[:_MAX_LISTED],
        "more_attested": max(0, len(attested) - _MAX_LISTED),
        "not_visible": rows_of(connection, "SELECT topic, words FROM v_not_visible"),
    }
