"""The guide's examples are taken by the tools they are for."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from guide.documents import GUIDE
from typer.main import get_command

from backup_frames.cli import app, main
from backup_frames.sandbox import Sandbox
from backup_frames.settings import load_projects

EXAMPLES = GUIDE / "examples"
NAME = "backup-frames"
COMMAND = f"/opt/backup-frames/bin/{NAME}"


def text_of(name: str) -> str:
    return (EXAMPLES / name).read_text("utf-8")


def check_arguments(words: list[str]) -> None:
    """The command that the first word names has the options among the others."""
    parameters = get_command(app).commands[words[0]].params  # type: ignore[attr-defined]  # a group
    known = {name for one in parameters for name in (*one.opts, *one.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """systemd-analyze verify has nothing to say about the service and the timer."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    paths = []
    for name in ("backup-frames.service", "backup-frames.timer"):
        paths.append(tmp_path / name)
        paths[-1].write_text(text_of(name).replace(COMMAND, sys.executable))
    verify = ["systemd-analyze", "verify", "--man=no", *map(str, paths)]
    ended = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_crons_lines_are_five_fields_and_a_command_for_sh() -> None:
    """No %, of which cron makes a line break; options that the commands have; sh takes them."""
    lines = [line for line in text_of("backup-frames.cron").splitlines() if line[0] != "#"]
    assert len(lines) == 2
    for line in lines:
        *when, command = line.split(" ", 5)
        assert all(re.fullmatch(r"[\d*/,-]+", field) for field in when)
        assert "%" not in command
        assert subprocess.run(["/bin/sh", "-nc", command], check=False).returncode == 0
        (words,) = re.findall(rf"{COMMAND} ([^>)]+)", command)
        check_arguments(shlex.split(words))


@pytest.mark.slow  # a process for each run
def test_crons_lines_do_as_they_say(tmp_path: Path) -> None:
    """As cron runs them: a line of JSON per run, a failed one too; errors and alarms are mailed once."""
    text = text_of("backup-frames.cron").replace(COMMAND, str(Path(sys.executable).parent / NAME))
    for place in ("/etc", "/var/lib/node_exporter", "/var/log"):
        text = text.replace(f"{place}/backup", f"{tmp_path}/backup")
    sync, alarm = (line.split(" ", 5)[5] for line in text.splitlines() if line[0] != "#")

    def run(line: str) -> tuple[int, str, str]:
        shell = ["/bin/sh", "-c", line]
        done = subprocess.run(
            shell, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    with Sandbox(backups=120, seed=7) as box:
        (tmp_path / "backup-frames.toml").write_text(
            f'[lake]\nurl = "{tmp_path}/lake"\n[[project]]\nendpoint = "{box.endpoint}"\n'
            f'project_id = "{box.project_id}"\ntoken_env = "CRON_TOKEN"\n'
        )
        secrets = tmp_path / "backup-frames.secrets"
        secrets.write_text(f"CRON_TOKEN={box.token}\n")
        assert run(sync) == (0, "", "")
        assert "exceptions of severity high" in run(alarm)[1]
        secrets.write_text("CRON_TOKEN=expired\n")
        code, out, errors = run(sync)
        assert (code, out) == (3, "")
        assert errors.count("\n") == 1
    log = (tmp_path / "backup-frames.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["exit_code"] for line in log] == [0, 3]
    assert "backup_frames_sync_exit_code" in (tmp_path / "backup_frames.prom").read_text("utf-8")


def test_the_config_file_names_two_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads as it is, the page shows the same, and no secret is in it."""
    for name in ("EU_AK", "EU_SK", "SINGAPORE_TOKEN"):
        monkeypatch.setenv(name, "x" * 20)
    one, two = load_projects(EXAMPLES / "backup-frames.toml")
    assert (one.credentials, two.credentials) == ("keys", "token")
    (shown,) = re.findall(
        r"```toml\n(.*?)```", (GUIDE / "scheduling.md").read_text("utf-8"), re.DOTALL
    )
    assert tomllib.loads(shown) == tomllib.loads(text_of("backup-frames.toml"))


def test_kubernetes_takes_the_cron_job(tmp_path: Path) -> None:
    """YAML of a ConfigMap and a CronJob that mounts it, whose arguments and settings are ours."""
    config, job = yaml.safe_load_all(text_of("cronjob.yaml"))
    assert (config["kind"], job["kind"], job["apiVersion"]) == ("ConfigMap", "CronJob", "batch/v1")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    check_arguments(container["args"])
    (mount,) = container["volumeMounts"]
    (volume,) = pod["volumes"]
    assert mount["name"] == volume["name"]
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    ((name, settings),) = config["data"].items()
    assert f"{mount['mountPath']}/{name}" in container["args"]
    (tmp_path / "x.toml").write_text(settings)
    assert len(load_projects(tmp_path / "x.toml")) == 1


def test_kubectl_reads_the_cron_job(tmp_path: Path) -> None:
    """`kubectl kustomize`, which needs no cluster, finds both objects."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is missing")
    shutil.copy(EXAMPLES / "cronjob.yaml", tmp_path)
    (tmp_path / "kustomization.yaml").write_text("resources: [cronjob.yaml]\n")
    command = ["kubectl", "kustomize", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    kinds = [one["kind"] for one in yaml.safe_load_all(ended.stdout)]
    assert sorted(kinds) == ["ConfigMap", "CronJob"]


def test_docker_starts_a_sync() -> None:
    """Known instructions only; no root; the entry point is this command, its arguments are ours."""
    lines = [line for line in text_of("Dockerfile").splitlines() if line and line[0] != "#"]
    parts = dict(line.split(" ", 1) for line in lines)
    assert set(parts) == {"FROM", "RUN", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert lines[0].startswith("FROM python:3.")
    assert parts["USER"] != "root"
    assert json.loads(parts["ENTRYPOINT"]) == ["backup-frames"]
    check_arguments(json.loads(parts["CMD"]))


def test_grafanas_panels_show_metrics_that_sync_writes(tmp_path: Path) -> None:
    """Every metric that a panel asks for is in the file of a sync; panels do not overlap."""
    board = json.loads(text_of("grafana.json"))
    with Sandbox(backups=10, seed=1) as box:
        settings = f'[lake]\nurl = "{tmp_path}/lake"\n[[project]]\nendpoint = "{box.endpoint}"\n'
        settings += f'project_id = "{box.project_id}"\ntoken = "{box.token}"\n'
        (tmp_path / "x.toml").write_text(settings)
        file = tmp_path / "x.prom"
        command = ["sync", "--config", str(tmp_path / "x.toml"), "--metrics-file", str(file)]
        assert main(command) == 0
    written = set(re.findall(r"^(backup_frames_\w+)\{", file.read_text("utf-8"), re.MULTILINE))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    wanted = {name for expr in asked for name in re.findall(r"backup_frames_\w+", expr)}
    assert len(asked) >= 6
    assert wanted <= written
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places) == len({panel["id"] for panel in board["panels"]})


@pytest.mark.parametrize("name", ["dagster_assets.py", "airflow_dag.py"])
def test_python_takes_the_orchestrators_examples(name: str) -> None:
    """They compile; the orchestrators themselves run them in the slow tier."""
    assert ast.get_docstring(ast.parse(text_of(name)))
    compile(text_of(name), name, "exec")
