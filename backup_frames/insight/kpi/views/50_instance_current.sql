-- Up to when a restore point keeps the RPO; a present one that is younger than the limit for now, so
-- that the current moment is covered too.
CREATE MACRO rpo_cover_end(begin_time, gone_at, limit_h, now_at) AS
    least(begin_time + to_seconds(limit_h * 3600), gone_at, now_at + INTERVAL 1 DAY);

CREATE VIEW v_instance_health AS
WITH clock AS MATERIALIZED (SELECT * FROM settings CROSS JOIN v_now),
known AS MATERIALIZED (SELECT * FROM v_instance_ledger),
failures AS (
    SELECT project_id, instance_id, count(*) AS consecutive_failures,
        list_sort(list(failed_at))[any_value(failures_alert)::BIGINT] AS failing_since
    FROM (
        SELECT project_id, instance_id, last_success_at, unnest(failures_at) AS failed_at
        FROM known
    ) CROSS JOIN clock
    WHERE last_success_at IS NULL OR failed_at > last_success_at
    GROUP BY project_id, instance_id
),
failed_last AS (
    SELECT project_id, instance_id, max(failed_at) AS last_failure_at
    FROM (SELECT project_id, instance_id, unnest(failures_at) AS failed_at FROM known)
    GROUP BY project_id, instance_id
),
slots AS (
    SELECT project_id, instance_id,
        count(*) AS slots_recent,
        count(*) FILTER (is_missed) AS missed_slots_recent,
        min(slot_at) FILTER (is_missed) AS first_missed_slot_at,
        max(slot_at) FILTER (is_missed) AS last_missed_slot_at
    FROM v_slot
    WHERE is_recent
    GROUP BY project_id, instance_id
),
gaps AS (
    SELECT period, max(gap_days) AS slot_gap_days FROM v_period_weekday GROUP BY period
),
watch AS (
    SELECT project_id, instance_id,
        greatest(watched_from, today - trend_days) AS from_at,
        least(watched_until, today) AS to_at
    FROM known CROSS JOIN clock
    WHERE watched_from IS NOT NULL
),
-- When each restore point alone kept the RPO: the covers of an instance are disjoint, because each
-- begins where all earlier ones have ended (and is empty if cover_to is not later).
points AS (
    SELECT
        project_id, instance_id, point.begin_time, point.restorable_at AS start_at,
        rpo_cover_end(point.begin_time, point.gone_at, rpo_h + rpo_tolerance_h, now_at) AS cover_to
    FROM (
        SELECT project_id, instance_id, unnest(recent_restore_points) AS point FROM known
    ) CROSS JOIN clock
),
covers AS (
    SELECT
        project_id, instance_id, cover_to,
        greatest(start_at, max(cover_to) OVER earlier) AS cover_from
    FROM points
    WINDOW earlier AS (
        PARTITION BY instance_id, project_id ORDER BY start_at, begin_time
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),
kept AS (
    SELECT w.project_id, w.instance_id,
        sum(epoch(least(s.cover_to, w.to_at)) - epoch(greatest(s.cover_from, w.from_at)))
            AS rpo_met_s
    FROM watch AS w
    JOIN covers AS s ON s.project_id = w.project_id AND s.instance_id = w.instance_id
    WHERE least(s.cover_to, w.to_at) > greatest(s.cover_from, w.from_at)
    GROUP BY w.project_id, w.instance_id
),
joined AS (
    SELECT
        i.* EXCLUDE (
            failures_at, recent_restore_points, first_seen_at, window_start, period
        ),
        epoch(greatest(now_at, i.newest_restore_point_at) - i.newest_restore_point_at) / 3600
            AS restore_point_age_h,
        rpo_h + rpo_tolerance_h AS rpo_limit_h,
        l.last_failure_at,
        coalesce(f.consecutive_failures, 0) AS consecutive_failures,
        f.failing_since,
        coalesce(s.slots_recent, 0) AS slots_recent,
        coalesce(s.missed_slots_recent, 0) AS missed_slots_recent,
        s.first_missed_slot_at,
        s.last_missed_slot_at,
        CASE WHEN i.is_policy_enabled
            THEN coalesce(epoch(now_at) - epoch(i.oldest_auto_at), 0) / 86400 END
            AS retention_depth_days,
        CASE WHEN i.is_policy_enabled THEN least(
            i.keep_days,
            (epoch(now_at) - epoch(greatest(
                coalesce(i.created_at, i.first_auto_at, now_at), i.policy_changed_at
            ))) / 86400
        ) END AS retention_target_days,
        g.slot_gap_days,
        slot_window_h,
        greatest(epoch(w.to_at) - epoch(w.from_at), 0) AS watched_s,
        CASE WHEN w.to_at > w.from_at THEN coalesce(k.rpo_met_s, 0) END AS rpo_met_s
    FROM known AS i
    LEFT JOIN failures AS f USING (project_id, instance_id)
    LEFT JOIN failed_last AS l USING (project_id, instance_id)
    LEFT JOIN slots AS s USING (project_id, instance_id)
    LEFT JOIN gaps AS g ON g.period = i.period AND i.is_policy_enabled
    LEFT JOIN watch AS w USING (project_id, instance_id)
    LEFT JOIN kept AS k USING (project_id, instance_id)
    CROSS JOIN clock
)
SELECT
    * EXCLUDE (slot_window_h),
    coalesce(restore_point_count > 0, false) AS is_protected,
    coalesce(restore_point_age_h <= rpo_limit_h, false) AS is_rpo_met,
    is_incremental_enabled AND restore_point_count > 0 AS is_age_upper_bound,
    rpo_met_s / watched_s AS rpo_time_rate,
    CASE
        WHEN restore_point_age_h IS NULL THEN 'none'
        WHEN restore_point_age_h <= 24 THEN 'up to 24 h'
        WHEN restore_point_age_h <= 48 THEN '24 to 48 h'
        WHEN restore_point_age_h <= 168 THEN '2 to 7 days'
        ELSE 'over 7 days'
    END AS restore_point_age_band,
    retention_depth_days + coalesce(slot_gap_days, 1) + slot_window_h / 24
        >= retention_target_days AS is_retention_met
FROM joined;

COMMENT ON VIEW v_instance_health IS 'Everything that is measured per instance as of now_at, deleted instances included: one row per instance, and one per project for backups without instance_id. v_instance_current is the part of it that exists.';
COMMENT ON COLUMN v_instance_health.watched_s IS 'Part of the last settings.trend_days full days for which the lake vouches for the instance. Unit: seconds.';
COMMENT ON COLUMN v_instance_health.rpo_met_s IS 'Part of watched_s during which a restore point no older than rpo_limit_h was present; a point counts from end_time to gone_at; null if nothing was watched. Full backups only: a lower bound where increments are on. Unit: seconds.';
COMMENT ON COLUMN v_instance_health.rpo_time_rate IS 'RPO compliance over time: rpo_met_s / watched_s. Full backups only: a lower bound where increments are on. Unit: ratio.';
COMMENT ON COLUMN v_instance_health.present_count IS 'Backups that the service holds now, of any status. Unit: backups.';
COMMENT ON COLUMN v_instance_health.restore_point_count IS 'Present completed backups of level Instance. Unit: backups.';
COMMENT ON COLUMN v_instance_health.newest_restore_point_at IS 'begin_time of the newest full backup, which is the newest present restore point of the list: the state a restore would bring back. Unit: UTC time.';
COMMENT ON COLUMN v_instance_health.newest_restore_point_id IS 'backup_id of the newest present restore point.';
COMMENT ON COLUMN v_instance_health.restore_point_age_h IS 'Restore-point age, which is the age of the newest full backup: now_at - begin_time of the newest present restore point, since what was written after it began may be missing from it; null if there is none. Full backups only: an upper bound where increments are on. Unit: hours.';
COMMENT ON COLUMN v_instance_health.rpo_limit_h IS 'settings.rpo_h + settings.rpo_tolerance_h. Unit: hours.';
COMMENT ON COLUMN v_instance_health.last_success_at IS 'Begin of the last restore point that the lake saw, gone ones too. Unit: UTC time.';
COMMENT ON COLUMN v_instance_health.last_failure_at IS 'Begin of the last failed backup of level Instance, gone ones too. Unit: UTC time.';
COMMENT ON COLUMN v_instance_health.consecutive_failures IS 'Failed backups of level Instance begun since the last completed one, from the ledger. Unit: backups.';
COMMENT ON COLUMN v_instance_health.completed_recent IS 'Completed backups begun in the last settings.recent_days full days, gone ones too. Unit: backups.';
COMMENT ON COLUMN v_instance_health.failed_recent IS 'Failed backups begun in the last settings.recent_days full days, gone ones too. Unit: backups.';
COMMENT ON COLUMN v_instance_health.slots_recent IS 'Slots of the policy in the last settings.recent_days full days; see v_slot. Unit: slots.';
COMMENT ON COLUMN v_instance_health.failing_since IS 'Begin of the one of these with which settings.failures_alert was reached; null below it. Unit: UTC time.';
COMMENT ON COLUMN v_instance_health.missed_slots_recent IS 'Slots of these without any automated backup. Unit: slots.';
COMMENT ON COLUMN v_instance_health.first_missed_slot_at IS 'The first of them. Unit: UTC time.';
COMMENT ON COLUMN v_instance_health.last_missed_slot_at IS 'The last of them. Unit: UTC time.';
COMMENT ON COLUMN v_instance_health.retention_depth_days IS 'Retention depth: age of the oldest present automated restore point, 0 if there is none; null without an enabled policy. Unit: days.';
COMMENT ON COLUMN v_instance_health.retention_target_days IS 'What the policy promises: keep_days, or less where the instance or the present form of its policy is younger; null without an enabled policy. Unit: days.';
COMMENT ON COLUMN v_instance_health.slot_gap_days IS 'Longest wait between two slots of the policy; the depth may lag behind the target by this much. Unit: days.';
COMMENT ON COLUMN v_instance_health.is_retention_met IS 'retention_depth_days + slot_gap_days + slot_window_h reach retention_target_days; null without an enabled policy.';
COMMENT ON COLUMN v_instance_health.early_loss_recent IS 'Early losses noticed in the last settings.recent_days days and today; see v_backup_state.is_lost_early. Unit: backups.';
COMMENT ON COLUMN v_instance_health.stuck_count IS 'Backups stuck in BUILDING; see v_backup_state.is_stuck. Unit: backups.';
COMMENT ON COLUMN v_instance_health.stored_gib IS 'Stored size: sum of the sizes of present completed backups. Unit: GiB.';
COMMENT ON COLUMN v_instance_health.old_manual_count IS 'Cost-bearing old manual backups; see v_backup_state.is_old_manual. Unit: backups.';
COMMENT ON COLUMN v_instance_health.old_manual_gib IS 'Their size. Unit: GiB.';
COMMENT ON COLUMN v_instance_health.is_protected IS 'At least one restore point is present, of whatever age.';
COMMENT ON COLUMN v_instance_health.is_rpo_met IS 'RPO compliance of the instance: restore_point_age_h <= rpo_limit_h; false without a restore point. Full backups only: where increments are on, false means that the list does not show it.';
COMMENT ON COLUMN v_instance_health.is_age_upper_bound IS 'restore_point_age_h is an upper bound, because increments are on and the list of backups does not show them.';
COMMENT ON COLUMN v_instance_health.restore_point_age_band IS 'Band of restore_point_age_h: up to 24 h, 24 to 48 h, 2 to 7 days, over 7 days, none.';

CREATE VIEW v_instance_current AS
SELECT * EXCLUDE (is_existing, gone_at, last_gone_at, watched_until)
FROM v_instance_health
WHERE is_existing;

COMMENT ON VIEW v_instance_current IS 'Health of every existing instance as of now_at; one row per instance; key (project_id, instance_id). Without an inventory, only instances with a present backup are in it.';
