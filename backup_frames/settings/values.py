"""What a setting's value may be: one type per kind of value, each with its check.

In: values as the user gave them. Out: the same, or a `ValueError` that says what to write instead.
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

ApiVersion = Literal["v3.1", "v4"]
LakeFormat = Literal["parquet", "delta", "iceberg"]
Place = str | os.PathLike[str]
"""Where a lake or a file is: a path of any kind, or a URL."""

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:]+\]|[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE,
)
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|\[::1\]", re.IGNORECASE)


def _check_origin(text: str) -> str:
    """Return ``scheme://host[:port]``; credentials travel there, so nothing else may hide in it."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError("must be https://host or https://host:port, without path, query or user")
    if match["port"] is not None and not 0 < int(match["port"]) < 65536:
        raise ValueError(f"names port {match['port']}; use one between 1 and 65535")
    if match["scheme"].lower() == "http" and not _LOOPBACK.fullmatch(match["host"]):
        raise ValueError(
            "would send credentials unencrypted; use https:// (http:// is for 127.0.0.1)"
        )
    return text.rstrip("/").lower()


def _check_header(secret: SecretStr) -> SecretStr:
    """Refuse what cannot stand in an HTTP header, or would end it and start another."""
    if not re.fullmatch(r"[\x21-\x7e]+", secret.get_secret_value()):
        raise ValueError(
            "is empty or holds a space, a line break or a non-ASCII character; copy it again"
        )
    return secret


def _check_region(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2}-[a-z0-9-]{1,60}", text):
        raise ValueError("is no region; write it like cn-north-4 or eu-west-101")
    return text


def _check_project_id(text: str) -> str:
    """Keep the alphabet closed: it becomes a path on disk and part of a URL."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ValueError("is no project id; it has 1 to 64 letters, digits, - or _")
    return text


def _check_catalog(text: str) -> str:
    """Keep secrets out: a catalog's URL is shown and logged."""
    if not re.fullmatch(r"[a-z][a-z0-9+]*://[^@\s]+", text):
        raise ValueError(
            "must be https://host, sqlite:////path or another database's URL, without user and "
            "password; pyiceberg takes those from PYICEBERG_CATALOG__LAKE__TOKEN or __URI"
        )
    return text


def _place_text(place: Any) -> Any:
    """A path as its text; anything else is checked as it is."""
    return os.fspath(place) if isinstance(place, os.PathLike) else place


Origin = Annotated[str, AfterValidator(_check_origin)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_check_header)]
Region = Annotated[str, AfterValidator(_check_region)]
ProjectId = Annotated[str, AfterValidator(_check_project_id)]
Text = Annotated[str, Field(min_length=1)]
LakePlace = Annotated[Text, BeforeValidator(_place_text)]
Catalog = Annotated[str, AfterValidator(_check_catalog)]
