"""What all charts share: colours, themes, axes and labels that fit whatever font shows them.

In: layers of a picture and the width it may take. Out: the picture as a Vega-Lite specification. The
pictures are laid out with the fonts of who draws them and shown with those of the reader's machine,
which may be a fifth wider: so labels are cut here, by their letters, and get the room that
wide letters need.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

#: What a query answered.
Rows = list[dict[str, Any]]
#: How much the charts show at most; the worst come first, and the charts say what they leave out.
MAX_INSTANCES = 40
MAX_BARS = 25
MAX_ENGINES = 6
MAX_OUTLIERS = 300

#: A picture, or a layer of one, as a plain Vega-Lite specification.
Spec = dict[str, Any]
#: "page" takes the colour of the text around it: one SVG serves light, dark and print.
Theme = Literal["light", "dark", "page"]

# The colours of Okabe and Ito, which people with colour-blindness can tell apart.
GREEN, ORANGE, RED = "#009E73", "#E69F00", "#D55E00"
SKY, BLUE, PINK, GREY = "#56B4E9", "#0072B2", "#CC79A7", "#999999"
INK = {"light": "#1b1b1b", "dark": "#ececec", "page": "currentColor"}
#: No backup at all: the darkest of a picture.
NONE = "#2b2b2b"
#: What was not watched: no colour, and pale.
PALE = "#99999966"
UNWATCHED = "not watched"
NEVER_WATCHED = (
    "Not watched on any of these days; pale: only what was still there at the first look."
)
FONTS = (
    "system-ui, 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', 'Hiragino Sans', sans-serif"
)
#: Room for the numbers beside an axis, where two panels stand one above the other.
SIDE = 44
_PAPER = {"light": "#ffffff", "dark": "#161616", "page": "transparent"}
#: Width of a letter in the widest usual font (DejaVu Sans, Verdana), in shares of the font's size.
_LETTER = 0.66
_LABEL_SIZE, _NOTE_SIZE = 11, 12


def is_wide(width: int) -> bool:
    """Whether the picture is for a page or a notebook, and not for a phone."""
    return width > 400


def finish(
    rows: Rows, layers: Sequence[Spec], theme: Theme, width: int, height: int, note: str = ""
) -> Spec:
    """One picture of layers over the same rows, `width` wide with names and axes, the note above."""
    return {
        **framed(rows, theme, width, note),
        "layer": list(layers),
        "width": width,
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
    }


def stacked(
    panels: Sequence[tuple[Rows, Spec]], theme: Theme, width: int, note: str = "", side: int = 70
) -> Spec:
    """One picture of panels one above the other, each with its rows; `side` is for what stands beside."""
    spec = framed((), theme, width, note)
    del spec["data"]
    return spec | {
        "datasets": {f"panel{place}": list(rows) for place, (rows, _) in enumerate(panels)},
        "vconcat": [
            {"data": {"name": f"panel{place}"}, "width": width - side, **panel}
            for place, (_, panel) in enumerate(panels)
        ],
        "spacing": 6,
    }


def empty(note: str, theme: Theme, width: int) -> Spec:
    """A picture that only says why there is nothing to see."""
    mark = {"type": "text", "fontSize": 13, "color": INK[theme], "limit": width}
    layer = {"mark": mark, "encoding": {"text": {"field": "note"}}}
    return finish([{"note": note}], [layer], theme, width, 60)


def framed(rows: Iterable[dict[str, Any]], theme: Theme, width: int, note: str) -> Spec:
    """What every picture has: its rows, the note, and the theme's colours in our sizes."""
    ink = INK[theme]
    words = {
        "labelColor": ink,
        "titleColor": ink,
        "labelFontSize": _LABEL_SIZE,
        "titleFontSize": _LABEL_SIZE,
        "titleFontWeight": "normal",
    }
    lines = {"domainColor": ink, "domainOpacity": 0.4, "tickColor": ink, "tickOpacity": 0.4}
    title = {"anchor": "start", "color": ink, "fontSize": _NOTE_SIZE, "fontWeight": "normal"}
    spec: Spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.20.1.json",
        "data": {"values": list(rows)},
        "config": {
            "background": _PAPER[theme],
            "aria": False,
            "font": FONTS,
            "view": {"stroke": None},
            "title": {**title, "offset": 8, "frame": "bounds"},
            "axis": {**words, **lines, "gridColor": ink, "gridOpacity": 0.12, "titlePadding": 8},
            "legend": words,
        },
    }
    if note:
        spec["title"] = {"text": _wrapped(note, width)}
    return spec


def names_axis(width: int) -> Spec:
    """An axis of labels made by `label`, with room for them."""
    side = names_width(width)
    # the place keeps instances of the same name apart, and is not shown
    expression = "replace(datum.label, /  #\\d+$/, '')"
    return {"labelExpr": expression, "labelLimit": 0, "minExtent": side, "maxExtent": side}


def names_width(width: int) -> float:
    """How wide the labels beside a picture may be."""
    return _letters(width) * _LABEL_SIZE * _LETTER


def label(name: str, place: int, width: int) -> str:
    """A name that fits beside a picture; the place is for `names_axis` to take away."""
    return f"{short(name, _letters(width))}  #{place}"


def short(name: str, width: int) -> str:
    """A name cut in its middle to as many letters, since names differ at both ends."""
    if _width(name) <= width:
        return name
    front, back = "", name
    for letter in name:
        if _width(front + letter) > (width - 1) / 2:
            break
        front += letter
    while _width(back) > width - 1 - _width(front):
        back = back[1:]
    return f"{front}…{back}"


def days_axis(days: Iterable[str], width: int) -> Spec:
    """An axis of days with at most seven labels, whole weeks apart, the last day among them."""
    first, last = min(days), max(days)
    end = datetime.fromisoformat(last).replace(tzinfo=UTC)
    span = (end - datetime.fromisoformat(first).replace(tzinfo=UTC)).days
    labels = 7 if is_wide(width) else 4
    step = next((step for step in (1, 2, 7, 14, 28, 42, 91) if span / step < labels), 364)
    moments = [end - timedelta(days=back) for back in range(0, span + 1, step)]
    values = [moment.timestamp() * 1000 for moment in moments]
    return {"format": "%b %-d", "values": values, "grid": False}


def counts_axis(most: float) -> Spec:
    """An axis of whole numbers: no half of a backup."""
    axis: Spec = {"format": ",d", "tickMinStep": 1, "minExtent": SIDE}
    return axis | ({"values": list(range(int(most) + 1))} if most <= 4 else {"tickCount": 5})


def watched_since(rows: Rows) -> str | None:
    """The first watched day, if unwatched ones lie before it."""
    days = {row["date"]: row["is_watched"] for row in rows}
    first = min((day for day, is_watched in days.items() if is_watched), default=None)
    return first if first is not None and first > min(days) else None


def watched_note(rows: Rows) -> str:
    """What to say of days that the lake did not watch; nothing if it watched all."""
    unwatched = {row["date"] for row in rows if not row["is_watched"]}
    watched = {row["date"] for row in rows if row["is_watched"]}
    if not unwatched:
        return ""
    if not watched:
        return NEVER_WATCHED
    since = watched_since(rows)
    later = sum(day > min(watched) for day in unwatched)
    words = "Watched"
    if since:
        words += f" since {datetime.fromisoformat(since).replace(tzinfo=UTC):%-d %b}"
    if later:
        words += f", but not on {later} {'later ' if since else ''}day{'s' if later > 1 else ''}"
    return f"{words}; pale: only what was still there at the next look."


def legend(columns: int, expression: str = "datum.label") -> Spec:
    """A legend above the picture, with room for wide letters between its columns."""
    return {
        "orient": "top",
        "title": None,
        "columns": columns,
        "columnPadding": 24,
        "labelExpr": expression,
        "labelLimit": 0,
        "symbolType": "square",
    }


def pale_entry(rows: Rows) -> dict[str, str]:
    """The legend's entry for unwatched days, if there are such."""
    return {} if all(row["is_watched"] for row in rows) else {UNWATCHED: PALE}


def channel(field: str, kind: str = "quantitative", **more: Any) -> Spec:
    """What of a mark a column of the rows decides: numbers, unless of another kind."""
    return {"field": field, "type": kind, **more}


def day_channel(**more: Any) -> Spec:
    """A place along days in UTC."""
    return {"field": "date", "timeUnit": "utcyearmonthdate", "type": "temporal", **more}


def colour_of(field: str, colours: dict[str, str], legend_: Spec | None) -> Spec:
    """A channel of colours, each with its word in the legend."""
    scale = {"domain": list(colours), "range": list(colours.values())}
    return channel(field, "nominal", scale=scale, legend=legend_)


def tips(*fields: str) -> list[Spec]:
    """What a notebook shows of the mark under the pointer."""
    return [{"field": field} for field in fields]


def _letters(width: int) -> int:
    return 28 if is_wide(width) else 15


def _width(text: str) -> float:
    """Letters, counted by the room they take."""
    return sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return 2
    return 1.7 if letter in "MWmw@%" else 1.3 if letter.isupper() else 1


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width / (_NOTE_SIZE * _LETTER) - 2:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
