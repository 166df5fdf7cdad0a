"""What the ledger becomes when a fresh read meets it: pure, column by column, no I/O.

In: one partition's tables as they are stored, the rows just read for it, what that read proves
to be whole, and its moment. Out: the tables as they should be, what changed, and which present
rows the read should have shown but did not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...frames.deduplicate import sort_table
from ...frames.schema import BACKUPS, LEDGER_FIELDS, LEDGER_SCHEMAS, TIMESTAMP
from ...scan.ranges import Span, merge_spans

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...frames.flatten import ArrowFrames

_FIRST_SEEN_AT, _UPDATED_AT, _GONE_AT = LEDGER_FIELDS


class LedgerTables(NamedTuple):
    """Rows of the three tables, in any order."""

    backup_databases: pa.Table
    backup_tables: pa.Table
    backups: pa.Table


EMPTY_LEDGER: Final = LedgerTables(*(schema.empty_table() for schema in LEDGER_SCHEMAS.values()))


@dataclass(frozen=True)
class Proof:
    """What a read proves: inside it, a backup that the read lacks is not on the list.

    Attributes:
        spans: per level the seconds that were read whole, merged (`merge_spans`).
        untimed: levels of which all rows without begin time were read.
    """

    spans: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    untimed: Collection[str] = ()


def join_proofs(proofs: Iterable[Proof]) -> Proof:
    """What reads of several partitions prove together."""
    spans = defaultdict[str, list[Span]](list)
    untimed = set[str]()
    for proof in proofs:
        untimed.update(proof.untimed)
        for level, some in proof.spans.items():
            spans[level] += some
    return Proof({level: merge_spans(some) for level, some in spans.items()}, untimed)


@dataclass(frozen=True)
class Merge:
    """What a fresh read makes of a partition; all but `tables` are arrays of backup ids.

    Attributes:
        tables: the partition as it should be stored; nothing is marked gone yet.
        new: the ledger did not know them.
        changed: a column of the API, or a child row, is not as it was.
        returned: they were marked gone and are back.
        child_changed: those of `changed` whose own row is as it was; only children show it.
        absent: present in the ledger, not in the read, though the proof covers them.
    """

    tables: LedgerTables
    new: pa.Array
    changed: pa.Array
    returned: pa.Array
    child_changed: pa.Array
    absent: pa.Array

    @property
    def is_unchanged(self) -> bool:
        """Whether the partition needs no write."""
        return not (len(self.new) or len(self.changed) or len(self.returned))


def merge_fresh(
    stored: LedgerTables,
    fresh: ArrowFrames,
    proof: Proof,
    *,
    as_of: datetime,
    known_changed: Collection[str] = (),
) -> Merge:
    """Merge the rows just read into a partition's stored ones.

    A new backup gets ``first_seen_at = updated_at = as_of``; one that changed gets a new
    ``updated_at``; one that was gone and is back gets ``gone_at`` null. Rows the read lacks stay
    as they are: whether they are gone is for `mark_gone`, once the whole run is proven.

    Args:
        stored: what the lake holds; `EMPTY_LEDGER` if it holds nothing.
        fresh: all rows the read showed for this partition, each backup once (`deduplicate_frames`).
        proof: what of the partition the read proves to be whole.
        as_of: the moment before the read's first request.
        known_changed: ids whose children an earlier, unfinished run already replaced, so that
            comparing no longer shows the change.
    """
    rows = fresh.backups.combine_chunks()
    ids = rows["backup_id"]
    if len(rows) and not len(stored.backups):
        nobody = pa.array([], pa.string())
        # Children that a run which died left without parents are not taken along.
        tables = _add_fresh(EMPTY_LEDGER, fresh, _with_history(rows, as_of))
        return Merge(tables, ids.combine_chunks(), nobody, nobody, nobody, nobody)
    old = stored.backups.combine_chunks()
    before = old.take(pc.index_in(ids, value_set=old["backup_id"]))  # nulls where it is new
    is_new = before["backup_id"].is_null()
    has_own_change = _differs(rows, before)
    has_child_change = pc.or_(
        pc.is_in(ids, value_set=_differing_children(stored, fresh, ids)),
        pc.is_in(ids, value_set=pa.array(sorted(known_changed), pa.string())),
    )
    is_changed = pc.and_not(pc.or_(has_own_change, has_child_change), is_new)
    kept = without(old, ids)
    merge = Merge(
        tables=stored,
        new=_picked(ids, is_new),
        changed=_picked(ids, is_changed),
        returned=_picked(ids, before["gone_at"].is_valid()),
        child_changed=_picked(ids, pc.and_not(is_changed, has_own_change)),
        absent=_picked(kept["backup_id"], _is_absent(kept, proof)),
    )
    if merge.is_unchanged:
        return merge
    stamp = pa.scalar(as_of, TIMESTAMP)
    first_seen_at = pc.coalesce(before["first_seen_at"], stamp)
    updated_at = pc.if_else(pc.or_(is_new, is_changed), stamp, before["updated_at"])
    remaining = LedgerTables(
        without(stored.backup_databases, ids), without(stored.backup_tables, ids), kept
    )
    history = _with_history(rows, as_of, first_seen_at, updated_at)
    return replace(merge, tables=_add_fresh(remaining, fresh, history))


def first_seen(frames: ArrowFrames, *, as_of: datetime) -> LedgerTables:
    """What the ledger holds of backups that it never saw: tables sorted, of any number of partitions."""
    tables = _add_fresh(EMPTY_LEDGER, frames, _with_history(frames.backups, as_of))
    return LedgerTables(*map(sort_table, tables))


def mark_gone(backups: pa.Table, ids: pa.Array, *, as_of: datetime) -> pa.Table:
    """A partition's `backups` with ``gone_at`` set on those of `ids` that are present."""
    gone_at = backups["gone_at"]
    is_hit = pc.and_(pc.is_in(backups["backup_id"], value_set=ids), gone_at.is_null())
    at = backups.schema.get_field_index("gone_at")
    marked = pc.if_else(is_hit, pa.scalar(as_of, TIMESTAMP), gone_at)
    return backups.set_column(at, _GONE_AT, marked)


def begin_seconds(backups: pa.Table) -> npt.NDArray[np.int64]:
    """The whole second in which each row began; 0 where there is no begin time."""
    times = backups["begin_time"]
    if times.null_count:
        times = pc.fill_null(times.cast(pa.int64()), 0)
    micros = times.to_numpy().view(np.int64)
    return np.asarray(micros // 1_000_000)


def _is_absent(kept: pa.Table, proof: Proof) -> pa.Array:
    """Which of the rows that the read lacks are present in the ledger and inside the proof."""
    has_begin, begin_s = _mask(kept["begin_time"].is_valid()), begin_seconds(kept)
    is_proven = np.zeros(len(kept), dtype=bool)
    for level in proof.spans.keys() | set(proof.untimed):
        is_at_level = _mask(pc.equal(kept["backup_level"], level))
        if level in proof.untimed:
            is_proven |= is_at_level & ~has_begin
        spans = np.array(proof.spans.get(level, ()), dtype=np.int64).reshape(-1, 2)
        if len(spans):
            at = np.searchsorted(spans[:, 0], begin_s, side="right") - 1
            is_inside = (at >= 0) & (begin_s < spans[at, 1])
            is_proven |= is_at_level & has_begin & is_inside
    return pa.array(is_proven & _mask(kept["gone_at"].is_null()))


def _differs(rows: pa.Table, before: pa.Table) -> pa.ChunkedArray:
    """Row by row: whether any column of the API differs; null equals null."""
    differs = pa.chunked_array([np.zeros(len(rows), dtype=bool)])
    for name in BACKUPS.names:
        new, old = rows[name], before[name]
        if new.equals(old):
            continue  # nearly always: one call instead of six
        is_same = pc.fill_null(pc.equal(new, old), False)
        is_same = pc.or_(is_same, pc.and_(new.is_null(), old.is_null()))
        differs = pc.or_(differs, pc.invert(is_same))
    return differs


def _differing_children(stored: LedgerTables, fresh: ArrowFrames, ids: pa.ChunkedArray) -> pa.Array:
    """Those of `ids` that the ledger knows and whose stored and fresh children differ."""
    found = [pa.array([], pa.string())]
    known_ids = stored.backups["backup_id"]
    pairs = ((stored.backup_databases, fresh.databases), (stored.backup_tables, fresh.tables))
    for stored_rows, fresh_rows in pairs:
        old = stored_rows.filter(pc.is_in(stored_rows["backup_id"], value_set=ids))
        new = fresh_rows.filter(pc.is_in(fresh_rows["backup_id"], value_set=known_ids))
        if old.equals(new):
            continue
        old_keys, new_keys = _row_keys(old), _row_keys(new)
        found.append(_picked(old["backup_id"], pc.invert(pc.is_in(old_keys, value_set=new_keys))))
        found.append(_picked(new["backup_id"], pc.invert(pc.is_in(new_keys, value_set=old_keys))))
    return pa.concat_arrays(found)


def _row_keys(table: pa.Table) -> pa.ChunkedArray:
    """One text per row, equal exactly if all columns are: each value behind its length."""
    parts = []
    for column in table.columns:
        text = column.cast(pa.string())
        length = pc.fill_null(pc.binary_length(text).cast(pa.string()), "null")
        parts += [length, pc.fill_null(text, "")]
    return pc.binary_join_element_wise(*parts, ":")


def _with_history(
    rows: pa.Table,
    as_of: datetime,
    first_seen_at: pa.ChunkedArray | None = None,
    updated_at: pa.ChunkedArray | None = None,
) -> pa.Table:
    """The service's rows with the ledger's columns: seen now, unless something else is known."""
    now = pa.repeat(pa.scalar(as_of, TIMESTAMP), len(rows))
    return (
        rows.append_column(_FIRST_SEEN_AT, now if first_seen_at is None else first_seen_at)
        .append_column(_UPDATED_AT, now if updated_at is None else updated_at)
        .append_column(_GONE_AT, pa.nulls(len(rows), TIMESTAMP))
    )


def _add_fresh(remaining: LedgerTables, fresh: ArrowFrames, backups: pa.Table) -> LedgerTables:
    """The stored rows that remain, and below them the fresh ones, under the lake's schemas."""
    return LedgerTables(
        _joined(remaining.backup_databases, fresh.databases),
        _joined(remaining.backup_tables, fresh.tables),
        _joined(remaining.backups, backups),
    )


def _joined(remaining: pa.Table, fresh: pa.Table) -> pa.Table:
    if not fresh.num_rows:
        return remaining
    columns = fresh.select(remaining.schema.names).columns
    fresh = pa.Table.from_arrays(columns, schema=remaining.schema)  # with its metadata
    return pa.concat_tables([remaining, fresh]) if remaining.num_rows else fresh


def without(rows: pa.Table, ids: pa.ChunkedArray | pa.Array) -> pa.Table:
    """The rows of all other backups."""
    return rows.filter(pc.invert(pc.is_in(rows["backup_id"], value_set=ids)))


def _picked(values: pa.ChunkedArray, is_wanted: pa.ChunkedArray | pa.Array) -> pa.Array:
    return values.filter(is_wanted).combine_chunks()


def _mask(values: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(values, dtype=bool)
