"""Pictures of few rows and of many: what stands beside the marks is true of them."""

from __future__ import annotations

from typing import Any

import pytest

from backup_frames.insight.charts import backup_pictures, day_pictures, instance_pictures

AGES = {"to_24_h": 20, "to_48_h": 5, "to_7_days": 3, "over_7_days": 1, "without": 1}


def age(
    hours: float | None, place: int = 1, *, total: int = 1, limit: float = 26
) -> dict[str, Any]:
    return {
        "place": place, "instance": f"i{place}", "instance_id": f"i{place}", "age_h": hours,
        "is_rpo_met": hours is not None and hours <= limit, "limit_h": limit,
        "is_age_upper_bound": False, "instance_count": total, "met_count": 1, **AGES,
    }  # fmt: skip


def finished(day: int, **counts: int) -> dict[str, Any]:
    row = {"date": f"2026-11-{day:02d}", "completed": 0, "failed": 0, "unfinished": 0} | counts
    return row | {"success_rate": 1.0, "is_watched": True}


@pytest.mark.parametrize("gib", [2**-17, 0.06, 0.4, 3, 60, 5_000])
def test_a_size_stands_beside_a_size_that_is_named(gib: float) -> None:
    """However small or large the only backup is, the axis names a size within a factor of 10."""
    row = {
        "kind": "usual", "backup_id": None, "instance": None, "size_gib": gib, "duration_min": 3.0,
        "backups": 1, "is_watched": True,
    }  # fmt: skip
    spec = backup_pictures.draw_duration_by_size([row], "page", 640)
    named = spec["layer"][0]["encoding"]["x"]["axis"]["values"]
    assert any(0.1 < value / gib < 10 for value in named)
    assert "No unusual duration in 1 backup." in " ".join(spec["title"]["text"])


def test_a_legend_names_what_is_there() -> None:
    """Neither failed days nor missed instances are in the legend of a picture without any."""
    spec = day_pictures.draw_success_trend([finished(1, completed=1)], "page", 640)
    colours = spec["vconcat"][1]["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert colours == ["completed"]
    spec = instance_pictures.draw_restore_point_ages([age(10)], "page", 640)
    assert spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == ["within the RPO"]


def test_panels_of_days_share_their_days() -> None:
    """The rate of a day stands above the middle of the day's bar."""
    rows = [finished(day, completed=2, failed=1) for day in (1, 2, 3)]
    spec = day_pictures.draw_success_trend(rows, "page", 640)
    rate, bars = (panel["layer"][0]["encoding"]["x"] for panel in spec["vconcat"])
    assert rate["scale"] == bars["scale"]
    assert rate["bandPosition"] == 0.5
    assert [end["date"] for end in bars["scale"]["domain"]] == [1, 4]


def test_an_age_is_told_in_the_unit_of_its_axis() -> None:
    """Hours on an axis of hours, days on one of days."""
    for hours, unit, text in ((33.6, "hours", "33.6 h"), (100, "days", "4.2 d")):
        spec = instance_pictures.draw_restore_point_ages([age(hours)], "page", 640)
        assert spec["layer"][0]["encoding"]["x"]["title"].endswith(unit)
        assert spec["data"]["values"][0]["text"] == text


@pytest.mark.parametrize("hours", [2, 10, 25, 30])
def test_an_age_stands_beside_its_bar(hours: float) -> None:
    """The text follows the bar, and only where the RPO's line would cross it, the line."""
    spec = instance_pictures.draw_restore_point_ages([age(hours)], "page", 640)
    assert spec["data"]["values"][0]["text_h"] == (26 if hours == 25 else hours)


def test_a_band_of_ages_has_no_colour_of_a_verdict() -> None:
    """Twenty-four to forty-eight hours hold both: within the RPO and not."""
    bands = {colour for _, colour in instance_pictures._BANDS.values()}
    assert bands & set(instance_pictures._VERDICTS.values()) == {instance_pictures.NONE}


def test_small_sizes_have_a_small_unit() -> None:
    """A stored size of 150 MiB is not 0.15 GiB that does not grow to speak of."""
    assert day_pictures._unit([{"date": "2026-11-01", "gib": 0.15}])[0] == "MiB"
    assert day_pictures._unit([{"date": "2026-11-01", "gib": 9_000.0}])[0] == "GiB"
    assert day_pictures._unit([{"date": "2026-11-01", "gib": 11_000.0}])[0] == "TiB"


def test_signs_of_neighbouring_days_do_not_touch() -> None:
    """A cell is eight pixels wide at 1,024: no sign fills its em, as an ellipsis or a long dash does."""
    signs = {sign for _, sign in instance_pictures.DAY_STATES.values()}
    assert not signs & set("…—⋯")
    assert all(len(sign) <= 1 for sign in signs)
