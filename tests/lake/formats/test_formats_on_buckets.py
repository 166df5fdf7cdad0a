"""Delta Lake and Iceberg on an S3-compatible store, and Iceberg in a REST catalog."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import polars as pl
import pytest
from support.format_lake import FORMATS, encoded
from support.lake_service import HOUR, PROJECT, World, sync, sync_as

from backup_frames.errors import ConfigError, LakeError
from backup_frames.insight.kpi.publish import connect_lake
from backup_frames.lake.formats.open_tables import open_lake_store
from backup_frames.lake.lake import open_lake
from backup_frames.lake.storage.store import Store
from backup_frames.sync.maintenance.check import check_lake

CATALOG = "BACKUP_FRAMES_ICEBERG_CATALOG"


@pytest.fixture
def place(moto_url: str) -> str:
    """A prefix of its own: moto's buckets outlive its server."""
    return moto_url.replace("some/lake", uuid.uuid4().hex)


def opened(url: str, lake_format: str | None = None, project_id: str = PROJECT) -> Store:
    return open_lake_store(url, scratch=f"_meta/{project_id}/tmp", lake_format=lake_format)


@pytest.mark.slow
@pytest.mark.parametrize("lake_format", FORMATS)
def test_a_bucket_holds_the_same_lake(
    place: str, lake_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two syncs into a bucket: row for row a plain lake's partitions; all readers of ours work."""
    monkeypatch.setenv(CATALOG, f"sqlite:///{tmp_path}/catalog.db")
    world = World()
    world.fill(days=2)
    for _ in range(2):
        store = opened(place, lake_format)
        world.service.random.seed(1)
        sync(world.service, store, threads=4)
        world.service.random.seed(1)
        world.sync()
        assert encoded(store) == encoded(world.store)
        world.clock.advance(HOUR)
        world.service.remove(world.ids()[1])
        world.service.add(world.clock.now() - HOUR / 2)
    assert check_lake(opened(place)) == []
    assert open_lake(place).backups().num_rows == 16
    with connect_lake(place) as connection:
        assert connection.execute("SELECT count(*) FROM backups").fetchall() == [(17,)]


def test_polars_reads_a_delta_lake_in_a_bucket(place: str) -> None:
    """With nothing but the table's address and the usual options."""
    world = World()
    world.fill(days=1)
    sync(world.service, opened(place, "delta"))
    address, _, endpoint = place.partition("?endpoint=")
    options = {"aws_endpoint_url": endpoint, "aws_allow_http": "true", "aws_region": "us-east-1"}
    frame = pl.read_delta(f"{address}/backups", storage_options=options)
    assert frame.height == 8


def test_an_iceberg_lake_in_a_bucket_needs_a_catalog(place: str) -> None:
    """A file in a bucket cannot be a database: the message says what to set."""
    with pytest.raises(ConfigError, match=CATALOG):
        opened(place, "iceberg")


@pytest.mark.slow
def test_failures_of_a_delta_store_are_said_without_secrets(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is gone is a LakeError; no key of the environment is in it."""
    world = World()
    world.fill(days=1)
    store = opened(place, "delta")
    sync(world.service, store)
    gone = opened(place)
    gone._tables._options["aws_endpoint_url"] = "http://127.0.0.1:9"
    gone._tables._options["aws_endpoint_url_s3"] = "http://127.0.0.1:9"
    gone._tables._options["max_retries"] = "0"
    with pytest.raises(LakeError, match="Delta table") as caught:
        gone.list("backups")
    assert "EXAMPLE" not in str(caught.value)


@pytest.mark.slow
def test_iceberg_in_a_rest_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog is set by its URL: syncs, verify and readers find the tables there."""
    from pyiceberg.catalog import load_catalog  # noqa: PLC0415 - heavy, and no other test here needs it
    from support.rest_catalog import RestCatalogServer  # noqa: PLC0415 - heavy, and no other test here needs it

    with RestCatalogServer(tmp_path / "catalog.db") as server:
        monkeypatch.setenv(CATALOG, server.url)
        world = World()
        world.fill(days=2)
        folder = str(tmp_path / "lake")
        for _ in range(2):
            sync(world.service, opened(folder, "iceberg"))
            world.clock.advance(HOUR)
            world.service.remove(world.ids()[1])
        assert check_lake(opened(folder)) == []
        assert open_lake(folder).backups().num_rows == 15
        assert not (tmp_path / "lake/_meta/iceberg.db").exists()
        catalog = load_catalog("any", type="rest", uri=server.url)
        table = catalog.load_table("backup_frames.backups")
        assert table.scan().to_arrow().num_rows == 16
        with pytest.raises(ConfigError, match="BACKUP_FRAMES_ICEBERG_NAMESPACE"):
            sync(world.service, opened(str(tmp_path / "other"), "iceberg"))


@pytest.mark.slow
@pytest.mark.parametrize("lake_format", FORMATS)
def test_projects_that_sync_at_once_lose_nothing(
    place: str, lake_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six projects commit to the same tables at the same time; every row of each is there."""
    monkeypatch.setenv(CATALOG, f"sqlite:///{tmp_path}/catalog.db")
    sync_one(place, lake_format, "p0")
    threads = [
        threading.Thread(target=sync_one, args=(place, lake_format, f"p{number}"))
        for number in range(1, 6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert check_lake(opened(place)) == []
    found = open_lake(place).backups()["project_id"].value_counts().to_pylist()
    assert {one["values"]: one["counts"] for one in found} == {f"p{n}": 8 for n in range(6)}


def sync_one(url: str, lake_format: str, project_id: str) -> None:
    world = World()
    world.fill(days=1)
    sync_as(project_id, world.service, opened(url, lake_format, project_id))
