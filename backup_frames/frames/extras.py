"""What the columns cannot carry, kept as JSON text in ``extra``, and put back.

In: bodies, or columns of text. Out: one text per row, null for most. ``extra`` is an object by API
name, keys sorted, no spaces, so that the same record always gives the same text::

    {"deletable":true}                           a field this version does not know
    {"datastore":{"patch":true}}                 one inside datastore
    {"database_tables":{"0":{"mode":"ttl"}}}     one inside an entry, by the entry's position
    {"begin_time":"2018-08-06T12:41:14+0800"}    a known field as sent: a time in another notation
                                                 than the canonical, a whole number beyond doubles

Unknown and known names cannot clash: a name is one or the other. Cost: nothing on pages without; on
others a second pass that decodes names only (msgspec's raw values), 140,000 rows/s in all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SchemaError

RECORD_FIELDS = (
    "id",
    "name",
    "instance_id",
    "instance_name",
    "datastore",
    "type",
    "begin_time",
    "end_time",
    "status",
    "size",
    "description",
    "database_tables",
)
DATASTORE_FIELDS = ("type", "version")
ENTRY_FIELDS = ("database_name", "table_names")

_RECORD_NAMES = frozenset(RECORD_FIELDS)
_DATASTORE_NAMES = frozenset(DATASTORE_FIELDS)
_ENTRY_NAMES = frozenset(ENTRY_FIELDS)

#: From here on a double cannot tell all whole numbers apart.
EXACT_LIMIT = 2.0**53


class _Page(msgspec.Struct):
    backups: list[dict[str, msgspec.Raw]]


_page_decoder = msgspec.json.Decoder(_Page)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_entries_decoder = msgspec.json.Decoder(list[dict[str, msgspec.Raw] | None] | None)


def collect_extras(bodies: Iterable[bytes]) -> pa.Array:
    """The ``extra`` of every row of these pages, from their unknown fields and inexact sizes.

    Raises:
        SchemaError: an unknown field holds what is no JSON: NaN, a lone surrogate, invalid UTF-8.
    """
    texts: list[str | None] = []
    try:
        for body in bodies:
            texts.extend(_extra(record) for record in _page_decoder.decode(body).backups)
        return pa.array(texts, pa.string())
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        message = (
            f"A field that this version does not know holds no valid JSON: {error}. "
            "Report it with the page; nothing of it was kept."
        )
        raise SchemaError(message, path="backups", expected="JSON", got=str(error)[:200]) from error


def add_texts_as_sent(
    extra: pa.Array | None, texts: dict[str, pa.Array], is_odd: dict[str, pa.Array]
) -> pa.Array:
    """Add texts that their column does not give back: by API name, and where to keep them.

    The texts are times or empty: nothing in them needs escaping in JSON.
    """
    members = [
        pc.binary_join_element_wise(
            f'"{name}":"', pc.if_else(is_odd[name], texts[name], None), '"', ""
        )
        for name in sorted(texts)
    ]
    # Not null_handling="skip": it drops rows that are null throughout (pyarrow 26).
    joined = pc.coalesce(pc.binary_join_element_wise(*members, ","), *members)
    added = pc.binary_join_element_wise("{", joined, "}", "")
    if extra is None:
        return added
    pairs = zip(extra.to_pylist(), added.to_pylist(), strict=True)
    return pa.array([_joined(*pair) for pair in pairs], pa.string())


def restore_extra(record: dict[str, Any], text: str) -> None:
    """Put back into a rebuilt record what its ``extra`` holds."""
    for name, value in json.loads(text).items():
        if name == "datastore":
            record[name] = (record[name] or dict.fromkeys(DATASTORE_FIELDS)) | value
        elif name == "database_tables":
            for index, fields in value.items():
                record[name][int(index)].update(fields)
        else:
            record[name] = value


def _extra(record: dict[str, msgspec.Raw]) -> str | None:
    members = {name: _canonical(bytes(record[name])) for name in record.keys() - _RECORD_NAMES}
    if (size := record.get("size")) is not None and len(bytes(size)) > 15:
        members |= _size_as_sent(bytes(size))
    if (datastore := record.get("datastore")) is not None:
        members |= _datastore_members(bytes(datastore))
    if (entries := record.get("database_tables")) is not None:
        members |= _entry_members(bytes(entries))
    return _object(members) if members else None


def _size_as_sent(text: bytes) -> dict[str, str]:
    size = json.loads(text.decode())
    return {"size": str(size)} if isinstance(size, int) and float(size) != size else {}


def _datastore_members(text: bytes) -> dict[str, str]:
    fields = _object_decoder.decode(text) or {}
    unknown = {name: _canonical(bytes(fields[name])) for name in fields.keys() - _DATASTORE_NAMES}
    return {"datastore": _object(unknown)} if unknown else {}


def _entry_members(text: bytes) -> dict[str, str]:
    entries = {}
    for index, entry in enumerate(_entries_decoder.decode(text) or ()):
        fields = entry or {}
        unknown = {name: _canonical(bytes(fields[name])) for name in fields.keys() - _ENTRY_NAMES}
        if unknown:
            entries[str(index)] = _object(unknown)
    return {"database_tables": _object(entries)} if entries else {}


def _object(members: dict[str, str]) -> str:
    return "{" + ",".join(f"{_quoted(name)}:{members[name]}" for name in sorted(members)) + "}"


def _joined(first: str | None, second: str | None) -> str | None:
    if first is None or second is None:
        return first or second
    return _canonical(json.dumps(json.loads(first) | json.loads(second)).encode())


@lru_cache(maxsize=1024)  # names are few
def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _canonical(text: bytes) -> str:
    # An unknown field mostly holds one of a few short values; long ones would fill the memory.
    return _canonical_short(text) if len(text) <= 128 else _canonical_any(text)


def _canonical_any(text: bytes) -> str:
    value = json.loads(text.decode())
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )


_canonical_short = lru_cache(maxsize=4096)(_canonical_any)
