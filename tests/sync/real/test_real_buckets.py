"""A lake in a bucket from end to end: the command, verify and readers, on servers that differ."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from support.bucket_server import BucketServer
from support.ceph_gateway import CephGateway, CephMissing
from support.real_lab import data_files

from backup_frames.cli import main
from backup_frames.errors import LakeConflictError
from backup_frames.lake.lake import open_lake
from backup_frames.lake.storage.urls import open_store
from backup_frames.sandbox import Sandbox
from backup_frames.settings import Settings, load_settings
from backup_frames.sync.maintenance.verify import verify_lake
from backup_frames.sync.one_project import sync_backups

BACKUPS = 24
ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/EXAMPLEKEY"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, _clean_environment: None) -> None:
    """Credentials for the buckets, from the usual environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that the environment points to, as old as a few days."""
    start = datetime.now(UTC) - timedelta(days=2)
    with Sandbox(backups=BACKUPS, seed=8, start=start) as sandbox:
        for name, text in sandbox.environment().items():
            if "SDK" not in name:
                monkeypatch.setenv(name, text)
        yield sandbox


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CephGateway]:
    try:
        gateway = CephGateway(
            tmp_path_factory.mktemp("ceph"), access_key=ACCESS_KEY, secret_key=SECRET_KEY
        )
    except CephMissing as reason:
        pytest.skip(str(reason))
    yield gateway
    gateway.close()


@pytest.fixture
def bad_bucket() -> Iterator[BucketServer]:
    server = BucketServer()
    yield server
    server.close()


def settings_of(box: Sandbox, lake: str) -> Settings:
    return load_settings(
        lake=lake, endpoint=box.endpoint, project_id=box.project_id, token=box.token
    )


def live_through_days(box: Sandbox, url: str, folder: Path) -> None:
    """Sync, nothing new, a day later, a deletion: verified, and the bytes of a lake on disk."""
    settings = settings_of(box, url)
    sync_backups(settings=settings_of(box, str(folder)), clock=box.clock)
    first = sync_backups(settings=settings, clock=box.clock)
    assert (first.exit_code, first.counts["new"], first.warnings) == (0, BACKUPS, ())
    quiet = sync_backups(settings=settings, clock=box.clock)
    assert (quiet.file_count, quiet.exit_code) == (0, 0)
    box.clock.advance(timedelta(days=1))
    box.fleet.delete(box.fleet.ids()[7])
    sync_backups(settings=settings_of(box, str(folder)), clock=box.clock)
    later = sync_backups(settings=settings, clock=box.clock)
    assert later.exit_code == 0
    assert later.counts["gone"] > 0
    assert later.counts["new"] > 0
    assert verify_lake(url, against_service=True, settings=settings, clock=box.clock) == []
    lake = open_lake(url)
    present = lake.backups()
    assert set(present["backup_id"].to_pylist()) == set(box.fleet.ids())
    assert lake.backups(present=False).num_rows == BACKUPS + later.counts["new"]
    assert lake.dataset("backups").to_table().num_rows == BACKUPS + later.counts["new"]
    assert lake.runs().num_rows == 3
    store = open_store(url, scratch="_meta/test/tmp")
    on_disk = data_files(folder)
    assert {key: store.read(key) for key in on_disk} == on_disk


def test_the_command_fills_a_bucket(box: Sandbox, moto_url: str, capfd) -> None:
    """sync, sync, verify from the environment alone: the same rows as a lake in a folder."""
    for _ in range(2):
        assert main(["sync", "--lake", moto_url, "--log-format", "json"]) == 0
    report = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert report["file_count"] == 0
    assert main(["verify", "--lake", moto_url]) == 0
    assert set(open_lake(moto_url).backups()["backup_id"].to_pylist()) == set(box.fleet.ids())


def test_a_lake_in_a_bucket_lives(
    box: Sandbox, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The address from AWS_ENDPOINT_URL: whole syncs, changes, deletions, verify, readers."""
    bucket = uuid.uuid4().hex
    urlopen(Request(f"{moto_endpoint}/{bucket}", method="PUT")).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_endpoint)
    live_through_days(box, f"s3://{bucket}/lake", tmp_path)


@pytest.mark.slow
def test_a_lake_on_ceph_lives(box: Sandbox, ceph: CephGateway, tmp_path: Path) -> None:
    """The same on a production server that checks signatures."""
    live_through_days(box, f"s3://{_ceph_bucket(ceph)}/lake?endpoint={ceph.endpoint}", tmp_path)


@pytest.mark.slow
def test_a_versioned_ceph_bucket_is_said(box: Sandbox, ceph: CephGateway, capfd) -> None:
    """Ceph ignores If-None-Match there: the sync works, and warns."""
    import boto3  # noqa: PLC0415 - heavy, and only Ceph's tests need it

    bucket = _ceph_bucket(ceph)
    client = boto3.client("s3", endpoint_url=ceph.endpoint, region_name="us-east-1")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.close()
    url = f"s3://{bucket}/lake?endpoint={ceph.endpoint}"
    assert main(["sync", "--lake", url]) == 0
    assert "ignores If-None-Match" in capfd.readouterr().err
    assert main(["verify", "--lake", url]) == 0


def _ceph_bucket(ceph: CephGateway) -> str:
    import boto3  # noqa: PLC0415 - as above

    bucket = uuid.uuid4().hex
    client = boto3.client("s3", endpoint_url=ceph.endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=bucket)
    client.close()
    return bucket


@pytest.mark.parametrize("ignored", ["if-none-match", "if-match"])
def test_a_store_that_ignores_conditions_is_said(
    box: Sandbox, bad_bucket: BucketServer, capfd, ignored: str
) -> None:
    """The sync works and warns on stderr; one lake, and the second run says it again."""
    bad_bucket.ignores = {ignored}
    for _ in range(2):
        assert main(["sync", "--lake", bad_bucket.url, "--log-format", "json"]) == 0
        assert "ignores If-" in capfd.readouterr().err
    assert verify_lake(bad_bucket.url) == []


def test_a_bucket_that_another_run_holds(box: Sandbox, bad_bucket: BucketServer) -> None:
    """While a run works on the bucket another is refused, and the first is not disturbed."""
    settings = settings_of(box, bad_bucket.url)
    refused = []

    def try_another(done: int, expected: int | None) -> None:
        if not refused:
            with pytest.raises(LakeConflictError) as caught:
                sync_backups(settings=settings, clock=box.clock)
            refused.append(caught.value)

    report = sync_backups(settings=settings, clock=box.clock, progress=try_another)
    assert len(refused) == 1
    assert report.exit_code == 0
    assert verify_lake(bad_bucket.url) == []
