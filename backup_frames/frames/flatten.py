"""Pages to tables, column by column.

In: response bodies of one project and one level, as bytes. Out: `ArrowFrames`, the three tables of
`schema`. Bodies are joined into batches of about 2 MB (larger ones gain nothing, one page at a time
costs four times as much) and read by pyarrow.json with an explicit schema; nothing walks row by
row. Batches run side by side on the machine's cores: Arrow releases the GIL. Five sixths of the
time are the JSON reader's.

The reader refuses unknown fields, so a batch without any pays nothing to know it; a batch with some
is read again without them while `extras` collects their text. It also refuses wrong types,
duplicate names, lone surrogates and numbers out of range; what it lets pass (NaN, invalid UTF-8,
two documents in one body) is checked here. What is refused becomes a `SchemaError`, worded by
`diagnose`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from ..errors import SchemaError
from .diagnose import explain_bodies, explain_value
from .extras import EXACT_LIMIT, add_texts_as_sent, collect_extras
from .schema import BACKUP_DATABASES, BACKUP_TABLES, BACKUPS
from .times import EXPECTED, first_unreadable, read_times

BATCH_BYTES = 1 << 21

_TEXT = pa.string()
_ENTRY = pa.struct([("database_name", _TEXT), ("table_names", pa.list_(_TEXT))])
_RECORD = pa.struct(
    [
        ("id", _TEXT),
        ("name", _TEXT),
        ("instance_id", _TEXT),
        ("instance_name", _TEXT),
        ("datastore", pa.struct([("type", _TEXT), ("version", _TEXT)])),
        ("type", _TEXT),
        ("begin_time", _TEXT),
        ("end_time", _TEXT),
        ("status", _TEXT),
        ("size", pa.float64()),
        ("description", _TEXT),
        ("database_tables", pa.list_(_ENTRY)),
    ]
)
_PAGE = pa.schema([("total_count", pa.int64()), ("backups", pa.list_(_RECORD))])

_Indices = npt.NDArray[np.int64]


class ArrowFrames(NamedTuple):
    """The three tables of one set of backups, as of `schema`."""

    backups: pa.Table
    databases: pa.Table
    tables: pa.Table


@cache  # not a constant: making an array loads pandas
def empty_frames() -> ArrowFrames:
    """The three tables without a row."""
    return ArrowFrames(
        BACKUPS.empty_table(), BACKUP_DATABASES.empty_table(), BACKUP_TABLES.empty_table()
    )


def flatten_pages(
    bodies: Sequence[bytes],
    *,
    project_id: str,
    level: str,
    keep: Sequence[Sequence[int] | None] | None = None,
) -> ArrowFrames:
    """Turn response bodies into the three tables.

    Args:
        bodies: pages as sent, ``{"total_count": n, "backups": [...]}``; the total is not judged.
        project_id: the project that was asked, for the column of that name.
        level: the level that was asked (API parameter ``type``), for the column ``backup_level``.
        keep: for each body the positions of the rows to keep, None for all; None keeps all of all.

    Returns:
        Tables with the schemas of `schema`, rows in the order sent, duplicates included (`settle_frames`
        removes them). Empty tables if there are no rows. ``begin_date`` is the UTC day of
        ``begin_time``; times are UTC; ``size_kb`` is in KB as sent.

    Raises:
        SchemaError: a body is no page, or a value outside the API's reference page, naming both the
            backup and the field: a wrong type, a missing id, an unreadable time, a size that is not
            finite, invalid UTF-8, a lone surrogate, a name twice in one object.

    Example:
        >>> page = b'{"total_count": 1, "backups": [{"id": "b1", "size": 2803}]}'
        >>> flatten_pages([page], project_id="p1", level="Instance").backups["size_kb"].to_pylist()
        [2803.0]
    """
    kept = keep if keep is not None else [None] * len(bodies)
    if len(kept) != len(bodies):
        raise ValueError(
            f"keep names {len(kept)} bodies, but there are {len(bodies)}; give one each."
        )

    def flatten_slice(batch: slice) -> ArrowFrames:
        return _Batch(bodies[batch], kept[batch]).flatten(project_id, level)

    batches = list(_slices(bodies))
    if len(batches) < 2:
        return concat_frames([flatten_slice(batch) for batch in batches])
    with ThreadPoolExecutor(min(len(batches), os.cpu_count() or 1)) as pool:
        return concat_frames(list(pool.map(flatten_slice, batches)))


def concat_frames(frames: Sequence[ArrowFrames]) -> ArrowFrames:
    """The rows of all, in the order given; no copy. Empty tables if there are none."""
    tables = zip(empty_frames(), *frames, strict=True)
    return ArrowFrames(*(_concat_rows(empty, pieces) for empty, *pieces in tables))


def _concat_rows(empty: pa.Table, pieces: Sequence[pa.Table]) -> pa.Table:
    held = [piece for piece in pieces if piece.num_rows]
    return pa.concat_tables(held) if held else empty


def _slices(bodies: Sequence[bytes]) -> Iterator[slice]:
    start = size = 0
    for index, body in enumerate(bodies):
        if size and size + len(body) > BATCH_BYTES:
            yield slice(start, index)
            start, size = index, 0
        size += len(body)
    if start < len(bodies):
        yield slice(start, len(bodies))


class _Batch:
    """Bodies that are read in one go, and where each of their rows came from."""

    def __init__(self, bodies: Sequence[bytes], keep: Sequence[Sequence[int] | None]) -> None:
        # A line break is JSON whitespace, or invalid within a string; a tab is the same, but no
        # end of line to the reader.
        self.bodies = [bytes(body).replace(b"\n", b"\t").replace(b"\r", b"\t") for body in bodies]
        pages, has_unknown = self._read()
        self.offsets: _Indices = pages.offsets.to_numpy().astype(np.int64)
        self.records: pa.StructArray = pages.flatten()
        self.rows: _Indices | None = None
        is_inexact = self._check_rows()
        self.extra = collect_extras(self.bodies) if has_unknown or is_inexact else None
        if any(one is not None for one in keep):
            self._select(keep)

    def flatten(self, project_id: str, level: str) -> ArrowFrames:
        """The three tables of the batch."""
        names = [field.name for field in _RECORD]
        column = dict(zip(names, self.records.flatten(), strict=True))
        begin_times, end_times = self._read_times(column)
        datastore_type, datastore_version = column["datastore"].flatten()
        count = len(self.records)
        backups = {
            "project_id": pa.repeat(pa.scalar(project_id, _TEXT), count),
            "backup_id": column["id"],
            "name": column["name"],
            "description": column["description"],
            "instance_id": column["instance_id"],
            "instance_name": column["instance_name"],
            "datastore_type": datastore_type,
            "datastore_version": datastore_version,
            "backup_type": column["type"],
            "backup_level": pa.repeat(pa.scalar(level, _TEXT), count),
            "status": column["status"],
            "size_kb": column["size"],
            "begin_time": begin_times,
            "end_time": end_times,
            "begin_date": pc.cast(begin_times, pa.date32()),
            "database_count": pc.list_value_length(column["database_tables"]),
            "extra": self.extra if self.extra is not None else pa.nulls(count, _TEXT),
        }
        return ArrowFrames(_table(backups, BACKUPS), *_children(backups, column["database_tables"]))

    def _read(self) -> tuple[pa.ListArray, bool]:
        """The pages' lists of records, and whether any holds a field that is not known."""
        texts = [body.strip() for body in self.bodies]
        if not all(text.startswith(b"{") and text.endswith(b"}") for text in texts):
            raise explain_bodies(self.bodies, "no object")
        joined = b"\n".join(self.bodies)
        has_unknown = False
        try:
            pa.array([joined], pa.large_binary()).cast(pa.large_string())  # checks the UTF-8
            try:
                pages = _parse(joined, "error")
            except pa.ArrowInvalid:
                pages = _parse(joined, "ignore")
                has_unknown = True
        except pa.ArrowInvalid as error:
            raise explain_bodies(self.bodies, str(error)) from None
        lists: pa.ListArray = pages.column("backups").combine_chunks()
        if len(lists) != len(self.bodies) or lists.null_count:
            raise explain_bodies(self.bodies, "another number of pages than bodies")
        return lists, has_unknown

    def _check_rows(self) -> bool:
        """Refuse what Arrow lets pass; say whether a size may be a whole number beyond doubles."""
        if self.records.null_count:
            raise self._error(pc.index(self.records.is_null(), True).as_py(), "")
        ids, sizes = self.records.field("id"), self.records.field("size")
        if (row := pc.index(pc.fill_null(pc.not_equal(ids, ""), False), False).as_py()) >= 0:
            raise self._error(row, ".id")
        if (row := pc.index(pc.is_finite(sizes), False).as_py()) >= 0:
            raise self._error(row, ".size")
        span = pc.min_max(sizes)
        low, high = span["min"].as_py() or 0.0, span["max"].as_py() or 0.0
        return bool(max(-low, high) >= EXACT_LIMIT)

    def _select(self, keep: Sequence[Sequence[int] | None]) -> None:
        """Keep only these rows of each body."""
        chosen: list[_Indices] = []
        for index, positions in enumerate(keep):
            start, count = self.offsets[index], self.offsets[index + 1] - self.offsets[index]
            rows = np.arange(count) if positions is None else np.asarray(positions, np.int64)
            if rows.size and not 0 <= rows.min() <= rows.max() < count:
                raise ValueError(f"keep names rows of body {index} that it lacks; it has {count}.")
            chosen.append(rows + start)
        self.rows = np.concatenate(chosen)
        if len(self.rows) < len(self.records):
            self.records = self.records.take(pa.array(self.rows))
            self.extra = self.extra.take(pa.array(self.rows)) if self.extra is not None else None

    def _read_times(self, column: dict[str, pa.Array]) -> tuple[pa.Array, pa.Array]:
        """Begin and end times, read as one column; texts in an odd notation go into the extras."""
        texts = {name: column[name] for name in ("begin_time", "end_time")}
        both, count = pa.concat_arrays(texts.values()), len(self.records)
        try:
            times, is_odd = read_times(both)
        except SchemaError:
            row = first_unreadable(both)
            name = "begin_time" if row < count else "end_time"
            raise self._error(row % count, f".{name}", EXPECTED) from None
        if is_odd is not None:
            odd = {"begin_time": is_odd.slice(0, count), "end_time": is_odd.slice(count)}
            self.extra = add_texts_as_sent(self.extra, texts, odd)
        return times.slice(0, count), times.slice(count)

    def _error(self, row: int, field: str, expected: str | None = None) -> SchemaError:
        position = int(row if self.rows is None else self.rows[row])
        index = int(np.searchsorted(self.offsets, position, side="right")) - 1
        path = f"backups[{position - int(self.offsets[index])}]{field}"
        return explain_value(self.bodies[index], path, expected)


def _parse(joined: bytes, unexpected: str) -> pa.Table:
    """Read one batch as a single block: one chunk, no copy, on the calling thread."""
    return pyarrow.json.read_json(
        pa.BufferReader(joined),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(joined) + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=_PAGE, unexpected_field_behavior=unexpected
        ),
    )


def _children(backups: dict[str, pa.Array], entries: pa.ListArray) -> tuple[pa.Table, pa.Table]:
    """The tables below `backups`: one row per entry, and one per table name."""
    if not len(entries.values):
        return empty_frames().databases, empty_frames().tables
    parents, positions = _parents(entries)
    names, table_lists = entries.flatten().flatten()
    databases = {
        name: backups[name].take(parents) for name in ("project_id", "backup_id", "begin_date")
    }
    databases |= {
        "database_index": positions,
        "database_name": names,
        "table_count": pc.list_value_length(table_lists),
        "is_whole_database": table_lists.is_null(),
    }
    owners, table_positions = _parents(table_lists)
    tables = {
        name: databases[name].take(owners)
        for name in ("project_id", "backup_id", "begin_date", "database_index", "database_name")
    }
    tables |= {"table_index": table_positions, "table_name": table_lists.flatten()}
    return _table(databases, BACKUP_DATABASES), _table(tables, BACKUP_TABLES)


def _table(columns: dict[str, pa.Array], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _parents(lists: pa.ListArray) -> tuple[pa.Array, pa.Array]:
    """For each value of the lists: the row it belongs to, and its position there."""
    parents = pc.list_parent_indices(lists)
    rows = parents.to_numpy()
    starts = np.searchsorted(rows, rows, side="left")
    return parents, pa.array((np.arange(len(rows)) - starts).astype(np.int32))
