CREATE VIEW fact_backup AS
SELECT
    project_id,
    backup_id,
    name,
    description,
    instance_id,
    instance_name,
    datastore_type,
    datastore_version,
    backup_type,
    backup_level,
    status,
    status = 'COMPLETED' AS is_completed,
    status = 'FAILED' AS is_failed,
    status = 'COMPLETED' AND backup_level = 'Instance' AS is_restore_point,
    gone_at IS NULL AS is_present,
    size_kb,
    size_kb / 1048576.0 AS size_gib,
    begin_time,
    end_time,
    coalesce(end_time, begin_time) AS restorable_at,
    begin_date,
    hour(begin_time)::INTEGER AS begin_hour,
    CASE WHEN end_time >= begin_time
        THEN (epoch_us(end_time) - epoch_us(begin_time)) / 1e6 END AS duration_s,
    database_count,
    first_seen_at,
    updated_at,
    gone_at,
    extra
FROM backups;

COMMENT ON VIEW fact_backup IS 'One row per backup that the lake ever saw, present or gone; key (project_id, backup_id). Times are UTC without zone. Join dim_instance on (project_id, instance_id) and dim_date on begin_date = date. Source: backups of the lake.';
COMMENT ON COLUMN fact_backup.is_completed IS 'status is COMPLETED: a success. BUILDING, DISABLED and DELETING (on their way out) and statuses that nobody knows are neither success nor failure, and no restore point.';
COMMENT ON COLUMN fact_backup.is_failed IS 'status is FAILED: a failure.';
COMMENT ON COLUMN fact_backup.is_restore_point IS 'COMPLETED and of level Instance: a full backup from which the whole instance could be restored while it is present. Table-level backups hold some tables only; increments are in no list of backups.';
COMMENT ON COLUMN fact_backup.is_present IS 'The backup was in the list at the last certified look (gone_at is null).';
COMMENT ON COLUMN fact_backup.size_gib IS 'Size of the backup: size_kb / 1,048,576. Unit: GiB.';
COMMENT ON COLUMN fact_backup.restorable_at IS 'When it could first be restored: end_time, or begin_time where the service sent no end. Unit: UTC time.';
COMMENT ON COLUMN fact_backup.begin_hour IS 'Hour of begin_time, 0 to 23. Unit: UTC hour.';
COMMENT ON COLUMN fact_backup.duration_s IS 'end_time - begin_time; null while unknown or if the end lies before the begin. Unit: seconds.';

CREATE VIEW fact_backup_database AS
SELECT
    project_id,
    backup_id,
    database_index,
    database_name,
    table_count,
    is_whole_database,
    begin_date
FROM backup_databases;

COMMENT ON VIEW fact_backup_database IS 'One row per database named by a backup; key (project_id, backup_id, database_index). Source: backup_databases of the lake, from the API field database_tables.';

CREATE VIEW fact_backup_table AS
SELECT
    project_id,
    backup_id,
    database_index,
    table_index,
    database_name,
    table_name,
    begin_date
FROM backup_tables;

COMMENT ON VIEW fact_backup_table IS 'One row per table named by a backup; key (project_id, backup_id, database_index, table_index). Source: backup_tables of the lake, from the API field table_names.';
