CREATE VIEW v_exception_history AS
WITH known AS MATERIALIZED (
    -- Words for alarms only: millions of days are sorted below, and other days show none.
    SELECT control_id, project_id, instance_id, date, status = 'alarm' AS is_alarm,
        CASE WHEN status = 'alarm' THEN {
            'instance_name': instance_name, 'enterprise_project_id': enterprise_project_id,
            'owner': owner, 'outcome': outcome, 'reason': reason, 'backup_id': backup_id
        } END AS found
    FROM v_control_result
    WHERE status IN ('ok', 'alarm')
),
-- Where a control of an instance never had an alarm, its days need no sorting.
alarmed AS (
    SELECT DISTINCT control_id, project_id, instance_id FROM known WHERE is_alarm
),
days AS (
    SELECT k.*, lag(is_alarm, 1, false) OVER past AS was_alarm
    FROM known AS k
    JOIN alarmed AS a ON a.control_id = k.control_id AND a.project_id = k.project_id
        AND a.instance_id IS NOT DISTINCT FROM k.instance_id
    WINDOW past AS (PARTITION BY k.control_id, k.project_id, k.instance_id ORDER BY date)
),
turns AS (
    SELECT *,
        lead(date) OVER (PARTITION BY control_id, project_id, instance_id ORDER BY date) AS next_on
    FROM days
    WHERE is_alarm <> was_alarm
)
SELECT
    t.control_id, c.title, t.project_id, t.instance_id, t.found.instance_name,
    t.found.enterprise_project_id, t.found.owner,
    t.date AS opened_on,
    t.next_on AS closed_on,
    coalesce(t.next_on, today) - t.date AS days_open,
    t.found.outcome, t.found.reason, t.found.backup_id
FROM turns AS t JOIN dim_control AS c ON c.control_id = t.control_id CROSS JOIN v_now
WHERE t.is_alarm;

COMMENT ON VIEW v_exception_history IS 'When each control went wrong and right again: one row per control, instance (or project) and stretch of alarms; key (control_id, project_id, instance_id, opened_on). Days that cannot be known, or on which nothing was due, neither open nor close one.';
COMMENT ON COLUMN v_exception_history.opened_on IS 'The first day of the alarms. Unit: UTC day.';
COMMENT ON COLUMN v_exception_history.closed_on IS 'The first day after them that was ok; null while it is open. Unit: UTC day.';
COMMENT ON COLUMN v_exception_history.days_open IS 'From opened_on to closed_on, or to the day of now_at while it is open. Unit: days.';
COMMENT ON COLUMN v_exception_history.outcome IS 'What the first day''s alarm was.';
COMMENT ON COLUMN v_exception_history.reason IS 'The first day''s alarm in a sentence.';
