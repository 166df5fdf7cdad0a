"""Answers of any shape as files: table, CSV, JSON, Markdown, Parquet, Excel.

In: an Arrow table. Out: text on stdout, or the bytes of a file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ...api.scrub import as_printable
from ...errors import ConfigError
from ...whole_files import find_target, write_whole
from .output import is_terminal, open_out, write_out
from .tables import print_rows

if TYPE_CHECKING:
    import pyarrow as pa


class AnswerFormat(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    MARKDOWN = "md"
    PARQUET = "parquet"
    EXCEL = "xlsx"


FORMULA = r"^[=+\-@\t\r\n]"  # how a cell starts that Excel, LibreOffice or Sheets would calculate
SCREEN_ROWS = 20
BINARY = (AnswerFormat.PARQUET, AnswerFormat.EXCEL)


def encode_answer(table: pa.Table, form: AnswerFormat) -> bytes:
    """The bytes of a file of this format; JSON is one array of objects, times are ISO 8601 in UTC."""
    file = io.BytesIO()
    if form is AnswerFormat.PARQUET:
        import pyarrow.parquet as pq

        pq.write_table(table, file)
    elif form is AnswerFormat.EXCEL:
        from ...frames.exports import encode_workbook

        file.write(encode_workbook({"answer": table}))
    elif form is AnswerFormat.JSON:
        rows = with_text_times(table).to_pylist()
        file.write((json.dumps(rows, ensure_ascii=False, indent=1, default=str) + "\n").encode())
    elif form is AnswerFormat.NDJSON:
        write_ndjson(table, file)
    elif form is AnswerFormat.CSV:
        write_csv(table, file)
    else:
        file.write(_markdown(table).encode())
    return file.getvalue()


def write_answer(
    table: pa.Table,
    form: AnswerFormat,
    out: Path | None = None,
    *,
    limit: int | None = None,
    prose: Collection[str] = (),
    totals: tuple[int, int] | None = None,
) -> None:
    """Write an answer to a file or to stdout.

    Args:
        table: the answer.
        form: its format.
        out: the file; default: stdout.
        limit: the most rows; 0: all; default: `SCREEN_ROWS` of a table, all of any other format.
        prose: columns of sentences; see `print_rows`.
        totals: how many rows and columns there are in all, if the table has not all of them.

    Raises:
        ConfigError: the format is for files only.
    """
    is_table = form is AnswerFormat.TABLE
    shown = table.slice(0, (SCREEN_ROWS if is_table and limit is None else limit) or None)
    if is_table:
        rows = [list(row.values()) for row in shown.to_pylist()]
        totals = totals or (table.num_rows, table.num_columns)
        print_rows(shown.column_names, rows, prose=prose, totals=totals, how="--format csv")
    elif out is not None:
        write_whole(out, encode_answer(shown, form))
    elif form in BINARY and is_terminal():
        raise ConfigError(f"--format {form} is a file. Give --out FILE, or redirect the output.")
    else:
        with open_out() as stdout:
            stdout.write(encode_answer(shown, form))


def write_text(text: str, out: Path | None) -> None:
    """Write a text to a file or to stdout."""
    if out is None:
        write_out(text)
    else:
        write_whole(out, text.encode())


def select_columns(table: pa.Table, columns: str | None) -> pa.Table:
    """The columns that a list with commas names; all, if none is given.

    Raises:
        ConfigError: there is none of that name.
    """
    if columns is None:
        return table
    names = [name.strip() for name in columns.split(",") if name.strip()]
    known = table.column_names
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(
                f"--columns: there is no column {name[:100]!r}.{meant} There are: {', '.join(known)}."
            )
    if not names:
        raise ConfigError(f"--columns {columns!r} names none. There are: {', '.join(known)}.")
    return table.select(list(dict.fromkeys(names)))


def check_target(form: AnswerFormat, out: Path | None, lake: str | None = None) -> None:
    """Refuse a format or a file that does not fit, before anything is read."""
    if out is None:
        return
    if form is AnswerFormat.TABLE:
        known = ", ".join(one for one in AnswerFormat if one is not form)
        raise ConfigError(f"--format table is for the screen. With --out choose {known}.")
    check_file(out, lake)


def check_file(out: Path, lake: str | None) -> None:
    """Refuse a file that cannot be written, or lies in the lake, before anything is done for it."""
    from ...lake.outside import check_outside

    check_outside(out, lake)
    find_target(out)


def _markdown(table: pa.Table) -> str:
    """A pipe table; bars and line ends within a cell are kept from breaking it."""
    rows = [table.column_names, ["---"] * table.num_columns]
    rows += [list(row.values()) for row in with_text_times(table).to_pylist()]
    return "".join("| " + " | ".join(map(_cell, row)) + " |\n" for row in rows)


def _cell(value: object) -> str:
    text = "" if value is None else as_printable(str(value))
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def write_csv(table: pa.Table, out: IO[bytes]) -> None:
    """Write CSV with a header: UTF-8, ISO 8601 times in UTC, null as empty, formulas defused."""
    from pyarrow import csv

    out.write((",".join(table.column_names) + "\n").encode())
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    csv.write_csv(_defused(with_text_times(table)), out, options)


def write_ndjson(table: pa.Table, out: IO[bytes]) -> None:
    """Write one JSON object per row: UTF-8, ISO 8601 times in UTC, null as null."""
    for batch in with_text_times(table).to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            out.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def with_text_times(table: pa.Table) -> pa.Table:
    """The table with times, days and dictionaries as text: ISO 8601 in UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            text = pc.strftime(table[column.name], format="%Y-%m-%dT%H:%M:%SZ")
            text = pc.replace_substring_regex(text, r"\.0+Z$", "Z")  # whole seconds stay short
        elif pa.types.is_date(column.type) or pa.types.is_dictionary(column.type):
            text = table[column.name].cast(pa.string())
        else:
            continue
        table = table.set_column(i, column.name, text)
    return table


def _defused(table: pa.Table) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            is_formula = pc.match_substring_regex(column, FORMULA)
            safe = pc.if_else(is_formula, pc.binary_join_element_wise("'", column, ""), column)
            table = table.set_column(i, name, safe)
    return table
