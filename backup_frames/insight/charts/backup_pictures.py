"""How the charts about single backups look: rows of `data` in, a Vega-Lite specification out."""

from __future__ import annotations

from .style import (
    BLUE,
    GREY,
    INK,
    MAX_OUTLIERS,
    NEVER_WATCHED,
    RED,
    UNWATCHED,
    Rows,
    Spec,
    Theme,
    channel,
    colour_of,
    empty,
    finish,
    is_wide,
    legend,
    pale_entry,
    tips,
)

#: Ticks that people know, for logarithmic axes.
_SIZES = {
    times * 1024.0**power: f"{times} {unit}"
    for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), -2)
    for times in (1, 10, 100)
}
_TIMES = {1 / 60: "1 s", 1 / 6: "10 s", 1.0: "1 min", 10.0: "10 min", 60.0: "1 h", 600.0: "10 h"}
_TIMES[6000.0] = "100 h"


def draw_duration_by_size(rows: Rows, theme: Theme, width: int) -> Spec:
    """Squares of usual backups and crosses of unusual ones; those of unwatched days pale."""
    if not rows:
        return empty("No backup with a size and a duration in the last 30 days.", theme, width)
    cells = [row | {"day": "watched" if row["is_watched"] else UNWATCHED} for row in rows]
    colours = {"watched": BLUE} if any(row["is_watched"] for row in rows) else {}
    colours |= pale_entry(rows)
    place = {
        "x": {"title": "size", **_log(rows, "size_gib", _SIZES)},
        "y": {"title": "duration", **_log(rows, "duration_min", _TIMES)},
    }

    steps = _steps(rows)
    sizes = {"orient": "top", "values": steps, "format": ",d", "symbolFillColor": GREY}
    layers: list[Spec] = [
        {
            "transform": [{"filter": "datum.kind == 'usual'"}],
            "mark": {"type": "square", "opacity": 0.75},
            "encoding": {
                **place,
                "color": colour_of("day", colours, legend(2) if UNWATCHED in colours else None),
                "size": channel(
                    "backups",
                    title="backups",
                    scale={"type": "sqrt", "range": [8, 140]},
                    legend=sizes if is_wide(width) and len(steps) > 1 else None,
                ),
                "tooltip": tips("backups", "day"),
            },
        },
        {
            "transform": [{"filter": "datum.kind == 'unusual'"}],
            "mark": {"type": "point", "shape": "cross", "size": 70, "angle": 45, "filled": True},
            "encoding": {
                **place,
                "color": colour_of("day", colours | {"watched": RED}, None),
                "tooltip": tips("backup_id", "instance", "size_gib", "duration_min", "day"),
            },
        },
    ]
    count = sum(row["kind"] == "unusual" for row in rows)
    total = sum(row["backups"] for row in rows)
    note = f"{count} unusual duration{'' if count == 1 else 's'} (crosses) of {total:,} backups."
    if not count:
        note = f"No unusual duration in {total:,} backup{'' if total == 1 else 's'}."
    if count == MAX_OUTLIERS:
        note = f"The {count} longest of the unusual durations (crosses)."
    if UNWATCHED in colours:
        note += " Pale: begun on days that the lake did not watch."
    spec = finish(cells, layers, theme, width, 260, note)
    return spec | {"resolve": {"scale": {"color": "independent"}}}


def draw_start_hours(rows: Rows, theme: Theme, width: int) -> Spec:
    """Backups begun in each hour of the week."""
    if not rows:
        return empty("No backup began in the last four full weeks.", theme, width)
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    watched, most = rows[0]["watched_days"], max(row["backups"] for row in rows)
    colours = {"scheme": "viridis"} if watched else {"range": ["#99999922", "#999999aa"]}
    scale = {"orient": "top", "gradientLength": min(200, width // 2), "format": ",d"}
    scale |= {"values": list(range(most + 1))} if most <= 4 else {"tickMinStep": 1}
    cells = {
        "mark": {"type": "rect", "stroke": INK[theme], "strokeOpacity": 0.15},
        "encoding": {
            "x": channel(
                "hour",
                "ordinal",
                title="hour of the day, UTC",
                scale={"domain": list(range(24))},
                axis={"labelAngle": 0, "values": list(range(0, 24, 1 if is_wide(width) else 3))},
            ),
            "y": channel("day", "nominal", title=None, scale={"domain": days}, sort=days),
            "color": channel(
                "backups",
                title="backups" if watched else f"backups, {UNWATCHED}",
                scale={**colours, "domainMin": 0},
                legend=scale,
            ),
            "tooltip": tips("day", "hour", "backups", "failed"),
        },
    }
    note = "" if watched == 28 else f"Of the {watched} days that the lake watched."
    if not watched:
        note = NEVER_WATCHED
    elif watched == 1:
        note = "Of the one day that the lake watched."
    return finish(rows, [cells], theme, width, 150, note)


def _log(rows: Rows, field: str, ticks: dict[float, str]) -> Spec:
    """A logarithmic channel with at least one decade, so that a known tick stands on its axis."""
    low, high = min(row[field] for row in rows), max(row[field] for row in rows)
    middle = (low * high) ** 0.5
    expression = "".join(
        f"abs(datum.value / {value!r} - 1) < 0.01 ? '{name}' : " for value, name in ticks.items()
    )
    domain = [min(low / 1.2, middle / 6), max(high * 1.2, middle * 6)]
    axis = {
        "values": [value for value in ticks if domain[0] <= value <= domain[1]],
        "labelExpr": f"{expression}''",
        "labelOverlap": "greedy",
        "labelSeparation": 12,
    }
    return channel(field, scale={"type": "log", "nice": False, "domain": domain}, axis=axis)


def _steps(rows: Rows) -> list[int]:
    """Three round numbers of backups up to the fullest cell, for its legend."""
    most = max((row["backups"] for row in rows if row["kind"] == "usual"), default=1)
    power = 10 ** (len(str(most)) - 1)
    top = most // power * power
    return sorted({1, power, top})
