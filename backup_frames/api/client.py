"""One page: a `BackupQuery` goes out, a checked `Page` comes back, or one of this package's errors.

In: settings (endpoint, credentials, limits) and, for tests, a transport and a clock. Out: pages.
Here foreign errors are translated, once: httpx's exceptions and HTTP statuses become this package's
errors, with every secret scrubbed. Requests go straight to the transport, not through
`httpx.Client`: nothing here could follow a redirect (httpx would carry ``X-Auth-Token`` to the new
host) or keep a cookie, and a request costs half the time. What is tried again how often is the
gate's to say; beyond that,

- a token that is refused (401) is renewed once and the request sent again, while all other threads
  wait; a static token, an access key or a refused login ends the run at once;
- an answer that is too large is asked again with a quarter of the limit, down to one row.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Self, TypeVar

import httpx

from ..clock import Clock, SystemClock, read_date
from ..errors import (
    AuthError,
    BackupFramesError,
    FetchError,
    PageError,
    RejectedError,
    SchemaError,
    UnavailableError,
)
from .answers import Page, read_failure, read_page
from .auth import Authenticator
from .gate import Gate
from .query import BackupQuery
from .scrub import Scrubber
from .wire.body import PageTooLargeError, read_body
from .wire.request import Request, address_of, join_params
from .wire.transport import DeadlineTransport

_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "backup-frames",
}
_LOG = logging.getLogger("backup_frames.api")

T = TypeVar("T")


class BackupClient:
    """Asks the service one page at a time; safe to share between threads.

    Args:
        endpoint: such as ``https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu``.
        authenticator: proves who asks; or a function that makes one from this client's sender.
        transport: what carries requests; None for real connections.
        clock: time and waiting; None for the machine's.
        gate: rate, pauses and retry budget; None for a fresh one without own rate limit.
        timeout_s: seconds one request may take in all, retries not counted.
        max_connections: connections kept open at most; None for no bound.

    Attributes:
        skew_s: seconds by which the clock is ahead of the service's, None while no answer has named
            the time: by the answer that comes nearest, so that one odd ``Date`` says nothing.

    Cost: one request per page when all is well; retries within the gate's budget.
    """

    def __init__(
        self,
        endpoint: str,
        authenticator: Authenticator | Callable[[BackupClient], Authenticator],
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
        gate: Gate | None = None,
        timeout_s: float = 60.0,
        max_connections: int | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.clock = clock or SystemClock()
        self.gate = gate or Gate(self.clock)
        self._timeout_s = timeout_s
        self._transport = transport or DeadlineTransport(endpoint, max_connections=max_connections)
        self._first_requests: dict[str, httpx.Request] = {}  # of each path for pages
        self._auth_lock = threading.RLock()
        self._generation = 0
        self._refused: BackupFramesError | None = None
        self._authenticator = authenticator(self) if callable(authenticator) else authenticator
        self.skew_s: float | None = None
        self.last_headers: Mapping[str, str] = {}  # of the newest page: quotas
        self._scrubber = Scrubber(lambda: self._authenticator.secrets)

    def scrub(self, text: str) -> str:
        """The text without the credentials of this client, in whatever way they are escaped."""
        return self._scrubber.text(text)

    @property
    def caller(self) -> str:
        """Who asks: the kind of credential and a fingerprint; never a secret."""
        return self._authenticator.caller

    def fetch_page(self, query: BackupQuery) -> Page:
        """Ask for one page.

        Args:
            query: what to ask. If the answer is too large, a smaller limit is asked instead.

        Returns:
            The page, checked against the contract; ``page.query`` has the limit really used.

        Raises:
            AuthError: credentials refused, after at most one renewal.
            RejectedError: any other 4xx, or a redirect.
            ThrottledError: 429 until the retry budget was spent.
            UnavailableError: 5xx, timeouts, broken connections until the budget was spent.
            PageError: answers that are no JSON until the budget was spent.
            SchemaError: JSON outside the contract, three times in a row.
        """
        while True:
            try:
                return self._fetch(query)
            except PageTooLargeError:
                if query.limit == 1:
                    raise
                query = replace(query, limit=query.limit // 4 or 1)

    def _fetch(self, query: BackupQuery) -> Page:
        def read(response: httpx.Response, body: bytes) -> Page:
            page = read_page(query, body)
            self.last_headers = response.headers
            return page

        try:
            return self._send(lambda: self._page_request(query), read)
        except RejectedError as error:
            if error.status == 404:
                advice = f"set BACKUP_FRAMES_API_VERSION={query.other_version}"
                error.args = (f"{error} Or the service has only the other version: {advice}.",)
            raise

    def fetch_json(
        self,
        path: str,
        params: tuple[tuple[str, str], ...] = (),
        *,
        origin: str | None = None,
    ) -> bytes:
        """Ask for another resource, such as instances; the body as bytes.

        Args:
            path: below the endpoint.
            params: query parameters.
            origin: another endpoint, such as IAM's; None for the service's.

        Raises:
            FetchError: as `fetch_page` does.
        """
        return self._send(lambda: self._request(path, params, origin), lambda _, body: body)

    def send_plain(self, request: httpx.Request) -> tuple[httpx.Headers, bytes]:
        """Send a request without credentials, such as a login, with retries; headers and body.

        Raises:
            FetchError: as `fetch_page` does.
        """
        return self._send(
            lambda: request, lambda response, body: (response.headers, body), is_signed=False
        )

    def close(self) -> None:
        """Stop waiting requests and close every connection."""
        self.gate.close()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _page_request(self, query: BackupQuery) -> httpx.Request:
        first = self._first_requests.get(query.path)
        if first is None:
            first = self._first_requests[query.path] = self._request(query.path)
        return Request(first, join_params(query.params()))

    def _request(
        self, path: str, params: tuple[tuple[str, str], ...] = (), origin: str | None = None
    ) -> httpx.Request:
        url = f"{origin or self.endpoint}{path}?{join_params(params)}".rstrip("?")
        return httpx.Request("GET", url, headers=_HEADERS)

    def _send(
        self,
        make: Callable[[], httpx.Request],
        read: Callable[[httpx.Response, bytes], T],
        *,
        is_signed: bool = True,
    ) -> T:
        """Send until it works, the error is final, or the gate says stop."""
        attempt = 1
        while True:
            try:
                return self._send_signed(make, read) if is_signed else self._attempt(make(), read)
            except (FetchError, SchemaError) as error:
                self.gate.failed(error, attempt)
                attempt += 1

    def _send_signed(
        self, make: Callable[[], httpx.Request], read: Callable[[httpx.Response, bytes], T]
    ) -> T:
        while True:
            generation = self._generation
            request = self._signed(make())
            try:
                return self._attempt(request, read)
            except AuthError as error:
                if not error.is_token_refused:
                    raise
                with self._auth_lock:
                    if self._generation == generation:
                        return self._renew(error, make, read)
            # another thread has renewed meanwhile: this request failed with the old credentials

    def _renew(
        self,
        error: AuthError,
        make: Callable[[], httpx.Request],
        read: Callable[[httpx.Response, bytes], T],
    ) -> T:
        """Renew once and try, with all other threads waiting: none hammers with a dead token."""
        if self._refused is not None:
            raise self._refused
        if not self._authenticator.is_renewable:
            self._refused = error
            raise error
        self._authenticator.renew()
        self._generation += 1
        try:
            return self._attempt(self._signed(make()), read)
        except AuthError as second:
            self._refused = second
            raise

    def _signed(self, request: httpx.Request) -> httpx.Request:
        with self._auth_lock:
            if self._refused is not None:
                raise self._refused
            try:
                self._authenticator.sign(request)
            except (AuthError, RejectedError, SchemaError) as error:
                self._refused = error  # a refused login is not tried again: accounts get locked
                raise
        return request

    def _attempt(self, request: httpx.Request, read: Callable[[httpx.Response, bytes], T]) -> T:
        entered_at = self.gate.enter()
        is_success = False
        try:
            response, body = self._exchange(request)
            if not response.is_success:
                url = _without_query(request)
                clean = self._scrubber.data(body)
                raise read_failure(response.status_code, response.headers, clean, url)
            result = self._read(read, response, body)
            is_success = True
        except BackupFramesError as error:
            raise self._scrubber.error(error) from None
        finally:
            self.gate.leave(entered_at, is_success=is_success)
        return result

    def _read(
        self, read: Callable[[httpx.Response, bytes], T], response: httpx.Response, body: bytes
    ) -> T:
        """Read a body; if it is refused, again without secrets, since errors quote it."""
        try:
            return read(response, body)
        except BackupFramesError:
            clean = self._scrubber.data(body)
        return read(response, clean)

    def _exchange(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """One round trip; httpx's exceptions become ours here."""
        url = _without_query(request)
        # nobody waits for one of the pool's connections beyond the deadline either
        request.extensions |= {"deadline_s": self._timeout_s, "timeout": {"pool": self._timeout_s}}
        started = self.clock.monotonic()
        try:
            response = self._transport.handle_request(request)
            if url.startswith(self.endpoint):
                self._note_date(response.headers.get("Date", ""))
            try:
                body = read_body(response, url)
            except PageError:
                if response.is_success:
                    raise
                body = b""  # the status says enough
            finally:
                response.close()
        except httpx.TimeoutException as exc:
            raise UnavailableError(
                f"{url} did not answer within {self._timeout_s:g} s. Check the network, or raise "
                "timeout_s.",
                url=url,
            ) from exc
        except httpx.TransportError as exc:
            raise _unreachable(url, exc) from exc
        _LOG.debug(
            "%s %s -> %s, %d bytes, %.3f s",
            request.method,
            address_of(request).path,
            response.status_code,
            len(body),
            self.clock.monotonic() - started,
        )
        return response, body

    def _note_date(self, date: str) -> None:
        service_now = read_date(date)
        if service_now is None or getattr(self.clock, "is_virtual", False):
            return
        skew_s = (self.clock.now() - service_now).total_seconds()
        if self.skew_s is None or abs(skew_s) < abs(self.skew_s):
            self.skew_s = skew_s


def _without_query(request: httpx.Request) -> str:
    return str(address_of(request)).partition("?")[0]


def _unreachable(url: str, exc: httpx.TransportError) -> UnavailableError:
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    advice = "Check endpoint, region, proxy and network."
    if cause is not None:
        advice = "Check the endpoint; if a proxy opens TLS, set SSL_CERT_FILE to its certificate."
    reason = re.sub(r"^\[Errno -?\d+\] ", "", str(exc)) or type(exc).__name__
    error = UnavailableError(f"{url} could not be reached ({reason}). {advice}", url=url)
    error.is_retryable = cause is None  # a wrong certificate stays wrong
    return error
