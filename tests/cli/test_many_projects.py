"""A thousand projects in one config: those that are throttled, refused or slow cost the others little."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROJECTS = int(os.environ.get("MANY_PROJECTS", "1000"))
BAD = PROJECTS * 3 // 100
MOST_KB = 600_000


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        project = self.path.split("/")[2]
        status, answer = 200, {"total_count": 0, "backups": []}
        if project.startswith("slow"):
            time.sleep(2)
        elif project.startswith("throttled"):
            status, answer = 429, {"error_code": "APIGW.0308", "error_msg": "too many"}
        elif project.startswith("refused"):
            status, answer = 403, {"error_code": "DBS.1", "error_msg": "no permission"}
        if status == 200 and "type=Instance" in self.path:
            row = {"id": f"b-{project}", "begin_time": "2026-01-31T00:00:00+0000"}
            answer = {"total_count": 1, "backups": [row | {"status": "COMPLETED"}]}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


def sync(folder: Path, port: int, names: list[str]) -> tuple[float, int]:
    """Seconds until the last good project has told, and the peak of memory in KB by then."""
    folder.mkdir()
    config = folder / "config.toml"
    tables = "".join(f'[[project]]\nproject_id = "{name}"\n' for name in names)
    config.write_text(
        f'endpoint = "http://127.0.0.1:{port}"\ntoken_env = "MANY"\n'
        f'[lake]\nurl = "{folder / "lake"}"\n{tables}'
    )
    command = [sys.executable, "-m", "backup_frames", "sync", "--config", str(config)]
    command += ["--without-inventory", "--log-format", "json"]
    begun = time.monotonic()
    with subprocess.Popen(
        command, env=os.environ | {"MANY": "token-0815"}, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        left = {name for name in names if name.startswith("good")}
        for line in process.stdout:
            left.discard(json.loads(line)["project_id"])
            if not left:
                break
        seconds = time.monotonic() - begun
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak_kb = int(status.partition("VmHWM:")[2].split()[0])
        process.terminate()
        assert not left
    return seconds, peak_kb


@pytest.mark.slow
def test_those_in_trouble_cost_the_others_a_fifth_at_most(tmp_path: Path) -> None:
    """The good projects are done in the time they need alone plus 20 %, with flat memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    good = [f"good-{number}" for number in range(PROJECTS - 3 * BAD)]
    bad = [f"{kind}-{n}" for n in range(BAD) for kind in ("throttled", "refused", "slow")]
    try:
        alone_s, alone_kb = sync(tmp_path / "alone", server.server_port, good)
        together_s, together_kb = sync(tmp_path / "all", server.server_port, bad + good)
    finally:
        server.shutdown()
        server.server_close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(f"{alone_s:.1f} s and {alone_kb} KB alone, {together_s:.1f} s and {together_kb} KB")  # noqa: T201
    assert together_s <= 1.2 * alone_s
    assert together_kb < MOST_KB
