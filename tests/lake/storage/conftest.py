"""Servers and settings that the store's tests share."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator

import pytest
from support.bucket_server import BucketServer
from support.ceph_gateway import CephGateway, CephMissing

ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/EXAMPLEKEY"
_STORE_VARIABLES = ("AWS_", "HUAWEICLOUD_", "BACKUP_FRAMES_", "HTTP_PROXY", "HTTPS_PROXY")


@pytest.fixture(autouse=True)
def store_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up credentials, and nothing of the machine's own settings."""
    for name in list(os.environ):
        if name.upper().startswith((*_STORE_VARIABLES, "ALL_PROXY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


@pytest.fixture
def bucket() -> Iterator[BucketServer]:
    server = BucketServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def ceph_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CephGateway]:
    """Ceph's gateway, one for the session; only tests of the slow tier ask for it."""
    folder = tmp_path_factory.mktemp("ceph")
    try:
        gateway = CephGateway(folder, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    except CephMissing as reason:
        pytest.skip(str(reason))
    yield gateway
    gateway.close()
    shutil.rmtree(folder)


@pytest.fixture
def ceph_url(ceph_gateway: CephGateway, store_environment: None) -> str:
    import boto3  # noqa: PLC0415 - heavy, and only Ceph's tests need it

    bucket = uuid.uuid4().hex
    client = boto3.client("s3", endpoint_url=ceph_gateway.endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=bucket)
    client.close()
    return f"s3://{bucket}/some/lake?endpoint={ceph_gateway.endpoint}"
