"""The columns of the lake's tables as Iceberg has them.

In: a table's name. Out: its schema; a table of an earlier version brought up to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from ...frames.schema import RENAMED_COLUMNS, TIMESTAMP
from .table_format import commented_fields

_TYPES: Final[Mapping[pa.DataType, IcebergType]] = {
    pa.string(): StringType(),
    pa.float64(): DoubleType(),
    pa.int32(): IntegerType(),
    pa.int64(): LongType(),
    pa.bool_(): BooleanType(),
    pa.date32(): DateType(),
    TIMESTAMP: TimestamptzType(),
}


def add_columns(loaded: Table, table: str) -> None:
    """Give a table of an earlier version the columns that came later, and the names they have now."""
    known = {field.name for field in loaded.schema().fields}
    for old in known & RENAMED_COLUMNS.keys():
        with loaded.update_schema() as update:
            update.rename_column(old, RENAMED_COLUMNS[old])
        known.add(RENAMED_COLUMNS[old])
    new = [field for field in schema_of(table).fields if field.name not in known]
    if new:
        with loaded.update_schema() as update:
            for field in new:
                update.add_column(field.name, field.field_type, doc=field.doc)


@cache
def schema_of(table: str) -> Schema:
    """The table's columns with their words, numbered from 1, and the partition's date."""
    return Schema(
        *(
            NestedField(number, field.name, _TYPES[field.type], required=False, doc=words)
            for number, (field, words) in enumerate(commented_fields(table), 1)
        )
    )
