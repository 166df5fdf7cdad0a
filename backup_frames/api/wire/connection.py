"""One connection: a request goes out, an answer comes in, all before a deadline.

In: where to, perhaps through a proxy, and an `httpx.Request`. Out: its `Answer`, the body still on the
wire; or one of httpx's exceptions.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final

import httpx

from .answer import STEP_BYTES, Answer
from .nested import NestedTls
from .request import target_of

_MIN_TIMEOUT_S: Final = 0.001


class Connection:
    """A connection to a host, and the one request that is under way on it.

    Args:
        host: to which the requests go.
        port: of the host.
        context: for TLS; None for none.
        proxy: that is asked for a tunnel to the host; None for none.
        over_at: when the first request must be over, on the monotonic clock.

    Raises:
        httpx.TransportError: as httpx's own transport does.
    """

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        proxy: httpx.Proxy | None,
        over_at: float,
    ) -> None:
        self.over_at = over_at
        self.idle_since = 0.0
        self._socket: Any = None
        self._may_wait = True
        self._reader = io.BufferedReader(_Reads(self), STEP_BYTES)
        try:
            with translated("Connect"):
                if proxy is None:
                    self._dial(host, port)
                else:
                    self._dial_proxy(proxy, context)
                    self._ask_tunnel(proxy, host, port)
                if context is not None:
                    self._secure(context, host)
        except BaseException:
            self.close()
            raise

    @property
    def is_dropped(self) -> bool:
        """Whether there is something to read while nothing was asked: its end, or too long an answer."""
        try:
            is_read = self._has_unread or getattr(self._socket, "pending", int)() > 0
            return is_read or bool(select.select([self._socket], [], [], 0)[0])
        except (OSError, ValueError):  # ValueError: more open files than select can tell apart
            return True

    def exchange(self, request: httpx.Request, over_at: float) -> Answer:
        """Send the request; the answer with its body still on the wire.

        Raises:
            httpx.TransportError: as httpx's own transport does.
        """
        self.over_at = over_at
        lines = [b"%b: %b" % pair for pair in request.headers.raw]
        self._send(request.method.encode(), target_of(request), lines, request.stream)
        if self._has_unread:  # of the answer before, or a proxy's: it could pass for this one
            raise httpx.RemoteProtocolError("an answer went on after its end")
        return self._answer(request.method)

    @property
    def _has_unread(self) -> bool:
        """Whether more was read from the socket than was asked for."""
        self._may_wait = False
        try:
            return bool(self._reader.peek(1))
        finally:
            self._may_wait = True

    def left_s(self) -> float:
        """Seconds left of the deadline.

        Raises:
            TimeoutError: it has passed.
        """
        left_s = self.over_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the request's total deadline has passed")
        return max(left_s, _MIN_TIMEOUT_S)

    def read_into(self, buffer: Any) -> int | None:
        """Some bytes of the other side, at least one, none at the end; None while it shall not wait."""
        if not self._may_wait:
            return None
        self._socket.settimeout(self.left_s())
        return int(self._socket.recv_into(buffer))

    def stop(self) -> None:
        """End what another thread waits for here."""
        with contextlib.suppress(OSError, AttributeError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()

    def _dial(self, host: str, port: int) -> None:
        """Try the host's addresses in turn; what one leaves of the time the next ones share."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as exc:  # a host name that cannot be one, such as a..b
            raise httpx.ConnectError(str(exc)) from exc
        for untried, (family, kind, protocol, _, address) in zip(
            range(len(found), 0, -1), found, strict=True
        ):
            try:
                self._socket = socket.socket(family, kind, protocol)
                self._socket.settimeout(self.left_s() / untried)
                self._socket.connect(address)
                break
            except OSError:
                self.close()
                if untried == 1:
                    raise
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _dial_proxy(self, proxy: httpx.Proxy, context: ssl.SSLContext | None) -> None:
        is_tls = proxy.url.scheme == "https"
        self._dial(proxy.url.host, proxy.url.port or (443 if is_tls else 80))
        if is_tls and context is not None:
            self._secure(context, proxy.url.host)

    def _ask_tunnel(self, proxy: httpx.Proxy, host: str, port: int) -> None:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"Host: {target}".encode(), b"Accept: */*"]
        if proxy.raw_auth is not None:
            lines.append(b"Proxy-Authorization: Basic " + b64encode(b":".join(proxy.raw_auth)))
        self._send(b"CONNECT", target.encode(), lines, ())
        answer = self._answer("CONNECT")
        if not 200 <= answer.status < 300:
            # in the usual words: the proxy's own may hold the login that it was sent
            known = httpx.codes.get_reason_phrase(answer.status)
            raise httpx.ProxyError(f"the proxy answered {answer.status} {known}".rstrip())

    def _secure(self, context: ssl.SSLContext, host: str) -> None:
        self._socket.settimeout(self.left_s())
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket = NestedTls(self._socket, context, host, self.left_s)
        else:
            self._socket = context.wrap_socket(self._socket, server_hostname=host)

    def _send(self, method: bytes, target: bytes, lines: list[bytes], content: Any) -> None:
        head = b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (method, target, b"\r\n".join(lines))
        if {head.count(b"\r"), head.count(b"\n")} != {len(lines) + 2}:
            raise httpx.LocalProtocolError("a header of the request holds a line break")
        try:
            with translated("Write"):
                self._socket.settimeout(self.left_s())
                self._socket.sendall(b"".join((head, *content)))
        except httpx.WriteError:
            pass  # the other side may have answered before it closed

    def _answer(self, method: str) -> Answer:
        with translated("Read"):
            return Answer(self._reader, method)


class _Reads(io.RawIOBase):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._connection.read_into(buffer)


@contextlib.contextmanager
def translated(step: str) -> Iterator[None]:
    """Raise httpx's exceptions for the standard library's; ``step`` is Connect, Write or Read."""
    try:
        yield
    except TimeoutError as exc:
        raise getattr(httpx, f"{step}Timeout")(str(exc)) from exc
    except OSError as exc:
        raise getattr(httpx, f"{step}Error")(str(exc)) from exc
