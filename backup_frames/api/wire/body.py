"""The bytes of an answer, unpacked and bounded.

In: an answer whose body is still on the wire. Out: its body without transfer encoding and byte order
mark; never more than `MAX_BODY_BYTES`, however small the bomb.

What begins as gzip is unpacked, whatever the header says: gateways lose headers.

Why not `httpx.Response.iter_bytes`: it stops after the first member of a gzip file, takes
``x-gzip`` for plain bytes, lets a cut body pass, and unpacks a whole chunk before anyone can count.
"""

from __future__ import annotations

import codecs
import itertools
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, cast

import httpx

from ...errors import PageError

MAX_BODY_BYTES: Final = 64 * 2**20
"""Decoded size of one answer at most; beyond it a smaller limit is asked."""

MAX_ERROR_BYTES: Final = 2**20
"""Of a failure's body so much is read at most."""

_STEP_BYTES: Final = 2**20  # unpacked at once
_GZIP, _ZLIB, _RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_MAGIC: Final = b"\x1f\x8b"


class PageTooLargeError(PageError):
    """The answer is larger than `MAX_BODY_BYTES`; fewer rows must be asked."""

    is_retryable = False


def read_body(response: httpx.Response, url: str) -> bytes:
    """Read the whole body.

    Raises:
        PageError: it is packed in a way that was not asked, or does not unpack.
        PageTooLargeError: it is too large.
        httpx.TransportError: the connection broke.
    """
    named = response.headers.get("Content-Encoding", "").lower().split(",")
    encodings = [name for name in map(str.strip, named) if name not in ("", "identity")]
    if encodings not in ([], ["gzip"], ["x-gzip"], ["deflate"]):
        # others can blow up a million times in one step, and were not asked for
        names = ", ".join(encodings)
        raise PageError(f"{url} sent Content-Encoding {names!r}, which was not asked.", url=url)
    chunks: Iterable[bytes]
    if response.is_stream_consumed and not isinstance(response.stream, httpx.ByteStream):
        chunks, encodings = [response.content], []  # a transport has read and unpacked it
    else:
        chunks = cast("httpx.SyncByteStream", response.stream)
    chunks = _unpack(chunks, encodings[0].removeprefix("x-") if encodings else "")
    found: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            if not response.is_success and size > MAX_ERROR_BYTES:
                break
            if size > MAX_BODY_BYTES:
                raise PageTooLargeError(
                    f"{url} sent more than {MAX_BODY_BYTES} bytes for one page. "
                    "Ask for fewer rows by a filter.",
                    url=url,
                )
            found.append(chunk)
    except zlib.error as exc:
        raise PageError(f"{url} sent a body that does not unpack ({exc}).", url=url) from exc
    return b"".join(found).removeprefix(codecs.BOM_UTF8)


def _unpack(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Unpack all members of a gzip file, or one deflate stream with or without zlib's head."""
    parts, first = iter(chunks), b""
    while len(first) < len(_GZIP_MAGIC) and (part := next(parts, None)) is not None:
        first += part  # a byte alone does not tell how it goes on
    chunks = itertools.chain([first], parts)
    is_gzip = encoding == "gzip" or first.startswith(_GZIP_MAGIC)
    if not encoding and not is_gzip:
        yield from chunks
        return
    unpacker, is_begun = zlib.decompressobj(_GZIP if is_gzip else _ZLIB), False
    for chunk in chunks:
        rest, is_more = chunk, bool(chunk)
        while is_more:
            if unpacker.eof:
                # what follows a member is the next one, or padding, which means nothing
                if not (is_gzip and rest.startswith(_GZIP_MAGIC[: len(rest)])):
                    return
                unpacker = zlib.decompressobj(_GZIP)
            try:
                piece = unpacker.decompress(rest, _STEP_BYTES)
            except zlib.error:
                if is_gzip or is_begun:
                    raise
                unpacker = zlib.decompressobj(_RAW)
                piece = unpacker.decompress(rest, _STEP_BYTES)
            is_begun = True
            rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            # a full piece may not be all that its bytes came to
            is_more = bool(rest) or (not unpacker.eof and len(piece) == _STEP_BYTES)
            yield piece
    if is_begun and not unpacker.eof:
        raise zlib.error("it is cut short")
