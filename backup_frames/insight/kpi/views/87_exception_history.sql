CREATE VIEW v_exception_history AS
WITH known AS MATERIALIZED (
    SELECT control_id, n, date, status = 'alarm' AS is_alarm,
        CASE WHEN status = 'alarm' THEN {
            'project_id': project_id, 'instance_id': instance_id, 'instance_name': instance_name,
            'enterprise_project_id': enterprise_project_id, 'owner': owner, 'outcome': outcome,
            'reason': reason, 'backup_id': backup_id
        } END AS found
    FROM v_control_judged
    WHERE status IN ('ok', 'alarm')
),
-- Where a control of an instance never had an alarm, its days need no sorting; the others are sorted
-- by number, and without words, in a third of the time.
alarmed AS MATERIALIZED (
    SELECT row_number() OVER () AS place, * FROM (SELECT DISTINCT control_id, n FROM known WHERE is_alarm)
),
days AS (
    SELECT place, date, is_alarm,
        lag(is_alarm, 1, false) OVER (PARTITION BY place ORDER BY date) AS was_alarm
    FROM known JOIN alarmed USING (n, control_id)
),
turns AS (
    SELECT place, date, is_alarm, lead(date) OVER (PARTITION BY place ORDER BY date) AS next_on
    FROM days
    WHERE is_alarm <> was_alarm
),
-- One number for a place and a day: of two columns the engine may take the day alone to look up the words.
opened AS (
    SELECT place * 100000 + (date - DATE '1970-01-01') AS place_day, next_on FROM turns WHERE is_alarm
),
found AS (
    SELECT place * 100000 + (date - DATE '1970-01-01') AS place_day, control_id, date, found
    FROM known JOIN alarmed USING (n, control_id)
    WHERE is_alarm
)
SELECT
    f.control_id, c.title, f.found.project_id, f.found.instance_id, f.found.instance_name,
    f.found.enterprise_project_id, f.found.owner,
    f.date AS opened_on,
    o.next_on AS closed_on,
    coalesce(o.next_on, today) - f.date AS days_open,
    f.found.outcome, f.found.reason, f.found.backup_id
FROM opened AS o
JOIN found AS f USING (place_day)
JOIN dim_control AS c USING (control_id)
CROSS JOIN v_now;

COMMENT ON VIEW v_exception_history IS 'When each control went wrong and right again: one row per control, instance (or project) and stretch of alarms; key (control_id, project_id, instance_id, opened_on). Days that cannot be known, or on which nothing was due, neither open nor close one.';
COMMENT ON COLUMN v_exception_history.opened_on IS 'The first day of the alarms. Unit: UTC day.';
COMMENT ON COLUMN v_exception_history.closed_on IS 'The first day after them that was ok; null while it is open. Unit: UTC day.';
COMMENT ON COLUMN v_exception_history.days_open IS 'From opened_on to closed_on, or to the day of now_at while it is open. Unit: days.';
COMMENT ON COLUMN v_exception_history.outcome IS 'What the first day''s alarm was.';
COMMENT ON COLUMN v_exception_history.reason IS 'The first day''s alarm in a sentence.';
