-- An inventory that names no instance is a file without rows: known, and empty.
CREATE VIEW v_inventory_project AS
SELECT project_id FROM instances
UNION SELECT project_id FROM lake_files WHERE starts_with(file_key, 'instances/');

COMMENT ON VIEW v_inventory_project IS 'The projects whose inventory the lake has read, empty ones too; one row per project; key project_id. Source: instances, lake_files.';

-- Of files, the relations know it without reading them.
CREATE VIEW v_backup_project AS SELECT DISTINCT project_id FROM fact_backup;

COMMENT ON VIEW v_backup_project IS 'The projects that have a backup, as far as no manifest names them; one row per project; key project_id. Source: backups.';

CREATE VIEW v_known_project AS
SELECT project_id, bool_or(is_of_inventory) AS is_inventory_known
FROM (
    SELECT project_id, false AS is_of_inventory FROM sync_runs
    UNION ALL SELECT project_id, false FROM v_backup_project
    UNION ALL SELECT project_id, true FROM instances
    UNION ALL SELECT project_id, starts_with(file_key, 'instances/') FROM lake_files
    UNION ALL SELECT project_id, false FROM expected_project
)
WHERE project_id IS NOT NULL
GROUP BY project_id;

COMMENT ON VIEW v_known_project IS 'The projects of the lake by name, for views that need no more of dim_project; one row per project; key project_id. Source: sync_runs, and the projects of backups, instances and manifests.';

CREATE VIEW dim_project AS
WITH runs AS MATERIALIZED (
    SELECT project_id, endpoint, as_of, verdict, is_ahead, is_certified,
        -- as_of is in whole seconds: of two runs in one, the later is the last
        {'as_of': as_of, 'started_at': started_at, 'run_id': run_id} AS place
    FROM fact_sync_run
),
known AS (
    SELECT
        project_id,
        max_by(endpoint, place) AS endpoint,
        max(as_of) FILTER (NOT is_ahead) AS last_run_at,
        max_by(verdict, place) FILTER (NOT is_ahead) AS last_verdict,
        min(as_of) FILTER (is_certified) AS first_certified_at,
        max(as_of) FILTER (is_certified) AS certified_at
    FROM runs
    GROUP BY project_id
)
SELECT
    project_id,
    known.endpoint,
    known.last_run_at,
    known.last_verdict,
    known.first_certified_at,
    known.certified_at,
    (epoch(now_at) - epoch(known.certified_at)) / 3600 AS certificate_age_h,
    is_inventory_known
FROM v_known_project LEFT JOIN known USING (project_id)
CROSS JOIN (SELECT now_of((SELECT max(as_of) FROM runs), now_without_runs) AS now_at FROM settings);

COMMENT ON VIEW dim_project IS 'One row per project of the lake; key project_id. Source: sync_runs, and the projects of backups, instances and manifests. One that joined after a file was published that points at the lake has no run in it, and so no certificate: publish again.';
COMMENT ON COLUMN dim_project.last_run_at IS 'as_of of the project''s last run, whatever its verdict; runs that are ahead (see fact_sync_run) left out. Unit: UTC time.';
COMMENT ON COLUMN dim_project.last_verdict IS 'Verdict of that run: complete or incomplete.';
COMMENT ON COLUMN dim_project.first_certified_at IS 'as_of of the project''s first certified run; null if there was none. Unit: UTC time.';
COMMENT ON COLUMN dim_project.certified_at IS 'as_of of the last certified run: the numbers are proven up to here; null if no run was. Unit: UTC time.';
COMMENT ON COLUMN dim_project.certificate_age_h IS 'Data freshness: now_at - certified_at. Unit: hours.';
COMMENT ON COLUMN dim_project.is_inventory_known IS 'The lake has read this project''s instances, be they none. Without them nobody can know which instances have no backup.';

CREATE VIEW dim_date AS
WITH days AS (
    SELECT
        unnest(generate_series(
            (today - history_days)::TIMESTAMP, (today + trend_days)::TIMESTAMP, INTERVAL 1 DAY
        ))::DATE AS date,
        today
    FROM v_now CROSS JOIN settings
)
SELECT
    date,
    year(date)::INTEGER AS year,
    quarter(date)::INTEGER AS quarter,
    month(date)::INTEGER AS month,
    strftime(date, '%B') AS month_name,
    day(date)::INTEGER AS day_of_month,
    isoyear(date)::INTEGER AS iso_year,
    week(date)::INTEGER AS iso_week,
    isodow(date)::INTEGER AS weekday,
    strftime(date, '%A') AS weekday_name,
    isodow(date) >= 6 AS is_weekend,
    date < today AS is_full_day
FROM days;

COMMENT ON VIEW dim_date IS 'One row per UTC day from settings.history_days before now_at to settings.trend_days after it, without gaps; key date.';
COMMENT ON COLUMN dim_date.date IS 'The UTC day.';
COMMENT ON COLUMN dim_date.year IS 'Calendar year.';
COMMENT ON COLUMN dim_date.quarter IS 'Quarter of the year, 1 to 4.';
COMMENT ON COLUMN dim_date.month IS 'Month, 1 to 12.';
COMMENT ON COLUMN dim_date.month_name IS 'English name of the month.';
COMMENT ON COLUMN dim_date.day_of_month IS 'Day of the month, 1 to 31.';
COMMENT ON COLUMN dim_date.iso_year IS 'Year that the ISO week belongs to.';
COMMENT ON COLUMN dim_date.iso_week IS 'ISO week, 1 to 53.';
COMMENT ON COLUMN dim_date.weekday IS 'Day of the week as policies count it: 1 = Monday to 7 = Sunday.';
COMMENT ON COLUMN dim_date.weekday_name IS 'English name of the weekday.';
COMMENT ON COLUMN dim_date.is_weekend IS 'Saturday or Sunday.';
COMMENT ON COLUMN dim_date.is_full_day IS 'The day lies wholly before now_at.';
