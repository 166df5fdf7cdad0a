"""Numbers and names as people read them, for the page.

In: a value, and the unit or column it stands for. Out: text.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

_LARGER = {
    "s": (("h", 3600), ("min", 60)),
    "h": (("days", 24),),
    "KB": (("TiB", 1024**3), ("GiB", 1024**2), ("MiB", 1024)),
}
_UNITS = {"h": "h", "gib": "GiB", "min": "min", "rate": "rate"}


def percent(rate: float | None) -> str:
    """The rate in percent; 100 % and 0 % only if it is exactly so."""
    if rate is None:
        return ""
    text = f"{100 * rate:.1f}"
    if text == "100.0" and rate < 1:
        text = "99.9"
    elif text == "0.0" and rate > 0:
        text = "0.1"
    return f"{text.removesuffix('.0')} %"


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit, in a larger unit once it is large."""
    if value is None:
        return ""
    for larger, size in _LARGER.get(unit, ()):
        if abs(value) >= 3 * size:
            return f"{number(value / size)} {larger}"
    return f"{number(value)} {unit.removesuffix('s') if value == 1 and len(unit) > 1 else unit}"


def heading(column: str) -> str:
    """A column's name as words: `restore_point_age_h` as "restore point age, h"."""
    words = column.split("_")
    if words[-1] in _UNITS and len(words) > 1:
        return f"{' '.join(words[:-1])}, {_UNITS[words[-1]]}"
    return _UNITS.get(column, " ".join(words))


def cell(value: Any, column: str) -> str:
    """A value of a table's column; rates are percent."""
    return percent(value) if column.endswith("_rate") else number(value)


def number(value: Any) -> str:
    """A value without a unit: three digits of small numbers, yes and no of truths."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and abs(value) < 1000:
        return f"{Decimal(f'{value:.3g}'):,f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def counted(count: int, one: str) -> str:
    """`1 instance`, `2 instances`."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"
