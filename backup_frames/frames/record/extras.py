"""What the columns cannot carry, kept as JSON text in ``extra``, and put back.

In: JSON, or columns of text. Out: one text per row, null for most. ``extra`` is an object by API
name, keys sorted, no spaces, so that the same record always gives the same text::

    {"colour":true}                              a field this version does not know
    {"datastore":{"patch":true}}                 one inside datastore
    {"database_tables":{"0":{"mode":"ttl"}}}     one inside an entry, by the entry's position
    {"begin_time":"2018-08-06T12:41:14+0800"}    a known field as sent: a time in another notation
                                                 than the canonical, a whole number beyond doubles
    {"end_time":"-","size":true}                 a known field as sent, whose column is null: a
                                                 value of the wrong type, or unreadable
    {"database_tables":{"0":{"table_names":7}}}  the same inside an entry

Unknown and known names cannot clash: a name is one or the other.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...api.json_text import parse_json, whole_number
from .fields import ENTRIES, OBJECTS

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
# What is canonical as it stands: a text without escapes, a word, a number as Python writes it.
_PLAIN = re.compile(
    rb'"[^"\\]*"|true|false|null|0|-?[1-9][0-9]*'
    rb"|-?(?:0\.[0-9]{0,3}[1-9]|[1-9][0-9]{0,8}\.(?:0|[0-9]{0,5}[1-9]))"
)
#: Half of a pair: UTF-8 cannot carry it.
SURROGATE = re.compile("[\ud800-\udfff]")

#: From here on a double cannot tell all whole numbers apart.
EXACT_LIMIT = 2.0**53


def add_times_as_sent(
    extra: pa.Array | None, texts: pa.Array, odd: dict[str, pa.BooleanArray], unreadable: pa.Array
) -> pa.Array:
    """Add times that their column does not give back.

    Args:
        extra: what is kept so far.
        texts: the texts of all these fields, one after the other.
        odd: by API name, sorted, which of its texts to keep.
        unreadable: which of all texts are no times; only these may need escaping.
    """
    quoted = pc.binary_join_element_wise('"', texts, '"', "")
    if unreadable is not None:
        escaped = [quote(text) for text in texts.filter(unreadable).to_pylist()]
        quoted = pc.replace_with_mask(quoted, unreadable, pa.array(escaped, pa.string()))
    count = len(texts) // len(odd)
    members = [
        pc.binary_join_element_wise(
            f'"{name}":', pc.if_else(is_odd, quoted.slice(at * count, count), None), ""
        )
        for at, (name, is_odd) in enumerate(odd.items())
    ]
    # Not null_handling="skip": it drops rows that are null throughout (pyarrow 26).
    joined = pc.coalesce(pc.binary_join_element_wise(*members, ","), *members)
    added = pc.binary_join_element_wise("{", joined, "}", "")
    if extra is None:
        return added
    has_both = pc.and_(extra.is_valid(), added.is_valid())
    pairs = zip(extra.filter(has_both).to_pylist(), added.filter(has_both).to_pylist(), strict=True)
    merged = pa.array([join_members(_members(a) | _members(b)) for a, b in pairs], pa.string())
    return pc.replace_with_mask(pc.coalesce(extra, added), has_both, merged)


def restore_extra(record: dict[str, Any], text: str) -> None:
    """Put back into a rebuilt record what its ``extra`` holds."""
    for name, value in parse_json(text).items():
        if name in OBJECTS and isinstance(value, dict):
            record[name] = (record[name] or dict.fromkeys(OBJECTS[name])) | value
        elif name == ENTRIES and record[name] is not None:
            for index, fields in value.items():
                if isinstance(fields, dict):
                    record[name][int(index)].update(fields)
                else:  # an entry that is none
                    record[name][int(index)] = fields
        else:
            record[name] = value


def split_json(text: str) -> list[str]:
    """The elements of an array, or names and values of an object in turn: valid JSON, no spaces."""
    parts: list[str] = []
    part: list[str] = []
    depth = 0
    for lexeme in _TOKEN.findall(text):
        if lexeme in "]}":
            depth -= 1
        if depth == 1 and lexeme in ",:":
            parts.append("".join(part))
            part = []
        elif depth:
            part.append(lexeme)
        if lexeme in "[{":
            depth += 1
    return [*parts, "".join(part)] if part else parts


def join_members(members: dict[str, str]) -> str:
    """The object with these names and JSON texts, sorted by name."""
    return "{" + ",".join(f"{quote_name(name)}:{members[name]}" for name in sorted(members)) + "}"


def quote(value: Any) -> str:
    """The value as JSON, readable, but for what UTF-8 cannot carry."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if SURROGATE.search(text) else text


def number_as_sent(text: str) -> str | None:
    """A whole number if its column holds another one, else None."""
    number = whole_number(text) if text.lstrip("-").isdigit() else None
    return str(number) if number is not None and float(number) != number else None


def _members(text: str) -> dict[str, str]:
    parts = split_json(text)
    return {json.loads(name): value for name, value in zip(parts[::2], parts[1::2], strict=True)}


@lru_cache(maxsize=1024)  # names are few
def quote_name(name: str) -> str:
    """The name of a field as JSON."""
    return quote(name)


def canonical(text: bytes) -> str:
    """JSON with sorted names and no spaces; what Python would spoil stays as sent."""
    if _PLAIN.fullmatch(text):
        return text.decode()
    # An unknown field mostly holds one of a few short values; long ones would fill the memory.
    return _canonical_short(text) if len(text) <= 128 else _canonical_any(text)


def _canonical_any(text: bytes) -> str:
    try:
        value = json.loads(text.decode())
        written = json.dumps(
            value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
        )
        written.encode()
    except (ValueError, RecursionError):  # a number beyond doubles, digits galore, a surrogate
        return "".join(_TOKEN.findall(text.decode()))
    return written


_canonical_short = lru_cache(maxsize=4096)(_canonical_any)
