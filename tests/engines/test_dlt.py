"""The dlt source: three tables, merged, from one verified read after another."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import backup_frames as bf
from backup_frames.frames.schema import DESCRIPTIONS, FRAME_TABLES, KEYS, TABLES
from backup_frames.sandbox import Sandbox, Status

dlt = pytest.importorskip("dlt", exc_type=ImportError)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def box() -> Any:
    with Sandbox(backups=600, seed=4) as sandbox:
        yield sandbox


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    return dlt.pipeline(
        "backups",
        pipelines_dir=str(tmp_path / "pipelines"),
        destination=dlt.destinations.duckdb(str(tmp_path / "out.duckdb")),
        dataset_name="service",
    )


@pytest.fixture
def run(pipeline: Any, box: Sandbox, tmp_path: Path) -> Callable[[], list[pa.Table]]:
    """Runs the pipeline once; gives its three tables."""
    backup_source = import_module("backup_frames.engines.dlt").backup_source

    def once() -> list[pa.Table]:
        pipeline.run(
            backup_source(endpoint=box.endpoint, project_id=box.project_id, token=box.token)
        )
        with duckdb.connect(str(tmp_path / "out.duckdb"), read_only=True) as base:
            return [
                in_order(base.sql(f"FROM service.{name}").to_arrow_table(), name)
                for name in FRAME_TABLES
            ]

    return once


def in_order(table: pa.Table, name: str) -> pa.Table:
    return table.cast(TABLES[name]).sort_by([(key, "ascending") for key in KEYS[name]])


def read(box: Sandbox) -> list[pa.Table]:
    frames = bf.read_backups(endpoint=box.endpoint, project_id=box.project_id, token=box.token)
    return [in_order(table, name) for name, table in zip(FRAME_TABLES, frames.arrow, strict=True)]


def test_a_first_run_loads_what_a_read_gives(run: Any, box: Sandbox) -> None:
    """The three tables hold the rows of the three frames."""
    assert run() == read(box)


def test_a_later_run_merges_the_newest_end(run: Any, box: Sandbox) -> None:
    """What came and changed since replaces its rows, in few requests; what left the list stays."""
    first = run()
    changed = next(iter(box.fleet.records("Instance")))["id"]
    box.clock.advance(timedelta(days=1))
    box.fleet.update(changed, status="LOST")
    sent = box.request_count
    second = run()
    assert box.request_count - sent < 12
    for name, before, after, held in zip(FRAME_TABLES, first, second, read(box), strict=True):
        is_held = pc.is_in(before["backup_id"], value_set=held["backup_id"])
        left = before.filter(pc.invert(is_held))
        assert after == in_order(pa.concat_tables([left, held]), name)
    assert len(first[0]) < len(second[0])
    assert changed in first[0]["backup_id"].to_pylist()
    assert "LOST" in second[0]["status"].to_pylist()


def test_a_run_that_finds_nothing_new_doubles_nothing(run: Any) -> None:
    """Run twice over the same list, the tables are the same."""
    assert run() == run()


def test_keys_and_words_reach_dlts_schema(run: Any, pipeline: Any) -> None:
    """Every column has its description and unit, every table its key, and merges by backup."""
    run()
    for name in FRAME_TABLES:
        table = pipeline.default_schema.tables[name]
        columns = table["columns"]
        assert (table["write_disposition"], table["description"]) == ("merge", DESCRIPTIONS[name])
        assert list(columns) == TABLES[name].names
        assert {key for key, one in columns.items() if one.get("primary_key")} == {*KEYS[name]}
        assert {key for key, one in columns.items() if one.get("merge_key")} == {*KEYS["backups"]}
        assert all(re.search(r"\. Unit: .+\.$", one["description"]) for one in columns.values())


def test_the_guides_block_runs(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline: Any
) -> None:
    """As written, it makes a DuckDB file of all backups."""
    text = (Path(bf.__file__).parent / "guide" / "spark.md").read_text(encoding="utf-8")
    [block] = re.findall(r"needs dlt -->\n```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    for name, value in box.environment().items():
        monkeypatch.setenv(name, value)
    exec(block, {})
    with duckdb.connect("geminidb.duckdb", read_only=True) as base:
        assert base.execute("SELECT count(*) FROM service.backups").fetchall() == [(600,)]


def test_the_token_is_nowhere_in_what_dlt_keeps(run: Any, box: Sandbox, tmp_path: Path) -> None:
    """Neither in its state, schema and load packages, nor in the database."""
    run()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "state.json" for path in files)
    assert not [path for path in files if box.token.encode() in path.read_bytes()]


def test_an_unproven_read_loads_nothing(run: Any, box: Sandbox) -> None:
    """A service that fails in the middle of a read fails the run; the next one loads all."""
    box.service.faults.append(Status(status=403, after=3))
    with pytest.raises(Exception, match="answered 403"):
        run()
    box.service.faults.clear()
    assert run() == read(box)
