"""How each chart looks: rows of `chart_data` in, an Altair chart out.

No reading happens here, so that the report can draw the same rows twice, wide and narrow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import altair as alt
import pyarrow as pa

from .chart_data import MAX_OUTLIERS, Rows

#: "page" takes the colour of the text around it: one SVG serves light, dark and print.
Theme = Literal["light", "dark", "page"]

GREEN, ORANGE, RED = "#009E73", "#E69F00", "#D55E00"
SKY, BLUE, PINK, GREY = "#56B4E9", "#0072B2", "#CC79A7", "#999999"
#: State of an instance's day -> colour and the sign that says it without colour.
DAY_STATES = {
    "completed": (GREEN, ""),
    "tables only": (SKY, "t"),
    "partly failed": (ORANGE, "/"),
    "failed": (RED, "×"),  # noqa: RUF001 - it is drawn, not read as a letter
    "unfinished": (PINK, "…"),
    "none": ("#99999966", "–"),  # noqa: RUF001 - likewise
    "not known": ("#99999922", ""),
}
_SIGNED = {state: f"{state} {sign}".strip() for state, (_, sign) in DAY_STATES.items()}
ENGINE_COLOURS = [BLUE, ORANGE, GREEN, PINK, SKY, GREY]
_INK = {"light": "#1b1b1b", "dark": "#ececec", "page": "currentColor"}
_PAPER = {"light": "#ffffff", "dark": "#161616", "page": "transparent"}


def instance_grid(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.instance_grid`."""
    if not rows:
        return _empty("No instance has a full day yet.", theme, width)
    for row in rows:
        row["sign"] = DAY_STATES[row["state"]][1]
        row["label"] = f"{row['instance']}  #{row['place']}"
    shown, total = len({row["place"] for row in rows}), rows[0]["instance_count"]
    base = alt.Chart(pa.Table.from_pylist(rows)).encode(
        x=alt.X("utcyearmonthdate(date):T", title=None, axis=_days()),
        y=alt.Y(
            "label:N",
            sort=alt.EncodingSortField("place", op="min"),
            title=None,
            # the place keeps instances of the same name apart, and is not shown
            axis=alt.Axis(
                labelExpr="replace(datum.label, /  #\\d+$/, '')", labelLimit=_labels(width)
            ),
        ),
    )
    cells = base.mark_rect(stroke=_INK[theme], strokeOpacity=0.15).encode(
        color=alt.Color(
            "state:N",
            scale=alt.Scale(
                domain=list(DAY_STATES), range=[colour for colour, _ in DAY_STATES.values()]
            ),
            legend=_legend(4 if width > 400 else 2, f"{json.dumps(_SIGNED)}[datum.label]"),
        ),
        tooltip=["instance:N", "date:T", "state:N", "completed:Q", "failed:Q"],
    )
    signs = (
        base.transform_filter("datum.sign != ''")
        .mark_text(fontSize=11, fontWeight="bold", color=_INK[theme])
        .encode(x=alt.X("utcyearmonthdate(date):T", bandPosition=0.5), text="sign:N")
    )
    note = "" if shown == total else f"The {shown} of {total:,} instances with the most bad days."
    height = max(60, shown * (18 if width > 400 else 15))
    return _finish([cells, signs], theme, width, height, note)


def restore_point_ages(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.restore_point_ages`."""
    if not rows:
        return _empty("There are no existing instances.", theme, width)
    limit = rows[0]["limit_h"]
    reach = max(2 * limit, *(min(row["age_h"] or 0.0, 168.0) for row in rows))
    for row in rows:
        age = row["age_h"]
        row["bar_h"] = reach if age is None else min(age, reach)
        row["verdict"] = "within the RPO" if row["is_rpo_met"] else "RPO missed"
        if age is None:
            row["verdict"] = "no restore point"
        row["text"] = "none" if age is None else _age(age)
        row["text_h"] = max(row["bar_h"], limit)  # so that the line does not cross the text
        row["label"] = f"{row['instance']}  #{row['place']}"
    base = alt.Chart(pa.Table.from_pylist(rows)).encode(
        y=alt.Y(
            "label:N",
            sort=alt.EncodingSortField("place", op="min"),
            title=None,
            axis=alt.Axis(
                labelExpr="replace(datum.label, /  #\\d+$/, '')", labelLimit=_labels(width)
            ),
        )
    )
    colours = {"within the RPO": BLUE, "RPO missed": RED, "no restore point": GREY}
    bars = base.mark_bar(height={"band": 0.7}).encode(
        x=alt.X(
            "bar_h:Q",
            title="age of the newest restore point, hours",
            scale=alt.Scale(domain=[0, reach * 1.12], nice=False),
            axis=alt.Axis(values=list(range(0, int(reach) + 1, 24)), labelOverlap=True),
        ),
        color=alt.Color(
            "verdict:N",
            scale=alt.Scale(domain=list(colours), range=list(colours.values())),
            legend=_legend(3 if width > 400 else 2),
        ),
        tooltip=["instance:N", "text:N", "verdict:N"],
    )
    texts = base.mark_text(align="left", dx=4, color=_INK[theme]).encode(
        x="text_h:Q", text="text:N"
    )
    line = (
        alt.Chart(pa.Table.from_pylist([{"limit": limit}]))
        .mark_rule(strokeDash=[5, 3], strokeWidth=2, color=_INK[theme])
        .encode(x="limit:Q")
    )
    met, total = rows[0]["met_count"], rows[0]["instance_count"]
    note = f"{met:,} of {total:,} instances are within {limit:g} h (dashed line)."
    if total > len(rows):
        note += f" Shown: the {len(rows)} oldest."
    return _finish([bars, texts, line], theme, width, max(60, 20 * len(rows)), note)


def success_trend(rows: Rows, theme: Theme, width: int) -> alt.VConcatChart | alt.LayerChart:
    """Draws `charts.success_trend`."""
    if not rows:
        return _empty("There is no full day yet.", theme, width)
    rate = (
        alt.Chart(pa.Table.from_pylist(rows))
        .mark_line(point={"size": 18, "color": BLUE}, color=BLUE)
        .encode(
            x=alt.X("utcyearmonthdate(date):T", title=None, axis=_days()),
            y=alt.Y(
                "success_rate:Q",
                title="success rate",
                axis=alt.Axis(format="%"),
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
        alt.Chart(pa.Table.from_pylist(long))
        .mark_bar()
        .encode(
            x=alt.X("utcyearmonthdate(date):T", title=None, axis=_days()),
            y=alt.Y("backups:Q", title="backups begun"),
            color=alt.Color(
                "status:N",
                scale=alt.Scale(domain=order, range=[RED, PINK, GREEN]),
                legend=_legend(3),
            ),
            order="order:Q",
            tooltip=["date:T", "status:N", "backups:Q"],
        )
        .properties(width=width - 70, height=150)
    )
    return _themed(alt.vconcat(rate, counts, spacing=6), theme)


def stored_size(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.stored_size`."""
    stored = [row for row in rows if row["kind"] == "stored"]
    forecast = [row for row in rows if row["kind"] == "forecast"]
    if not stored:
        return _empty("No completed backup has a full day yet.", theme, width)
    engines = sorted({row["engine"] for row in stored}, key=lambda name: (name == "other", name))
    x = alt.X("date:T", title=None, axis=_days(), scale=alt.Scale(type="utc"))
    area = (
        alt.Chart(pa.Table.from_pylist(stored))
        .mark_area(opacity=0.85)
        .encode(
            x=x,
            y=alt.Y("gib:Q", title="stored, GiB", stack=True, axis=alt.Axis(format="~s")),
            color=alt.Color(
                "engine:N",
                scale=alt.Scale(domain=engines, range=ENGINE_COLOURS[: len(engines)]),
                legend=_legend(3),
            ),
            tooltip=["date:T", "engine:N", alt.Tooltip("gib:Q", format=",.1f")],
        )
    )
    if not forecast:
        note = "No forecast yet: it needs 7 full days since the first certified run."
        return _finish([area], theme, width, 220, note)
    ends = alt.Chart(pa.Table.from_pylist(forecast)).encode(x=x)
    band = ends.mark_area(opacity=0.3, color=_INK[theme]).encode(
        y=alt.Y("low_gib:Q", title="stored, GiB"), y2="high_gib:Q"
    )
    line = ends.mark_line(strokeDash=[5, 3], color=_INK[theme]).encode(y="gib:Q")
    growth = forecast[0]["growth_gib_per_day"]
    note = f"Growth {growth:+,.1f} GiB a day; dashed: 30-day forecast with its 95 % band."
    return _finish([area, band, line], theme, width, 220, note)


def duration_by_size(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.duration_by_size`."""
    if not rows:
        return _empty("No backup with a size and a duration in the last 30 days.", theme, width)
    base = alt.Chart(pa.Table.from_pylist(rows)).encode(
        x=alt.X("size_gib:Q", title="size, GiB", scale=alt.Scale(type="log"), axis=_powers()),
        y=alt.Y(
            "duration_min:Q", title="duration, minutes", scale=alt.Scale(type="log"), axis=_powers()
        ),
    )
    usual = (
        base.transform_filter("datum.kind == 'usual'")
        .mark_square(opacity=0.75, color=BLUE)
        .encode(
            size=alt.Size(
                "backups:Q",
                title="backups",
                scale=alt.Scale(type="sqrt", range=[8, 140]),
                legend=alt.Legend(orient="top", tickCount=3) if width > 400 else None,
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
    note = f"{count} unusual durations (crosses)."
    if count == MAX_OUTLIERS:
        note = f"The {count} longest of the unusual durations (crosses)."
    return _finish([usual, unusual], theme, width, 260, note)


def start_hours(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.start_hours`."""
    if not rows:
        return _empty("No backup began in the last four full weeks.", theme, width)
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    cells = (
        alt.Chart(pa.Table.from_pylist(rows))
        .mark_rect(stroke=_INK[theme], strokeOpacity=0.15)
        .encode(
            x=alt.X(
                "hour:O",
                title="hour of the day, UTC",
                scale=alt.Scale(domain=list(range(24))),
                axis=alt.Axis(labelAngle=0, labelOverlap=True),
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
    return _finish([cells], theme, width, 150)


def retention_ladder(rows: Rows, theme: Theme, width: int) -> alt.LayerChart:
    """Draws `charts.retention_ladder`."""
    if not rows or not rows[0]["instance_count"]:
        return _empty("There are no existing instances.", theme, width)
    for row in rows:
        row["rung"] = f"{row['days_back']} d"
        row["is_short"] = "short" if row["reached"] < row["promised"] else "kept"
    base = alt.Chart(pa.Table.from_pylist(rows)).encode(
        x=alt.X(
            "rung:O",
            sort=alt.EncodingSortField("days_back", op="min"),
            title="days back",
            axis=alt.Axis(labelAngle=0, labelOverlap=True),
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
    return _finish([bars, ticks], theme, width, 200, note)


def _empty(note: str, theme: Theme, width: int) -> alt.LayerChart:
    text = alt.Chart(pa.Table.from_pylist([{"note": note}])).mark_text(
        fontSize=13, color=_INK[theme], limit=width
    )
    return _finish([text.encode(text="note:N")], theme, width, 60)


def _finish(
    layers: Sequence[alt.Chart], theme: Theme, width: int, height: int, note: str = ""
) -> alt.LayerChart:
    # the width is that of the whole picture, names and axes included
    chart = alt.LayerChart(layer=list(layers)).properties(
        width=width,
        height=height,
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
    if note:
        chart = chart.properties(title=alt.Title(_wrapped(note, width)))
    return _themed(chart, theme)


def _themed(chart: Any, theme: Theme) -> Any:
    ink = _INK[theme]
    return (
        chart.configure(background=_PAPER[theme], aria=False, font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_title(
            anchor="start", color=ink, fontSize=12, fontWeight="normal", offset=8, frame="bounds"
        )
        .configure_axis(
            labelColor=ink,
            titleColor=ink,
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            domainColor=ink,
            domainOpacity=0.4,
            tickColor=ink,
            tickOpacity=0.4,
            gridColor=ink,
            gridOpacity=0.12,
        )
        .configure_legend(labelColor=ink, titleColor=ink, labelFontSize=11, titleFontSize=11)
    )


def _days() -> alt.Axis:
    return alt.Axis(format="%b %d", labelOverlap=True, grid=False, tickCount=8)


def _powers() -> alt.Axis:
    return alt.Axis(format="~g", tickCount=5)


def _legend(columns: int, label: str = "datum.label") -> alt.Legend:
    return alt.Legend(
        orient="top",
        title=None,
        columns=columns,
        labelExpr=label,
        labelLimit=120,
        symbolType="square",
    )


def _labels(width: int) -> int:
    return 180 if width > 400 else 90


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width // 6.5:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _floors(rows: Rows) -> list[float]:
    return [row["success_rate"] for row in rows if row["success_rate"] is not None] or [0.0]


def _age(hours: float) -> str:
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:.1f} d"
