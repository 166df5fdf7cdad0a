"""A run's hands on the ledger: partition by partition while it reads, then what is gone.

In: fresh partitions, a writer, the state. Out: partitions staged for writing, the state's counts
brought up to them, and the tally of what changed. A backup that is listed elsewhere than it is stored
moves there with its history: its new partition is durable before the old one lets go of it, so that a
death between leaves it twice till the next run, never nowhere. Nothing is marked gone before the end,
when the whole read is proven and the deletion guard does not hold. What cannot be read is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..api.query import LEVELS
from ..frames.flatten import concat_frames
from ..frames.partitions import NO_DATE, split_table
from ..lake.ledger.collect import FreshPartition
from ..lake.ledger.counts import count_present
from ..lake.ledger.identity import (
    Hashes,
    StoredIds,
    drop_ids,
    drop_rows,
    hash_ids,
    join_rows,
    pick_ids,
    pick_rows,
)
from ..lake.ledger.merge import LedgerTables, first_seen, join_proofs, mark_gone, merge_fresh
from ..lake.ledger.metadata import State
from ..lake.ledger.recovery import DamagedFileError, count_first, recount_partitions
from ..lake.ledger.writer import LakeWriter, return_memory
from ..scan.plan import to_moment

GUARD_SHARE: Final = 0.2
GUARD_COUNT: Final = 20
"""More than this share and more than this number at once looks like a fault, not like expiry."""
GUARD_LEVEL_COUNT: Final = 5
"""Of one level more than this number, and all of them: its list alone may come empty by a fault."""

GUARD_ADVICE: Final = (
    "So many at once looks like a fault, so none was marked gone; if it is right, run again with "
    "allow_mass_deletion=True."
)

GROUP_ROWS: Final = 20_000
"""Rows of partitions that are compared in one go: a handful of arrays, whatever the list's size."""

_NOBODY: Final = pa.array([], pa.string())


def looks_like_a_fault(count: int, before: int, left: int) -> bool:
    """Whether `count` of `before` are not believed to be gone: a mass of them, or all, so none is left."""
    is_mass = count > GUARD_COUNT and count > GUARD_SHARE * before
    return is_mass or (count > 0 and left == 0)


@dataclass
class Tally:
    """What the run has found so far.

    `first_seen_now` counts the present rows of this very moment: the new ones, and those that a
    run which died at the same moment has written.
    """

    new: int = 0
    changed: int = 0
    returned: int = 0
    gone: int = 0
    held_back: int = 0
    first_seen_now: int = 0
    absent: dict[date, pa.Array] = field(default_factory=dict)


class LedgerMerge:
    """One run's merge.

    Args:
        writer: reads stored partitions and stages new ones.
        state: its days and counts follow the merge.
        as_of_s: the run's moment.

    Attributes:
        tally: what was found.
        damaged: what is wrong with partitions that could not be read, and so were left alone.
        done: partitions that were merged.
    """

    def __init__(self, writer: LakeWriter, state: State, as_of_s: int) -> None:
        self.tally = Tally()
        self.damaged = dict[date, DamagedFileError]()
        self.done = set[date]()
        self._writer = writer
        self._records = writer.records
        self._state = state
        self._grain = writer.records.grain
        self._as_of_s = as_of_s
        self._as_of = to_moment(as_of_s)
        self._stored_ids = StoredIds(state.ids)
        # Backups that may be stored twice: of a run that died, and what this one finds new or absent.
        announced = (state.ids.get(day.isoformat(), b"") for day in self._records.announced)
        self._doubtful: list[Hashes] = [np.frombuffer(ids, "<u4") for ids in announced]
        self._listed = list[pa.Array]()  # seen for partitions that cannot be read
        self._is_first = self._records.is_listed and not self._records.manifest.files

    def add_all(self, read: Iterable[FreshPartition]) -> None:
        """Merge partitions; of a lake's first read all that are new in one go, and what is unchanged."""
        first, known, known_rows = list[FreshPartition](), list[FreshPartition](), 0
        for fresh in read:
            is_new = self._is_first and fresh.partition not in {NO_DATE, *self.done}
            if is_new and fresh.pieces:
                first.append(fresh)
            else:
                known.append(fresh)
                known_rows += fresh.row_count
                if known_rows > GROUP_ROWS:
                    self._add_known(known)
                    known, known_rows = [], 0
        self._add_known(known)
        if first and not self._add_first(first):
            for fresh in first:
                self.add(fresh)
        return_memory()

    def _add_known(self, known: list[FreshPartition]) -> None:
        """Compare partitions with what is stored in one go, and merge each one that changed."""
        stored = dict[date, LedgerTables]()
        for fresh in known if len(known) > 1 else ():
            partition, ids = fresh.partition, fresh.fresh.backups["backup_id"]
            is_seen = partition in {NO_DATE, *self.done, *self.tally.absent, *stored}
            is_doubtful = is_seen or partition in self._records.child_changed
            if not is_doubtful and not self._stored_ids.elsewhere(partition, ids):
                with suppress(DamagedFileError):  # `add` will meet it again
                    stored[partition] = self._writer.load(partition)
        compared = [fresh for fresh in known if fresh.partition in stored]
        calm = self._find_unchanged(compared, stored) if compared else {}
        if calm:
            recount_partitions(self._state, calm, self._grain, self._as_of_s)
            self.tally.first_seen_now += self._count_first_seen(pa.concat_tables(calm.values()))
            self.done.update(calm)
        for fresh in known:
            if calm.pop(fresh.partition, None) is None:
                self.add(fresh)

    def _find_unchanged(
        self, read: list[FreshPartition], stored: Mapping[date, LedgerTables]
    ) -> dict[date, pa.Table]:
        """The stored `backups` of those partitions that the read shows just as they are."""
        merge = merge_fresh(
            LedgerTables(*map(pa.concat_tables, zip(*stored.values(), strict=True))),
            concat_frames([fresh.fresh for fresh in read]),
            join_proofs(fresh.proof for fresh in read),
            as_of=self._as_of,
        )
        touched = pa.concat_arrays([merge.new, merge.changed, merge.returned, merge.absent])
        calm = dict[date, pa.Table]()
        for fresh in read:
            backups = stored[fresh.partition].backups
            ids = [*fresh.fresh.backups["backup_id"].chunks, *backups["backup_id"].chunks]
            is_touched = any(pc.any(pc.is_in(one, value_set=touched)).as_py() for one in ids)
            if not len(touched) or not is_touched:
                calm[fresh.partition] = backups
        return calm

    def _add_first(self, first: list[FreshPartition]) -> bool:
        """Take partitions that have nothing to be merged with; False if a backup is in them twice."""
        frames = concat_frames([piece for fresh in first for piece in fresh.pieces])
        count = frames.backups.num_rows
        if pc.count_distinct(frames.backups["backup_id"]).as_py() < count:
            return False
        for fresh in first:
            fresh.pieces.clear()  # a month may have 100,000 rows: not twice at once
        tables = first_seen(frames, as_of=self._as_of)
        del frames
        return_memory()
        split = {name: split_table(table, self._grain) for name, table in tables._asdict().items()}
        hashes = count_first(self._state, split["backups"], tables.backups, self._as_of_s)
        del tables
        self._doubtful.append(hashes)
        for partition in list(split["backups"]):
            rows = {name: of.pop(partition) for name, of in split.items() if partition in of}
            self._writer.stage(partition, rows, is_sorted=True)
            self.done.add(partition)
        self.tally.new += count
        self.tally.first_seen_now += count
        return True

    def add(self, fresh: FreshPartition) -> None:
        """Merge what was read of a partition; remember which of its rows are absent."""
        partition, tally, ids = fresh.partition, self.tally, fresh.fresh.backups["backup_id"]
        try:
            stored = self._writer.load(partition)
        except DamagedFileError as error:
            self.damaged[partition] = error
            self._listed.append(ids.combine_chunks())
            return
        moving = self._find_elsewhere(partition, ids)
        for rows in moving.values():
            stored = join_rows(stored, rows)
        merge = merge_fresh(
            stored,
            fresh.fresh,
            fresh.proof,
            as_of=self._as_of,
            known_changed=self._records.child_changed.get(partition, ()),
        )
        backups = merge.tables.backups
        if moving or not merge.is_unchanged:
            changed = merge.child_changed.to_pylist()
            self._writer.stage(partition, merge.tables._asdict(), changed)
        self._recount(partition, backups)
        for other, rows in moving.items():
            self._let_go(other, rows.backups["backup_id"])
        tally.new += len(merge.new)
        tally.changed += len(merge.changed)
        tally.returned += len(merge.returned)
        tally.first_seen_now += self._count_first_seen(backups)
        self._doubtful += [hash_ids(merge.new), hash_ids(merge.absent)]
        known = drop_ids(tally.absent.pop(partition, _NOBODY), ids)
        if len(absent := pa.concat_arrays([known, merge.absent]).unique()):
            tally.absent[partition] = absent
        self.done.add(partition)

    def resolve_doubles(self) -> None:
        """Of backups stored twice keep the row that changed last, where anything gave cause."""
        stored = StoredIds(self._state.ids)
        shared = stored.shared(self._doubtful)
        # Of a million ids a hundred pairs share a hash: each partition is read once, not once a pair.
        held = dict[date, pa.Array]()
        for one, two in stored.doubled([shared]):
            try:
                for day in {one, two} - held.keys():
                    held[day] = pick_ids(self._writer.load_one("backups", day)["backup_id"], shared)
                if pc.any(pc.is_in(held[one], value_set=held[two])).as_py():
                    self._resolve(one, two)
            except DamagedFileError:
                continue  # the next run that can read both does it
        for partition, absent in list(self.tally.absent.items()):
            for listed in self._listed:
                absent = drop_ids(absent, listed)  # noqa: PLW2901 - step by step
            self.tally.absent[partition] = absent
        self.tally.absent = {day: ids for day, ids in self.tally.absent.items() if len(ids)}

    def foresee(self) -> State:
        """The state as it will be once what is absent is marked gone."""
        now = self._state
        state = State(now.project_id, None, dict(now.days), dict(now.untimed), ids=dict(now.ids))
        for partition in self.tally.absent:
            backups = self.load_backups(partition)
            recount_partitions(state, {partition: backups}, self._grain, self._as_of_s)
        return state

    def load_backups(self, partition: date) -> pa.Table:
        """A partition's `backups`, what is absent marked gone."""
        backups = self._writer.load_one("backups", partition)
        absent = self.tally.absent.get(partition, _NOBODY)
        return mark_gone(backups, absent, as_of=self._as_of) if len(absent) else backups

    def mark_absent(self, *, allow_mass_deletion: bool) -> str | None:
        """Mark all absent rows gone, or none if they are too many.

        Args:
            allow_mass_deletion: never too many.

        Returns:
            Why the deletion guard holds, None if it does not.
        """
        present, left = count_present(self._state), count_present(self.foresee())
        count = sum(map(len, self.tally.absent.values()))
        held = None if allow_mass_deletion else self._why_held(count, present, left)
        if held is not None:
            self.tally.held_back = count
            return f"{held} no longer listed. {GUARD_ADVICE}"
        for partition in sorted(self.tally.absent):
            backups = self.load_backups(partition)
            self._writer.stage(partition, {"backups": backups})
            self._recount(partition, backups)
        self.tally.gone = count
        return None

    def _why_held(
        self, count: int, present: Mapping[str, int], left: Mapping[str, int]
    ) -> str | None:
        # What is absent was there before, even if this moment's run that died first saw it.
        before = max(sum(present.values()) - self.tally.first_seen_now, count)
        if looks_like_a_fault(count, before, sum(left.values())):
            return f"{count:,} of {before:,} present backups are"
        for level in LEVELS:
            if present[level] > GUARD_LEVEL_COUNT and not left[level]:
                return f"All {present[level]:,} present backups of level {level} are"
        return None

    def _find_elsewhere(self, partition: date, ids: pa.ChunkedArray) -> dict[date, LedgerTables]:
        """The rows that other partitions hold of these backups."""
        found = dict[date, LedgerTables]()
        for other in sorted(self._stored_ids.elsewhere(partition, ids)):
            try:
                known = self._writer.load_one("backups", other)["backup_id"]
                if pc.any(pc.is_in(known, value_set=ids)).as_py():
                    found[other] = pick_rows(self._writer.load(other), ids)
            except DamagedFileError as error:
                self.damaged[other] = error
        return found

    def _let_go(self, partition: date, ids: pa.ChunkedArray) -> None:
        """Take rows out of a partition that live elsewhere now, once they are durable there."""
        self._writer.flush()
        tables = drop_rows(self._writer.load(partition), ids)
        self._writer.stage(partition, tables._asdict())
        self._recount(partition, tables.backups)
        if partition in self.tally.absent:
            self.tally.absent[partition] = drop_ids(self.tally.absent[partition], ids)

    def _resolve(self, one: date, two: date) -> None:
        """Of the backups that two partitions hold, let one of them go: of ties the second."""
        first, second = (self._writer.load_one("backups", day) for day in (one, two))
        at = pc.index_in(first["backup_id"], value_set=second["backup_id"])
        is_newer = pc.less(first["updated_at"], second["updated_at"].take(at))
        for keep, drop, is_lost in ((two, one, is_newer), (one, two, pc.invert(is_newer))):
            ids = first["backup_id"].filter(pc.and_(at.is_valid(), is_lost))
            if len(ids):
                kept = join_rows(self._writer.load(keep), pick_rows(self._writer.load(drop), ids))
                self._writer.stage(keep, kept._asdict())
                self._recount(keep, kept.backups)
                self._let_go(drop, ids)

    def _count_first_seen(self, backups: pa.Table) -> int:
        is_first = pc.equal(backups["first_seen_at"], self._as_of)
        return pc.sum(pc.and_(is_first, backups["gone_at"].is_null())).as_py() or 0

    def _recount(self, partition: date, backups: pa.Table) -> None:
        recount_partitions(self._state, {partition: backups}, self._grain, self._as_of_s)
