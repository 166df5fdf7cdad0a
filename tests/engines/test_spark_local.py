"""Spark in one process with two tasks at once, against the sandbox."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.churn import Churn
from support.spark_sessions import SEED, open_session, ui

import backup_frames as bf
from backup_frames.frames.schema import FRAME_TABLES, KEYS
from backup_frames.sandbox import Sandbox, Status

pytest.importorskip("pyspark.sql.datasource", exc_type=ImportError)

pytestmark = [
    pytest.mark.slow,
    # Spark's own: sockets it leaves to the collector, and that it does not know pandas 3
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Load = Callable[..., Any]
PUSHDOWN = "spark.sql.python.filterPushdown.enabled"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session logs what its history would show."""
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="module")
def spark(events: Path) -> Iterator[Any]:
    other = Sandbox(backups=0, seed=SEED + 1)
    settings = {
        "spark.executorEnv.OTHER_TOKEN": other.token,
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
    }
    with open_session("local[2]", **settings) as session:
        yield session


@pytest.fixture
def reads(spark: Any) -> Any:
    return import_module("backup_frames.engines.spark").register(spark)


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(backups=2500, seed=SEED, start=datetime.now(UTC)) as sandbox:
        monkeypatch.setenv("BACKUP_FRAMES_TOKEN", sandbox.token)
        yield sandbox


@pytest.fixture
def load(spark: Any, reads: Any, box: Sandbox) -> Load:
    def make(**options: str) -> Any:
        where = {"endpoint": box.endpoint, "project_id": box.project_id}
        return spark.read.format("backup_frames").options(**{**where, **options}).load()

    return make


def read(box: Sandbox, **question: Any) -> bf.BackupFrames:
    return bf.read_backups(endpoint=box.endpoint, project_id=box.project_id, **question)


def in_order(table: pa.Table, name: str) -> pa.Table:
    return table.sort_by([(key, "ascending") for key in KEYS[name]])


def test_rows_and_types_equal_a_plain_read(load: Load, box: Sandbox, reads: Any) -> None:
    """In all three tables, with a complete certificate collected on the driver."""
    for name, wanted in zip(FRAME_TABLES, read(box).arrow, strict=True):
        got = load(table=name).toArrow()
        assert got.schema.equals(wanted.schema)
        assert in_order(got, name).equals(in_order(wanted, name))
        [certificate] = reads.certificates()
        assert (certificate.verdict, certificate.rows) == ("complete", 2500)


def test_columns_carry_their_descriptions(load: Load) -> None:
    """And units, as comments, which Spark's own catalog keeps."""
    field = load().schema["size_kb"]
    assert field.metadata["comment"] == "Backup size (API: size). Unit: KB."


def test_a_list_that_changes_meanwhile_loses_and_doubles_nothing(load: Load, box: Sandbox) -> None:
    """Every backup that was there for the whole read is in it once."""
    churn = Churn(box)
    df = load(partitions="6")
    box.service.faults.append(churn)
    ids = [row[0] for row in df.select("backup_id").collect()]
    assert churn.count > 40
    assert len(ids) == len(set(ids))
    assert churn.held <= set(ids) <= churn.ever


def test_projects_of_a_config_file_are_one_frame(
    load: Load, box: Sandbox, reads: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its own endpoint and token, and a certificate for each."""
    with Sandbox(backups=700, seed=SEED + 1) as other:
        monkeypatch.setenv("OTHER_TOKEN", other.token)
        config = tmp_path / "projects.toml"
        config.write_text(
            f'[[project]]\nproject_id = "{box.project_id}"\nendpoint = "{box.endpoint}"\n'
            f'token_env = "BACKUP_FRAMES_TOKEN"\n'
            f'[[project]]\nproject_id = "{other.project_id}"\nendpoint = "{other.endpoint}"\n'
            f'token_env = "OTHER_TOKEN"\n'
        )
        spark = load().sparkSession
        df = spark.read.format("backup_frames").option("config", str(config)).load()
        counts = {
            row["project_id"]: row["count"] for row in df.groupBy("project_id").count().collect()
        }
    assert counts == {box.project_id: 2500, other.project_id: 700}
    proofs = {one.project_id: one.rows for one in reads.certificates()}
    assert proofs == counts


def test_a_part_of_a_read_is_no_proof(load: Load, reads: Any) -> None:
    """`take` reads only the ranges it needs: the log says so."""
    assert len(load(partitions="8").take(3)) == 3
    with pytest.raises(bf.IncompleteReadError, match="ranges were not read"):
        reads.certificates()


def test_filters_reach_the_service(load: Load, box: Sandbox) -> None:
    """Only what can match is asked for, and the rows are those of a plain filter."""
    wanted = read(box).arrow.backups.to_pylist()
    row = wanted[-1]
    since = datetime.now(UTC) - timedelta(days=9)
    df = load().where(
        f"instance_id = '{row['instance_id']}' AND backup_type = '{row['backup_type']}' "
        f"AND datastore_type = '{row['datastore_type']}' AND begin_time >= '{since:%F %T}'"
    )
    box.service.requests.clear()
    ids = {one["backup_id"] for one in df.collect()}
    same = ("instance_id", "backup_type", "datastore_type")
    assert ids == {
        one["backup_id"]
        for one in wanted
        if all(one[name] == row[name] for name in same)
        and one["begin_time"]
        and one["begin_time"] >= since.replace(microsecond=0)
    }
    assert ids
    for asked in box.requests:
        assert all(asked.params[name] == row[name] for name in ("instance_id", "datastore_type"))
        assert datetime.fromisoformat(asked.params["begin_time"]) >= since - timedelta(seconds=2)
    assert box.request_count < 12


def test_all_tasks_together_keep_the_rate(load: Load, box: Sandbox) -> None:
    """From the plan to the last task; only the first request of each client does not wait."""
    moments: list[float] = []
    box.on_request(lambda _: moments.append(time.monotonic()))
    load(partitions="3", max_requests_per_second="20").count()
    assert len(moments) > 40
    assert (len(moments) - 5) / (moments[-1] - moments[0]) <= 20


def test_a_failing_service_fails_the_job_with_our_error(
    load: Load, box: Sandbox, spark: Any, reads: Any
) -> None:
    """Its name and advice are in Spark's, no credential is, and there is no proof."""
    df = load(partitions="3")
    box.service.faults.append(Status(status=403, after=25))
    with pytest.raises(Exception, match="AuthError") as caught:
        df.count()
    assert "Grant" in str(caught.value)
    assert box.token not in str(caught.value) + json.dumps(ui(spark, "stages?status=failed"))
    with pytest.raises(bf.IncompleteReadError, match="ranges were not read"):
        reads.certificates()


def test_an_uncertified_range_fails_the_job(load: Load) -> None:
    """A second that holds more backups than can be told apart, in one range of four."""
    record = {"instance_id": "i1", "status": "COMPLETED", "type": "Manual", "datastore": None}
    times = ["2026-01-09T00:00:00+0000"] * 230 + [
        f"2026-01-08T00:00:{n}+0000" for n in range(50, 9, -1)
    ]
    rows = [record | {"id": f"b{n}", "begin_time": at} for n, at in enumerate(times)]
    with Sandbox(records={"Instance": rows}, seed=SEED) as crowded:
        df = load(endpoint=crowded.endpoint, partitions="3")
        with pytest.raises(Exception, match=r"IncompleteReadError.*not proven"):
            df.count()


def test_a_secret_option_is_refused(load: Load) -> None:
    """At load, before any plan holds it."""
    with pytest.raises(Exception, match=r"ConfigError.*is a secret") as caught:
        load(token="canary-4711")
    assert "canary" not in str(caught.value)


def test_no_secret_in_plans_the_ui_or_the_event_log(
    load: Load, spark: Any, box: Sandbox, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither explain, nor what the UI's pages and REST tell, nor the log for its history."""
    df = load()
    df.explain(True)
    df.count()
    shown = capsys.readouterr().out
    for path in ("environment", "sql?details=true&planDescription=true", "jobs", "stages"):
        shown += json.dumps(ui(spark, path))
    for page in ("environment", "SQL", "jobs", "stages", "executors"):
        with urllib.request.urlopen(f"{spark.sparkContext.uiWebUrl}/{page}/") as answer:
            shown += answer.read().decode()
    logged = "".join(path.read_text() for path in events.rglob("*") if path.is_file())
    for text in (shown, logged):
        assert "backup_frames" in text
        assert "executorEnv.BACKUP_FRAMES_TOKEN" in text
        assert box.token not in text


def test_a_session_that_would_show_a_secret_is_refused() -> None:
    """Spark does not know Huawei's short names for secrets; the error says how to tell it."""
    module = import_module("backup_frames.engines.spark")
    shown = {"spark.executorEnv.HUAWEICLOUD_SDK_SK": "canary"}
    with pytest.raises(bf.ConfigError, match=r"spark\.redaction\.regex") as caught:
        module._check_redaction(shown)
    assert "canary" not in str(caught.value)
    regex = {"spark.redaction.regex": "(?i)secret|password|token|access[.]?key|_[AS]K$"}
    module._check_redaction(shown | regex)


def test_the_plain_source_works_without_the_setting_for_pushdown(
    load: Load, spark: Any, box: Sandbox
) -> None:
    """Registered as any source is, with Spark's default, which refuses sources that can push."""

    class Plain(import_module("backup_frames.engines.spark").BackupFramesSource):
        @classmethod
        def name(cls) -> str:
            return "plain"

    where = {"endpoint": box.endpoint, "project_id": box.project_id}
    spark.dataSource.register(Plain)
    spark.conf.set(PUSHDOWN, "false")
    df = spark.read.format("plain").options(**where).load()
    try:
        assert df.where("backup_type = 'Manual'").count() == len(read(box, backup_type="Manual"))
    finally:
        spark.conf.set(PUSHDOWN, "true")


def test_sparks_own_writers_take_it(load: Load, tmp_path: Path, reads: Any) -> None:
    """Written as Parquet by date and read back, with the certificate of the write."""
    load(partitions="3").write.partitionBy("begin_date").parquet(str(tmp_path / "out"))
    assert reads.certificates()[0].rows == 2500
    assert load().sparkSession.read.parquet(str(tmp_path / "out")).count() == 2500


def test_the_guides_block_runs(
    spark: Any, box: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As written, with another account and folder: what it exports and streams is complete."""
    text = (Path(bf.__file__).parent / "guide" / "spark.md").read_text(encoding="utf-8")
    [block] = re.findall(r"needs pyspark -->\n```python\n(.*?)```", text, re.DOTALL)
    account = {"endpoint": box.endpoint, "project_id": box.project_id}
    block = re.sub(r"account = .*", f"account = {account}", block)
    exec(block.replace('"spark-', f'"{tmp_path}/spark-'), {})
    assert "complete" in capsys.readouterr().out
    exported = spark.read.parquet(str(tmp_path / "spark-export")).count()
    assert exported == len(read(box, begin="2026-01-01"))
    closed = datetime.now(UTC) - timedelta(hours=2)
    assert spark.read.parquet(str(tmp_path / "spark-stream")).count() >= len(read(box, end=closed))


def test_a_lake_reads_as_the_lake_does(load: Load, box: Sandbox, tmp_path: Path) -> None:
    """Each table, present backups or all that ever were, and bounded by time."""
    lake = str(tmp_path / "lake")
    where = {"endpoint": box.endpoint, "project_id": box.project_id}
    bf.sync_backups(lake=lake, clock=box.clock, **where)
    box.clock.advance(timedelta(days=2))
    bf.sync_backups(lake=lake, clock=box.clock, **where)
    held = bf.open_lake(lake)
    begin = (box.clock.now() - timedelta(days=6)).isoformat()
    for name, table in (
        ("backups", held.backups),
        ("backup_databases", held.databases),
        ("backup_tables", held.tables),
    ):
        for options, question in (
            ({}, {}),
            ({"present": "false"}, {"present": False}),
            ({"begin": begin}, {"begin": begin}),
        ):
            source = load().sparkSession.read.format("backup_frames").option("partitions", "3")
            got = source.options(table=name, **options).load(lake).toArrow()
            assert in_order(got, name).equals(in_order(table(**question), name)), (name, options)
    runs = load().sparkSession.read.format("backup_frames").options(table="sync_runs").load(lake)
    assert runs.count() == held.runs().num_rows == 2


def test_a_stream_follows_the_closed_end(
    load: Load, spark: Any, reads: Any, box: Sandbox, tmp_path: Path
) -> None:
    """Each backup that began before the closed end comes once, over restarts of the query."""
    where = {"endpoint": box.endpoint, "project_id": box.project_id}

    def run(overlap_s: int) -> list[str]:
        closed_s = int(datetime.now(UTC).timestamp()) - overlap_s
        df = (
            spark.readStream.format("backup_frames")
            .options(**where, overlap_s=str(overlap_s))
            .load()
        )
        query = (
            df.writeStream.format("parquet")
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .trigger(availableNow=True)
            .start(str(tmp_path / "out"))
        )
        assert query.awaitTermination(180)
        assert query.exception() is None
        ids = [
            row[0]
            for row in spark.read.parquet(str(tmp_path / "out")).select("backup_id").collect()
        ]
        wanted = read(box, end=datetime.fromtimestamp(closed_s - 60, UTC)).arrow.backups
        more = read(box, end=datetime.fromtimestamp(closed_s + 60, UTC)).arrow.backups
        assert (
            set(wanted["backup_id"].to_pylist()) <= set(ids) <= set(more["backup_id"].to_pylist())
        )
        assert len(ids) == len(set(ids))
        return ids

    first = run(86_400 * 5)
    second = run(3600)
    assert len(first) < len(second)
