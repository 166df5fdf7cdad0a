"""How a column and a table say what they are: description and unit in Arrow's field metadata.

In: names, types, words. Out: Arrow fields and schemas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa

from .fields import TEXT, TIMESTAMP

COUNT = pa.int32()
TOTAL = pa.int64()

_UNITS: Mapping[pa.DataType, str] = {
    TEXT: "text",
    TIMESTAMP: "UTC, microseconds",
    pa.date32(): "UTC day",
    pa.bool_(): "yes or no",
    COUNT: "count",
    TOTAL: "count",
}


def make_field(name: str, kind: pa.DataType, description: str, unit: str | None = None) -> pa.Field:
    """A column that says what it holds; its unit by its type, where none is given."""
    words = {"description": description, "unit": unit or _UNITS[kind]}
    return pa.field(name, kind, metadata=words)


def make_schema(description: str, key: tuple[str, ...], *fields: pa.Field) -> pa.Schema:
    """A schema that says what it is, and tells pandas to keep counts with nulls whole numbers.

    Without the ``pandas`` note, `pandas.read_parquet` turns a count with nulls into floats.
    """
    whole_numbers = [
        {
            "name": field.name,
            "field_name": field.name,
            "pandas_type": "int32",
            "numpy_type": "Int32",
            "metadata": None,
        }
        for field in fields
        if field.type == COUNT and not field.name.endswith("_index")
    ]
    note = {"index_columns": [], "column_indexes": [], "columns": whole_numbers}
    metadata = {"description": description, "key": ", ".join(key)}
    if whole_numbers:
        metadata["pandas"] = json.dumps(note)
    return pa.schema(fields, metadata=metadata)
