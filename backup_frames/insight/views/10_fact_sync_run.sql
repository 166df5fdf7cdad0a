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
    verdict = 'complete' AS is_certified,
    reasons,
    is_braked,
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
COMMENT ON COLUMN fact_sync_run.is_certified IS 'The run''s verdict is complete: every backup that the service held for the whole run is in the lake.';

CREATE VIEW v_now AS
SELECT now_at, now_at::DATE AS today
FROM (
    SELECT coalesce(
        (SELECT max(as_of) FROM sync_runs), (SELECT now_without_runs FROM settings)
    ) AS now_at
);

COMMENT ON VIEW v_now IS 'One row: the moment all views take as now, so that the same lake gives the same numbers whenever it is asked.';
COMMENT ON COLUMN v_now.now_at IS 'The lake''s last as_of, certified or not; in a lake without runs settings.now_without_runs. Unit: UTC time.';
COMMENT ON COLUMN v_now.today IS 'The UTC day of now_at. It is partial, so daily views end on the day before. Unit: date.';
