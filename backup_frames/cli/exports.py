"""Answers of any shape as files: table, CSV, JSON, Markdown, Parquet, Excel.

In: an Arrow table. Out: text on stdout, or the bytes of a file.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import io
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ..api.scrub import as_printable
from ..errors import ConfigError
from .output import open_out
from .tables import print_rows, with_text_times, write_csv, write_ndjson

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


BINARY = (AnswerFormat.PARQUET, AnswerFormat.EXCEL)


def encode_answer(table: pa.Table, form: AnswerFormat) -> bytes:
    """The bytes of a file of this format; JSON is one array of objects, times are ISO 8601 in UTC."""
    file = io.BytesIO()
    if form is AnswerFormat.PARQUET:
        import pyarrow.parquet as pq

        pq.write_table(table, file)
    elif form is AnswerFormat.EXCEL:
        from ..frames.exports import encode_workbook

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


def print_answer(table: pa.Table, form: AnswerFormat, title: str | None = None) -> None:
    """Print an answer on stdout.

    Raises:
        ConfigError: the format is for files only.
    """
    if form is AnswerFormat.TABLE:
        names = table.column_names
        print_rows(names, [list(row.values()) for row in table.to_pylist()], title)
    elif form in BINARY and sys.stdout.isatty():
        raise ConfigError(f"--format {form} is a file. Give --out, or redirect the output.")
    else:
        with open_out() as stdout:
            stdout.write(encode_answer(table, form))


def _markdown(table: pa.Table) -> str:
    """A pipe table; bars and line ends within a cell are kept from breaking it."""
    rows = [table.column_names, ["---"] * table.num_columns]
    rows += [list(row.values()) for row in with_text_times(table).to_pylist()]
    return "".join("| " + " | ".join(map(_cell, row)) + " |\n" for row in rows)


def _cell(value: object) -> str:
    text = "" if value is None else as_printable(str(value))
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def check_target(form: AnswerFormat, out: Path | None) -> None:
    """Refuse a format that does not fit its target, before anything is read."""
    if form is AnswerFormat.TABLE and out is not None:
        raise ConfigError("--format table is for the screen. With --out choose another format.")
