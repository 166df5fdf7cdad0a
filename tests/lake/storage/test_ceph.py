"""The store against Ceph's gateway, a production server: what the contract tests do not ask."""

from __future__ import annotations

import pytest
from support.ceph_gateway import CephGateway

from backup_frames.errors import LakeConflictError, LakeError
from backup_frames.lake.storage.urls import open_store

SCRATCH = "_meta/p/tmp"
LOCK = "_meta/p/lock"

pytestmark = pytest.mark.slow


def test_a_wrong_secret_key_is_refused(ceph_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures are checked here: a wrong key is an error that says which key, not its value."""
    open_store(ceph_url, scratch=SCRATCH).put("a", b"x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "WR0NG")
    with pytest.raises(LakeError, match=r"SignatureDoesNotMatch.*Check the secret key") as caught:
        open_store(ceph_url, scratch=SCRATCH).read("a")
    assert "WR0NG" not in str(caught.value)


@pytest.mark.parametrize("option", ["", "&checksum=sha256", "&region=eu-west-101"])
def test_the_switches_are_accepted(ceph_url: str, option: str) -> None:
    """Checksums and other regions are signed in a way that a real server takes."""
    store = open_store(ceph_url + option, scratch=SCRATCH)
    store.put("backups/date=2026-01-01/p.parquet", bytes(6_000_000))
    assert store.read("backups/date=2026-01-01/p.parquet") == bytes(6_000_000)


def test_a_versioned_bucket_is_recognised(ceph_gateway: CephGateway, ceph_url: str) -> None:
    """Ceph ignores If-None-Match on versioned buckets; it is said, and the lock still excludes."""
    import boto3  # noqa: PLC0415 - heavy, and all here is slow

    client = boto3.client("s3", endpoint_url=ceph_gateway.endpoint, region_name="us-east-1")
    bucket = ceph_url.split("/")[2]
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.close()
    store = open_store(ceph_url, scratch=SCRATCH)
    with store.lock(LOCK) as lock:
        assert "ignores If-None-Match" in store.warnings[0]
        with pytest.raises(LakeConflictError):
            open_store(ceph_url, scratch=SCRATCH).lock(LOCK).__enter__()
        lock.check()
    assert [file.key for file in store.list("")] == [LOCK]  # it stays, and says that it is free
    with open_store(ceph_url, scratch=SCRATCH).lock(LOCK) as lock:
        lock.check()
