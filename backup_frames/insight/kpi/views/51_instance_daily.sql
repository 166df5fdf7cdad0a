-- The views on days of instances select from it, and the engine drops what they leave out.
CREATE VIEW v_instance_day AS
WITH clock AS MATERIALIZED (SELECT * FROM settings CROSS JOIN v_now),
fleet AS MATERIALIZED (
    SELECT
        row_number() OVER (ORDER BY project_id, instance_id) AS n,  -- the same at each use
        project_id, instance_id, instance_name, datastore_type, enterprise_project_id, owner,
        created_at, is_existing, is_in_inventory, is_incremental_enabled,
        watched_from, watched_until,
        epoch(greatest(least(watched_from, first_backup_at)::DATE, today - history_days))::BIGINT
            // 86400 AS first_d,
        epoch(least(watched_until::DATE, today - 1))::BIGINT // 86400 AS last_d,
        epoch(greatest(
            coalesce(created_at, least(watched_from, first_backup_at), today - 1)::DATE,
            today - history_days
        ))::BIGINT // 86400 AS existing_from_d,
        epoch(CASE WHEN is_existing THEN today - 1 ELSE least(watched_until::DATE, today) - 1 END
            )::BIGINT // 86400 AS existing_to_d
    FROM dim_instance CROSS JOIN clock
),
-- All that the days are made of, read once; numbers for keys, because sorting and grouping by them
-- takes half the time.
started AS MATERIALIZED (
    SELECT
        f.n, epoch(b.begin_date)::BIGINT // 86400 AS d,
        b.is_completed, b.is_failed, b.is_restore_point,
        CASE WHEN b.is_completed THEN b.size_gib END AS size_gib,
        b.begin_time, b.restorable_at, b.gone_at
    FROM fact_backup AS b
    JOIN fleet AS f ON f.instance_id = b.instance_id AND f.project_id = b.project_id
    WHERE b.begin_date >= (SELECT today - history_days FROM clock)
),
points AS (
    SELECT
        n, begin_time, restorable_at AS start_at, gone_at,
        rpo_cover_end(begin_time, gone_at, rpo_h + rpo_tolerance_h, now_at) AS cover_to,
        now_at + INTERVAL 1 DAY AS open_end
    FROM started CROSS JOIN clock
    WHERE is_restore_point AND restorable_at < now_at AND coalesce(gone_at > restorable_at, true)
),
-- A point matters until a later one that outlives it takes over, or until it is gone. To see that,
-- it is enough to look at the next point, or for a present one at the next that is present too; where
-- that neighbour does not outlive it, end_at is too late, which a maximum forgives.
neighbours AS (
    SELECT
        n, begin_time, start_at, gone_at, cover_to, open_end,
        max(cover_to) OVER earlier AS covered_to,
        -- the values of a neighbour as one, because each window function costs
        CASE WHEN gone_at IS NULL THEN
            lead(CASE WHEN gone_at IS NULL
                THEN {'start_at': start_at, 'begin_time': begin_time, 'gone_at': gone_at} END
                IGNORE NULLS) OVER later
        ELSE lead({'start_at': start_at, 'begin_time': begin_time, 'gone_at': gone_at}) OVER later END
            AS next
    FROM points
    WINDOW
        later AS (PARTITION BY n ORDER BY start_at, begin_time),
        earlier AS (
            PARTITION BY n ORDER BY start_at, begin_time
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
),
-- When each point was the newest one (start to end), and when it alone kept the RPO (from to to).
reaches AS (
    SELECT
        n, begin_time,
        epoch_us(start_at) AS start_us,
        epoch_us(least(
            gone_at,
            CASE WHEN next.begin_time >= begin_time AND coalesce(next.gone_at >= gone_at, true)
                THEN next.start_at END,
            open_end
        )) AS end_us,
        epoch_us(greatest(start_at, covered_to)) AS from_us,
        epoch_us(cover_to) AS to_us
    FROM neighbours
),
spans AS (
    SELECT
        n, r.begin_time, r.start_us, r.end_us,
        greatest(r.from_us, epoch_us(f.watched_from)) AS from_us,
        least(r.to_us, epoch_us(f.watched_until)) AS to_us,
        unnest(generate_series(
            greatest(r.start_us // 86400000000, f.first_d),
            least(greatest(r.end_us, r.to_us) // 86400000000, f.last_d)
        )) AS d
    FROM reaches AS r JOIN fleet AS f USING (n)
),
-- Every day of every instance, every backup on its begin day and every restore point on the days
-- it reaches, one under the other: grouping them once is twice as fast as joining them.
events AS (
    SELECT n, unnest(generate_series(least(first_d, existing_from_d), last_d)) AS d,
        false AS is_backup, false AS is_completed, false AS is_failed, false AS is_restore_point,
        NULL::DOUBLE AS size_gib, NULL::DOUBLE AS met_s, NULL::TIMESTAMP AS restore_point_at
    FROM fleet
    UNION ALL
    SELECT n, d, true, is_completed, is_failed, is_restore_point, size_gib, NULL, NULL
    FROM started
    UNION ALL
    SELECT n, d, false, false, false, false, NULL,
        greatest(least(to_us, (d + 1) * 86400000000) - greatest(from_us, d * 86400000000), 0) / 1e6,
        CASE WHEN start_us < (d + 1) * 86400000000 AND end_us >= (d + 1) * 86400000000
            THEN begin_time END
    FROM spans
),
days AS (
    SELECT
        n, d,
        count(*) FILTER (is_backup) AS backup_count,
        count(*) FILTER (is_completed) AS completed_count,
        count(*) FILTER (is_failed) AS failed_count,
        count(*) FILTER (is_restore_point) AS restore_point_count,
        coalesce(sum(size_gib), 0) AS size_gib,
        coalesce(sum(met_s), 0) AS rpo_met_s,
        max(restore_point_at) AS restore_point_at
    FROM events
    GROUP BY n, d
)
SELECT
    f.*, d.* EXCLUDE (n),
    DATE '1970-01-01' + d.d::INTEGER AS date,
    CASE
        WHEN d.d < f.first_d THEN NULL
        WHEN f.watched_from IS NULL THEN 0
        ELSE greatest(
            least(epoch(f.watched_until), (d.d + 1) * 86400)
            - greatest(epoch(f.watched_from), d.d * 86400), 0
        )
    END AS watched_s
FROM days AS d
JOIN fleet AS f ON f.n = d.n AND d.d BETWEEN least(f.first_d, f.existing_from_d) AND f.last_d;

COMMENT ON VIEW v_instance_day IS 'What v_instance_daily and v_control_day select from: one row per instance and UTC day of either; key (project_id, instance_id, date).';
COMMENT ON COLUMN v_instance_day.n IS 'Number of the instance within one query: cheaper to join by than its key.';
COMMENT ON COLUMN v_instance_day.d IS 'The day. Unit: days since 1970-01-01.';
COMMENT ON COLUMN v_instance_day.first_d IS 'First day of the instance in v_instance_daily. Unit: days since 1970-01-01.';
COMMENT ON COLUMN v_instance_day.last_d IS 'Last day of the instance. Unit: days since 1970-01-01.';
COMMENT ON COLUMN v_instance_day.existing_from_d IS 'First day at whose end the instance existed. Unit: days since 1970-01-01.';
COMMENT ON COLUMN v_instance_day.existing_to_d IS 'Last day at whose end the instance existed. Unit: days since 1970-01-01.';
COMMENT ON COLUMN v_instance_day.restore_point_at IS 'Begin of the newest restore point that was present when the day ended. Unit: UTC time.';

CREATE VIEW v_instance_daily AS
SELECT
    project_id,
    instance_id,
    instance_name,
    datastore_type,
    date,
    backup_count,
    completed_count,
    failed_count,
    backup_count - completed_count - failed_count AS unfinished_count,
    restore_point_count,
    size_gib,
    watched_s > 0 AS is_watched,
    watched_s,
    CASE WHEN watched_s > 0 THEN rpo_met_s END AS rpo_met_s,
    CASE WHEN watched_s > 0 THEN rpo_met_s / watched_s END AS rpo_met_rate,
    CASE WHEN watched_s > 0 THEN ((d + 1) * 86400 - epoch(restore_point_at)) / 3600 END
        AS restore_point_age_h,
    CASE
        WHEN failed_count > 0 AND completed_count > 0 THEN 'partly failed'
        WHEN failed_count > 0 THEN 'failed'
        WHEN restore_point_count > 0 THEN 'completed'
        WHEN completed_count > 0 THEN 'tables only'
        WHEN backup_count > 0 THEN 'unfinished'
        WHEN watched_s > 0 THEN 'none'
        ELSE 'not known'
    END AS day_state
FROM v_instance_day
WHERE d >= first_d;

COMMENT ON VIEW v_instance_daily IS 'Instance x UTC day without gaps: a day without a backup is a row with zeros. From the first backup or the start of the watch to the last full day before now_at (the current day is partial and left out), for deleted instances to the day they were missed; key (project_id, instance_id, date).';
COMMENT ON COLUMN v_instance_daily.backup_count IS 'Backups begun on the day, of any level, type and status, gone ones too. Unit: backups.';
COMMENT ON COLUMN v_instance_daily.completed_count IS 'COMPLETED ones of these. Unit: backups.';
COMMENT ON COLUMN v_instance_daily.failed_count IS 'FAILED ones of these. Unit: backups.';
COMMENT ON COLUMN v_instance_daily.unfinished_count IS 'The others: BUILDING, DISABLED, DELETING or another status, neither success nor failure. Unit: backups.';
COMMENT ON COLUMN v_instance_daily.restore_point_count IS 'Restore points (COMPLETED, level Instance) begun on the day. Unit: backups.';
COMMENT ON COLUMN v_instance_daily.size_gib IS 'Size of the completed backups begun on the day. Unit: GiB.';
COMMENT ON COLUMN v_instance_daily.is_watched IS 'The lake vouches for at least a part of the day; on other days an absent backup may simply have expired before the first sync.';
COMMENT ON COLUMN v_instance_daily.watched_s IS 'Part of the day between dim_instance.watched_from and watched_until. Unit: seconds.';
COMMENT ON COLUMN v_instance_daily.rpo_met_s IS 'Part of watched_s during which a restore point no older than rpo_h + rpo_tolerance_h was present; a point counts from end_time to gone_at. Null on unwatched days. Full backups only: a lower bound where increments are on. Unit: seconds.';
COMMENT ON COLUMN v_instance_daily.rpo_met_rate IS 'RPO compliance over time: rpo_met_s / watched_s; null on unwatched days. Full backups only: a lower bound where increments are on. Unit: ratio.';
COMMENT ON COLUMN v_instance_daily.restore_point_age_h IS 'Age of the newest full backup that was present when the day ended; null if there was none, and on unwatched days. Full backups only: an upper bound where increments are on. Unit: hours.';
COMMENT ON COLUMN v_instance_daily.day_state IS 'completed (a restore point began), tables only (only table-level backups completed), partly failed, failed, unfinished, none (no backup), not known (none, and the day is not watched).';
