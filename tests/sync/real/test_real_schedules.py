"""The guide's schedules do what they show: cron's lines, Dagster's asset, Airflow's DAG."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.real_lab import FOREIGN, Ended, finish

import backup_frames
from backup_frames.sandbox import Sandbox

ROOT = Path(__file__).parents[3]
EXAMPLES = Path(backup_frames.__file__).parent / "guide" / "examples"
COMMAND = "/opt/backup-frames/bin/backup-frames"
SCRIPTS = {"dagster": "dagster_assets.py", "airflow": "airflow_dag.py"}
PINNED = {"dagster": "dagster==1.13.29", "airflow": "apache-airflow==3.3.2"}


def example(name: str) -> str:
    """A file of the guide."""
    return (EXAMPLES / name).read_text(encoding="utf-8")


def run(command: list[str], folder: Path, **variables: str) -> Ended:
    """Run with nothing of the machine's settings and with these variables, in that folder."""
    own = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, env=own | variables, cwd=folder, stdout=pipe, stderr=pipe, text=True
    )
    return finish(process)


def test_crons_lines_sync_the_projects_of_the_file_and_alarm_once(tmp_path: Path) -> None:
    """Two projects in one lake, a line of JSON each, metrics; then a mail only of what is new."""
    sync, check = (
        line.split(" ", 5)[5] for line in example("backup-frames.cron").splitlines()[1::2]
    )
    with Sandbox(backups=30, seed=1) as europe, Sandbox(backups=40, seed=2) as asia:
        config = example("backup-frames.toml").replace("s3://backups/geminidb", f"{tmp_path}/lake")
        for box, region in ((europe, "eu-west-101"), (asia, "ap-southeast-3")):
            config = config.replace(f'region = "{region}"', f'endpoint = "{box.endpoint}"')
        for box, shown in ((europe, "0123456789abcdef" * 2), (asia, "fedcba9876543210" * 2)):
            assert shown in config
            config = config.replace(shown, box.project_id)
        (tmp_path / "backup-frames.toml").write_text(config)
        (tmp_path / "backup-frames.secrets").write_text(
            f"EU_AK={europe.access_key}\nEU_SK={europe.secret_key}\nSINGAPORE_TOKEN={asia.token}\n"
        )

        def cron(command: str) -> Ended:
            here = command.replace(COMMAND, f"{sys.executable} -m backup_frames")
            for folder in ("/etc", "/var/lib/node_exporter", "/var/log"):
                here = here.replace(f"{folder}/backup", f"{tmp_path}/backup")
            return run(["/bin/sh", "-c", here], tmp_path, PATH="/usr/bin:/bin")

        ended = cron(sync)
        assert (ended.code, ended.out, ended.err) == (0, "", "")
        alarmed = cron(check)
        assert "new exceptions of severity high" in alarmed.out
        cron(sync)
        silent = cron(check)
        assert (silent.code, silent.out, silent.err) == (0, "", "")
    lines = (tmp_path / "backup-frames.jsonl").read_text().splitlines()
    new = [json.loads(line)["counts"]["new"] for line in lines]  # projects end in any order
    assert (sorted(new[:2]), new[2:]) == ([30, 40], [0, 0])
    assert pq.read_table(tmp_path / "lake" / "backups").num_rows == 70
    assert "is_success" in (tmp_path / "backup_frames.prom").read_text()


MATERIALIZE = """
import dagster as dg
from scheduled import backup_lake, defs, every_hour

dg.Definitions.validate_loadable(defs)
requests = every_hour(dg.build_schedule_context())
assert [request.partition_key for request in requests] == ["eu-west-101", "ap-southeast-3"]
for new in (50, 0):
    result = dg.materialize([backup_lake], partition_key=requests[0].partition_key)
    assert result.success
    (made,) = result.asset_materializations_for_node("backup_lake")
    assert made.partition == "eu-west-101"
    assert made.metadata["new"].value == new
"""

DAG_RUN = """
import subprocess, sys

for command in ("db migrate", "dags reserialize", "dags test geminidb_backups"):
    subprocess.run([sys.executable, "-m", "airflow", *command.split()], check=True)
"""


def python_with(package: str, folder: Path) -> str:
    """A Python that has the orchestrator and this package: this one, or one made for it."""
    if find_spec(package) is not None:
        return sys.executable
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q", PINNED[package], str(ROOT)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert "ResolutionImpossible" not in done.stderr, done.stderr[-3000:]
    if done.returncode:
        pytest.skip(f"{PINNED[package]} cannot be installed here: {done.stderr[-300:]}")
    return python


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "script"),
    [("dagster", MATERIALIZE), ("airflow", DAG_RUN)],
    ids=["dagster", "airflow"],
)
def test_an_orchestrators_example_fills_a_lake(tmp_path: Path, package: str, script: str) -> None:
    """The file of the guide, run by the orchestrator itself, with keys from the environment."""
    python = python_with(package, tmp_path / "venv")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "scheduled.py").write_text(example(SCRIPTS[package]))
    (tmp_path / "script.py").write_text(script)
    with Sandbox(backups=50, seed=3) as box:
        account = box.environment() | {
            "BACKUP_FRAMES_REGION": box.region,
            "BACKUP_FRAMES_LAKE": f"{tmp_path}/lake",
            "PYTHONPATH": f"{tmp_path}/dags",
            "AIRFLOW_HOME": f"{tmp_path}/airflow",
            "AIRFLOW__CORE__DAGS_FOLDER": f"{tmp_path}/dags",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        if package == "dagster":  # its projects are looked up by region, with the keys
            del account["BACKUP_FRAMES_PROJECT_ID"], account["BACKUP_FRAMES_TOKEN"]
        ended = run([python, "script.py"], tmp_path, **account)
    assert ended.code == 0, ended.err[-3000:]
    assert pq.read_table(tmp_path / "lake" / "backups").num_rows == 50
