"""What changed in an inventory: each value that is not as it was, with the moments it lies between.

In: rows as they were stored and as they will be, by instance. Out: the history of their changes, which
only grows. It is written before the rows that it tells of, so a change is never lost to a crash; what
a run wrote that died before its rows is told apart by its moment, and told again by the next run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

Row = dict[str, Any]

VOLATILE: Final = frozenset({"volume_used_gb"})
"""Columns that change all the time and tell nothing."""
_KEPT_APART: Final = VOLATILE | {"first_seen_at", "updated_at", "gone_at"}


def append_changes(
    history: Iterable[Row],
    before: Mapping[str, Row],
    after: Mapping[str, Row],
    *,
    read_at: Mapping[str, datetime],
    seen_at: datetime,
) -> list[Row]:
    """The history with what changed since, in the order of its key.

    Args:
        history: the changes that are stored.
        before: the rows that are stored, by instance.
        after: the rows that will be.
        read_at: by instance when the stored row was last read, where that is known.
        seen_at: the moment of this run.
    """
    changes = [
        change
        for change in history
        if (row := before.get(change["instance_id"])) is None
        or change["seen_at"] <= row["updated_at"]
    ]
    for instance_id, old in before.items():
        new = after.get(instance_id, old)
        changes += [
            {
                "project_id": old["project_id"],
                "instance_id": instance_id,
                "field": field,
                "old_value": _as_text(old.get(field)),
                "new_value": _as_text(value),
                "old_seen_at": max(old["updated_at"], read_at.get(instance_id, old["updated_at"])),
                "seen_at": seen_at,
            }
            for field, value in new.items()
            if field not in _KEPT_APART and old.get(field) != value
        ]
    return sorted(changes, key=lambda row: (row["instance_id"], row["seen_at"], row["field"]))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
