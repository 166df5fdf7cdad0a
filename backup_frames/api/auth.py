"""Proving who asks: a static token, a password login at IAM, or AK/SK signatures.

In: credentials. Out: headers on an `httpx.Request`. An authenticator holds secrets, so its repr
shows none; `secrets` lists them for scrubbing whatever a server echoes. Only `PasswordLogin` talks
to a server (IAM), through the function it is handed.

Sources: IAM "Obtaining a User Token (Password)" and "Signing API requests" (SDK-HMAC-SHA256).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

import httpx

from ..clock import Clock
from ..errors import SchemaError

_RENEW_BEFORE: Final = timedelta(minutes=10)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_SIGNED_HEADERS: Final = frozenset({"host", "content-type", "x-sdk-date", "x-security-token"})
_EMPTY_HASH: Final = hashlib.sha256(b"").hexdigest()


class Authenticator(ABC):
    """What the client asks of every way to authenticate.

    Attributes:
        caller: who asks: the kind of credential and a fingerprint that is no secret.
        is_renewable: a refused request may be tried once more with new credentials.
    """

    caller: str
    is_renewable = False

    @property
    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be shown."""

    @abstractmethod
    def sign(self, request: httpx.Request) -> None:
        """Add the headers that prove who asks; may log in first."""

    def renew(self) -> None:  # noqa: B027 - most cannot
        """Forget what was refused, if that can be renewed: the next `sign` obtains it anew."""


class StaticToken(Authenticator):
    """A token from elsewhere, sent as ``X-Auth-Token``; when it dies, the run ends."""

    caller = "token"  # of a bare token nothing else is known

    def __init__(self, token: str) -> None:
        self._token = token

    @property
    def secrets(self) -> tuple[str, ...]:
        """The token."""
        return (self._token,)

    def sign(self, request: httpx.Request) -> None:
        """Add ``X-Auth-Token``."""
        request.headers["X-Auth-Token"] = self._token


class PasswordLogin(Authenticator):
    """An IAM user's password, exchanged for a token that lasts a day and lives in memory only.

    Args:
        iam_endpoint: such as ``https://iam.eu-west-101.myhuaweicloud.eu``.
        username: the IAM user's name.
        password: its password.
        domain: the account's name; None where the sandbox or IAM can do without.
        project: ``{"id": …}`` or ``{"name": region}``: what the token is for.
        send: sends one request with retries and gives headers and body of its answer; errors are
            this package's.
        clock: tells when the token is about to expire.
    """

    is_renewable = True

    def __init__(
        self,
        *,
        iam_endpoint: str,
        username: str,
        password: str,
        domain: str | None,
        project: dict[str, str],
        send: Callable[[httpx.Request], tuple[httpx.Headers, bytes]],
        clock: Clock,
    ) -> None:
        account = {"name": domain or username}
        user = {"name": username, "password": password, "domain": account}
        self._login = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": project},
            }
        }
        self._url = f"{iam_endpoint}/v3/auth/tokens"
        self.caller = f"password {_fingerprint(domain or username, username)}"
        self._password = password
        self._send = send
        self._clock = clock
        self._token: str | None = None
        self._issued: list[str] = []
        self._expires_at = _NEVER

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password and every token issued: one that was refused may still be alive."""
        return (self._password, *self._issued)

    def sign(self, request: httpx.Request) -> None:
        """Add ``X-Auth-Token``; logs in first if there is no token or it is about to expire."""
        if self._token is None or self._clock.now() > self._expires_at - _RENEW_BEFORE:
            self._log_in()
        request.headers["X-Auth-Token"] = self._token or ""

    def renew(self) -> None:
        """Forget the token; the next `sign` logs in."""
        self._token = None

    def _log_in(self) -> None:
        headers, body = self._send(
            httpx.Request(
                "POST",
                self._url,
                params={"nocatalog": "true"},
                content=json.dumps(self._login).encode(),
                headers={"Content-Type": "application/json;charset=utf8"},
            )
        )
        token = headers.get("X-Subject-Token", "")
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise self._no_login("X-Subject-Token", "a header with the token")
        self._issued.append(token)
        try:
            expires = datetime.fromisoformat(json.loads(body)["token"]["expires_at"])
            expires = (expires if expires.tzinfo else expires.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, LookupError, TypeError, RecursionError, OverflowError):
            raise self._no_login("token.expires_at", "a time") from None
        self._token = token
        # A token without lifetime left would make every request log in: use it until refused.
        is_usable = expires - 2 * _RENEW_BEFORE > self._clock.now()
        self._expires_at = expires if is_usable else _NEVER

    def _no_login(self, path: str, expected: str) -> SchemaError:
        error = SchemaError(
            f"IAM at {self._url} answered a login without {path}; check the IAM endpoint.",
            path=path,
            expected=expected,
        )
        error.is_retryable = False  # no password is sent twice to what may not be IAM
        return error


class AccessKey(Authenticator):
    """AK/SK signatures, SDK-HMAC-SHA256: the secret key never travels.

    Five bad signatures lock an access key: a refused one is never tried again.

    Args:
        access_key: the AK.
        secret_key: the SK.
        security_token: for temporary keys, sent as ``X-Security-Token``.
        clock: the time that is signed; the service tolerates 15 minutes of skew.
    """

    def __init__(
        self, access_key: str, secret_key: str, security_token: str | None, clock: Clock
    ) -> None:
        self._access_key = access_key
        self.caller = f"keys {_fingerprint(access_key)}"
        self._secret_key = secret_key
        self._security_token = security_token
        self._clock = clock

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret key, and the security token of temporary keys."""
        return tuple(filter(None, (self._secret_key, self._security_token, self._access_key)))

    def sign(self, request: httpx.Request) -> None:
        """Add ``X-Sdk-Date`` and ``Authorization``."""
        if self._security_token:
            request.headers["X-Security-Token"] = self._security_token
        request.headers["X-Sdk-Date"] = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        request.headers["Authorization"] = sign_request(request, self._access_key, self._secret_key)


def _fingerprint(*parts: str) -> str:
    """Eight signs that tell callers apart and do not tell who they are."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def sign_request(request: httpx.Request, access_key: str, secret_key: str) -> str:
    """The ``Authorization`` value for a request without body that carries ``X-Sdk-Date``.

    Signs ``Host``, ``Content-Type``, ``X-Sdk-Date`` and ``X-Security-Token`` where present. The path
    gets a trailing ``/`` in the signature only, as the manual's canonical URI wants.
    """
    raw_path = request.url.raw_path.partition(b"?")[0].decode("ascii")
    path = "/".join(quote(part, safe="~") for part in unquote(raw_path).split("/"))
    pairs = sorted(parse_qsl(request.url.query.decode("ascii"), keep_blank_values=True))
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
    names = sorted(_SIGNED_HEADERS.intersection(request.headers))
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names)
    canonical = "\n".join(
        (
            request.method,
            path if path.endswith("/") else f"{path}/",
            query,
            headers,
            ";".join(names),
            _EMPTY_HASH,
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"SDK-HMAC-SHA256\n{request.headers['X-Sdk-Date']}\n{digest}"
    signature = hmac.new(secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()
    return (
        f"SDK-HMAC-SHA256 Access={access_key}, SignedHeaders={';'.join(names)}, "
        f"Signature={signature}"
    )
