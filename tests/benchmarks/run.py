"""All benchmarks in one run: ``python tests/benchmarks/run.py [--quick]``; prints a Markdown table.

Whole processes, interleaved, on one machine: what counts are the ratios. Every contender starts a
fresh interpreter and leaves Parquet files by day; the sandbox serves them all from a process of its
own. The peers are installed with ``pip install --group bench`` (in an environment of their own, if
you like: name its interpreter with ``--peers``).
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from flattening import rates

HERE = Path(__file__).parent
SERVER = """
import sys, time
from backup_frames.sandbox import Sandbox, Throttle
faults = [Throttle(limit=int(sys.argv[3]), period_s=60)] if sys.argv[3] != "0" else []
with Sandbox(backups=int(sys.argv[1]), seed=1, latency_s=float(sys.argv[2]), faults=faults) as box:
    print("\\n".join(f"{k}={v}" for k, v in box.environment().items()), flush=True)
    print("", flush=True)
    sys.stdin.read()
"""
PEERS = {
    "official SDK + json_normalize": "sdk_normalize.py",
    "dlt": "dlt_rest.py",
    "httpx loop + json_normalize": "httpx_normalize.py",
}


@dataclass(frozen=True)
class Run:
    """One whole process: seconds on the wall, seconds of CPU, peak memory in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@contextmanager
def served(backups: int, latency_s: float = 0.0, limit: int = 0) -> Iterator[dict[str, str]]:
    """A sandbox in a process of its own; the variables that point to it."""
    command = [sys.executable, "-c", SERVER, str(backups), str(latency_s), str(limit)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        lines = iter(server.stdout.readline, "\n")
        yield dict(line.strip().split("=", 1) for line in lines)
        server.stdin.close()
        server.wait()


def timed(python: str, script: str, environment: dict[str, str]) -> Run:
    """Run one contender into an empty folder, and account for its process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, str(HERE / script)]
        variables = {**os.environ, **environment, "OUT": f"{folder}/lake", "HOME": folder}
        started = time.perf_counter()
        process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"{script} failed with exit code {process.returncode}")
        return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def middle(runs: list[Run]) -> Run:
    return Run(
        median(run.wall_s for run in runs),
        median(run.cpu_s for run in runs),
        max(run.peak_mb for run in runs),
    )


def whole_jobs(peers: str, backups: int, rounds: int, latency_s: float) -> list[str]:
    """First sync of a fleet, against every peer, in turn."""
    scripts = {"backup_frames": "ours.py", **PEERS}
    runs: dict[str, list[Run]] = {name: [] for name in scripts}
    with served(backups, latency_s) as environment:
        for _ in range(rounds):
            for name, script in scripts.items():
                python = sys.executable if script == "ours.py" else peers
                runs[name].append(timed(python, script, environment))
    ours = middle(runs["backup_frames"])
    lines = []
    for name, measured in runs.items():
        run = middle(measured)
        ratio = "1" if name == "backup_frames" else f"{run.wall_s / ours.wall_s:.1f}"
        lines.append(
            f"| {name} | {backups:,} at {latency_s * 1000:.0f} ms | {run.wall_s:.2f} | "
            f"{ratio} | {1000 * run.cpu_s / (backups / 100):.2f} | {run.peak_mb:.0f} |"
        )
    return lines


def scales(sizes: list[int]) -> list[str]:
    """This package alone, from small to large: CPU and memory per row should not grow."""
    lines = []
    for backups in sizes:
        with served(backups) as environment:
            run = timed(sys.executable, "ours.py", environment)
        lines.append(
            f"| backup_frames | {backups:,} at 0 ms | {run.wall_s:.2f} | - | "
            f"{1000 * run.cpu_s / (backups / 100):.2f} | {run.peak_mb:.0f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 backups, one round")
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has the peers")
    options = parser.parse_args()
    backups, rounds = (20_000, 1) if options.quick else (100_000, 3)
    names = ("pyarrow", "pandas", "httpx")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {versions}\n"
    )
    print("| way | backups | wall s | times ours | CPU ms per page | peak MB |")
    print("|---|---|---|---|---|---|")
    for latency_s in (0.0, 0.02):
        print("\n".join(whole_jobs(options.peers, backups, rounds, latency_s)), flush=True)
    sizes = [10_000, 20_000] if options.quick else [10_000, 100_000, 1_000_000]
    print("\n".join(scales(sizes)), flush=True)
    print("\n| flattening | rows per second | times ours | CPU us per row |\n|---|---|---|---|")
    measured = rates()
    ours = measured["backup_frames"][0]
    for name, (rows, micros) in measured.items():
        print(f"| {name} | {rows:,.0f} | {ours / rows:.1f} | {micros:.2f} |")


if __name__ == "__main__":
    main()
