from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from backup_frames.cli.runs.metrics import HELP, write_metrics
from backup_frames.errors import ConfigError
from backup_frames.sandbox import Sandbox

GOOD = {
    "project_id": "a",
    "exit_code": 0,
    "duration_s": 1.5,
    "requests": 7,
    "verdict": "complete",
    "as_of": "1970-01-02T00:00:00+00:00",
    "counts": {"present": 5},
}
BAD = {"project_id": 'b"\\', "exit_code": 3, "duration_s": 2.0}
KPIS = {"a": {"kpi_unprotected_instances": 2, "kpi_success_ratio": None}}


def samples_of(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return dict(line.rsplit(" ", 1) for line in lines)


def test_numbers_become_gauges_per_project(tmp_path):
    """Each number of a report is a gauge labelled by project; a failed project has fewer."""
    path = tmp_path / "backup_frames.prom"
    write_metrics(path, [GOOD, BAD], KPIS)
    text = path.read_text()
    samples = samples_of(text)
    assert samples['backup_frames_sync_is_success{project_id="a"}'] == "1"
    assert samples['backup_frames_sync_is_success{project_id="b\\"\\\\"}'] == "0"
    assert samples['backup_frames_sync_duration_seconds{project_id="a"}'] == "1.5"
    assert samples['backup_frames_sync_requests{project_id="a"}'] == "7"
    assert 'backup_frames_sync_requests{project_id="b\\"\\\\"}' not in samples
    assert samples['backup_frames_sync_counts_present{project_id="a"}'] == "5"
    assert samples['backup_frames_sync_as_of_timestamp_seconds{project_id="a"}'] == "86400"
    assert samples['backup_frames_kpi_unprotected_instances{project_id="a"}'] == "2"
    assert text.count("# TYPE backup_frames_sync_exit_code gauge\n") == 1
    assert not [name for name in samples if "verdict" in name or "success_ratio" in name]


def test_a_syncs_numbers_and_the_lakes_kpis_are_all_explained(run, monkeypatch, tmp_path):
    """Every number of a report has a text of its own; the KPIs are those of the views."""
    path, lake = tmp_path / "m.prom", tmp_path / "lake"
    with Sandbox(backups=40, start=datetime.now(UTC)) as account:
        for name, value in account.environment().items():
            monkeypatch.setenv(name, value)
        assert run("sync", "--lake", lake, "--metrics-file", path, "--full", "--quiet").code == 0
    text = path.read_text()
    written = set(re.findall(r"^backup_frames_(\w+)\{", text, re.MULTILINE))
    assert written == set(HELP)
    helped = dict(re.findall(r"^# HELP backup_frames_(\w+) (.+)$", text, re.MULTILINE))
    assert helped == HELP
    samples = samples_of(text)
    sql = "SELECT unprotected_count, rpo_missed_count, stuck_count FROM v_kpi_current"
    shown = run("query", sql, "--lake", lake, "--format", "csv").out.split()[1].split(",")
    names = ("unprotected_instances", "rpo_missed_instances", "stuck_backups")
    label = f'{{project_id="{account.project_id}"}}'
    assert [samples[f"backup_frames_kpi_{name}{label}"] for name in names] == shown
    assert 0 < float(samples[f"backup_frames_kpi_success_ratio{label}"]) <= 1
    assert float(samples[f"backup_frames_kpi_certificate_age_seconds{label}"]) < 600


def test_the_file_is_swapped_in_whole(tmp_path):
    """A second run replaces the file and leaves nothing beside it."""
    path = tmp_path / "x.prom"
    write_metrics(path, [GOOD])
    write_metrics(path, [BAD])
    assert 'project_id="a"' not in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_where_no_file_can_be_is_told(tmp_path):
    """A missing folder is told with its path."""
    with pytest.raises(ConfigError, match="nowhere"):
        write_metrics(tmp_path / "nowhere" / "x.prom", [GOOD])
