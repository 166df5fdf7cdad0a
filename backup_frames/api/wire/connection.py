"""One connection: a request goes out, an answer comes in, all before a deadline.

In: where to, perhaps through a proxy, and an `httpx.Request`. Out: the standard library's answer,
its body still on the wire; or one of httpx's exceptions.

`http.client` reads the answers' heads, and tells what of a connection may be used again. What it
lets pass is refused here: heads that end too early, lengths that contradict each other, headers that
are none, transfer encodings that nobody asked for, a body that ends before its length.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any, Final

import httpx

from .nested import NestedTls

_MIN_TIMEOUT_S: Final = 0.001
_STEP_BYTES: Final = 2**16


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
        self._has_ended = False
        self._reader = _Reader(_Reads(self), _STEP_BYTES)
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
        """Whether it has ended while nothing was asked: then there is something to read, its end."""
        try:
            is_decrypted = getattr(self._socket, "pending", int)() > 0
            return is_decrypted or bool(select.select([self._socket], [], [], 0)[0])
        except (OSError, ValueError):  # ValueError: more open files than select can tell apart
            return True

    def exchange(self, request: httpx.Request, over_at: float) -> http.client.HTTPResponse:
        """Send the request; the answer with its body still on the wire.

        Raises:
            httpx.TransportError: as httpx's own transport does.
        """
        self.over_at = over_at
        lines = [b"%b: %b" % pair for pair in request.headers.raw]
        self._send(request.method.encode(), request.url.raw_path, lines, request.stream)
        self._may_wait = False
        if self._reader.peek(1):  # of the answer before; it could pass for the next one
            raise httpx.RemoteProtocolError("an answer went on after its end")
        self._may_wait = True
        return self._answer(request.method)

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
        size = int(self._socket.recv_into(buffer))
        self._has_ended = not size
        return size

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What `http.client` asks of a socket: a file to read the answer from."""
        return self._reader

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
            raise httpx.ProxyError(f"{answer.status} {answer.reason}")

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

    def _answer(self, method: str) -> http.client.HTTPResponse:
        answer = _Answer(self, method=method)  # type: ignore[arg-type]  # no socket: its makefile is all
        with translated("Read"):
            answer.begin()
        problem = "the answer ended within its head" if self._has_ended else _what_is_wrong(answer)
        if problem:
            raise httpx.RemoteProtocolError(problem)
        return answer


class _Reads(io.RawIOBase):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._connection.read_into(buffer)


class _Reader(io.BufferedReader):
    def close(self) -> None:
        """`http.client` closes it with each answer, but what was read too far must be seen."""


class _Answer(http.client.HTTPResponse):
    def _read_status(self) -> tuple[int, int, str]:
        """`http.client` goes on after 100 alone: here after early hints as well."""
        version, status, reason = super()._read_status()  # type: ignore[misc]  # not in its stubs
        return version, http.HTTPStatus.CONTINUE if 101 < status < 200 else status, reason


def read_pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as it arrives.

    Raises:
        httpx.TransportError: the connection broke, or ended before the body did.
    """
    received = 0
    with translated("Read"):
        if answer.chunked:
            yield from _read_chunks(answer.fp)
            answer.close()
            return
        while piece := answer.read1(_STEP_BYTES):
            received += len(piece)
            yield piece
    if answer.length:
        raise httpx.RemoteProtocolError(
            "peer closed connection without sending complete message body "
            f"(received {received} bytes, expected {received + answer.length})"
        )


def _read_chunks(reader: io.BufferedReader) -> Iterator[bytes]:
    """A body in chunks: `http.client` takes -0 for its end, and any two bytes for a line's."""
    while size := _read_size(reader):
        while size:
            piece = reader.read1(min(size, _STEP_BYTES))
            if not piece:
                raise http.client.IncompleteRead(b"", size)
            size -= len(piece)
            yield piece
        if reader.readline(3) != b"\r\n":
            raise http.client.IncompleteRead(b"")
    while _read_line(reader) not in (b"\r\n", b"\n", b""):
        pass  # a trailer


def _read_size(reader: io.BufferedReader) -> int:
    line = _read_line(reader)
    size = line.partition(b";")[0].strip()
    if not line.endswith(b"\n") or not size or size.strip(b"0123456789abcdefABCDEF"):
        raise http.client.IncompleteRead(b"")
    return int(size, 16)


def _read_line(reader: io.BufferedReader) -> bytes:
    line = reader.readline(_STEP_BYTES + 1)
    if len(line) > _STEP_BYTES:
        raise http.client.LineTooLong("chunk size or trailer")
    return line


def may_go_on(answer: http.client.HTTPResponse) -> bool:
    """Whether the answer is read to its end, and its connection takes another request."""
    return not answer.will_close and (answer.isclosed() or answer.length == 0)


def headers_of(answer: http.client.HTTPResponse) -> list[tuple[bytes, bytes]]:
    """The headers as they came, those over several lines in one."""
    return [
        (name.encode("latin-1"), b" ".join(map(bytes.strip, value.encode("latin-1").splitlines())))
        for name, value in answer.getheaders()
    ]


@contextlib.contextmanager
def translated(step: str) -> Iterator[None]:
    """Raise httpx's exceptions for the standard library's; ``step`` is Connect, Write or Read."""
    try:
        yield
    except http.client.RemoteDisconnected as exc:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.") from exc
    except http.client.IncompleteRead as exc:
        raise httpx.RemoteProtocolError(
            "peer closed connection without sending complete message body (incomplete chunked read)"
        ) from exc
    except http.client.HTTPException as exc:
        raise httpx.RemoteProtocolError(f"no answer of HTTP/1.1: {exc!r}") from exc
    except TimeoutError as exc:
        raise getattr(httpx, f"{step}Timeout")(str(exc)) from exc
    except OSError as exc:
        raise getattr(httpx, f"{step}Error")(str(exc)) from exc


def _what_is_wrong(answer: http.client.HTTPResponse) -> str:
    if answer.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
        return "101: another protocol, which was not asked"
    rest = answer.msg.get_payload()
    if isinstance(rest, str) and rest:  # from the first line that is no header
        return f"illegal header line: {rest.splitlines()[0][:100]!r}"
    codings = _values(answer.msg.get_all("Transfer-Encoding"))
    if codings and codings != ["chunked"]:
        return f"Transfer-Encoding {', '.join(codings)[:100]}, which was not asked"
    lengths = set(_values(answer.msg.get_all("Content-Length")))
    if len(lengths) > 1 or not all(one.isdecimal() and len(one) < 20 for one in lengths):
        return f"bad Content-Length: {', '.join(sorted(lengths))[:100]}"
    if codings:
        answer.chunked, answer.length = True, None  # with a space behind it, too
    elif lengths and answer.length is None:
        answer.length = int(lengths.pop())  # named twice, and the same
    return ""


def _values(found: Iterable[str] | None) -> list[str]:
    return [part.strip().lower() for value in found or () for part in value.split(",")]
