"""Tables as text: for people (fixed width), CSV and NDJSON.

In: Arrow tables or rows. Out: text on a stream. Names come from outside and may be hostile: control
characters never reach a terminal, markup is shown as written, and CSV cells that a spreadsheet
would run as a formula are defused with a leading apostrophe.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

from ...api.scrub import as_printable
from .output import is_terminal, write_out

if TYPE_CHECKING:
    import pyarrow as pa

FORMULA = r"^[=+\-@\t\r\n]"  # how a cell starts that Excel, LibreOffice or Sheets would calculate


def print_rows(
    head: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None
) -> None:
    """Print rows as a table on stdout; as wide as needed where stdout is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def plain(text: str) -> Text:  # not markup: [red] in a name is shown, not obeyed
        return Text(as_printable(text))

    heading = plain(title) if title is not None else None
    table = Table(box=SIMPLE_HEAD, title=heading, title_justify="left", pad_edge=False)
    for name in head:
        table.add_column(plain(name), overflow="fold")
    numbers = set(range(len(head)))
    texts = []
    for row in rows:
        numbers -= {i for i, v in enumerate(row) if not isinstance(v, int | float | None)}
        texts.append([plain(_as_text(v)) for v in row])
    for i in numbers if texts else ():
        table.columns[i].justify = "right"
    for row in texts:
        table.add_row(*row)
    console = Console(width=None if is_terminal() else 500)
    with console.capture() as captured:  # rich would end the process when a pipe is closed
        console.print(table)
    lines = (line.rstrip() for line in captured.get().splitlines())
    write_out("\n".join(line for line in lines if line) + "\n")


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if hasattr(value, "tzinfo"):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def print_head(
    table: pa.Table, names: Sequence[str], *, count: int, title: str, is_newest_first: bool = False
) -> None:
    """Print some rows of some columns, the first or the newest, and how many there are in all."""
    chosen = table.select(list(names))
    rows = chosen.slice(max(table.num_rows - count, 0) if is_newest_first else 0, count).to_pylist()
    if is_newest_first:  # tables are sorted by time
        rows.reverse()
    print_rows(names, [list(row.values()) for row in rows], f"{title}: {table.num_rows:,} rows")
    if table.num_rows > count:
        write_out(f"… {table.num_rows - count:,} more\n")


def write_csv(table: pa.Table, out: IO[bytes]) -> None:
    """Write CSV with a header: UTF-8, ISO 8601 times in UTC, null as empty, formulas defused."""
    from pyarrow import csv

    out.write((",".join(table.column_names) + "\n").encode())
    plain = with_text_times(table)
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    for name in plain.column_names:
        plain = _defuse(plain, name)
    csv.write_csv(plain, out, options)


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


def _defuse(table: pa.Table, name: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table[name]
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return table
    is_formula = pc.match_substring_regex(column, FORMULA)
    safe = pc.if_else(is_formula, pc.binary_join_element_wise("'", column, ""), column)
    return table.set_column(table.column_names.index(name), name, safe)
