"""Arrow tables as one Excel workbook: a sheet a table, and nothing that a cell could run.

In: tables by sheet name. Out: an ``.xlsx`` file's bytes. Text is always text: what begins with ``=`` is
no formula, what looks like an address no link. Excel knows no time zones, so times are UTC without
one; it holds 15 digits of a number, so larger whole numbers are written as text. A sheet holds
1,048,576 rows and a cell 32,767 characters: more rows are an error, a longer text ends with "…".
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import pyarrow as pa

from ..errors import MissingExtraError, QueryError

MAX_ROWS: Final = 2**20 - 1
"""Rows below the heading (Excel's specification)."""
MAX_CHARACTERS: Final = 32_767
MAX_NUMBER: Final = 10**15
_BATCH_ROWS: Final = 10_000
_EARLIEST: Final = date(1900, 3, 1)  # before it Excel counts a day that never was


def encode_workbook(sheets: Mapping[str, pa.Table]) -> bytes:
    """The workbook's bytes.

    Raises:
        MissingExtraError: the library that writes workbooks is not installed.
        QueryError: a table has more rows than a sheet.
    """
    try:
        import xlsxwriter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "Workbooks need XlsxWriter. Run pip install 'backup-frames[excel]'."
        ) from error
    for name, table in sheets.items():
        if table.num_rows > MAX_ROWS:
            raise QueryError(
                f"{name} has {table.num_rows:,} rows; a sheet of Excel holds {MAX_ROWS:,}. "
                "Ask for fewer (begin, end, a filter), or take CSV or Parquet."
            )
    file = io.BytesIO()
    options = {
        "in_memory": True,
        "remove_timezone": True,
        "default_date_format": "yyyy-mm-dd hh:mm:ss",
    }
    with xlsxwriter.Workbook(file, options) as workbook:
        bold = workbook.add_format({"bold": True})
        day = workbook.add_format({"num_format": "yyyy-mm-dd"})
        for name, table in sheets.items():
            _write_sheet(workbook.add_worksheet(name), table, bold, day)
    return file.getvalue()


def _write_sheet(sheet: Any, table: pa.Table, bold: Any, day: Any) -> None:
    for column, field in enumerate(table.schema):
        sheet.write_string(0, column, field.name, bold)
        sheet.set_column(column, column, max(12, min(len(field.name) + 2, 40)))
    sheet.freeze_panes(1, 0)
    if table.num_rows:
        sheet.autofilter(0, 0, table.num_rows, len(table.schema) - 1)
    row = 1
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            for column, value in enumerate(values):
                _write_cell(sheet, row, column, value, day)
            row += 1


def _write_cell(sheet: Any, row: int, column: int, value: Any, day: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float) and abs(value) < MAX_NUMBER:
        sheet.write_number(row, column, value)
    elif isinstance(value, datetime) and value.date() >= _EARLIEST:
        sheet.write_datetime(row, column, value.replace(tzinfo=None))
    elif isinstance(value, date) and not isinstance(value, datetime) and value >= _EARLIEST:
        sheet.write_datetime(row, column, datetime(value.year, value.month, value.day), day)  # noqa: DTZ001 - Excel has no zones
    else:
        text = str(value)
        if len(text) > MAX_CHARACTERS:
            text = text[: MAX_CHARACTERS - 1] + "…"
        sheet.write_string(row, column, text)
