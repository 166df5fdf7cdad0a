"""Dagster: one partition per region, each materialized every hour.

In: keys and lake from the environment. Out: a lake brought up to date, its counts as metadata.
"""

import dagster as dg

import backup_frames as bf

regions = dg.StaticPartitionsDefinition(["eu-west-101", "ap-southeast-3"])


@dg.asset(partitions_def=regions, retry_policy=dg.RetryPolicy(max_retries=2, delay=300))
def backup_lake(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The ledger of one region's backups, brought up to date."""
    report = bf.sync_backups(region=context.partition_key)
    if report.exit_code:  # incomplete, or held by the deletion guard: to be looked at, not repeated
        raise dg.Failure("; ".join(report.reasons), allow_retries=False)
    return dg.MaterializeResult(metadata={**report.counts, "requests": report.requests})


@dg.schedule(target=backup_lake, cron_schedule="7 * * * *")
def every_hour() -> list[dg.RunRequest]:
    """One run per region."""
    return [dg.RunRequest(partition_key=region) for region in regions.get_partition_keys()]


defs = dg.Definitions(assets=[backup_lake], schedules=[every_hour])
