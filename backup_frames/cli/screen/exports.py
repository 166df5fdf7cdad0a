"""Answers of any shape as files: table, CSV, JSON, Markdown, Parquet, Excel.

In: an Arrow table. Out: text on stdout, or the bytes of a file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from functools import partial
from math import isfinite
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

from ...api.scrub import as_printable
from ...errors import ConfigError
from ...whole_files import find_target, write_whole
from .output import is_terminal, open_out, write_out
from .tables import print_rows

if TYPE_CHECKING:
    import pyarrow as pa


AnswerFormat = Literal["table", "csv", "json", "ndjson", "md", "parquet", "xlsx"]
FORMULA = r"^[=+\-@\t\r\n]"  # how a cell starts that Excel, LibreOffice or Sheets would calculate
SCREEN_ROWS = 20
BINARY = ("parquet", "xlsx")


def encode_answer(table: pa.Table, form: AnswerFormat) -> bytes:
    """The bytes of a file of this format; JSON is one array of objects, times are ISO 8601 in UTC."""
    file = io.BytesIO()
    if form == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, file)
    elif form == "xlsx":
        from ...frames.exports import encode_workbook

        file.write(encode_workbook({"answer": table}))
    elif form == "json":
        text = _to_json(with_text_times(table).to_pylist(), indent=1)
        file.write(f"{text}\n".encode())
    elif form == "ndjson":
        write_ndjson(table, file)
    elif form == "csv":
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
    """Write an answer to a file or to stdout; columns of one name get numbers, as DuckDB tells them apart.

    Args:
        table: the answer.
        form: its format.
        out: the file; default: stdout.
        limit: the most rows; 0: all; default: `SCREEN_ROWS` of a table, all of any other format.
        prose: columns of sentences; see `print_rows`.
        totals: how many rows and columns there are in all, if the table has not all of them.

    Raises:
        ConfigError: the format is for files only, or holds no such values.
    """
    if form in BINARY and out is None and is_terminal():
        raise ConfigError(f"--format {form} is a file. Give --out FILE, or redirect the output.")
    is_table = form == "table"
    table = _with_text_spans(table.rename_columns(_distinct(table.column_names)))
    shown = table.slice(0, (SCREEN_ROWS if is_table and limit is None else limit) or None)
    with _explained(form):
        if is_table:
            rows = [list(row.values()) for row in shown.to_pylist()]
            totals = totals or (table.num_rows, table.num_columns)
            print_rows(shown.column_names, rows, prose=prose, totals=totals, how="--format csv")
        elif out is not None:
            write_whole(out, encode_answer(shown, form))
        else:
            with open_out() as stdout:
                stdout.write(encode_answer(shown, form))


@contextmanager
def _explained(form: AnswerFormat) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (
        pa.ArrowNotImplementedError,
        OverflowError,
    ) as error:  # such as a date of the year 290000
        raise ConfigError(
            f"--format {form} holds no such values: {error}. Make them text, as in column::VARCHAR."
        ) from error


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
    if form == "table":
        known = ", ".join(get_args(AnswerFormat)[1:])
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
    text = "" if value is None else as_printable(_cell_text(value))
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def write_csv(table: pa.Table, out: IO[bytes]) -> None:
    """Write CSV with a header: UTF-8, ISO 8601 times in UTC, null as empty, formulas defused."""
    import csv

    import pyarrow.csv

    head = io.StringIO()
    csv.writer(head, lineterminator="\n").writerow(table.column_names)  # no quotes but needed ones
    out.write(head.getvalue().encode())
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    pyarrow.csv.write_csv(_as_cells(with_text_times(table)), out, options)


def write_ndjson(table: pa.Table, out: IO[bytes]) -> None:
    """Write one JSON object per row: UTF-8, ISO 8601 times in UTC, null as null."""
    for batch in with_text_times(table).to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            out.write((_to_json(row) + "\n").encode())


def with_text_times(table: pa.Table) -> pa.Table:
    """The table with times, days and dictionaries as text: ISO 8601 in UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            text = pc.strftime(table.column(i), format="%Y-%m-%dT%H:%M:%SZ")
            text = pc.replace_substring_regex(text, r"\.0+Z$", "Z")  # whole seconds stay short
        elif pa.types.is_date(column.type) or pa.types.is_dictionary(column.type):
            text = table.column(i).cast(pa.string())
        else:
            continue
        table = table.set_column(i, column.name, text)
    return table


def _as_cells(table: pa.Table) -> pa.Table:
    """The table without lists and what else a cell cannot be: JSON, or their text; formulas defused."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = pa.types
    for i, field in enumerate(table.schema):
        kind, cells = field.type, table.column(i)
        is_text = kinds.is_string(kind) or kinds.is_large_string(kind)
        is_number = kinds.is_primitive(kind) or kinds.is_decimal(kind) or kinds.is_null(kind)
        if not (is_text or is_number):
            texts = [None if value is None else _cell_text(value) for value in cells.to_pylist()]
            cells, is_text = pa.chunked_array([texts], pa.string()), True
        if is_text:
            is_formula = pc.match_substring_regex(cells, FORMULA)
            cells = pc.if_else(is_formula, pc.binary_join_element_wise("'", cells, ""), cells)
        table = table.set_column(i, field.name, cells)
    return table


def _with_text_spans(table: pa.Table) -> pa.Table:
    """The table with differences of times as text, such as ``2 days 04:12:18``: files lack the kind."""
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if pa.types.is_interval(field.type):
            texts = [value and _span_text(value) for value in table.column(i).to_pylist()]
            table = table.set_column(i, field.name, pa.array(texts, pa.string()))
    return table


def _span_text(span: pa.MonthDayNano) -> str:
    parts = [f"{span.months} months"] * bool(span.months) + [f"{span.days} days"] * bool(span.days)
    seconds, micros = divmod(abs(span.nanoseconds) // 1000, 10**6)
    sign = "-" * (span.nanoseconds < 0)
    clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}"
    return " ".join([*parts, clock.removesuffix(".000000")])


def _cell_text(value: Any) -> str:
    return _to_json(value) if isinstance(value, list | tuple | dict) else str(value)


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON; null for what is no number, which JSON does not have, at any depth."""
    write = partial(json.dumps, ensure_ascii=False, indent=indent, default=_plain, allow_nan=False)
    try:
        return write(value)
    except ValueError:
        return write(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _plain(value: object) -> int | str:
    """What JSON has no kind for: a sum, which DuckDB gives as a decimal, is a number, all else text."""
    if isinstance(value, datetime):
        return value.isoformat().removesuffix("+00:00") + "Z"
    text = str(value)
    is_whole = isinstance(value, Decimal) and text.removeprefix("-").isdecimal()
    return int(text) if is_whole else text


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, those that came before with a number behind."""
    distinct: dict[str, None] = {}
    for name in names:
        wanted, number = name, 0
        while wanted in distinct:
            number += 1
            wanted = f"{name}_{number}"
        distinct[wanted] = None
    return list(distinct)
