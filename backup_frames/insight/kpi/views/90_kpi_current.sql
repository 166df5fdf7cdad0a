CREATE VIEW v_kpi_current AS
WITH clock AS MATERIALIZED (SELECT * FROM settings CROSS JOIN v_now),
projects AS (
    SELECT
        count(*) AS project_count,
        CASE WHEN bool_and(certified_at IS NOT NULL) THEN min(certified_at) END AS certified_at,
        CASE WHEN bool_and(certified_at IS NOT NULL) THEN max(certificate_age_h) END
            AS certificate_age_h,
        coalesce(bool_and(is_inventory_known), false) AS is_inventory_known
    FROM dim_project
),
fleet AS (
    SELECT
        count(*) FILTER (is_existing) AS known_instance_count,
        count(*) FILTER (is_existing AND is_protected) AS protected_count,
        count(*) FILTER (is_existing AND is_rpo_met) AS rpo_met_count,
        count(*) FILTER (is_existing AND is_age_upper_bound) AS age_upper_bound_count,
        count(*) FILTER (is_existing AND NOT is_rpo_met AND NOT is_age_upper_bound)
            AS rpo_missed_count,
        quantile_cont(restore_point_age_h, 0.5) FILTER (is_existing) AS restore_point_age_p50_h,
        quantile_cont(restore_point_age_h, 0.95) FILTER (is_existing) AS restore_point_age_p95_h,
        max(restore_point_age_h) FILTER (is_existing) AS restore_point_age_max_h,
        count(*) FILTER (is_existing AND restore_point_age_band = 'up to 24 h')
            AS age_to_24_h_count,
        count(*) FILTER (is_existing AND restore_point_age_band = '24 to 48 h')
            AS age_24_to_48_h_count,
        count(*) FILTER (is_existing AND restore_point_age_band = '2 to 7 days')
            AS age_2_to_7_days_count,
        count(*) FILTER (is_existing AND restore_point_age_band = 'over 7 days')
            AS age_over_7_days_count,
        count(*) FILTER (is_existing AND restore_point_age_band = 'none') AS age_none_count,
        sum(rpo_met_s) / nullif(sum(watched_s), 0) AS rpo_time_rate,
        count(*) FILTER (is_existing AND consecutive_failures >= failures_alert) AS failing_count,
        coalesce(max(consecutive_failures) FILTER (is_existing), 0) AS max_consecutive_failures,
        sum(slots_recent)::BIGINT AS slots_recent,
        sum(missed_slots_recent)::BIGINT AS missed_slots_recent,
        count(*) FILTER (retention_target_days IS NOT NULL) AS retention_known_count,
        count(*) FILTER (NOT is_retention_met) AS retention_short_count,
        min(retention_depth_days) AS retention_depth_min_days,
        quantile_cont(retention_depth_days, 0.5) AS retention_depth_p50_days,
        sum(present_count)::BIGINT AS present_count,
        sum(ledger_count)::BIGINT AS ledger_count,
        sum(completed_recent)::BIGINT AS completed_recent,
        sum(failed_recent)::BIGINT AS failed_recent,
        sum(early_loss_recent)::BIGINT AS early_loss_recent,
        sum(stuck_count)::BIGINT AS stuck_count,
        sum(stored_gib) AS stored_gib,
        sum(old_manual_count)::BIGINT AS old_manual_count,
        sum(old_manual_gib) AS old_manual_gib
    FROM v_instance_health CROSS JOIN (SELECT failures_alert FROM settings)
),
recent AS (
    SELECT
        quantile_cont(duration_s, 0.5) FILTER (is_completed) AS duration_p50_s,
        quantile_cont(duration_s, 0.95) FILTER (is_completed) AS duration_p95_s,
        count(*) FILTER (is_duration_outlier) AS duration_outlier_count,
        count(*) FILTER (is_present AND is_empty) AS empty_count,
        count(*) FILTER (is_present AND is_tiny) AS tiny_count
    FROM v_backup_history
    WHERE is_recent
        -- Says nothing new, but lets the engine skip the files of earlier days.
        AND begin_date >= (SELECT today - recent_days FROM clock)
),
growth AS (
    SELECT growth_gib_per_day, forecast_gib, forecast_low_gib, forecast_high_gib
    FROM v_storage_growth WHERE datastore_type = 'all'
)
SELECT
    now_at,
    p.certified_at,
    p.certificate_age_h,
    p.project_count,
    p.is_inventory_known,
    CASE WHEN p.is_inventory_known THEN f.known_instance_count END AS instance_count,
    f.protected_count,
    CASE WHEN p.is_inventory_known THEN f.known_instance_count - f.protected_count END
        AS unprotected_count,
    CASE WHEN p.is_inventory_known THEN f.protected_count / nullif(f.known_instance_count, 0) END
        AS coverage_rate,
    CASE
        WHEN NOT p.is_inventory_known THEN 'cannot be known: the lake holds no instances of '
            || 'at least one project, and an instance without backups is in no backup list'
        WHEN f.known_instance_count = 0 THEN 'there are no instances'
        ELSE 'of all instances in the inventory'
    END AS coverage_note,
    rpo_h + rpo_tolerance_h AS rpo_limit_h,
    f.rpo_met_count,
    f.rpo_missed_count,
    f.rpo_met_count / nullif(f.known_instance_count, 0) AS rpo_instance_rate,
    CASE WHEN p.is_inventory_known THEN 'of all instances in the inventory'
        ELSE 'of the instances that have a backup; others cannot be known' END
        || CASE WHEN f.age_upper_bound_count > 0 THEN '; full backups only: an upper bound of the '
            || 'age where increments are on' ELSE '' END AS rpo_note,
    f.age_upper_bound_count,
    f.rpo_time_rate,
    f.restore_point_age_p50_h,
    f.restore_point_age_p95_h,
    f.restore_point_age_max_h,
    f.age_to_24_h_count,
    f.age_24_to_48_h_count,
    f.age_2_to_7_days_count,
    f.age_over_7_days_count,
    f.age_none_count,
    coalesce(f.completed_recent, 0) AS completed_recent,
    coalesce(f.failed_recent, 0) AS failed_recent,
    f.completed_recent / nullif(f.completed_recent + f.failed_recent, 0) AS success_rate_recent,
    f.failing_count,
    f.max_consecutive_failures,
    coalesce(f.slots_recent, 0) AS slots_recent,
    coalesce(f.missed_slots_recent, 0) AS missed_slots_recent,
    f.retention_known_count,
    f.retention_short_count,
    f.retention_depth_min_days,
    f.retention_depth_p50_days,
    coalesce(f.early_loss_recent, 0) AS early_loss_recent,
    r.duration_p50_s,
    r.duration_p95_s,
    r.duration_outlier_count,
    r.empty_count,
    r.tiny_count,
    coalesce(f.stuck_count, 0) AS stuck_count,
    coalesce(f.present_count, 0) AS present_count,
    coalesce(f.ledger_count, 0) AS ledger_count,
    coalesce(f.stored_gib, 0) AS stored_gib,
    g.growth_gib_per_day,
    g.forecast_gib,
    g.forecast_low_gib,
    g.forecast_high_gib,
    coalesce(f.old_manual_count, 0) AS old_manual_count,
    coalesce(f.old_manual_gib, 0) AS old_manual_gib
FROM clock CROSS JOIN projects AS p CROSS JOIN fleet AS f
CROSS JOIN recent AS r LEFT JOIN growth AS g ON true;

COMMENT ON VIEW v_kpi_current IS 'The KPIs as of now_at: exactly one row. "Recent" means the last settings.recent_days full UTC days; the current partial day is not in it. Each KPI''s definition stands at its column.';
COMMENT ON COLUMN v_kpi_current.certified_at IS 'as_of of the last certified run, of the project where it is oldest; null if a project has none. Unit: UTC time.';
COMMENT ON COLUMN v_kpi_current.certificate_age_h IS 'Data freshness: now_at - certified_at. Unit: hours.';
COMMENT ON COLUMN v_kpi_current.project_count IS 'Projects in the lake. Unit: projects.';
COMMENT ON COLUMN v_kpi_current.is_inventory_known IS 'The instances of every project are in the lake.';
COMMENT ON COLUMN v_kpi_current.instance_count IS 'Existing instances of the inventory; null if it cannot be known. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.protected_count IS 'Existing instances with at least one present restore point, of whatever age. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.unprotected_count IS 'Existing instances without any restore point; null if it cannot be known. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.coverage_rate IS 'Coverage: protected_count / instance_count; null if the inventory is not known, because instances without backups are in no backup list. Unit: ratio.';
COMMENT ON COLUMN v_kpi_current.coverage_note IS 'What coverage_rate is a share of, or why it cannot be known.';
COMMENT ON COLUMN v_kpi_current.rpo_met_count IS 'Existing instances whose restore-point age, which is the age of the newest full backup, is within rpo_limit_h. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.rpo_instance_rate IS 'RPO compliance of instances: rpo_met_count / existing instances. Full backups only: a lower bound where increments are on. Unit: ratio.';
COMMENT ON COLUMN v_kpi_current.rpo_missed_count IS 'Existing instances that surely miss the RPO: not within rpo_limit_h, and no increments of theirs could be newer than their newest full backup. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.age_upper_bound_count IS 'Existing instances whose restore-point age is an upper bound, because increments are on and the list of backups shows full ones only. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.rpo_note IS 'What rpo_instance_rate is a share of, and whether ages are upper bounds.';
COMMENT ON COLUMN v_kpi_current.rpo_time_rate IS 'RPO compliance over time: share of the watched instance-seconds of the last settings.trend_days full days with a restore point within the limit. Full backups only: a lower bound where increments are on. Unit: ratio.';
COMMENT ON COLUMN v_kpi_current.restore_point_age_p50_h IS 'Median restore-point age (age of the newest full backup) over existing instances that have one (linear interpolation). Full backups only: an upper bound where increments are on. Unit: hours.';
COMMENT ON COLUMN v_kpi_current.restore_point_age_p95_h IS '95th percentile of it. Unit: hours.';
COMMENT ON COLUMN v_kpi_current.restore_point_age_max_h IS 'Largest of it. Unit: hours.';
COMMENT ON COLUMN v_kpi_current.age_to_24_h_count IS 'Existing instances whose restore point is up to 24 hours old. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.age_24_to_48_h_count IS 'Over 24, up to 48 hours. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.age_2_to_7_days_count IS 'Over 2, up to 7 days. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.age_over_7_days_count IS 'Over 7 days. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.age_none_count IS 'Known existing instances without any restore point. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.completed_recent IS 'Backups that began in the recent days and completed, gone ones too. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.failed_recent IS 'Backups that began in the recent days and failed, gone ones too. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.success_rate_recent IS 'Success rate: completed_recent / (completed_recent + failed_recent), from the ledger, not from the survivors; BUILDING, DISABLED, DELETING and unknown statuses count as neither; null if nothing finished. Unit: ratio.';
COMMENT ON COLUMN v_kpi_current.failing_count IS 'Existing instances with settings.failures_alert or more failures in a row. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.max_consecutive_failures IS 'Longest such row. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.slots_recent IS 'Slots of the policies in the recent days; see v_slot. Unit: slots.';
COMMENT ON COLUMN v_kpi_current.missed_slots_recent IS 'Slots of these without any automated backup. Unit: slots.';
COMMENT ON COLUMN v_kpi_current.retention_known_count IS 'Existing instances with an enabled policy. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.retention_short_count IS 'Instances of these whose oldest automated restore point is younger than the policy promises. Unit: instances.';
COMMENT ON COLUMN v_kpi_current.retention_depth_min_days IS 'Smallest retention depth of these. Unit: days.';
COMMENT ON COLUMN v_kpi_current.retention_depth_p50_days IS 'Median of it. Unit: days.';
COMMENT ON COLUMN v_kpi_current.early_loss_recent IS 'Backups noticed as lost early in the recent days and today. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.duration_p50_s IS 'Median duration of completed_recent. Unit: seconds.';
COMMENT ON COLUMN v_kpi_current.duration_p95_s IS '95th percentile of it (linear interpolation). Unit: seconds.';
COMMENT ON COLUMN v_kpi_current.duration_outlier_count IS 'Recent backups of unusual duration; see v_backup_history.is_duration_outlier. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.empty_count IS 'Recent present backups that are COMPLETED with size zero. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.tiny_count IS 'Recent present backups far below their instance''s median size. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.stuck_count IS 'Backups stuck in BUILDING, of any age. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.present_count IS 'Backups that the service holds now. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.ledger_count IS 'Backups that the lake knows, gone ones too. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.stored_gib IS 'Stored size: sum of the sizes of present completed backups. Unit: GiB.';
COMMENT ON COLUMN v_kpi_current.growth_gib_per_day IS 'Growth of the stored size (Theil-Sen slope over the last settings.trend_days watched days); null with fewer than 7 such days. Unit: GiB per day.';
COMMENT ON COLUMN v_kpi_current.forecast_gib IS 'Stored size settings.trend_days ahead; see v_storage_growth. Unit: GiB.';
COMMENT ON COLUMN v_kpi_current.old_manual_count IS 'Cost-bearing old manual backups; see v_backup_state.is_old_manual. Unit: backups.';
COMMENT ON COLUMN v_kpi_current.old_manual_gib IS 'Their size. Unit: GiB.';
