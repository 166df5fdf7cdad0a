"""Values of the wrong type: taken out of a page, so that its rows can be read, and named.

In: a body that Arrow refused, or in which it read a size that is none. Out: the same page with null
in the place of each odd value and without unknown fields, the ``extra`` of each row with all of
these as sent, and what was odd. Structure is not forgiven: a row that is no object, or has no id.

Texts are cut out of the body, not decoded and written anew: numbers keep their digits, and what
Arrow does not take (1e400, a lone surrogate) stays what it was. About 10,000 rows/s, but only the
bodies that hold something odd come here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa

from ...api.json_text import parse_json
from .diagnose import explain_bodies, explain_value
from .extras import SURROGATE, canonical, join_members, number_as_sent, split_json
from .fields import ENTRIES, FIELDS, NUMBER, OBJECTS, RECORD_NAMES, TEXT, TIMESTAMP

SHOWN_LENGTH = 200


class OddValue(NamedTuple):
    """A value that its column cannot carry: null there, its text in ``extra``.

    Attributes:
        backup_id: whose it is.
        field: where, by API name, such as ``end_time`` or ``database_tables[0].table_names``.
        text: what was sent, as JSON.
    """

    backup_id: str
    field: str
    text: str


class CleanPage(NamedTuple):
    """A page without its odd values.

    Attributes:
        body: the page that Arrow reads.
        extras: ``extra`` of each row.
        odd: position of the row and what is odd in it, in the order of the page.
    """

    body: bytes
    extras: list[str | None]
    odd: list[tuple[int, OddValue]]


class _Clean(NamedTuple):
    """What stands in a value's place, what ``extra`` keeps of it, what is odd: path and text."""

    text: str
    extra: str | None = None
    odd: tuple[tuple[str, str], ...] = ()


_Check = Callable[[str], _Clean]


def clean_page(body: bytes) -> CleanPage:
    """Take the odd values out of a page.

    Raises:
        SchemaError: it is no page, or a row is no object with an id.
    """
    try:
        ids = [row["id"] if isinstance(row, dict) else None for row in _rows(parse_json(body))]
        parts = split_json(body.decode())
        (backups,) = (value for name, value in pairwise(parts) if name == '"backups"')
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise explain_bodies([body], str(error)) from None
    rows: list[_Clean] = []
    odd: list[tuple[int, OddValue]] = []
    for position, (backup_id, text) in enumerate(zip(ids, split_json(backups), strict=True)):
        if not isinstance(backup_id, str) or not backup_id or SURROGATE.search(backup_id):
            path = f"backups[{position}]" + ".id" * text.startswith("{")
            raise explain_value(body, path)
        row = _check_object(_RECORD, text)
        if any(path == ".id" for path, _ in row.odd):
            raise explain_value(body, f"backups[{position}].id", "one id")
        rows.append(row)
        odd += [(position, OddValue(backup_id, path[1:], value)) for path, value in row.odd]
    text = ",".join(row.text for row in rows)
    return CleanPage(f'{{"backups":[{text}]}}'.encode(), [row.extra for row in rows], odd)


def _rows(page: Any) -> list[Any]:
    rows = page["backups"]
    if not isinstance(rows, list):
        raise TypeError("backups is no array")
    return rows


def _odd(text: str) -> _Clean:
    return _Clean("null", text, (("", text),))


def _checked(text: str, check: _Check) -> _Clean:
    """A value by its check; null is what every one may be."""
    return _Clean(text) if text == "null" else check(text)


def _check_text(text: str) -> _Clean:
    is_text = text.startswith('"') and not SURROGATE.search(json.loads(text))
    return _Clean(text) if is_text else _odd(text)


def _check_number(text: str) -> _Clean:
    is_number = text[0] in "-0123456789"
    if is_number and math.isfinite(float(text)) and float(text) >= 0:
        return _Clean(text, number_as_sent(text))
    return _odd(text)


def _check_yes_no(text: str) -> _Clean:
    return _Clean(text) if text in ("true", "false") else _odd(text)


def _check_texts(text: str) -> _Clean:
    if not text.startswith("["):
        return _odd(text)
    items = [_checked(item, _check_text) for item in split_json(text)]
    clean = f"[{','.join(item.text for item in items)}]"
    is_odd = any(item.odd for item in items)
    return _Clean(clean, text, (("", text),)) if is_odd else _Clean(clean)


def _check_entries(text: str) -> _Clean:
    if not text.startswith("["):
        return _odd(text)
    items = [_checked(item, _check_entry) for item in split_json(text)]
    extra = {str(index): item.extra for index, item in enumerate(items) if item.extra is not None}
    odd = [
        (f"[{index}]{path}", value) for index, item in enumerate(items) for path, value in item.odd
    ]
    clean = f"[{','.join(item.text for item in items)}]"
    return _Clean(clean, join_members(extra) if extra else None, tuple(odd))


def _check_object(checks: Mapping[str, _Check], text: str) -> _Clean:
    """An object by the checks of its known fields; one that is there twice is odd, too."""
    if not text.startswith("{"):
        return _odd(text)
    parts = split_json(text)
    names = [json.loads(name) for name in parts[::2]]
    clean: dict[str, str] = {}
    extra: dict[str, str] = {}
    odd: dict[str, str] = {}
    for name, value in zip(names, parts[1::2], strict=True):
        if name not in checks:
            extra[name] = canonical(value.encode())
            continue
        one = _checked(value, checks[name]) if names.count(name) == 1 else _odd(value)
        clean[name] = one.text
        if one.extra is not None:
            extra[name] = one.extra
        odd |= {f".{name}{path}": found for path, found in one.odd}
    kept = join_members(extra) if extra else None
    return _Clean(join_members(clean), kept, tuple(odd.items()))


_BY_TYPE: Mapping[pa.DataType, _Check] = {
    TEXT: _check_text,
    TIMESTAMP: _check_text,
    NUMBER: _check_number,
    pa.bool_(): _check_yes_no,
}
_BY_PATH = {field.path: _BY_TYPE[field.type] for field in FIELDS}
_check_entry: _Check = partial(
    _check_object, {"database_name": _check_text, "table_names": _check_texts}
)
_RECORD: Mapping[str, _Check] = {
    **{name: _BY_PATH[name] for name in RECORD_NAMES if name not in OBJECTS},
    **{
        name: partial(_check_object, {one: _BY_PATH[f"{name}.{one}"] for one in inner})
        for name, inner in OBJECTS.items()
    },
    ENTRIES: _check_entries,
}
