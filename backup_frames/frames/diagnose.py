"""Which value of which backup is outside the contract: the slow second look that names it.

In: bodies that Arrow refused, or a row that a check on a column refused. Out: a `SchemaError` with
the path (``backups[3].size``, within its page), the backup's id, what the contract says and what
was sent. Nothing here runs while the service keeps its contract.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import SchemaError

_TEXT = "a string or null"
_MISSING = object()

#: What the reference page says of each field, by the last name of its path.
_CONTRACT = {
    "": "an object with total_count and backups",
    "backups": "an array of objects",
    "id": "a string, not empty",
    "datastore": "an object or null",
    "size": "a finite number (KB) or null",
    "database_tables": "an array of objects, or null",
    "table_names": "an array of strings, or null",
}


class _Datastore(msgspec.Struct):
    type: str | None = None
    version: str | None = None


class _Entry(msgspec.Struct):
    database_name: str | None = None
    table_names: list[str | None] | None = None


class _Record(msgspec.Struct):
    id: str
    name: str | None = None
    instance_id: str | None = None
    instance_name: str | None = None
    datastore: _Datastore | None = None
    type: str | None = None
    begin_time: str | None = None
    end_time: str | None = None
    status: str | None = None
    size: int | float | None = None
    description: str | None = None
    database_tables: list[_Entry | None] | None = None


class _Page(msgspec.Struct):
    backups: list[_Record]


_decoder = msgspec.json.Decoder(_Page)


def explain_bodies(bodies: Sequence[bytes], reason: str) -> SchemaError:
    """The error for the first body that is no page; ``reason`` is what Arrow said of the batch."""
    for body in bodies:
        try:
            page = _decoder.decode(body)
            json.loads(body.decode(), object_pairs_hook=_distinct)
        except msgspec.ValidationError as error:
            path = str(error).partition("`$")[2].rstrip("`").removeprefix(".")
            if "missing required field `" in str(error):
                path += "." * bool(path) + str(error).split("`")[1]
            return explain_value(body, path)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return _error("A page", "", "valid JSON", f"{body[:100]!r} ({error})")
        for index, record in enumerate(page.backups):
            if isinstance(record.size, int) and record.size.bit_length() > 1023:
                return explain_value(body, f"backups[{index}].size")
    return _error("A page", "", _CONTRACT[""], reason)


def explain_value(body: bytes, path: str, expected: str | None = None) -> SchemaError:
    """The error for the value at this path of the page, such as ``backups[3].begin_time``."""
    try:
        page: Any = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        return _error("A page", path, "valid JSON", f"{body[:100]!r} ({error})")
    record = _value(page, path.split(".", maxsplit=1)[0])
    backup_id = record.get("id") if isinstance(record, dict) else None
    last = re.sub(r"\[\d+\]$", "", path.rpartition(".")[2])
    if expected is None:
        is_element = path.endswith("]")
        expected = ("an object" if last == "backups" else _TEXT) if is_element else ""
        expected = expected or _CONTRACT.get(last, _TEXT)
        if is_element and last == "database_tables":
            expected = "an object or null"
    value = _value(page, path)
    got = "nothing" if value is _MISSING else json.dumps(value, ensure_ascii=False)
    return _error(f"Backup {backup_id!r}" if backup_id else "A page", path, expected, got)


def _error(what: str, path: str, expected: str, got: str) -> SchemaError:
    got = got[:200]
    where = path or "the page"
    message = (
        f"{what} holds {got} at {where}, but the service's contract says: {expected}. "
        "Nothing of its page was converted; report it with this message, or leave the backup out "
        "with a narrower query."
    )
    return SchemaError(message, path=path or None, expected=expected, got=got)


def _value(page: Any, path: str) -> Any:
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        try:
            page = page[name] if name else page[int(index)]
        except (LookupError, TypeError):
            return _MISSING
    return page


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} occurs twice in one object")
    return fields
