CREATE VIEW v_watched_daily AS
WITH runs AS MATERIALIZED (
    SELECT project_id, run_id, as_of, is_certified, present_count,
        {'as_of': as_of, 'started_at': started_at, 'run_id': run_id} AS place
    FROM fact_sync_run
),
clock AS MATERIALIZED (
    SELECT *, now_at::DATE AS today
    FROM (SELECT *, now_of((SELECT max(as_of) FROM runs), now_without_runs) AS now_at FROM settings)
),
-- Of runs within one second the last is the look: no time passed between them.
looks AS MATERIALIZED (
    SELECT project_id, as_of, run_id,
        coalesce(lead(as_of) OVER run_order, now_at) AS next_as_of
    FROM (
        SELECT project_id, as_of, max_by(run_id, place) AS run_id
        FROM runs WHERE is_certified GROUP BY project_id, as_of
    )
    CROSS JOIN clock
    WINDOW run_order AS (PARTITION BY project_id ORDER BY as_of)
),
on_the_day AS (
    SELECT
        project_id, as_of::DATE AS date, count(*) AS run_count,
        count(*) FILTER (is_certified) AS certified_count,
        max_by(run_id, place) FILTER (is_certified) AS certified_run_id,
        max_by(run_id, place) AS last_run_id
    FROM runs
    GROUP BY ALL
),
-- A proof is a day's first certified run: what came, or went, counts from its own day, or from the
-- next if that run did not see it any more.
firsts AS (
    SELECT project_id, as_of::DATE AS date, min(as_of) AS as_of
    FROM looks GROUP BY ALL
),
turns AS MATERIALIZED (
    SELECT
        b.project_id,
        b.first_seen_at::DATE + coalesce(b.first_seen_at > s.as_of, false)::INTEGER AS seen_on,
        b.gone_at::DATE + coalesce(b.gone_at > g.as_of, false)::INTEGER AS gone_on,
        b.first_seen_at::DATE AS first_seen_on,
        b.gone_at::DATE AS missed_on,
        count(*) AS row_count
    FROM backups AS b
    LEFT JOIN firsts AS s ON s.project_id = b.project_id AND s.date = b.first_seen_at::DATE
    LEFT JOIN firsts AS g ON g.project_id = b.project_id AND g.date = b.gone_at::DATE
    GROUP BY ALL
),
days AS (
    SELECT p.project_id, d.date, (d.date + 1)::TIMESTAMP AS day_end,
        n.project_id IS NOT NULL AS is_populated
    FROM v_known_project AS p
    LEFT JOIN (SELECT project_id FROM turns UNION SELECT project_id FROM instances) AS n
        ON n.project_id = p.project_id
    CROSS JOIN (
        SELECT today - unnest(generate_series(1, history_days))::INTEGER AS date FROM clock
    ) AS d
),
written AS (
    SELECT DISTINCT project_id, unnest([first_seen_on, missed_on]) AS date FROM turns
),
-- How many backups the lake has from each such day on.
held AS (
    SELECT project_id, date, sum(sum(step)) OVER (PARTITION BY project_id ORDER BY date) AS row_count
    FROM (
        SELECT project_id, seen_on AS date, row_count AS step FROM turns
        UNION ALL SELECT project_id, gone_on, -row_count FROM turns WHERE gone_on IS NOT NULL
    )
    GROUP BY project_id, date
)
SELECT
    d.project_id,
    d.date,
    CASE WHEN is_populated THEN
        coalesce(epoch(l.next_as_of) - epoch(l.as_of) <= stale_after_h * 3600, false)
    END AS is_watched,
    d.day_end,
    c.as_of AS proven_at,
    c.run_id AS proving_run_id,
    greatest(r.present_count - coalesce(h.row_count, 0), 0)::BIGINT AS lost_count,
    coalesce(o.run_count, 0) AS run_count,
    coalesce(o.certified_count, 0) AS certified_count,
    o.certified_run_id,
    o.last_run_id,
    w.date IS NOT NULL AS is_written
FROM days AS d
ASOF LEFT JOIN looks AS l ON l.project_id = d.project_id AND l.as_of < d.day_end
ASOF LEFT JOIN looks AS c ON c.project_id = d.project_id AND c.as_of >= d.day_end
LEFT JOIN runs AS r ON r.project_id = c.project_id AND r.run_id = c.run_id
ASOF LEFT JOIN held AS h ON h.project_id = c.project_id AND h.date <= c.as_of::DATE
LEFT JOIN on_the_day AS o ON o.project_id = d.project_id AND o.date = d.date
LEFT JOIN written AS w ON w.project_id = d.project_id AND w.date = d.date
CROSS JOIN clock;

COMMENT ON VIEW v_watched_daily IS 'Which days the lake watched, and what its runs prove of them: one row per full UTC day and project; key (project_id, date). On unwatched days, before a project''s first certified run or while its syncs had stopped, the lake knows only what was still there at the next look. Source: sync_runs.';
COMMENT ON COLUMN v_watched_daily.is_watched IS 'The day''s end lies between two certified runs of the project (or the last one and now_at) that are at most settings.stale_after_h apart; null in a project that has neither a backup nor an instance. A day is watched as a whole if it is for each project.';
COMMENT ON COLUMN v_watched_daily.day_end IS 'The midnight that ends the day. Unit: UTC time.';
COMMENT ON COLUMN v_watched_daily.proven_at IS 'as_of of the first certified run after the day ended: what the day left is proven by it; null if there is none yet. Unit: UTC time.';
COMMENT ON COLUMN v_watched_daily.proving_run_id IS 'That run.';
COMMENT ON COLUMN v_watched_daily.run_count IS 'Runs of the day, certified or not. Unit: runs.';
COMMENT ON COLUMN v_watched_daily.certified_count IS 'Certified runs of the day. Unit: runs.';
COMMENT ON COLUMN v_watched_daily.certified_run_id IS 'The last certified run of the day; null if there is none.';
COMMENT ON COLUMN v_watched_daily.last_run_id IS 'The last run of the day; null if there is none.';
COMMENT ON COLUMN v_watched_daily.lost_count IS 'Backups that this run counted in the service''s list and of which the lake no longer has a row: a file was lost, or a crash left it out. Above 0 the day is not proven. Unit: backups.';
COMMENT ON COLUMN v_watched_daily.is_written IS 'A run wrote on the day, with a certificate or without: a backup was first seen on it, or first missed.';
