CREATE VIEW v_kpi_daily AS
WITH clock AS MATERIALIZED (SELECT * FROM settings CROSS JOIN v_now),
started AS MATERIALIZED (
    SELECT
        begin_date AS date,
        count(*) AS backup_count,
        count(*) FILTER (is_completed) AS completed_count,
        count(*) FILTER (is_failed) AS failed_count,
        sum(size_gib) FILTER (is_completed) AS size_gib,
        quantile_cont(duration_s, [0.5, 0.95]) FILTER (is_completed) AS durations_s
    FROM fact_backup
    WHERE begin_date >= (SELECT today - history_days FROM clock)
    GROUP BY begin_date
),
fleet AS MATERIALIZED (
    SELECT
        date,
        count(*) AS instance_count,
        count(*) FILTER (restore_point_count = 0) AS gap_count,
        count(*) FILTER (restore_point_age_h IS NULL) AS without_restore_point_count,
        sum(rpo_met_s) / sum(watched_s) AS rpo_time_rate,
        quantile_cont(restore_point_age_h, [0.5, 0.95]) AS restore_point_ages_h,
        max(restore_point_age_h) AS restore_point_age_max_h
    FROM v_instance_daily
    WHERE is_watched
    GROUP BY date
),
stored AS (
    SELECT date, sum(stored_gib) AS stored_gib FROM v_storage_day GROUP BY date
),
watched AS (
    SELECT date, bool_and(is_watched) AS is_watched FROM v_watched_daily GROUP BY date
)
SELECT
    d.date,
    coalesce(s.backup_count, 0) AS backup_count,
    coalesce(s.completed_count, 0) AS completed_count,
    coalesce(s.failed_count, 0) AS failed_count,
    coalesce(s.backup_count - s.completed_count - s.failed_count, 0) AS unfinished_count,
    s.completed_count / nullif(s.completed_count + s.failed_count, 0) AS success_rate,
    coalesce(s.size_gib, 0) AS size_gib,
    s.durations_s[1] AS duration_p50_s,
    s.durations_s[2] AS duration_p95_s,
    coalesce(f.instance_count, 0) AS instance_count,
    f.gap_count,
    f.without_restore_point_count,
    f.rpo_time_rate,
    f.restore_point_ages_h[1] AS restore_point_age_p50_h,
    f.restore_point_ages_h[2] AS restore_point_age_p95_h,
    f.restore_point_age_max_h,
    coalesce(t.stored_gib, 0) AS stored_gib,
    t.date IS NOT NULL AND coalesce(w.is_watched, false) AS is_stored_watched,
    coalesce(w.is_watched, false) AS is_watched
FROM (
    SELECT today - unnest(generate_series(1, history_days))::INTEGER AS date FROM clock
) AS d
LEFT JOIN started AS s ON s.date = d.date
LEFT JOIN fleet AS f ON f.date = d.date
LEFT JOIN stored AS t ON t.date = d.date
LEFT JOIN watched AS w ON w.date = d.date
WHERE d.date >= least(
    (SELECT min(date) FROM started), (SELECT min(date) FROM fleet)
);

COMMENT ON VIEW v_kpi_daily IS 'The KPIs of each full UTC day over the whole lake, days without backups included, the current partial day left out; key date. Source: backups from the ledger, so that what has expired since still counts.';
COMMENT ON COLUMN v_kpi_daily.backup_count IS 'Backups begun on the day, of any level, type and status, gone ones too. Unit: backups.';
COMMENT ON COLUMN v_kpi_daily.success_rate IS 'Success rate: completed / (completed + failed) of the backups begun on the day; BUILDING, DISABLED, DELETING and unknown statuses count as neither; null if nothing finished. Unit: ratio.';
COMMENT ON COLUMN v_kpi_daily.duration_p50_s IS 'Median duration of the completed backups begun on the day. Unit: seconds.';
COMMENT ON COLUMN v_kpi_daily.duration_p95_s IS '95th percentile of it (linear interpolation). Unit: seconds.';
COMMENT ON COLUMN v_kpi_daily.instance_count IS 'Instances that the lake watched on the day. Unit: instances.';
COMMENT ON COLUMN v_kpi_daily.gap_count IS 'Watched instances for which no restore point began on the day. Unit: instances.';
COMMENT ON COLUMN v_kpi_daily.without_restore_point_count IS 'Watched instances without any present restore point when the day ended. Unit: instances.';
COMMENT ON COLUMN v_kpi_daily.rpo_time_rate IS 'RPO compliance over time: share of the watched instance-seconds of the day with a restore point no older than the limit. Full backups only: a lower bound where increments are on. Unit: ratio.';
COMMENT ON COLUMN v_kpi_daily.restore_point_age_p50_h IS 'Median over the watched instances of the restore-point age (age of the newest full backup) at the end of the day; instances without one are not in it. Full backups only: an upper bound where increments are on. Unit: hours.';
COMMENT ON COLUMN v_kpi_daily.restore_point_age_p95_h IS '95th percentile of it. Unit: hours.';
COMMENT ON COLUMN v_kpi_daily.restore_point_age_max_h IS 'Largest of it. Unit: hours.';
COMMENT ON COLUMN v_kpi_daily.stored_gib IS 'Stored size at the end of the day: completed backups present then. Unwatched days hold only what survived until the next look. Unit: GiB.';
COMMENT ON COLUMN v_kpi_daily.is_stored_watched IS 'stored_gib of the day is whole: see v_storage_daily.is_watched.';
COMMENT ON COLUMN v_kpi_daily.is_watched IS 'The lake watched the day for every project (see v_watched_daily); of other days it knows only what was still there at the next look.';
