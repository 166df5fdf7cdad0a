-- The wall clock of whoever asks, in UTC whatever the zone of the session.
CREATE MACRO utc_now() AS make_timestamp(epoch_us(now()));

-- Never after the clock of whoever asks; not least() alone: it would make the clock of null, the now
-- of an empty lake. Each view asks it of the runs that it reads; `narrow_to` puts a moment in its place.
CREATE MACRO now_of(last_as_of, now_without_runs) AS
    CASE WHEN coalesce(last_as_of, now_without_runs) > utc_now() THEN utc_now()
        ELSE coalesce(last_as_of, now_without_runs) END;

CREATE VIEW fact_sync_run AS
SELECT
    run_id,
    project_id,
    endpoint,
    started_at,
    finished_at,
    as_of,
    duration_s,
    is_full,
    verdict,
    verdict = 'complete' AND as_of <= utc_now() + INTERVAL 2 MINUTE AS is_certified,
    as_of > utc_now() + INTERVAL 2 MINUTE AS is_ahead,
    reasons,
    is_guarded,
    levels,
    request_count,
    retry_count,
    throttle_count,
    range_count,
    row_count,
    duplicate_count,
    present_count,
    new_count,
    changed_count,
    gone_count,
    file_count,
    byte_count,
    oldest_verified_at,
    error,
    tool_version
FROM sync_runs;

COMMENT ON VIEW fact_sync_run IS 'One row per sync run, with its certificate in flat columns; key run_id. Times are UTC without zone. Source: sync_runs of the lake.';
COMMENT ON COLUMN fact_sync_run.is_certified IS 'The run''s verdict is complete: every backup that the service held for the whole run is in the lake. A run that is ahead proves nothing.';
COMMENT ON COLUMN fact_sync_run.is_ahead IS 'as_of lies more than two minutes after the clock of whoever asks: one of the two clocks is wrong.';

CREATE VIEW v_now AS
SELECT now_at, now_at::DATE AS today
FROM (
    -- The macro names its argument three times: a subquery there would open the runs' files as often.
    SELECT now_of(last_as_of, now_without_runs) AS now_at
    FROM settings CROSS JOIN (SELECT max(as_of) AS last_as_of FROM sync_runs)
);

COMMENT ON VIEW v_now IS 'One row: the moment all views take as now, so that the same lake gives the same numbers whenever it is asked.';
COMMENT ON COLUMN v_now.now_at IS 'The lake''s last as_of, certified or not; in a lake without runs settings.now_without_runs. Never after the clock of whoever asks, even if a run''s clock was wrong. Unit: UTC time.';
COMMENT ON COLUMN v_now.today IS 'The UTC day of now_at. It is partial, so daily views end on the day before. Unit: date.';
