"""AK/SK signatures: the published vector, the vendor's own signer, and the sandbox's check."""

from __future__ import annotations

import re
from types import SimpleNamespace
from urllib.parse import parse_qsl, quote

import httpx
import pytest
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import given
from hypothesis import strategies as st
from support.clocks import VirtualClock

from backup_frames.api.auth import AccessKey, sign_request
from backup_frames.api.client import BackupClient
from backup_frames.api.connect import open_client
from backup_frames.api.query import BackupQuery
from backup_frames.errors import AuthError
from backup_frames.sandbox import Sandbox
from backup_frames.settings import load_settings

ACCESS_KEY, SECRET_KEY = "QTWAOYTTINDUT2QVKYUC", "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"


def test_the_published_vector() -> None:
    """The manual's sample request gets the manual's signature."""
    request = httpx.Request(
        "GET",
        "https://service.region.example.com/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs"
        "?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
        headers={"Content-Type": "application/json", "X-Sdk-Date": "20191115T033655Z"},
    )
    assert sign_request(request, ACCESS_KEY, SECRET_KEY) == (
        "SDK-HMAC-SHA256 Access=QTWAOYTTINDUT2QVKYUC, "
        "SignedHeaders=content-type;host;x-sdk-date, "
        "Signature=7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe"
    )


def signed_by_vendor(request: httpx.Request, access_key: str, secret_key: str) -> str:
    """What the official signer says of the very request that went out, over the same headers."""
    found = re.search("SignedHeaders=([^,]+)", request.headers["Authorization"])
    assert found is not None
    path, _, query = request.url.raw_path.decode().partition("?")
    asked = SdkRequest(
        method=request.method,
        host=request.headers["Host"],
        resource_path=path,
        query_params=parse_qsl(query, keep_blank_values=True),
        header_params={name: request.headers[name] for name in found[1].split(";")},
        body="",
    )
    keys = SimpleNamespace(ak=access_key, sk=secret_key)
    authorization = Signer(keys).sign(asked).header_params["Authorization"]
    assert isinstance(authorization, str)
    return authorization


printable = st.text("".join(map(chr, range(0x21, 0x7F))), min_size=1, max_size=60)
anything = st.text(st.characters(codec="utf-8"), max_size=30)


@given(
    segments=st.lists(anything.filter(lambda text: text not in (".", "..")), max_size=3),
    values=st.lists(anything, max_size=5),
    key=printable,
    secret=printable,
    security_token=st.none() | printable,
    host=st.sampled_from(("https://a.example.com", "http://127.0.0.1:8080")),
)
def test_signatures_equal_the_vendors(
    segments: list[str],
    values: list[str],
    key: str,
    secret: str,
    security_token: str | None,
    host: str,
) -> None:
    """For any path, parameters and keys, ours is byte for byte the official signer's."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"{}")

    clock = VirtualClock()
    with BackupClient(
        host,
        AccessKey(key, secret, security_token, clock),
        transport=httpx.MockTransport(answer),
        clock=clock,
    ) as client:
        path = "".join(f"/{quote(segment, safe='')}" for segment in segments) or "/"
        params = tuple((f"p{index % 3}", value) for index, value in enumerate(values))
        client.fetch_json(path, params)
    request = seen[0]
    assert request.headers["Authorization"] == signed_by_vendor(request, key, secret)
    assert request.headers.get("X-Security-Token") == security_token
    assert ("x-security-token" in request.headers["Authorization"]) == (security_token is not None)
    assert request.headers["X-Sdk-Date"] == clock.now().strftime("%Y%m%dT%H%M%SZ")
    assert tuple(parse_qsl(request.url.query.decode(), keep_blank_values=True)) == params


@pytest.mark.parametrize("is_temporary", [False, True], ids=["permanent", "temporary"])
def test_the_sandbox_accepts_our_signatures(is_temporary: bool) -> None:
    """A server that recomputes signatures on its own lets signed requests pass."""
    with Sandbox(backups=150) as box:
        keys: dict[str, str] = {"access_key": box.access_key, "secret_key": box.secret_key}
        if is_temporary:
            keys = {"access_key": "TEMP", "secret_key": "s3cr3t", "security_token": "st/+="}
            box.iam.add_temporary_key("TEMP", "s3cr3t", "st/+=")
        settings = load_settings(endpoint=box.endpoint, project_id=box.project_id, **keys)
        client, project_id = open_client(settings)
        with client:
            query = BackupQuery(project_id, instance_id="a+b&c=d e%".replace(" ", "~"))
            assert client.fetch_page(query).total_count == 0
            assert client.fetch_page(BackupQuery(project_id)).total_count > 0


@pytest.mark.parametrize("wrong", ["access_key", "secret_key"])
def test_a_refused_signature_is_never_sent_again(wrong: str) -> None:
    """Five bad signatures lock a key: after one 401 the client sends nothing more, ever."""
    with Sandbox(backups=10) as box:
        keys = {"access_key": box.access_key, "secret_key": box.secret_key, wrong: "wrong-wrong"}
        settings = load_settings(endpoint=box.endpoint, project_id=box.project_id, **keys)
        client, project_id = open_client(settings)
        with client:
            for _ in range(6):
                with pytest.raises(AuthError):
                    client.fetch_page(BackupQuery(project_id))
        assert box.request_count == 1
