"""The lake's tables as Iceberg tables, one each below the lake's folder, in a catalog.

In: which partitions have which file from now on. Out: snapshots of the tables, made by `pyiceberg`;
data files are the store's. The catalog is an SQLite file in the lake, or one that was set: SQL or
REST. Tables are partitioned by ``date`` and ``project_id``. Each snapshot replaces whole partitions
of one project, and carries its run and verdict among its properties.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import ConfigError, LakeError, MissingExtraError
from ...frames.partitions import decode_table, encode_sorted
from ..storage.store import RunNote
from .table_format import (
    DATE,
    SCHEMAS,
    Slot,
    TableFile,
    as_table,
    failed_table,
    partition_columns,
)

if TYPE_CHECKING:
    from ..storage.bucket_url import ObjectAddress

try:
    from pyiceberg.catalog import Catalog, load_catalog
    from pyiceberg.exceptions import (
        NamespaceAlreadyExistsError,
        NoSuchTableError,
        TableAlreadyExistsError,
    )
    from pyiceberg.io.pyarrow import (
        compute_statistics_plan,
        data_file_statistics_from_parquet_metadata,
        parquet_path_to_id_mapping,
    )
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.table import Table
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.typedef import Record

    from .iceberg_schema import add_columns, schema_of
except ImportError as error:
    raise MissingExtraError(
        "pyiceberg is not there, or is too old for a lake of format iceberg. "
        "Run pip install 'backup-frames[iceberg]'."
    ) from error

CATALOG_KEY: Final = "_meta/iceberg.db"
"""The catalog of a lake in a folder, if no other is set."""
CATALOG_NAME: Final = "lake"
"""What pyiceberg calls the catalog: PYICEBERG_CATALOG__LAKE__TOKEN and so on speak of it."""

_PROPERTIES: Final = {
    "format-version": "2",
    # Old metadata files would pile up with every run; snapshots stay until somebody expires them.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}
_EPOCH: Final = date(1970, 1, 1)


class IcebergTables:
    """`Tables` in Iceberg; no I/O before a table is asked for.

    Args:
        root: the lake's folder, or ``s3://bucket/prefix``.
        address: where that bucket is, and how to get in; None for a folder.
        catalog: URL of the catalog: ``sqlite:///…``, another SQL database's, or REST's ``http(s)``;
            None: an SQLite file in the lake's folder.
        namespace: the tables' namespace in the catalog.

    Raises:
        ConfigError: a bucket without a catalog.
    """

    name = "iceberg"
    needs_conditional_puts = False  # the catalog says which commit was first

    def __init__(
        self, root: str, address: ObjectAddress | None, *, catalog: str | None, namespace: str
    ) -> None:
        if address is not None and catalog is None:
            raise ConfigError(
                "An Iceberg lake in a bucket needs a catalog outside of it. Set "
                "BACKUP_FRAMES_ICEBERG_CATALOG to a REST catalog's URL or to sqlite:////a/file.db."
            )
        self._root = root if address else f"file://{root}"  # as Iceberg's metadata names it
        self._uri = catalog or f"sqlite:///{root}/{CATALOG_KEY}"
        self._namespace = namespace
        self._options = _options_of(address) if address else {}
        self._secrets = address.secrets if address else []

    def files(self, table: str) -> Mapping[Slot, Sequence[TableFile]] | None:
        """The files of the newest snapshot; reads its manifests."""
        if not self._has_catalog():
            return None
        found = defaultdict[Slot, list[TableFile]](list)
        with self._explained(table), self._catalog() as catalog:
            loaded = self._load(catalog, table)
            if loaded is None:
                return None
            for task in loaded.scan().plan_files():
                if task.delete_files:
                    raise LakeError(
                        f"Another program deleted rows of the Iceberg table {table} one by one, "
                        "which a lake never does. Roll back to the snapshot before that.",
                        path=table,
                    )
                file = self._file_of(task.file)
                found[file.slot].append(file)
        return dict(found)

    def encode(self, slot: Slot, rows: pa.Table) -> bytes:
        """Parquet with the partition's date, and with field ids."""
        if slot[1] is not None:
            rows = rows.append_column(DATE, pa.repeat(pa.scalar(slot[1], DATE.type), len(rows)))
        fields = [
            field.with_metadata({"PARQUET:field_id": str(number)})
            for number, field in enumerate(rows.schema, 1)
        ]
        return encode_sorted(rows.cast(pa.schema(fields)))

    def decode(
        self,
        table: str,
        slot: Slot,  # noqa: ARG002 - protocol
        data: bytes,
        *,
        rows: int | None = None,
    ) -> pa.Table:
        """The rows, under the table's own schema."""
        found = decode_table(data, rows=rows)
        return as_table(table, dict(zip(found.column_names, found.columns, strict=True)))

    def new_file(self, table: str, slot: Slot, name: str, data: bytes) -> TableFile:
        """A file in the partition's folder, with the statistics that engines skip files by."""
        folders = f"project_id={slot[0]}"
        if slot[1] is not None:
            folders = f"date={slot[1].isoformat()}/{folders}"
        key, schema = f"{table}/data/{folders}/{name}", schema_of(table)
        statistics = data_file_statistics_from_parquet_metadata(
            parquet_metadata=pq.read_metadata(pa.BufferReader(data)),
            stats_columns=compute_statistics_plan(schema, {}),
            parquet_column_mapping=parquet_path_to_id_mapping(schema),
        )
        days = [] if slot[1] is None else [(slot[1] - _EPOCH).days]
        file = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=f"{self._root}/{key}",
            file_format=FileFormat.PARQUET,
            partition=Record(*days, slot[0]),
            file_size_in_bytes=len(data),
            sort_order_id=None,
            spec_id=0,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )
        return TableFile(key, len(data), slot, file)

    def swap(
        self,
        table: str,
        added: Sequence[TableFile],
        removed: Sequence[TableFile],
        note: RunNote,
    ) -> None:
        """One snapshot, which names the run; the catalog refuses it if another was faster."""
        facts = {"run_id": note.run_id, "project_id": note.project_id, "verdict": note.verdict}
        with self._explained(table), self._catalog() as catalog:
            loaded = self._load(catalog, table) or self._create(catalog, table)
            if not added and not removed:
                return
            add_columns(loaded, table)
            with loaded.transaction() as transaction:
                update = transaction.update_snapshot(snapshot_properties=facts)
                with update.overwrite() as snapshot:
                    for file in removed:
                        snapshot.delete_data_file(file.detail)
                    for file in added:
                        snapshot.append_data_file(file.detail)

    def owns(self, key: str) -> bool:
        """The catalog, a table's metadata, or a data file of it."""
        table, _, path = key.partition("/")
        # on a bucket pyiceberg may put a marker of a folder, an object of its very name
        is_of_table = table in SCHEMAS and path.partition("/")[0] in ("metadata", "data")
        return is_of_table or key.startswith(CATALOG_KEY)

    def _has_catalog(self) -> bool:
        """Whether there can be any table: no reader makes a catalog."""
        path = self._uri.removeprefix("sqlite:///")
        return path == self._uri or Path(path).exists()

    @contextmanager
    def _catalog(self) -> Iterator[Catalog]:
        if self._uri.startswith("sqlite:///"):
            Path(self._uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        kind = "rest" if self._uri.startswith("http") else "sql"
        catalog = load_catalog(CATALOG_NAME, type=kind, uri=self._uri, **self._options)
        with closing(catalog):
            yield catalog

    def _load(self, catalog: Catalog, table: str) -> Table | None:
        try:
            loaded = catalog.load_table((self._namespace, table))
        except NoSuchTableError:
            return None
        if loaded.location() != f"{self._root}/{table}":
            raise ConfigError(
                f"The catalog's table {self._namespace}.{table} is at {loaded.location()}, not in "
                f"the lake {self._root}. A lake cannot be moved; of two lakes in one catalog each "
                "needs a namespace of its own: set BACKUP_FRAMES_ICEBERG_NAMESPACE."
            )
        return loaded

    def _create(self, catalog: Catalog, table: str) -> Table:
        with suppress(NamespaceAlreadyExistsError):
            catalog.create_namespace(self._namespace)
        schema = schema_of(table)
        spec = PartitionSpec(
            *(
                PartitionField(schema.find_field(name).field_id, number, IdentityTransform(), name)
                for number, name in enumerate(partition_columns(table), 1000)
            )
        )
        place = f"{self._root}/{table}"
        name = (self._namespace, table)
        with suppress(TableAlreadyExistsError):  # another project's run may be faster
            return catalog.create_table(name, schema, place, spec, properties=_PROPERTIES)
        return catalog.load_table(name)

    def _file_of(self, file: DataFile) -> TableFile:
        key = file.file_path.removeprefix(f"{self._root}/")
        *days, project_id = [file.partition[at] for at in range(len(file.partition))]
        partition = _EPOCH + timedelta(days=days[0]) if days else None
        return TableFile(key, file.file_size_in_bytes, (project_id, partition), file)

    @contextmanager
    def _explained(self, table: str) -> Iterator[None]:
        try:
            yield
        except (LakeError, ConfigError):
            raise
        except Exception as error:  # pyiceberg, its catalog and its store each have their own
            raise failed_table("Iceberg", table, self._root, error, self._secrets) from None


def _options_of(address: ObjectAddress) -> dict[str, str]:
    access_key, secret_key, token = address.credentials or (None, None, None)
    endpoint = (address.endpoint or "").replace(f"//{address.bucket}.", "//", 1) or None
    options = {
        "s3.region": address.region,
        "s3.access-key-id": access_key,
        "s3.secret-access-key": secret_key,
        "s3.session-token": token,
        "s3.endpoint": endpoint,
        "s3.force-virtual-addressing": str(address.is_virtual_host).lower(),
    }
    return {name: value for name, value in options.items() if value is not None}
