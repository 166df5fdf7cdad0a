CREATE VIEW v_exceptions AS
WITH clock AS MATERIALIZED (SELECT * FROM settings CROSS JOIN v_now),
instances_now AS MATERIALIZED (
    SELECT i.*, failures_alert
    FROM v_instance_current AS i CROSS JOIN settings
),
backups_now AS MATERIALIZED (
    SELECT
        project_id, instance_id, instance_name, backup_id, begin_time, gone_at, held_days,
        duration_s, duration_median_s, size_kb, size_median_kb, is_present, is_recent,
        is_gone_recently, is_stuck, is_old_manual, is_lost_early, is_empty, is_tiny,
        is_duration_outlier, stuck_after_h, tiny_share, old_manual_days
    FROM v_backup_history CROSS JOIN settings
    WHERE (is_stuck OR is_old_manual OR is_lost_early OR is_empty OR is_tiny OR is_duration_outlier)
        -- Says nothing new of what is asked below, but is known before a backup's instance is looked up.
        AND (is_stuck OR is_old_manual OR is_gone_recently OR is_recent)
),
found AS (
    SELECT 'unprotected' AS kind, 1 AS severity, project_id, instance_id, instance_name,
        NULL::VARCHAR AS backup_id, coalesce(last_success_at, created_at, watched_from) AS since,
        0::DOUBLE AS measured, 1::DOUBLE AS limit_value, 'restore points' AS unit,
        'The instance exists and has no restore point.' AS message,
        coalesce(last_restore_point_gone_at, created_at, watched_from) AS opened_at
    FROM instances_now WHERE NOT is_protected
    UNION ALL
    SELECT 'rpo missed', CASE WHEN is_age_upper_bound THEN 3 ELSE 1 END, project_id, instance_id,
        instance_name, newest_restore_point_id, newest_restore_point_at, restore_point_age_h,
        rpo_limit_h, 'h', 'The newest full backup is older than the RPO allows'
            || CASE WHEN is_age_upper_bound THEN ': an upper bound, since increments are on and '
                'the list of backups does not show them.' ELSE '.' END,
        newest_restore_point_at + to_seconds(rpo_limit_h * 3600)
    FROM instances_now WHERE is_protected AND NOT is_rpo_met
    UNION ALL
    SELECT 'failing', 1, project_id, instance_id, instance_name, NULL, last_failure_at,
        consecutive_failures, failures_alert, 'backups',
        'The last backups failed, one after the other.', failing_since
    FROM instances_now WHERE consecutive_failures >= failures_alert
    UNION ALL
    SELECT 'stale data', 1, project_id, NULL, NULL, NULL, certified_at, certificate_age_h,
        stale_after_h, 'h', 'No certified run lately: newer changes are not proven.',
        certified_at + to_seconds(stale_after_h * 3600)
    FROM dim_project CROSS JOIN settings
    WHERE coalesce(certificate_age_h > stale_after_h, true)
    UNION ALL
    SELECT 'clock ahead', 2, project_id, NULL, NULL, NULL, max(as_of),
        (epoch(max(as_of)) - epoch(utc_now())) / 3600, 0, 'h',
        'A sync ran by a clock ahead of this one: its time proves nothing.', min(as_of)
    FROM fact_sync_run WHERE is_ahead GROUP BY project_id
    UNION ALL
    SELECT 'early loss', 1, project_id, instance_id, instance_name, backup_id, gone_at,
        held_days, NULL, 'days', 'The backup was gone before the policy''s keep_days were over.',
        gone_at
    FROM backups_now WHERE is_lost_early AND is_gone_recently
    UNION ALL
    SELECT 'missed slots', 2, project_id, instance_id, instance_name, NULL, last_missed_slot_at,
        missed_slots_recent, 0, 'slots', 'No automated backup started where the policy has a slot.',
        first_missed_slot_at
    FROM instances_now WHERE missed_slots_recent > 0
    UNION ALL
    SELECT 'retention short', 2, project_id, instance_id, instance_name, NULL, NULL,
        retention_depth_days, retention_target_days, 'days',
        'The oldest automated restore point is younger than the policy promises.', NULL
    FROM instances_now WHERE NOT is_retention_met
    UNION ALL
    SELECT 'policy off', 2, i.project_id, i.instance_id, i.instance_name, NULL,
        coalesce(p.policy_changed_at, p.first_seen_at), NULL, NULL, NULL,
        'The policy takes no automated backups.', coalesce(p.policy_changed_at, p.first_seen_at)
    FROM instances AS i
    JOIN (
        SELECT *, CASE WHEN updated_at > first_seen_at THEN updated_at END AS policy_changed_at
        FROM backup_policies
    ) AS p ON p.project_id = i.project_id AND p.instance_id = i.instance_id
    WHERE i.gone_at IS NULL AND p.is_enabled IS NOT NULL
        AND NOT coalesce(p.is_enabled AND p.keep_days > 0, false)
    UNION ALL
    SELECT 'policy weakened', 2, c.project_id, c.instance_id, any_value(i.instance_name), NULL,
        min(c.seen_at), NULL, NULL, NULL,
        string_agg(c.change, ' ' ORDER BY c.seen_at, c.field, c.old_seen_at, c.change),
        min(c.seen_at)
    FROM v_policy_change AS c
    JOIN instances AS i ON i.project_id = c.project_id AND i.instance_id = c.instance_id
    CROSS JOIN clock
    WHERE c.is_weakening AND i.gone_at IS NULL AND c.seen_at >= today - recent_days
    GROUP BY c.project_id, c.instance_id
    UNION ALL
    SELECT 'stuck', 2, project_id, instance_id, instance_name, backup_id, begin_time,
        held_days * 24, stuck_after_h, 'h', 'The backup has been BUILDING for too long.',
        begin_time + to_seconds(stuck_after_h * 3600)
    FROM backups_now WHERE is_stuck
    UNION ALL
    SELECT 'empty', 2, project_id, instance_id, instance_name, backup_id, begin_time,
        size_kb, 0, 'KB', 'The backup is COMPLETED and has a size of zero.', begin_time
    FROM backups_now WHERE is_empty AND is_present AND is_recent
    UNION ALL
    SELECT 'tiny', 3, project_id, instance_id, instance_name, backup_id, begin_time,
        size_kb, tiny_share * size_median_kb, 'KB',
        'The backup is far smaller than its instance''s usual ones.', begin_time
    FROM backups_now WHERE is_tiny AND is_present AND is_recent
    UNION ALL
    SELECT 'unusual duration', 3, project_id, instance_id, instance_name, backup_id, begin_time,
        duration_s, duration_median_s, 's', 'The backup took far from its instance''s usual time.',
        begin_time
    FROM backups_now WHERE is_duration_outlier AND is_recent
    UNION ALL
    SELECT 'old manual', 3, project_id, instance_id, instance_name, backup_id, begin_time,
        held_days, old_manual_days, 'days', 'The manual backup costs storage until it is deleted.',
        begin_time + to_days(old_manual_days::INTEGER)
    FROM backups_now WHERE is_old_manual
    UNION ALL
    SELECT 'odd value', 3, b.project_id, b.instance_id, b.instance_name, b.backup_id, b.begin_time,
        NULL, NULL, NULL, 'The service sent for ' || o.field || ' what it cannot be: ' || o.sent,
        b.first_seen_at
    FROM v_odd_value AS o
    JOIN fact_backup AS b ON b.project_id = o.project_id AND b.backup_id = o.backup_id
)
SELECT f.* EXCLUDE (opened_at), opened_at::DATE AS opened_on, NULL::DATE AS closed_on,
    today - opened_at::DATE AS days_open,
    i.enterprise_project_id,
    (
        SELECT arg_min(o.owner, o.position)
        FROM owner_rule AS o
        WHERE coalesce(o.enterprise_project_id = i.enterprise_project_id, o.enterprise_project_id IS NULL)
            AND coalesce(coalesce(i.instance_name, f.instance_name) GLOB o.instance_name,
                o.instance_name IS NULL)
    ) AS owner
FROM found AS f
LEFT JOIN instances AS i ON i.project_id = f.project_id AND i.instance_id = f.instance_id
CROSS JOIN clock;

COMMENT ON VIEW v_exceptions IS 'What somebody should look at: one row per finding, of an instance, a backup or a project. Kinds: unprotected, rpo missed, failing, stale data, early loss, missed slots, retention short, policy off, policy weakened, stuck, empty, tiny, unusual duration, old manual, odd value, clock ahead. Findings about single backups and weakened policies reach back settings.recent_days, stuck, old manual and odd ones any time.';
COMMENT ON COLUMN v_exceptions.opened_on IS 'The day on which it became one: the RPO ran out, the failure that made it an alarm, the loss, the change, the first missed slot; null where the ledger cannot tell (retention short, and a project that was never certified). What was one and is none any more stands in v_exception_history. Unit: UTC day.';
COMMENT ON COLUMN v_exceptions.closed_on IS 'Null: each of these is open. Of those that are closed v_exception_history has the day. Unit: UTC day.';
COMMENT ON COLUMN v_exceptions.days_open IS 'From opened_on to the day of now_at. Unit: days.';
COMMENT ON COLUMN v_exceptions.owner IS 'Who answers for the instance, by owner_rule; null if no rule fits.';
COMMENT ON COLUMN v_exceptions.kind IS 'What was found; see the view''s description.';
COMMENT ON COLUMN v_exceptions.severity IS '1 = data could not be restored or the numbers are not proven, 2 = the policy is not kept, 3 = worth a look. A missed RPO is 1, and 3 where increments are on: then the age is an upper bound.';
COMMENT ON COLUMN v_exceptions.since IS 'Since when, or when it happened: the last restore point, failure or missed slot, the backup''s begin, the loss; null where it has no moment. Unit: UTC time.';
COMMENT ON COLUMN v_exceptions.measured IS 'What was measured, in the unit of the column unit.';
COMMENT ON COLUMN v_exceptions.limit_value IS 'What it was measured against, in the same unit; null if it is a matter of yes or no.';
COMMENT ON COLUMN v_exceptions.unit IS 'Unit of measured and limit_value.';
COMMENT ON COLUMN v_exceptions.message IS 'The finding in a sentence.';
