CREATE VIEW v_watched_daily AS
WITH looks AS (
    SELECT project_id, as_of, coalesce(lead(as_of) OVER run_order, now_at) AS next_as_of
    FROM fact_sync_run CROSS JOIN v_now
    WHERE is_certified
    WINDOW run_order AS (PARTITION BY project_id ORDER BY as_of)
),
days AS (
    SELECT project_id, date, (date + 1)::TIMESTAMP AS day_end
    FROM (SELECT project_id FROM backups UNION SELECT project_id FROM instances)
    CROSS JOIN dim_date
    WHERE is_full_day
)
SELECT
    d.project_id,
    d.date,
    coalesce(epoch(l.next_as_of) - epoch(l.as_of) <= stale_after_h * 3600, false) AS is_watched
FROM days AS d
ASOF LEFT JOIN looks AS l ON l.project_id = d.project_id AND l.as_of < d.day_end
CROSS JOIN settings;

COMMENT ON VIEW v_watched_daily IS 'Which days the lake watched: one row per full UTC day and project that has a backup or an instance; key (project_id, date). On other days, before a project''s first certified run or while its syncs had stopped, the lake knows only what was still there at the next look. Source: sync_runs.';
COMMENT ON COLUMN v_watched_daily.is_watched IS 'The day''s end lies between two certified runs of the project (or the last one and now_at) that are at most settings.stale_after_h apart. A day is watched as a whole if it is for each project.';
