"""The metrics file of ``sync``: Prometheus text format, for node_exporter's textfile collector.

In: one dict of facts per project, and the lakes' KPIs. Out: a file, swapped in whole.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ...whole_files import write_whole

PREFIX: Final = "backup_frames_"
MOMENTS: Final = ("as_of", "started_at", "oldest_verified_at")
HELP: Final = {
    "sync_is_success": "1 if the last sync ended with exit code 0, else 0.",
    "sync_exit_code": "Exit code of the last sync: 0 complete, 2 settings, 3 service, 4 data, 5 lake, "
    "6 incomplete or held by the deletion guard.",
    "sync_finished_timestamp_seconds": "When the last sync ended, well or not.",
    "sync_started_at_timestamp_seconds": "When the last sync began.",
    "sync_as_of_timestamp_seconds": "The moment that the last sync stands for, by the service's clock.",
    "sync_duration_seconds": "How long the last sync took.",
    "sync_requests": "Requests that the last sync sent, probes and retries among them.",
    "sync_is_full": "1 if the last sync read everything again, else 0.",
    "sync_is_dry_run": "1 if the last sync only said what it would do, else 0.",
    "sync_is_guarded": "1 if the deletion guard kept the last sync from marking backups gone, else 0.",
    "sync_file_count": "Data files that the last sync wrote.",
    "sync_byte_count": "Bytes of the data files that the last sync wrote.",
    "sync_oldest_verified_at_timestamp_seconds": "When the day that waits longest was last read again.",
    "sync_counts_new": "Backups that the last sync saw for the first time.",
    "sync_counts_changed": "Backups that the last sync saw changed.",
    "sync_counts_returned": "Backups that the last sync saw again after they had been gone.",
    "sync_counts_gone": "Backups that the last sync marked gone.",
    "sync_counts_held_back": "Backups that the deletion guard kept the last sync from marking gone.",
    "sync_counts_present": "Backups that the service held after the last sync.",
    "sync_inventory_new": "Instances that the last sync saw for the first time.",
    "sync_inventory_changed": "Instances that the last sync saw changed.",
    "sync_inventory_gone": "Instances that the last sync marked gone.",
    "sync_inventory_present": "Instances that exist, as of the last time that the list was read.",
    "sync_inventory_policies_asked": "Backup policies that the last sync asked for.",
    "sync_certificate_rows": "Backups that the last sync read from the service.",
    "sync_certificate_requests": "Requests of the last sync that its certificate rests on.",
    "sync_certificate_retries": "Requests that the last sync sent again after a failure.",
    "sync_certificate_throttles": "Times that the service told the last sync to slow down (HTTP 429).",
    "sync_certificate_duplicates_removed": "Rows that the last sync was given more than once.",
    "sync_certificate_duration_seconds": "How long the reading within the last sync took.",
    "sync_certificate_odd_value_count": "Values in the last sync of a wrong type or unreadable.",
    "kpi_unprotected_instances": "Existing instances without any restore point; no sample while the "
    "lake does not know the instances.",
    "kpi_rpo_missed_instances": "Existing instances whose newest restore point is surely older than "
    "the RPO allows.",
    "kpi_success_ratio": "Completed of all backups that ended in the last days, from 0 to 1.",
    "kpi_stuck_backups": "Backups that have been building for too long.",
    "kpi_certificate_age_seconds": "Time since the last sync that proved the list complete.",
}
KPIS: Final = """
    SELECT
        project_id,
        CASE WHEN any_value(is_inventory_known)
            THEN count(*) FILTER (is_existing AND NOT is_protected) END AS unprotected_instances,
        count(*) FILTER (is_existing AND NOT is_rpo_met AND NOT is_age_upper_bound)
            AS rpo_missed_instances,
        sum(completed_recent) / nullif(sum(completed_recent) + sum(failed_recent), 0)
            AS success_ratio,
        coalesce(sum(stuck_count), 0) AS stuck_backups,
        any_value(certified_at) AS certified_at
    FROM dim_project LEFT JOIN v_instance_health USING (project_id)
    GROUP BY project_id
"""


def read_kpis(lake: str) -> dict[str, dict[str, float | None]]:
    """The KPIs of each project of a lake, by the names in `HELP`; as many seconds as the views need.

    Raises:
        BackupFramesError: no lake there, or a file of it is unreadable.
    """
    from ...insight.kpi.publish import open_views

    with open_views(
        lake, materialize=False, only={"dim_project", "v_instance_health"}, follow=False
    ) as connection:
        rows = connection.sql(KPIS).to_arrow_table().to_pylist()
    kpis = {}
    for row in rows:
        project_id, certified_at = row.pop("project_id"), row.pop("certified_at")
        if certified_at is not None:
            age = datetime.now(UTC) - certified_at.replace(tzinfo=UTC)
            row["certificate_age_seconds"] = max(age.total_seconds(), 0)
        kpis[project_id] = {f"kpi_{name}": value for name, value in row.items()}
    return kpis


def write_metrics(
    path: Path,
    outcomes: Sequence[Mapping[str, Any]],
    kpis: Mapping[str, Mapping[str, float | None]] | None = None,
) -> None:
    """Write one gauge per number or moment in the facts that `HELP` explains, labelled by project.

    A fact that a failed project lacks, or a KPI that nobody can know, has no sample.

    Raises:
        ConfigError, LakeError: the file cannot be written; see `write_whole`.
    """
    now_s = time.time()
    samples: dict[str, list[str]] = {name: [] for name in HELP}
    for outcome in outcomes:
        project_id = str(outcome["project_id"])
        label = project_id.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        numbers = {
            "sync_is_success": outcome["exit_code"] == 0,
            "sync_finished_timestamp_seconds": now_s,
            **{f"sync_{name}": value for name, value in _numbers(outcome)},
            **(kpis or {}).get(project_id, {}),
        }
        for name, value in numbers.items():
            if name in HELP and value is not None:
                line = f'{PREFIX}{name}{{project_id="{label}"}} {float(value):.15g}'
                samples[name].append(line)
    text = "".join(
        f"# HELP {PREFIX}{name} {HELP[name]}\n# TYPE {PREFIX}{name} gauge\n"
        + "\n".join(lines)
        + "\n"
        for name, lines in sorted(samples.items())
        if lines
    )
    write_whole(path, text.encode())


def _numbers(facts: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """Numbers, and moments as epoch seconds, also of the nested facts (``counts.gone``)."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{name}_")
        elif isinstance(value, int | float):
            yield before + re.sub("_s$", "_seconds", name), value
        elif isinstance(value, str) and name in MOMENTS:
            moment = datetime.fromisoformat(value)
            yield f"{before}{name}_timestamp_seconds", moment.timestamp()
