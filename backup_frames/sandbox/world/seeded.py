"""Chance that repeats itself: every draw follows from names, not from what was drawn before.

In: the names of a thing ("seed 7, instance 12, day 20484"). Out: its draws. A backup therefore has
the same id, size and outcome whether the fleet is made at that day or advanced to it in any steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")


class SeededRandom:
    """The draws of one named thing, in a fixed order."""

    __slots__ = ("_digest", "_pool")

    def __init__(self, *names: object) -> None:
        self._digest = blake2b("/".join(map(str, names)).encode()).digest()
        self._pool = int.from_bytes(self._digest, "big")

    def below(self, count: int) -> int:
        """An int from 0 to count - 1; count up to 2**128."""
        if self._pool < count << 32:
            self._digest = blake2b(self._digest).digest()
            self._pool = int.from_bytes(self._digest, "big")
        self._pool, drawn = divmod(self._pool, count)
        return drawn

    def unit(self) -> float:
        """A float in [0, 1)."""
        return self.below(1 << 24) / (1 << 24)

    def between(self, low: float, high: float) -> float:
        """A float in [low, high)."""
        return low + (high - low) * self.unit()

    def has_luck(self, probability: float) -> bool:
        """True with that probability."""
        return self.unit() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, each as likely."""
        return choices[self.below(len(choices))]

    def weigh(self, weights: dict[T, int]) -> T:
        """One of the keys, as likely as its weight says."""
        drawn = self.below(sum(weights.values()))
        return next(
            choice
            for choice, total in zip(weights, accumulate(weights.values()), strict=True)
            if drawn < total
        )

    def hex32(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.below(1 << 128):032x}"
