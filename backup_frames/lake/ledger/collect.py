"""From a stream of parts to partitions: rows wait here only until their partition is whole.

In: what was asked and parts in any order. Out: each partition once, with all its fresh rows and
what the read proves about it, as soon as its share of the spans is covered at both levels. Memory
holds the partitions that parts have begun and not yet ended, whatever the size of the list; what
waits long, as in a month of 100,000 backups, waits compressed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ...api.query import LEVELS
from ...frames.deduplicate import drop_duplicates
from ...frames.flatten import ArrowFrames, concat_frames
from ...frames.partitions import NO_DATE, pack_table, split_by_date, unpack_table
from ...scan.ranges import (
    Grain,
    Span,
    clip_spans,
    covers,
    day_of,
    merge_spans,
    partition_of,
    partition_span,
    subtract_spans,
)
from .merge import Proof

if TYPE_CHECKING:
    from ...frames.frames import Part
    from ...scan.plan import CoveredSpan

LOOSE_ROWS: Final = 5_000
"""So many rows of a partition wait as they came, those after them in a third of the memory."""


@dataclass
class _Waiting:
    """What was read of a partition that is not whole yet."""

    pieces: list[ArrowFrames] = field(default_factory=list)
    packed: list[list[pa.Buffer]] = field(default_factory=list)
    row_count: int = 0

    def add(self, frames: ArrowFrames) -> None:
        self.row_count += frames.backups.num_rows
        if self.row_count > LOOSE_ROWS:
            self.packed.append([pack_table(table, "lz4") for table in frames])
        else:
            self.pieces.append(frames)

    def unpack(self) -> list[ArrowFrames]:
        """All of it, in the order in which it came; nothing is left here."""
        pieces, packed = self.pieces, self.packed
        self.pieces, self.packed = [], []
        return pieces + [ArrowFrames(*map(unpack_table, buffers)) for buffers in packed]


@dataclass(frozen=True)
class FreshPartition:
    """One partition's share of a read.

    Attributes:
        partition: the date that names it.
        pieces: its rows as they were read; each piece has a backup once.
        proof: what of the partition the read proves to be whole.
    """

    partition: date
    pieces: list[ArrowFrames]
    proof: Proof

    @property
    def row_count(self) -> int:
        """Backups in all pieces."""
        return sum(piece.backups.num_rows for piece in self.pieces)

    @cached_property
    def fresh(self) -> ArrowFrames:
        """Its rows, each backup once, whatever order they came in.

        Should a service list a backup at both levels, the level Instance counts.
        """
        if len(self.pieces) == 1:
            return self.pieces[0]
        frames = concat_frames(self.pieces)
        once, duplicates = drop_duplicates(frames)
        if duplicates:
            order = [("backup_level", "ascending"), ("begin_time", "ascending")]
            once, _ = drop_duplicates(frames._replace(backups=frames.backups.sort_by(order)))
        return once


class PartitionCollector:
    """Gathers parts into partitions.

    Args:
        spans: what is read at both levels, merged.
        is_full: backups without begin time are read as well.
        stored: partitions that the lake holds; they come out even if no row is read for them.
        grain: how the lake is cut.
    """

    def __init__(
        self, spans: list[Span], *, is_full: bool, stored: Iterable[date], grain: Grain
    ) -> None:
        self._asked = spans
        self._unknown_asked = LEVELS if is_full else ()
        self._grain = grain
        self._rows = defaultdict[date, _Waiting](_Waiting)
        self._waiting = sorted(
            day for day in stored if self._share(day) or (is_full and day == NO_DATE)
        )
        self._taken = set[date]()
        self._covered: dict[str, list[Span]] = {level: [] for level in LEVELS}
        self._certified: dict[str, list[Span]] = {level: [] for level in LEVELS}
        self._unknown_covered = set[str]()
        self._unknown_certified = set[str]()

    @property
    def proof(self) -> Proof:
        """What the read proves so far, over all partitions."""
        return Proof(self._certified, self._unknown_certified)

    def add(self, part: Part) -> Iterator[FreshPartition]:
        """Take a part in; hand out the partitions that are whole by now."""
        touched = set[date]()
        for partition, frames in split_by_date(part.frames, self._grain).items():
            if not self._between(partition, partition):
                insort(self._waiting, partition)
            self._rows[partition].add(frames)
            touched.add(partition)
        for span in part.covered:
            if span.begin_s is None or span.end_s is None:
                touched.update(self._cover_unknown(span))
            else:
                seconds = (span.begin_s, span.end_s)
                touched.update(self._cover(span.level, seconds, span.is_certified))
        for partition in sorted(touched):
            if self._is_whole(partition):
                yield self._take(partition)

    def finish(self) -> Iterator[FreshPartition]:
        """Hand out what rows are left: partitions whose share was not covered to its end."""
        for partition in sorted(self._rows):
            yield self._take(partition)

    def gather(self, parts: Iterable[Part]) -> Iterator[FreshPartition]:
        """The partitions of all these parts, each as soon as it is whole, and at last what is left."""
        for part in parts:
            yield from self.add(part)
        yield from self.finish()

    def missing(self) -> dict[str, list[Span]]:
        """Per level what was asked and is not certified, levels without any left out."""
        rest = {level: subtract_spans(self._asked, self._certified[level]) for level in LEVELS}
        return {level: spans for level, spans in rest.items() if spans}

    def _share(self, partition: date) -> list[Span]:
        return clip_spans(self._asked, partition_span(partition, self._grain))

    def _between(self, first: date, last: date) -> list[date]:
        """The waiting partitions from `first` to `last`, both included."""
        return self._waiting[bisect_left(self._waiting, first) : bisect_right(self._waiting, last)]

    def _cover(self, level: str, span: Span, is_certified: bool) -> list[date]:
        self._covered[level] = merge_spans([*self._covered[level], span])
        if is_certified:
            self._certified[level] = merge_spans([*self._certified[level], span])
        first, last = day_of(span[0]), day_of(span[1] - 1)
        return self._between(partition_of(first, self._grain), last)

    def _cover_unknown(self, span: CoveredSpan) -> list[date]:
        self._unknown_covered.add(span.level)
        if span.is_certified:
            self._unknown_certified.add(span.level)
        return self._between(NO_DATE, NO_DATE)

    def _is_whole(self, partition: date) -> bool:
        if partition == NO_DATE and not self._unknown_covered.issuperset(self._unknown_asked):
            return False
        share = self._share(partition)
        return all(covers(self._covered[level], span) for level in LEVELS for span in share)

    def _take(self, partition: date) -> FreshPartition:
        pieces = self._rows.pop(partition, _Waiting()).unpack()
        self._waiting.remove(partition)
        if partition in self._taken:  # rows read twice: they prove nothing about the others
            return FreshPartition(partition, pieces, Proof())
        self._taken.add(partition)
        within = partition_span(partition, self._grain)
        spans = {level: clip_spans(spans, within) for level, spans in self._certified.items()}
        unknown = self._unknown_certified if partition == NO_DATE else ()
        return FreshPartition(partition, pieces, Proof(spans, frozenset(unknown)))
