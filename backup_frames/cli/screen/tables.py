"""Tables for people, as wide as the terminal: nothing that is a number, a time or a state is broken.

In: rows. Out: lines on stdout. What does not fit is given up in this order: ids and names get an
ellipsis, then the last columns go, and below 80 columns a record stands below another. Names come from
outside and may be hostile: control characters never reach a terminal, markup is shown as written.
"""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from ...api.scrub import as_printable
from .output import is_styled, is_terminal, write_styled

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

GAP: Final = 2  # between columns
NARROW: Final = 80  # below it a record stands below another
UNLIMITED: Final = 10_000  # of a pipe or a file
SHORT_ID, SHORT_TEXT, SHORT_PROSE = 9, 16, 24  # cells that are left of an id, a name, a sentence
LONG_WORD: Final = 40  # a longer one within a sentence is folded

COLOURS: Final = dict.fromkeys(("COMPLETED", "complete", "ok"), "green") | dict.fromkeys(
    ("FAILED", "incomplete", "FAIL", "high"), "red"
)
STATES: Final = {"status", "verdict", "severity", "change", "last_verdict"}
KIB_OF: Final = {"_bytes": 1 / 1024, "_kb": 1, "_mib": 1024, "_gib": 1024**2, "_tib": 1024**3}
ID: Final = re.compile(r"[0-9a-f]{16,}\w*")


@dataclass
class _Column:
    """One column: its head, its texts, and how narrow it may become."""

    head: str
    texts: list[str]
    is_right: bool
    is_id: bool
    is_prose: bool
    is_state: bool
    least: int
    natural: int


def print_rows(
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    title: str | None = None,
    *,
    prose: Collection[str] = (),
    totals: tuple[int, int] | None = None,
    how: str = "",
) -> None:
    """Print rows as a table on stdout; as wide as needed where stdout is no terminal.

    Args:
        head: names of the columns, the most important first; sizes in ``…_kb`` and the like are shown
            with their unit, as ``11.8 MiB``.
        rows: values, as Arrow and DuckDB give them.
        title: a line above.
        prose: columns of sentences, which go on in the next line.
        totals: how many rows and columns there are in all, if these are only some.
        how: what gives all of them, such as ``--format csv``.
    """
    values = [list(row) for row in rows]
    columns = [
        _column(name, [row[i] for row in values], is_prose=name in prose)
        for i, name in enumerate(head)
    ]
    width = terminal_width()
    shown = _fitting(columns, width)
    lines: list[RenderableType] = [] if title is None else [_styled(title, "bold")]
    if not _fits(columns, width) and (width < NARROW or len(values) == 1):
        shown, is_cut = columns, False
        lines += _records(columns, width)
    else:
        widths = _share_out(shown, width)
        is_cut = any(
            w < one.natural and not one.is_prose for w, one in zip(widths, shown, strict=True)
        )
        lines.append(_table(shown, widths))
    row_count, column_count = totals or (len(values), len(columns))
    if how and (row_count > len(values) or column_count > len(shown) or is_cut):
        counted = (
            f"{len(values):,} of {row_count:,} rows, {len(shown)} of {column_count} columns; "
            f"all: {how}"
        )
        lines.append(_styled(counted, "dim"))
    _print(lines, width)


def print_text(*parts: str | tuple[str, str]) -> None:
    """Print a line, or several on a narrow terminal, broken between words.

    Args:
        parts: texts, or a text with its style: ``green`` for good, ``red`` for bad, ``dim``, ``bold``.
    """
    from rich.console import Console
    from rich.text import Text

    line = Text()
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        line.append(_styled(text, style))
    width = terminal_width()
    first, *more = line.wrap(Console(width=width), width - GAP) or [line]
    _print([first, *(Text(" " * GAP) + rest for rest in more)], width)


def hanging(text: str) -> str:
    """Lines of a label and what it says, broken between words below the words on a terminal's stderr."""
    if not is_terminal("stderr"):
        return text
    width = shutil.get_terminal_size().columns
    broken = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    lines = []
    for line in text.splitlines():
        label = re.match(r"\S+(?: \S+)*  +", line)
        broken.subsequent_indent = " " * (len(label[0]) if label else GAP)
        lines.append(broken.fill(line))
    return "\n".join(lines)


def terminal_width() -> int:
    """Columns of the terminal, or what COLUMNS says; of a pipe as many as are needed."""
    asked = os.environ.get("COLUMNS", "")
    if is_terminal() or (asked.isdecimal() and int(asked) > 0):
        return shutil.get_terminal_size().columns
    return UNLIMITED


def human_size(kib: float) -> str:
    """A size with one digit behind the point.

    Examples:
        >>> human_size(12_083), human_size(0)
        ('11.8 MiB', '0.0 KiB')
    """
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        if abs(kib) < 1024:
            return f"{kib:,.1f} {unit}"
        kib /= 1024
    return f"{kib:,.1f} PiB"


def _column(name: str, values: list[Any], *, is_prose: bool) -> _Column:
    from rich.cells import cell_len

    filled = [v for v in values if v is not None]
    is_number = bool(filled) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in filled
    )
    suffix = next((one for one in KIB_OF if name.endswith(one)), "") if is_number else ""
    if suffix:
        texts = ["" if v is None else human_size(v * KIB_OF[suffix]) for v in values]
    else:
        texts = [_as_text(v) for v in values]
    shown = as_printable(name.removesuffix(suffix))
    texts = [as_printable(text) for text in texts]
    natural = max(map(cell_len, [shown, *texts]))
    is_text = any(isinstance(v, str) for v in filled)
    is_id = is_text and (
        name == "id" or name.endswith("_id") or all(ID.fullmatch(str(v)) for v in filled)
    )
    least = natural
    if is_text:
        short = SHORT_ID if is_id else SHORT_TEXT
        if is_prose:
            words = (cell_len(word) for text in texts for word in text.split())
            short = max(SHORT_PROSE, *(one for one in words if one <= LONG_WORD))
        least = min(natural, max(short, cell_len(shown)))
    return _Column(shown, texts, is_number, is_id, is_prose, name in STATES, least, natural)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        is_large = abs(value) >= 100 or value == 0
        return f"{value:,.1f}".removesuffix(".0") if is_large else f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list):
        return f"[{', '.join(map(_as_text, value))}]"
    return value.isoformat() if isinstance(value, date) else str(value)


def _fits(columns: Sequence[_Column], width: int, *, least: bool = False) -> bool:
    needed = sum(one.least if least else one.natural for one in columns)
    return needed + GAP * (len(columns) - 1) <= width


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    """The first columns, as many as fit."""
    shown = columns
    while len(shown) > 1 and not _fits(shown, width, least=True):
        shown = shown[:-1]
    return shown


def _share_out(columns: Sequence[_Column], width: int) -> list[int]:
    """The width of each: what is left over goes to names first, then to sentences and ids."""
    widths = [one.least for one in columns]
    spare = width - sum(widths) - GAP * (len(columns) - 1)
    for i in sorted(range(len(columns)), key=lambda i: (columns[i].is_id, columns[i].is_prose, i)):
        more = max(min(columns[i].natural - widths[i], spare), 0)
        widths[i] += more
        spare -= more
    return widths


def _table(columns: Sequence[_Column], widths: Sequence[int]) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0)
    )  # the box puts one more space between columns
    for one, width in zip(columns, widths, strict=True):
        table.add_column(
            _styled(one.head, "bold"),
            width=width,
            justify="right" if one.is_right else "left",
            no_wrap=not one.is_prose,
            overflow="fold" if one.is_prose else "ellipsis",
        )
    for row in zip(*(one.texts for one in columns), strict=True):
        table.add_row(*(_cell(one, text) for one, text in zip(columns, row, strict=True)))
    return table


def _records(columns: Sequence[_Column], width: int) -> list[RenderableType]:
    """A block for each row: a line for each of its values."""
    from rich.cells import cell_len
    from rich.table import Table

    label = max(cell_len(one.head) for one in columns)
    blocks: list[RenderableType] = []
    for i in range(len(columns[0].texts)):
        block = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        block.add_column(width=label, no_wrap=True)
        block.add_column(max_width=max(width - label - GAP, SHORT_ID), overflow="fold")
        for one in columns:
            value = _cell(one, one.texts[i])
            value.no_wrap = not one.is_prose and " " not in one.texts[i]
            value.overflow = "ellipsis" if value.no_wrap else "fold"
            block.add_row(_styled(one.head, "dim"), value)
        blocks += [_styled("", ""), block] if blocks else [block]
    return blocks


def _cell(column: _Column, text: str) -> Text:
    style = "dim" if column.is_id else COLOURS.get(text, "") if column.is_state else ""
    return _styled(text, style)


def _styled(text: str, style: str) -> Text:
    from rich.text import Text

    return Text(as_printable(text), style)  # not markup: [red] in a name is shown, not obeyed


def _print(lines: Iterable[RenderableType], width: int) -> None:
    from rich.console import Console

    console = Console(
        width=width, force_terminal=is_styled(), color_system="auto" if is_styled() else None,
        highlight=False,
    )  # fmt: skip
    with console.capture() as captured:  # rich would end the process when a pipe is closed
        for line in lines:
            console.print(line)
    write_styled("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
