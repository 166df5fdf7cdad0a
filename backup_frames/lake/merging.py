"""A run's hands on the ledger: partition by partition while it reads, then what is gone.

In: fresh partitions, a writer, the state. Out: partitions staged for writing, the state's counts
brought up to them, and the tally of what changed. Nothing is marked gone before the end, since
only then is it known that the whole read is proven and that the brake does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from backup_frames.frames.partitions import NO_DATE
from backup_frames.scan.plan import to_moment

from .collect import FreshPartition
from .documents import State
from .ledger import mark_gone, merge_fresh
from .records import ProjectRecords, recount_partition
from .spans import Grain
from .undated import UndatedRows
from .writer import LakeWriter

BRAKE_SHARE: Final = 0.2
BRAKE_COUNT: Final = 20
"""More than this share and more than this number at once looks like a fault, not like expiry."""


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
        records: the project's.
        state: its days and counts follow the merge.
        grain: how the lake is cut.
        as_of_s: the run's moment.
    """

    def __init__(
        self, writer: LakeWriter, records: ProjectRecords, state: State, grain: Grain, as_of_s: int
    ) -> None:
        self.tally = Tally()
        self._writer = writer
        self._records = records
        self._state = state
        self._grain = grain
        self._as_of_s = as_of_s
        self._as_of = to_moment(as_of_s)
        self._undated = self._open_undated()

    def add(self, fresh: FreshPartition) -> None:
        """Merge what was read of a partition; remember which of its rows are absent."""
        partition, tally = fresh.partition, self.tally
        stored = self._writer.load(partition)
        if self._undated is not None and partition != NO_DATE:
            stored = self._undated.join(stored, fresh.fresh.backups["backup_id"])
        merge = merge_fresh(
            stored,
            fresh.fresh,
            fresh.proof,
            as_of=self._as_of,
            known_changed=self._records.child_changed.get(partition, ()),
        )
        backups = merge.tables.backups
        if not merge.is_unchanged:
            changed = merge.child_changed.to_pylist()
            self._writer.stage(partition, merge.tables._asdict(), changed)
        self._recount(partition, backups)
        tally.new += len(merge.new)
        tally.changed += len(merge.changed)
        tally.returned += len(merge.returned)
        is_first = pc.equal(backups["first_seen_at"], self._as_of)
        is_first = pc.and_(is_first, backups["gone_at"].is_null())
        tally.first_seen_now += pc.sum(is_first).as_py() or 0
        if len(merge.absent):
            tally.absent[partition] = merge.absent

    def settle(self, *, present: int, allow_mass_deletion: bool) -> str | None:
        """Mark all absent rows gone, or none if they are too many.

        Args:
            present: backups present in the ledger, the absent ones included.
            allow_mass_deletion: never too many.

        Returns:
            Why the brake holds, None if it does not.
        """
        self._settle_moved()
        count = sum(map(len, self.tally.absent.values()))
        before = present - self.tally.first_seen_now
        is_much = count > BRAKE_COUNT and count > BRAKE_SHARE * before
        if is_much and not allow_mass_deletion:
            self.tally.held_back = count
            return (
                f"{count:,} of {before:,} present backups are no longer listed. So many at once "
                "looks like a fault, so none was marked gone; if it is right, run again with "
                "--allow-mass-deletion."
            )
        for partition, ids in sorted(self.tally.absent.items()):
            stored = self._writer.load_one("backups", partition)
            backups = mark_gone(stored, ids, as_of=self._as_of)
            self._writer.stage(partition, {"backups": backups})
            self._recount(partition, backups)
        self.tally.gone = count
        return None

    def _open_undated(self) -> UndatedRows | None:
        """The stored rows without begin time; None if there are none, as nearly always."""
        is_known = self._records.state is not None
        is_stored = NO_DATE in self._records.partitions()
        if not is_stored or (is_known and not self._state.unknown_begin):
            return None
        undated = UndatedRows(self._writer.load(NO_DATE))
        for partition in self._records.announced - {NO_DATE}:  # by a run that died
            undated.note(self._writer.load_one("backups", partition)["backup_id"])
        return undated

    def _settle_moved(self) -> None:
        """Take rows whose begin time became known out of the partition of those without."""
        if self._undated is None or not self._undated.has_moved:
            return
        tables = self._undated.without_moved(self._writer.load(NO_DATE))
        self._writer.stage(NO_DATE, tables._asdict())
        self._recount(NO_DATE, tables.backups)
        absent = self.tally.absent.pop(NO_DATE, pa.array([], pa.string()))
        absent = absent.filter(pc.is_in(absent, value_set=tables.backups["backup_id"]))
        if len(absent):
            self.tally.absent[NO_DATE] = absent

    def _recount(self, partition: date, backups: pa.Table) -> None:
        recount_partition(self._state, partition, self._grain, backups, self._as_of_s)
