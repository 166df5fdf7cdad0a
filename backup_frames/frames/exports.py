"""What a person takes along: one flat table, or one Excel workbook.

In: `ArrowFrames`, or tables by sheet name. Out: one Arrow table whose grain is the finest there is (a row
per table name, per database without named tables, per backup without databases; what all have is there
once), or an ``.xlsx`` file's bytes, with nothing in it that a cell could run. Text is always text: what
begins with ``=`` is no formula, what looks like an address no link. Excel knows no time zones, so times
are UTC without one; it holds 15 digits of a number, so larger whole numbers are written as text. A sheet
holds 1,048,576 rows and a cell 32,767 characters: more rows are an error, a longer text ends with "…".
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import MissingExtraError, QueryError

if TYPE_CHECKING:
    from .flatten import ArrowFrames

MAX_ROWS: Final = 2**20 - 1
"""Rows below the heading (Excel's specification)."""
MAX_CHARACTERS: Final = 32_767
MAX_NUMBER: Final = 10**15
_BATCH_ROWS: Final = 10_000
_EARLIEST: Final = date(1900, 3, 1)  # before it Excel counts a day that never was
_BACKUP: Final = ["project_id", "backup_id"]
_DATABASE: Final = [*_BACKUP, "database_index"]
_KIB_PER_GIB: Final = 2**20


def join_frames(frames: ArrowFrames) -> pa.Table:
    """Join backups, databases and tables; sorted by (begin_time, backup_id) and list positions.

    Adds ``size_gib`` (GiB) and ``duration_s`` (seconds from begin to end; null where either is
    absent). Sizes stand in every row of a backup: sum them over distinct backups only.
    """
    order = pa.array(range(frames.backups.num_rows), pa.int64())
    backups = frames.backups.append_column("_order", order)
    databases = frames.databases.drop_columns(["begin_date"])
    tables = frames.tables.drop_columns(["begin_date", "database_name"])
    flat = databases.join(tables, _DATABASE, join_type="left outer")
    flat = backups.join(flat, _BACKUP, join_type="left outer")
    flat = flat.sort_by(
        [(name, "ascending") for name in ("_order", "database_index", "table_index")]
    )
    begin, end = (pc.cast(flat[name], pa.int64()) for name in ("begin_time", "end_time"))
    flat = flat.append_column("size_gib", pc.divide(flat["size_kb"], float(_KIB_PER_GIB)))
    # not safe: from the year 1 to 9999 it is rounded to some microseconds
    duration = pc.divide(pc.cast(pc.subtract(end, begin), pa.float64(), safe=False), 1e6)
    return flat.append_column("duration_s", duration).drop_columns(["_order"])


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
