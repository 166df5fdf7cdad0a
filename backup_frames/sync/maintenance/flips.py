"""A single flipped bit, undone: what storage does to a file now and then, no read of it need cost.

In: the bytes of a damaged file, and the sha256 that it was written with. Out: the bytes as they were
written, if one bit is all that differs. Every bit is tried, the likely ones first: those of pages
that fail their checksum, then from the end of the file, where its description is.

Which pages fail is found out in a process of its own (this module as a program: a file on stdin, a line
for each column at fault on stdout): on some damaged descriptions pyarrow ends its process.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

MAX_HASHED_BYTES: Final = 1 << 33
"""So much is hashed before the search is given up: ten seconds to a minute. A file of 45 KB is searched
whole, of a larger one the pages that fail their checksum, as far as this goes."""

_BLOCK_BYTES: Final = 4096


class PageCheck(NamedTuple):
    """Where the columns lie whose pages fail, and whether reading them ended the process."""

    failing: list[tuple[int, int]]
    is_fatal: bool


def undo_flip(data: bytes, sha256: str) -> bytes | None:
    """The bytes with that sha256 that differ from `data` in one bit; None if none is found."""
    wanted, view = bytes.fromhex(sha256), memoryview(data)
    left = MAX_HASHED_BYTES
    for begin, end in _likely_stretches(data):
        left -= 8 * (end - begin) * (len(data) - begin)
        if left < 0:
            return None
        before = hashlib.sha256(view[:begin])
        for at in range(begin, end):
            for bit in range(8):
                byte = bytes([data[at] ^ 1 << bit])
                trial = before.copy()  # what comes before is hashed once
                trial.update(byte)
                trial.update(view[at + 1 :])
                if trial.digest() == wanted:
                    return data[:at] + byte + data[at + 1 :]
            before.update(view[at : at + 1])
    return None


def _likely_stretches(data: bytes) -> Iterator[tuple[int, int]]:
    yield from check_pages(data).failing
    for end in range(len(data), 0, -_BLOCK_BYTES):
        yield max(end - _BLOCK_BYTES, 0), end


def check_pages(data: bytes) -> PageCheck:
    """Read a damaged file's columns in a process of its own; if that ends, what it had found."""
    done = subprocess.run(  # noqa: S603 - this module, by this interpreter
        [sys.executable, "-P", "-m", __name__],
        input=data,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},  # it finds what this one found
        check=False,
    )
    lines = (line.split() for line in done.stdout.splitlines())
    return PageCheck([(int(begin), int(end)) for begin, end in lines], done.returncode < 0)


def _failing_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the columns lie whose pages fail; nothing if the file's description cannot be read."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        return
    for group in range(file.metadata.num_row_groups):
        columns = file.metadata.row_group(group)
        for number in range(columns.num_columns):
            chunk = columns.column(number)
            begin = min(chunk.dictionary_page_offset or len(data), chunk.data_page_offset)
            end = begin + chunk.total_compressed_size
            try:
                file.read_row_group(group, columns=[chunk.path_in_schema], use_threads=False)
            except (pa.ArrowException, OSError, ValueError, OverflowError):
                if 0 <= begin < end <= len(data):
                    yield begin, end


if __name__ == "__main__":
    for chunk in _failing_chunks(sys.stdin.buffer.read()):
        sys.stdout.write(f"{chunk[0]} {chunk[1]}\n")
        sys.stdout.flush()  # what follows may end the process
