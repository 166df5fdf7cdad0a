CREATE VIEW v_exception_history AS
-- Of what ever had an alarm, the known days, each as a number that is odd on an alarm: a list of numbers
-- is sorted faster than rows, and the words of no other day are held.
WITH alarmed AS MATERIALIZED (
    SELECT control_id, n,
        list_sort(list((date - DATE '0001-01-01')::INTEGER * 2 + (status = 'alarm')::INTEGER)
            FILTER (status IN ('ok', 'alarm'))) AS days,
        list({
            'date': date, 'project_id': project_id, 'instance_id': instance_id,
            'instance_name': instance_name, 'enterprise_project_id': enterprise_project_id,
            'owner': owner, 'outcome': outcome, 'reason': reason, 'backup_id': backup_id
        }) FILTER (status = 'alarm') AS alarms
    FROM v_control_judged
    GROUP BY control_id, n
    HAVING bool_or(status = 'alarm')
),
turns AS (
    SELECT control_id, n, day % 2 = 1 AS is_alarm, DATE '0001-01-01' + day // 2 AS date,
        lead(DATE '0001-01-01' + day // 2) OVER (PARTITION BY control_id, n ORDER BY day) AS next_on
    FROM (SELECT control_id, n, unnest(days) AS day, unnest([0] || days) AS day_before FROM alarmed)
    WHERE day % 2 <> day_before % 2
),
found AS (
    SELECT control_id, n, alarm.date, alarm
    FROM (SELECT control_id, n, unnest(alarms) AS alarm FROM alarmed)
)
SELECT
    control_id, c.title, f.alarm.project_id, f.alarm.instance_id, f.alarm.instance_name,
    f.alarm.enterprise_project_id, f.alarm.owner,
    date AS opened_on,
    t.next_on AS closed_on,
    coalesce(t.next_on, today) - date AS days_open,
    f.alarm.outcome, f.alarm.reason, f.alarm.backup_id
FROM turns AS t
JOIN found AS f USING (control_id, n, date)
JOIN dim_control AS c USING (control_id)
CROSS JOIN v_now
WHERE t.is_alarm;

COMMENT ON VIEW v_exception_history IS 'When each control went wrong and right again: one row per control, instance (or project) and stretch of alarms; key (control_id, project_id, instance_id, opened_on). Days that cannot be known, or on which nothing was due, neither open nor close one.';
COMMENT ON COLUMN v_exception_history.opened_on IS 'The first day of the alarms. Unit: UTC day.';
COMMENT ON COLUMN v_exception_history.closed_on IS 'The first day after them that was ok; null while it is open. Unit: UTC day.';
COMMENT ON COLUMN v_exception_history.days_open IS 'From opened_on to closed_on, or to the day of now_at while it is open. Unit: days.';
COMMENT ON COLUMN v_exception_history.outcome IS 'What the first day''s alarm was.';
COMMENT ON COLUMN v_exception_history.reason IS 'The first day''s alarm in a sentence.';
