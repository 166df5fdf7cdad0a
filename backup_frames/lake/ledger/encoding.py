"""Hashes of a lake whose format also keeps rows without a file of their own: they end with the encoder.

In: a store and a manifest. Out: the manifest as this version would have written it. The rows of a
day's runs share a file, and what another program has written anew is no longer as it was put: of both
a hash is that of their rows as they are encoded now, which differs between releases of pyarrow, and
wherever a column's description was reworded.
"""

from __future__ import annotations

import hashlib
from functools import cache

import msgspec

from ...errors import LakeError
from ...frames.partitions import ENCODER
from ...frames.schema import LEDGER_SCHEMAS, TABLES
from ..storage.store import Store
from .metadata import FileEntry, Manifest, describe_file


def encoding_of(store: Store) -> str:
    """What tells how this version encodes rows; empty where files keep the bytes they were written as."""
    return "" if store.format == "parquet" else _digest(store.format, ENCODER)


def in_this_encoding(store: Store, manifest: Manifest) -> Manifest:
    """The manifest, with the hashes of its files as they lie in the tables, or would by this version.

    Reads the whole lake if another version wrote the manifest. The table's own hash vouches for a
    file then; what lacks rows or cannot be read keeps its entry, so that it is found damaged.
    """
    encoding = encoding_of(store)
    if manifest.encoding == encoding:
        return manifest
    files = {key: _describe(store, key, entry) for key, entry in manifest.files.items()}
    return msgspec.structs.replace(manifest, files=files, encoding=encoding)


def _describe(store: Store, key: str, entry: FileEntry) -> FileEntry:
    try:
        data = store.read(key) or b""
        rows = store.decode(key, data, rows=entry.rows)
    except LakeError:
        return entry
    return describe_file(data, entry.rows) if rows.num_rows == entry.rows else entry


@cache
def _digest(lake_format: str, encoder: str) -> str:
    digest = hashlib.sha256(f"{lake_format} {encoder}".encode())
    for schema in (*TABLES.values(), *LEDGER_SCHEMAS.values()):
        digest.update(schema.serialize())
    return digest.hexdigest()
