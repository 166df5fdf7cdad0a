"""Partitions: which day a row belongs to, what its file is called, and the bytes in it.

In: tables. Out: tables by date, paths relative to the lake, Parquet bytes. No disk here. A
partition is one date of one table and one project; the date is the UTC day of ``begin_time`` (or
the first of its month), 1970-01-01 for rows without. It stands in the path only: as a column inside
too, readers would disagree about it.

The same rows give the same bytes, whatever order they come in: rows are sorted, chunks are joined,
and the writer's settings follow from them. Chosen by measurement on days of 30 to 3,000 backups:
snappy (zstd: a quarter smaller, twice the time), dictionaries only where values repeat (on all
columns: 14 % larger, 17 % slower) and only from 64 rows on (below: no smaller, 15 % slower), page
checksums, one row group per 128 Ki rows.
"""

from __future__ import annotations

import atexit
import os
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..api.query import check_project_id
from ..errors import LakeError, QueryError
from .deduplicate import sort_table
from .flatten import ArrowFrames

#: Where rows without begin time go.
NO_DATE = date(1970, 1, 1)

# What a file may decode to at most: the rows it should have, or so many (a thousand times a large
# day), each of so many bytes; a schema of so many columns.
_MAX_ROWS, _ROW_BYTES, _SPARE_BYTES, _MAX_PARTS = 1 << 22, 1 << 14, 1 << 27, 1 << 12
# Encodings in which a text takes as much room as in memory.
_PLAIN = frozenset({"PLAIN", "RLE", "BIT_PACKED"})
# Columns whose values do not repeat within a file: a dictionary would only be in the way.
_DISTINCT = frozenset(
    {"backup_id", "name", "begin_time", "end_time", "size_kb", "table_index", "extra", "run_id"}
)
_FEW_ROWS, _GROUP_ROWS = 64, 1 << 17  # a file of fewer has no dictionaries; rows of a row group

# Of the process for files that nobody vouches for: what its answer is, and the length of what follows.
_ROWS, _REFUSAL = 0, 1
_ANSWER, _LENGTH = struct.Struct(">BQ"), struct.Struct(">Q")
_process_lock = threading.Lock()
_process: subprocess.Popen[bytes] | None = None

_WRITER: Final[Mapping[str, Any]] = {
    "version": "2.6",
    "compression": "snappy",
    "write_page_checksum": True,
}

#: What bytes depend on beside rows and schema: two writers that say the same give the same bytes.
ENCODER: Final = (
    f"pyarrow {pa.__version__} {sorted(_WRITER.items())} {sorted(_DISTINCT)} from {_FEW_ROWS}, "
    f"groups of {_GROUP_ROWS}"
)


def partition_path(table_name: str, partition: date, project_id: str) -> str:
    """Path of a partition's file, relative to the lake.

    Example:
        >>> partition_path("backups", date(2026, 1, 31), "p1")
        'backups/date=2026-01-31/p1.parquet'
    """
    return f"{table_name}/date={partition.isoformat()}/{check_project_id(project_id)}.parquet"


def partition_keys(table: pa.Table, grain: str = "day") -> pa.Array:
    """The partition of each row, as date32: day or month of ``begin_date``, `NO_DATE` if null."""
    if grain not in ("day", "month"):
        raise QueryError(f"Partition grain {grain!r} is unknown. Choose 'day' or 'month'.")
    days = pc.fill_null(table["begin_date"].combine_chunks(), pa.scalar(NO_DATE, pa.date32()))
    return pc.cast(pc.floor_temporal(days, unit="month"), pa.date32()) if grain == "month" else days


def split_table(table: pa.Table, grain: str = "day") -> dict[date, pa.Table]:
    """The rows of each partition that has any, oldest partition first.

    Rows keep their order within a partition. Cost: slices, no copy, if the rows already come
    partition by partition; one copy otherwise.
    """
    keys = partition_keys(table, grain).view(pa.int32()).to_numpy()
    if (keys[1:] < keys[:-1]).any():
        order = np.argsort(keys, kind="stable")
        table, keys = table.take(pa.array(order)).combine_chunks(), keys[order]
    days, starts = np.unique(keys, return_index=True)
    ends = np.append(starts[1:], len(keys))
    dates = pa.array(days).view(pa.date32()).to_pylist()
    return {
        day: table.slice(start, end - start)
        for day, start, end in zip(dates, starts, ends[: len(starts)], strict=True)
    }


def split_by_date(frames: ArrowFrames, grain: str = "day") -> dict[date, ArrowFrames]:
    """The three tables of each partition that has a backup, oldest first.

    A partition without databases or tables has them empty, with their schema: each partition is
    always three files, so that a reader of ``backup_tables`` finds files where there are backups,
    and rows that went away leave no old file behind.
    """
    parts = [split_table(table, grain) for table in frames]
    empty = [table.slice(0, 0) for table in frames]
    return {
        day: ArrowFrames(*(part.get(day, none) for part, none in zip(parts, empty, strict=True)))
        for day in sorted({day for part in parts for day in part})
    }


def encode_table(table: pa.Table) -> bytes:
    """The bytes of a file with these rows; the same rows in another order give the same bytes.

    Field metadata goes along. Bytes differ between releases of pyarrow, which signs its files.
    """
    return encode_sorted(sort_table(table))


def encode_sorted(table: pa.Table) -> bytes:
    """The bytes of a file with rows that are in `sort_table`'s order already."""
    sink = pa.BufferOutputStream()
    is_small = table.num_rows < _FEW_ROWS
    repeating = not is_small and [name for name in table.column_names if name not in _DISTINCT]
    with pq.ParquetWriter(sink, table.schema, use_dictionary=repeating, **_WRITER) as writer:
        writer.write_table(table, row_group_size=_GROUP_ROWS)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode_table(data: bytes, *, rows: int | None = None) -> pa.Table:
    """The rows of a file, with its schema and field metadata; page checksums are checked.

    Args:
        data: the file.
        rows: how many it may have; None if nobody knows. A file of a few bytes can claim to be
            billions of rows: it is refused before it is decoded.

    Raises:
        LakeError: the bytes are no intact Parquet file, or would decode to far more than they may.
    """
    with open_parquet(data, rows=rows) as file, explained(data):
        wide = _wide_columns(file.metadata, rows)
        if not wide:
            return file.read(use_threads=False)
        schema = file.schema_arrow
    with explained(data), _open(data, read_dictionary=wide) as file:
        return _unfold(file.read(use_threads=False), schema, data, rows)


def decode_apart(data: bytes) -> pa.Table:
    """The rows of a file that nobody vouches for, as `decode_table` gives them.

    They are read in a process of its own, which is this module as a program: on some damaged files
    pyarrow ends it. It is started for the first such file, for a third of a second, and serves all
    that follow; one that a file has ended is replaced. Files and answers come behind their length.

    Raises:
        LakeError: the bytes are no intact Parquet file, or would decode to far more than they may.
    """
    with _process_lock:
        try:
            kind, answer = _ask(data)
        except (BrokenPipeError, EOFError):
            _end()
            raise LakeError(
                f"A file of {len(data)} bytes is so damaged that reading it ends the process that "
                "does. Run verify --repair to read its partition again."
            ) from None
        except BaseException:  # half a question is no use to the next one
            _end()
            raise
    if kind == _REFUSAL:
        raise LakeError(answer.decode())
    return unpack_table(answer)


def _ask(data: bytes) -> tuple[int, bytes]:
    global _process  # noqa: PLW0603 - one for all stores of this process
    if _process is None or _process.poll() is not None:
        _process = subprocess.Popen(  # noqa: S603 - this module, by this interpreter
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},  # it finds what this found
            process_group=0,  # Ctrl-C ends this program, and not a file
        )
        atexit.register(_end)
    there, back = _process.stdin, _process.stdout
    assert there is not None and back is not None  # noqa: S101, PT018 - both are pipes
    there.write(_LENGTH.pack(len(data)) + data)
    there.flush()
    kind, length = _ANSWER.unpack(_read(back, _ANSWER.size))
    return kind, _read(back, length)


def _end() -> None:
    global _process  # noqa: PLW0603 - likewise
    if _process is not None:
        _process.kill()
        _process.communicate()
    _process = None


def _forget() -> None:
    """A forked process starts one of its own: who held the lock may not be in it."""
    global _process, _process_lock
    _process, _process_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def _read(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _serve() -> None:
    """Answer until nobody asks any more."""
    while head := sys.stdin.buffer.read(_LENGTH.size):
        data = sys.stdin.buffer.read(*_LENGTH.unpack(head))
        try:
            kind, answer = _ROWS, pack_table(decode_table(data)).to_pybytes()
        except LakeError as error:
            kind, answer = _REFUSAL, str(error).encode()
        sys.stdout.buffer.write(_ANSWER.pack(kind, len(answer)) + answer)
        sys.stdout.buffer.flush()


def pack_table(table: pa.Table, compression: str | None = None) -> pa.Buffer:
    """The rows as `unpack_table` takes them, far sooner than as a file."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    return sink.getvalue()


def unpack_table(packed: bytes | pa.Buffer) -> pa.Table:
    """The rows of `pack_table`."""
    with pa.ipc.open_stream(packed) as stream:
        return stream.read_all()


def open_parquet(data: bytes, *, rows: int | None = None) -> pq.ParquetFile:
    """A file to be read column by column, once its footer does not claim too much.

    Raises:
        LakeError: as `decode_table` does.
    """
    with explained(data):
        file = _open(data)
    metadata, limit = file.metadata, _MAX_ROWS if rows is None else rows
    chunks = [
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    ]
    groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    claims = (metadata.num_rows, sum(groups), *(chunk.num_values for chunk in chunks))
    sizes = [chunk.total_uncompressed_size for chunk in chunks]
    if min((*claims, *groups, *sizes, 0)) < 0 or max(claims) > limit:
        raise _too_much(data, f"{max(claims):,} values in a column", f"{limit:,} rows")
    if sum(sizes) > _most_bytes(rows):
        raise _too_much(data, f"{sum(sizes):,} bytes", f"{_most_bytes(rows):,}")
    return file


@contextmanager
def explained(data: bytes) -> Iterator[None]:
    """Turn what Arrow raises about a file into a `LakeError`."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: of a name
        raise LakeError(
            f"A file of {len(data)} bytes is not an intact Parquet file: {error}. "
            "Run verify --repair to read its partition again."
        ) from error


def _open(data: bytes, **options: Any) -> pq.ParquetFile:
    return pq.ParquetFile(
        pa.BufferReader(data),
        page_checksum_verification=True,
        thrift_container_size_limit=_MAX_PARTS,
        **options,
    )


def _wide_columns(metadata: pq.FileMetaData, rows: int | None) -> list[str]:
    """Columns of texts that could decode to more than they may: one long text, many times."""
    worst = Counter[str]()
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            if chunk.physical_type == "BYTE_ARRAY" and not _PLAIN.issuperset(chunk.encodings):
                worst[chunk.path_in_schema] += chunk.num_values * chunk.total_uncompressed_size
    return [name for name, size in worst.items() if size * len(worst) > _most_bytes(rows)]


def _unfold(table: pa.Table, schema: pa.Schema, data: bytes, rows: int | None) -> pa.Table:
    """The table with its dictionaries spelled out, if that is not too much."""
    size = 0
    for column in table.columns:
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
            size += pc.sum(lengths.cast(pa.int64())).as_py() or 0
    if size > _most_bytes(rows):
        raise _too_much(data, f"{size:,} bytes of text", f"{_most_bytes(rows):,}")
    return table.cast(schema)


def _most_bytes(rows: int | None) -> int:
    return _SPARE_BYTES + _ROW_BYTES * (_MAX_ROWS if rows is None else rows)


def _too_much(data: bytes, found: str, most: str) -> LakeError:
    return LakeError(
        f"A file of {len(data)} bytes would decode to {found}, and may to {most} at most: it is "
        "damaged, or was made to exhaust memory. Run verify --repair to read its partition again."
    )


if __name__ == "__main__":
    _serve()
