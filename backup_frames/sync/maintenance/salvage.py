"""What a damaged partition still holds, put together with what the service knows.

In: the bytes of damaged files, and the service's rows. Out: tables to merge into, as good as can
be, and words for what is lost. Pages carry checksums: a flipped bit costs one column of one file.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...errors import LakeError
from ...frames.partitions import open_parquet, partition_keys
from ...frames.schema import LEDGER_FIELDS, LEDGER_SCHEMAS, TIMESTAMP
from ...lake.ledger.merge import LedgerTables
from ...scan.ranges import Grain
from .check import CHILD_COUNTS, PARENT_KEYS, find_miscounted
from .flips import check_pages

_FAILURES: Final = (LakeError, pa.ArrowException, OSError, OverflowError, ValueError, KeyError)
_NEEDED: Final = {
    "backups": ("backup_id",),
    "backup_databases": LEDGER_SCHEMAS["backup_databases"].names,  # in part they are worth nothing
    "backup_tables": LEDGER_SCHEMAS["backup_tables"].names,
}
_LEDGER_NAMES: Final = tuple(field.name for field in LEDGER_FIELDS)
# Without these a backup that the service no longer has belongs nowhere.
_PLACING: Final = frozenset({"begin_time", "begin_date", "backup_level"})


class Salvage(NamedTuple):
    """Rows of a damaged file; columns that could not be read are null and named in `lost`."""

    rows: pa.Table
    lost: tuple[str, ...]


def salvage_table(data: bytes | None, table: str) -> Salvage | None:
    """The rows of a file as far as they can be trusted; None if they are worth nothing."""
    schema = LEDGER_SCHEMAS[table]
    columns, lost = [], []
    if check_pages(data or b"").is_fatal:
        return None
    try:
        file = open_parquet(data or b"")
        count = int(file.metadata.num_rows)
        for field in schema:
            column = _read_column(file, field, count)
            if column is None and field.name in _NEEDED[table]:
                return None
            if column is None:
                lost.append(field.name)
            columns.append(pa.nulls(count, field.type) if column is None else column)
    except _FAILURES:
        return None
    return Salvage(pa.Table.from_arrays(columns, schema=schema), tuple(lost))


def is_of_partition(saved: Salvage, partition: date, grain: Grain, project_id: str) -> bool:
    """Whether the rows can be that partition's: another file may stand in the damaged one's place.

    A column that could not be read does not speak against it.
    """
    days, projects = set(), set()
    if "begin_date" not in saved.lost:
        days = set(partition_keys(saved.rows, grain).to_pylist())
    if "project_id" not in saved.lost:
        projects = set(saved.rows["project_id"].to_pylist())
    return days <= {partition} and projects <= {project_id}


def complete_backups(
    saved: Salvage | None, fresh: pa.Table, *, project_id: str, as_of: datetime
) -> tuple[pa.Table, list[str]]:
    """The saved rows, lost columns filled from the service's rows; and what nobody knows any more.

    A lost history (``first_seen_at``, ``updated_at``) begins anew at `as_of`.
    """
    if saved is None:
        return LEDGER_SCHEMAS["backups"].empty_table(), []
    rows, problems = saved.rows, []
    at = pc.index_in(rows["backup_id"], value_set=fresh["backup_id"])
    for name in saved.lost:
        if name in _LEDGER_NAMES:
            stamp = pa.scalar(None if name == "gone_at" else as_of, TIMESTAMP)
            column = pa.repeat(stamp, len(rows))
        elif name == "project_id":
            column = pa.repeat(pa.scalar(project_id), len(rows))
        else:
            column = fresh[name].take(at)
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), column)
    if len(rows) and (history := [name for name in saved.lost if name in _LEDGER_NAMES]):
        problems.append(f"{', '.join(history)} of {len(rows)} backups begin anew with this repair.")
    facts = [name for name in saved.lost if name not in (*_LEDGER_NAMES, "project_id")]
    left = pc.sum(at.is_null()).as_py() or 0
    if facts and left:
        is_placed = not _PLACING.intersection(facts)
        what = f"have no {', '.join(facts)} any more" if is_placed else "are lost"
        problems.append(f"{left} backups that the service no longer has {what}.")
        rows = rows if is_placed else rows.filter(at.is_valid())
    return rows, problems


def fit_children(tables: LedgerTables) -> tuple[LedgerTables, dict[str, int]]:
    """Make children fit: where a parent's are lost it counts none, orphans are dropped.

    Returns:
        The tables, and by table for how many parents that had to be done.
    """
    parents, fitted, lost = tables.backups, {}, {}
    for name in ("backup_databases", "backup_tables"):
        children = getattr(tables, name)
        wrong = find_miscounted(parents, children, name)
        lost[name] = wrong.num_rows
        key = PARENT_KEYS[name]
        place = parents.schema.get_field_index(CHILD_COUNTS[name])
        count = pc.if_else(_is_among(parents, wrong, key), None, parents.column(place))
        fitted[name] = parents.set_column(place, parents.schema.field(place), count)
        parents = children.filter(pc.invert(_is_among(children, wrong, key)))
    return LedgerTables(fitted["backup_tables"], parents, fitted["backup_databases"]), lost


def _is_among(rows: pa.Table, keys: pa.Table, key: list[str]) -> pa.ChunkedArray:
    texts = [
        pc.binary_join_element_wise(*(table[name].cast(pa.string()) for name in key), "\n")
        for table in (rows, keys)
    ]
    return pc.is_in(texts[0], value_set=texts[1])


def _read_column(file: pq.ParquetFile, field: pa.Field, count: int) -> pa.Array | None:
    """One column if its pages are intact."""
    try:
        column = file.read(columns=[field.name], use_threads=False).column(field.name)
        column = column.cast(field.type).combine_chunks()
        column.validate(full=True)
    except _FAILURES:
        return None
    return column if len(column) == count else None
