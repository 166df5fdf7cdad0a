"""What a task hands out, and what all tasks of a read share.

In: nothing. Out: the plain records between walks, witnesses, reads by offset and their consumer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one answer that belong to a range.

    Attributes:
        body: the answer as received.
        rows: indices of the rows to take.
    """

    body: bytes
    rows: Sequence[int]


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
