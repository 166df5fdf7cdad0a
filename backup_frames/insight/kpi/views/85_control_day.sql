-- What v_control_day and v_control_result are made of: the days of the instances, and those of the
-- projects, with numbers below 0, so that one query asks for neither twice.
CREATE VIEW v_control_grid AS
WITH clock AS MATERIALIZED (SELECT * FROM settings CROSS JOIN v_now),
watched AS MATERIALIZED (FROM v_watched_daily),
grid AS (
    SELECT f.*, w.day_end, w.proven_at, w.proving_run_id, w.lost_count
    FROM v_instance_day AS f
    JOIN watched AS w ON w.project_id = f.project_id AND w.date = f.date
    WHERE f.d BETWEEN f.existing_from_d AND f.existing_to_d
        AND (f.is_existing OR f.is_in_inventory OR f.project_id NOT IN (FROM v_inventory_project))
),
-- One asof join would sort all days to find the few that are later than a change.
readable AS (
    SELECT project_id, instance_id, seen_at, new_value,
        lead(seen_at, 1, TIMESTAMP '9999-12-31') OVER (
            PARTITION BY project_id, instance_id ORDER BY seen_at, old_seen_at, new_value
        ) AS to_at
    FROM backup_policy_changes WHERE field = 'is_readable'
)
SELECT
    g.n, g.project_id, g.instance_id, g.instance_name, g.enterprise_project_id, g.owner, g.created_at,
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
    CASE WHEN g.watched_s > 0 THEN g.restore_point_at END AS restore_point_at,
    NULL::BIGINT AS run_count, NULL::BIGINT AS certified_count, NULL::VARCHAR AS own_run_id,
    NULL::BOOLEAN AS is_written
FROM grid AS g
CROSS JOIN clock
LEFT JOIN v_policy_version AS v ON v.project_id = g.project_id AND v.instance_id = g.instance_id
    AND g.day_end >= v.from_at AND g.day_end < v.to_at
LEFT JOIN readable AS r ON r.project_id = g.project_id AND r.instance_id = g.instance_id
    AND g.day_end >= r.seen_at AND g.day_end < r.to_at
UNION ALL BY NAME
SELECT -dense_rank() OVER (ORDER BY project_id) AS n, project_id, date, day_end, proven_at,
    proving_run_id, run_count, certified_count,
    coalesce(certified_run_id, last_run_id) AS own_run_id, is_written
FROM watched;

COMMENT ON VIEW v_control_grid IS 'The days of the controls: one row per instance and day as in v_control_day, and one per project and full day, whose n is below 0; key (n, date).';
COMMENT ON COLUMN v_control_grid.restore_point_at IS 'Begin of the newest restore point that was present when the day ended. Unit: UTC time.';
COMMENT ON COLUMN v_control_grid.own_run_id IS 'The last certified run of a project''s day, else its last run; null in rows of instances.';

CREATE VIEW v_control_day AS
WITH grid AS MATERIALIZED (SELECT * FROM v_control_grid WHERE n > 0),
fleet AS (
    SELECT n, any_value(project_id) AS project_id, any_value(instance_id) AS instance_id
    FROM grid GROUP BY n
),
-- Of two that began at once, always the same.
points AS (
    SELECT f.n, b.begin_time AS restore_point_at, max(b.backup_id) AS restore_point_id
    FROM fact_backup AS b
    JOIN fleet AS f ON f.project_id = b.project_id AND f.instance_id = b.instance_id
    WHERE b.is_restore_point
        AND b.begin_date >= (SELECT min(restore_point_at)::DATE FROM grid)
    GROUP BY f.n, b.begin_time
)
SELECT g.* EXCLUDE (n, restore_point_at, run_count, certified_count, own_run_id, is_written),
    p.restore_point_id
FROM grid AS g LEFT JOIN points AS p USING (n, restore_point_at);

COMMENT ON VIEW v_control_day IS 'The population of the controls: one row per instance and full UTC day at whose end it existed, with its policy as it was and what is proven of the day; key (project_id, instance_id, date). v_control_result judges it.';
COMMENT ON COLUMN v_control_day.is_policy_known IS 'The policy had been read by the end of the day, was not refused when it was last asked for, and no change of it since is missing from the history.';
COMMENT ON COLUMN v_control_day.is_policy_enabled IS 'Automated backups were on at the end of the day; false also where the policy is not known.';
COMMENT ON COLUMN v_control_day.is_incremental IS 'The policy, as it is now, takes increments between its full backups; the list of backups does not show them.';
COMMENT ON COLUMN v_control_day.unwatched_because IS 'Why nothing can be said of the day; null if it is proven.';
COMMENT ON COLUMN v_control_day.restore_point_id IS 'The newest restore point that was present when the day ended.';
