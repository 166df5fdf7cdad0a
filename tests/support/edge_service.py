"""A service with any records at all, as a transport: filtered, sorted and paged as the real one."""

from __future__ import annotations

import json
from typing import Any

import httpx

from backup_frames.api.wire.times import read_seconds
from backup_frames.frames.frames import BackupFrames
from backup_frames.read.one_liners import read_backups
from backup_frames.settings import Settings

SETTINGS = Settings(endpoint="http://127.0.0.1:1", project_id="p1", token="token-0815")  # type: ignore[arg-type]


def second_of(record: dict[str, Any]) -> int | None:
    try:
        return read_seconds(str(record.get("begin_time")))
    except ValueError:
        return None


class EdgeService(httpx.BaseTransport):
    """Lists its records at the level Instance.

    Args:
        records: in any order.
        untimed_in_windows: windows of time show rows without begin time, too.
        max_window_s: wider windows are refused.
    """

    def __init__(
        self,
        *records: dict[str, Any],
        untimed_in_windows: bool = False,
        max_window_s: int | None = None,
    ) -> None:
        self.records = list(records)
        self.untimed_in_windows = untimed_in_windows
        self.max_window_s = max_window_s
        self.requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        asked = request.url.params
        rows = [] if asked["type"] != "Instance" else self.records
        if "begin_time" in asked:
            low, high = read_seconds(asked["begin_time"]), read_seconds(asked["end_time"])
            if self.max_window_s is not None and high - low > self.max_window_s:
                return httpx.Response(400, json={"error_code": "DBS.1", "error_msg": "too wide"})
            rows = [
                row
                for row in rows
                if (
                    self.untimed_in_windows
                    if (second := second_of(row)) is None
                    else low <= second <= high
                )
            ]
        rows = sorted(rows, key=lambda row: (second_of(row) is not None, second_of(row) or 0))[::-1]
        offset = int(asked["offset"])
        page = rows[offset : offset + int(asked["limit"])]
        body = json.dumps({"total_count": len(rows), "backups": page})
        body = body.replace("Infinity", "1e400").replace('"5,000 digits"', "9" * 5000)
        return httpx.Response(200, content=body.encode())


def read_ids(service: EdgeService, **options: Any) -> list[str]:
    frames: BackupFrames = read_backups(settings=SETTINGS, transport=service, **options)
    assert frames.certificate is not None
    assert frames.certificate.is_complete
    return frames.arrow.backups["backup_id"].to_pylist()
