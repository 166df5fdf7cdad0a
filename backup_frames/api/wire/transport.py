"""The wire: httpx's interface over httpcore's pool, with one total deadline per request.

In: an `httpx.Request` whose extension ``deadline_s`` says how many seconds it may take in all.
Out: an `httpx.Response` as httpx's own transport gives it, or one of httpx's exceptions.

Why not `httpx.HTTPTransport`: its read timeout starts again with every byte, so a server that drips
one byte a minute holds a thread for ever, and it takes no network backend. httpcore does: each
connect, write and read below is given what is left of the request's deadline (only the look-up of
a host name takes the system's own time). Proxies of the environment (``HTTPS_PROXY``,
``NO_PROXY``) and ``SSL_CERT_FILE`` are honoured as httpx does; ``http://`` is for this machine
only and goes past proxies. Measured per page of 100 rows, with all that is done above the wire: 1.0 to
1.1 ms of processor time, 0.6 ms with pyreqwest in this place. It was not taken: that is a tenth of a
first sync, and its certificates, proxies and errors are not httpx's.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

import httpcore
import httpx

from ...errors import ConfigError
from .proxy import find_proxy, is_direct

_MIN_TIMEOUT_S: Final = 0.001


class _Deadline(threading.local):
    """When this thread's request must be over; each worker thread has one request at a time."""

    at: float = float("inf")

    def left(self, timeout_s: float | None, over: type[Exception]) -> float:
        left_s = self.at - time.monotonic()
        if left_s <= 0:
            raise over("the request's total deadline has passed")
        return max(min(left_s, timeout_s or left_s), _MIN_TIMEOUT_S)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left_s), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, deadline: _Deadline) -> None:
        self._backend = httpcore.SyncBackend()
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.left(timeout, httpcore.ConnectTimeout)
        try:
            stream = self._backend.connect_tcp(host, port, left_s, local_address, socket_options)
        except UnicodeError as exc:  # a host name that cannot be one, such as a..b
            raise httpcore.ConnectError(str(exc)) from exc
        return _Stream(stream, self._deadline)


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _Secure(NamedTuple):
    direct: httpcore.ConnectionPool
    proxied: httpcore.HTTPProxy | None


class DeadlineTransport(httpx.BaseTransport):
    """Keep-alive connections to one service; every request has a total deadline.

    Args:
        endpoint: the service's URL; of ``https://`` the environment may name a proxy, which
            counts for each host by itself.
        max_connections: connections kept open at most.
    """

    def __init__(self, endpoint: str, *, max_connections: int) -> None:
        self._deadline = _Deadline()
        self._options: dict[str, Any] = {
            "max_connections": max_connections,
            "max_keepalive_connections": max_connections,
            "keepalive_expiry": 30.0,
            "network_backend": _Backend(self._deadline),
        }
        self._plain = httpcore.ConnectionPool(**self._options)
        self._lock = threading.Lock()
        self._secure: _Secure | None = None  # beside http:// not needed, and 30 ms
        if endpoint.startswith("https"):
            # named before any request, whether or not the service's own host goes through it
            self._secure = self._open_secure(find_proxy())

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and hand out the answer with its body still on the wire.

        Raises:
            httpx.TransportError: as httpx's own transport does.
        """
        self._deadline.at = time.monotonic() + request.extensions["deadline_s"]
        with _translated():
            answer = self._pool_for(request.url).handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close every connection."""
        for pool in (self._plain, *(self._secure or ())):
            if pool is not None:
                pool.close()

    def _open_secure(self, proxy: httpx.Proxy | None) -> _Secure:
        context = _tls_context(*map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))
        options = self._options | {"ssl_context": context}
        proxied = None
        if proxy:
            proxied = httpcore.HTTPProxy(str(proxy.url), proxy_auth=proxy.raw_auth, **options)
        return _Secure(httpcore.ConnectionPool(**options), proxied)

    def _pool_for(self, url: httpx.URL) -> httpcore.ConnectionPool:
        if url.scheme != "https":
            return self._plain
        with self._lock:
            self._secure = self._secure or self._open_secure(None)
        direct, proxied = self._secure
        return direct if proxied is None or is_direct(url.host, url.port or 443) else proxied


@cache  # 30 ms; Spark's tasks and the projects of one run each have a client of their own
def _tls_context(file: str | None, folder: str | None) -> ssl.SSLContext:
    """The context that httpx makes: it trusts what these two variables name."""
    try:
        return httpx.create_ssl_context()
    except OSError as exc:  # no such file, or no certificates in it
        raise ConfigError(
            f"The certificates of SSL_CERT_FILE ({file}) or SSL_CERT_DIR ({folder}) cannot be read: "
            f"{exc.strerror or exc}. Correct the variable, or unset it."
        ) from exc


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Raise httpx's exception for httpcore's: both libraries name them alike."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as exc:
        raise getattr(httpx, type(exc).__name__, httpx.TransportError)(str(exc)) from exc
