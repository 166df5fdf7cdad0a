-- With the number of each instance or project, by which v_exception_history joins.
CREATE VIEW v_control_judged AS
WITH runs AS MATERIALIZED (SELECT project_id, as_of FROM sync_runs),
clock AS MATERIALIZED (
    SELECT *, now_at::DATE AS today
    FROM (SELECT *, now_of((SELECT max(as_of) FROM runs), now_without_runs) AS now_at FROM settings)
),
projects AS MATERIALIZED (SELECT project_id, last_run_at FROM dim_project),
grid AS MATERIALIZED (FROM v_control_grid),
watched AS (SELECT * FROM grid WHERE n < 0),
days AS (SELECT * FROM grid WHERE n > 0),
numbers AS MATERIALIZED (
    SELECT n, any_value(project_id) AS project_id, any_value(instance_id) AS instance_id
    FROM days GROUP BY n
),
-- All that is asked of the backups below, read once: each scan opens every file of the lake.
own AS MATERIALIZED (
    SELECT f.n, b.backup_id, b.backup_type = 'Auto' AS is_auto, b.backup_level = 'Instance' AS is_whole,
        b.status, b.is_completed, b.is_failed, b.is_restore_point, b.is_present, b.begin_time,
        b.end_time, b.restorable_at, b.begin_date, b.gone_at
    FROM fact_backup AS b
    JOIN numbers AS f ON f.project_id = b.project_id AND f.instance_id = b.instance_id
),
-- What promised to keep backups, from when until when.
promising AS MATERIALIZED (
    SELECT f.n, v.from_at, v.to_at, v.period, v.keep_days, v.changed_at, i.created_at,
        i.gone_at AS instance_gone_at
    FROM v_policy_version AS v
    JOIN instances AS i ON i.project_id = v.project_id AND i.instance_id = v.instance_id
    JOIN numbers AS f ON f.project_id = v.project_id AND f.instance_id = v.instance_id
    WHERE v.is_enabled AND v.keep_days > 0
),
-- A fleet has a few periods: each is taken apart once, not once per day.
periods AS (
    SELECT period, string_split(regexp_replace(period, '[^1-7,]', '', 'g'), ',') AS weekdays
    FROM (
        SELECT period FROM backup_policies
        UNION SELECT old_value FROM backup_policy_changes WHERE field = 'period'
    )
),
slots AS NOT MATERIALIZED (
    SELECT days.*, date + try_cast(window_start AS TIME) AS slot_at,
        slot_at + to_seconds(slot_window_h * 3600) AS slot_end, stuck_after_h, now_at
    FROM days CROSS JOIN (SELECT slot_window_h, stuck_after_h, now_at FROM clock)
),
-- What began on each day, or in the slot that opened on it.
tries AS (
    SELECT s.n, s.date, b.backup_id, b.status, b.begin_time,
        CASE
            WHEN b.is_restore_point THEN 4
            WHEN b.status = 'BUILDING' AND b.is_present
                AND b.begin_time < s.now_at - to_seconds(s.stuck_after_h * 3600) THEN 3
            WHEN b.is_failed THEN 2
            ELSE 1
        END AS rank,
        b.begin_time >= s.slot_at AND b.begin_time < s.slot_end AND b.is_auto AS is_in_slot
    FROM slots AS s
    JOIN (
        SELECT *, unnest(
            -- later, no slot of the day before is open any more
            CASE WHEN begin_time < begin_date + to_seconds(slot_window_h * 3600)
                THEN [begin_date - 1, begin_date] ELSE [begin_date] END
        ) AS near
        FROM own CROSS JOIN (SELECT slot_window_h FROM settings)
        WHERE is_whole
    ) AS b ON b.n = s.n AND b.near = s.date
    WHERE b.begin_date = s.date OR (b.begin_time >= s.slot_at AND b.begin_time < s.slot_end)
),
-- The best of a day counts, of equally good ones the last.
tried AS (
    SELECT n, date,
        max({'rank': rank, 'begin_time': begin_time, 'backup_id': backup_id, 'status': status}) AS best,
        count(*) FILTER (is_in_slot) AS in_slot_count
    FROM tries
    GROUP BY n, date
),
success AS (
    SELECT
        s.* EXCLUDE (stuck_after_h, now_at, slot_at, slot_end),
        t.best.backup_id, list_contains(p.weekdays, isodow(date)::VARCHAR) AS is_slot_day, CASE
        WHEN s.unwatched_because IS NOT NULL THEN ['not watched', s.unwatched_because]
        WHEN t.best.rank = 4 AND s.is_policy_known AND s.is_policy_enabled
            AND is_slot_day AND s.slot_at >= coalesce(s.created_at, s.slot_at)
            AND s.slot_end <= s.now_at AND t.in_slot_count = 0
            THEN ['late', 'A backup completed, but none began in the policy''s window.']
        WHEN t.best.rank = 4 THEN ['ok', 'A backup of the day completed.']
        WHEN t.best.rank = 3 THEN ['failed', 'The backup has been BUILDING for too long.']
        WHEN t.best.rank = 2 THEN ['failed', 'No backup of the day completed, and one failed.']
        WHEN t.best.rank = 1 THEN ['unfinished', 'The backup of the day is '
            || coalesce(t.best.status, 'of no status') || ', which is neither success nor failure.']
        WHEN NOT s.is_policy_known
            THEN ['not known', 'None began, and whether one was due is not known: its policy was not read.']
        WHEN NOT s.is_policy_enabled THEN ['not due', 'None began, and the policy was off.']
        WHEN s.slot_at IS NULL OR s.period IS NULL
            THEN ['not known', 'None began, and when the policy takes them cannot be read.']
        WHEN NOT is_slot_day THEN ['not due', 'None began, and the policy takes none on this weekday.']
        WHEN s.slot_at < s.created_at
            THEN ['not due', 'None began; the instance is younger than the policy''s window.']
        WHEN s.slot_end > s.now_at THEN ['unfinished', 'The policy''s window is still open.']
        ELSE ['missed', 'None began, though the policy asks for one.']
    END AS found
    FROM slots AS s
    LEFT JOIN periods AS p USING (period)
    LEFT JOIN tried AS t USING (n, date)
),
-- Retention: on which days an automated restore point was present that is as old as promised.
gaps AS (
    SELECT period, max(gap_days) AS gap_days FROM v_period_weekday GROUP BY period
),
autos AS (
    SELECT n, backup_id, begin_time, restorable_at, gone_at
    FROM own WHERE is_auto AND is_restore_point AND begin_time IS NOT NULL
),
firsts AS (
    SELECT n, min(begin_time) AS first_auto_at FROM own WHERE is_auto GROUP BY n
),
promises AS (
    SELECT v.n, v.from_at, v.to_at, v.keep_days,
        coalesce(g.gap_days, 1) + slot_window_h / 24 AS slack_days,
        greatest(coalesce(v.created_at, f.first_auto_at, now_at), v.changed_at) AS since
    FROM promising AS v
    LEFT JOIN gaps AS g ON g.period = v.period
    LEFT JOIN firsts AS f ON f.n = v.n
    CROSS JOIN clock
),
reaches AS (
    SELECT
        n, b.backup_id, b.begin_time,
        epoch_us(greatest(
            b.restorable_at, p.from_at, first_day,
            CASE WHEN b.begin_time > p.since + to_seconds(p.slack_days * 86400)
                THEN b.begin_time + to_seconds((p.keep_days - p.slack_days) * 86400) END
        )) AS start_us,
        epoch_us(least(b.gone_at, p.to_at - INTERVAL 1 MICROSECOND, today::TIMESTAMP)) AS end_us
    FROM promises AS p JOIN autos AS b USING (n) CROSS JOIN clock
    JOIN (SELECT min(date)::TIMESTAMP AS first_day FROM days) ON first_day IS NOT NULL
),
-- For each day whose end, the next midnight, lies between.
kept AS (
    SELECT n, DATE '1970-01-01' + d::INTEGER AS date,
        min({'begin_time': begin_time, 'backup_id': backup_id}).backup_id AS backup_id
    FROM (
        SELECT n, backup_id, begin_time,
            unnest(range((start_us - 1) // 86400000000, end_us // 86400000000)) AS d
        FROM reaches
    )
    GROUP BY n, d
),
younger AS (
    SELECT n, d.date
    FROM days AS d JOIN promises AS p USING (n)
    WHERE d.day_end >= p.from_at AND d.day_end < p.to_at
        AND (d.day_end <= p.since + to_seconds(p.slack_days * 86400) OR p.keep_days <= p.slack_days)
),
lost AS (
    SELECT n, b.gone_at::DATE AS date, count(*) AS lost_count, min(b.backup_id) AS backup_id
    FROM autos AS b JOIN promising AS v USING (n)
    WHERE b.gone_at >= v.from_at AND b.gone_at < v.to_at
        AND b.begin_time >= coalesce(v.changed_at, b.begin_time)
        AND b.gone_at::DATE < b.begin_time::DATE + v.keep_days
        -- its deletion takes them along, and is seen a day later at most
        AND (v.instance_gone_at IS NULL OR b.gone_at < v.instance_gone_at - INTERVAL 2 DAY)
    GROUP BY ALL
),
stuck AS (
    SELECT n, date, min(backup_id) AS backup_id
    FROM (
        SELECT n, backup_id, unnest(generate_series(
            (begin_time + to_seconds(stuck_after_h * 3600))::DATE::TIMESTAMP,
            -- it was BUILDING until it ended, was gone, or the last full day
            least(
                CASE WHEN status <> 'BUILDING' OR status IS NULL
                    THEN end_time - INTERVAL 1 MICROSECOND END,
                gone_at, today::TIMESTAMP
            )::DATE::TIMESTAMP - INTERVAL 1 DAY,
            INTERVAL 1 DAY
        ))::DATE AS date
        FROM own CROSS JOIN clock
        WHERE begin_time IS NOT NULL AND (
            status = 'BUILDING' OR (is_completed OR is_failed) AND end_time <= now_at
                AND end_time > begin_time + to_seconds(stuck_after_h * 3600)
        )
    )
    GROUP BY ALL
),
weakened AS (
    SELECT n, seen_at::DATE AS date, max(run_id) AS run_id,
        string_agg(change, ' ' ORDER BY seen_at, field, old_seen_at, change)
            FILTER (is_weakening) AS change,
        string_agg(change, ' ' ORDER BY seen_at, field, old_seen_at, change)
            FILTER (is_weakening IS NULL) AS doubt
    FROM v_policy_change JOIN numbers USING (project_id, instance_id)
    WHERE is_weakening IS DISTINCT FROM false
    GROUP BY ALL
),
firsts_of_project AS (
    SELECT project_id, min(date) AS first_day
    FROM (
        SELECT project_id, date FROM days
        UNION ALL SELECT project_id, as_of::DATE FROM runs
        UNION ALL SELECT project_id, today - 1 FROM projects CROSS JOIN clock
        UNION ALL SELECT project_id, today - history_days FROM projects CROSS JOIN clock
        WHERE last_run_at IS NULL AND project_id IN (FROM expected_project)
    )
    GROUP BY project_id
),
-- Of two that began at once, always the same.
points AS (
    SELECT n, begin_time AS restore_point_at, max(backup_id) AS restore_point_id
    FROM own WHERE is_restore_point GROUP BY n, begin_time
),
-- Each result takes its day along: joining the days to eight times as many results costs more.
judged AS (
    SELECT control_id, restore_point_id AS backup_id, NULL::VARCHAR AS own_run_id, CASE
        WHEN unwatched_because IS NOT NULL THEN ['not watched', unwatched_because]
        WHEN control_id = 'has_restore_point' AND restore_point_age_h IS NOT NULL
            THEN ['ok', 'A restore point was present when the day ended.']
        WHEN control_id = 'has_restore_point'
            THEN ['none', 'No restore point was present when the day ended.']
        WHEN rpo_met_s >= watched_s - 0.001
            THEN ['ok', 'At every moment of the day a full backup within the RPO was present.']
        WHEN day_end <= created_at + to_seconds((rpo_h + rpo_tolerance_h) * 3600)
            THEN ['not due', 'The instance was younger than the RPO.']
        WHEN date < created_at + to_seconds((rpo_h + rpo_tolerance_h) * 3600)
            AND restore_point_age_h <= rpo_h + rpo_tolerance_h
            THEN ['ok', 'The day''s end, when the instance was older than the RPO, was within it.']
        WHEN is_incremental THEN ['not known', 'The full backups alone did not keep the RPO, and '
            || 'increments, which were on, are in no list of backups.']
        WHEN restore_point_age_h IS NULL THEN ['missed', 'No restore point was present when the day ended.']
        WHEN restore_point_age_h > rpo_h + rpo_tolerance_h THEN ['missed',
            'The newest full backup was older than the RPO allows when the day ended.']
        ELSE ['missed', 'For a part of the day the newest full backup was older than the RPO allows.']
        END AS found,
        days.*
    FROM days LEFT JOIN points USING (n, restore_point_at) CROSS JOIN clock
    CROSS JOIN (SELECT unnest(['has_restore_point', 'rpo_kept']) AS control_id)
    UNION ALL
    SELECT 'daily_success', backup_id, NULL, found, * EXCLUDE (backup_id, is_slot_day, found) FROM success
    UNION ALL
    SELECT 'policy_enabled', NULL, NULL, CASE
        WHEN proven_at IS NULL THEN ['not watched', unwatched_because]
        WHEN NOT is_policy_known
            THEN ['not known', 'The policy had not been read: it is refused, missing or not asked yet.']
        WHEN unwatched_because IS NOT NULL THEN ['not watched', unwatched_because]
        WHEN is_policy_enabled THEN ['ok', 'The policy was on.']
        ELSE ['off', 'The policy was off.'] END,
        days.*
    FROM days
    UNION ALL
    SELECT 'retention_kept', k.backup_id, NULL, CASE
        WHEN d.unwatched_because IS NOT NULL THEN ['not watched', d.unwatched_because]
        WHEN NOT d.is_policy_known THEN ['not known', 'The policy had not been read.']
        WHEN NOT d.is_policy_enabled THEN ['not due', 'The policy was off and promised nothing.']
        WHEN k.backup_id IS NOT NULL
            THEN ['ok', 'An automated restore point was present that is as old as the policy promises.']
        WHEN y.n IS NOT NULL
            THEN ['ok', 'The instance, or the policy, was too young to have any that old.']
        ELSE ['short', 'No automated restore point was present that is as old as the policy promises: '
            || d.keep_days || ' days.'] END,
        d.*
    FROM days AS d
    LEFT JOIN kept AS k USING (n, date)
    LEFT JOIN younger AS y USING (n, date)
    UNION ALL
    SELECT 'no_early_loss', l.backup_id, NULL, CASE
        WHEN d.unwatched_because IS NOT NULL THEN ['not watched', d.unwatched_because]
        WHEN NOT d.is_policy_known THEN ['not known', 'The policy had not been read.']
        WHEN l.backup_id IS NOT NULL THEN ['lost', l.lost_count
            || CASE WHEN l.lost_count = 1 THEN ' automated restore point was'
                ELSE ' automated restore points were' END
            || ' missed for the first time, before the policy''s days were over.']
        WHEN NOT d.is_policy_enabled THEN ['not due', 'The policy was off and promised nothing.']
        ELSE ['ok', 'No automated restore point was missed too early.'] END,
        d.*
    FROM days AS d
    LEFT JOIN lost AS l USING (n, date)
    UNION ALL
    SELECT 'no_stuck_backup', s.backup_id, NULL, CASE
        WHEN d.unwatched_because IS NOT NULL THEN ['not watched', d.unwatched_because]
        WHEN s.backup_id IS NOT NULL
            THEN ['stuck', 'When the day ended, a backup had been BUILDING for too long.']
        ELSE ['ok', 'No backup had been BUILDING for too long.'] END,
        d.*
    FROM days AS d
    LEFT JOIN stuck AS s USING (n, date)
    UNION ALL
    SELECT 'policy_not_weakened', NULL, w.run_id, CASE
        WHEN w.change IS NOT NULL THEN ['weakened', w.change]
        WHEN d.proven_at IS NULL THEN ['not watched', d.unwatched_because]
        WHEN NOT d.is_policy_known THEN ['not known', 'The policy had not been read before.']
        WHEN d.unwatched_because IS NOT NULL THEN ['not watched', d.unwatched_because]
        WHEN w.doubt IS NOT NULL THEN ['not known', 'Whether it became weaker cannot be told: ' || w.doubt]
        ELSE ['ok', 'No weaker policy was seen.'] END,
        d.*
    FROM days AS d
    LEFT JOIN weakened AS w USING (n, date)
),
of_projects AS (
    SELECT 'list_certified' AS control_id, w.n, w.project_id, w.date, w.proving_run_id, w.own_run_id, CASE
        WHEN w.certified_count > 0 THEN ['ok', 'A run of the day was complete.']
        WHEN p.last_run_at IS NULL OR w.date < r.first_run_day
            THEN ['not watched', 'The lake had no run yet.']
        WHEN w.run_count > 0 THEN ['incomplete', 'No run of the day was complete.']
        WHEN w.is_written THEN ['not known', 'A run wrote rows on the day and left no '
            || 'certificate: it died before, or the file of its certificate was lost.']
        ELSE ['missed', 'No run of the day has left anything in the lake.'] END AS found
    FROM watched AS w
    JOIN firsts_of_project AS f ON f.project_id = w.project_id AND w.date >= f.first_day
    JOIN projects AS p ON p.project_id = w.project_id
    LEFT JOIN (
        SELECT project_id, min(as_of)::DATE AS first_run_day FROM runs GROUP BY project_id
    ) AS r ON r.project_id = w.project_id
    UNION ALL
    SELECT 'has_restore_point', w.n, w.project_id, w.date, w.proving_run_id, NULL, ['not known',
        'The lake has no list of the project''s instances: one without a backup is in no list of backups.']
    FROM watched AS w
    JOIN firsts_of_project AS f ON f.project_id = w.project_id AND w.date >= f.first_day
    WHERE w.project_id NOT IN (FROM v_inventory_project)
),
results AS (
    SELECT control_id, n, project_id, instance_id, instance_name, enterprise_project_id, owner, date,
        found, backup_id, own_run_id, proving_run_id
    FROM judged
    UNION ALL BY NAME FROM of_projects
)
SELECT
    n, control_id, project_id, instance_id, instance_name, enterprise_project_id, owner, date,
    CASE
        WHEN found[1] IN ('ok', 'late') THEN 'ok'
        WHEN found[1] = 'not due' THEN 'not_due'
        WHEN found[1] IN ('not watched', 'not known', 'unfinished') THEN 'cannot_be_known'
        ELSE 'alarm'
    END AS status,
    found[1] AS outcome,
    found[2] AS reason,
    backup_id,
    coalesce(own_run_id, proving_run_id) AS run_id
FROM results;

COMMENT ON VIEW v_control_judged IS 'v_control_result with a number for each instance, and one below 0 for each project; key (control_id, n, date).';
