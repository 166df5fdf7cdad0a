"""How each chart looks: rows of `data` in, an Altair chart out.

No reading happens here, so that the report can draw the same rows twice, wide and narrow.
"""

from __future__ import annotations

import json

import altair as alt

from .data import MAX_OUTLIERS, Rows
from .style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PINK,
    RED,
    SKY,
    Theme,
    days_axis,
    empty,
    finish,
    is_wide,
    label,
    legend,
    names_axis,
    short,
    table,
    themed,
)

#: State of an instance's day -> colour and the sign that says it without colour.
DAY_STATES = {
    "completed": (GREEN, ""),
    "tables only": (SKY, "t"),
    "partly failed": (ORANGE, "/"),
    "failed": (RED, "×"),  # noqa: RUF001 - it is drawn, not read as a letter
    "unfinished": (PINK, "…"),
    "none": ("#99999988", "–"),  # noqa: RUF001 - likewise
    "not due": ("#99999944", ""),
    "not known": ("#99999911", ""),
}
#: Room for the numbers beside an axis, where two charts stand one above the other.
_LEFT = 40
#: Ticks that people know, for logarithmic axes.
_SIZES = {2**-20: "1 KiB", 2**-10: "1 MiB", 1: "1 GiB", 2**10: "1 TiB", 2**20: "1 PiB"}
_TIMES = {
    1 / 60: "1 s",
    1 / 6: "10 s",
    1: "1 min",
    10: "10 min",
    60: "1 h",
    600: "10 h",
    6000: "100 h",
}
_UNITS = (("GiB", 1.0), ("TiB", 1024.0), ("PiB", 1024.0**2))
_SIGNED = {state: f"{state} ({sign})" if sign else state for state, (_, sign) in DAY_STATES.items()}
ENGINE_COLOURS = [BLUE, ORANGE, GREEN, PINK, SKY, GREY]


def instance_grid(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.instance_grid`."""
    if not rows:
        return empty("No instance has a full day yet.", theme, width)
    for row in rows:
        row["sign"] = DAY_STATES[row["state"]][1]
        row["label"] = label(row["instance"], row["place"], width)
    days = {row["date"] for row in rows}
    shown, total = len({row["place"] for row in rows}), rows[0]["instance_count"]
    base = alt.Chart(table(rows)).encode(
        x=alt.X("utcyearmonthdate(date):T", title=None, axis=days_axis(days, width)),
        y=alt.Y(
            "label:N",
            sort=alt.EncodingSortField("place", op="min"),
            title=None,
            axis=names_axis(width),
        ),
    )
    cells = base.mark_rect(stroke=INK[theme], strokeOpacity=0.15).encode(
        color=alt.Color(
            "state:N",
            scale=alt.Scale(
                domain=list(DAY_STATES), range=[colour for colour, _ in DAY_STATES.values()]
            ),
            legend=legend(4 if is_wide(width) else 2, f"{json.dumps(_SIGNED)}[datum.label]"),
        ),
        tooltip=["instance:N", "date:T", "state:N", "completed:Q", "failed:Q"],
    )
    signs = (
        base.transform_filter("datum.sign != ''")
        .mark_text(fontSize=10 if is_wide(width) else 7, fontWeight="bold", color=INK[theme])
        .encode(x=alt.X("utcyearmonthdate(date):T", bandPosition=0.5), text="sign:N")
    )
    note = "" if shown == total else f"The {shown} of {total:,} instances with the most bad days."
    height = max(60, shown * (15 if is_wide(width) else 14))
    return finish([cells, signs], theme, width, height, note)


def restore_point_ages(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.restore_point_ages`."""
    if not rows:
        return empty("There are no existing instances.", theme, width)
    limit = rows[0]["limit_h"]
    reach = max(
        2 * limit, *(168.0 if (row["age_h"] or 169) > 168 else row["age_h"] for row in rows)
    )
    for row in rows:
        age = row["age_h"]
        row["bar_h"] = reach if age is None else min(age, reach)
        missed = "increments may be newer" if row["is_age_upper_bound"] else "RPO missed"
        row["verdict"] = "within the RPO" if row["is_rpo_met"] else missed
        if age is None:
            row["verdict"] = "no restore point"
        row["text"] = "none" if age is None else _age(age)
        row["text_h"] = max(row["bar_h"], limit)  # so that the line does not cross the text
        row["label"] = label(row["instance"], row["place"], width)
    base = alt.Chart(table(rows)).encode(
        y=alt.Y(
            "label:N",
            sort=alt.EncodingSortField("place", op="min"),
            title=None,
            axis=names_axis(width),
        )
    )
    colours = {"within the RPO": BLUE, "RPO missed": RED, "no restore point": GREY}
    if any(row["is_age_upper_bound"] for row in rows):
        colours["increments may be newer"] = ORANGE
    bars = base.mark_bar(height={"band": 0.7}).encode(
        x=alt.X(
            "bar_h:Q",
            title="age of the newest full backup, hours",
            scale=alt.Scale(domain=[0, reach * (1.12 if is_wide(width) else 1.3)], nice=False),
            axis=alt.Axis(values=list(range(0, int(reach) + 1, 24)), labelOverlap=True),
        ),
        color=alt.Color(
            "verdict:N",
            scale=alt.Scale(domain=list(colours), range=list(colours.values())),
            legend=legend(3 if is_wide(width) else 2),
        ),
        tooltip=["instance:N", "text:N", "verdict:N"],
    )
    texts = base.mark_text(align="left", dx=4, color=INK[theme]).encode(x="text_h:Q", text="text:N")
    line = (
        alt.Chart(table([{"limit": limit}]))
        .mark_rule(strokeDash=[5, 3], strokeWidth=2, color=INK[theme])
        .encode(x="limit:Q")
    )
    met, total = rows[0]["met_count"], rows[0]["instance_count"]
    note = f"{met:,} of {total:,} instances are within {limit:g} h (dashed line)."
    if len(colours) > 3:
        note += " Full backups only: an upper bound where increments are on."
    if total > len(rows):
        note += f" Shown: the {len(rows)} oldest."
    if reach > 2 * limit:
        note += " Bars end at 7 days."
    return finish([bars, texts, line], theme, width, max(60, 17 * len(rows)), note)


def success_trend(rows: Rows, theme: Theme, width: int) -> alt.VConcatChart | alt.LayerChart:
    """Draws `charts.success_trend`."""
    if not rows:
        return empty("There is no full day yet.", theme, width)
    days = days_axis([row["date"] for row in rows], width)
    rate = (
        alt.Chart(table(rows))
        .mark_line(point={"size": 18, "color": BLUE}, color=BLUE)
        .encode(
            x=alt.X("utcyearmonthdate(date):T", title=None, axis=days),
            y=alt.Y(
                "success_rate:Q",
                title="success rate",
                axis=alt.Axis(format="%", tickCount=4, minExtent=_LEFT),
                scale=alt.Scale(domain=[min(0.8, *_floors(rows)), 1]),
            ),
            tooltip=["date:T", alt.Tooltip("success_rate:Q", format=".1%")],
        )
        .properties(width=width - 70, height=90)
    )
    order = ["failed", "unfinished", "completed"]
    long = [
        {"date": row["date"], "status": status, "backups": row[status], "order": place}
        for row in rows
        for place, status in enumerate(order)
        if row[status] or status == "completed"  # so that both panels show the same days
    ]
    counts = (
        alt.Chart(table(long))
        .mark_bar()
        .encode(
            x=alt.X("utcyearmonthdate(date):T", title=None, axis=days),
            y=alt.Y(
                "backups:Q",
                title="backups begun",
                axis=alt.Axis(tickCount=5, tickMinStep=1, minExtent=_LEFT),
            ),
            color=alt.Color(
                "status:N",
                scale=alt.Scale(domain=order, range=[RED, PINK, GREEN]),
                legend=legend(3),
            ),
            order="order:Q",
            tooltip=["date:T", "status:N", "backups:Q"],
        )
        .properties(width=width - 70, height=150)
    )
    return themed(alt.vconcat(rate, counts, spacing=6), theme)


def stored_size(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.stored_size`."""
    stored = [row for row in rows if row["kind"] == "stored"]
    forecast = [row for row in rows if row["kind"] == "forecast"]
    if not stored:
        return empty("No completed backup has a full day yet.", theme, width)
    engines = sorted({row["engine"] for row in stored}, key=lambda name: (name == "other", name))
    names = {engine: short(engine, 18) for engine in engines}
    unit, size = _unit(rows)
    for row in rows:
        row |= {name: row[f"{name}_gib"] and row[f"{name}_gib"] / size for name in ("low", "high")}
        row["size"] = row["gib"] / size
    x = alt.X(
        "date:T",
        title=None,
        axis=days_axis([row["date"] for row in rows], width),
        scale=alt.Scale(type="utc"),
    )
    area = (
        alt.Chart(table(stored))
        .mark_area(opacity=0.85)
        .encode(
            x=x,
            y=alt.Y("size:Q", title=f"stored, {unit}", stack=True, axis=alt.Axis(format=",~r")),
            color=alt.Color(
                "engine:N",
                scale=alt.Scale(domain=engines, range=ENGINE_COLOURS[: len(engines)]),
                legend=legend(4 if is_wide(width) else 2, f"{json.dumps(names)}[datum.label]"),
            ),
            tooltip=["date:T", "engine:N", alt.Tooltip("gib:Q", format=",.1f")],
        )
    )
    if not forecast:
        note = "No forecast yet: it needs 7 full days since the first certified run."
        return finish([area], theme, width, 220, note)
    ends = alt.Chart(table(forecast)).encode(x=x)
    band = ends.mark_area(opacity=0.3, color=INK[theme]).encode(y="low:Q", y2="high:Q")
    line = ends.mark_line(strokeDash=[5, 3], color=INK[theme]).encode(y="size:Q")
    growth = forecast[0]["growth_gib_per_day"]
    note = f"Growth {growth:+,.1f} GiB a day; dashed: 30-day forecast with its 95 % band."
    return finish([area, band, line], theme, width, 220, note)


def duration_by_size(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.duration_by_size`."""
    if not rows:
        return empty("No backup with a size and a duration in the last 30 days.", theme, width)
    base = alt.Chart(table(rows)).encode(
        x=alt.X("size_gib:Q", title="size", scale=_log(), axis=_known_ticks(_SIZES)),
        y=alt.Y("duration_min:Q", title="duration", scale=_log(), axis=_known_ticks(_TIMES)),
    )
    usual = (
        base.transform_filter("datum.kind == 'usual'")
        .mark_square(opacity=0.75, color=BLUE)
        .encode(
            size=alt.Size(
                "backups:Q",
                title="backups",
                scale=alt.Scale(type="sqrt", range=[8, 140]),
                legend=alt.Legend(orient="top", values=_steps(rows)) if is_wide(width) else None,
            ),
            tooltip=["backups:Q"],
        )
    )
    unusual = (
        base.transform_filter("datum.kind == 'unusual'")
        .mark_point(shape="cross", size=70, angle=45, filled=True, color=RED)
        .encode(tooltip=["backup_id:N", "instance:N", "size_gib:Q", "duration_min:Q"])
    )
    count = sum(row["kind"] == "unusual" for row in rows)
    note = (
        f"{count} unusual durations (crosses) of {sum(row['backups'] for row in rows):,} backups."
    )
    if count == MAX_OUTLIERS:
        note = f"The {count} longest of the unusual durations (crosses)."
    return finish([usual, unusual], theme, width, 260, note)


def start_hours(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.start_hours`."""
    if not rows:
        return empty("No backup began in the last four full weeks.", theme, width)
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    cells = (
        alt.Chart(table(rows))
        .mark_rect(stroke=INK[theme], strokeOpacity=0.15)
        .encode(
            x=alt.X(
                "hour:O",
                title="hour of the day, UTC",
                scale=alt.Scale(domain=list(range(24))),
                axis=alt.Axis(labelAngle=0, values=list(range(0, 24, 1 if is_wide(width) else 3))),
            ),
            y=alt.Y("day:N", title=None, scale=alt.Scale(domain=days), sort=days),
            color=alt.Color(
                "backups:Q",
                title="backups",
                scale=alt.Scale(scheme="viridis", domainMin=0),
                legend=alt.Legend(orient="top", gradientLength=min(200, width // 2)),
            ),
            tooltip=["day:N", "hour:O", "backups:Q", "failed:Q"],
        )
    )
    return finish([cells], theme, width, 150)


def retention_ladder(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.retention_ladder`."""
    if not rows or not rows[0]["instance_count"]:
        return empty("There are no existing instances.", theme, width)
    for row in rows:
        row["rung"] = str(row["days_back"])
        row["is_short"] = "short" if row["reached"] < row["promised"] else "kept"
    named = [row["rung"] for row in rows][:: 1 if is_wide(width) else 2]
    base = alt.Chart(table(rows)).encode(
        x=alt.X(
            "rung:O",
            sort=alt.EncodingSortField("days_back", op="min"),
            title="days back",
            axis=alt.Axis(labelAngle=0, values=named),
        )
    )
    bars = base.mark_bar(width={"band": 0.7}, color=BLUE).encode(
        y=alt.Y(
            "reached:Q",
            title="instances",
            scale=alt.Scale(domain=[0, rows[0]["instance_count"]]),
            axis=alt.Axis(tickMinStep=1),
        ),
        tooltip=["days_back:Q", "reached:Q", "promised:Q"],
    )
    ticks = (
        base.transform_filter("datum.promised > 0")
        .mark_tick(thickness=3, color=ORANGE, width={"band": 0.9})
        .encode(y="promised:Q")
    )
    note = "Bars: instances that can go back so far. Ticks: what their policies promise."
    return finish([bars, ticks], theme, width, 200, note)


def _floors(rows: Rows) -> list[float]:
    return [row["success_rate"] for row in rows if row["success_rate"] is not None] or [0.0]


def _age(hours: float) -> str:
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:.1f} d"


def _unit(rows: Rows) -> tuple[str, float]:
    """The unit that keeps the largest size of a day below 10,000, and its GiB."""
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["date"]] = sums.get(row["date"], 0.0) + row["gib"]
    most = max(sums.values())
    return next(((unit, size) for unit, size in _UNITS if most < 10_000 * size), _UNITS[-1])


def _log() -> alt.Scale:
    return alt.Scale(type="log", nice=False, padding=12)


def _known_ticks(names: dict[float, str]) -> alt.Axis:
    expression = "".join(
        f"abs(datum.value / {value!r} - 1) < 0.01 ? '{name}' : " for value, name in names.items()
    )
    return alt.Axis(values=list(names), labelExpr=f"{expression}''")


def _steps(rows: Rows) -> list[int]:
    """Three round numbers of backups up to the fullest cell, for its legend."""
    most = max((row["backups"] for row in rows if row["kind"] == "usual"), default=1)
    power = 10 ** (len(str(most)) - 1)
    top = most // power * power
    return sorted({1, power, top})
