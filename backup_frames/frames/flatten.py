"""Pages to tables, column by column.

In: response bodies of one project and one level, as bytes. Out: `ArrowFrames`, the three tables of
`schema`. Bodies are joined into batches of about 2 MB (larger ones gain nothing, one page at a time
costs four times as much) and read by pyarrow.json with an explicit schema; nothing walks row by
row. Batches run side by side on the machine's cores: Arrow releases the GIL. Five sixths of the
time are the JSON reader's.

The reader refuses unknown fields, so a batch without any pays nothing to know it; a batch with some
is read again without them while `unknown_fields` collects their text. It also refuses wrong types,
duplicate names, lone surrogates and numbers out of range: the bodies at fault are read again without
these, by `odd_values`. What it lets pass (NaN, invalid UTF-8, two documents in one body) is checked
here. What is no page at all becomes a `SchemaError`, worded by `diagnose`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SchemaError
from .record.diagnose import explain_bodies, explain_value
from .record.extras import EXACT_LIMIT, add_times_as_sent, quote
from .record.fields import ENTRIES, FIELDS, NUMBER, OBJECTS, TEXT, TIMESTAMP
from .record.odd_values import CleanPage, OddValue, clean_page
from .record.pages import is_readable, read_pages
from .record.unknown_fields import collect_extras
from .schema import BACKUP_DATABASES, BACKUP_TABLES, BACKUPS
from .times import read_times

if TYPE_CHECKING:
    import numpy.typing as npt

BATCH_BYTES = 1 << 21

_NUMBERS = [field.path for field in FIELDS if field.type == NUMBER]
_TIMES = sorted(field.path for field in FIELDS if field.type == TIMESTAMP)
_ODD_ENTRY = re.compile(r"database_tables\[(\d+)\](?:\.table_names)?")

_Indices: TypeAlias = "npt.NDArray[np.int64]"


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
    odd_values: list[OddValue] | None = None,
) -> ArrowFrames:
    """Turn response bodies into the three tables.

    Args:
        bodies: pages as sent, ``{"total_count": n, "backups": [...]}``; the total is not judged.
        project_id: the project that was asked, for the column of that name.
        level: the level that was asked (API parameter ``type``), for the column ``backup_level``.
        keep: for each body the positions of the rows to keep, None for all; None keeps all of all.
        odd_values: takes in what was odd in the rows kept: a value of the wrong type, an unreadable
            time, a size that is negative or not finite. It is null in its column, and as sent in
            ``extra``.

    Returns:
        Tables with the schemas of `schema`, rows in the order sent, duplicates included (`deduplicate_frames`
        removes them). Empty tables if there are no rows. ``begin_date`` is the UTC day of
        ``begin_time``; times are UTC; ``size_kb`` is in KB as sent.

    Raises:
        SchemaError: a body is no page (no array, invalid JSON or UTF-8), or a row is no object with
            an id.

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
        read = _Batch(bodies[batch], kept[batch])
        frames = read.flatten(project_id, level)
        if odd_values is not None:
            odd_values.extend(value for _, value in sorted(read.odd, key=itemgetter(0)))
        return frames

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
    """Bodies that are read in one go, and where each of their rows came from.

    Attributes:
        odd: what is odd in the rows kept, each with the row's number among them.
    """

    def __init__(self, bodies: Sequence[bytes], keep: Sequence[Sequence[int] | None]) -> None:
        # A line break is JSON whitespace, or invalid within a string; a tab is the same, but no
        # end of line to the reader.
        self.bodies = [bytes(body).replace(b"\n", b"\t").replace(b"\r", b"\t") for body in bodies]
        self._clean: dict[int, CleanPage] = {}
        try:
            pages, has_unknown = read_pages(self.bodies)
        except pa.ArrowInvalid:
            self._clean_bodies(at for at, body in enumerate(self.bodies) if not is_readable(body))
            pages, has_unknown = self._read_again()
        if odd_sizes := self._take(pages):
            self._clean_bodies(odd_sizes)
            self._take(self._read_again()[0])
        self.extra = self._collect_extras(has_unknown)
        self.odd = [
            (int(self.offsets[at]) + row, value)
            for at, clean in self._clean.items()
            for row, value in clean.odd
        ]
        if any(one is not None for one in keep):
            self._select(keep)

    def flatten(self, project_id: str, level: str) -> ArrowFrames:
        """The three tables of the batch."""
        column = _columns(self.records)
        self._read_times(column)
        count = len(self.records)
        backups = {field.column: column[field.path] for field in FIELDS}
        backups |= {
            "project_id": pa.repeat(pa.scalar(project_id, TEXT), count),
            "backup_level": pa.repeat(pa.scalar(level, TEXT), count),
            "begin_date": pc.cast(column["begin_time"], pa.date32()),
            "database_count": pc.list_value_length(column[ENTRIES]),
            "extra": self.extra if self.extra is not None else pa.nulls(count, TEXT),
        }
        children = _children(backups, column[ENTRIES], self._odd_entries())
        return ArrowFrames(_table(backups, BACKUPS), *children)

    def _odd_entries(self) -> set[tuple[int, int]]:
        """Row and position of the entries whose table names are not known."""
        found = ((row, _ODD_ENTRY.fullmatch(value.field)) for row, value in self.odd)
        return {(row, int(match[1])) for row, match in found if match}

    def _clean_bodies(self, indices: Iterable[int]) -> None:
        for index in indices:
            self._clean[index] = clean_page(self.bodies[index])
            self.bodies[index] = self._clean[index].body

    def _read_again(self) -> tuple[pa.ListArray, bool]:
        try:
            return read_pages(self.bodies)
        except pa.ArrowInvalid as error:
            raise explain_bodies(self.bodies, str(error)) from None

    def _take(self, pages: pa.ListArray) -> list[int]:
        """Take the rows in; refuse those that are none; the bodies with sizes that are none."""
        self.offsets: _Indices = pages.offsets.to_numpy().astype(np.int64)
        self.records: pa.StructArray = pages.flatten()
        if self.records.null_count:
            raise self._error(pc.index(self.records.is_null(), True).as_py(), "")
        ids = self.records.field("id")
        if (row := pc.index(pc.fill_null(pc.not_equal(ids, ""), False), False).as_py()) >= 0:
            raise self._error(row, ".id")
        odd: set[int] = set()
        column = _columns(self.records)
        for name in _NUMBERS:
            is_number = pc.and_(pc.is_finite(column[name]), pc.greater_equal(column[name], 0))
            if not pc.all(is_number, min_count=0).as_py():
                rows = pc.indices_nonzero(pc.invert(is_number)).to_numpy()
                odd.update((np.searchsorted(self.offsets, rows, side="right") - 1).tolist())
        return sorted(odd)

    def _collect_extras(self, has_unknown: bool) -> pa.Array | None:
        column = _columns(self.records)
        for name in _NUMBERS:  # may be a whole number that no double holds
            has_unknown |= (pc.max(column[name]).as_py() or 0.0) >= EXACT_LIMIT
        if not (has_unknown or self._clean):
            return None
        if not self._clean:
            return collect_extras(self.bodies)
        return pa.concat_arrays(
            pa.array(self._clean[at].extras, TEXT)
            if at in self._clean
            else collect_extras([body])
            if has_unknown
            else pa.nulls(int(self.offsets[at + 1] - self.offsets[at]), TEXT)
            for at, body in enumerate(self.bodies)
        )

    def _select(self, keep: Sequence[Sequence[int] | None]) -> None:
        """Keep only these rows of each body."""
        chosen: list[_Indices] = []
        for index, positions in enumerate(keep):
            start, count = self.offsets[index], self.offsets[index + 1] - self.offsets[index]
            rows = np.arange(count) if positions is None else np.asarray(positions, np.int64)
            if rows.size and not 0 <= rows.min() <= rows.max() < count:
                raise ValueError(f"keep names rows of body {index} that it lacks; it has {count}.")
            chosen.append(rows + start)
        rows = np.concatenate(chosen)
        self.records = self.records.take(pa.array(rows))
        self.extra = self.extra.take(pa.array(rows)) if self.extra is not None else None
        number = {row: at for at, row in enumerate(rows.tolist())} if self.odd else {}
        self.odd = [(number[row], value) for row, value in self.odd if row in number]

    def _read_times(self, column: dict[str, pa.Array]) -> None:
        """Put times in the place of their texts; texts they do not give back go into extra."""
        count = len(self.records)
        texts = pa.concat_arrays([column[name] for name in _TIMES])
        times, is_odd, is_unreadable = read_times(texts)
        if is_odd is not None:
            odd = {name: is_odd.slice(at * count, count) for at, name in enumerate(_TIMES)}
            self.extra = add_times_as_sent(self.extra, texts, odd, is_unreadable)
        if is_unreadable is not None:
            for at in pc.indices_nonzero(is_unreadable).to_pylist():
                row, text = at % count, quote(texts[at].as_py())
                backup_id = column["id"][row].as_py()
                self.odd.append((row, OddValue(backup_id, _TIMES[at // count], text)))
        column |= {name: times.slice(at * count, count) for at, name in enumerate(_TIMES)}

    def _error(self, position: int, field: str) -> SchemaError:
        index = int(np.searchsorted(self.offsets, position, side="right")) - 1
        path = f"backups[{position - int(self.offsets[index])}]{field}"
        return explain_value(self.bodies[index], path)


def _columns(records: pa.StructArray) -> dict[str, pa.Array]:
    """The values of a record's fields by path, those of the objects inside it among them."""
    column = dict(zip((field.name for field in records.type), records.flatten(), strict=True))
    for name, inner in OBJECTS.items():
        paths = (f"{name}.{one}" for one in inner)
        column |= zip(paths, column[name].flatten(), strict=True)
    return column


def _children(
    backups: dict[str, pa.Array], entries: pa.ListArray, odd_entries: set[tuple[int, int]]
) -> tuple[pa.Table, pa.Table]:
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
    if odd_entries:
        keys = zip(parents.to_pylist(), positions.to_pylist(), strict=True)
        is_odd = pa.array([key in odd_entries for key in keys])
        databases["is_whole_database"] = pc.if_else(is_odd, None, databases["is_whole_database"])
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
