"""The main jobs on whatever is installed, needing nothing but the package's own requirements.

    python tests/smoke.py

In: an environment with backup-frames in it, from a checkout or a wheel. Out: a line for each job
that was done, an error at the first that was not. Extras are tried where they are installed.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from datetime import UTC, datetime
from importlib.metadata import requires, version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(next(TESTS.rglob("bucket_server.py")).parent))

import backup_frames as bf  # noqa: E402 - the path above is the bucket's alone
from backup_frames.cli import main  # noqa: E402
from backup_frames.sandbox import Sandbox  # noqa: E402

BACKUPS = 60
COMMANDS = [
    "demo",
    "read",
    "sync",
    "verify",
    "publish",
    "report",
    "changes",
    "check",
    "query",
    "guide",
    "doctor",
    "sandbox",
    "config",
]
DEPENDENCIES = sorted(
    re.split(r"[^\w-]", text)[0]
    for text in requires("backup-frames") or ()
    if "extra ==" not in text
)
EXTRAS = {"deltalake": "delta", "pyiceberg": "iceberg"}


def run(*arguments: object) -> str:
    """What the command line prints; it must end well."""
    with redirect_stdout(StringIO()) as printed:
        code = main([str(argument) for argument in arguments])
    assert code == 0, f"{arguments} ended with {code}"
    return printed.getvalue()


def read_in_python() -> Iterator[str]:
    frames = bf.read_backups()
    assert len(frames) == len(frames.backups) == len(frames.records()) == BACKUPS
    assert str(frames.backups["begin_time"].dt.tz) == "UTC"
    assert frames.certificate.verdict == "complete"
    yield f"read {len(frames)} backups"

    none = bf.read_backups(end="2001-01-01")
    assert (len(none), none.records(), len(none.tables)) == (0, [], 0)
    assert sum(len(part) for part in bf.scan_backups()) == len(frames)
    assert len(bf.read_instances()) > 0
    assert sum(bf.plan_read().rows.values()) == len(frames)
    frames.write("export")
    yield "read nothing, in parts, instances, a plan; wrote partitions"


def keep_a_lake() -> Iterator[str]:
    from support.bucket_server import BucketServer  # noqa: PLC0415 - path is set above

    for lake_format in ("parquet", *(EXTRAS[name] for name in EXTRAS if find_spec(name))):
        lake = f"lake-{lake_format}"
        run("sync", "--quiet", "--lake", lake, "--format", lake_format)
        run("verify", "--quiet", "--lake", lake)
        run("publish", "--quiet", "--lake", lake, "--out", f"{lake}.duckdb")
        assert bf.open_lake(lake).backups().num_rows == BACKUPS
        yield f"synced, verified and published a lake of {lake_format}"

    with closing(BucketServer()) as server:
        run("sync", "--quiet", "--lake", server.url)
        run("verify", "--quiet", "--lake", server.url)
        assert bf.open_lake(server.url).backups().num_rows == BACKUPS
    yield "synced and verified a lake in a bucket"


def smoke() -> Iterator[str]:
    yield f"backup-frames {version('backup-frames')} of {Path(str(bf.__file__)).parent}"
    yield "with " + ", ".join(f"{name} {version(name)}" for name in DEPENDENCIES)
    command = Path(sys.executable).with_name("backup-frames")
    subprocess.run([command, "--help"], check=True, stdout=subprocess.DEVNULL)
    assert all("--help" in run(name, "--help") for name in COMMANDS)
    assert run("guide", "lake").startswith("# The lake")
    assert "ExecStart=" in run("guide", "backup-frames.service")
    yield "helped, and showed the guide"
    assert "Where to look next" in run("demo", "--quiet", "--lake", "demo", "--backups", BACKUPS)
    assert Path("demo.html").stat().st_size > 100_000
    yield "gave the demo, with its report"
    with Sandbox(backups=BACKUPS, seed=3, start=datetime.now(UTC)) as box:
        os.environ.update(box.environment(), AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="key")
        run("read", "--quiet", "--format", "csv", "--out", "rows.csv")
        assert Path("rows.csv").read_text(encoding="utf-8").count("\n") == BACKUPS + 1
        run("doctor", "--quiet")
        yield from read_in_python()
        yield from keep_a_lake()
    for name in ("fsspec", "dlt", "pyspark"):
        if find_spec(name):
            importlib.import_module("backup_frames.engines.dlt" if name == "dlt" else name)
            yield f"imported {name} {version(name)}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for line in smoke():
            print(line, flush=True)
