CREATE VIEW v_policy_change AS
-- What is no weekday leaves an empty text on both sides, which then does not count; with no weekday at
-- all it is not known which were meant.
WITH changes AS (
    SELECT *,
        CASE WHEN regexp_matches(old_value, '[1-7]')
            THEN string_split(regexp_replace(old_value, '[^1-7,]', '', 'g') || ',', ',') END AS old_weekdays,
        CASE WHEN regexp_matches(new_value, '[1-7]')
            THEN string_split(regexp_replace(new_value, '[^1-7,]', '', 'g') || ',', ',') END AS new_weekdays,
        -- what was off promised nothing, whatever else could not be read of it
        bool_or(field = 'is_enabled' AND old_value = 'false' AND new_value = 'true')
            OVER (PARTITION BY project_id, instance_id, seen_at) AS is_switched_on
    FROM backup_policy_changes
),
runs AS MATERIALIZED (
    SELECT project_id, as_of, max(run_id) AS run_id FROM sync_runs GROUP BY ALL
)
SELECT
    c.* EXCLUDE (old_weekdays, new_weekdays, is_switched_on),
    coalesce(CASE c.field
        WHEN 'keep_days' THEN try_cast(c.new_value AS INTEGER) < try_cast(c.old_value AS INTEGER)
        WHEN 'is_enabled' THEN c.old_value = 'true' AND c.new_value = 'false'
        WHEN 'period' THEN NOT list_has_all(new_weekdays, old_weekdays)
        ELSE false
    END, CASE WHEN is_switched_on THEN false END) AS is_weakening,
    CASE c.field
        WHEN 'keep_days' THEN 'Retention went from ' || coalesce(c.old_value, 'unknown') || ' to '
            || coalesce(c.new_value, 'unknown') || ' days'
        WHEN 'is_enabled' THEN CASE WHEN c.new_value = 'true' THEN 'It was switched on'
            WHEN c.new_value = 'false' THEN 'It was switched off' ELSE 'Whether it is on became unknown' END
        WHEN 'period' THEN 'Its weekdays went from ' || coalesce(c.old_value, 'unknown') || ' to '
            || coalesce(c.new_value, 'unknown')
        WHEN 'is_readable' THEN CASE WHEN c.new_value = 'true' THEN 'It could be read again'
            ELSE 'It could no longer be read: it is refused or missing' END
        ELSE c.field || ' went from ' || coalesce(c.old_value, 'unknown') || ' to '
            || coalesce(c.new_value, 'unknown')
    END || ', between ' || strftime(c.old_seen_at, '%Y-%m-%d %H:%M') || ' and '
        || strftime(c.seen_at, '%Y-%m-%d %H:%M') || ' UTC.' AS change,
    before.run_id AS old_run_id,
    after.run_id
FROM changes AS c
LEFT JOIN runs AS before
    ON before.project_id = c.project_id AND before.as_of = c.old_seen_at
LEFT JOIN runs AS after
    ON after.project_id = c.project_id AND after.as_of = c.seen_at;

COMMENT ON VIEW v_policy_change IS 'Changes of backup policies in words, and which of them weaken a policy; key (project_id, instance_id, seen_at, field). Source: backup_policy_changes. A policy is read at least once a week, so a change may be seen that much later.';
COMMENT ON COLUMN v_policy_change.is_weakening IS 'Retention was shortened, the policy was switched off, or weekdays were removed; null if that cannot be known, because the old or the new value cannot be read.';
COMMENT ON COLUMN v_policy_change.change IS 'The change in a sentence.';
COMMENT ON COLUMN v_policy_change.old_run_id IS 'The run that last read the old value; null where the lake does not know it.';
COMMENT ON COLUMN v_policy_change.run_id IS 'The run that first read the new value.';

CREATE VIEW v_policy_version AS
WITH changes AS (
    -- of two changes in one second, the first was seen to change the older value
    SELECT *, {'seen_at': seen_at, 'old_seen_at': old_seen_at, 'old_value': old_value} AS place
    FROM backup_policy_changes WHERE field <> 'is_readable'
),
ends AS (
    SELECT DISTINCT project_id, instance_id, seen_at AS to_at FROM changes
    UNION ALL
    SELECT project_id, instance_id, TIMESTAMP '9999-12-31' FROM backup_policies
),
spans AS (
    SELECT
        project_id, instance_id, to_at,
        lag(to_at) OVER (PARTITION BY project_id, instance_id ORDER BY to_at) AS changed_at
    FROM ends
),
olds AS (
    SELECT
        s.project_id, s.instance_id, s.to_at, s.changed_at,
        arg_min({'value': c.old_value}, c.place) FILTER (c.field = 'is_enabled') AS is_enabled,
        arg_min({'value': c.old_value}, c.place) FILTER (c.field = 'keep_days') AS keep_days,
        arg_min({'value': c.old_value}, c.place) FILTER (c.field = 'window_start') AS window_start,
        arg_min({'value': c.old_value}, c.place) FILTER (c.field = 'period') AS period,
        max(c.seen_at) AS last_change_at
    FROM spans AS s
    LEFT JOIN changes AS c ON c.project_id = s.project_id
        AND c.instance_id = s.instance_id AND c.seen_at >= s.to_at
    GROUP BY s.project_id, s.instance_id, s.to_at, s.changed_at
),
known AS (
    SELECT
        p.project_id, p.instance_id, max(c.seen_at) AS last_change_at,
        CASE WHEN p.updated_at > coalesce(max(c.seen_at), p.first_seen_at) THEN p.updated_at END
            AS unrecorded_at
    FROM backup_policies AS p
    LEFT JOIN changes AS c
        ON c.project_id = p.project_id AND c.instance_id = p.instance_id
    GROUP BY p.project_id, p.instance_id, p.updated_at, p.first_seen_at
)
SELECT
    p.project_id,
    p.instance_id,
    coalesce(o.changed_at, TIMESTAMP '0001-01-01') AS from_at,
    o.to_at,
    coalesce(k.unrecorded_at, p.first_seen_at) AS known_from,
    coalesce(o.changed_at, k.unrecorded_at) AS changed_at,
    CASE WHEN o.is_enabled IS NULL THEN p.is_enabled ELSE o.is_enabled.value::BOOLEAN END
        AS is_enabled,
    CASE WHEN o.keep_days IS NULL THEN p.keep_days ELSE try_cast(o.keep_days.value AS INTEGER) END
        AS keep_days,
    CASE WHEN o.window_start IS NULL THEN p.window_start ELSE o.window_start.value END
        AS window_start,
    CASE WHEN o.period IS NULL THEN p.period ELSE o.period.value END AS period
FROM olds AS o
JOIN backup_policies AS p ON p.project_id = o.project_id AND p.instance_id = o.instance_id
JOIN known AS k ON k.project_id = o.project_id AND k.instance_id = o.instance_id;

COMMENT ON VIEW v_policy_version IS 'Backup policies as they were: one row per policy and span in which no change of it was seen; key (project_id, instance_id, to_at). Source: backup_policies and backup_policy_changes.';
COMMENT ON COLUMN v_policy_version.from_at IS 'From when on this version was seen; year 1 for the oldest. Unit: UTC time.';
COMMENT ON COLUMN v_policy_version.to_at IS 'When the next version was first seen; year 9999 for the one in force. Unit: UTC time.';
COMMENT ON COLUMN v_policy_version.known_from IS 'Before this nothing is known of the policy: it had not been read, or a change of it is in no history. Unit: UTC time.';
COMMENT ON COLUMN v_policy_version.changed_at IS 'When this version was first seen, if there was one before it. Unit: UTC time.';
