CREATE VIEW v_control_day AS
WITH clock AS MATERIALIZED (SELECT * FROM settings CROSS JOIN v_now),
grid AS MATERIALIZED (
    SELECT f.*, w.day_end, w.proven_at, w.proving_run_id, w.lost_count
    FROM v_instance_day AS f
    JOIN v_watched_daily AS w ON w.project_id = f.project_id AND w.date = f.date
    WHERE f.d BETWEEN f.existing_from_d AND f.existing_to_d
        AND (f.is_existing OR f.is_in_inventory OR f.project_id NOT IN (FROM v_inventory_project))
),
-- One asof join would sort all days to find the few that are later than a change.
readable AS (
    SELECT project_id, instance_id, seen_at, new_value,
        lead(seen_at, 1, TIMESTAMP '9999-12-31') OVER (
            PARTITION BY project_id, instance_id ORDER BY seen_at
        ) AS to_at
    FROM backup_policy_changes WHERE field = 'is_readable'
),
fleet AS (
    SELECT n, any_value(project_id) AS project_id, any_value(instance_id) AS instance_id
    FROM grid GROUP BY n
),
points AS (
    SELECT f.n, b.begin_time, min(b.backup_id) AS backup_id
    FROM fact_backup AS b
    JOIN fleet AS f ON f.project_id = b.project_id AND f.instance_id = b.instance_id
    WHERE b.is_restore_point AND b.begin_date >= (SELECT today - history_days FROM clock)
    GROUP BY f.n, b.begin_time
)
SELECT
    g.project_id, g.instance_id, g.instance_name, g.enterprise_project_id, g.owner, g.created_at,
    g.date, g.day_end, g.proven_at, g.proving_run_id,
    v.instance_id IS NOT NULL AND g.day_end >= v.known_from AND v.is_enabled IS NOT NULL
        AND coalesce(r.new_value, 'true') = 'true'
        AS is_policy_known,
    coalesce(v.is_enabled AND v.keep_days > 0, false) AS is_policy_enabled,
    g.is_incremental_enabled AS is_incremental,
    v.keep_days, v.window_start, v.period, v.changed_at,
    CASE
        WHEN g.proven_at IS NULL THEN 'No certified run has looked since the day ended.'
        WHEN g.lost_count > 0 THEN 'The run that proves the day counted ' || g.lost_count
            || ' more backups than the lake has rows for: a file of it was lost.'
        WHEN g.proven_at > greatest(g.date, g.created_at) + to_days(
            CASE WHEN v.is_enabled AND v.keep_days > 0 THEN v.keep_days ELSE assumed_keep_days END
        ) OR NOT coalesce(g.watched_s > 0, false) THEN 'The first certified run after the day came on '
            || strftime(g.proven_at, '%Y-%m-%d %H:%M')
            || ' UTC: what the service keeps so long had left its list.'
    END AS unwatched_because,
    g.watched_s,
    CASE WHEN g.watched_s > 0 THEN g.rpo_met_s END AS rpo_met_s,
    CASE WHEN g.watched_s > 0 THEN ((g.d + 1) * 86400 - epoch(g.restore_point_at)) / 3600 END
        AS restore_point_age_h,
    CASE WHEN g.watched_s > 0 THEN p.backup_id END AS restore_point_id
FROM grid AS g
CROSS JOIN clock
LEFT JOIN v_policy_version AS v ON v.project_id = g.project_id AND v.instance_id = g.instance_id
    AND g.day_end >= v.from_at AND g.day_end < v.to_at
LEFT JOIN readable AS r ON r.project_id = g.project_id AND r.instance_id = g.instance_id
    AND g.day_end >= r.seen_at AND g.day_end < r.to_at
LEFT JOIN points AS p ON p.n = g.n AND p.begin_time = g.restore_point_at;

COMMENT ON VIEW v_control_day IS 'The population of the controls: one row per instance and full UTC day at whose end it existed, with its policy as it was and what is proven of the day; key (project_id, instance_id, date). v_control_result judges it.';
COMMENT ON COLUMN v_control_day.is_policy_known IS 'The policy had been read by the end of the day, was not refused when it was last asked for, and no change of it since is missing from the history.';
COMMENT ON COLUMN v_control_day.is_policy_enabled IS 'Automated backups were on at the end of the day; false also where the policy is not known.';
COMMENT ON COLUMN v_control_day.is_incremental IS 'The policy, as it is now, takes increments between its full backups; the list of backups does not show them.';
COMMENT ON COLUMN v_control_day.unwatched_because IS 'Why nothing can be said of the day; null if it is proven.';
COMMENT ON COLUMN v_control_day.restore_point_id IS 'The newest restore point that was present when the day ended.';
