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
READABLE: Final = "is_readable"
"""What a history of policies tells beside their values: whether the service lets one be read."""
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
        or change["field"] == READABLE
    ]
    for instance_id, old in before.items():
        new = after.get(instance_id, old)
        known_at = max(old["updated_at"], read_at.get(instance_id, old["updated_at"]))
        changes += [
            _change(old, field, old.get(field), value, (known_at, seen_at))
            for field, value in new.items()
            if field not in _KEPT_APART and old.get(field) != value
        ]
    return _in_order(changes)


def append_readable(
    history: Iterable[Row],
    rows: Mapping[str, Row],
    readable: Mapping[str, bool],
    *,
    read_at: Mapping[str, datetime],
    seen_at: datetime,
) -> list[Row]:
    """The history with each policy that was read before and is refused now, or the other way about.

    A stored policy stays as it was last read; from a refusal on nobody knows whether it still is so.

    Args:
        history: the changes so far.
        rows: the policies that are stored, by instance.
        readable: by instance whether this run could read it; who was not asked is left out.
        read_at: by instance when it was last asked for, where that is known.
        seen_at: the moment of this run.
    """
    changes = list(history)
    last = {one["instance_id"]: one["new_value"] for one in changes if one["field"] == READABLE}
    for instance_id, is_readable in readable.items():
        row = rows.get(instance_id)
        if row is not None and last.get(instance_id, "true") != _as_text(is_readable):
            span = read_at.get(instance_id, row["updated_at"]), seen_at
            changes.append(_change(row, READABLE, not is_readable, is_readable, span))
    return _in_order(changes)


def _change(row: Row, field: str, old: Any, new: Any, between: tuple[datetime, datetime]) -> Row:
    return {
        "project_id": row["project_id"],
        "instance_id": row["instance_id"],
        "field": field,
        "old_value": _as_text(old),
        "new_value": _as_text(new),
        "old_seen_at": between[0],
        "seen_at": between[1],
    }


def _in_order(changes: Iterable[Row]) -> list[Row]:
    return sorted(changes, key=lambda row: (row["instance_id"], row["seen_at"], row["field"]))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
