"""Why a body is no page: the slow second look that names the row at fault.

In: bodies that Arrow refused, or a row that a check refused. Out: a `SchemaError` with the path
(``backups[3].id``, within its page), the backup's id, what the contract says and what was sent.
Nothing here runs while the service keeps its contract; single odd values are `odd_values`' matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ...api.json_text import parse_json
from ...api.scrub import as_printable
from ...errors import SchemaError
from .extras import quote

_MISSING = object()

#: What the reference page says of the structure, by the last name of a path.
_CONTRACT = {
    "": "an object with total_count and backups",
    "backups": "an array of objects",
    "id": "a string, not empty",
}


class _Record(msgspec.Struct):
    id: str


class _Page(msgspec.Struct):
    backups: list[_Record]


_decoder = msgspec.json.Decoder(_Page)


def explain_bodies(bodies: Sequence[bytes], reason: str) -> SchemaError:
    """The error for the first body that is no page; ``reason`` is what Arrow said of the batch."""
    for body in bodies:
        try:
            parse_json(body)
            _decoder.decode(body)
        except msgspec.ValidationError as error:
            path = str(error).partition("`$")[2].rstrip("`").removeprefix(".")
            if "missing required field `" in str(error):
                path += "." * bool(path) + str(error).split("`")[1]
            return explain_value(body, path)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return _error("A page", "", "valid JSON", f"{body[:100]!r} ({error})")
    return _error("A page", "", _CONTRACT[""], reason)


def explain_value(body: bytes, path: str, expected: str | None = None) -> SchemaError:
    """The error for the value at this path of the page, such as ``backups[3].id``."""
    try:
        page = parse_json(body)
    except (ValueError, RecursionError) as error:
        return _error("A page", path, "valid JSON", f"{body[:100]!r} ({error})")
    record = _value(page, path.split(".", maxsplit=1)[0])
    backup_id = record.get("id") if isinstance(record, dict) else None
    wanted = "an object" if path.endswith("]") else _CONTRACT[path.rpartition(".")[2]]
    value = _value(page, path)
    got = "nothing" if value is _MISSING else quote(value)
    what = f"Backup {backup_id!r}" if isinstance(backup_id, str) and backup_id else "A page"
    return _error(what, path, expected or wanted, got)


def _error(what: str, path: str, expected: str, got: str) -> SchemaError:
    got = as_printable(got[:200])
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
