"""Who calls: tokens, access keys and the project, checked as gateway and IAM check them.

In: headers, method, path, query and body of a call. Out: nothing if it may pass, else a `Problem`.
Tokens age in real time, whatever day it is in the fleet; a signature's date may be the real one or
the sandbox clock's. Rules: tokens live 24 h; signatures are recomputed from the headers they name.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from .answers import IAM_FAILED, Problem, refuse_call, refuse_login
from .world.clock import SandboxClock
from .world.seeded import SeededRandom

SKEW = timedelta(minutes=15)
BAD_SIGNATURES = 5  # in a row; then the key is locked
LOCK_S = 5 * 60
_ALGORITHM = "SDK-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    r"SDK-HMAC-SHA256 Access=([^,\s]+), ?SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})"
)


@dataclass(frozen=True)
class Call:
    """The parts of a request that authentication looks at; header names in lower case."""

    method: str
    path: str  # raw, still encoded
    query: str  # raw, still encoded
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class AccessKey:
    """An access key; a temporary one comes with a security token."""

    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    bad_signatures: int = 0
    locked_until: float = 0.0


class Iam:
    """One account with one user and one project.

    Args:
        seed: Decides ids and keys.
        region: Also the project's name, as with the real service's default projects.
        token_lifetime_s: How long tokens live that are issued by password.
        clock: The sandbox's; clients that were given it sign with its time.
    """

    def __init__(
        self,
        seed: int = 7,
        region: str = "eu-west-101",
        token_lifetime_s: float = 86_400,
        clock: SandboxClock | None = None,
    ) -> None:
        rng = SeededRandom(seed, "iam")
        self._clock = clock or SandboxClock()
        self.region = region
        self.token_lifetime_s = token_lifetime_s
        self.project_id = rng.hex32()
        self.domain = "sandbox-account"
        self.username = "sandbox-user"
        self.password = f"Sandbox-{rng.hex32()[:16]}"
        self.token = f"sandbox-token-{rng.hex32()}"  # this one does not age
        self.access_key = f"SANDBOX{rng.hex32()[:13].upper()}"
        self.secret_key = f"{rng.hex32()}{rng.hex32()[:8]}"
        self.keys = {self.access_key: AccessKey(self.secret_key)}
        self._deadlines: dict[str, float] = {self.token: float("inf")}

    def admit(self, call: Call) -> None:
        """Let an authenticated call pass; anything else is a 401."""
        token = call.headers.get("x-auth-token")
        authorization = call.headers.get("authorization", "")
        if token is not None:
            if self._deadlines.get(token, 0.0) <= time.time():
                raise _refuse_identity("decrypt token fail")
        elif authorization.startswith(_ALGORITHM):
            self._check_signature(call, authorization)
        else:
            raise _refuse_identity("x-auth-token not found")

    def revoke(self, token: str | None = None) -> None:
        """End a token's life now; without argument that of every token."""
        if token is None:
            self._deadlines.clear()
        else:
            self._deadlines.pop(token, None)

    def add_temporary_key(self, name: str, secret_key: str, security_token: str) -> None:
        """Accept this key from now on, with its `X-Security-Token`."""
        self.keys[name] = AccessKey(secret_key, security_token)

    def log_in(self, login: object) -> tuple[str, dict[str, Any]]:
        """A new token and its description, for a Keystone password login."""
        try:
            auth = login["auth"]  # type: ignore[index]  # any JSON: what does not fit is caught
            user = auth["identity"]["password"]["user"]
            project = auth.get("scope", {}).get("project", {})
            methods, name, password = auth["identity"]["methods"], user["name"], user["password"]
            domain = user["domain"]["name"]
            asked = (project.get("id", self.project_id), project.get("name", self.region))
        except (KeyError, TypeError, AttributeError):
            methods = None
        if methods != ["password"]:
            raise refuse_login(400, "The request body is invalid", "Bad Request")
        # An account's administrator bears its name, so the user's name may stand for the account.
        is_known = name == self.username and domain in (self.domain, self.username)
        if not is_known or password != self.password:
            raise refuse_login(401, "The username or password is wrong.", "Unauthorized")
        if asked[0] != self.project_id or ("id" not in project and asked[1] != self.region):
            raise refuse_login(404, "Could not find the project.", "Not Found")
        return self._issue()

    def projects(self, name: str | None) -> dict[str, Any]:
        """The projects of that name, or all."""
        project = {
            "id": self.project_id,
            "name": self.region,
            "description": "",
            "domain_id": SeededRandom(self.project_id).hex32(),
            "parent_id": SeededRandom(self.project_id).hex32(),
            "enabled": True,
            "is_domain": False,
            "links": {"self": f"/v3/projects/{self.project_id}"},
        }
        found = [project] if name in (None, self.region) else []
        return {"projects": found, "links": {"self": "/v3/projects", "next": None}}

    def _issue(self) -> tuple[str, dict[str, Any]]:
        token = "MII" + token_urlsafe(1200)
        issued = datetime.now(UTC)
        expires = issued + timedelta(seconds=self.token_lifetime_s)
        self._deadlines[token] = expires.timestamp()
        domain = {"id": SeededRandom(self.project_id).hex32(), "name": self.domain}
        description = {
            "methods": ["password"],
            "expires_at": f"{expires:%Y-%m-%dT%H:%M:%S.%f}Z",
            "issued_at": f"{issued:%Y-%m-%dT%H:%M:%S.%f}Z",
            "project": {"id": self.project_id, "name": self.region, "domain": domain},
            "user": {"name": self.username, "domain": domain, "password_expires_at": ""},
            "roles": [{"id": "0", "name": "te_admin"}],
            "catalog": [],
        }
        return token, {"token": description}

    def _check_signature(self, call: Call, authorization: str) -> None:
        parts = _AUTHORIZATION.fullmatch(authorization)
        key = self.keys.get(parts[1]) if parts else None
        if parts is None:
            raise _refuse_identity("verify aksk signature fail")
        if key is None:
            raise _refuse_identity(f"Get secretKey failed,ak:{parts[1]},err:ak not exist")
        if key.locked_until > time.monotonic():
            raise _refuse_identity("AK access failed to reach the limit,forbidden")
        self._check_date(call.headers.get("x-sdk-date", ""))
        expected = sign(call, key.secret_key, parts[2].split(";"))
        is_right = hmac.compare_digest(expected, parts[3])
        if not is_right or key.security_token != call.headers.get("x-security-token"):
            key.bad_signatures += 1
            if key.bad_signatures >= BAD_SIGNATURES:
                key.locked_until, key.bad_signatures = time.monotonic() + LOCK_S, 0
            raise _refuse_identity("verify aksk signature fail")
        key.bad_signatures = 0

    def _check_date(self, text: str) -> None:
        try:
            signed = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise _refuse_identity("verify aksk signature fail") from None
        now = datetime.now(UTC)
        if all(abs(clock - signed) > SKEW for clock in (now, self._clock.now())):
            raise _refuse_identity(
                f"signature expired, signature time:{text},server time:{now:%Y%m%dT%H%M%SZ}"
            )


def sign(call: Call, secret_key: str, signed_headers: list[str]) -> str:
    """The SDK-HMAC-SHA256 signature of a call over the headers named, as hex."""
    path = "/".join(quote(unquote(part), safe="~") for part in call.path.split("/"))
    pairs = sorted(parse_qsl(call.query, keep_blank_values=True))
    content = call.headers.get("x-sdk-content-sha256") if call.body else None
    canonical = "\n".join(
        [
            call.method.upper(),
            path if path.endswith("/") else f"{path}/",
            "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs),
            *(f"{name}:{call.headers.get(name, '').strip()}" for name in signed_headers),
            "",
            ";".join(signed_headers),
            content or hashlib.sha256(call.body).hexdigest(),
        ]
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{call.headers.get('x-sdk-date', '')}\n{hashed}"
    return hmac.new(secret_key.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def _refuse_identity(reason: str) -> Problem:
    return refuse_call(401, "APIGW.0301", IAM_FAILED + reason)
