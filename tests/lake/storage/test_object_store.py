"""The object store when requests get lost, hang, are refused, or are addressed in odd ways."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import traceback
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import pytest
from support.bucket_server import BucketServer, Request, open_bucket

from backup_frames.errors import ConfigError, LakeError
from backup_frames.lake.storage.bucket_url import read_object_url
from backup_frames.lake.storage.urls import check_store, open_store

SCRATCH = "_meta/p/tmp"
LOCK = "_meta/p/lock"
KEYS = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}


def at_each_put(vice: object):
    return lambda request: vice if request.method == "PUT" else None


@pytest.mark.parametrize("e_tag_suffix", ["", "-2"])
def test_a_put_whose_answer_was_lost_is_found_to_be_done(
    bucket: BucketServer, e_tag_suffix: str
) -> None:
    """The store did it and fell silent: HEAD (and GET where the ETag is no MD5) settle it."""
    bucket.answer, bucket.e_tag_suffix = at_each_put("lose"), e_tag_suffix
    open_bucket(bucket).put("a/f", b"new")
    assert bucket.files["lake/a/f"].data == b"new"
    assert bucket.methods() == ["PUT", "HEAD", *(["GET"] if e_tag_suffix else [])]


@pytest.mark.parametrize("old", [None, b"old", b"old and longer"])
def test_a_put_that_never_arrived_is_an_error(bucket: BucketServer, old: bytes | None) -> None:
    """The store did not do it: the error says so, the old object stands, nothing is deleted."""
    store = open_bucket(bucket)
    if old:
        store.put("a/f", old)
    bucket.answer = at_each_put("drop")
    with pytest.raises(LakeError, match=r"Cannot write a/f at s3://.* the network, then run again"):
        store.put("a/f", b"new")
    bucket.answer = lambda request: None
    settled = ["PUT", "HEAD", *(["GET"] if old == b"old" else [])]  # another size says it all
    assert bucket.methods()[-len(settled) :] == settled
    assert store.read("a/f") == old


def test_an_unknown_outcome_is_called_unknown(bucket: BucketServer) -> None:
    """If even HEAD gets no answer, the error says that nobody knows, and nothing is deleted."""
    bucket.answer = lambda request: "lose"
    with pytest.raises(LakeError, match=r"Whether a/f was written to s3://.* is unknown"):
        open_bucket(bucket).put("a/f", b"new")
    assert set(bucket.methods()) == {"PUT", "HEAD"}


def test_a_broken_connection_is_tried_again(bucket: BucketServer) -> None:
    """One lost request costs a retry, not the run."""
    vices = iter(["drop", (503, b"<Error><Code>SlowDown</Code></Error>")])
    bucket.answer = lambda request: next(vices, None)
    open_bucket(bucket, retries=3).put("a/f", b"new")
    assert bucket.methods() == ["PUT", "PUT", "PUT"]


def test_a_large_file_is_one_put(bucket: BucketServer) -> None:
    """Readers see a file whole or not at all, since it is one request, however large."""
    open_bucket(bucket).put("a/f", bytes(20_000_000))
    assert bucket.methods() == ["PUT"]


def test_a_missing_bucket_is_no_empty_lake(moto_url: str) -> None:
    """A mistyped bucket is an error on every use, with what to do; never "no such file"."""
    store = open_store(moto_url.replace("s3://", "s3://no-"), scratch=SCRATCH)
    for call in (
        lambda: store.read("a"),
        lambda: store.put("a", b""),
        lambda: store.list(""),
        lambda: store.delete("a"),
        lambda: store.lock(LOCK).__enter__(),
    ):
        with pytest.raises(LakeError, match=r"NoSuchBucket.*Create the bucket, or correct"):
            call()


def test_answers_that_echo_secrets_are_scrubbed(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal that repeats token and keys shows none of them in message, repr or traceback."""
    secrets = ["AKIDEXAMPLE", "wJalrXUtnFEMI/EXAMPLEKEY", "TOKEN-4711"]
    monkeypatch.setenv("AWS_SESSION_TOKEN", secrets[2])
    echo = " ".join(secrets)
    body = (
        f"<Error><Code>SignatureDoesNotMatch</Code><Message>not {echo}</Message>"
        f"<CanonicalRequest>x-amz-security-token:{echo}</CanonicalRequest></Error>"
    )
    bucket.answer = lambda request: (403, body.encode())
    store = open_bucket(bucket)
    for call in (
        lambda: store.read("a"),
        lambda: store.put("a", b""),
        lambda: store.list(""),
        lambda: store.delete("a"),
        lambda: store.lock(LOCK).__enter__(),
    ):
        with pytest.raises(LakeError, match="SignatureDoesNotMatch: not \\*") as caught:
            call()
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert "Check the secret key" in shown
        assert not [secret for secret in secrets if secret in shown]
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert not [secret for secret in secrets if secret in repr(vars(store))]
    assert bucket.requests[0].headers["x-amz-security-token"] == secrets[2]


def test_a_signal_ends_the_wait_for_a_silent_store(bucket: BucketServer) -> None:
    """SIGTERM is heeded during a request that hangs; the lock is then left to run out."""

    class Stopped(Exception):  # noqa: N818 - a signal, not an error
        pass

    def stop(*_: object) -> None:
        raise Stopped

    def hang(_: Request) -> str:
        os.kill(os.getpid(), signal.SIGALRM)
        return "hang"

    store = open_bucket(bucket)
    before, threads = signal.signal(signal.SIGALRM, stop), set(threading.enumerate())
    try:
        with store.lock(LOCK):
            bucket.answer = hang
            with pytest.raises(Stopped):
                store.put("a/f", b"x")
            bucket.answer = lambda request: None
            left = {thread.name for thread in set(threading.enumerate()) - threads}
            assert "backup-frames-store" in left, "it waited for the answer"
    finally:
        signal.signal(signal.SIGALRM, before)
    assert f"lake/{LOCK}" in bucket.files


def test_virtual_hosts_reach_the_bucket_by_its_name(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OBS wants the bucket in the host: seen at a proxy, as the name resolves nowhere here."""
    monkeypatch.setenv("http_proxy", bucket.endpoint)
    monkeypatch.setenv("BACKUP_FRAMES_REGION", "eu-west-101")
    url = "obs://bucket/lake?endpoint=http://obs.eu-west-101.test"
    assert all(step.is_ok for step in check_store(url, scratch="_meta/p/doctor"))
    assert {one.host for one in bucket.requests} == {"bucket.obs.eu-west-101.test"}
    assert {one.key.partition("/")[0] for one in bucket.requests if one.key} == {"lake"}
    assert "/eu-west-101/s3/aws4_request" in bucket.requests[0].headers["authorization"]


def test_a_store_that_corrupts_is_found_out(bucket: BucketServer) -> None:
    """`check_store` notices when other bytes come back than went in, and says which step."""

    def corrupt(request: Request) -> None:
        for key, stored in bucket.files.items():
            if key.endswith("/check"):
                stored.data = b"?" * 64

    bucket.answer = corrupt
    steps = check_store(bucket.url, scratch="_meta/p/doctor")
    assert (steps[-1].step, steps[-1].is_ok) == ("read", False)
    assert "did not come back" in steps[-1].message


def test_a_foreign_object_without_a_usable_name_is_named(moto_url: str) -> None:
    """An object such as `x//y` cannot be listed by the library; the error names it."""
    base, _, endpoint = moto_url.partition("?endpoint=")
    urlopen(HttpRequest(f"{endpoint}/{base[5:]}/x//y", data=b"", method="PUT")).close()
    with pytest.raises(LakeError, match=r"some/lake/x//y.*unusable name: rename it"):
        open_store(moto_url, scratch=SCRATCH).list("")


def test_the_obs_preset() -> None:
    """`obs://` is Huawei's endpoint of the region, virtual hosts, and Huawei's key names."""
    environ = {
        "HUAWEICLOUD_SDK_AK": "AK",
        "HUAWEICLOUD_SDK_SK": "SK",
        "AWS_SESSION_TOKEN": "of another pair",
        "BACKUP_FRAMES_REGION": "eu-west-101",
        "AWS_REGION": "us-east-2",
    }
    address = read_object_url("obs://bucket/a/lake/", environ)
    assert address.endpoint == "https://bucket.obs.eu-west-101.myhuaweicloud.eu"
    assert address.is_virtual_host
    assert (address.bucket, address.prefix, address.region) == ("bucket", "a/lake", "eu-west-101")
    assert address.credentials == ("AK", "SK", None)
    assert "SK" not in repr(address)


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("s3://bucket", {}, (None, "us-east-1", False, None)),
        ("s3://bucket", {"AWS_DEFAULT_REGION": "r1"}, (None, "r1", False, None)),
        (
            "s3://bucket?checksum=sha256",
            {"AWS_ENDPOINT_URL": "http://h:1", "AWS_REGION": "r", "AWS_DEFAULT_REGION": "r1"},
            ("http://h:1", "r", False, "sha256"),
        ),
        (
            "s3://bucket?endpoint=https://o.test/&region=q&virtual_host=true",
            {"AWS_ENDPOINT_URL_S3": "http://h:2", "AWS_REGION": "r"},
            ("https://bucket.o.test", "q", True, None),
        ),
        (
            "s3://bucket?endpoint=https://bucket.o.test&virtual_host=1",
            {},
            ("https://bucket.o.test", "us-east-1", True, None),
        ),
        (
            "obs://bucket?virtual_host=false",
            {"AWS_ENDPOINT_URL": "http://h:1", "AWS_ENDPOINT_URL_S3": "http://h:2"}
            | {"AWS_REGION": "r"},
            ("http://h:2", "r", False, None),
        ),
        (
            "s3://bucket",
            {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "TRUE", "AWS_ENDPOINT_URL": "http://h:1"},
            ("http://bucket.h:1", "us-east-1", True, None),
        ),
    ],
)
def test_the_url_overrides_the_environment(
    url: str, environ: dict[str, str], expected: tuple[object, ...]
) -> None:
    """Endpoint, region, addressing and checksum: URL first, then the usual variables."""
    address = read_object_url(url, KEYS | environ)
    found = (address.endpoint, address.region, address.is_virtual_host, address.checksum)
    assert found == expected


def test_the_url_beats_the_environment_on_the_wire(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """obstore reads the environment too; it must not win over what the URL says."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_BUCKET", "other")
    monkeypatch.setenv("AWS_REGION", "other")
    url = f"{bucket.url}&region=here&checksum=sha256"
    open_store(url, scratch=SCRATCH).put("a", b"x")
    headers = bucket.requests[0].headers
    assert "/here/s3/aws4_request" in headers["authorization"]
    assert headers["x-amz-checksum-sha256"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://AK:S3CRET@bucket/x", "holds credentials"),
        ("s3://bucket/x?secret_access_key=S3CRET", "holds credentials"),
        ("s3://bucket/x?region=r&AWSAccessKeyId=S3CRET", "holds credentials"),
        ("s3://bucket/x?X-Amz-Security-Token=S3CRET", "holds credentials"),
        ("s3://bucket/x?endpoint=http://u:S3CRET@host", "perhaps a secret"),
        ("s3://bucket/x?endpoint=ftp://host", "no endpoint"),
        ("s3://bucket/x?endpoint=host:9000", "no endpoint"),
        ("s3://bucket/x?virtual_host=maybe", "neither true nor false"),
        ("s3://bucket/x?checksum=md4", "settings are refused"),
        ("s3://bucket/x?regoin=r", "do not exist: regoin"),
        ("s3://bucket/../x", "no bucket and prefix"),
        ("s3://", "no bucket and prefix"),
        ("s3://a b/x", "no bucket and prefix"),
        ("obs://bucket/x", "region of obs://bucket is unknown"),
    ],
)
def test_bad_urls_are_refused_without_their_secrets(url: str, message: str) -> None:
    """What cannot be meant, or holds a secret, is a ConfigError that repeats no secret."""
    with pytest.raises(ConfigError, match=message) as caught:
        open_store(url, scratch=SCRATCH)
    assert "S3CRET" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["obs://bucket?region=r", "s3://bucket?endpoint=https://h.test"])
def test_missing_credentials_are_said_at_once(url: str) -> None:
    """Without keys there is no wait for a metadata service that only AWS has."""
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        read_object_url(url, {"HUAWEICLOUD_SDK_AK": "half a pair"})
    assert read_object_url("s3://bucket", {}).credentials is None
