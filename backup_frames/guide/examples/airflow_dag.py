"""Airflow: a sync every hour.

In: account and lake from the environment. Out: a lake brought up to date, its counts as the result.
"""

from datetime import UTC, datetime

from airflow.sdk import dag, task


@dag(
    schedule="7 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
)
def geminidb_backups() -> None:
    """Bring the lake up to date."""

    @task(retries=2)
    def sync() -> dict[str, int]:
        import backup_frames as bf

        report = bf.sync_backups()
        if report.exit_code:
            raise RuntimeError("; ".join(report.reasons))
        return report.counts

    sync()


geminidb_backups()
