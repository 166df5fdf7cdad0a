from __future__ import annotations

import pytest

from backup_frames.cli.runs.metrics import write_metrics
from backup_frames.errors import ConfigError

GOOD = {
    "project_id": "a",
    "exit_code": 0,
    "duration_s": 1.5,
    "row_count": 7,
    "verdict": "complete",
    "as_of": "1970-01-02T00:00:00+00:00",
    "counts": {"present": 5},
}
BAD = {"project_id": 'b"\\', "exit_code": 3, "duration_s": 2.0}


def test_numbers_become_gauges_per_project(tmp_path):
    """Each number of a report is a gauge labelled by project; a failed project has fewer."""
    path = tmp_path / "backup_frames.prom"
    write_metrics(path, [GOOD, BAD])
    lines = path.read_text().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert samples['backup_frames_sync_is_success{project_id="a"}'] == "1"
    assert samples['backup_frames_sync_is_success{project_id="b\\"\\\\"}'] == "0"
    assert samples['backup_frames_sync_duration_seconds{project_id="a"}'] == "1.5"
    assert samples['backup_frames_sync_row_count{project_id="a"}'] == "7"
    assert 'backup_frames_sync_row_count{project_id="b\\"\\\\"}' not in samples
    assert samples['backup_frames_sync_counts_present{project_id="a"}'] == "5"
    assert samples['backup_frames_sync_as_of_timestamp_seconds{project_id="a"}'] == "86400"
    assert lines.count("# TYPE backup_frames_sync_exit_code gauge") == 1
    assert not [name for name in samples if "verdict" in name]


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
