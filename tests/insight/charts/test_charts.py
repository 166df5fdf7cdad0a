"""The charts: what they take, what they show at most, and what they do with nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.lake_maker import (
    at,
    backup,
    borrow_views,
    connect_rows,
    instance,
    policy,
    run,
    table_of,
)

from backup_frames.frames.flatten import ArrowFrames
from backup_frames.frames.frames import BackupFrames
from backup_frames.frames.schema import BACKUP_DATABASES, BACKUP_TABLES, BACKUPS
from backup_frames.insight import charts, connect_lake
from backup_frames.insight.charts.data import (
    MAX_BARS,
    MAX_INSTANCES,
    MAX_OUTLIERS,
    plain,
)
from backup_frames.insight.charts.style import days_axis, label

ALL = [getattr(charts, name) for name in charts.__all__]
each_chart = pytest.mark.parametrize("chart", ALL, ids=charts.__all__)
Chart = Callable[..., Any]
# Frames become views one way, whatever is drawn of them; all charts when slow.
CHEAP = ("instance_grid", "restore_point_ages")


@pytest.fixture(scope="module")
def views(small_lake: Path) -> duckdb.DuckDBPyConnection:
    return connect_lake(small_lake, materialize=True)


@pytest.fixture(scope="module")
def no_rows() -> duckdb.DuckDBPyConnection:
    return connect_rows()


THEMES = ("light", "dark", "page")


@pytest.mark.parametrize(
    ("chart", "theme"),
    [
        pytest.param(  # each chart in one theme, and all themes of one chart; all pairs when slow
            chart,
            theme,
            marks=[] if chart is ALL[0] or place % 3 == number else [pytest.mark.slow],
            id=f"{theme}-{charts.__all__[place]}",
        )
        for place, chart in enumerate(ALL)
        for number, theme in enumerate(THEMES)
    ],
)
def test_a_valid_chart(views: duckdb.DuckDBPyConnection, chart: Chart, theme: str) -> None:
    """Every chart is a valid Vega-Lite specification with data, in every theme."""
    spec = chart(views, theme=theme).to_dict()
    assert sum(map(len, spec["datasets"].values())) > 0


@each_chart
def test_no_data(no_rows: duckdb.DuckDBPyConnection, chart: Chart) -> None:
    """An empty lake gives an empty chart that says why, not an error."""
    spec = chart(no_rows).to_dict(validate=False)
    ((row,),) = spec["datasets"].values()
    assert row["note"].startswith(("No ", "There "))


@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(chart, id=name, marks=[] if name in CHEAP else [pytest.mark.slow])
        for name, chart in zip(charts.__all__, ALL, strict=True)
    ],
)
def test_frames_instead_of_a_lake(chart: Chart) -> None:
    """A chart takes frames from a read as well; what only a lake knows is empty in it."""
    from altair import TopLevelMixin  # noqa: PLC0415 - heavy: only who draws loads it

    rows = [backup(f"b{day}", "i", at(f"2026-03-{day:02d} 02:00")) for day in range(1, 11)]
    arrow = ArrowFrames(
        table_of(rows, BACKUPS), table_of([], BACKUP_DATABASES), table_of([], BACKUP_TABLES)
    )
    assert isinstance(chart(BackupFrames(arrow)), TopLevelMixin)


@pytest.fixture(scope="module")
def large_spec(large_views: duckdb.DuckDBPyConnection) -> Callable[[Chart], dict[str, Any]]:
    """A chart of the large fleet as a dictionary, made once."""
    return cache(lambda chart: chart(large_views).to_dict(validate=False))


@each_chart
def test_a_large_fleet_stays_small(
    large_spec: Callable[[Chart], dict[str, Any]], chart: Chart
) -> None:
    """However many instances and backups there are, a chart holds at most 2,000 rows."""
    spec = large_spec(chart)
    assert sum(map(len, spec["datasets"].values())) < 2_000


def test_the_worst_come_first(large_spec: Callable[[Chart], dict[str, Any]]) -> None:
    """Of many instances the grid shows the 40 with the most bad days, and says so."""
    spec = large_spec(charts.instance_grid)
    (rows,) = spec["datasets"].values()
    shown = {row["place"]: row["bad_days"] for row in rows}
    assert len(shown) == MAX_INSTANCES
    assert [shown[place] for place in sorted(shown)] == sorted(shown.values(), reverse=True)
    assert "of 60 instances" in " ".join(spec["title"]["text"])


def test_limits_of_marks(large_spec: Callable[[Chart], dict[str, Any]]) -> None:
    """Bars and outliers have their limits too."""
    ages = large_spec(charts.restore_point_ages)
    assert max(map(len, ages["datasets"].values())) == MAX_BARS
    durations = large_spec(charts.duration_by_size)
    (rows,) = durations["datasets"].values()
    assert sum(row["kind"] == "unusual" for row in rows) <= MAX_OUTLIERS


def test_states_can_be_told_without_colour(views: duckdb.DuckDBPyConnection) -> None:
    """A bad day carries a sign, so that the grid can be read in black and white."""
    (rows,) = charts.instance_grid(views).to_dict(validate=False)["datasets"].values()
    signs = {row["state"]: row["sign"] for row in rows}
    assert signs["failed"] == "×"  # noqa: RUF001 - it is the sign
    fine = ("completed", "not due", "not known")
    assert all(sign for state, sign in signs.items() if state not in fine)


def test_a_day_off_is_no_bad_day() -> None:
    """Where a policy asks for Mondays only, the other days are not due; without a policy they are none."""
    monday = at("2026-03-09 02:00")
    with borrow_views(
        backups=[backup("b", "weekly", monday)],
        instances=[instance("weekly"), instance("bare")],
        policies=[policy("weekly", period="1")],
        runs=[run(at("2026-02-20 12:00")), run(at("2026-03-11 12:00"))],
    ) as connection:
        rows = charts.instance_grid.read(connection)
    last = {
        name: [row["state"] for row in rows if row["instance_id"] == name][-2:]
        for name in ("weekly", "bare")
    }
    assert last == {"weekly": ["completed", "not due"], "bare": ["none", "none"]}


def test_labels_are_cut_in_their_middle() -> None:
    """A long name keeps its beginning and its end, and gets no wider than its room."""
    assert label("orders", 3, 640) == "orders  #3"
    cut = label("sessions-mongodb-staging-0032-and-more", 3, 640).removesuffix("  #3")
    assert (cut[:6], cut[-4:]) == ("sessio", "more")
    assert 25 <= len(cut) <= 28
    assert len(label("W" * 60, 1, 640).removesuffix("  #1")) <= 17
    assert len(label("日本語" * 20, 1, 340).removesuffix("  #1")) <= 8


@pytest.mark.parametrize("count", [1, 2, 5, 35, 60, 90, 120, 400])
@pytest.mark.parametrize("width", [340, 640])
def test_days_on_an_axis_do_not_run_together(count: int, width: int) -> None:
    """However many days there are, at most seven are named (four on a phone), the last among them."""
    days = [(date(2026, 3, 9) - timedelta(days=back)).isoformat() for back in range(count)]
    values = days_axis(days, width)["values"]
    assert 1 <= len(values) <= (7 if width == 640 else 4)
    assert values[0] == at("2026-03-09 00:00").timestamp() * 1000


def test_hostile_names_are_data(hostile_lake: Path) -> None:
    """Names reach a chart with invisible and reordering characters spelled out."""
    with connect_lake(hostile_lake, materialize=True) as connection:
        text = json.dumps(
            charts.instance_grid(connection).to_dict(validate=False), ensure_ascii=False
        )
    assert "\u202e" not in text
    assert "\\\\u{202e}" in text


def test_plain() -> None:
    """Letters of all languages stay; controls, separators and invisible characters are spelled."""
    assert plain("größe 日本 №1") == "größe 日本 №1"
    assert plain("a\u202eb\u200bc\x1b[0m\n") == r"a\u{202e}b\u{200b}c\u{1b}[0m\u{a}"
