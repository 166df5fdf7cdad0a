"""Tokens: given, obtained by password, renewed in time, and never hammered with."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from support.clocks import InstantClock
from support.fault_server import Act, FaultServer, answer

from backup_frames.api.client import BackupClient
from backup_frames.api.connect import open_client
from backup_frames.api.query import BackupQuery
from backup_frames.errors import (
    AuthError,
    BackupFramesError,
    ConfigError,
    PageError,
    RejectedError,
    SchemaError,
    UnavailableError,
)
from backup_frames.sandbox import Sandbox, Status, TokenExpiry
from backup_frames.settings import load_settings

THREADS = 8
PROJECT = "0123456789abcdef0123456789abcdef"
EXPIRES = (datetime.now(UTC) + timedelta(days=1)).isoformat()


def open_with(box: Sandbox, clock: InstantClock | None = None, **settings: Any) -> BackupClient:
    clock = clock or InstantClock()
    client, _ = open_client(load_settings(endpoint=box.endpoint, **settings), clock=clock)
    return client


def by_password(box: Sandbox, clock: InstantClock | None = None, **settings: Any) -> BackupClient:
    login = {"username": box.username, "password": box.password, "domain": box.domain}
    return open_with(box, clock, **{"project_id": box.project_id, **login, **settings})


def count(box: Sandbox, operation: str, status: int | None = None) -> int:
    return sum(
        received.operation == operation and status in (None, received.status)
        for received in box.requests
    )


def side_by_side(task: Callable[[], object]) -> list[BackupFramesError]:
    """Run a task in 8 threads that start together; what they raised."""
    errors: list[BackupFramesError] = []
    together = threading.Barrier(THREADS)

    def work() -> None:
        together.wait()
        try:
            task()
        except BackupFramesError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


# -- static tokens -----------------------------------------------------------------------------------


def test_a_static_token_is_sent_as_it_is() -> None:
    """A token given opens the service, and nothing else is asked."""
    with Sandbox(backups=10) as box:
        with open_with(box, project_id=box.project_id, token=box.token) as client:
            assert client.fetch_page(BackupQuery(box.project_id)).total_count > 0
        assert [received.operation for received in box.requests] == ["backups"]


def test_a_static_token_that_dies_ends_the_run() -> None:
    """8 threads with a dead token: each finds out at most once, then no request is sent at all."""
    with (
        Sandbox(backups=10, latency_s=0.02) as box,
        open_with(box, project_id=box.project_id, token=box.token) as client,
    ):
        query = BackupQuery(box.project_id)
        client.fetch_page(query)
        box.iam.revoke()
        assert len(side_by_side(lambda: client.fetch_page(query))) == THREADS
        assert count(box, "backups", 401) <= THREADS
        before = box.request_count
        with pytest.raises(AuthError) as caught:
            client.fetch_page(query)
        assert caught.value.code == "APIGW.0301"
        assert box.request_count == before


# -- password login ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"region": "eu-west-101"},
        {"region": "eu-west-101", "project_id": None},
    ],
    ids=["project id", "both", "region"],
)
def test_a_password_logs_in_for_a_project(scope: dict[str, str | None]) -> None:
    """The login names the project by id, or by the region's name if there is no id."""
    with Sandbox(backups=10) as box:
        with by_password(box, **scope) as client:
            assert client.fetch_page(BackupQuery(box.project_id)).total_count > 0
        asked = [received.operation for received in box.requests]
        assert asked == ["tokens", *["projects"] * ("project_id" in scope), "backups"]


def test_the_login_that_is_sent() -> None:
    """The body is the one of IAM's manual; the answer's catalogue is not wanted."""
    with FaultServer(logged_in(), answer()) as server:
        client = by_login(server, project_id=PROJECT)
        with client:
            client.fetch_page(BackupQuery(PROJECT))
        login, asked = server.requests
    head, _, body = login.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v3/auth/tokens?nocatalog=true HTTP/1.1\r\n")
    assert json.loads(body) == {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "u", "password": "p4ss", "domain": {"name": "d"}}},
            },
            "scope": {"project": {"id": PROJECT}},
        }
    }
    assert b"\r\nX-Auth-Token: MII-token\r\n" in asked


def test_a_token_is_kept_until_shortly_before_it_expires() -> None:
    """One login serves many requests; ten minutes before its end the next one is fetched."""
    clock = InstantClock()
    with Sandbox(backups=10) as box, by_password(box, clock) as client:
        query = BackupQuery(box.project_id)
        for _ in range(5):
            client.fetch_page(query)
        clock.sleep(86_400 - 11 * 60)
        client.fetch_page(query)
        assert count(box, "tokens") == 1
        clock.sleep(2 * 60)
        assert side_by_side(lambda: client.fetch_page(query)) == []
        assert count(box, "tokens") == 2
        assert count(box, "backups", 401) == 0


def test_a_token_that_lives_for_minutes_is_used_until_it_is_refused() -> None:
    """A lifetime below the margin does not make every request log in."""
    with Sandbox(backups=10, token_lifetime_s=300) as box, by_password(box) as client:
        for _ in range(5):
            client.fetch_page(BackupQuery(box.project_id))
        assert count(box, "tokens") == 1


def test_a_token_refused_is_renewed_once() -> None:
    """One 401 costs one login and one repetition."""
    with Sandbox(backups=10, faults=[TokenExpiry(after=1, times=1)]) as box:
        with by_password(box) as client:
            for _ in range(4):
                client.fetch_page(BackupQuery(box.project_id))
        assert count(box, "tokens") == 2
        assert count(box, "backups", 401) == 1
        assert count(box, "backups", 200) == 4


def test_a_token_refused_right_after_its_renewal_ends_the_run() -> None:
    """Two 401 in a row are not answered by a third try, nor by a second login."""
    with Sandbox(backups=10, faults=[Status(status=401)]) as box:
        with by_password(box) as client:
            for _ in range(3):
                with pytest.raises(AuthError):
                    client.fetch_page(BackupQuery(box.project_id))
        assert count(box, "tokens") == 2
        assert count(box, "backups") == 2


def test_a_missing_permission_is_not_answered_by_a_login() -> None:
    """403 without a word about the token: new credentials would not help."""
    with Sandbox(backups=10) as box:
        box.denied.add("backups")
        with by_password(box) as client, pytest.raises(AuthError, match="backup:list"):
            client.fetch_page(BackupQuery(box.project_id))
        assert count(box, "tokens") == 1
        assert count(box, "backups") == 1


def test_threads_that_meet_401_together_renew_once() -> None:
    """8 threads lose the same token at once: one login, at most ten failing calls, all succeed."""
    with Sandbox(backups=10, latency_s=0.03) as box, by_password(box) as client:
        query = BackupQuery(box.project_id)
        client.fetch_page(query)
        for renewals in (1, 2):
            box.iam.revoke()
            assert side_by_side(lambda: client.fetch_page(query)) == []
            assert count(box, "tokens") == 1 + renewals
            assert count(box, "backups", 401) <= 10 * renewals


def test_threads_whose_renewal_is_refused_stop_together() -> None:
    """The password was changed meanwhile: one refused login, at most ten failing calls in all."""
    with Sandbox(backups=10, latency_s=0.03) as box, by_password(box) as client:
        query = BackupQuery(box.project_id)
        client.fetch_page(query)
        box.iam.revoke()
        box.iam.password = "another"
        assert len(side_by_side(lambda: client.fetch_page(query))) == THREADS
        assert count(box, "tokens", 401) == 1
        assert count(box, "backups", 401) + count(box, "tokens", 401) <= 10


# -- IAM's own failures ------------------------------------------------------------------------------


def logged_in(body: object = None, **headers: str) -> Act:
    told = {"token": {"expires_at": EXPIRES}} if body is None else body
    return answer(told, 201, {"x-subject-token": "MII-token", **headers})


def by_login(server: FaultServer, **settings: Any) -> BackupClient:
    known = {"endpoint": server.endpoint, "username": "u", "password": "p4ss", "domain": "d"}
    client, _ = open_client(load_settings(**{**known, **settings}), clock=InstantClock())
    return client


def test_a_wrong_password_is_sent_once() -> None:
    """Accounts get locked: a refused login is not repeated, by no thread and no later call."""
    with Sandbox(backups=10, latency_s=0.02) as box:
        with by_password(box, password="wrong-password") as client:
            query = BackupQuery(box.project_id)
            assert len(side_by_side(lambda: client.fetch_page(query))) == THREADS
            with pytest.raises(AuthError, match="The username or password is wrong"):
                client.fetch_page(query)
        assert [received.operation for received in box.requests] == ["tokens"]


def test_a_login_for_a_foreign_project_is_sent_once() -> None:
    """IAM answers 404: the login is not repeated."""
    with Sandbox(backups=10) as box:
        with by_password(box, project_id="f" * 32) as client:
            for _ in range(2):
                with pytest.raises(RejectedError):
                    client.fetch_page(BackupQuery("f" * 32))
        assert box.request_count == 1


IAM_FAULTS: dict[str, tuple[Act, type[BackupFramesError], int]] = {
    "503": (answer(b"", 503), UnavailableError, 4),
    "a redirect": (answer(b"", 302, {"Location": "http://127.0.0.1:9/"}), RejectedError, 1),
    "400": (answer({"error": {"code": 400, "message": "no"}}, 400), RejectedError, 1),
    "no token": (answer({"token": {"expires_at": EXPIRES}}, 201), SchemaError, 1),
    "a token with a blank": (
        answer({"token": {"expires_at": EXPIRES}}, 201, {"X-Subject-Token": "a b"}),
        SchemaError,
        1,
    ),
    "no end": (logged_in({"token": {}}), SchemaError, 1),
    "an end that is no time": (logged_in({"token": {"expires_at": "soon"}}), SchemaError, 1),
    "an end beyond the calendar": (
        logged_in({"token": {"expires_at": "9999-12-31T23:59:59-12:00"}}),
        SchemaError,
        1,
    ),
    "an end that is a number": (logged_in({"token": {"expires_at": 7}}), SchemaError, 1),
    "an array": (logged_in([]), SchemaError, 1),
    "HTML": (logged_in("<html></html>"), SchemaError, 1),
    "very deep JSON": (logged_in("[" * 200_000), SchemaError, 1),
    "a body that does not unpack": (
        logged_in(b"no gzip", **{"Content-Encoding": "gzip"}),
        PageError,
        4,
    ),
}


@pytest.mark.parametrize("name", IAM_FAULTS)
def test_a_login_that_fails(name: str) -> None:
    """What IAM answers instead of a token ends in the right error; tries are not multiplied."""
    act, kind, tries = IAM_FAULTS[name]
    with FaultServer(act) as server:
        with by_login(server, project_id=PROJECT) as client, pytest.raises(kind):
            client.fetch_page(BackupQuery(PROJECT))
        assert len(server.requests) == tries
        assert (client.gate.counts.retries, tries) in ((0, 1), (3, 4))
        assert all(request.startswith(b"POST ") for request in server.requests)


def test_a_login_answered_in_gzip() -> None:
    """IAM may pack its answer as well."""
    body = gzip.compress(
        json.dumps({"token": {"expires_at": "2030-01-01T00:00:00.701000"}}).encode()
    )
    packed = logged_in(body, **{"Content-Encoding": "gzip"})
    with FaultServer(packed, answer()) as server, by_login(server, project_id=PROJECT) as client:
        assert client.fetch_page(BackupQuery(PROJECT)).total_count == 0


# -- which project, which host -----------------------------------------------------------------------


def test_a_project_id_is_looked_up_by_region() -> None:
    """With AK/SK and a region, IAM tells the project; the request is signed as any other."""
    with Sandbox(backups=10) as box:
        keys = {"access_key": box.access_key, "secret_key": box.secret_key}
        client, project_id = open_client(
            load_settings(endpoint=box.endpoint, region=box.region, **keys)
        )
        client.close()
        assert project_id == box.project_id
        assert box.requests[0].params == {"name": box.region}


@pytest.mark.parametrize(
    ("projects", "kind"),
    [
        ([], ConfigError),
        ([{"id": "a"}, {"id": "b"}], ConfigError),
        ([{"id": "../../etc"}], SchemaError),
        ([{"id": None}], SchemaError),
        ([{}], SchemaError),
        (None, SchemaError),
        ("p", SchemaError),
    ],
    ids=str,
)
def test_a_project_that_cannot_be_looked_up(projects: object, kind: type[Exception]) -> None:
    """None, several, or what is no project id: an error, and nothing becomes a path."""
    with FaultServer(logged_in(), answer({"projects": projects})) as server:
        with pytest.raises(kind):
            by_login(server, region="eu-west-101")
        assert len(server.requests) == 2


def test_a_look_up_without_permission_says_what_to_do() -> None:
    """403 on the list of projects: the id can be given instead."""
    denied = answer({"error": {"code": 403}}, 403)
    with FaultServer(logged_in(), denied) as server, pytest.raises(AuthError, match="project_id="):
        by_login(server, region="eu-west-101")


@pytest.mark.parametrize(
    ("region", "service", "iam"),
    [
        (
            "cn-north-4",
            "gaussdb-nosql.cn-north-4.myhuaweicloud.com",
            "iam.cn-north-4.myhuaweicloud.com",
        ),
        ("eu-west-101", "gaussdb-nosql.eu-west-101.myhuaweicloud.eu", "iam.myhuaweicloud.eu"),
    ],
)
def test_a_region_tells_both_hosts(region: str, service: str, iam: str) -> None:
    """With a region alone, the service and its IAM are asked in the right cloud."""
    hosts: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        hosts.append(f"{request.url.scheme}://{request.url.host}{request.url.path}")
        if request.method == "POST":
            token = {"token": {"expires_at": EXPIRES}}
            return httpx.Response(201, json=token, headers={"X-Subject-Token": "MII"})
        if request.url.path == "/v3/projects":
            return httpx.Response(200, json={"projects": [{"id": PROJECT}]})
        return httpx.Response(200, json={"total_count": 0, "backups": []})

    settings = load_settings(region=region, username="u", password="p4ss", domain="d")
    client, project_id = open_client(settings, transport=httpx.MockTransport(serve))
    with client:
        client.fetch_page(BackupQuery(project_id))
    assert hosts == [
        f"https://{iam}/v3/auth/tokens",
        f"https://{iam}/v3/projects",
        f"https://{service}/v3.1/{PROJECT}/backups",
    ]
