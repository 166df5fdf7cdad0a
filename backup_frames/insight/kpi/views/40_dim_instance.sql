-- One pass over the backups for everything that is known per instance; the views on instances
-- select from it, and the engine drops what they leave out.
CREATE VIEW v_instance_ledger AS
WITH runs AS MATERIALIZED (SELECT project_id, as_of, verdict FROM sync_runs),
clock AS MATERIALIZED (
    SELECT *, now_at::DATE AS today
    FROM (SELECT *, now_of((SELECT max(as_of) FROM runs), now_without_runs) AS now_at FROM settings)
),
ledger AS (
    SELECT
        b.project_id,
        b.instance_id,
        -- of two that began at once the last by name: to read all ids would take longer
        first(b.instance_name ORDER BY b.begin_time DESC, b.instance_name DESC)
            FILTER (b.begin_time IS NOT NULL AND b.instance_name IS NOT NULL) AS instance_name,
        first(b.datastore_type ORDER BY b.begin_time DESC, b.datastore_type DESC)
            FILTER (b.begin_time IS NOT NULL AND b.datastore_type IS NOT NULL) AS datastore_type,
        first(b.datastore_version ORDER BY b.begin_time DESC, b.datastore_version DESC)
            FILTER (b.begin_time IS NOT NULL AND b.datastore_version IS NOT NULL) AS datastore_version,
        min(b.begin_time) AS first_backup_at,
        max(b.begin_time) AS last_backup_at,
        max(b.gone_at) AS last_gone_at,
        max(b.gone_at) FILTER (b.is_restore_point) AS last_restore_point_gone_at,
        count(*) AS ledger_count,
        count(*) FILTER (b.is_present) AS present_count,
        count(*) FILTER (b.is_present AND b.is_restore_point) AS restore_point_count,
        max(b.begin_time) FILTER (b.is_present AND b.is_restore_point) AS newest_restore_point_at,
        max({'begin_time': b.begin_time, 'backup_id': b.backup_id}) FILTER (
            b.is_present AND b.is_restore_point AND b.begin_time IS NOT NULL
        ).backup_id AS newest_restore_point_id,
        min(b.begin_time) FILTER (
            b.is_present AND b.is_restore_point AND b.backup_type = 'Auto'
        ) AS oldest_auto_at,
        min(b.begin_time) FILTER (b.backup_type = 'Auto') AS first_auto_at,
        max(b.begin_time) FILTER (b.is_restore_point) AS last_success_at,
        list_sort(list(b.begin_time) FILTER (
            b.is_failed AND b.backup_level = 'Instance' AND b.begin_time IS NOT NULL
        )) AS failures_at,
        list_sort(list({
            'begin_time': b.begin_time, 'restorable_at': b.restorable_at, 'gone_at': b.gone_at
        }) FILTER (
            b.is_restore_point AND b.restorable_at < now_at
            AND coalesce(b.gone_at > b.restorable_at, true)
            AND b.begin_date
                >= (today - trend_days - to_seconds((rpo_h + rpo_tolerance_h) * 3600))::DATE
        )) AS recent_restore_points,
        count(*) FILTER (b.is_completed AND b.is_recent) AS completed_recent,
        count(*) FILTER (b.is_failed AND b.is_recent) AS failed_recent,
        count(*) FILTER (b.is_stuck) AS stuck_count,
        -- with the policy once per instance, not once per backup
        list({'begin_time': b.begin_time, 'begin_date': b.begin_date, 'gone_at': b.gone_at}) FILTER (
            b.is_restore_point AND b.backup_type = 'Auto' AND b.is_gone_recently
        ) AS gone_recently,
        count(*) FILTER (b.is_old_manual) AS old_manual_count,
        sum(b.size_gib) FILTER (b.is_old_manual) AS old_manual_gib,
        sum(b.size_gib) FILTER (b.is_present AND b.is_completed) AS stored_gib
    FROM v_backup_age AS b CROSS JOIN clock
    GROUP BY b.project_id, b.instance_id
),
inventory AS (
    SELECT
        i.project_id, i.instance_id, i.instance_name, i.datastore_type, i.datastore_version,
        i.status, i.mode, i.region, i.volume_size_gb, i.volume_used_gb, i.node_count, i.pay_mode,
        i.enterprise_project_id, i.time_zone, i.created_at, i.first_seen_at, i.gone_at,
        true AS is_in_inventory, v.instance_id IS NOT NULL AS is_policy_enabled,
        v.keep_days, v.window_start, v.period, v.incremental_period_min,
        v.is_incremental_enabled, v.policy_changed_at
    FROM instances AS i
    LEFT JOIN v_policy AS v ON v.project_id = i.project_id AND v.instance_id = i.instance_id
),
joined AS (
    SELECT
        project_id,
        instance_id,
        coalesce(i.instance_name, b.instance_name) AS instance_name,
        coalesce(i.datastore_type, b.datastore_type) AS datastore_type,
        coalesce(i.datastore_version, b.datastore_version) AS datastore_version,
        i.* EXCLUDE (
            project_id, instance_id, instance_name, datastore_type, datastore_version,
            is_in_inventory, is_policy_enabled, is_incremental_enabled
        ),
        coalesce(i.is_in_inventory, false) AS is_in_inventory,
        coalesce(i.is_policy_enabled, false) AS is_policy_enabled,
        coalesce(i.is_incremental_enabled, false) AS is_incremental_enabled,
        CASE WHEN project_id IN (FROM v_inventory_project)
            THEN coalesce(i.is_in_inventory AND i.gone_at IS NULL, false)
            ELSE instance_id IS NOT NULL AND coalesce(b.present_count, 0) > 0 END AS is_existing,
        b.* EXCLUDE (
            project_id, instance_id, instance_name, datastore_type, datastore_version,
            ledger_count, present_count, restore_point_count, completed_recent, failed_recent,
            stuck_count, gone_recently, old_manual_count, old_manual_gib, stored_gib
        ),
        coalesce(b.ledger_count, 0) AS ledger_count,
        coalesce(b.present_count, 0) AS present_count,
        coalesce(b.restore_point_count, 0) AS restore_point_count,
        coalesce(b.completed_recent, 0) AS completed_recent,
        coalesce(b.failed_recent, 0) AS failed_recent,
        coalesce(b.stuck_count, 0) AS stuck_count,
        coalesce(len([
            one FOR one IN b.gone_recently IF is_early_loss(
                one.begin_time, one.begin_date, one.gone_at, i.policy_changed_at, i.keep_days
            )
        ]), 0) AS early_loss_recent,
        coalesce(b.old_manual_count, 0) AS old_manual_count,
        coalesce(b.old_manual_gib, 0) AS old_manual_gib,
        coalesce(b.stored_gib, 0) AS stored_gib
    FROM inventory AS i FULL JOIN ledger AS b USING (project_id, instance_id)
)
SELECT
    j.*,
    (
        SELECT arg_min(o.owner, o.position)
        FROM owner_rule AS o
        WHERE coalesce(o.enterprise_project_id = j.enterprise_project_id, o.enterprise_project_id IS NULL)
            AND coalesce(j.instance_name GLOB o.instance_name, o.instance_name IS NULL)
    ) AS owner,
    CASE WHEN r.first_certified_at IS NOT NULL THEN greatest(
        coalesce(j.created_at, j.first_seen_at, j.first_backup_at),
        r.first_certified_at - to_days(coalesce(j.keep_days, assumed_keep_days))
    ) END AS watched_from,
    CASE WHEN j.is_existing THEN now_at ELSE least(coalesce(j.gone_at, j.last_gone_at), now_at)
        END AS watched_until
FROM joined AS j
LEFT JOIN (
    SELECT project_id, min(as_of) AS first_certified_at
    FROM runs WHERE verdict = 'complete' GROUP BY project_id
) AS r ON r.project_id = j.project_id
CROSS JOIN clock;

COMMENT ON VIEW v_instance_ledger IS 'Inventory and backups brought together: one row per instance that either names, and one per project for backups without instance_id. The other views on instances select from it; start with dim_instance or v_instance_current.';
COMMENT ON COLUMN v_instance_ledger.oldest_auto_at IS 'Begin of the oldest present automated restore point. Unit: UTC time.';
COMMENT ON COLUMN v_instance_ledger.first_auto_at IS 'Begin of the first automated backup that the lake saw. Unit: UTC time.';
COMMENT ON COLUMN v_instance_ledger.last_restore_point_gone_at IS 'When the last of its restore points to go was missed. Unit: UTC time.';
COMMENT ON COLUMN v_instance_ledger.last_gone_at IS 'When the last of its backups to go was missed. Unit: UTC time.';
COMMENT ON COLUMN v_instance_ledger.ledger_count IS 'Backups that the lake ever saw of it. Unit: backups.';
COMMENT ON COLUMN v_instance_ledger.recent_restore_points IS 'Its restore points, gone ones too, that can keep the RPO in the last settings.trend_days. Unit: list of UTC times.';
COMMENT ON COLUMN v_instance_ledger.failures_at IS 'Begins of its failed backups of level Instance. Unit: list of UTC times.';

CREATE VIEW dim_instance AS
SELECT
    project_id, instance_id, instance_name, datastore_type, datastore_version,
    status, mode, region, volume_size_gb, volume_used_gb, node_count, pay_mode,
    enterprise_project_id, time_zone, created_at, gone_at,
    is_in_inventory, is_existing,
    is_policy_enabled, keep_days, window_start, period, incremental_period_min,
    is_incremental_enabled, policy_changed_at,
    first_backup_at, last_backup_at,
    watched_from, watched_until,
    owner
FROM v_instance_ledger
WHERE instance_id IS NOT NULL;

COMMENT ON VIEW dim_instance IS 'One row per instance that the inventory or any backup names, existing or not; key (project_id, instance_id). Deleted instances stay, because their manual backups stay. Source: instances and backup_policies of the lake; names and engine from the newest backup where the inventory has none.';
COMMENT ON COLUMN dim_instance.gone_at IS 'First certified look at the inventory without this instance; null while it is there. Unit: UTC time.';
COMMENT ON COLUMN dim_instance.owner IS 'Who answers for the instance: of the first rule of owner_rule that fits; null if none does.';
COMMENT ON COLUMN dim_instance.is_in_inventory IS 'The inventory of the lake names, or once named, this instance.';
COMMENT ON COLUMN dim_instance.is_existing IS 'The instance exists: it is in the inventory and not gone. Without an inventory: it has a present backup, which a deleted instance may have too.';
COMMENT ON COLUMN dim_instance.is_policy_enabled IS 'Automated backups are on (policy enabled, keep_days above 0, instance existing); false also where no policy is known.';
COMMENT ON COLUMN dim_instance.is_incremental_enabled IS 'Increments are on: the policy is enabled and takes them between its full backups. The list of backups does not show them.';
COMMENT ON COLUMN dim_instance.policy_changed_at IS 'When a change of the policy was first observed; null if it was never seen to change. Days before are not judged by it. Unit: UTC time.';
COMMENT ON COLUMN dim_instance.first_backup_at IS 'Begin of the first backup that the lake saw. Unit: UTC time.';
COMMENT ON COLUMN dim_instance.last_backup_at IS 'Begin of the last backup that the lake saw, of any status. Unit: UTC time.';
COMMENT ON COLUMN dim_instance.watched_from IS 'From when on the lake vouches for this instance: its creation (else when it was first seen), or the first certified run less the days for which the service keeps automated backups (of the policy, else settings.assumed_keep_days), whichever is later; null without a certified run. Unit: UTC time.';
COMMENT ON COLUMN dim_instance.watched_until IS 'Until when: now_at, or when a deleted instance was first missed. Unit: UTC time.';

