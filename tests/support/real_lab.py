"""Real processes on real lakes: what the tests of this folder share.

with Sandbox(backups=200) as box:
    account = Account(box, lake)
    run = account.start("sync")              # python -m backup_frames sync, as a user does
    ...
    check_readers(lake)                      # pandas, pyarrow and duckdb read every table
    assert content_of(lake) == content_of(calm)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pandas.testing import assert_frame_equal

from backup_frames.sandbox import Sandbox
from backup_frames.sync.maintenance.verify import verify_lake

DATA = {
    "backups": ["backup_id"],
    "backup_databases": ["backup_id", "database_index"],
    "backup_tables": ["backup_id", "database_index", "table_index"],
}
FOREIGN = ("BACKUP_FRAMES_", "HUAWEICLOUD_", "AWS_")

FROZEN_SYNC = """
import sys
from datetime import datetime
from backup_frames.sync.one_project import sync_backups
from backup_frames.sandbox import SandboxClock
sync_backups(full=sys.argv[2] == "full", clock=SandboxClock(datetime.fromisoformat(sys.argv[1])))
"""
"""A sync that believes it is always the same moment; all else comes from the environment."""


@dataclass(frozen=True)
class Account:
    """A sandbox's customer with a lake, who starts processes."""

    box: Sandbox
    lake: Path | str

    @property
    def environment(self) -> dict[str, str]:
        own = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN)}
        served = self.box.environment()
        served = {name: text for name, text in served.items() if "SDK" not in name}
        return own | served | {"BACKUP_FRAMES_LAKE": str(self.lake)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command line, in a process of its own."""
        return self.launch([sys.executable, "-m", "backup_frames", *arguments])

    def launch(self, command: Sequence[str], **variables: str) -> subprocess.Popen[str]:
        """Any command, with the account in its environment, and more variables."""
        environment = self.environment | variables
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str) -> Ended:
        """The command line, to its end."""
        return finish(self.start(*arguments))

    def frozen(self, moment: datetime, kind: str = "plain") -> list[str]:
        """The command of a sync with a clock that stands."""
        return [sys.executable, "-c", FROZEN_SYNC, moment.isoformat(), kind]


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for a process and collect what it said."""
    out, err = process.communicate(timeout=300)
    return Ended(process.returncode, out, err)


def wait_until(is_so: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Busy-wait for something that a process does; give up when it has ended."""
    deadline = time.monotonic() + 120
    while not is_so() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def copy_lake(source: Path, target: Path) -> Path:
    """A fresh copy of a lake, or of nothing if there is none yet."""
    shutil.rmtree(target, ignore_errors=True)
    if source.exists():
        shutil.copytree(source, target)
    return target


def data_files(lake: Path) -> dict[str, bytes]:
    """The bytes of every data file, by path inside the lake."""
    return {
        path.relative_to(lake).as_posix(): path.read_bytes()
        for table in DATA
        for path in (lake / table).rglob("*.parquet")
    }


def stamps(lake: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every data file: equal means not touched."""
    return {
        path.relative_to(lake).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for table in DATA
        for path in (lake / table).rglob("*.parquet")
    }


def content_of(lake: Path) -> dict[str, pa.Table]:
    """What a lake holds, when it was observed left out; who is gone stays."""
    content = {}
    for table, keys in DATA.items():
        rows = ds.dataset(lake / table, format="parquet").to_table()
        if table == "backups":
            rows = rows.append_column("is_gone", pc.is_valid(rows["gone_at"]))
            rows = rows.drop_columns(["first_seen_at", "updated_at", "gone_at"])
        content[table] = rows.sort_by([(key, "ascending") for key in keys]).combine_chunks()
    return content


def check_readers(lake: Path, connection: duckdb.DuckDBPyConnection | None = None) -> int:
    """pandas, pyarrow and duckdb read every table that has files; the number of backups.

    Without a `connection` the lake is taken to be at rest, and the three must agree.
    """
    is_at_rest = connection is None
    rows = 0
    for table, keys in DATA.items():
        if not any((lake / table).rglob("*.parquet")):
            continue
        frame = pd.read_parquet(lake / table)
        arrow = ds.dataset(lake / table, format="parquet", partitioning="hive").to_table()
        files = f"{lake}/{table}/*/*.parquet"
        query = f"SELECT * FROM read_parquet('{files}', hive_partitioning=false)"
        sql = (connection or duckdb).sql(query).to_arrow_table()
        for found in (frame, arrow.to_pandas(), sql.to_pandas()):
            assert not found.duplicated(keys).any()
            assert found["project_id"].notna().all()
        assert arrow.schema.field("begin_date").type == pa.date32()
        if is_at_rest:
            assert len(frame) == arrow.num_rows == sql.num_rows
            names = [name for name in arrow.column_names if name != "date"]
            order = [(key, "ascending") for key in keys]
            plain = arrow.select(names).sort_by(order).to_pandas()
            assert_frame_equal(frame[names].sort_values(keys, ignore_index=True), plain)
        if table == "backups":
            rows = len(frame)
    return rows


def check_sound(lake: Path) -> None:
    """verify finds nothing."""
    assert verify_lake(str(lake)) == []
