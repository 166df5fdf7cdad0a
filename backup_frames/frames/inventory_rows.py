"""Records of instances and policies to rows; their types drift between answers.

In: records as sent. Out: Arrow tables with the columns of `INSTANCES` and `BACKUP_POLICIES` but
their history. A value that its column cannot carry, and every field that has no column, is kept as
sent in ``extra``; of an instance's groups, storage and nodes are counted over all of them.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from .deduplicate import sort_table
from .schema import BACKUP_POLICIES, INSTANCES, LEDGER_FIELDS
from .times import read_times

Record = dict[str, Any]

# Columns of an instance that are called as in the API.
_SAME_NAMES: Final = ("status", "mode", "region", "pay_mode", "enterprise_project_id", "time_zone")
_NUMBER = re.compile(r"\s*[+-]?\d{1,300}(\.\d{0,300})?([eE][+-]?\d{1,3})?\s*", re.ASCII)
_WINDOW = re.compile(r"\s*([01]?\d|2[0-3]):([0-5]\d)(?!\d)", re.ASCII)


def _without_ledger(schema: pa.Schema) -> pa.Schema:
    history = {field.name for field in LEDGER_FIELDS}
    return pa.schema([f for f in schema if f.name not in history], metadata=schema.metadata)


#: What is read of instances and policies: the lake's tables without their history.
INSTANCE_ROWS: Final = _without_ledger(INSTANCES)
POLICY_ROWS: Final = _without_ledger(BACKUP_POLICIES)


def flatten_instances(records: Iterable[Record], *, project_id: str) -> pa.Table:
    """Records of the list of instances as `INSTANCE_ROWS`, sorted by id."""
    rests = [copy.deepcopy(record) for record in records]
    rows = [
        _instance_row(rest) | {"project_id": project_id, "created_at": created_at}
        for rest, created_at in zip(rests, _take_times(rests, "created"), strict=True)
    ]
    return sort_table(pa.Table.from_pylist(rows, schema=INSTANCE_ROWS))


def flatten_policies(policies: Mapping[str, Record], *, project_id: str) -> pa.Table:
    """Policies by instance id as `POLICY_ROWS`, sorted by id."""
    rows = [
        _policy_row(policy) | {"project_id": project_id, "instance_id": instance_id}
        for instance_id, policy in policies.items()
    ]
    return sort_table(pa.Table.from_pylist(rows, schema=POLICY_ROWS))


def upgrade_policies(stored: pa.Table) -> pa.Table:
    """Stored policies with all columns; one that was not there yet is taken out of ``extra``.

    Else the next read would find each policy changed, though nobody has changed it.
    """
    if "incremental_period_min" in stored.column_names:
        return stored
    rows = stored.to_pylist()
    for row in rows:
        rest = json.loads(row["extra"] or "{}")
        row["incremental_period_min"] = _take_count(rest, "incremental_period")
        row["extra"] = _render_extra(rest)
    return pa.Table.from_pylist(rows, schema=BACKUP_POLICIES)


def _instance_row(rest: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"instance_id": rest.pop("id"), "instance_name": _take_text(rest, "name")}
    row |= {name: _take_text(rest, name) for name in _SAME_NAMES}
    datastore = rest.get("datastore")
    if datastore is None:
        rest.pop("datastore", None)
    elif isinstance(datastore, dict):
        row["datastore_type"] = _take_text(datastore, "type")
        row["datastore_version"] = _take_text(datastore, "version")
        if not datastore:
            del rest["datastore"]
    row |= _take_groups(rest)
    return row | {"extra": _render_extra(rest)}


def _take_groups(rest: Record) -> dict[str, Any]:
    """Storage and nodes of all groups; what was summed up is taken out of them."""
    groups = rest.get("groups")
    groups = [groups] if isinstance(groups, dict) else groups  # seen in one official sample
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        return {}
    nodes = [group["nodes"] for group in groups if isinstance(group.get("nodes"), list)]
    sums = {name: _take_sum(groups, name) for name in ("size", "used")}
    for group in groups:
        if group.get("volume") == {}:
            del group["volume"]
    return {
        "volume_size_gb": sums["size"],
        "volume_used_gb": sums["used"],
        "node_count": sum(map(len, nodes)) if nodes else None,
    }


def _take_sum(groups: list[Record], name: str) -> float | None:
    """The sum of a number over the groups; None, and nothing taken, if one of them is no number."""
    volumes = [group["volume"] for group in groups if isinstance(group.get("volume"), dict)]
    sent = [volume[name] for volume in volumes if volume.get(name) not in (None, "")]
    numbers = [number for number in map(_number, sent) if number is not None]
    total = sum(numbers)
    if not numbers or len(numbers) < len(sent) or not math.isfinite(total):
        return None
    for volume in volumes:
        volume.pop(name, None)
    return total


def _policy_row(policy: Record) -> dict[str, Any]:
    rest = copy.deepcopy(policy)
    period = rest.get("period")
    if isinstance(period, list) and all(type(day) in (int, str) for day in period):
        rest["period"] = ",".join(map(str, period))
    row: dict[str, Any] = {
        "keep_days": _take_count(rest, "keep_days"),
        "start_time": _take_text(rest, "start_time"),
        "period": _take_text(rest, "period"),
        "incremental_period_min": _take_count(rest, "incremental_period"),
    }
    start_time = row["start_time"] or ""
    window = _WINDOW.match(start_time)
    row["window_start"] = f"{int(window[1]):02d}:{window[2]}" if window else None
    # A policy that is off comes as keep_days 0, as blank texts, or as nothing at all.
    row["is_enabled"] = (row["keep_days"] or 0) > 0 and bool(start_time.strip())
    return row | {"extra": _render_extra(rest)}


def _take_text(rest: Record, name: str) -> str | None:
    """A text, or a number as one; anything else stays where it is."""
    value = rest.get(name)
    if value is not None and type(value) not in (str, int, float):
        return None
    rest.pop(name, None)
    return None if value is None else str(value)


def _take_times(rests: list[Record], name: str) -> list[datetime | None]:
    """A time of each, all read at once; what is none stays where it is."""
    values = [rest.get(name) for rest in rests]
    texts = [value if isinstance(value, str) else None for value in values]
    read = read_times(pa.array(texts, pa.string()))
    unreadable = (
        [False] * len(rests) if read.is_unreadable is None else read.is_unreadable.to_pylist()
    )
    for rest, value, text, is_unreadable in zip(rests, values, texts, unreadable, strict=True):
        if value is text and not is_unreadable:
            rest.pop(name, None)
    moments: list[datetime | None] = read.times.to_pylist()
    return moments


def _take_count(rest: Record, name: str) -> int | None:
    """A whole number, also one sent as text; anything else stays where it is."""
    value = rest.get(name)
    count = _number(value)
    is_blank = value is None or (isinstance(value, str) and not value.strip())
    if not is_blank and (count is None or count != int(count) or abs(count) >= 2**31):
        return None
    rest.pop(name, None)
    return None if is_blank or count is None else int(count)


def _number(value: object) -> float | None:
    """A finite number, also one sent as text."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) and math.isfinite(float(value)) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None


def _render_extra(rest: Record) -> str | None:
    if not rest:
        return None
    return json.dumps(
        rest, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )
