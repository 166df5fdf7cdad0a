CREATE VIEW v_control_result AS SELECT * EXCLUDE (n) FROM v_control_judged;

COMMENT ON VIEW v_control_result IS 'Every control on every full UTC day, passes too: one row per control, instance and day at whose end the instance existed; of the control list_certified, and of has_restore_point where the lake has no list of instances, one per project and day; key (control_id, project_id, instance_id, date). The definitions stand in dim_control.';
COMMENT ON COLUMN v_control_result.control_id IS 'The control; see dim_control.';
COMMENT ON COLUMN v_control_result.date IS 'The full UTC day that is judged. Unit: UTC day.';
COMMENT ON COLUMN v_control_result.status IS 'ok; alarm; not_due: nothing was promised for the day; cannot_be_known: the lake did not watch the day, or could not read what the control needs. What cannot be known is never ok.';
COMMENT ON COLUMN v_control_result.outcome IS 'The status in more detail: ok, late (ok), failed, missed, none, short, lost, stuck, off, weakened, incomplete (alarms), not due, not watched, not known, unfinished (cannot be known).';
COMMENT ON COLUMN v_control_result.reason IS 'The finding in a sentence.';
COMMENT ON COLUMN v_control_result.backup_id IS 'The backup that shows it; null if none does.';
COMMENT ON COLUMN v_control_result.run_id IS 'The run that proves it: the first certified one after the day ended, the day''s own for list_certified, the one that saw the change for policy_not_weakened.';
