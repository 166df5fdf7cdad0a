CREATE VIEW v_control_day AS
WITH clock AS MATERIALIZED (SELECT * FROM settings CROSS JOIN v_now),
fleet AS MATERIALIZED (
    SELECT
        row_number() OVER (ORDER BY i.project_id, i.instance_id) AS n,  -- cheaper to group by
        i.project_id, i.instance_id, i.instance_name, i.enterprise_project_id, i.owner,
        i.created_at, i.is_incremental_enabled,
        greatest(coalesce(
            i.created_at, least(i.watched_from, i.first_backup_at), today - 1
        )::DATE, today - history_days) AS first_day,
        CASE WHEN i.is_existing THEN today - 1 ELSE least(i.watched_until::DATE, today) - 1 END
            AS last_day
    FROM dim_instance AS i CROSS JOIN clock
    WHERE i.is_existing OR i.is_in_inventory
        OR i.project_id NOT IN (FROM v_inventory_project)
),
grid AS (
    SELECT f.* EXCLUDE (first_day, last_day), w.date, w.day_end, w.proven_at, w.proving_run_id, w.lost_count
    FROM fleet AS f
    JOIN v_watched_daily AS w
        ON w.project_id = f.project_id AND w.date BETWEEN f.first_day AND f.last_day
),
-- One asof join would sort all days to find the few that are later than a change.
readable AS (
    SELECT project_id, instance_id, seen_at, new_value,
        lead(seen_at, 1, TIMESTAMP '9999-12-31') OVER (
            PARTITION BY project_id, instance_id ORDER BY seen_at
        ) AS to_at
    FROM backup_policy_changes WHERE field = 'is_readable'
),
points AS (
    SELECT f.n, b.begin_time, min(b.backup_id) AS backup_id
    FROM fact_backup AS b
    JOIN fleet AS f ON f.project_id = b.project_id AND f.instance_id = b.instance_id
    WHERE b.is_restore_point GROUP BY f.n, b.begin_time
)
SELECT
    g.* EXCLUDE (n, is_incremental_enabled, lost_count),
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
        ) OR NOT coalesce(n.is_watched, false) THEN 'The first certified run after the day came on '
            || strftime(g.proven_at, '%Y-%m-%d %H:%M')
            || ' UTC: what the service keeps so long had left its list.'
    END AS unwatched_because,
    n.watched_s, n.rpo_met_s,
    n.restore_point_age_h,
    p.backup_id AS restore_point_id
FROM grid AS g
CROSS JOIN clock
LEFT JOIN v_policy_version AS v ON v.project_id = g.project_id AND v.instance_id = g.instance_id
    AND g.day_end >= v.from_at AND g.day_end < v.to_at
LEFT JOIN readable AS r ON r.project_id = g.project_id AND r.instance_id = g.instance_id
    AND g.day_end >= r.seen_at AND g.day_end < r.to_at
LEFT JOIN v_instance_daily AS n ON n.project_id = g.project_id AND n.instance_id = g.instance_id
    AND n.date = g.date
LEFT JOIN points AS p ON p.n = g.n AND p.begin_time = make_timestamp(
        epoch_us(g.day_end) - round(n.restore_point_age_h * 3600000000)::BIGINT
    );

COMMENT ON VIEW v_control_day IS 'The population of the controls: one row per instance and full UTC day at whose end it existed, with its policy as it was and what is proven of the day; key (project_id, instance_id, date). v_control_result judges it.';
COMMENT ON COLUMN v_control_day.is_policy_known IS 'The policy had been read by the end of the day, was not refused when it was last asked for, and no change of it since is missing from the history.';
COMMENT ON COLUMN v_control_day.is_policy_enabled IS 'Automated backups were on at the end of the day; false also where the policy is not known.';
COMMENT ON COLUMN v_control_day.is_incremental IS 'The policy, as it is now, takes increments between its full backups; the list of backups does not show them.';
COMMENT ON COLUMN v_control_day.unwatched_because IS 'Why nothing can be said of the day; null if it is proven.';
COMMENT ON COLUMN v_control_day.restore_point_id IS 'The newest restore point that was present when the day ended.';
