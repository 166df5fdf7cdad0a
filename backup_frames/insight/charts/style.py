"""What all charts share: colours, themes, axes and labels that fit whatever font shows them.

In: layers of a chart and the width it may take. Out: the finished chart. The pictures are laid out
with the fonts of the machine that draws them and shown with those of the reader's, which may be a
fifth wider: so labels are cut here, by their letters, and get the room that wide letters need.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import altair as alt
import pyarrow as pa

#: "page" takes the colour of the text around it: one SVG serves light, dark and print.
Theme = Literal["light", "dark", "page"]

# The colours of Okabe and Ito, which people with colour-blindness can tell apart.
GREEN, ORANGE, RED = "#009E73", "#E69F00", "#D55E00"
SKY, BLUE, PINK, GREY = "#56B4E9", "#0072B2", "#CC79A7", "#999999"
INK = {"light": "#1b1b1b", "dark": "#ececec", "page": "currentColor"}
_PAPER = {"light": "#ffffff", "dark": "#161616", "page": "transparent"}
#: Width of a letter in the widest usual font (DejaVu Sans, Verdana), in shares of the font's size.
_LETTER = 0.66
_LABEL_SIZE, _NOTE_SIZE = 11, 12


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as Altair takes them fastest."""
    return pa.Table.from_pylist(list(rows))


def is_wide(width: int) -> bool:
    """Whether the picture is for a page or a notebook, and not for a phone."""
    return width > 400


def finish(
    layers: Sequence[alt.Chart], theme: Theme, width: int, height: int, note: str = ""
) -> alt.LayerChart:
    """One picture of the layers, `width` wide with names and axes, and the note above it."""
    chart = alt.LayerChart(layer=list(layers)).properties(
        width=width,
        height=height,
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
    if note:
        chart = chart.properties(title=alt.Title(_wrapped(note, width)))
    return themed(chart, theme)


def empty(note: str, theme: Theme, width: int) -> alt.LayerChart:
    """A picture that only says why there is nothing to see."""
    text = alt.Chart(table([{"note": note}])).mark_text(fontSize=13, color=INK[theme], limit=width)
    return finish([text.encode(text="note:N")], theme, width, 60)


def themed(chart: Any, theme: Theme) -> Any:
    """The chart in the theme's colours and our sizes."""
    ink = INK[theme]
    return (
        chart.configure(background=_PAPER[theme], aria=False, font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_title(
            anchor="start",
            color=ink,
            fontSize=_NOTE_SIZE,
            fontWeight="normal",
            offset=8,
            frame="bounds",
        )
        .configure_axis(
            labelColor=ink,
            titleColor=ink,
            labelFontSize=_LABEL_SIZE,
            titleFontSize=_LABEL_SIZE,
            titleFontWeight="normal",
            domainColor=ink,
            domainOpacity=0.4,
            tickColor=ink,
            tickOpacity=0.4,
            gridColor=ink,
            gridOpacity=0.12,
        )
        .configure_legend(
            labelColor=ink,
            titleColor=ink,
            labelFontSize=_LABEL_SIZE,
            titleFontSize=_LABEL_SIZE,
            titleFontWeight="normal",
        )
    )


def names_axis(width: int) -> alt.Axis:
    """An axis of labels made by `label`, with room for them."""
    room = _letters(width) * _LABEL_SIZE * _LETTER
    # the place keeps instances of the same name apart, and is not shown
    expression = "replace(datum.label, /  #\\d+$/, '')"
    return alt.Axis(labelExpr=expression, labelLimit=0, minExtent=room, maxExtent=room)


def label(name: str, place: int, width: int) -> str:
    """A name that fits beside a picture; the place is for `names_axis` to take away."""
    return f"{short(name, _letters(width))}  #{place}"


def short(name: str, room: int) -> str:
    """A name cut in its middle to as many letters, since names differ at both ends."""
    if _width(name) <= room:
        return name
    front, back = "", name
    for letter in name:
        if _width(front + letter) > (room - 1) // 2:
            break
        front += letter
    while _width(back) > room - 1 - _width(front):
        back = back[1:]
    return f"{front}…{back}"


def days_axis(days: Iterable[str], width: int) -> alt.Axis:
    """An axis of days with at most seven labels, whole weeks apart, the last day among them."""
    first, last = min(days), max(days)
    end = datetime.fromisoformat(last).replace(tzinfo=UTC)
    span = (end - datetime.fromisoformat(first).replace(tzinfo=UTC)).days
    labels = 7 if is_wide(width) else 4
    step = next((step for step in (1, 2, 7, 14, 28, 91) if span / step < labels), 364)
    moments = [end - timedelta(days=back) for back in range(0, span + 1, step)]
    return alt.Axis(
        format="%b %-d", values=[moment.timestamp() * 1000 for moment in moments], grid=False
    )


def legend(columns: int, expression: str = "datum.label") -> alt.Legend:
    """A legend above the picture, with room for wide letters between its columns."""
    return alt.Legend(
        orient="top",
        title=None,
        columns=columns,
        columnPadding=24,
        labelExpr=expression,
        labelLimit=0,
        symbolType="square",
    )


def _letters(width: int) -> int:
    return 28 if is_wide(width) else 15


def _width(text: str) -> int:
    """Letters, those of East Asia counted twice."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width / (_NOTE_SIZE * _LETTER) - 2:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
