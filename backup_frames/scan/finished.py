"""What a task hands out, and what all tasks of a read share.

In: pages, and which of their rows to take. Out: the plain records between walks, witnesses, reads by
offset and their consumer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..api.answers import Page
from .plan import CEILING_S, FLOOR_S


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one answer that belong to a range.

    Attributes:
        body: the answer as received.
        rows: indices of the rows to take.
    """

    body: bytes
    rows: Sequence[int]


def pick_unseen(page: Page, seen: set[str], span: tuple[int, int] | None) -> list[int]:
    """The rows of a page that lie in a span and are not among those seen, which they join.

    A span of None is that of the rows whose begin time no window shows.
    """

    def lies_in(second: int | None) -> bool:
        if span is None:
            return second is None or not FLOOR_S <= second < CEILING_S
        return second is not None and span[0] <= second < span[1]

    rows = [at for at, s in enumerate(page.begin_s) if page.ids[at] not in seen and lies_in(s)]
    seen.update(page.ids[at] for at in rows)
    return rows


@dataclass(frozen=True, slots=True)
class FinishedRange:
    """A range read to its end.

    Attributes:
        level: ``Instance`` or ``DatabaseTable``.
        begin_s: first second, included; None for the rows without begin time.
        end_s: end second, excluded; None likewise.
        pieces: where its rows are.
        row_count: how many rows.
        request_count: answers it took.
        repeat_count: how many of these were asked again.
        trimmed_count: rows seen more than once, or beyond the range, and dropped.
        reasons: why it is uncertified; empty if it is certified.
    """

    level: str
    begin_s: int | None
    end_s: int | None
    pieces: tuple[Piece, ...]
    row_count: int
    request_count: int
    repeat_count: int
    trimmed_count: int
    reasons: tuple[str, ...]

    def mirror(self, level: str) -> FinishedRange:
        """The same of another level, which lists the same rows: they are not taken twice."""
        return FinishedRange(level, self.begin_s, self.end_s, (), 0, 0, 0, 0, self.reasons)


@dataclass(slots=True, eq=False)
class OpenRange:
    """What was read since a range was last handed out; attributes as of `FinishedRange`."""

    level: str
    end_s: int
    pieces: list[Piece] = field(default_factory=list)
    row_count: int = 0
    request_count: int = 0
    repeat_count: int = 0
    trimmed_count: int = 0
    reasons: list[str] = field(default_factory=list)

    def take(self, page: Page, rows: Sequence[int]) -> None:
        """Take these rows of a page; the others count as trimmed."""
        if rows:
            self.pieces.append(Piece(page.body, rows))
        self.row_count += len(rows)
        self.trimmed_count += len(page.ids) - len(rows)

    def close(self, begin_s: int) -> FinishedRange:
        """What was read down to ``begin_s``."""
        return FinishedRange(
            level=self.level,
            begin_s=begin_s,
            end_s=self.end_s,
            pieces=tuple(self.pieces),
            row_count=self.row_count,
            request_count=self.request_count,
            repeat_count=self.repeat_count,
            trimmed_count=self.trimmed_count,
            reasons=tuple(self.reasons),
        )


@dataclass(slots=True)
class Window:
    """How wide a window the service accepts, learned from refusals; shared by all walks.

    Attributes:
        now_s: when the read began.
        max_s: widest window worth asking; None while none was refused.
        silent_s: likewise, where wider ones are not refused but silently cut; None if none is.
        oldest_s: per level, when the list's last row began, where narrow windows must be asked.
        newest_s: per level, when its newest row began.
        strayed: levels whose answers kept holding rows from outside their window.
        torn: levels where two windows that touch did not hold what one over both does.
        inside: answers that held rows of the very second their window ended with.
        outside: answers that left out such rows, though an answer before had shown them.
    """

    now_s: int
    max_s: int | None = None
    silent_s: int | None = None
    oldest_s: dict[str, int] = field(default_factory=dict)
    newest_s: dict[str, int] = field(default_factory=dict)
    strayed: set[str] = field(default_factory=set)
    torn: set[str] = field(default_factory=set)
    inside: int = 0
    outside: int = 0

    def narrow(self, refused_s: int) -> None:
        """Remember that a window of this width was refused."""
        half_s = max(refused_s // 2, 1)
        self.max_s = half_s if self.max_s is None else min(self.max_s, half_s)

    def vote(self, *, is_shown: bool, is_expected: bool) -> None:
        """Note whether an answer holds rows of the second its window ended with."""
        if is_shown:
            self.inside += 1
        elif is_expected:
            self.outside += 1
