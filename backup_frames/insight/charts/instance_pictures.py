"""How the charts about instances look: rows of `data` in, a Vega-Lite specification out.

No reading happens here, so that the report can draw the same rows twice, wide and narrow.
"""

from __future__ import annotations

import json

from .style import (
    BLUE,
    GREEN,
    INK,
    MAX_BARS,
    NONE,
    ORANGE,
    PINK,
    RED,
    SKY,
    Rows,
    Spec,
    Theme,
    channel,
    colour_of,
    counts_axis,
    day_channel,
    days_axis,
    empty,
    finish,
    is_wide,
    label,
    legend,
    names_axis,
    names_width,
    stacked,
    tips,
    watched_note,
)

#: State of an instance's day -> colour and the sign that says it without colour.
DAY_STATES = {
    "completed": (GREEN, ""),
    "tables only": (SKY, "t"),
    "partly failed": (ORANGE, "/"),
    "failed": (RED, "×"),  # noqa: RUF001 - it is drawn, not read as a letter
    "unfinished": (PINK, "u"),
    "none": (NONE, "–"),  # noqa: RUF001 - likewise
    "not due": ("#99999944", ""),
    "not known": ("#99999911", ""),
}
_SIGNED = {state: f"{state} ({sign})" if sign else state for state, (_, sign) in DAY_STATES.items()}
#: Column of the rows -> words and colour of an age's band: darker with age, and none of the colours
#: that speak of the RPO, which may lie within a band.
_BANDS = {
    "to_24_h": ("up to 24 h", "#e3d0ea"),
    "to_48_h": ("24 to 48 h", "#c29fd0"),
    "to_7_days": ("2 to 7 days", "#9768ae"),
    "over_7_days": ("over 7 days", "#6a3182"),
    "without": ("none", NONE),
}
#: What an age says -> its colour.
_VERDICTS = {
    "within the RPO": BLUE,
    "RPO missed": RED,
    "increments may be newer": ORANGE,
    "no restore point": NONE,
}


def draw_instance_grid(rows: Rows, theme: Theme, width: int) -> Spec:
    """One row per instance, one cell per day."""
    if not rows:
        return empty("No instance has a full day yet.", theme, width)
    wide = is_wide(width)
    cells = [
        row
        | {
            "sign": DAY_STATES[row["state"]][1],
            "label": label(row["instance"], row["place"], width),
            "opacity": 1 if row["is_watched"] else 0.12 if row["state"] == "none" else 0.3,
        }
        for row in rows
    ]
    x = day_channel(title=None, axis=days_axis({row["date"] for row in rows}, width))
    colours = {state: colour for state, (colour, _) in DAY_STATES.items()}
    states = legend(4 if wide else 2, f"{json.dumps(_SIGNED)}[datum.label]")
    states["values"] = [name for name in DAY_STATES if any(row["state"] == name for row in rows)]
    squares = {
        "mark": {"type": "rect", "stroke": INK[theme], "strokeOpacity": 0.15},
        "encoding": {
            "x": x,
            "y": _names("label", width),
            "color": colour_of("state", colours, states),
            "opacity": channel("opacity", scale=None),
            "tooltip": tips("instance", "date", "state", "completed", "failed", "is_watched"),
        },
    }
    signs = {
        "transform": [{"filter": "datum.sign != ''"}],
        "mark": {"type": "text", "fontSize": 10 if wide else 7, "fontWeight": "bold"},
        "encoding": {
            "x": x | {"bandPosition": 0.5},
            "y": _names("label", width),
            "text": {"field": "sign"},
            "color": {
                "condition": {"test": "datum.state == 'none' && datum.is_watched", "value": "#fff"},
                "value": INK[theme],
            },
        },
    }
    shown, total = len({row["place"] for row in rows}), rows[0]["instance_count"]
    note = "" if shown == total else f"The {shown} of {total:,} instances that are worst off. "
    note += watched_note(rows)
    return finish(
        cells, [squares, signs], theme, width, max(60, shown * (15 if wide else 14)), note
    )


def draw_restore_point_ages(rows: Rows, theme: Theme, width: int) -> Spec:
    """Bars of ages against the RPO; above them, in a large fleet, how many instances are how old."""
    if not rows:
        return empty("There are no existing instances.", theme, width)
    total = rows[0]["instance_count"]
    named = [row for row in rows if total <= MAX_BARS or row["age_h"] is not None]
    limit, met = rows[0]["limit_h"], rows[0]["met_count"]
    note = f"{met:,} of {total:,} instance{'s are' if total > 1 else ' is'} within {limit:g} h"
    note += " (dashed line)." if named else "."
    reach = max(2 * limit, *(min(row["age_h"] or 168, 168) for row in named or rows))
    if any(row["is_age_upper_bound"] for row in named):
        note += " Full backups only: an upper bound where increments are on."
    if total > MAX_BARS and named:
        note += f" Below: the {len(named)} oldest."
    if any((row["age_h"] or 0) > reach for row in named):
        note += f" Bars end at {reach / 24:g} days."
    values, bars = _age_bars(named, limit, reach, theme, width)
    if total <= MAX_BARS:
        return finish(values, bars["layer"], theme, width, bars["height"], note)
    panels = [_bands(rows[0], theme, width), *([(values, bars)] if named else [])]
    return stacked(panels, theme, width, note, side=round(names_width(width)) + 25)


def _bands(counts: dict[str, int], theme: Theme, width: int) -> tuple[Rows, Spec]:
    """How many instances have a newest restore point of which age."""
    values = [
        {"band": words, "instances": counts[column], "text": f"{counts[column]:,}"}
        for column, (words, _) in _BANDS.items()
    ]
    y = _names("band", width) | {"sort": [words for words, _ in _BANDS.values()]}
    x = channel(
        "instances",
        title=None,
        scale={"domain": [0, counts["instance_count"] * 1.1], "nice": False},
        axis=counts_axis(counts["instance_count"]) | {"minExtent": 0},
    )
    colour = colour_of("band", dict(_BANDS.values()), None)
    bar = {"type": "bar", "height": {"band": 0.75}, "stroke": INK[theme], "strokeOpacity": 0.4}
    text = {"type": "text", "align": "left", "dx": 4, "color": INK[theme]}
    return values, {
        "height": 100,
        "encoding": {"y": y, "x": x, "tooltip": tips("band", "instances")},
        "layer": [
            {"mark": bar, "encoding": {"color": colour}},
            {"mark": text, "encoding": {"text": {"field": "text"}}},
        ],
        "resolve": {"scale": {"color": "independent"}},
    }


def _age_unit(reach: float) -> tuple[str, int]:
    """The unit of an axis of ages that long, and how many hours it has."""
    return ("days", 24) if reach > 72 else ("hours", 1)


def _age_values(rows: Rows, limit: float, reach: float, most: float, width: int) -> Rows:
    unit, size = _age_unit(reach)
    text_width = most * 50 / (width - names_width(width))
    values = [
        row
        | {
            "bar_h": reach if row["age_h"] is None else min(row["age_h"], reach),
            "verdict": _verdict(row),
            "text": "none" if row["age_h"] is None else f"{row['age_h'] / size:,.1f} {unit[0]}",
            "label": label(row["instance"], row["place"], width),
        }
        for row in rows
    ]
    for value in values:  # beside the bar, or behind the line if that would cross it
        is_crossed = value["bar_h"] <= limit < value["bar_h"] + text_width
        value["text_h"] = limit if is_crossed else value["bar_h"]
    return values


def _age_bars(
    rows: Rows, limit: float, reach: float, theme: Theme, width: int
) -> tuple[Rows, Spec]:
    unit, size = _age_unit(reach)
    most = reach * (1.12 if is_wide(width) else 1.3)
    values = _age_values(rows, limit, reach, most, width)
    seen = {value["verdict"] for value in values}
    colours = {verdict: colour for verdict, colour in _VERDICTS.items() if verdict in seen}
    x = channel(
        "bar_h",
        title=f"age of the newest full backup, {unit}",
        scale={"domain": [0, most], "nice": False},
        axis={
            "values": list(range(0, int(reach) + 1, 24)),
            "labelExpr": f"datum.value / {size}",
            "labelOverlap": True,
        },
    )
    colour = colour_of("verdict", colours, legend(3 if is_wide(width) else 1))
    y = _names("label", width)
    ink = {"color": INK[theme]}
    bar = {"type": "bar", "height": {"band": 0.7}, "stroke": INK[theme], "strokeOpacity": 0.3}
    shown = tips("instance", "text", "verdict")
    return values, {
        "height": max(40, 17 * len(rows)),
        "layer": [
            {"mark": bar, "encoding": {"x": x, "y": y, "color": colour, "tooltip": shown}},
            {
                "mark": {"type": "text", "align": "left", "dx": 4, **ink},
                "encoding": {"x": channel("text_h"), "y": y, "text": {"field": "text"}},
            },
            {
                "data": {"values": [{"limit": limit}]},
                "mark": {"type": "rule", "strokeDash": [5, 3], "strokeWidth": 2, **ink},
                "encoding": {"x": channel("limit")},
            },
        ],
    }


def draw_retention_ladder(rows: Rows, theme: Theme, width: int) -> Spec:
    """How many instances can go back how far, and how many policies promise it."""
    if not rows or not rows[0]["instance_count"]:
        return empty("There are no existing instances.", theme, width)
    values = [row | {"rung": str(row["days_back"])} for row in rows]
    named = [row["rung"] for row in values][:: 1 if is_wide(width) else 2]
    x = channel(
        "rung",
        "ordinal",
        sort={"field": "days_back", "op": "min"},
        title="days back",
        axis={"labelAngle": 0, "values": named},
    )
    total = rows[0]["instance_count"]
    y: Spec = {"type": "quantitative", "title": "instances", "axis": counts_axis(total)}
    y["scale"] = {"domain": [0, total]}
    bars = {
        "mark": {"type": "bar", "width": {"band": 0.7}, "color": BLUE},
        "encoding": {
            "x": x,
            "y": y | {"field": "reached"},
            "tooltip": tips("days_back", "reached", "promised"),
        },
    }
    ticks = {
        "transform": [{"filter": "datum.promised > 0"}],
        "mark": {"type": "tick", "thickness": 3, "color": ORANGE, "width": {"band": 0.9}},
        "encoding": {"x": x, "y": y | {"field": "promised"}},
    }
    note = "Bars: instances that can go back so far. Ticks: what their policies promise."
    return finish(values, [bars, ticks], theme, width, 200, note)


def _names(field: str, width: int) -> Spec:
    sort = {"field": "place", "op": "min"}
    return channel(field, "nominal", sort=sort, title=None, axis=names_axis(width))


def _verdict(row: dict[str, object]) -> str:
    if row["age_h"] is None:
        return "no restore point"
    if row["is_rpo_met"]:
        return "within the RPO"
    return "increments may be newer" if row["is_age_upper_bound"] else "RPO missed"
