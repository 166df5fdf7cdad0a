"""Spark on this machine, for tests: one session at a time, in one JVM."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from backup_frames.sandbox import Sandbox

SEED = 3
"""All sandboxes of a session have this seed: the token in the executors' environment fits them."""


@contextmanager
def open_session(master: str, **settings: str) -> Iterator[Any]:
    """A session whose executors know the sandbox's token; stopped at the end."""
    import pyspark  # noqa: PLC0415  # tests without it skip
    from pyspark.sql import SparkSession  # noqa: PLC0415

    # one session at a time: a second would be the first one, with the first one's master
    assert SparkSession.getActiveSession() is None
    # read when the JVM is launched, by the first session
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("SPARK_LOCAL_HOSTNAME", "127.0.0.1")
    builder = SparkSession.builder.master(master)
    options = {
        "spark.executorEnv.BACKUP_FRAMES_TOKEN": Sandbox(backups=0, seed=SEED).token,
        "spark.ui.port": "0",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
    }
    for name, value in (options | settings).items():
        builder = builder.config(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spark = builder.getOrCreate()
        spark.sparkContext.setLogLevel("OFF")
    try:
        yield spark
    finally:
        spark.stop()


def ui(spark: Any, path: str) -> Any:
    """What the session's UI tells over REST."""
    context = spark.sparkContext
    url = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/{path}"
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def executors_of_last_read(spark: Any) -> dict[str, int]:
    """Tasks that succeeded, by executor, of the newest stage that read more than one partition."""
    newest = _last_read(spark)
    tasks = ui(spark, f"stages/{newest['stageId']}/{newest['attemptId']}/taskList?length=1000")
    return Counter(task["executorId"] for task in tasks if task["status"] == "SUCCESS")


def seconds_of_last_read(spark: Any) -> float:
    """How long that stage took, from its first task's start."""
    newest = _last_read(spark)
    began, ended = (
        datetime.strptime(newest[name], "%Y-%m-%dT%H:%M:%S.%f%Z")  # noqa: DTZ007  # both are GMT
        for name in ("firstTaskLaunchedTime", "completionTime")
    )
    return (ended - began).total_seconds()


def _last_read(spark: Any) -> Any:
    stages = [stage for stage in ui(spark, "stages?status=complete") if stage["numTasks"] > 2]
    return max(stages, key=lambda stage: int(stage["stageId"]))
