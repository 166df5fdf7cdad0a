"""The metrics file of ``sync``: Prometheus text format, for node_exporter's textfile collector.

In: one dict of facts per project. Out: a file, swapped in whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ...whole_files import write_whole

PREFIX = "backup_frames_sync_"
MOMENTS = ("as_of", "started_at", "oldest_verified_at")


def write_metrics(path: Path, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Write one gauge per number or moment in the facts, labelled by project.

    Besides the numbers of the run's report there are ``exit_code``, ``is_success`` and
    ``finished_timestamp_seconds``. A fact that a failed project lacks has no sample for it.

    Raises:
        ConfigError, LakeError: the file cannot be written; see `write_whole`.
    """
    now_s = time.time()
    samples: dict[str, list[str]] = {}
    for outcome in outcomes:
        project = str(outcome["project_id"]).replace("\\", r"\\").replace('"', r"\"")
        numbers = {
            "is_success": outcome["exit_code"] == 0,
            "finished_timestamp_seconds": now_s,
            **dict(_numbers(outcome)),
        }
        for name, value in numbers.items():
            line = f'{PREFIX}{_unit_spelled(name)}{{project_id="{project}"}} {float(value):.15g}'
            samples.setdefault(_unit_spelled(name), []).append(line)
    text = "".join(
        f"# HELP {PREFIX}{name} {name.replace('_', ' ')} of the project's last sync\n"
        f"# TYPE {PREFIX}{name} gauge\n" + "\n".join(lines) + "\n"
        for name, lines in sorted(samples.items())
    )
    write_whole(path, text.encode())


def _numbers(facts: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """Numbers, and moments as epoch seconds, also of the nested facts (``counts.gone``)."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{name}_")
        elif isinstance(value, int | float):
            yield before + name, value
        elif isinstance(value, str) and name in MOMENTS:
            moment = datetime.fromisoformat(value)
            yield f"{before}{name}_timestamp_seconds", moment.timestamp()


def _unit_spelled(name: str) -> str:
    return name.removesuffix("_s") + "_seconds" if name.endswith("_s") else name
