"""How the charts about days and single backups look: rows of `data` in, a Vega-Lite spec out.

Days that the lake did not watch are pale and carry no trend: of them it knows only what was still
there at the next look, so that any slope through them is one of survival.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from .style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PINK,
    RED,
    SIDE,
    SKY,
    UNWATCHED,
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
    legend,
    pale_entry,
    short,
    stacked,
    tips,
    watched_note,
    watched_since,
)

ENGINE_COLOURS = [BLUE, ORANGE, GREEN, PINK, SKY, GREY]
_UNITS = (("MiB", 1 / 1024), ("GiB", 1.0), ("TiB", 1024.0), ("PiB", 1024.0**2))


def draw_success_trend(rows: Rows, theme: Theme, width: int) -> Spec:
    """The success rate of each watched day, and the counts below it."""
    if not rows:
        return empty("There is no full day yet.", theme, width)
    order = ["failed", "unfinished", "completed"]
    counts = []
    for row in rows:
        if row["is_watched"]:
            counts += [
                {"date": row["date"], "status": status, "backups": row[status], "order": place}
                for place, status in enumerate(order)
                if row[status] or status == "completed"  # so that both panels show the same days
            ]
        else:
            sum_ = sum(row[status] for status in order)
            counts.append({"date": row["date"], "status": UNWATCHED, "backups": sum_, "order": 3})
    x = _day_x(rows, width) | {"scale": {"type": "utc", "domain": _reach(rows)}}
    watched = _spans([row for row in rows if row["is_watched"]])
    seen = {count["status"] for count in counts}
    states = dict(zip(order, (RED, PINK, GREEN), strict=True))
    colours = {name: states[name] for name in order if name in seen} | pale_entry(rows)
    most = max(sum(row[status] for status in order) for row in rows)
    bars = {
        "mark": {"type": "bar"},
        "encoding": {
            "x": x,
            "y": channel("backups", title="backups begun", axis=counts_axis(most)),
            "color": colour_of("status", colours, legend(4 if is_wide(width) else 2)),
            "order": channel("order"),
            "tooltip": tips("date", "status", "backups"),
        },
    }
    panels: list[tuple[Rows, Spec]] = [
        (counts, {"layer": [bars, *_since_rule(rows, theme)], "height": 150})
    ]
    if watched:
        rates = [row["success_rate"] for row in watched if row["success_rate"] is not None]
        y = channel(
            "success_rate",
            title="success rate",
            axis={"format": "%", "tickCount": 4, "minExtent": SIDE},
            scale={"domain": [min(0.8, *(rates or [0.0])), 1]},
        )
        rate = {
            "mark": {"type": "line", "point": {"size": 18, "color": BLUE}, "color": BLUE},
            "encoding": {
                "x": x | {"bandPosition": 0.5, "axis": x["axis"] | {"labels": False}},
                "y": y,
                "detail": {"field": "span"},
                "tooltip": [*tips("date"), {"field": "success_rate", "format": ".1%"}],
            },
        }
        panels.insert(0, (watched, {"layer": [rate], "height": 90}))
    return stacked(panels, theme, width, watched_note(rows))


def draw_stored_size(rows: Rows, theme: Theme, width: int) -> Spec:
    """The stored size of each day by engine, and its forecast from watched days alone."""
    days = [row for row in rows if row["kind"] == "stored"]
    forecast = [row for row in rows if row["kind"] == "forecast"]
    if not days:
        return empty("No completed backup has a full day yet.", theme, width)
    unit, size = _unit(rows)
    engines = sorted({row["engine"] for row in days}, key=lambda name: (name == "other", name))
    stored: dict[tuple[str, str], dict[str, Any]] = {}
    for row in days:
        engine = row["engine"] if row["is_watched"] else UNWATCHED
        bar = stored.setdefault((row["date"], engine), {"date": row["date"], "engine": engine})
        bar["size"] = bar.get("size", 0.0) + row["gib"] / size
    colours = {
        name: colour
        for name, colour in zip(engines, ENGINE_COLOURS, strict=False)
        if any(row["is_watched"] for row in days)
    } | pale_entry(days)
    names = {engine: short(engine, 18 if is_wide(width) else 14) for engine in colours}
    words = legend(4 if is_wide(width) else 2, f"{json.dumps(names)}[datum.label]")
    x = _day_x(rows, width)
    bars = {
        "mark": {"type": "bar", "binSpacing": 0},
        "encoding": {
            "x": x,
            "y": channel(
                "size",
                title=f"stored, {unit}",
                axis={"format": ",~r", "tickCount": 5, "minExtent": SIDE},
            ),
            "color": colour_of("engine", colours, words),
            "tooltip": [*tips("date", "engine"), {"field": "size", "format": ",.1f"}],
        },
    }
    layers = [bars, *_since_rule(days, theme)]
    note = "No forecast yet: it needs 7 full watched days."
    if forecast:
        layers += _forecast(forecast, size, x, theme)
        growth = _growth(forecast[0]["growth_gib_per_day"] / size, unit)
        note = f"{growth}; dashed: 30-day forecast with its 95 % band."
    note = f"{note} {watched_note(days)}".strip()
    return finish(list(stored.values()), layers, theme, width, 220, note)


def _forecast(rows: Rows, size: float, x: Spec, theme: Theme) -> list[Spec]:
    columns = {"size": "gib", "low": "low_gib", "high": "high_gib"}
    ends = [
        {"date": row["date"], **{name: row[column] / size for name, column in columns.items()}}
        for row in rows
    ]
    middle = x | {"bandPosition": 0.5}
    colour = {"color": INK[theme]}
    return [
        {
            "data": {"values": ends},
            "mark": {"type": "area", "opacity": 0.3, **colour},
            "encoding": {"x": middle, "y": channel("low"), "y2": {"field": "high"}},
        },
        {
            "data": {"values": ends},
            "mark": {"type": "line", "strokeDash": [5, 3], **colour},
            "encoding": {"x": middle, "y": channel("size")},
        },
    ]


def _day_x(rows: Rows, width: int) -> Spec:
    return day_channel(title=None, axis=days_axis([row["date"] for row in rows], width))


def _since_rule(rows: Rows, theme: Theme) -> list[Spec]:
    """A line where the watch begins, if there are days before it."""
    since = watched_since(rows)
    if since is None:
        return []
    return [
        {
            "data": {"values": [{"date": since}]},
            "mark": {"type": "rule", "strokeDash": [2, 3], "color": INK[theme]},
            "encoding": {"x": day_channel(bandPosition=0)},
        }
    ]


def _spans(rows: Rows) -> Rows:
    """The rows with the number of their unbroken run of days, so that no line bridges a hole."""
    spans: Rows = []
    for row in rows:
        day = date.fromisoformat(row["date"]).toordinal()
        follows = spans and spans[-1]["day"] == day - 1
        spans.append(row | {"day": day, "span": spans[-1]["span"] if follows else day})
    return spans


def _reach(rows: Rows) -> list[Spec]:
    """From the start of the first day to the end of the last, as Vega-Lite takes moments in UTC."""
    first, last = (date.fromisoformat(end(row["date"] for row in rows)) for end in (min, max))
    return [
        {"year": day.year, "month": day.month, "date": day.day, "utc": True}
        for day in (first, last + timedelta(days=1))
    ]


def _growth(per_day: float, unit: str) -> str:
    """The slope in words; one that rounds to nothing is none."""
    text = f"{per_day:+,.2f}" if abs(per_day) < 10 else f"{per_day:+,.1f}"
    return f"Growth {text} {unit} a day" if text.strip("+-0.") else "No growth to speak of"


def _unit(rows: Rows) -> tuple[str, float]:
    """The unit that keeps the largest size of a day readable, and its GiB."""
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["date"]] = sums.get(row["date"], 0.0) + row["gib"]
    most = max(sums.values())
    # MiB only below one GiB: the larger units take over late, so that a trend keeps its digits
    fits = (unit for unit in _UNITS if most < (10_000 if unit[1] >= 1 else 1024) * unit[1])
    return next(fits, _UNITS[-1])
