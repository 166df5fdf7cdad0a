"""JSON that others write: read strictly, but for what is no fault of its structure.

In: a body or a text. Out: its value; whole numbers of any length, and halves of surrogate pairs, which
are JSON to some writers, stop no reader.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F]|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def parse_json(text: str | bytes) -> Any:
    """Read JSON strictly, whole numbers of any length included.

    Raises:
        ValueError: it is no JSON, such as NaN, or no UTF-8.
        RecursionError: it is nested too deep.
    """
    text = text.decode() if isinstance(text, bytes) else text
    return json.loads(text, parse_int=whole_number, parse_constant=refuse_constant)


def whole_number(text: str) -> int:
    """The number that these digits mean, however many they are."""
    return int(text) if len(text) < 4000 else int(Decimal(text))  # int() refuses 4,300 digits


def pair_surrogates(body: bytes) -> bytes:
    """The body with U+FFFD for escaped halves of surrogate pairs, which msgspec refuses."""
    return _ESCAPE.sub(lambda match: rb"\ufffd" if match[1] else match[0], body)


def refuse_constant(text: str) -> Any:
    """NaN and Infinity are no JSON."""
    raise ValueError(f"{text} is no JSON")
