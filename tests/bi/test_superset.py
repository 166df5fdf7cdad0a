"""Apache Superset opens the published file: the same numbers through its API, and a picture.

Superset and its many dependencies are installed into an environment of their own, from the package
index: some 250 MB and two minutes. `SUPERSET_VENV` names an environment that is kept instead, and is
filled if it does not exist yet. The versions are those of the guide's page on BI tools.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from support.lake_maker import make_big_lake

import backup_frames
from backup_frames.insight import publish_lake

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.slow

PAGE = Path(backup_frames.__file__).parent / "guide" / "bi.md"
LOGIN = {"username": "admin", "password": "only-for-this-test"}
CONFIG = """
import os

SQLALCHEMY_DATABASE_URI = "sqlite:///" + os.environ["SUPERSET_HOME"] + "/superset.db"
SECRET_KEY = "a key of forty-two letters for this test only"
WTF_CSRF_ENABLED = False  # this test posts with a bearer token, which no other site can forge
TALISMAN_ENABLED = False  # it would want https
"""


@dataclass
class Superset:
    """A running Superset, logged in, with the published file as a database."""

    api: httpx.Client
    database_id: int
    dataset_ids: dict[str, int]

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.api.post(f"/api/v1/{path}", json=body)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def ask(self, view: str, **query: Any) -> list[dict[str, Any]]:
        """One query as a chart of Superset sends it."""
        source = {"id": self.dataset_ids[view], "type": "table"}
        body = {"datasource": source, "queries": [query], "force": True}
        return self.post("chart/data", body)["result"][0]["data"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that Superset reads, pointing at a lake of 6,000 backups."""
    folder = tmp_path_factory.mktemp("published")
    lake = make_big_lake(folder / "lake", backups=6_000, instances=100)
    return publish_lake(lake, folder / "backups.duckdb").path


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with Superset, installed by the guide's command."""
    kept = os.environ.get("SUPERSET_VENV")
    venv = Path(kept) if kept else tmp_path_factory.mktemp("superset") / "venv"
    if not (venv / "bin" / "superset").exists():
        (wanted,) = re.findall(r"pip install (apache-superset==.*)", PAGE.read_text("utf-8"))
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", *wanted.split()], check=True)
    return venv / "bin"


@pytest.fixture(scope="module")
def address(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh Superset on a free port of 127.0.0.1; its own records lie in SQLite."""
    home = tmp_path_factory.mktemp("home")
    config = home / "superset_config.py"
    config.write_text(CONFIG, encoding="utf-8")
    ours = {"SUPERSET_HOME": str(home), "SUPERSET_CONFIG_PATH": str(config), "HOME": str(home)}
    environment = {**os.environ, **ours, "FLASK_APP": "superset"}
    environment["GUNICORN_CMD_ARGS"] = "--threads 4 --timeout 300"
    environment.pop("PYTHONPATH", None)  # this project's packages are not Superset's

    def run(*command: str) -> None:
        done = subprocess.run(
            [programs / "superset", *command],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    run("db", "upgrade")
    person = ("--firstname", "A", "--lastname", "B", "--email", "a@example.test")
    options = (part for name, value in LOGIN.items() for part in (f"--{name}", value))
    run("fab", "create-admin", *person, *options)
    run("init")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, number = listener.getsockname()[1], listener.fileno()
        log = (home / "log").open("wb")
        server = subprocess.Popen(
            [programs / "gunicorn", "superset.app:create_app()", "--bind", f"fd://{number}"],
            env=environment,
            pass_fds=[number],
            stdout=log,
            stderr=log,
        )
    try:
        # the socket has listened from the start, so the first request waits until it is served
        httpx.get(f"http://127.0.0.1:{port}/health", timeout=300).raise_for_status()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)
        log.close()


@pytest.fixture(scope="module")
def superset(address: str, published: Path) -> Iterator[Superset]:
    """Logged in by REST; the file is registered read-only, two of its views are datasets."""
    with httpx.Client(base_url=address, timeout=300) as api:
        found = Superset(api, 0, {})
        token = found.post("security/login", {**LOGIN, "provider": "db"})["access_token"]
        api.headers["Authorization"] = f"Bearer {token}"
        database = {
            "database_name": "backups",
            "sqlalchemy_uri": f"duckdb:///{published}",
            "extra": json.dumps({"engine_params": {"connect_args": {"read_only": True}}}),
            "expose_in_sqllab": True,
        }
        found.database_id = found.post("database/", database)["id"]
        for view in ("v_kpi_daily", "v_kpi_current"):
            dataset = {"database": found.database_id, "schema": "main", "table_name": view}
            found.dataset_ids[view] = found.post("dataset/", dataset)["id"]
        yield found


def own_answer(published: Path, query: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(published), read_only=True) as connection:
        return connection.sql(query).to_arrow_table().to_pylist()


def test_a_dataset_has_all_columns(superset: Superset, published: Path) -> None:
    """Superset finds every column of a view, and takes the day for what it is: a time axis."""
    found = superset.api.get(f"/api/v1/dataset/{superset.dataset_ids['v_kpi_daily']}").json()
    columns = {column["column_name"]: column for column in found["result"]["columns"]}
    with duckdb.connect(str(published), read_only=True) as connection:
        assert set(columns) == set(connection.sql("FROM v_kpi_daily").columns)
    assert [name for name, column in columns.items() if column["is_dttm"]] == ["date"]


def test_current_kpis_through_the_chart_api(superset: Superset, published: Path) -> None:
    """The row of v_kpi_current is the same in Superset as in DuckDB, number for number."""
    names = ["coverage_rate", "rpo_instance_rate", "success_rate_recent", "unprotected_count"]
    got = superset.ask("v_kpi_current", columns=names, metrics=[], row_limit=10)
    expected = own_answer(published, f"SELECT {', '.join(names)} FROM v_kpi_current")
    assert got == expected
    assert 0 < expected[0]["success_rate_recent"] < 1


def test_daily_kpis_aggregated_by_superset(superset: Superset, published: Path) -> None:
    """Superset's own aggregation over v_kpi_daily gives what the same SQL gives in DuckDB."""
    sums = ("completed_count", "failed_count")
    metrics = [
        {"expressionType": "SQL", "sqlExpression": f"sum({name})", "label": name} for name in sums
    ]
    rate = "sum(completed_count) / sum(completed_count + failed_count)"
    metrics.append({"expressionType": "SQL", "sqlExpression": rate, "label": "rate"})
    days = [{"col": "date", "op": "TEMPORAL_RANGE", "val": "2026-02-01 : 2026-03-01"}]
    got = superset.ask("v_kpi_daily", columns=[], metrics=metrics, filters=days)
    expected = own_answer(
        published,
        "SELECT sum(completed_count)::BIGINT AS completed_count, "
        f"sum(failed_count)::BIGINT AS failed_count, {rate} AS rate "
        "FROM v_kpi_daily WHERE date >= '2026-02-01' AND date < '2026-03-01'",
    )
    assert got == expected
    assert expected[0]["completed_count"] > 2_000


def test_sql_lab(superset: Superset, published: Path) -> None:
    """A question in SQL Lab gets DuckDB's answer."""
    query = "SELECT kind, count(*) AS findings FROM v_exceptions GROUP BY kind ORDER BY kind"
    body = {"database_id": superset.database_id, "sql": query, "runAsync": False}
    assert superset.post("sqllab/execute/", body)["data"] == own_answer(published, query)


def test_read_only(superset: Superset, published: Path) -> None:
    """Nobody can change the file from Superset, so that a new publish loses nothing."""
    body = {"database_id": superset.database_id, "sql": "UPDATE settings SET rpo_h = 1"}
    answer = superset.api.post("/api/v1/sqllab/execute/", json=body)
    assert not answer.is_success
    assert own_answer(published, "SELECT rpo_h FROM settings") == [{"rpo_h": 24.0}]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: `apt-get install chromium`")
def test_a_chart_on_the_screen(superset: Superset, published: Path, tmp_path: Path) -> None:
    """A big number made of v_kpi_current shows on Superset's own page as DuckDB knows it."""
    number = {
        "viz_type": "big_number_total",
        "metric": {
            "expressionType": "SQL",
            "sqlExpression": "max(success_rate_recent)",
            "label": "Success, 7 days",
        },
        "y_axis_format": ".2%",
        "subtitle": "Backups that completed, of all that finished",
    }
    source = superset.dataset_ids["v_kpi_current"]
    chart = superset.post(
        "chart/",
        {
            "slice_name": "Success, 7 days",
            "viz_type": number["viz_type"],
            "datasource_id": source,
            "datasource_type": "table",
            "params": json.dumps({**number, "datasource": f"{source}__table"}),
        },
    )
    ((rate,),) = (
        row.values()
        for row in own_answer(published, "SELECT success_rate_recent FROM v_kpi_current")
    )
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - heavy, and all here is slow

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        page.goto(f"{superset.api.base_url}/login/")
        page.fill("#username", LOGIN["username"])
        page.fill("#password", LOGIN["password"])
        page.press("#password", "Enter")
        page.wait_for_url(re.compile("welcome"))
        page.goto(f"{superset.api.base_url}/explore/?slice_id={chart['id']}")
        page.get_by_text(f"{rate:.2%}").first.wait_for()
        page.screenshot(path=str(tmp_path / "superset.png"))
        browser.close()
