"""Pictures tell the truth: days that the lake did not watch are pale and carry no trend."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest
import vl_convert
from support.lake_maker import at, backup, borrow_views, run

from backup_frames.insight.charts import day_pictures, figures, style

NOW = at("2026-03-10 12:00")
TRENDS = ("success", "stored", "duration", "hours")
COLOURS = (style.GREEN, style.ORANGE, style.RED, style.SKY, style.BLUE, style.PINK)


def days_of(project: str = "p1", days: int = 40) -> list[dict[str, Any]]:
    """A backup each day."""
    return [
        backup(
            f"{project}-{back}",
            f"i-{project}",
            NOW - timedelta(days=back, hours=3),
            project_id=project,
        )
        for back in range(days)
    ]


def runs_of(backs: Iterable[int], project: str = "p1") -> list[dict[str, Any]]:
    return [run(NOW - timedelta(days=back), project_id=project) for back in backs]


def picture(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    figure = next(one for one in figures.FIGURES if one.id == name)
    return vl_convert.vegalite_to_svg(figure.draw(figure.read(connection), "page", 640))


def watched(connection: duckdb.DuckDBPyConnection) -> list[datetime]:
    query = "SELECT date FROM v_kpi_daily WHERE is_watched ORDER BY date"
    return [date for (date,) in connection.execute(query).fetchall()]


@pytest.mark.parametrize("name", TRENDS)
def test_a_lake_of_one_day_has_no_coloured_trend(name: str) -> None:
    """What survived until the first sync is drawn pale, named in the legend, and gives no forecast."""
    with borrow_views(backups=days_of(), runs=runs_of([0])) as connection:
        svg = picture(connection, name)
    assert not [colour for colour in COLOURS if colour.lower() in svg.lower()]
    assert "not watched" in svg.lower()
    assert "viridis" not in svg


def test_the_watch_begins_with_the_last_project() -> None:
    """A lake of two projects watches all of it from the later first sync on, and says since when."""
    runs = [*runs_of(range(35)), *runs_of(range(10), "p2")]
    with borrow_views(backups=[*days_of(), *days_of("p2")], runs=runs) as connection:
        assert [str(day) for day in watched(connection)][:1] == ["2026-03-01"]
        assert "Watched since 1 Mar" in picture(connection, "success")


def test_an_outage_of_the_syncs_is_not_watched() -> None:
    """Days between two runs that lie far apart are no part of a trend; the rest is, and forecasts."""
    runs = runs_of([*range(8), *range(15, 35)])
    with borrow_views(backups=days_of(), runs=runs) as connection:
        days = [str(day) for day in watched(connection)]
        ((count,),) = connection.execute(
            "SELECT day_count FROM v_storage_growth WHERE datastore_type = 'all'"
        ).fetchall()
        svg = picture(connection, "success")
    assert "2026-02-23" not in days
    assert "2026-03-02" not in days
    assert {"2026-02-22", "2026-03-03"} <= set(days)
    assert count == 30 - 8
    assert "not on 8 later days" in svg


def test_syncs_that_stopped_watch_nothing_more() -> None:
    """A project whose last certified run is days old is not watched since, whatever the others do."""
    runs = [*runs_of(range(35)), *runs_of(range(5, 35), "p2")]
    with borrow_views(backups=[*days_of(), *days_of("p2")], runs=runs) as connection:
        assert str(watched(connection)[-1]) == "2026-03-04"


@pytest.mark.parametrize("order", [1, -1])
def test_of_runs_within_one_second_the_last_counts(order: int) -> None:
    """Two runs of a second watch no more than one, and the second's verdict is the project's."""
    last = NOW - timedelta(days=8)
    ids = [f"{last:%Y%m%dT%H%M%S}00000{number}Z" for number in (1, 2)]
    facts = [{"present_count": 9}, {"present_count": 1}]
    runs = [run(last, run_id=one, **fact) for one, fact in zip(ids, facts, strict=True)]
    refused = run(NOW, run_id="20260310T120000000002Z", verdict="incomplete")
    with borrow_views(
        backups=[backup("b", "i", last - timedelta(days=8))],
        runs=[*runs, run(NOW), refused][::order],
    ) as connection:
        assert not watched(connection)
        verdicts = connection.execute("SELECT last_verdict FROM dim_project").fetchall()
        proofs = connection.execute(
            "SELECT proving_run_id, last_run_id, certified_run_id, lost_count FROM v_watched_daily "
            "WHERE date = DATE '2026-03-01' OR date = DATE '2026-03-02' ORDER BY date"
        ).fetchall()
    assert verdicts == [("incomplete",)]
    assert proofs[0] == (ids[1], None, None, 0)
    assert proofs[1][1:3] == (ids[1], ids[1])


def test_a_growth_of_nothing_has_no_sign() -> None:
    """A slope that rounds to nothing is not written as -0.0 GiB a day, and units follow the axis."""
    assert day_pictures._growth(-0.0004, "GiB") == "No growth to speak of"
    assert day_pictures._growth(2.18, "TiB") == "Growth +2.18 TiB a day"
