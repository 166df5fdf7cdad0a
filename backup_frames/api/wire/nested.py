"""TLS inside TLS: to a host through a proxy that is itself reached by TLS.

In: a connection by TLS. Out: another within it, as far as `Connection` asks it of a socket. The
standard library wraps no TLS into TLS by itself, but gives the bytes of one to carry.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar

_STEP_BYTES: Final = 2**16

T = TypeVar("T")


class NestedTls:
    """A connection by TLS within another.

    Args:
        outer: the one that carries it.
        context: for the inner one.
        host: at its other end.
        left_s: seconds left for what is under way; raises TimeoutError if there are none.
    """

    def __init__(
        self,
        outer: ssl.SSLSocket,
        context: ssl.SSLContext,
        host: str,
        left_s: Callable[[], float],
    ) -> None:
        self._outer = outer
        self._left_s = left_s
        self._come, self._go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._come, self._go, server_hostname=host)
        self._carry(self._tls.do_handshake)
        self.settimeout = outer.settimeout
        self.fileno = outer.fileno
        self.shutdown = outer.shutdown
        self.close = outer.close

    def recv_into(self, buffer: Any) -> int:
        """As of a socket."""
        try:
            piece = self._carry(lambda: self._tls.read(len(buffer)))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0  # what was announced and is missing is seen by who counts
        buffer[: len(piece)] = piece
        return len(piece)

    def sendall(self, data: bytes) -> None:
        """As of a socket."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._carry(lambda: self._tls.write(rest)) :]  # noqa: B023 - called at once

    def pending(self) -> int:
        """Bytes that came and were not read yet."""
        return self._tls.pending() + self._come.pending

    def _carry(self, step: Callable[[], T]) -> T:
        """Take a step, carrying what it has to say and what it waits for."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                self._outer.settimeout(self._left_s())
                if piece := self._outer.recv(_STEP_BYTES):
                    self._come.write(piece)
                else:
                    self._come.write_eof()
            finally:
                self._flush()

    def _flush(self) -> None:
        if piece := self._go.read():
            self._outer.settimeout(self._left_s())
            self._outer.sendall(piece)
