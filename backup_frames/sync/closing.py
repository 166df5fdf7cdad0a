"""Before any backup is marked gone: is it listed elsewhere by now?

In: a merge with absent backups, and the reader. Out: reads of what the service counts otherwise than
the ledger is about to, until they agree. A backup whose begin time was set to another day or to null
while the list was read, or since the last sync, is found this way instead of being called gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from ..api.query import LEVELS
from ..lake.ledger.collect import PartitionCollector
from ..lake.ledger.counts import (
    Forecast,
    Seconds,
    StateMismatchError,
    count_present,
    seconds_of_day,
)
from ..lake.ledger.recovery import ProjectRecords
from ..scan.ranges import Span, around_partition, merge_spans, partition_of, subtract_spans
from .apply import LedgerMerge
from .planning.changes import find_changed_spans
from .planning.reader import Reader

ROUNDS: Final = 3
"""A list that is still found changed after so many reads changes too fast."""


def confirm_absences(
    reader: Reader,
    merge: LedgerMerge,
    records: ProjectRecords,
    *,
    head_s: int,
    unproven: Sequence[Span],
) -> str | None:
    """Read on until nothing that is absent can be on the list.

    Costs nothing if nothing is absent; else two requests on a list that stands still.

    Args:
        reader: counts and reads.
        merge: what was read so far; more is merged into it.
        records: the project's.
        head_s: where the head begins, in which backups may start at any time.
        unproven: spans that no reading could prove: their counts say nothing.

    Returns:
        Why nothing may be marked gone, None if all may.
    """
    is_read, grain = False, records.grain
    for _ in range(ROUNDS):
        merge.resolve_doubles()
        if not merge.tally.absent:
            return None
        state = merge.foresee()
        if not merge.damaged and count_present(state) == {
            level: reader.count_all(level) for level in LEVELS
        }:
            return None
        left_out = [*unproven, *(around_partition(day, grain) for day in merge.damaged)]
        counted = subtract_spans([(reader.begin_floor_s, head_s)], merge_spans(left_out))

        def load(day: date) -> Mapping[str, Seconds]:
            return seconds_of_day(merge.load_backups(partition_of(day, grain)), day)

        try:
            changed = find_changed_spans(reader, Forecast(state, load), counted)
        except StateMismatchError as error:
            return str(error)
        if is_read and not changed:
            return None  # what differs began after the head was read
        spans = merge_spans([*changed, (head_s, max(reader.end_ceiling_s, head_s + 1))])
        collector = PartitionCollector(
            spans, is_full=True, stored=records.partitions(), grain=grain
        )
        for fresh in collector.gather((*reader.scan(spans), *reader.scan_untimed())):
            merge.add(fresh)
        is_read = True
    return "The list was found changed again and again, so nothing was marked gone."
