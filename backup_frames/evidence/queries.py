"""What the files of a pack hold beside the controls: one query per file, over the rows that are wanted.

In: the tables ``wanted`` (days and filters), ``chosen`` (results) and ``people`` (instances). Out: SQL.
"""

from __future__ import annotations

from typing import Final

QUERIES: Final = {
    "controls": "SELECT control_id, title, definition, threshold, source, grain, exception_kinds "
    "FROM dim_control",
    "thresholds": """
        SELECT name, value::VARCHAR AS value, c.comment AS meaning
        FROM (UNPIVOT (SELECT * REPLACE (NULL AS now_without_runs) FROM settings)
            ON COLUMNS(* EXCLUDE (now_without_runs))::VARCHAR INTO NAME name VALUE value) AS s
        JOIN duckdb_columns() AS c ON c.table_name = 'settings' AND c.column_name = s.name
        WHERE NOT c.internal ORDER BY name""",
    "backups": """
        SELECT b.project_id, b.backup_id, b.name, b.instance_id, b.instance_name, p.owner,
            p.enterprise_project_id, b.datastore_type, b.backup_type, b.backup_level, b.status,
            b.size_kb, b.begin_time, b.end_time, b.first_seen_at, b.updated_at, b.gone_at
        FROM backups AS b CROSS JOIN wanted AS w
        LEFT JOIN people AS p ON p.project_id = b.project_id AND p.instance_id = b.instance_id
        WHERE (p.instance_id IS NOT NULL OR (w.owner IS NULL AND w.enterprise_project_id IS NULL))
            AND coalesce(b.begin_date <= w.last AND (b.begin_date >= w.first OR b.gone_at IS NULL
                OR b.gone_at >= w.first), true)
        ORDER BY b.begin_time, b.project_id, b.backup_id""",
    "instances": """
        SELECT project_id, instance_id, instance_name, owner, enterprise_project_id, datastore_type,
            datastore_version, status, region, created_at, gone_at, is_in_inventory, watched_from
        FROM people ORDER BY project_id, instance_id""",
    "policies": """
        SELECT v.project_id, v.instance_id, p.instance_name, nullif(v.from_at, '0001-01-01') AS from_at,
            nullif(v.to_at, '9999-12-31') AS to_at, v.known_from, v.is_enabled, v.keep_days,
            v.window_start, v.period
        FROM v_policy_version AS v
        JOIN people AS p ON p.project_id = v.project_id AND p.instance_id = v.instance_id
        ORDER BY v.project_id, v.instance_id, v.to_at""",
    "policy_changes": """
        SELECT v.seen_at, v.old_seen_at, v.project_id, v.instance_id, p.instance_name, v.field,
            v.old_value, v.new_value, v.is_weakening, v.change, v.old_run_id, v.run_id
        FROM v_policy_change AS v CROSS JOIN wanted AS w
        JOIN people AS p ON p.project_id = v.project_id AND p.instance_id = v.instance_id
        WHERE v.seen_at >= w.first AND v.old_seen_at < w.last + 1
        ORDER BY v.seen_at, v.project_id, v.instance_id, v.field""",
    "instance_changes": """
        SELECT v.seen_at, v.old_seen_at, v.project_id, v.instance_id, p.instance_name, v.field,
            v.old_value, v.new_value
        FROM instance_changes AS v CROSS JOIN wanted AS w
        JOIN people AS p ON p.project_id = v.project_id AND p.instance_id = v.instance_id
        WHERE v.seen_at >= w.first AND v.old_seen_at < w.last + 1
        ORDER BY v.seen_at, v.project_id, v.instance_id, v.field""",
    "exceptions": """
        SELECT h.control_id, h.title, h.project_id, h.instance_id, h.instance_name, h.owner,
            h.enterprise_project_id, h.opened_on, h.closed_on, h.days_open, h.outcome, h.reason,
            h.backup_id
        FROM v_exception_history AS h CROSS JOIN wanted AS w
        LEFT JOIN people AS p ON p.project_id = h.project_id AND p.instance_id = h.instance_id
        WHERE (p.instance_id IS NOT NULL OR h.instance_id IS NULL)
            AND h.opened_on <= w.last AND coalesce(h.closed_on > w.first, true)
        ORDER BY h.opened_on, h.control_id, h.project_id, h.instance_id""",
    # The days of a gap: from one certified run to the next, or to the ends of what was asked.
    "gaps": """
        WITH ends AS (
            SELECT project_id, as_of AS moment FROM fact_sync_run, wanted
            WHERE is_certified AND as_of >= first AND as_of < last + 1
            UNION ALL SELECT project_id, first::TIMESTAMP FROM dim_project, wanted
            UNION ALL SELECT project_id, last + INTERVAL 1 DAY FROM dim_project, wanted
        ),
        stretches AS (
            SELECT project_id, moment AS from_at,
                lead(moment) OVER (PARTITION BY project_id ORDER BY moment) AS to_at
            FROM ends
        )
        SELECT project_id, from_at, to_at, (epoch(to_at) - epoch(from_at)) / 3600 AS hours,
            'No certified run between ' || strftime(from_at, '%Y-%m-%d %H:%M') || ' and '
                || strftime(to_at, '%Y-%m-%d %H:%M') || ' UTC.' AS gap
        FROM stretches CROSS JOIN settings
        WHERE to_at > from_at + to_seconds(stale_after_h * 3600)
        ORDER BY project_id, from_at""",
    "runs": """
        SELECT r.project_id, r.run_id, r.as_of, r.verdict, r.caller, r.tool_version, r.endpoint,
            r.service, r.api_version, r.is_full, r.request_count, r.new_count, r.changed_count,
            r.gone_count, r.reasons, r.present_count AS service_count
        FROM sync_runs AS r CROSS JOIN wanted AS w
        WHERE (r.as_of >= w.first AND r.as_of < w.last + 1)
            OR r.run_id IN (SELECT run_id FROM chosen)
        ORDER BY r.project_id, r.as_of, r.run_id""",
    "not_visible": "SELECT topic, words FROM v_not_visible",
}  # fmt: skip
