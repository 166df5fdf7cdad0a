"""Spark's data source: `register` it, then read the format ``backup_frames``.

In: a Spark session. Out: the names below, loaded when first used, since they need pyspark.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .source import BackupFramesSource, ReadLog, register

__all__ = ["BackupFramesSource", "ReadLog", "register"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".source", __name__), name)
