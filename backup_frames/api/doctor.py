"""Is everything there that a read needs? One check after the other, each with what to do.

In: settings. Out: a `Check` per line of ``backup-frames doctor``, in the order in which things can go
wrong; a failure names the checks that depend on it and were not made. A handful of requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx

from ..clock import Clock, SystemClock, read_date
from ..errors import AuthError, BackupFramesError, ConfigError
from ..settings import Settings
from .connect import open_client
from .query import LEVELS, BackupQuery, Level
from .wire.transport import DeadlineTransport

MAX_SKEW_S: Final = 15 * 60
"""The service refuses signatures that are further off (APIGW.0303)."""

_NOTED_SKEW_S: Final = 60
_STEPS: Final = ("settings", "endpoint", "clock", "credentials", "permission", "levels", "quota")
_QUOTA_PREFIX: Final = "x-apig-ratelimit"
_CODE = re.compile(r"[A-Za-z]{2,8}\.\d{3,8}")
_QUOTA = re.compile(
    r"(api|user|app|ip|api-allenv): (remain:\d+, ?limit:\d+, ?time:\d+ ?(second|minute|hour|day)s?)"
)


@dataclass(frozen=True)
class Check:
    """One line of the doctor's.

    Attributes:
        name: what was looked at.
        is_ok: whether it is as it should be.
        message: what was found and, if it is not ok, what to do.
        exit_code: the command's exit code if this is the first that failed.
        shape: what of it may be shown to strangers: no id, no name, no host.
    """

    name: str
    is_ok: bool
    message: str
    exit_code: int = 3
    shape: str = ""


def failed_check(name: str, error: BackupFramesError, *, left_out: str = "") -> Check:
    """The check that an error failed, and what was not checked for it."""
    message, shape = f"{error} {left_out}".rstrip(), failure_shape(error)
    return Check(name, is_ok=False, message=message, exit_code=error.exit_code, shape=shape)


def failure_shape(error: Exception) -> str:
    """What of an error may be shown to strangers: its kind, status and code."""
    status, code = getattr(error, "status", None), getattr(error, "code", None)
    facts = [type(error).__name__, str(status or ""), code if _CODE.fullmatch(code or "") else ""]
    return " ".join(filter(None, facts))


def magnitude(count: int) -> str:
    """The order of magnitude of a count, such as ``0``, ``1-9`` or ``10-99``."""
    low = 10 ** (len(str(count)) - 1)
    return f"{low:,}-{10 * low - 1:,}" if count else "0"


def run_checks(
    settings: Settings,
    *,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
) -> Iterator[Check]:
    """Check settings, endpoint, TLS, clock, credentials, permission, both levels and quota.

    Cost: one request without credentials, one per level, and up to two to IAM if the settings want
    a login or a look-up of the project. What fails is tried again as in any read.

    Args:
        settings: as loaded.
        transport: what carries requests, for tests; None for real connections.
        clock: this machine's time, and waiting; None for the system's.

    Yields:
        Checks until one fails that the rest depends on; a wrong clock does not end them.
    """
    clock = clock or SystemClock()
    try:
        settings.require_connection()
    except BackupFramesError as error:
        yield _failed("settings", error)
        return
    url = settings.service_url or ""
    method = f"credentials: {settings.credentials}"
    yield Check("settings", is_ok=True, message=f"{url}, {method}", shape=method)
    try:
        date = _fetch_date(url, settings, transport)
    except ConfigError as error:  # a proxy or certificates of the environment
        yield _failed("endpoint", error)
        return
    except (httpx.TransportError, BackupFramesError) as error:
        advice = "Check endpoint, region, proxy and network."
        yield _failed("endpoint", error, f"{url} does not answer ({error}). {advice}")
        return
    secured = "over TLS, certificate trusted" if url.startswith("https") else "without TLS, here"
    yield Check("endpoint", is_ok=True, message=f"{url} answers {secured}", shape=secured)
    yield _check_clock(date, clock.now())
    yield from _check_account(settings, transport, clock)


def _failed(name: str, error: Exception, message: str = "") -> Check:
    """A failure that ends the checks."""
    message = message or str(error)
    left_out = _STEPS[_STEPS.index(name) + 1 :]
    if left_out:
        message = f"{message} Not checked without it: {', '.join(left_out)}."
    ours = ConfigError if name == "endpoint" else BackupFramesError
    code = error.exit_code if isinstance(error, ours) else 3
    return Check(name, is_ok=False, message=message, exit_code=code, shape=failure_shape(error))


def _fetch_date(url: str, settings: Settings, transport: httpx.BaseTransport | None) -> str:
    """The Date of any answer, "" without: it shows that name, port and certificate are right."""
    carrier = transport or DeadlineTransport(url, max_connections=1)
    request = httpx.Request("GET", url, extensions={"deadline_s": settings.timeout_s})
    try:
        answer = carrier.handle_request(request)
        answer.close()
        return answer.headers.get("Date", "")
    finally:
        if transport is None:
            carrier.close()


def _check_clock(date: str, now: datetime) -> Check:
    then = read_date(date)
    if then is None:
        return Check("clock", is_ok=True, message="the service sends no Date to compare with")
    skew_s = (now - then).total_seconds()
    found = f"this machine is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) >= MAX_SKEW_S:
        message = f"{found}; signatures fail. Set the clock (NTP)."
        return Check("clock", is_ok=False, message=message, shape=found)
    advice = "; set the clock (NTP) before it is 15 minutes" if abs(skew_s) > _NOTED_SKEW_S else ""
    return Check("clock", is_ok=True, message=found + advice, shape=found)


def _check_account(
    settings: Settings, transport: httpx.BaseTransport | None, clock: Clock
) -> Iterator[Check]:
    accepted = Check("credentials", is_ok=True, message="accepted")
    try:
        client, project_id = open_client(settings, transport=transport, clock=clock)
    except BackupFramesError as error:  # the look-up of the project failed
        yield _failed("credentials", error)
        return
    with client:
        counts: dict[Level, int] = {}
        for level in LEVELS:
            try:
                query = BackupQuery(
                    project_id, level=level, limit=1, api_version=settings.api_version
                )
                counts[level] = client.fetch_page(query).total_count
            except BackupFramesError as error:
                is_known = isinstance(error, AuthError) and not error.is_token_refused
                if is_known and not counts:
                    yield accepted
                name = "levels" if counts else "permission" if is_known else "credentials"
                yield _failed(name, error)
                return
            if len(counts) == 1:
                yield accepted
                found = f"project {project_id} may list backups"
                yield Check("permission", is_ok=True, message=found)
        found = ", ".join(f"{count:,} backups at {level}" for level, count in counts.items())
        shape = ", ".join(f"{magnitude(count)} at {level}" for level, count in counts.items())
        yield Check("levels", is_ok=True, message=found, shape=shape)
        yield _check_quota(client.last_headers)


def _check_quota(headers: Mapping[str, str]) -> Check:
    quotas = [
        f"{name[len(_QUOTA_PREFIX) :].strip('-') or 'api'}: {value}"
        for name, value in headers.items()
        if name.lower().startswith(_QUOTA_PREFIX)
    ]
    found = "; ".join(quotas) or "the service names none; limits are learned when it throttles"
    known = [quota.lower() for quota in quotas if _QUOTA.fullmatch(quota.lower())]
    odd = len(quotas) - len(known)
    shape = "; ".join([*known, *[f"{odd} of another form"] * bool(odd)]) or "none named"
    return Check("quota", is_ok=True, message=found, shape=shape)
