"""The fields of the API's record of a backup: one line each, and everything else follows from it.

In: nothing. Out: `FIELDS`, and what is derived of it: the types that JSON is read with, the names that
are known. The columns of `schema`, flattening, the records rebuilt, the checks of odd values and the
values that a certificate calls unknown follow, too. A new plain field is one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import pyarrow as pa

from ...api.query import BACKUP_TYPES, ENGINES

TEXT: Final = pa.string()
NUMBER: Final = pa.float64()
TIMESTAMP: Final = pa.timestamp("us", tz="UTC")


class Field(NamedTuple):
    """A field of a record that one column carries.

    Attributes:
        path: its API name; behind the object's name and a dot if it is inside one.
        column: the column of ``backups`` that carries it.
        type: the column's type: `TEXT`, `NUMBER` (0 or more), `TIMESTAMP` (text in JSON) or
            `pyarrow.bool_()`.
        description: what it is, for the data dictionary.
        unit: its unit; None for what every column of the type has.
        known: values that the reference page names; others pass through, and certificates name them.
        is_later: files written by earlier versions lack the column.
    """

    path: str
    column: str
    type: pa.DataType
    description: str
    unit: str | None = None
    known: tuple[str, ...] = ()
    is_later: bool = False


FIELDS: Final = (
    Field("id", "backup_id", TEXT, "Backup ID (API: id)."),
    Field("name", "name", TEXT, "Backup name."),
    Field("description", "description", TEXT, "Backup description."),
    Field("instance_id", "instance_id", TEXT, "ID of the instance that was backed up."),
    Field("instance_name", "instance_name", TEXT, "Name of the instance that was backed up."),
    Field(
        "datastore.type",
        "datastore_type",
        TEXT,
        "Database engine (API: datastore.type), such as cassandra.",
        known=ENGINES,
    ),
    Field(
        "datastore.version",
        "datastore_version",
        TEXT,
        "Engine version (API: datastore.version).",
    ),
    Field(
        "type",
        "backup_type",
        TEXT,
        "How it came about (API: type): Auto, Manual, or as sent.",
        known=BACKUP_TYPES,
    ),
    Field(
        "status",
        "status",
        TEXT,
        "State as sent: BUILDING, COMPLETED, FAILED, or another.",
        known=("BUILDING", "COMPLETED", "FAILED"),
    ),
    Field("size", "size_kb", NUMBER, "Backup size (API: size).", "KB"),
    Field(
        "begin_time",
        "begin_time",
        TIMESTAMP,
        "When the backup started; null if not sent, empty or unreadable.",
    ),
    Field(
        "end_time",
        "end_time",
        TIMESTAMP,
        "When the backup ended; null if not sent, empty or unreadable.",
    ),
)
"""The one table of the record's fields, in the order of their columns."""

ENTRIES: Final = "database_tables"
"""The record's list of databases; the tables `backup_databases` and `backup_tables` carry it."""
ENTRY: Final = pa.struct([("database_name", TEXT), ("table_names", pa.list_(TEXT))])

OBJECTS: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(
        field.path.partition(".")[2] for field in FIELDS if field.path.startswith(f"{name}.")
    )
    for name in dict.fromkeys(field.path.partition(".")[0] for field in FIELDS if "." in field.path)
}
"""The objects inside a record, such as ``datastore``, with the names of their fields."""

RECORD_NAMES: Final = tuple(dict.fromkeys(field.path.partition(".")[0] for field in FIELDS))
"""The names of a record's own fields, but for `ENTRIES`."""


def _json_type(path: str) -> pa.DataType:
    if path in OBJECTS:
        return pa.struct([(name, _json_type(f"{path}.{name}")) for name in OBJECTS[path]])
    (kind,) = (field.type for field in FIELDS if field.path == path)
    return TEXT if kind == TIMESTAMP else kind


RECORD: Final = pa.struct(
    [*((name, _json_type(name)) for name in RECORD_NAMES), (ENTRIES, pa.list_(ENTRY))]
)
"""A record as its JSON is read."""
