"""TLS through a proxy that is itself reached by TLS.

In: such a proxy. Out: what `Connection` asks of a socket, over httpcore's streams: the standard
library wraps no TLS into TLS by itself.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import httpcore


class NestedTls:
    """A connection to a proxy by TLS, in which another is begun with `start_tls`."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> None:
        self._context = context
        self._timeout_s = timeout_s
        with _as_by_sockets():
            plain = httpcore.SyncBackend().connect_tcp(host, port, timeout_s)
            self._stream = plain.start_tls(context, host, timeout_s)

    def start_tls(self, host: str) -> None:
        """Begin TLS with the host at the end of the tunnel."""
        with _as_by_sockets():
            self._stream = self._stream.start_tls(self._context, host, self._timeout_s)

    def settimeout(self, timeout_s: float) -> None:
        """How long each call below may take."""
        self._timeout_s = timeout_s

    def recv_into(self, buffer: Any) -> int:
        """As of a socket."""
        with _as_by_sockets():
            piece = self._stream.read(len(buffer), self._timeout_s)
        buffer[: len(piece)] = piece
        return len(piece)

    def sendall(self, data: bytes) -> None:
        """As of a socket."""
        with _as_by_sockets():
            self._stream.write(data, self._timeout_s)

    def fileno(self) -> int:
        """As of a socket."""
        return int(self._stream.get_extra_info("socket").fileno())

    def shutdown(self, how: int) -> None:
        """As of a socket."""
        carrier: socket.socket = self._stream.get_extra_info("socket")
        carrier.shutdown(how)

    def close(self) -> None:
        """As of a socket."""
        self._stream.close()


@contextlib.contextmanager
def _as_by_sockets() -> Iterator[None]:
    """Raise what a socket would: httpcore's exceptions name it as their context."""
    try:
        yield
    except httpcore.TimeoutException as exc:
        raise TimeoutError(str(exc)) from exc
    except httpcore.NetworkError as exc:
        raise OSError(str(exc)) from exc
