-- Whether it went before the policy's days were over; null on neither side counts.
CREATE MACRO is_early_loss(begin_time, begin_date, gone_at, policy_changed_at, keep_days) AS
    coalesce(begin_time >= coalesce(policy_changed_at, begin_time)
        AND gone_at::DATE < begin_date + keep_days, false);

CREATE VIEW v_backup_age AS
SELECT
    b.*,
    (epoch(coalesce(b.gone_at, now_at)) - epoch(b.begin_time)) / 86400 AS held_days,
    b.status = 'BUILDING' AND b.is_present
        AND b.begin_time < now_at - to_seconds(stuck_after_h * 3600) AS is_stuck,
    b.is_completed AND b.size_kb <= 0 AS is_empty,
    b.backup_type = 'Manual' AND b.is_present
        AND b.begin_time < now_at - to_days(old_manual_days) AS is_old_manual,
    coalesce(b.begin_date >= today - recent_days AND b.begin_date < today, false) AS is_recent,
    coalesce(b.gone_at >= today - recent_days, false) AS is_gone_recently
FROM fact_backup AS b
CROSS JOIN settings CROSS JOIN v_now;

COMMENT ON VIEW v_backup_age IS 'v_backup_state without what policies say of a backup; one row per backup; key (project_id, backup_id).';

CREATE VIEW v_backup_state AS
SELECT
    b.* EXCLUDE (is_recent, is_gone_recently),
    coalesce(b.is_restore_point AND b.backup_type = 'Auto', false) AND is_early_loss(
        b.begin_time, b.begin_date, b.gone_at, p.policy_changed_at, p.keep_days
    ) AS is_lost_early,
    b.is_recent,
    b.is_gone_recently
FROM v_backup_age AS b
LEFT JOIN v_policy AS p ON p.instance_id = b.instance_id AND p.project_id = b.project_id;

COMMENT ON VIEW v_backup_state IS 'fact_backup with what is wrong with each backup as of now_at; one row per backup; key (project_id, backup_id). Source: backups, backup_policies, settings.';
COMMENT ON COLUMN v_backup_state.held_days IS 'How long the service held the backup: from begin_time to gone_at, or to now_at while present. gone_at is when its absence was first seen, so this is an upper bound. Unit: days.';
COMMENT ON COLUMN v_backup_state.is_stuck IS 'Present and still BUILDING more than settings.stuck_after_h after begin_time.';
COMMENT ON COLUMN v_backup_state.is_empty IS 'COMPLETED with a size of zero.';
COMMENT ON COLUMN v_backup_state.is_old_manual IS 'Manual, present and begun more than settings.old_manual_days ago: it costs storage until somebody deletes it.';
COMMENT ON COLUMN v_backup_state.is_recent IS 'Begun in the last settings.recent_days full days before today.';
COMMENT ON COLUMN v_backup_state.is_gone_recently IS 'Missed for the first time in the last settings.recent_days days or today.';
COMMENT ON COLUMN v_backup_state.is_lost_early IS 'Early loss: a completed automated restore point that was gone on an earlier UTC day than begin_date + keep_days of the policy, begun since the policy is known to be as it is. Deleting the instance takes its automated backups along and is no early loss.';

CREATE VIEW v_backup_norm AS
WITH clock AS MATERIALIZED (
    SELECT now_at - to_days(norm_days) AS norm_from, norm_backups FROM settings CROSS JOIN v_now
)
SELECT
    project_id,
    instance_id,
    backup_level,
    any_value(norm_from) AS norm_from,
    count(*) AS norm_count,
    median(duration_s) AS duration_median_s,
    greatest(1.4826 * mad(duration_s), median(duration_s) / 10, 1) AS duration_spread_s,
    median(size_kb) FILTER (size_kb > 0) AS size_median_kb
FROM fact_backup CROSS JOIN clock
WHERE is_completed AND begin_time >= norm_from AND instance_id IS NOT NULL
    -- Says nothing new, but lets the engine skip the files of earlier days.
    AND begin_date >= (SELECT norm_from::DATE FROM clock)
GROUP BY project_id, instance_id, backup_level
HAVING count(*) >= any_value(norm_backups);

COMMENT ON VIEW v_backup_norm IS 'What is usual for an instance: one row per instance and backup_level with at least settings.norm_backups completed backups in the last settings.norm_days; key (project_id, instance_id, backup_level).';
COMMENT ON COLUMN v_backup_norm.norm_from IS 'Begin of the span that the norm is taken from. Unit: UTC time.';
COMMENT ON COLUMN v_backup_norm.norm_count IS 'Completed backups behind the norm. Unit: backups.';
COMMENT ON COLUMN v_backup_norm.duration_median_s IS 'Median duration. Unit: seconds.';
COMMENT ON COLUMN v_backup_norm.duration_spread_s IS 'Robust standard deviation of the duration: 1.4826 x median absolute deviation, at least a tenth of the median and one second. Unit: seconds.';
COMMENT ON COLUMN v_backup_norm.size_median_kb IS 'Median size of backups that are not empty. Unit: KB.';

CREATE VIEW v_backup_history AS
WITH compared AS (
    SELECT
        b.*,
        n.duration_median_s,
        n.size_median_kb,
        CASE WHEN b.is_completed AND b.begin_time >= n.norm_from
            THEN (b.duration_s - n.duration_median_s) / n.duration_spread_s END AS duration_z,
        CASE WHEN b.is_completed AND b.begin_time >= n.norm_from AND b.size_kb > 0
            THEN b.size_kb / n.size_median_kb END AS size_ratio
    FROM v_backup_state AS b
    LEFT JOIN v_backup_norm AS n ON n.instance_id = b.instance_id
        AND n.project_id = b.project_id AND n.backup_level = b.backup_level
)
SELECT
    compared.*,
    coalesce(abs(duration_z) > outlier_z, false) AS is_duration_outlier,
    coalesce(size_ratio < tiny_share, false) AS is_tiny
FROM compared CROSS JOIN settings;

COMMENT ON VIEW v_backup_history IS 'Every backup that the lake ever saw, gone ones too, with its findings and how it compares with its instance; one row per backup; key (project_id, backup_id).';
COMMENT ON COLUMN v_backup_history.duration_z IS 'Distance of the duration from the instance''s median; null without a norm, and for backups older than settings.norm_days. Unit: robust standard deviations.';
COMMENT ON COLUMN v_backup_history.size_ratio IS 'Size in relation to the instance''s median size; null without a norm, for empty backups, and for backups older than settings.norm_days. Unit: ratio.';
COMMENT ON COLUMN v_backup_history.is_duration_outlier IS 'The duration is more than settings.outlier_z robust standard deviations from the instance''s median (median and MAD, so that outliers do not hide each other), longer or shorter.';
COMMENT ON COLUMN v_backup_history.is_tiny IS 'COMPLETED, not empty, and smaller than settings.tiny_share of its instance''s median size.';

