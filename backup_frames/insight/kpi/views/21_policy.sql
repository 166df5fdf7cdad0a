CREATE VIEW v_policy AS
SELECT
    i.project_id,
    i.instance_id,
    p.keep_days,
    p.window_start,
    p.period,
    p.incremental_period_min,
    coalesce(p.incremental_period_min > 0, false) AS is_incremental_enabled,
    CASE WHEN p.updated_at > p.first_seen_at THEN p.updated_at END AS policy_changed_at,
    coalesce(i.created_at, i.first_seen_at) AS created_at
FROM instances AS i
JOIN backup_policies AS p ON p.project_id = i.project_id AND p.instance_id = i.instance_id
WHERE i.gone_at IS NULL AND p.gone_at IS NULL AND p.is_enabled AND p.keep_days > 0;

COMMENT ON VIEW v_policy IS 'What is promised: one row per existing instance with an enabled policy; key (project_id, instance_id). Source: backup_policies, instances.';
COMMENT ON COLUMN v_policy.policy_changed_at IS 'When a change of the policy was first observed; null if it was never seen to change. Days before are not judged by it. Unit: UTC time.';
COMMENT ON COLUMN v_policy.is_incremental_enabled IS 'The policy takes increments between its full backups (incremental_period_min above 0). The list of backups does not show them, so what is said of restore-point age and RPO is of full backups only: an upper bound.';
COMMENT ON COLUMN v_policy.created_at IS 'When the instance was created, or first seen where the service does not say. Unit: UTC time.';

-- A fleet has a few periods: each is taken apart once, not once per policy.
CREATE VIEW v_period_weekday AS
SELECT
    period, weekday,
    coalesce(lead(weekday) OVER week, min(weekday) OVER (PARTITION BY period) + 7) - weekday AS gap_days
FROM (
    SELECT DISTINCT period, try_cast(trim(entry) AS INTEGER) AS weekday
    FROM (
        SELECT period, unnest(string_split(period, ',')) AS entry
        FROM (
            SELECT period FROM backup_policies
            UNION SELECT old_value FROM backup_policy_changes WHERE field = 'period'
        )
    )
)
WHERE weekday BETWEEN 1 AND 7
WINDOW week AS (PARTITION BY period ORDER BY weekday);

COMMENT ON VIEW v_period_weekday IS 'The weekdays of each period that a policy has or had; one row per period and weekday; key (period, weekday). Source: backup_policies, backup_policy_changes.';
COMMENT ON COLUMN v_period_weekday.gap_days IS 'Until the next of its weekdays. Unit: days.';

CREATE VIEW v_policy_weekday AS
SELECT project_id, instance_id, try_cast(window_start AS TIME) AS window_start, weekday
FROM v_policy JOIN v_period_weekday USING (period);

COMMENT ON VIEW v_policy_weekday IS 'The weekdays on which a policy takes an automated backup; one row per policy and weekday; key (project_id, instance_id, weekday). Source: backup_policies.period.';

CREATE VIEW v_slot AS
WITH runs AS MATERIALIZED (SELECT project_id, as_of, verdict FROM sync_runs),
clock AS MATERIALIZED (
    SELECT *, now_at::DATE AS today
    FROM (SELECT *, now_of((SELECT max(as_of) FROM runs), now_without_runs) AS now_at FROM settings)
),
firsts AS (
    SELECT project_id, min(as_of) AS first_certified_at
    FROM runs WHERE verdict = 'complete' GROUP BY project_id
),
slots AS (
    SELECT
        p.*,
        d.date + try_cast(p.window_start AS TIME) AS slot_at,
        d.date + try_cast(p.window_start AS TIME) + to_seconds(slot_window_h * 3600) AS slot_end,
        d.date >= d.today - recent_days AND d.date < d.today AS is_recent,
        now_at
    FROM v_policy AS p
    JOIN v_period_weekday AS w USING (period)
    JOIN (
        SELECT *, today - unnest(generate_series(0, trend_days))::INTEGER AS date FROM clock
    ) AS d ON isodow(d.date) = w.weekday
),
due AS NOT MATERIALIZED (
    SELECT s.project_id, s.instance_id, s.slot_at, s.slot_end, s.is_recent
    FROM slots AS s JOIN firsts AS r ON r.project_id = s.project_id
    WHERE s.slot_end <= s.now_at
        AND s.slot_at >= greatest(
            s.created_at, s.policy_changed_at, r.first_certified_at - to_days(s.keep_days)
        )
),
starts AS (
    SELECT project_id, instance_id, begin_time
    FROM fact_backup
    WHERE backup_type = 'Auto' AND backup_level = 'Instance'
        AND begin_date >= (SELECT today - trend_days FROM clock)
)
SELECT
    due.project_id,
    due.instance_id,
    due.slot_at,
    due.slot_end,
    due.is_recent,
    count(starts.begin_time) = 0 AS is_missed
FROM due
LEFT JOIN starts ON starts.project_id = due.project_id AND starts.instance_id = due.instance_id
    AND starts.begin_time >= due.slot_at AND starts.begin_time < due.slot_end
GROUP BY ALL;

COMMENT ON VIEW v_slot IS 'What the policies asked for: one row per slot (weekday of period at window_start, UTC) of the last settings.trend_days that has wholly passed, since the lake watches the instance and since its policy last changed; key (project_id, instance_id, slot_at).';
COMMENT ON COLUMN v_slot.slot_at IS 'When the backup window opened. Unit: UTC time.';
COMMENT ON COLUMN v_slot.slot_end IS 'slot_at + settings.slot_window_h. Unit: UTC time.';
COMMENT ON COLUMN v_slot.is_recent IS 'The slot lies in the last settings.recent_days full days before today.';
COMMENT ON COLUMN v_slot.is_missed IS 'No automated backup of level Instance, whatever its status, started in [slot_at, slot_end). A failed one is a failure, not a missed slot.';
