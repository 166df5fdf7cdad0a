"""The lake's tables as Delta Lake tables, one each below the lake's folder.

In: which partitions have which file from now on. Out: commits to the tables' logs, made by
`deltalake`; data files are the store's. Tables are partitioned by ``date`` and ``project_id``, so
that projects never conflict, and a file has all columns but these two, as Delta wants it. Each
commit carries the run: as application transaction, and with its verdict in the history.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...clock import Clock
from ...errors import LakeError, MissingExtraError
from ...frames.partitions import decode_table, encode_sorted
from ...frames.schema import DESCRIPTIONS
from ..storage.store import RunNote
from .table_format import (
    SCHEMAS,
    Slot,
    TableFile,
    as_table,
    commented_fields,
    failed_table,
    partition_columns,
)

if TYPE_CHECKING:
    from ..storage.bucket_url import ObjectAddress

try:
    from deltalake import CommitProperties, DeltaTable, Schema, Transaction
    from deltalake.exceptions import DeltaError, TableNotFoundError
    from deltalake.transaction import AddAction, create_table_with_add_actions
except ImportError as error:
    raise MissingExtraError(
        "deltalake is not there, or is too old for a lake of format delta. "
        "Run pip install 'backup-frames[delta]'."
    ) from error


class DeltaTables:
    """`Tables` in Delta Lake; no I/O before a table is asked for.

    Args:
        root: the lake's folder, or ``s3://bucket/prefix``.
        address: where that bucket is, and how to get in; None for a folder.
        clock: says when a file was added or removed.
    """

    name = "delta"
    needs_conditional_puts = True

    def __init__(self, root: str, address: ObjectAddress | None, *, clock: Clock) -> None:
        self._root = root
        self._options = _options_of(address) if address else {}
        self._secrets = address.secrets if address else []
        self._clock = clock

    def files(self, table: str) -> Mapping[Slot, Sequence[TableFile]] | None:
        """The files of the newest version; reads the table's log."""
        with self._explained(table):
            opened = self._open(table)
            return None if opened is None else _files_of(opened, table)

    def encode(self, slot: Slot, rows: pa.Table) -> bytes:  # noqa: ARG002 - protocol
        """Parquet without the partition's columns."""
        return encode_sorted(rows.drop_columns(["project_id"]))

    def decode(self, table: str, slot: Slot, data: bytes, *, rows: int | None = None) -> pa.Table:
        """The rows, with the project that the partition names."""
        found = decode_table(data, rows=rows)
        project = pa.repeat(pa.scalar(slot[0]), found.num_rows)
        return as_table(
            table, dict(zip(found.column_names, found.columns, strict=True), project_id=project)
        )

    def new_file(self, table: str, slot: Slot, name: str, data: bytes) -> TableFile:
        """A file in the partition's folder."""
        folders = "/".join(f"{key}={value}" for key, value in _partition_values(slot).items())
        rows = pq.read_metadata(pa.BufferReader(data)).num_rows
        return TableFile(f"{table}/{folders}/{name}", len(data), slot, rows)

    def swap(
        self,
        table: str,
        added: Sequence[TableFile],
        removed: Sequence[TableFile],
        note: RunNote,
    ) -> None:
        """One commit to the table's log, which names the run and replaces whole partitions."""
        facts = {"run_id": note.run_id, "project_id": note.project_id, "verdict": note.verdict}
        run = Transaction(f"backup-frames/{note.project_id}", _run_number(note))
        now_ms = int(self._clock.now().timestamp() * 1000)
        actions: list[Any] = [
            AddAction(
                file.key.partition("/")[2],
                file.size,
                _partition_values(file.slot),
                now_ms,
                True,
                json.dumps({"numRecords": file.detail}),
            )
            for file in added
        ]
        # An append never conflicts with another project's commit; an overwrite may, and is retried.
        replaced = _predicate(note.project_id, [*added, *removed]) if removed else None
        with self._explained(table):
            opened = self._open(table) or self._create(table)
            opened.create_write_transaction(
                actions,
                "overwrite" if replaced else "append",
                _schema_of(table),
                partition_columns(table),
                replaced,
                commit_properties=CommitProperties(facts, app_transactions=[run]),
            )

    def owns(self, key: str) -> bool:
        """A table's log, or a data file in the folder of a partition."""
        table, _, path = key.partition("/")
        is_data = re.fullmatch(r"(date=[0-9-]+/)?project_id=[A-Za-z0-9_-]+/[^/]+\.parquet", path)
        return table in SCHEMAS and (path.startswith("_delta_log/") or is_data is not None)

    def _open(self, table: str) -> DeltaTable | None:
        try:
            opened = DeltaTable(f"{self._root}/{table}", storage_options=self._options or None)
        except TableNotFoundError:
            return None
        protocol = opened.protocol()
        if protocol.min_reader_version > 1:
            features = ", ".join(protocol.reader_features or ["column mapping"])
            raise LakeError(
                f"The Delta table {table} of {self._root} was changed to need {features}, which "
                "a lake does not use. Restore the table to a version before that.",
                path=table,
            )
        return opened

    def _create(self, table: str) -> DeltaTable:
        with suppress(DeltaError):  # another project's run may be faster
            create_table_with_add_actions(
                f"{self._root}/{table}",
                _schema_of(table),
                [],
                partition_by=partition_columns(table),
                name=table,
                description=DESCRIPTIONS[table],
                storage_options=self._options or None,
            )
        opened = self._open(table)
        if opened is None:
            raise LakeError(f"The Delta table {table} of {self._root} could not be made.")
        return opened

    @contextmanager
    def _explained(self, table: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError, ValueError) as error:
            raise failed_table("Delta", table, self._root, error, self._secrets) from None


def _options_of(address: ObjectAddress) -> dict[str, str]:
    access_key, secret_key, token = address.credentials or (None, None, None)
    options = {
        "aws_region": address.region,
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secret_key,
        "aws_session_token": token,
        # Both, since AWS_ENDPOINT_URL_S3 of the environment would win over the other alone.
        "aws_endpoint_url": address.endpoint,
        "aws_endpoint_url_s3": address.endpoint,
        "aws_virtual_hosted_style_request": str(address.is_virtual_host).lower(),
        "aws_allow_http": str((address.endpoint or "").startswith("http://")).lower(),
        "connect_timeout": "5s",
        "timeout": "120s",
    }
    return {name: value for name, value in options.items() if value is not None}


def _files_of(opened: DeltaTable, table: str) -> dict[Slot, list[TableFile]]:
    actions = pa.table(opened.get_add_actions(flatten=True))
    files = defaultdict[Slot, list[TableFile]](list)
    for row in actions.to_pylist():
        slot = (row["partition.project_id"], row.get("partition.date"))
        files[slot].append(TableFile(f"{table}/{row['path']}", row["size_bytes"], slot))
    return dict(files)


def _predicate(project_id: str, files: Sequence[TableFile]) -> list[tuple[str, str, Any]]:
    """The partitions of these files, all of one project."""
    days = sorted({file.slot[1].isoformat() for file in files if file.slot[1] is not None})
    of_project = ("project_id", "=", project_id)
    return [of_project, ("date", "in", days)] if days else [of_project]


def _partition_values(slot: Slot) -> dict[str, str | None]:
    project_id, partition = slot
    named: dict[str, str | None] = {} if partition is None else {"date": partition.isoformat()}
    return named | {"project_id": project_id}


def _schema_of(table: str) -> Schema:
    """The table's columns with their words as comments, and the partition's date."""
    return Schema.from_arrow(
        pa.schema(
            [field.with_metadata({"comment": words}) for field, words in commented_fields(table)]
        )
    )


def _run_number(note: RunNote) -> int:
    """The run as the number that a Delta application transaction wants: it grows with time."""
    match = re.fullmatch(r"(\d{8}T\d{12})Z(?:-(\d+))?", note.run_id)
    if match is None:
        return note.as_of_s * 1_000_000
    started_at = datetime.strptime(match[1] + "+0000", "%Y%m%dT%H%M%S%f%z")
    return int(started_at.timestamp() * 1_000_000) + int(match[2] or 1) - 1
