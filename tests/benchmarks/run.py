"""All benchmarks in one run: ``python tests/benchmarks/run.py [--quick]``; prints Markdown tables.

Whole processes, interleaved, on one machine: what counts are the ratios. Every contender starts a
fresh interpreter and leaves Parquet files by day; the sandbox serves them all from a process of its
own, on the same cores. The peers are installed with ``pip install --group bench`` (in an environment
of their own, if you like: name its interpreter with ``--peers``).
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
OURS = "ours.py"
WIDE = {"BACKUP_FRAMES_MAX_CONNECTIONS": "32"}
LIMIT_PER_MINUTE = 600
# Emptied at the very end: for half a minute ext4 passes over what was just deleted, file by file, so
# that the next contender would pay up to a millisecond for each file that it creates.
SCRATCH = tempfile.TemporaryDirectory()


@dataclass(frozen=True)
class Run:
    """One whole process: seconds on the wall, seconds of CPU, peak memory in MB, what it printed."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    printed: str


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
    folder = tempfile.mkdtemp(dir=SCRATCH.name)
    with tempfile.TemporaryFile("w+") as printed:
        command = [python, str(HERE / script)]
        variables = {**os.environ, **environment, "OUT": f"{folder}/lake", "HOME": folder}
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=variables, stdout=printed, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"{script} failed with exit code {process.returncode}")
        printed.seek(0)
        cpu_s = usage.ru_utime + usage.ru_stime
        return Run(wall_s, cpu_s, usage.ru_maxrss / 1024, printed.read())


def middle(runs: list[Run]) -> Run:
    return Run(
        median(run.wall_s for run in runs),
        median(run.cpu_s for run in runs),
        max(run.peak_mb for run in runs),
        runs[0].printed,
    )


def whole_jobs(peers: str, backups: int, rounds: int, latency_s: float) -> list[str]:
    """First sync of a fleet, against every peer, in turn; with latency also over 32 connections."""
    ways: dict[str, tuple[str, dict[str, str]]] = {"backup_frames": (OURS, {})}
    if latency_s:
        ways["backup_frames, 32 connections"] = (OURS, WIDE)
    ways |= {name: (script, {}) for name, script in PEERS.items()}
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    with served(backups, latency_s) as environment:
        for _ in range(rounds):
            for name, (script, more) in ways.items():
                python = sys.executable if script == OURS else peers
                runs[name].append(timed(python, script, {**environment, **more}))
    best = min(middle(runs[name]).wall_s for name, (script, _) in ways.items() if script == OURS)
    return [
        f"| {name} | {backups:,} | {latency_s * 1000:.0f} ms | {run.wall_s:.2f} | "
        f"{run.wall_s / best:.1f} | {1000 * run.cpu_s / (backups / 100):.2f} | {run.peak_mb:.0f} |"
        for name, run in ((name, middle(measured)) for name, measured in runs.items())
    ]


def scales(peers: str, sizes: list[int]) -> list[str]:
    """From small to large: what a row costs should not grow; at the end the SDK for comparison."""
    lines = []
    sdk = "official SDK + json_normalize"
    for backups in sizes:
        ways = [("backup_frames", sys.executable, OURS)]
        if backups == sizes[-1]:
            ways.append((sdk, peers, PEERS[sdk]))
        with served(backups) as environment:
            for name, python, script in ways:
                run = timed(python, script, environment)
                asked = int(run.printed.split()[0]) if script == OURS else None
                requests = f"{100 * asked / backups:.2f}" if asked else "not counted"
                lines.append(
                    f"| {backups:,} | {name} | {run.wall_s:.1f} | {1e6 * run.cpu_s / backups:.0f} | "
                    f"{requests} | {run.peak_mb:.0f} |"
                )
    return lines


def throttled(backups: int) -> str:
    """A sync under a limit per minute: its time against the least possible, and what it wasted."""
    with served(backups, limit=LIMIT_PER_MINUTE) as environment:
        run = timed(sys.executable, OURS, environment)
    requests, refused = map(int, run.printed.split())
    # a full window lets its requests through at once; the last one need not end
    ideal_s = max((requests - refused - 1) // LIMIT_PER_MINUTE, 1) * 60
    return (
        f"| {backups:,} | {requests} | {100 * refused / requests:.1f} % | {run.wall_s:.0f} | "
        f"{ideal_s} | {run.wall_s / ideal_s:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 backups, one round")
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has the peers")
    options = parser.parse_args()
    backups, rounds = (20_000, 1) if options.quick else (100_000, 3)
    names = ("pyarrow", "pandas", "httpx", "polars", "duckdb")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"{versions}\n"
    )
    print("| way | backups | latency | wall s | times ours | CPU ms per page | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for latency_s in (0.0, 0.02):
        print("\n".join(whole_jobs(options.peers, backups, rounds, latency_s)), flush=True)
    print("\n| backups | way | wall s | CPU us per row | requests per 100 rows | peak MB |")
    print("|---|---|---|---|---|---|")
    sizes = [10_000, 20_000] if options.quick else [10_000, 100_000, 1_000_000]
    print("\n".join(scales(options.peers, sizes)), flush=True)
    print("\n| backups at 600 requests a minute | requests | refused | wall s | ideal s | ratio |")
    print("|---|---|---|---|---|---|")
    print(throttled(80_000 if options.quick else 180_000), flush=True)
    print("\n| flattening | rows per second | times ours | CPU us per row |\n|---|---|---|---|")
    measured = rates()
    ours = measured["backup_frames"][0]
    for name, (rows, micros) in measured.items():
        print(f"| {name} | {rows:,.0f} | {ours / rows:.1f} | {micros:.2f} |")


if __name__ == "__main__":
    main()
