"""A lake in a bucket, as DuckDB sees it while views over it are made.

In: a lake's URL. Out: the lake's ``s3://bucket/prefix`` path, and a connection that reads such paths
through the lake's own store. DuckDB's own S3 reader is an extension that it fetches from the network;
whoever opens the published file uses that one, with credentials of their own.
"""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from fnmatch import translate
from functools import lru_cache
from typing import Any

import duckdb

from ...errors import MissingExtraError
from ...lake.storage.store import Store
from ...lake.storage.urls import bucket_environ
from .sql_text import escaped

try:
    from fsspec import AbstractFileSystem
except ImportError as _missing:  # pragma: no cover - the dev group has it
    raise MissingExtraError(
        "Views into a bucket need fsspec. Run pip install 'backup-frames[bi]', or publish with "
        "--materialize, which holds the rows."
    ) from _missing


def attach_bucket(connection: duckdb.DuckDBPyConnection, lake: str, store: Store) -> str:
    """Let the connection read the lake by its ``s3://`` path, and return this path.

    Raises:
        ConfigError: the URL or the credentials are wrong.
    """
    from ...lake.storage.bucket_url import read_object_url  # noqa: PLC0415 - loads obstore

    address = read_object_url(lake, bucket_environ(lake, None))
    place = f"s3://{'/'.join(filter(None, (address.bucket, address.prefix)))}"
    connection.register_filesystem(_BucketFiles(store, place))
    return place


class _BucketFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec is untyped
    """The files of one lake; DuckDB asks for a pattern, then for files."""

    protocol = "s3"
    cachable = False

    def __init__(self, store: Store, place: str) -> None:
        super().__init__()
        self._place = place
        self._store = store
        # every view that is made looks at the same first file of its table again
        self._read = lru_cache(maxsize=8)(store.read)
        self._sizes: dict[str, dict[str, int]] = {}

    def glob(self, path: str, **_: Any) -> list[str]:
        """The lake's files that match; DuckDB's patterns are those of fnmatch, folder by folder."""
        pattern = f"s3://{path.removeprefix('s3://')}".removeprefix(f"{escaped(self._place)}/")
        is_match = re.compile(translate(pattern).replace(".*", "[^/]*")).match
        return [f"{self._place}/{key}" for key in self._files(pattern) if is_match(key)]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """A file's size, as it was listed."""
        key = self._key(path)
        return {"name": path, "size": self._files(key)[key], "type": "file"}

    def modified(self, path: str) -> datetime:  # noqa: ARG002 - fsspec's signature
        """Always the same: a connection that only makes views has no cache to renew."""
        return datetime.fromtimestamp(0, UTC)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        data = self._read(self._key(path))
        if mode != "rb" or data is None:
            raise FileNotFoundError(path)
        return io.BytesIO(data)

    def _files(self, key: str) -> dict[str, int]:
        folder = key.split("/", maxsplit=1)[0]
        if folder not in self._sizes:  # one listing for all questions about a table
            self._sizes[folder] = {file.key: file.size for file in self._store.list(folder)}
        return self._sizes[folder]

    def _key(self, path: str) -> str:
        return path.removeprefix("s3://").removeprefix(f"{self._place.removeprefix('s3://')}/")
