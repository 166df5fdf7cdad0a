"""What a setting's value may be: one check per kind of value.

In: values as the user gave them, texts for numbers too. Out: the value, of its type; or a `ValueError`
that says what to write instead, to stand behind the setting's name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from decimal import Decimal
from ipaddress import ip_address
from math import isfinite
from numbers import Real
from typing import Any, Literal, get_args

from ..errors import ConfigError
from ..whole_files import is_utf8

ApiVersion = Literal["v3.1", "v4"]
LakeFormat = Literal["parquet", "delta", "iceberg"]
PartitionBy = Literal["day", "month"]
Place = str | os.PathLike[str]
"""Where a lake or a file is: a path of any kind, or a URL."""

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:]+\]|[a-z0-9.-]*[a-z0-9-])"
    r"\.?(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE,
)


class Secret:
    """A text that shows only where it is asked for by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __len__(self) -> int:
        return len(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def check_switches(**switches: object) -> None:
    """Refuse what is neither true nor false: the text ``"false"`` of a template would be true.

    Raises:
        ConfigError: one is neither; NumPy's booleans, 1 and 0 are.
    """
    for name, value in switches.items():
        is_digit = isinstance(value, int) and value in (0, 1)
        if not is_digit and type(value).__name__ not in ("bool", "bool_"):  # NumPy's are these
            raise ConfigError(
                f"{name} is {' '.join(repr(value).split())[:80]}; give True or False."
            )


def check_text(value: Any) -> str:
    """A text of at least one character."""
    if not isinstance(value, str):
        raise ValueError(f"is {_kind(value)}; give text")
    if not value:
        raise ValueError("is empty; give a text, or leave it out")
    return value


def check_origin(value: Any) -> str:
    """``scheme://host[:port]``; credentials travel there, so nothing else may hide in it."""
    text = check_text(value)
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError("must be https://host or https://host:port, without path, query or user")
    if match["port"] is not None and not 0 < int(match["port"]) < 65536:
        raise ValueError(f"names port {match['port']}; use one between 1 and 65535")
    if match["scheme"].lower() == "http" and not _is_loopback(match["host"]):
        raise ValueError(
            "would send credentials unencrypted; use https:// (http:// is for 127.0.0.1)"
        )
    port = f":{match['port']}" if match["port"] else ""
    return f"{match['scheme']}://{match['host']}{port}".lower()


def _is_loopback(host: str) -> bool:
    """Whether it is this machine, whatever a name server says: 127.999.0.1 is a name."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_secret(value: Any) -> Secret:
    """A secret of any text; another library's secret is taken for what it holds."""
    text = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    if not isinstance(text, str):
        raise ValueError(f"is {_kind(text)}; give text")
    return Secret(text)


def check_header(value: Any) -> Secret:
    """Refuse what cannot stand in an HTTP header, or would end it and start another."""
    secret = check_secret(value)
    if not re.fullmatch(r"[\x21-\x7e]+", secret.get_secret_value()):
        raise ValueError(
            "is empty or holds a space, a line break or a non-ASCII character; copy it again"
        )
    return secret


def check_region(value: Any) -> str:
    """The form of a region's name; which there are, `endpoints` knows."""
    text = check_text(value)
    if not re.fullmatch(r"[a-z]{2}-[a-z0-9-]{1,60}", text):
        raise ValueError("is no region; write it like cn-north-4 or eu-west-101")
    return text


def check_project(value: Any) -> str:
    """Keep the alphabet closed: it becomes a path on disk and part of a URL."""
    text = check_text(value)
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ValueError("is no project id; it has 1 to 64 letters, digits, - or _")
    return text


def check_catalog(value: Any) -> str:
    """Keep secrets out: a catalog's URL is shown and logged."""
    text = check_text(value)
    if not re.fullmatch(r"[a-z][a-z0-9+]*://[^@\s]+", text):
        raise ValueError(
            "must be https://host, sqlite:////path or another database's URL, without user and "
            "password; pyiceberg takes those from PYICEBERG_CATALOG__LAKE__TOKEN or __URI"
        )
    return text


def check_place(value: Any) -> str:
    """A URL, or a path as its text."""
    text = check_text(os.fspath(value) if isinstance(value, os.PathLike) else value)
    if not is_utf8(text):  # the lake writes its own address down
        raise ValueError("must be text in UTF-8")
    return text


def check_choice(kind: Any) -> Callable[[Any], Any]:
    """A check that only the words of this `Literal` pass."""
    words = get_args(kind)

    def check(value: Any) -> Any:
        if value not in words:
            *most, last = map(repr, words)
            raise ValueError(f"must be {', '.join(most)} or {last}")
        return value

    return check


def check_number(kind: type[float], low: float, high: float) -> Callable[[Any], float]:
    """A check for a number between these two, both included; of kind `int` for a whole one."""

    def check(value: Any) -> float:
        number = _read_number(value, kind)
        if number is None or number != kind(number) or not low <= number <= high:
            whole = "whole " if kind is int else ""
            raise ValueError(f"must be a {whole}number from {low} to {high}")
        return kind(number)

    return check


def _read_number(value: Any, kind: type[float]) -> float | None:
    """A finite number, or what a text of plain digits says; None for all else, yes and no too."""
    is_plain = isinstance(value, str) and value.isascii() and "_" not in value
    if isinstance(value, bool) or not (is_plain or isinstance(value, Real | Decimal)):
        return None
    try:
        number = kind(value) if is_plain else float(value)
    except (ValueError, OverflowError):  # overflow: a whole number of 400 digits
        return None
    return number if isfinite(number) else None


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"of type {type(value).__name__}"
