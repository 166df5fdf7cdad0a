"""What holds a lake's rows, chosen in one place: plain Parquet files, Delta Lake, or Iceberg.

In: a lake's URL, and the format that is wanted. Out: the store that everything else uses, without
knowing which it is. A lake is of one format for good, which its record names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, get_args

from ...clock import Clock, SystemClock
from ...errors import ConfigError
from ...settings import Settings, load_settings
from ...settings.values import LakeFormat
from ..ledger.metadata import LakeRecord, decode_record
from ..storage.layout import LAKE_KEY, parse_key
from ..storage.store import Store
from ..storage.urls import bucket_environ, local_root, open_store, scheme_of
from .table_format import SCHEMAS
from .table_store import TableStore

if TYPE_CHECKING:
    from ..storage.bucket_url import ObjectAddress

FORMATS: Final[tuple[str, ...]] = get_args(LakeFormat)


def open_lake_store(
    url: str,
    *,
    scratch: str,
    clock: Clock | None = None,
    lake_format: str | None = None,
    settings: Settings | None = None,
) -> Store:
    """The store of a lake, of whatever format it is. Costs one small read.

    Args:
        url: as for `open_store`.
        scratch: as for `open_store`.
        clock: as for `open_store`.
        lake_format: what a new lake is to be; None: what the lake is, ``parquet`` for a new one.
        settings: where to look for an Iceberg catalog and for OBS; None: environment and config
            file.

    Raises:
        ConfigError: the URL is none, the format is unknown, or the lake is of another.
        MissingExtraError: the library for the format is not installed.
        LakeError: the store cannot be read.
    """
    clock = clock or SystemClock()
    files = open_store(url, scratch=scratch, clock=clock, settings=settings)
    known = _known_format(files)
    for one in (lake_format, known):
        if one is not None and one not in FORMATS:
            raise ConfigError(f"There is no lake of format {one!r}. Use {', '.join(FORMATS)}.")
    if known and lake_format and known != lake_format:
        raise ConfigError(
            f"{url} is a lake of format {known}, not {lake_format}, and one place holds one lake. "
            "Leave the format out, or sync into a new place."
        )
    chosen = known or lake_format or "parquet"
    if chosen == "parquet":
        return files
    root, address = _find_place(url, settings)
    if chosen == "delta":
        from .delta import DeltaTables  # noqa: PLC0415 - loads deltalake only if used

        return TableStore(files, DeltaTables(root, address, clock=clock), clock=clock)
    from .iceberg import IcebergTables  # noqa: PLC0415 - loads pyiceberg only if used

    settings = settings or load_settings()
    catalog, namespace = settings.iceberg_catalog, settings.iceberg_namespace
    tables = IcebergTables(root, address, catalog=catalog, namespace=namespace)
    return TableStore(files, tables, clock=clock)


def _known_format(files: Store) -> str | None:
    """What the lake's record says, else what its files look like; None if there is no lake."""
    record = decode_record(files.read(LAKE_KEY), LakeRecord)
    if record is not None:
        return record.format
    paths = [file.key for table in SCHEMAS for file in files.list(table)]
    for mark, lake_format in (("/_delta_log/", "delta"), ("/metadata/", "iceberg")):
        if any(mark in path for path in paths):
            return lake_format
    return "parquet" if any(map(parse_key, paths)) else None


def _find_place(url: str, settings: Settings | None) -> tuple[str, ObjectAddress | None]:
    """The lake's folder, or its bucket and prefix as a URL with the address behind it."""
    if scheme_of(url) not in ("s3", "obs"):
        root = str(local_root(url))
        if re.search(r"[?#%]", root):
            raise ConfigError(
                f"Delta Lake and Iceberg name files by URL: the path {root} must be without ?, # "
                "and %. Choose another folder, or --format parquet."
            )
        return root, None
    from ..storage.bucket_url import read_object_url  # noqa: PLC0415 - loads obstore only if used

    address = read_object_url(url, bucket_environ(url, settings))
    return f"s3://{address.bucket}/{address.prefix}".rstrip("/"), address
