"""The published file in DuckDB's older versions, each in an environment of its own, from the index."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support.lake_maker import make_big_lake

from backup_frames.insight import publish_lake

pytestmark = pytest.mark.slow

QUERY = (
    "SELECT ledger_count, coverage_rate, rpo_time_rate, success_rate_recent, duration_p95_s, "
    "growth_gib_per_day, forecast_high_gib, restore_point_age_p95_h FROM v_kpi_current"
)
#: What the older version runs: every view answers, the KPIs are printed, and the comments are there.
PROGRAM = """
import json, sys
import duckdb

path, query = sys.argv[1:]
connection = duckdb.connect(path, read_only=True)
connection.execute("SET enable_progress_bar = false")  # it would print on slow machines
names = connection.execute(
    "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal"
).fetchall()
for schema, name in names:
    connection.execute(f"SELECT count(COLUMNS(*)) FROM {schema}.{name}").fetchall()
words = connection.execute(
    "SELECT comment FROM duckdb_columns() WHERE table_name = 'v_kpi_current'"
).fetchall()
kpis = connection.execute(query).fetchall()[0]
print(json.dumps([duckdb.__version__, len(names), kpis, all(word for (word,) in words)]))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file that points at a lake, and one that holds the same rows."""
    folder = tmp_path_factory.mktemp("published")
    lake = make_big_lake(folder / "lake", backups=3_000, instances=50)
    names = {"points.duckdb": False, "holds.duckdb": True}
    return [publish_lake(lake, folder / n, materialize=held).path for n, held in names.items()]


@pytest.mark.parametrize("version", ["1.2.0", "1.3.2", "1.4.1", "1.5.0"])
def test_an_older_version_gives_the_same_numbers(
    version: str, files: list[Path], tmp_path: Path
) -> None:
    """Every view answers in DuckDB 1.2 and later, with the numbers and comments of this version."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    install = [python, "-m", "pip", "install", "-q", "--only-binary=:all:", f"duckdb=={version}"]
    subprocess.run(install, check=True)
    for path in files:
        done = subprocess.run(
            [python, "-c", PROGRAM, path, QUERY], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found_version, view_count, kpis, is_described = json.loads(done.stdout)
        with duckdb.connect(str(path), read_only=True) as connection:
            views = connection.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal")
            own_count = len(views.fetchall())
            (own_kpis,) = connection.sql(QUERY).fetchall()
        assert (found_version, view_count) == (version, own_count)
        assert kpis == pytest.approx(list(own_kpis))
        assert is_described
