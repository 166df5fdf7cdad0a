"""The wire: httpx's interface over kept connections, with one total deadline per request.

In: an `httpx.Request` whose extension ``deadline_s`` says how many seconds it may take in all.
Out: an `httpx.Response` as httpx's own transport gives it, or one of httpx's exceptions.

Why not `httpx.HTTPTransport`: its read timeout starts again with every byte, so a server that drips
one byte a minute holds a thread for ever. Here each connect, write and read is given what is left of
the request's deadline (only the look-up of a host name takes the system's own time). The bytes are
carried by sockets (`connection`, `answer`): httpcore and h11 took half of a page's processor time,
and longer to load than a command of 300 backups has. Proxies of the environment (``HTTPS_PROXY``,
``NO_PROXY``) and ``SSL_CERT_FILE`` are honoured as httpx does; ``http://`` is for this machine only
and goes past proxies.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Final, NamedTuple

import httpx

from ...errors import ConfigError
from .connection import Connection, translated
from .proxy import find_proxy, is_direct
from .request import address_of

_IDLE_S: Final = 30.0
_NO_BOUND: Final = 2**31


class _Origin(NamedTuple):
    """Where connections lead; one to another origin is of no use."""

    scheme: str
    host: str
    port: int


class Body(httpx.SyncByteStream):
    """The body of an answer, piece by piece; its end is told once.

    Args:
        pieces: as they arrive.
        on_close: called when the body is closed for the first time.
    """

    def __init__(self, pieces: Iterable[bytes], on_close: Callable[[], None]) -> None:
        self._pieces = pieces
        self._on_close: Callable[[], None] | None = on_close

    def __iter__(self) -> Iterator[bytes]:
        with translated("Read"):
            yield from self._pieces

    def close(self) -> None:
        """The reader needs no more of it."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()


class DeadlineTransport(httpx.BaseTransport):
    """Keep-alive connections to one service; every request has a total deadline.

    Args:
        endpoint: the service's URL; of ``https://`` the environment may name a proxy, which
            counts for each host by itself.
        max_connections: connections open at most; who finds none waits for one. None for no bound.
    """

    def __init__(self, endpoint: str, *, max_connections: int | None) -> None:
        self._free = threading.Semaphore(max_connections or _NO_BOUND)
        self._lock = threading.Lock()
        self._idle: dict[_Origin, list[Connection]] = defaultdict(list)
        self._busy: set[Connection] = set()
        self._is_closed = False
        # named before any request, whether or not the service's own host goes through it
        self._proxy = find_proxy() if endpoint.startswith("https") else None
        if endpoint.startswith("https"):
            _tls_context(*_certificates())

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and hand out the answer with its body still on the wire.

        Raises:
            httpx.TransportError: as httpx's own transport does.
        """
        deadline_s = request.extensions["deadline_s"]
        over_at = time.monotonic() + deadline_s
        url = address_of(request)
        if url.scheme not in ("http", "https") or not url.host:
            raise httpx.UnsupportedProtocol(f"no address to send a request to: {url.scheme}://")
        is_tls = url.scheme == "https"
        origin = _Origin(url.scheme, url.raw_host.decode("ascii"), url.port or (80, 443)[is_tls])
        if not self._free.acquire(timeout=deadline_s):
            raise httpx.PoolTimeout("no connection became free before the deadline")
        connection = None
        try:
            connection = self._take_idle(origin) or self._open(origin, over_at)
            with self._lock:
                self._busy.add(connection)
                if self._is_closed:
                    connection.stop()
            answer = connection.exchange(request, over_at)
        except BaseException:
            self._give_back(origin, connection, is_reusable=False)
            raise
        done = connection

        def give_back() -> None:
            self._give_back(origin, done, is_reusable=answer.may_go_on)

        body = Body(answer.read_pieces(), give_back)
        return httpx.Response(answer.status, headers=answer.headers, stream=body)

    def close(self) -> None:
        """Close every connection; requests under way end."""
        with self._lock:
            self._is_closed = True
            idle = [one for some in self._idle.values() for one in some]
            self._idle.clear()
            for one in self._busy:
                one.stop()
        for one in idle:
            one.close()

    def _open(self, origin: _Origin, over_at: float) -> Connection:
        if origin.scheme == "http":
            return Connection(origin.host, origin.port, None, None, over_at)
        context = _tls_context(*_certificates())
        is_past = self._proxy is None or is_direct(origin.host, origin.port)
        return Connection(
            origin.host, origin.port, context, None if is_past else self._proxy, over_at
        )

    def _take_idle(self, origin: _Origin) -> Connection | None:
        """The connection that was used last and has not ended since."""
        while True:
            with self._lock:
                if not self._idle[origin]:
                    return None
                one = self._idle[origin].pop()
            if time.monotonic() - one.idle_since < _IDLE_S and not one.is_dropped:
                return one
            one.close()

    def _give_back(
        self, origin: _Origin, connection: Connection | None, *, is_reusable: bool
    ) -> None:
        if connection is not None:
            connection.idle_since = time.monotonic()
            with self._lock:
                self._busy.discard(connection)
                is_kept = is_reusable and not self._is_closed
                if is_kept:
                    self._idle[origin].append(connection)
            if not is_kept:
                connection.close()
        self._free.release()


def _certificates() -> tuple[str | None, str | None]:
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


@cache  # 30 ms; Spark's tasks and the projects of one run each have a client of their own
def _tls_context(file: str | None, folder: str | None) -> ssl.SSLContext:
    """The context that httpx makes: it trusts what these two variables name."""
    try:
        context = httpx.create_ssl_context()
    except OSError as exc:  # no such file, or no certificates in it
        raise ConfigError(
            f"The certificates of SSL_CERT_FILE ({file}) or SSL_CERT_DIR ({folder}) cannot be read: "
            f"{exc.strerror or exc}. Correct the variable, or unset it."
        ) from exc
    context.set_alpn_protocols(["http/1.1"])
    return context
