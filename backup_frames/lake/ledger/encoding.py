"""Hashes of a lake whose format holds rows, not our bytes: they end with the version that encoded them.

In: a store and a manifest. Out: the manifest as this version would have written it. Bytes differ
between releases of pyarrow, and wherever a column's description was reworded; the rows do not.
"""

from __future__ import annotations

import hashlib

import msgspec
import pyarrow as pa

from ...errors import LakeError
from ...frames.partitions import decode_table, encode_table
from ...frames.schema import TABLES, as_written
from ..storage.store import Store
from .merge import LEDGER_SCHEMAS
from .metadata import FileEntry, Manifest, describe_file

_SCHEMAS = {**TABLES, **LEDGER_SCHEMAS}


def encoding_of(store: Store) -> str:
    """What tells how this version encodes rows; empty where files keep the bytes they were written as."""
    if store.format == "parquet":
        return ""
    digest = hashlib.sha256()
    for schema in _SCHEMAS.values():
        row = [pa.nulls(1, field.type) for field in schema]
        digest.update(encode_table(pa.Table.from_arrays(row, schema=schema)))
    return digest.hexdigest()


def in_this_encoding(store: Store, manifest: Manifest) -> Manifest:
    """The manifest, with the hashes that its rows have as this version encodes them.

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
        rows = decode_table(data, rows=entry.rows)
    except LakeError:
        return entry
    schema = as_written(_SCHEMAS[key.partition("/")[0]], rows.column_names)
    # A damaged file comes as it lies in the table, with other columns or other words on them.
    is_sound = rows.schema.equals(schema, check_metadata=True) and rows.num_rows == entry.rows
    return describe_file(data, entry.rows) if is_sound else entry
