"""Credentials stay in the domain of the endpoint: seen at a proxy, which hears of every connection."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from support.accounts import PROJECT
from support.canaries import METHODS, WORD
from support.clocks import InstantClock
from support.fault_server import FaultServer, answer

from backup_frames.cli import main
from backup_frames.errors import ConfigError
from backup_frames.lake.storage.bucket_url import read_object_url
from backup_frames.settings import load_settings
from backup_frames.settings.endpoints import REGIONS, identity_address, storage_address

FOREIGN = (
    "https://gaussdb-nosql.eu-de.otc.t-systems.com",
    "https://nosql.partner.co.uk",
    "https://gaussdb-nosql.cn-north-4.myhuaweicloud.com.evil.example",
    "https://gaussdb-nosql.cn-north-4.evilmyhuaweicloud.com",
    "https://myhuaweicloud-com.example",
    "https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu",  # a cloud of its own, for cn-north-4
    "https://myhuaweicloud.eu.cn-north-4.com",
)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """All that goes out over TLS, refused: the hosts are in its requests."""
    with FaultServer(answer(b"", 502, is_kept=False)) as server:
        monkeypatch.setenv("HTTPS_PROXY", server.endpoint)
        yield server


def hosts(proxy: FaultServer) -> set[str]:
    found = [re.match(rb"CONNECT ([^ ]+):443 ", request) for request in proxy.requests]
    return {match[1].decode() for match in found if match}


@pytest.mark.parametrize("project", [PROJECT, None], ids=["project", "no project"])
@pytest.mark.parametrize("method", ["token", "password", "keys"])
@pytest.mark.parametrize("endpoint", FOREIGN)
def test_no_connection_leaves_a_foreign_endpoints_domain(
    endpoint: str,
    method: str,
    project: str | None,
    proxy: FaultServer,
    clock: InstantClock,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With a region set, only the endpoint's own host is ever asked, or it is said what to give."""
    for name, value in METHODS[method].environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BACKUP_FRAMES_REGION", "cn-north-4")
    place = ["--endpoint", endpoint, *(["--project-id", project] if project else [])]
    code = main(["read", *place])
    message = capfd.readouterr().err
    needs_identity = method == "password" or (method == "keys" and project is None)
    is_other_cloud = endpoint.endswith("myhuaweicloud.eu")  # the region contradicts its name
    if needs_identity or is_other_cloud or project is None:
        assert (code, proxy.connections) == (2, 0)
        if needs_identity and not is_other_cloud:
            assert "BACKUP_FRAMES_IAM_ENDPOINT" in message
    else:
        assert code == 3
        assert hosts(proxy) == {endpoint.removeprefix("https://")}
    assert WORD not in message


def test_a_given_identity_endpoint_is_asked(
    proxy: FaultServer, clock: InstantClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partner's cloud and a new region work with both endpoints given, whatever the region."""
    for name, value in METHODS["password"].environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BACKUP_FRAMES_IAM_ENDPOINT", "https://iam.eu-de.otc.t-systems.com")
    assert main(["read", "--region", "eu-de", "--endpoint", FOREIGN[0]]) == 3
    assert hosts(proxy) == {"iam.eu-de.otc.t-systems.com"}


@pytest.mark.parametrize("region", ["eu-de", "cn-north-44", "cn-nroth-4", "us-east-1"])
def test_an_unknown_region_is_told_before_any_request(
    region: str,
    proxy: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A region that is not in the list gives no host; endpoints can be given instead."""
    for name, value in METHODS["keys"].environment.items():
        monkeypatch.setenv(name, value)
    assert main(["read", "--region", region]) == 2
    message = capfd.readouterr().err
    assert repr(region) in message
    assert "--endpoint" in message
    assert proxy.connections == 0


@pytest.mark.parametrize(
    ("endpoint", "region", "identity"),
    [
        (None, "la-south-2", "https://iam.la-south-2.myhuaweicloud.com"),
        (None, "eu-west-101", "https://iam.myhuaweicloud.eu"),
        (
            "https://gaussdb-nosql.cn-north-4.myhuaweicloud.com:8443",
            "cn-north-4",
            "https://iam.cn-north-4.myhuaweicloud.com",
        ),
        (
            "https://anything.myhuaweicloud.com",
            "cn-north-4",
            "https://iam.cn-north-4.myhuaweicloud.com",
        ),
        (
            "https://gaussdb-nosql.xx-new-1.myhuaweicloud.com",
            "xx-new-1",
            "https://iam.xx-new-1.myhuaweicloud.com",
        ),
        ("https://anything.myhuaweicloud.com", "eu-west-101", None),
        ("https://anything.myhuaweicloud.eu", "cn-north-4", None),
        ("https://anything.myhuaweicloud.com", "xx-new-1", None),
        *((endpoint, "cn-north-4", None) for endpoint in FOREIGN),
    ],
)
def test_identity_and_storage_lie_in_the_endpoints_cloud(
    endpoint: str | None, region: str, identity: str | None
) -> None:
    """A host is derived only where endpoint and region lie in one of Huawei's own two clouds."""
    assert identity_address(region, endpoint) == identity
    storage = storage_address(region, endpoint)
    assert (storage is None) == (identity is None)
    assert storage is None or storage.rpartition(".")[2] == identity.rpartition(".")[2]


def test_all_regions_of_the_service_are_known() -> None:
    """The official SDK's 27 regions, one of them in the European cloud."""
    assert len(REGIONS) == 27
    assert [name for name, cloud in REGIONS.items() if cloud.endswith(".eu")] == ["eu-west-101"]


def test_a_region_that_contradicts_the_endpoint_is_refused() -> None:
    """Huawei's host name tells its region: another one beside it is a mistake."""
    settings = load_settings(
        endpoint="https://gaussdb-nosql.cn-north-1.myhuaweicloud.com",
        region="cn-north-4",
        token="t",
        project_id="p",
    )
    with pytest.raises(ConfigError, match=r"cn-north-1.*'cn-north-4'"):
        settings.require_connection()


@pytest.mark.parametrize("endpoint", FOREIGN[:5])
def test_keys_do_not_go_to_another_clouds_storage(
    endpoint: str, proxy: FaultServer, clock: InstantClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lake on obs:// of a region is refused where the service is another cloud's."""
    for name, value in METHODS["keys"].environment.items():
        monkeypatch.setenv(name, value)
    place = ["--endpoint", endpoint, "--region", "cn-north-4", "--project-id", PROJECT]
    assert main(["sync", *place, "--lake", "obs://bucket/lake"]) == 2
    assert proxy.connections == 0


@pytest.mark.parametrize("region", ["x.evil.example/", "cn-north-4@evil.example", "a.b", "a:1"])
def test_a_region_cannot_smuggle_a_host_into_an_address(region: str) -> None:
    """What stands behind ?region= becomes part of a host name, so it holds no dot or slash."""
    keys = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}
    for url in ("obs://bucket/lake", "s3://bucket/lake"):
        with pytest.raises(ConfigError, match="no region"):
            read_object_url(f"{url}?region={region}", keys)


def test_unknown_storage_can_be_given() -> None:
    """A partner's or a new region's storage is taken from the URL."""
    keys = {"HUAWEICLOUD_SDK_AK": "AK", "HUAWEICLOUD_SDK_SK": "SK"}
    with pytest.raises(ConfigError, match=r"'eu-de' is unknown.*\?endpoint="):
        read_object_url("obs://bucket?region=eu-de", keys)
    address = read_object_url(
        "obs://bucket?region=eu-de&endpoint=https://obs.eu-de.x.example", keys
    )
    assert address.endpoint == "https://bucket.obs.eu-de.x.example"
