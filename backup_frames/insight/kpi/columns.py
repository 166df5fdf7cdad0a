"""The columns of a base relation as SQL.

In: the relation's schema, and the columns that files have. Out: SQL that selects the schema's columns
with its types, whatever the files lack or call otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ...frames.schema import RENAMED_COLUMNS, TIMESTAMP

_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    TIMESTAMP: "TIMESTAMP",
}


def columns_of(schema: pa.Schema, stored: Sequence[str]) -> str:
    """The columns as SQL, times as UTC without zone; null where the files lack one.

    With a zone, every tool would show them in its own, and Python's `fetchall` would want pytz.
    """
    former = {new: old for old, new in RENAMED_COLUMNS.items() if old in stored}

    def column(field: pa.Field) -> str:
        names = (field.name, former.get(field.name, field.name))
        named = [name for name in dict.fromkeys(names) if name in stored]
        if not named:
            return f"NULL::{_SQL_TYPES[field.type]} AS {field.name}"
        source = f"coalesce({', '.join(named)})" if len(named) > 1 else named[0]
        if field.type == TIMESTAMP:
            source = f"make_timestamp(epoch_us({source}))"
        # views were made over the types of the schema, and refuse others
        return f"{source}::{_SQL_TYPES[field.type]} AS {field.name}"

    return ", ".join(map(column, schema))


def no_rows(schema: pa.Schema) -> str:
    """SQL that selects no rows, with the schema's columns and types."""
    return f"SELECT {columns_of(schema, ())} WHERE false"
