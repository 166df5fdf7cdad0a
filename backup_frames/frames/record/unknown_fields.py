"""Fields this version does not know, collected row by row into the texts of ``extra``.

In: bodies that hold some, or whole numbers that no double holds. Out: one text per row, null for
most. Nobody walks through all names of all rows: a decoder that knows the fields of `fields` and
refuses others tells the first one it meets, learns it, and goes on; after that a row costs one typed
look. Pages on which every row has names of its own are read by `odd_values` instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from ...errors import SchemaError
from .extras import canonical, number_as_sent, quote_name
from .fields import ENTRIES, ENTRY, FIELDS, NUMBER, OBJECTS, RECORD_NAMES
from .odd_values import clean_page

MAX_NAMES: Final = 48
_ABSENT: Final = msgspec.Raw()
_REFUSAL: Final = "Object contains unknown field `"
_UNNAMEABLE: Final = re.compile(r'["\\\x00-\x1f]')  # to the library
_EXACT_DIGITS: Final = 15

_Render = Callable[[Any], str | None]
_Known = dict[str, tuple[Any, _Render | None]]
_Names = tuple[tuple[str, str], ...]  # object ("" is the record) and name, as learned


class _Kind(NamedTuple):
    """A kind of object: how it is decoded, and what of it goes into ``extra``, sorted by name."""

    type: type[msgspec.Struct]
    members: tuple[tuple[str, str, _Render], ...]  # attribute, name as JSON and colon, text

    def text(self, value: Any) -> str | None:
        """What ``extra`` keeps of an object of this kind; None if nothing."""
        if value is None:
            return None
        parts = [
            name + text
            for attribute, name, render in self.members
            if (text := render(getattr(value, attribute))) is not None
        ]
        return "{" + ",".join(parts) + "}" if parts else None


def collect_extras(bodies: Iterable[bytes]) -> pa.Array:
    """The ``extra`` of every row of these pages, from their unknown fields and inexact numbers.

    Raises:
        SchemaError: an unknown field holds what is no JSON: NaN, a lone surrogate, invalid UTF-8.
    """
    texts: list[str | None] = []
    names: _Names = ()
    for body in bodies:
        try:
            records, names = _decode(body, names)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            message = (
                f"A field that this version does not know holds no valid JSON: {error}. "
                "Report it with the page; nothing of it was kept."
            )
            got = str(error)[:200]
            raise SchemaError(message, path="backups", expected="JSON", got=got) from error
        if records is None:
            texts += clean_page(body).extras
        else:
            texts += map(_reader(names)[1].text, records)
    return pa.array(texts, pa.string())


def _decode(body: bytes, names: _Names) -> tuple[list[Any] | None, _Names]:
    """The records, and the unknown names met so far; no records if these are too many."""
    while len(names) <= MAX_NAMES:
        try:
            return _reader(names)[0].decode(body).backups, names
        except msgspec.ValidationError as error:
            refusal, _, path = str(error).rpartition("` - at `$.backups[")
            if not refusal.startswith(_REFUSAL):
                raise
            within = path.partition("]")[2].strip(".`").partition("[")[0]
            name = refusal.removeprefix(_REFUSAL)
            if (within, name) in names or _UNNAMEABLE.search(name):  # or it is written with escapes
                break
            names = (*names, (within, name))
    return None, names


@lru_cache(maxsize=64)
def _reader(names: _Names) -> tuple[msgspec.json.Decoder[Any], _Kind]:
    """The decoder of pages that knows these names as well, and the kind of its records."""
    unknown = {
        within: [name for one, name in names if one == within] for within in ("", ENTRIES, *OBJECTS)
    }
    known: _Known = dict.fromkeys(RECORD_NAMES, (msgspec.Raw, None))
    numbers = [field.path for field in FIELDS if field.type == NUMBER]
    known |= dict.fromkeys(numbers, (msgspec.Raw, _inexact))
    for within, inner in OBJECTS.items():
        kind = _kind(dict.fromkeys(inner, (msgspec.Raw, None)), unknown[within])
        known[within] = (kind.type | None, kind.text if kind.members else None)
    plain: _Known = {field.name: (msgspec.Raw, None) for field in ENTRY}
    entry = _kind(plain, unknown[ENTRIES])
    text = _text_of_entries(entry) if entry.members else None
    known[ENTRIES] = (list[entry.type | None] | None, text)  # type: ignore[name-defined]  # made at run time
    record = _kind(known, unknown[""])
    page = msgspec.defstruct("Page", [("backups", list[record.type])])  # type: ignore[name-defined]  # likewise
    return msgspec.json.Decoder(page), record


def _kind(known: _Known, unknown: Sequence[str]) -> _Kind:
    fields = known | dict.fromkeys(unknown, (msgspec.Raw, _unknown))
    attributes = {name: f"field_{at}" for at, name in enumerate(fields)}
    made = msgspec.defstruct(
        "Object",
        [
            (attributes[name], kind, _ABSENT if kind is msgspec.Raw else None)
            for name, (kind, _) in fields.items()
        ],
        rename={attribute: name for name, attribute in attributes.items()},
        forbid_unknown_fields=True,
        gc=False,
    )
    members = [
        (attributes[name], quote_name(name) + ":", render)
        for name, (_, render) in sorted(fields.items(), key=lambda item: item[0])
        if render is not None
    ]
    return _Kind(made, tuple(members))


def _unknown(value: msgspec.Raw) -> str | None:
    return None if value is _ABSENT else canonical(bytes(value))


def _inexact(value: msgspec.Raw) -> str | None:
    text = bytes(value)
    return number_as_sent(text.decode()) if len(text) > _EXACT_DIGITS else None


def _text_of_entries(entry: _Kind) -> _Render:
    def text(entries: list[Any] | None) -> str | None:
        kept = [
            (str(at), text)
            for at, one in enumerate(entries or ())
            if (text := entry.text(one)) is not None
        ]
        return "{" + ",".join(f'"{at}":{text}' for at, text in sorted(kept)) + "}" if kept else None

    return text
