CREATE VIEW v_backups_current AS
SELECT
    b.* EXCLUDE (instance_name, is_present, gone_at, is_lost_early),
    coalesce(i.instance_name, b.instance_name) AS instance_name,
    (epoch(now_at) - epoch(b.begin_time)) / 3600 AS age_h,
    i.is_existing AS is_instance_existing,
    i.keep_days,
    i.region,
    i.mode
FROM v_backup_state AS b
CROSS JOIN v_now
LEFT JOIN dim_instance AS i
    ON i.project_id = b.project_id AND i.instance_id = b.instance_id
WHERE b.is_present;

COMMENT ON VIEW v_backups_current IS 'The backups that the service holds now, flat for BI: with their instance; one row per present backup; key (project_id, backup_id).';
COMMENT ON COLUMN v_backups_current.age_h IS 'now_at - begin_time. Unit: hours.';
COMMENT ON COLUMN v_backups_current.is_instance_existing IS 'The instance it was taken from still exists; see dim_instance.is_existing.';
