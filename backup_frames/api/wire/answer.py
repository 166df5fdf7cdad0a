"""An answer: its head, and its body piece by piece.

In: the file of a connection. Out: an `Answer`; or one of httpx's exceptions for what is none, or could
be read in two ways: heads that end too early, lines that are no headers, lengths that contradict each
other, transfer encodings that nobody asked for, a body that ends before its length.

Why not `http.client`: it reads heads as those of e-mails, which took a seventh of a page's processor
time, and lets pass most of what is refused here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import httpx

STEP_BYTES: Final = 2**16
"""Of a body so much is handed out at once."""
_MAX_HEAD_BYTES: Final = 100 * 2**10
"""As httpx's own transport bounds them; no line elsewhere may be longer."""
_SHOWN_BYTES: Final = 200
_NO_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
# Each pattern can go on in one way only: a head of blanks must not keep the processor for minutes.
_STATUS: Final = re.compile(rb"HTTP/(\d\.\d)[ \t]+([1-9]\d\d)(?:[ \t][^\r\n]*)?\r*\n")
_FOLD: Final = re.compile(rb"\r?\n[ \t]+")
_NAME: Final = re.compile(rb"[!-9;-~]+")
_HEX: Final = b"0123456789abcdefABCDEF"


class Answer:
    """What came back to one request.

    Args:
        reader: at the beginning of the answer.
        method: of the request.

    Attributes:
        status: of the answer itself: hints sent before it are passed over.
        headers: names and values as they came, those over several lines in one.

    Raises:
        httpx.RemoteProtocolError: it is no answer of HTTP/1.
    """

    def __init__(self, reader: io.BufferedReader[Any], method: str) -> None:
        self._reader = reader
        version = self._read_head()
        while self.status < 200:
            if self.status == HTTPStatus.SWITCHING_PROTOCOLS:
                raise httpx.RemoteProtocolError("101: another protocol, which was not asked")
            version = self._read_head()
        codings, lengths = self._values(b"transfer-encoding"), set(self._values(b"content-length"))
        if codings not in ([], [b"chunked"]):
            shown = self._show_values(b"transfer-encoding")
            raise httpx.RemoteProtocolError(f"Transfer-Encoding {shown}, which was not asked")
        if len(lengths) > 1 or not all(one.isdigit() and len(one) < 20 for one in lengths):
            shown = self._show_values(b"content-length")
            raise httpx.RemoteProtocolError(f"bad Content-Length: {shown}")
        self._is_chunked = bool(codings)
        self._left_bytes = int(lengths.pop()) if lengths and not codings else None
        if self.status in _NO_BODY or method == "HEAD":
            self._is_chunked, self._left_bytes = False, 0
        wishes = self._values(b"connection")
        self._is_kept = b"close" not in wishes and (version >= b"1.1" or b"keep-alive" in wishes)

    @property
    def may_go_on(self) -> bool:
        """Whether the answer is read to its end, and its connection takes another request."""
        return self._is_kept and self._left_bytes == 0

    def read_pieces(self) -> Iterator[bytes]:
        """The body as it arrives.

        Raises:
            httpx.RemoteProtocolError: it ended too early, or its chunks are none.
        """
        if self._is_chunked:
            yield from _read_chunks(self._reader)
            self._left_bytes = 0
        elif self._left_bytes is None:
            while piece := self._reader.read1(STEP_BYTES):
                yield piece
        received = 0
        while self._left_bytes:
            piece = self._reader.read1(min(self._left_bytes, STEP_BYTES))
            if not piece:
                raise httpx.RemoteProtocolError(
                    "peer closed connection without sending complete message body "
                    f"(received {received} bytes, expected {received + self._left_bytes})"
                )
            received += len(piece)
            self._left_bytes -= len(piece)
            yield piece

    def _read_head(self) -> bytes:
        """Take in status and headers; the version."""
        line = _read_line(self._reader)
        if not line:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        found = _STATUS.fullmatch(line)
        if not found:
            raise httpx.RemoteProtocolError(f"no answer of HTTP/1.1: {_show(line)}")
        self.status = int(found[2])
        lines, left_bytes = [], _MAX_HEAD_BYTES - len(line)
        while (line := _read_line(self._reader, left_bytes)) not in (b"\r\n", b"\n"):
            if not line.endswith(b"\n"):
                raise httpx.RemoteProtocolError("the answer ended within its head")
            lines.append(line)
            left_bytes -= len(line)
        unfolded = _FOLD.sub(b" ", b"".join(lines)).split(b"\n")
        self.headers = [_read_header(one.removesuffix(b"\r")) for one in unfolded[:-1]]
        return found[1]

    def _values(self, header: bytes) -> list[bytes]:
        """What a header lists, each in small letters."""
        return [part.strip().lower() for one in self._raw(header) for part in one.split(b",")]

    def _show_values(self, header: bytes) -> str:
        return _show(b", ".join(self._raw(header)))

    def _raw(self, header: bytes) -> list[bytes]:
        return [value for name, value in self.headers if name.lower() == header]


def _read_header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    if len(name) == len(line) or not _NAME.fullmatch(name) or b"\r" in value or b"\0" in value:
        raise httpx.RemoteProtocolError(f"illegal header line: {_show(line)}")
    return name, value.strip(b" \t")


def _read_chunks(reader: io.BufferedReader[Any]) -> Iterator[bytes]:
    while size := _read_size(reader):
        while size:
            piece = reader.read1(min(size, STEP_BYTES))
            if not piece:
                raise _bad_chunk()
            size -= len(piece)
            yield piece
        if reader.readline(3) != b"\r\n":
            raise _bad_chunk()
    while (line := _read_line(reader)) not in (b"\r\n", b"\n"):  # a trailer, perhaps
        if not line:
            raise _bad_chunk()


def _read_size(reader: io.BufferedReader[Any]) -> int:
    line = _read_line(reader)
    size = line.partition(b";")[0].strip()
    if not line.endswith(b"\n") or not size or size.strip(_HEX):
        raise _bad_chunk()
    return int(size, 16)


def _bad_chunk() -> httpx.RemoteProtocolError:
    return httpx.RemoteProtocolError(
        "peer closed connection without sending complete message body (incomplete chunked read)"
    )


def _read_line(reader: io.BufferedReader[Any], left_bytes: int = _MAX_HEAD_BYTES) -> bytes:
    line = reader.readline(left_bytes + 1)
    if len(line) > left_bytes:
        raise httpx.RemoteProtocolError(f"a head, or a line, of more than {_MAX_HEAD_BYTES} bytes")
    return line


def _show(text: bytes) -> str:
    """A short text whole: in a part of one nobody would find a secret that the server echoed."""
    return repr(text)[1:] if len(text) <= _SHOWN_BYTES else f"{len(text)} bytes"
