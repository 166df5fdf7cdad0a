CREATE VIEW v_kpi_owner AS
SELECT
    owner,
    enterprise_project_id,
    count(*) AS instance_count,
    count(*) FILTER (is_protected) AS protected_count,
    CASE WHEN bool_and(is_inventory_known)
        THEN count(*) FILTER (is_protected) / count(*) END AS coverage_rate,
    count(*) FILTER (is_rpo_met) AS rpo_met_count,
    count(*) FILTER (is_rpo_met) / count(*) AS rpo_instance_rate,
    max(restore_point_age_h) AS restore_point_age_max_h,
    sum(completed_recent)::BIGINT AS completed_recent,
    sum(failed_recent)::BIGINT AS failed_recent,
    sum(completed_recent) / nullif(sum(completed_recent) + sum(failed_recent), 0)
        AS success_rate_recent,
    sum(missed_slots_recent)::BIGINT AS missed_slots_recent,
    sum(stored_gib) AS stored_gib
FROM v_instance_current JOIN dim_project USING (project_id)
GROUP BY owner, enterprise_project_id;

COMMENT ON VIEW v_kpi_owner IS 'The KPIs of now by who answers: one row per owner and enterprise project with an existing instance; key (owner, enterprise_project_id). The counts may be added up, the rates not. Instances that no rule names have a null owner.';
COMMENT ON COLUMN v_kpi_owner.owner IS 'Who answers for the instances, by owner_rule; null if no rule fits.';
COMMENT ON COLUMN v_kpi_owner.enterprise_project_id IS 'Enterprise project of the instances; null if the inventory does not name one.';
COMMENT ON COLUMN v_kpi_owner.instance_count IS 'Existing instances. Unit: instances.';
COMMENT ON COLUMN v_kpi_owner.protected_count IS 'Of these, with a restore point. Unit: instances.';
COMMENT ON COLUMN v_kpi_owner.coverage_rate IS 'protected_count / instance_count; null while the inventory of one of their projects is unknown. Unit: share of 1.';
COMMENT ON COLUMN v_kpi_owner.rpo_met_count IS 'Of these, with a full backup within the RPO. Unit: instances.';
COMMENT ON COLUMN v_kpi_owner.rpo_instance_rate IS 'rpo_met_count / instance_count. Unit: share of 1.';
COMMENT ON COLUMN v_kpi_owner.restore_point_age_max_h IS 'Age of the oldest newest restore point. Unit: hours.';
COMMENT ON COLUMN v_kpi_owner.completed_recent IS 'Completed backups of the last settings.recent_days. Unit: backups.';
COMMENT ON COLUMN v_kpi_owner.failed_recent IS 'Failed backups of the same days. Unit: backups.';
COMMENT ON COLUMN v_kpi_owner.success_rate_recent IS 'Completed ones among these; null if none finished. Unit: share of 1.';
COMMENT ON COLUMN v_kpi_owner.missed_slots_recent IS 'Slots of these days without an automated backup. Unit: slots.';
COMMENT ON COLUMN v_kpi_owner.stored_gib IS 'Size of all present completed backups. Unit: GiB.';
