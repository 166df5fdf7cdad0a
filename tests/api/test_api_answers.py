from __future__ import annotations

import json

import pytest

from backup_frames.api.answers import read_page
from backup_frames.api.query import BackupQuery


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00+0000", 0),
        ("2026-01-31T00:00:00Z", 1769817600),
        ("2026-01-31T01:00:00+0100", 1769817600),
        ("2026-01-31T00:00:00", 1769817600),
        ("2026-01-31T00:00:00 UTC", 1769817600),
        ("2026-01-31T00:00:00.999999+0000", 1769817600),
        ("1969-12-31T23:59:59.5+0000", -1),
        ("0001-01-01T00:00:00+0000", -62135596800),
        ("9999-12-31T23:59:59.9-0000", 253402300799),
        ("0001-01-01T00:00:00+1400", None),
        ("9999-12-31T23:59:59-1200", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_begin_times_are_whole_seconds_rounded_down(text: str | None, seconds: int | None) -> None:
    """In any notation, to the ends of the calendar: the walk compares nothing else."""
    row = {"id": "b1", "begin_time": text}
    body = json.dumps({"total_count": 1, "backups": [row]}).encode()
    assert read_page(BackupQuery("p1"), body).begin_s == (seconds,)
