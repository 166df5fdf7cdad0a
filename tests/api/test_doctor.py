"""The doctor's checks: what each finds, what it says to do, and what it leaves out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from support.clocks import InstantClock
from support.fault_server import PAGE, Act, FaultServer, answer, self_signed, silence

from backup_frames.api.doctor import Check, run_checks
from backup_frames.sandbox import Sandbox, Status
from backup_frames.settings import load_settings

ALL = ["settings", "endpoint", "clock", "credentials", "permission", "levels", "quota"]
PROJECT = "0123456789abcdef0123456789abcdef"


def check(endpoint: str | None, **settings: Any) -> list[Check]:
    known = {"project_id": PROJECT, "token": "a-token"}
    return list(
        run_checks(load_settings(endpoint=endpoint, **{**known, **settings}), clock=InstantClock())
    )


def check_box(box: Sandbox, **settings: Any) -> list[Check]:
    known = {"project_id": box.project_id, "token": box.token}
    return check(box.endpoint, **{**known, **settings})


def failure(checks: list[Check], name: str) -> Check:
    """The one check that failed, which is the last and bears this name."""
    assert [one.name for one in checks] == ALL[: ALL.index(name) + 1]
    assert [one.is_ok for one in checks] == [True] * (len(checks) - 1) + [False]
    for left_out in ALL[ALL.index(name) + 1 :]:
        assert left_out in checks[-1].message
    return checks[-1]


def test_all_is_well() -> None:
    """With a good account every check passes, in order; the quota is the gateway's own words."""
    with Sandbox(backups=30) as box:
        box.extra_headers["X-Apig-RateLimit-User"] = "remain:99,limit:100,time:1 minute"
        checks = check_box(box)
        assert box.request_count == 2
    assert [one.name for one in checks] == ALL
    assert all(one.is_ok for one in checks)
    told = {one.name: one.message for one in checks}
    assert told["quota"] == "user: remain:99,limit:100,time:1 minute"
    assert "at Instance" in told["levels"]
    assert "at DatabaseTable" in told["levels"]
    assert box.token not in str(checks)


@pytest.mark.parametrize("method", ["keys", "password"])
def test_other_credentials_are_well(method: str) -> None:
    """AK/SK and passwords pass as tokens do, the look-up of the project included."""
    with Sandbox(backups=30) as box:
        given = {
            "keys": {"access_key": box.access_key, "secret_key": box.secret_key},
            "password": {
                "username": box.username,
                "password": box.password,
                "domain": box.domain,
            },
        }[method]
        checks = check_box(box, token=None, project_id=None, region=box.region, **given)
    assert [one.name for one in checks] == ALL
    assert all(one.is_ok for one in checks)


def test_settings_are_missing() -> None:
    """Without credentials nothing is sent; exit code 2."""
    with FaultServer(answer()) as server:
        failed = failure(check(server.endpoint, token=None), "settings")
        assert server.connections == 0
    assert failed.exit_code == 2
    assert "BACKUP_FRAMES_TOKEN" in failed.message


def test_nobody_answers() -> None:
    """A server that stays silent is a wrong endpoint, told within the deadline."""
    with FaultServer(silence) as server:
        failed = failure(check(server.endpoint, timeout_s=0.3), "endpoint")
        assert len(server.requests) <= 1  # none, if the time was up before it was sent
        assert b"a-token" not in b"".join(server.requests)
    assert failed.exit_code == 3
    assert "network" in failed.message


def test_the_certificate_is_not_trusted(tmp_path: Path) -> None:
    """A certificate nobody vouches for is told before any credentials travel."""
    with FaultServer(answer(), tls=self_signed(tmp_path)) as server:
        failed = failure(check(server.endpoint), "endpoint")
        assert server.requests == []
    assert "CERTIFICATE_VERIFY_FAILED" in failed.message


@pytest.mark.parametrize(
    ("ahead_s", "is_ok", "advice"),
    [(0, True, ""), (-50, True, ""), (300, True, "NTP"), (-300, True, "NTP"), (1000, False, "NTP")],
)
def test_the_clock_is_compared(ahead_s: int, is_ok: bool, advice: str) -> None:
    """Noted from one minute, wrong from fifteen; a wrong clock does not end the checks."""
    date = format_datetime(datetime.now(UTC) - timedelta(seconds=ahead_s), usegmt=True)
    with FaultServer(answer(headers={"Date": date})) as server:
        checks = check(server.endpoint)
    assert [one.name for one in checks] == ALL
    clock = checks[2]
    assert clock.is_ok == is_ok
    assert advice in clock.message
    assert ("NTP" in clock.message) == bool(advice)


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Foo 2026 00:00:00 GMT"])
def test_a_service_without_a_clock(date: str) -> None:
    """No Date, or one that cannot be read, is no failure."""
    with FaultServer(answer(headers={"Date": date})) as server:
        assert check(server.endpoint)[2].is_ok


@pytest.mark.parametrize("method", ["token", "keys", "password"])
def test_credentials_are_refused(method: str) -> None:
    """A 401 of the service, or of IAM, is about credentials."""
    with Sandbox(backups=5) as box:
        wrong = {
            "token": {"token": "wrong-token"},
            "keys": {"token": None, "access_key": box.access_key, "secret_key": "wrong-key"},
            "password": {
                "token": None,
                "username": box.username,
                "password": "wrong-password",
                "domain": box.domain,
            },
        }[method]
        failed = failure(check_box(box, **wrong), "credentials")
    assert failed.exit_code == 3
    assert "401" in failed.message
    assert "wrong-" not in failed.message


def test_the_permission_is_missing() -> None:
    """A 403 accepts the credentials and names the permission to grant."""
    with Sandbox(backups=5) as box:
        box.denied.add("backups")
        failed = failure(check_box(box), "permission")
    assert "gaussdbfornosql:backup:list" in failed.message


def test_a_level_fails() -> None:
    """What fails after the first level was listed is told as that."""
    with Sandbox(backups=5, faults=[Status(status=400, after=1)]) as box:
        failed = failure(check_box(box), "levels")
    assert "DBS.200001" in failed.message


ODD: dict[str, tuple[Act, int]] = {
    "HTML": (answer("<html></html>"), 3),
    "outside the contract": (answer("{}"), 4),
    "500": (answer(b"", 500), 3),
    "a redirect": (answer(b"", 302, {"Location": "http://127.0.0.1:9/"}), 3),
}


@pytest.mark.parametrize("name", ODD)
def test_it_is_not_the_service(name: str) -> None:
    """Whatever else answers there fails the first check that needs the service itself."""
    act, code = ODD[name]
    with FaultServer(act) as server:
        assert failure(check(server.endpoint), "credentials").exit_code == code


def test_the_first_request_carries_no_credentials() -> None:
    """Endpoint and certificate are known before anything secret is sent."""
    with FaultServer(answer(json.dumps(PAGE))) as server:
        check(server.endpoint)
        assert b"a-token" not in server.requests[0]
        assert b"a-token" in server.requests[1]
