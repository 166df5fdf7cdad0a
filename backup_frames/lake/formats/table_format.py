"""What a table format must do to hold a lake, and what all of them share.

In: a table's name, files, errors of a format's library. Out: the `Tables` protocol that `delta` and
`iceberg` fulfil, the columns and partitions that their tables have, and errors without secrets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple, Protocol

import pyarrow as pa

from ...api.scrub import without_secrets
from ...errors import LakeError
from ...frames.schema import LEDGER_SCHEMAS, TABLES, as_written, comment_of
from ..storage.layout import INVENTORY_NAMES
from ..storage.store import RunNote

SCHEMAS: Final[Mapping[str, pa.Schema]] = {**TABLES, **LEDGER_SCHEMAS}
DATE: Final = pa.field("date", pa.date32())
DATE_WORDS: Final = (
    "UTC day of the partition: that of begin_time (or the first of its month), 1970-01-01 without "
    "one; of a run the day it stands for. Unit: UTC day."
)
Slot = tuple[str, date | None]
"""A project's partition of a table; the inventory has one per project, without a date."""


class TableFile(NamedTuple):
    """One data file of a table.

    Attributes:
        key: where it is below the lake.
        size: in bytes.
        slot: the partition that it is in.
        detail: what else its format needs to know of it.
    """

    key: str
    size: int
    slot: Slot
    detail: Any = None

    @property
    def sha256(self) -> str | None:
        """What its name says of its bytes; None for a file that another program wrote."""
        stem = self.key.rpartition("/")[2].partition(".")[0]
        return stem[:64] if len(stem) == 73 and stem[64] == "-" else None


class Tables(Protocol):
    """A table format: which files a table consists of, and how that is changed at once."""

    @property
    def name(self) -> str:
        """The format's name, as in ``--format``."""

    @property
    def needs_conditional_puts(self) -> bool:
        """Whether commits of two projects at once are safe only where the store has them."""

    def files(self, table: str) -> Mapping[Slot, Sequence[TableFile]] | None:
        """The files of the table's newest version; None if there is no table yet."""

    def encode(self, slot: Slot, rows: pa.Table) -> bytes:
        """The bytes of a data file with these rows, in the order they are in."""

    def decode(self, table: str, slot: Slot, data: bytes, *, rows: int | None = None) -> pa.Table:
        """The rows of a data file, with all columns of the table; at most so many, if it is known.

        Raises:
            LakeError: the bytes are damaged, or lack a column.
        """

    def new_file(self, table: str, slot: Slot, name: str, data: bytes) -> TableFile:
        """What a file with these bytes, as `encode` gave them, will be to the table."""

    def swap(
        self,
        table: str,
        added: Sequence[TableFile],
        removed: Sequence[TableFile],
        note: RunNote,
    ) -> None:
        """Take files out and others in, in one commit; the table is made if it does not exist.

        Raises:
            LakeError: it was not made, since another commit was faster or the storage failed; or
                only its answer was lost. `files` tells.
        """

    def owns(self, key: str) -> bool:
        """Whether a file below the lake is one of the tables', current or not."""


def partition_columns(table: str) -> list[str]:
    """What a table is partitioned by, in every format."""
    return ["project_id"] if table in INVENTORY_NAMES else ["date", "project_id"]


def commented_fields(table: str) -> list[tuple[pa.Field, str]]:
    """The table's columns with what to say of each, and the partition's date."""
    fields = [(field, comment_of(field)) for field in SCHEMAS[table]]
    return fields if table in INVENTORY_NAMES else [*fields, (DATE, DATE_WORDS)]


def as_table(table: str, columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """What a data file holds, under the table's own schema.

    A file of an earlier version has the bytes that the manifest knows: without later columns.

    Raises:
        LakeError: a column is not there, or holds something else.
    """
    schema = as_written(SCHEMAS[table], [*columns])
    try:
        arrays = [columns[field.name].cast(field.type) for field in schema]
    except (KeyError, pa.ArrowException) as error:
        raise LakeError(f"A file of {table} lacks a column: {error}.") from error
    return pa.Table.from_arrays(arrays, schema=schema)


def failed_table(
    kind: str, table: str, root: str, error: Exception, secrets: Sequence[str]
) -> LakeError:
    """What a format's library said, without secrets.

    To be raised ``from None``, since the cause may repeat what was signed.
    """
    reason = re.sub(r"\s+", " ", without_secrets(str(error), secrets))[:300].rstrip(". ")
    return LakeError(
        f"The {kind} table {table} of {root} failed: {reason}. Nothing half-written is visible; "
        "check the store and any catalog, and run again.",
        path=table,
    )
