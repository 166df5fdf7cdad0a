CREATE VIEW v_storage_day AS
-- The backups by the days from and until which they were held: one pass over them, and few rows.
-- What never completed was never held; its rows only tell which projects there are.
WITH clock AS MATERIALIZED (SELECT * FROM settings CROSS JOIN v_now),
held AS MATERIALIZED (
    SELECT
        project_id,
        datastore_type,
        CASE WHEN is_completed THEN restorable_at::DATE END AS from_date,
        CASE WHEN is_completed AND gone_at IS NOT NULL
            THEN greatest(gone_at, restorable_at)::DATE END AS until_date,
        sum(size_gib) AS size_gib,
        count(*) AS backup_count
    FROM fact_backup
    GROUP BY ALL
),
changes AS (
    SELECT
        datastore_type,
        unnest([from_date, until_date]) AS date,
        unnest([size_gib, -size_gib]) AS change_gib,
        unnest([backup_count, -backup_count]) AS change_count
    FROM held
    WHERE from_date IS NOT NULL
),
daily AS MATERIALIZED (
    SELECT
        coalesce(datastore_type, 'unknown') AS datastore_type,
        greatest(date, today - history_days) AS date,
        sum(change_gib) AS change_gib,
        sum(change_count) AS change_count
    FROM changes CROSS JOIN clock
    WHERE date IS NOT NULL
    GROUP BY ALL
),
running AS (
    SELECT
        e.datastore_type,
        d.date,
        sum(c.change_gib) OVER so_far AS stored_gib,
        sum(c.change_count) OVER so_far AS stored_count
    FROM (SELECT DISTINCT datastore_type FROM daily) AS e
    CROSS JOIN (
        SELECT date
        FROM (SELECT today - unnest(generate_series(1, history_days))::INTEGER AS date FROM clock)
        WHERE date >= (SELECT min(date) FROM daily)
    ) AS d
    LEFT JOIN daily AS c ON c.datastore_type = e.datastore_type AND c.date = d.date
    WINDOW so_far AS (PARTITION BY e.datastore_type ORDER BY d.date)
)
SELECT
    datastore_type,
    date,
    greatest(coalesce(stored_gib, 0), 0) AS stored_gib,
    coalesce(stored_count, 0)::BIGINT AS stored_count
FROM running;

COMMENT ON VIEW v_storage_day IS 'v_storage_daily without which days were watched; key (datastore_type, date).';

CREATE VIEW v_storage_daily AS
SELECT datastore_type, date, stored_gib, stored_count, coalesce(is_watched, false) AS is_watched
FROM v_storage_day
LEFT JOIN (SELECT date, bool_and(is_watched) AS is_watched FROM v_watched_daily GROUP BY date)
    USING (date);

COMMENT ON VIEW v_storage_daily IS 'Stored size at the end of each full UTC day per engine; key (datastore_type, date). A completed backup counts from end_time until gone_at. Source: backups of the lake.';
COMMENT ON COLUMN v_storage_daily.stored_gib IS 'Sum of the sizes of completed backups present at the end of the day. Unwatched days hold only what survived until the next look. Unit: GiB.';
COMMENT ON COLUMN v_storage_daily.stored_count IS 'Number of these backups. Unit: backups.';
COMMENT ON COLUMN v_storage_daily.is_watched IS 'The lake watched the day for every project (see v_watched_daily): nothing had expired unseen.';

CREATE VIEW v_storage_growth AS
WITH engines AS MATERIALIZED (
    SELECT datastore_type, date, stored_gib, trend_days
    FROM v_storage_daily CROSS JOIN settings CROSS JOIN v_now
    WHERE is_watched AND date >= today - trend_days
),
recent AS (
    SELECT datastore_type, epoch(date) / 86400 AS x, date, stored_gib AS y FROM engines
    UNION ALL
    SELECT 'all', epoch(date) / 86400, date, sum(stored_gib) FROM engines GROUP BY date
),
slopes AS (
    SELECT a.datastore_type, list_sort(list((b.y - a.y) / (b.x - a.x))) AS slopes
    FROM recent AS a JOIN recent AS b ON b.datastore_type = a.datastore_type AND b.x > a.x
    GROUP BY a.datastore_type
),
sizes AS (
    SELECT datastore_type, count(*) AS day_count, max(date) AS last_date,
        max_by(y, x) AS stored_gib, any_value(trend_days) AS trend_days
    FROM recent CROSS JOIN settings
    GROUP BY datastore_type
),
ranked AS (
    SELECT *,
        len(slopes) AS pair_count,
        1.96 * sqrt(day_count * (day_count - 1) * (2 * day_count + 5) / 18.0) AS reach
    FROM sizes JOIN slopes USING (datastore_type)
    WHERE day_count >= 7
),
lines AS (
    SELECT
        datastore_type, last_date, day_count, stored_gib, trend_days,
        (slopes[(pair_count + 1) // 2] + slopes[(pair_count + 2) // 2]) / 2 AS growth_gib_per_day,
        slopes[greatest(floor((pair_count - reach) / 2)::BIGINT, 1)] AS growth_low_gib_per_day,
        slopes[least(ceil((pair_count + reach) / 2)::BIGINT + 1, pair_count)]
            AS growth_high_gib_per_day
    FROM ranked
)
SELECT
    *,
    greatest(stored_gib + growth_gib_per_day * trend_days, 0) AS forecast_gib,
    greatest(stored_gib + growth_low_gib_per_day * trend_days, 0) AS forecast_low_gib,
    greatest(stored_gib + growth_high_gib_per_day * trend_days, 0) AS forecast_high_gib
FROM lines;

COMMENT ON VIEW v_storage_growth IS 'How the stored size grows: one row per engine, and one with datastore_type = all for their sum; key datastore_type. From the watched full days among the last settings.trend_days; no row for fewer than 7 such days, because a slope of less would be a guess.';
COMMENT ON COLUMN v_storage_growth.last_date IS 'Last full day: the forecast starts here.';
COMMENT ON COLUMN v_storage_growth.day_count IS 'Days behind the slope. Unit: days.';
COMMENT ON COLUMN v_storage_growth.trend_days IS 'Reach of the forecast: settings.trend_days. Unit: days.';
COMMENT ON COLUMN v_storage_growth.growth_gib_per_day IS 'Theil-Sen slope: the median of the slopes between all pairs of days, so that single jumps do not carry it. Unit: GiB per day.';
COMMENT ON COLUMN v_storage_growth.growth_low_gib_per_day IS 'Lower end of the slope''s 95 % interval (Sen, from Kendall''s variance). Unit: GiB per day.';
COMMENT ON COLUMN v_storage_growth.growth_high_gib_per_day IS 'Upper end of it. Unit: GiB per day.';
COMMENT ON COLUMN v_storage_growth.forecast_gib IS 'Stored size trend_days after last_date if it grows on like this. Unit: GiB.';
COMMENT ON COLUMN v_storage_growth.forecast_low_gib IS 'The same with the lower slope. Unit: GiB.';
COMMENT ON COLUMN v_storage_growth.forecast_high_gib IS 'The same with the upper slope. Unit: GiB.';
