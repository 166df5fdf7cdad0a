"""Tokens, access keys, projects and permissions, with the error shapes of gateway and IAM."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backup_frames.sandbox import Sandbox
from backup_frames.sandbox.iam import Call, Iam, sign

IAM = "Incorrect IAM authentication information: "


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(backups=10, seed=5) as running:
        yield running


def backups_url(sandbox: Sandbox, project_id: str | None = None) -> str:
    return f"{sandbox.endpoint}/v3.1/{project_id or sandbox.project_id}/backups"


def login(sandbox: Sandbox, **scope: Any) -> dict[str, Any]:
    user = {
        "name": sandbox.username,
        "password": sandbox.password,
        "domain": {"name": sandbox.domain},
    }
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": {"project": scope}}}


def log_in(sandbox: Sandbox, body: object) -> httpx.Response:
    return httpx.post(f"{sandbox.iam_endpoint}/v3/auth/tokens?nocatalog=true", json=body)


def signed(
    sandbox: Sandbox, *, secret: str = "", at: datetime | None = None, **extra: str
) -> dict[str, str]:
    """Headers of a list request signed by hand, from the manual's description."""
    date = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": httpx.URL(sandbox.endpoint).netloc.decode(), "x-sdk-date": date, **extra}
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    canonical = (
        f"GET\n/v3.1/{sandbox.project_id}/backups/\nlimit=1\n{lines}\n{';'.join(names)}\n"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    text = f"SDK-HMAC-SHA256\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = (secret or sandbox.secret_key).encode()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"SDK-HMAC-SHA256 Access={sandbox.access_key}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return headers


def ask(sandbox: Sandbox, headers: dict[str, str]) -> httpx.Response:
    return httpx.get(backups_url(sandbox), params={"limit": 1}, headers=headers)


def refusal(response: httpx.Response) -> str:
    body = response.json()
    assert response.status_code == 401
    assert body["error_code"] == "APIGW.0301"
    assert len(body["request_id"]) == 32
    assert body["error_msg"].startswith(IAM)
    return body["error_msg"].removeprefix(IAM)


def test_without_credentials_nothing_comes(sandbox: Sandbox) -> None:
    """No token, a wrong one, and garbage for a signature are 401 in the gateway's shape."""
    assert refusal(ask(sandbox, {})) == "x-auth-token not found"
    assert refusal(ask(sandbox, {"X-Auth-Token": "wrong"})) == "decrypt token fail"
    garbage = {"Authorization": "SDK-HMAC-SHA256 Access=x"}
    assert refusal(ask(sandbox, garbage)) == "verify aksk signature fail"


@pytest.mark.parametrize("by", ["name", "id", "both", "nothing"])
def test_a_password_buys_a_token(still: Sandbox, by: str) -> None:
    """A login scoped by project name, id, both or neither gives 201 and a token for 24 h."""
    named, known = {"name": still.region}, {"id": still.project_id}
    scope = {"name": named, "id": known, "both": {**named, **known}, "nothing": {}}[by]
    response = log_in(still, login(still, **scope))
    assert response.status_code == 201
    token = response.json()["token"]
    assert token["project"]["id"] == still.project_id
    lifetime = datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < lifetime <= timedelta(hours=24)
    assert ask(still, {"X-Auth-Token": response.headers["X-Subject-Token"]}).status_code == 200


def test_wrong_logins_are_told_in_keystones_shape(still: Sandbox) -> None:
    """Bodies that do not fit are 400, wrong passwords 401, unknown projects 404."""
    for body in ({}, [], {"auth": None}, {"auth": {"identity": {"methods": ["token"]}}}):
        response = log_in(still, body)
        assert response.status_code == 400
        assert response.json()["error"] == {
            "code": 400,
            "message": "The request body is invalid",
            "title": "Bad Request",
        }
    wrong = login(still, id=still.project_id)
    wrong["auth"]["identity"]["password"]["user"]["password"] = "no"
    response = log_in(still, wrong)
    assert (response.status_code, response.json()["error"]["title"]) == (401, "Unauthorized")
    assert log_in(still, login(still, id="0" * 32)).status_code == 404
    assert log_in(still, login(still, name="mars-1")).status_code == 404
    garbled = httpx.post(f"{still.iam_endpoint}/v3/auth/tokens", content=b"{")
    assert garbled.status_code == 400


def test_tokens_age(sandbox: Sandbox) -> None:
    """A token past its lifetime, or revoked, is refused; the printed one does not age."""
    sandbox.iam.token_lifetime_s = 0
    token = log_in(sandbox, login(sandbox, id=sandbox.project_id)).headers["X-Subject-Token"]
    assert refusal(ask(sandbox, {"X-Auth-Token": token})) == "decrypt token fail"
    sandbox.clock.advance(timedelta(days=400))
    assert ask(sandbox, {"X-Auth-Token": sandbox.token}).status_code == 200
    sandbox.iam.revoke()
    assert refusal(ask(sandbox, {"X-Auth-Token": sandbox.token})) == "decrypt token fail"


def test_the_manuals_vector_is_reproduced() -> None:
    """The published example gives the published signature."""
    call = Call(
        "GET",
        "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs",
        "limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
        {
            "content-type": "application/json",
            "host": "service.region.example.com",
            "x-sdk-date": "20191115T033655Z",
        },
    )
    signature = sign(
        call,
        "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc",
        ["content-type", "host", "x-sdk-date"],
    )
    assert signature == "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe"


def test_signatures_are_checked(sandbox: Sandbox) -> None:
    """A right signature passes, by real time or the fleet's; a stale or unknown one is refused."""
    assert ask(sandbox, signed(sandbox)).status_code == 200
    assert ask(sandbox, signed(sandbox, at=sandbox.clock.now())).status_code == 200
    stale = datetime.now(UTC) - timedelta(minutes=16)
    assert refusal(ask(sandbox, signed(sandbox, at=stale))).startswith("signature expired")
    unknown = signed(sandbox)
    unknown["Authorization"] = unknown["Authorization"].replace(sandbox.access_key, "NOBODY")
    assert refusal(ask(sandbox, unknown)) == "Get secretKey failed,ak:NOBODY,err:ak not exist"
    tampered = signed(sandbox)
    response = httpx.get(backups_url(sandbox), params={"limit": 2}, headers=tampered)
    assert refusal(response) == "verify aksk signature fail"


def test_five_bad_signatures_lock_the_key(sandbox: Sandbox) -> None:
    """The fifth wrong signature in a row locks the key, also for right ones; tokens still work."""
    bad = signed(sandbox, secret="wrong")
    for _ in range(4):
        assert refusal(ask(sandbox, bad)) == "verify aksk signature fail"
    assert ask(sandbox, signed(sandbox)).status_code == 200  # ends the row
    for _ in range(5):
        assert refusal(ask(sandbox, bad)) == "verify aksk signature fail"
    locked = "AK access failed to reach the limit,forbidden"
    assert refusal(ask(sandbox, signed(sandbox))) == locked
    assert ask(sandbox, {"X-Auth-Token": sandbox.token}).status_code == 200


@pytest.mark.parametrize("is_signed", [True, False])
def test_temporary_keys_need_their_security_token(sandbox: Sandbox, is_signed: bool) -> None:
    """A temporary key passes with its token, signed or added after signing, and not without."""
    sandbox.iam.add_temporary_key(sandbox.access_key, sandbox.secret_key, "session-1")
    token = {"x-security-token": "session-1"}
    headers = signed(sandbox, **token) if is_signed else {**signed(sandbox), **token}
    assert ask(sandbox, headers).status_code == 200
    assert refusal(ask(sandbox, signed(sandbox))) == "verify aksk signature fail"


def test_projects_are_found_by_region(still: Sandbox) -> None:
    """The project named like the region is found, another name finds none."""
    url, headers = f"{still.iam_endpoint}/v3/projects", {"X-Auth-Token": still.token}
    found = httpx.get(url, params={"name": still.region}, headers=headers).json()["projects"]
    assert [project["id"] for project in found] == [still.project_id]
    assert httpx.get(url, params={"name": "x"}, headers=headers).json()["projects"] == []
    assert httpx.get(url).status_code == 401


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v3.1/" + "0" * 32 + "/backups", 403, "APIGW.0310"),
        ("/v3.1/not-a-project/backups", 400, "DBS.280408"),
        ("/v3.1/%7Bproject_id%7D/backups", 400, "DBS.280408"),
        ("/v3.1//backups", 404, "APIGW.0101"),
        ("/v9/backups", 404, "APIGW.0101"),
    ],
)
def test_wrong_paths_are_refused(still: Sandbox, path: str, status: int, code: str) -> None:
    """Other projects and unknown routes have the service's or the gateway's answer."""
    response = httpx.get(still.endpoint + path, headers={"X-Auth-Token": still.token})
    assert (response.status_code, response.json()["error_code"]) == (status, code)


def test_a_wrong_method_is_no_api(still: Sandbox) -> None:
    """POST to the list is 404, as the gateway has it."""
    response = httpx.post(backups_url(still), headers={"X-Auth-Token": still.token})
    assert (response.status_code, response.json()["error_msg"]) == (404, "The API does not exist.")


def test_a_missing_permission_is_403(sandbox: Sandbox) -> None:
    """Each operation can be denied by itself."""
    sandbox.denied.add("backups")
    response = ask(sandbox, {"X-Auth-Token": sandbox.token})
    assert (response.status_code, response.json()["error_code"]) == (403, "DBS.280032")


def test_secrets_do_not_show(sandbox: Sandbox) -> None:
    """Neither the log of requests nor any repr holds a secret."""
    log_in(sandbox, login(sandbox, id=sandbox.project_id))
    ask(sandbox, signed(sandbox, **{"x-security-token": "session-secret"}))
    ask(sandbox, {"X-Auth-Token": sandbox.token})
    shown = repr((sandbox.requests, sandbox, sandbox.iam, sandbox.iam.keys, sandbox.service))
    secrets = (sandbox.token, sandbox.secret_key, sandbox.password, "session-secret")
    assert [secret for secret in secrets if secret in shown] == []
    assert "x-auth-token" in sandbox.requests[-1].header_names
    assert sandbox.requests[-1].status == 200


def test_identities_follow_the_seed() -> None:
    """Same seed, same project and keys; another seed, others."""
    one, two, other = Iam(3), Iam(3), Iam(4)
    facts = ("project_id", "token", "access_key", "secret_key", "password")
    assert [getattr(one, name) for name in facts] == [getattr(two, name) for name in facts]
    assert all(getattr(one, name) != getattr(other, name) for name in facts)
    assert len(one.project_id) == 32
