"""Partitions: which day a row belongs to, what its file is called, and the bytes in it.

In: tables. Out: tables by date, paths relative to the lake, Parquet bytes. No disk here. A
partition is one date of one table and one project; the date is the UTC day of ``begin_time`` (or
the first of its month), 1970-01-01 for rows without. It stands in the path only: as a column inside
too, readers would disagree about it.

The same rows give the same bytes, whatever order they come in: rows are sorted, chunks are joined,
and the writer's settings are fixed. Chosen by measurement on days of 30 to 3,000 backups: snappy
(zstd: a quarter smaller, twice the time), dictionaries only where values repeat (on all columns:
14 % larger, 17 % slower), page checksums, one row group per 128 Ki rows.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..api.query import check_project_id
from ..errors import LakeError, QueryError
from .flatten import ArrowFrames
from .settle import sort_table

#: Where rows without begin time go.
NO_DATE = date(1970, 1, 1)

#: Folder of each table of `ArrowFrames`, in its order.
FRAME_TABLES = ("backups", "backup_databases", "backup_tables")

# Columns whose values do not repeat within a file: a dictionary would only be in the way.
_DISTINCT = frozenset(
    {"backup_id", "name", "begin_time", "end_time", "size_kb", "table_index", "extra", "run_id"}
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
    sink = pa.BufferOutputStream()
    pq.write_table(
        sort_table(table),
        sink,
        row_group_size=1 << 17,
        version="2.6",
        compression="snappy",
        use_dictionary=[name for name in table.column_names if name not in _DISTINCT],
        write_page_checksum=True,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode_table(data: bytes) -> pa.Table:
    """The rows of a file, with its schema and field metadata; page checksums are checked.

    Raises:
        LakeError: the bytes are no intact Parquet file.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            return file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise LakeError(
            f"A file of {len(data)} bytes is not an intact Parquet file: {error}. "
            "Run verify --repair to read its partition again."
        ) from error
