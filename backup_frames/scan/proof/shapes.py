"""What a list looks like, told to strangers: the lines of ``backup-frames doctor --share``.

In: pages. Out: lines with time formats, statuses, engines, backup types and kinds of values; no id,
no name, no text that a person or an account may have chosen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from ...api.answers import Page
from ...api.doctor import magnitude
from ..assumptions import filter_value, read_rows

_FIELDS: Final = (
    *("id", "name", "description", "instance_id", "instance_name", "datastore", "type", "size"),
    *("status", "begin_time", "end_time", "database_tables"),
)
"""The fields of the reference page; others are counted, not named."""

_WORDS: Final = {
    "status": {"BUILDING", "COMPLETED", "FAILED", "DISABLED", "DELETING"},
    "datastore_type": {
        *("cassandra", "redis", "mongodb", "influxdb", "dynamodb", "hbase"),
        *("geminidb-cassandra", "geminidb-redis"),
    },
    "backup_type": {"auto", "manual", "incremental", "differential"},
}
"""Values that manuals name; of others only their form is told, for it may be anybody's text."""

_ZONE = re.compile(r"(?<=\d)(?:[+-]\d\d:?\d\d|Z| ?UTC)$")
_KINDS: Final = {bool: "boolean", int: "integer", float: "number", str: "text", list: "array"}


def describe_shapes(pages: Iterable[Page]) -> Iterator[str]:
    """A line per thing seen in the rows of these pages, counts as orders of magnitude."""
    rows = list({str(row["id"]): row for page in pages for row in read_rows(page)}.values())
    for name in ("begin_time", "end_time"):
        yield _line(f"{name} formats", (time_shape(row.get(name)) for row in rows))
    for label, name in (("engines", "datastore_type"), ("backup types", "backup_type")):
        yield _line(label, (_word(name, filter_value(row, name)) for row in rows))
    yield _line("statuses", (_word("status", row.get("status")) for row in rows))
    for name in _FIELDS:
        yield _line(f"field {name}", (_kind(row, name) for row in rows))
    unknown = Counter(name for row in rows for name in row if name not in _FIELDS)
    yield f"fields beyond the reference page: {len(unknown)}"


def time_shape(value: object) -> str:
    """A time with 9 for each digit and x for other letters; its zone as it is.

    Examples:
        >>> time_shape("2026-01-31T12:00:00+0800")
        '9999-99-99T99:99:99+0800'
    """
    if not isinstance(value, str) or not value:
        return _KINDS.get(type(value), "null") if value != "" else "empty"
    text = value[:40]
    zone = match[0] if (match := _ZONE.search(text)) else ""
    digits = re.sub(r"\d", "9", text.removesuffix(zone))
    return re.sub(r"[^\W\d_](?<!T)", "x", digits) + zone


def _word(name: str, value: object) -> str:
    if not isinstance(value, str):
        return _KINDS.get(type(value), "null")
    folded = value.upper() if name == "status" else value.lower()
    return value if folded in _WORDS[name] else f"other ({len(value)} characters)"


def _kind(row: dict[str, Any], name: str) -> str:
    if name not in row:
        return "absent"
    value = row[name]
    if value in ("", []):
        return "empty"
    return "null" if value is None else _KINDS.get(type(value), "object")


def _line(label: str, values: Iterable[str]) -> str:
    counts = sorted(Counter(values).items())
    return f"{label}: " + ("; ".join(f"{v} x {magnitude(n)}" for v, n in counts) or "none")
