"""All benchmarks in one run: ``python tests/benchmarks/run.py [--quick]``; prints Markdown tables.

``--only`` runs some of them: everyday (10 minutes a round), bulk (9 minutes a round, of which 7 are
the peers at 80 ms), spread (2), scale (5 in all), throttle (7 in all), flatten (1 in all).

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
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median

from flattening import rates

HERE = Path(__file__).parent
SERVER = """
import sys
from datetime import datetime, timedelta
from backup_frames.sandbox import Sandbox, Throttle
faults = [Throttle(limit=int(sys.argv[3]), period_s=60)] if sys.argv[3] != "0" else []
options = {"latency_s": float(sys.argv[2]), "faults": faults}
backups, pace, is_plain = int(sys.argv[1]), int(sys.argv[4]), sys.argv[5] == "1"
box = Sandbox(backups=backups, seed=1, **options)
if pace:  # the same backups, moved together or apart so that so many begin in a day
    levels = {level: box.fleet.records(level) for level in ("Instance", "DatabaseTable")}
    if is_plain:  # the same ones, each of a whole instance
        levels["Instance"] += [one | {"database_tables": []} for one in levels["DatabaseTable"]]
        levels["DatabaseTable"] = []
    records = [record for some in levels.values() for record in some]
    begun = [datetime.fromisoformat(record["begin_time"]) for record in records]
    newest = max(begun)
    share = backups / pace * 86400 / max((newest - min(begun)).total_seconds(), 1)
    for record, begin in zip(records, begun):
        by = (newest - begin) * (1 - share)
        for name in ("begin_time", "end_time"):
            if record.get(name):
                moved = datetime.fromisoformat(record[name]) + by
                record[name] = moved.strftime("%Y-%m-%dT%H:%M:%S%z")
    box = Sandbox(records=levels, seed=1, **options)
with box:
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
COMMAND = "backup_frames"
LIMIT_PER_MINUTE = 600
SIZES = (300, 2_000, 20_000)  # backups that most projects have
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
def served(
    backups: int,
    latency_s: float = 0.0,
    limit: int = 0,
    pace: int = 0,
    *,
    is_plain: bool = False,
) -> Iterator[dict[str, str]]:
    """A sandbox in a process of its own; the variables that point to it."""
    numbers = map(str, (backups, latency_s, limit, pace, int(is_plain)))
    command = [sys.executable, "-c", SERVER, *numbers]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        lines = iter(server.stdout.readline, "\n")
        yield dict(line.strip().split("=", 1) for line in lines)
        server.stdin.close()
        server.wait()


def timed(
    python: str, script: str, environment: dict[str, str], folder: str = "", *more: str
) -> Run:
    """Run one contender into a folder, an empty one if none is given; account for its process."""
    folder = folder or tempfile.mkdtemp(dir=SCRATCH.name)
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as said:
        command = [python, *(["-m", script] if script == COMMAND else [str(HERE / script)]), *more]
        variables = {**os.environ, **environment, "OUT": f"{folder}/lake", "HOME": folder}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody installs a package uncompiled
        started = time.perf_counter()
        process = subprocess.Popen(command, env=variables, stdout=printed, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - started
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{script}: exit code {process.returncode}\n{said.read()[-2000:]}")
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


def whole_jobs(
    peers: str,
    backups: int,
    rounds: int,
    pace: int,
    latency_s: float = 0.0,
    *,
    is_plain: bool = False,
) -> list[str]:
    """First sync of a fleet, against every peer, in turn."""
    runs = defaultdict[str, list[Run]](list)
    with served(backups, latency_s, pace=pace, is_plain=is_plain) as environment:
        for _ in range(rounds):
            folder = tempfile.mkdtemp(dir=SCRATCH.name)
            # the peers read no instances and policies, so neither does this; all else is as by default
            sync = ("sync", "--quiet", "--without-inventory", "--lake", f"{folder}/lake")
            runs["backup_frames"].append(timed(sys.executable, COMMAND, environment, folder, *sync))
            for name, script in PEERS.items():
                runs[name].append(timed(peers, script, environment))
    ours = middle(runs["backup_frames"]).wall_s
    days = f"{backups // pace} days{', instances only' if is_plain else ''}"
    return [
        f"| {name} | {backups:,}, {days} | {latency_s * 1000:.0f} ms | {run.wall_s:.2f} | "
        f"{run.wall_s / ours:.1f} | {1000 * run.cpu_s / (backups / 100):.2f} | {run.peak_mb:.0f} |"
        for name, run in ((name, middle(measured)) for name, measured in runs.items())
    ]


def everyday(
    peers: str, rounds: int, sizes: Sequence[int], latencies_s: Sequence[float]
) -> Iterator[str]:
    """The sizes most projects have: what the commands cost, as shares of what each peer costs.

    The commands are a first sync, one that finds nothing new, and a read into a CSV file; the peers
    read all and write Parquet by day. All in turn; CPU and wall seconds, medians.
    """
    yield "| backups | latency | command | CPU s, wall s | " + " | ".join(PEERS) + " |"
    yield "|---|---|---|---|---|---|---|"
    for backups, pace, latency_s in product(sizes, (60, 600), latencies_s):
        if backups < pace * 5:
            continue
        runs = defaultdict[str, list[Run]](list)
        with served(backups, latency_s, pace=pace) as environment:
            for _ in range(rounds):
                folder = tempfile.mkdtemp(dir=SCRATCH.name)
                sync = ("sync", "--quiet", "--lake", f"{folder}/lake")
                read = ("read", "--quiet", "--format", "csv", "--out", f"{folder}/backups.csv")
                for name, words in (("first sync", sync), ("nothing new", sync), ("CSV", read)):
                    run = timed(sys.executable, COMMAND, environment, folder, *words)
                    runs[name].append(run)
                for name, script in PEERS.items():
                    runs[name].append(timed(peers, script, environment))
        measured = {name: middle(some) for name, some in runs.items()}
        for name in ("first sync", "nothing new", "CSV"):
            ours = measured[name]
            shares = (
                f"{ours.cpu_s / peer.cpu_s:.2f}, {ours.wall_s / peer.wall_s:.2f}"
                for peer in map(measured.__getitem__, PEERS)
            )
            yield (
                f"| {backups:,}, {pace} a day | {latency_s * 1000:.0f} ms | {name} | "
                f"{ours.cpu_s:.2f}, {ours.wall_s:.2f} | {' | '.join(shares)} |"
            )


def scales(peers: str, sizes: list[int]) -> list[str]:
    """From small to large: what a row costs should not grow; at the end the SDK for comparison."""
    lines = []
    cpu_s: dict[int, float] = {}
    sdk = "official SDK + json_normalize"
    for backups in sizes:
        ways = [("backup_frames", sys.executable, OURS)]
        if backups == sizes[-1]:
            ways.append((sdk, peers, PEERS[sdk]))
        with served(backups) as environment:
            for name, python, script in ways:
                run = timed(python, script, environment)
                if script == OURS:
                    cpu_s[backups] = run.cpu_s
                asked = int(run.printed.split()[0]) if script == OURS else None
                requests = f"{100 * asked / backups:.2f}" if asked else "not counted"
                lines.append(
                    f"| {backups:,} | {name} | {run.wall_s:.1f} | {1e6 * run.cpu_s / backups:.0f} | "
                    f"{requests} | {run.peak_mb:.0f} |"
                )
    few, many = sizes[-2:]
    further_ms = 1e5 * (cpu_s[many] - cpu_s[few]) / (many - few)
    return [
        *lines,
        f"\n{further_ms:.2f} ms of CPU per further page, from {few:,} to {many:,} backups",
    ]


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


def bulk(peers: str, rounds: int, backups: int) -> Iterator[str]:
    """Many backups of 43 days: at the latencies of a neighbour, a region and another continent."""
    yield "| way | backups | latency | wall s | times ours | CPU ms per page | peak MB |"
    yield "|---|---|---|---|---|---|---|"
    for latency_s in (0.0, 0.02, 0.08):
        yield "\n".join(whole_jobs(peers, backups, rounds, backups // 43, latency_s))


def spread(peers: str, rounds: int, backups: int) -> Iterator[str]:
    """As many over 736 days: a file a day, three where backups have tables."""
    yield "| way | backups | latency | wall s | times ours | CPU ms per page | peak MB |"
    yield "|---|---|---|---|---|---|---|"
    for is_plain in (False, True):
        yield "\n".join(whole_jobs(peers, backups, rounds, backups // 736, is_plain=is_plain))


def scale(peers: str, sizes: list[int]) -> Iterator[str]:
    """From few to a million."""
    yield "| backups | way | wall s | CPU us per row | requests per 100 rows | peak MB |"
    yield "|---|---|---|---|---|---|"
    yield "\n".join(scales(peers, sizes))


def throttle(backups: int) -> Iterator[str]:
    """Under a limit per minute."""
    yield "| backups at 600 requests a minute | requests | refused | wall s | ideal s | ratio |"
    yield "|---|---|---|---|---|---|"
    yield throttled(backups)


def flatten() -> Iterator[str]:
    """JSON into tables, without a server."""
    yield "| flattening | rows per second | times ours | CPU us per row |\n|---|---|---|---|"
    measured = rates()
    ours = measured["backup_frames"][0]
    for name, (rows, micros) in measured.items():
        yield f"| {name} | {rows:,.0f} | {ours / rows:.1f} | {micros:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 backups, one round")
    parser.add_argument("--only", nargs="+", help="everyday bulk spread scale throttle flatten")
    parser.add_argument("--rounds", type=int, default=0, help="default 3")
    parser.add_argument("--latency", nargs="+", type=float, help="seconds, of everyday")
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has the peers")
    options = parser.parse_args()
    is_quick, peers = options.quick, options.peers
    backups, rounds = (20_000, 1) if is_quick else (100_000, 3)
    rounds = options.rounds or rounds
    names = ("pyarrow", "pandas", "httpx", "polars", "duckdb")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"{versions}"
    )
    sizes, latencies_s = ((300, 2_000), (0.0,)) if is_quick else (SIZES, (0.0, 0.02, 0.08))
    grown = [10_000, 20_000] if is_quick else [10_000, 100_000, 1_000_000]
    parts = {
        "everyday": everyday(peers, rounds, sizes, options.latency or latencies_s),
        "bulk": bulk(peers, rounds, backups),
        "spread": spread(peers, rounds, backups),
        "scale": scale(peers, grown),
        "throttle": throttle(80_000 if is_quick else 180_000),
        "flatten": flatten(),
    }
    for name in options.only or parts:
        print(flush=True)
        for line in parts[name]:
            print(line, flush=True)


if __name__ == "__main__":
    main()
