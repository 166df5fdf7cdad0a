CREATE VIEW dim_control AS
SELECT control_id, title, definition, threshold, source, grain, exception_kinds
FROM settings CROSS JOIN (VALUES
    (1, 'has_restore_point', 'Has a restore point',
        'When the day ended, at least one COMPLETED backup of the whole instance was in the service''s list.',
        '1 restore point', 'backups, instances, sync_runs', 'instance', 'unprotected'),
    (2, 'daily_success', 'Daily success',
        'A backup of the whole instance that began on the day (UTC), or in the policy''s window that opened on it, completed; else it is an alarm if one failed, or if the policy asked for one on this weekday. Late means that one completed and none began in the window.',
        NULL, 'backups, backup_policies, backup_policy_changes, sync_runs', 'instance',
        'failing, missed slots'),
    (3, 'rpo_kept', 'RPO kept',
        'At every moment of the day a full backup no older than the limit was present. Where increments are on, which no list shows, a miss cannot be known.',
        NULL, 'backups, instances, sync_runs', 'instance', 'rpo missed'),
    (4, 'policy_enabled', 'Policy enabled',
        'When the day ended, the policy for automated backups was on and kept them for at least a day. A policy is read at least once a week: a change may be seen up to a week late.',
        'on', 'backup_policies, backup_policy_changes', 'instance', 'policy off'),
    (5, 'retention_kept', 'Retention kept',
        'When the day ended, the oldest automated restore point was as old as the policy of the day promised, less the longest wait between two of its slots; younger instances and newer policies are judged by their age.',
        'keep_days of the policy', 'backups, backup_policies, backup_policy_changes', 'instance',
        'retention short'),
    (6, 'no_early_loss', 'No early loss',
        'No automated restore point was missed for the first time on the day, before the days were over that the policy promised it, from its begin until then unchanged.',
        'keep_days of the policy', 'backups, backup_policies, backup_policy_changes', 'instance',
        'early loss'),
    (7, 'no_stuck_backup', 'No stuck backup',
        'When the day ended, no backup had been BUILDING for longer than the limit.',
        NULL, 'backups', 'instance', 'stuck'),
    (8, 'list_certified', 'List certified that day',
        'A run of the day (UTC) was complete: every backup that the service showed to these credentials is in the lake.',
        '1 run', 'sync_runs', 'project', 'stale data, clock ahead'),
    (9, 'policy_not_weakened', 'Policy not weakened',
        'No change of the policy was first seen on the day that shortened retention, switched it off, or removed weekdays. A policy is read at least once a week.',
        'no weakening', 'backup_policy_changes', 'instance', 'policy weakened')
) AS control (place, control_id, title, definition, fixed, source, grain, exception_kinds)
CROSS JOIN LATERAL (SELECT coalesce(fixed, CASE control_id
    WHEN 'daily_success' THEN format('began within {:g} h of the window', slot_window_h)
    WHEN 'rpo_kept' THEN format('{:g} h + {:g} h tolerance', rpo_h, rpo_tolerance_h)
    WHEN 'no_stuck_backup' THEN format('{:g} h', stuck_after_h)
END) AS threshold)
ORDER BY place;

COMMENT ON VIEW dim_control IS 'What is checked of every day: one row per control; key control_id. The results stand in v_control_result.';
COMMENT ON COLUMN dim_control.control_id IS 'Short name of the control.';
COMMENT ON COLUMN dim_control.title IS 'Name of the control for people.';
COMMENT ON COLUMN dim_control.definition IS 'When the control is ok, in words.';
COMMENT ON COLUMN dim_control.threshold IS 'What is measured against; from settings or the policy.';
COMMENT ON COLUMN dim_control.source IS 'Tables of the lake that the control is judged by.';
COMMENT ON COLUMN dim_control.grain IS 'What has one result per day: instance or project.';
COMMENT ON COLUMN dim_control.exception_kinds IS 'Kinds of v_exceptions that tell the same of now, joined by commas.';
