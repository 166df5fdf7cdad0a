"""The report as a page: self-contained, under a strict policy, with every value as text."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest
from support.hostile import HOSTILE
from support.lake_maker import at, backup, instance, make_lake, run

from backup_frames.errors import ConfigError
from backup_frames.insight import connect_lake, write_report
from backup_frames.insight.charts.data import plain
from backup_frames.insight.charts.words import cell, heading, percent, quantity

HTML_TAGS = {
    *(
        "html",
        "head",
        "meta",
        "link",
        "title",
        "style",
        "body",
        "header",
        "footer",
        "div",
        "span",
        "i",
    ),
    *("section", "h1", "h2", "p", "ul", "li", "strong", "small", "code", "bdi", "details"),
    *("a", "b", "h3", "form", "label", "select", "option", "input", "output", "script"),
    *("summary", "table", "thead", "tbody", "tr", "th", "td"),
}
SVG_TAGS = {"svg", "g", "path", "text", "tspan", "rect", "line", "defs", "clippath"}
SVG_TAGS |= {"lineargradient", "stop"}


class Page(HTMLParser):
    """What a browser would find: tags, attributes, text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.size = path.stat().st_size
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    @property
    def text(self) -> str:
        return " ".join(self.texts)


@pytest.fixture(scope="module")
def page(hostile_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report about a lake whose every text is hostile."""
    return Page(write_report(hostile_lake, tmp_path_factory.mktemp("report") / "report.html"))


@pytest.fixture(scope="module")
def views(hostile_lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The views over the same lake."""
    with connect_lake(hostile_lake, materialize=True) as connection:
        yield connection


def test_the_policy_comes_first_and_allows_nothing(page: Page) -> None:
    """The content security policy stands before anything that could load, and allows our script alone."""
    names = [tag for tag, _ in page.tags]
    place = next(i for i, (_, a) in enumerate(page.tags) if "http-equiv" in a)
    assert names[:place] == ["html", "head", "meta"]
    policy = page.tags[place][1]["content"].split("; ")
    assert policy[:3] == ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]
    (script,) = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy[3] == f"script-src 'sha256-{digest}'"
    assert names.count("script") == 1


def test_only_known_tags(page: Page) -> None:
    """No value became markup: the page has the template's tags and those of the charts only."""
    assert {tag for tag, _ in page.tags} <= HTML_TAGS | SVG_TAGS


def test_nothing_points_outside(page: Page) -> None:
    """No attribute and no style names another resource, and no attribute is an event handler."""
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "xlink:href", "srcset", "action", "poster"):
                assert value == "data:," or value.removeprefix("#") in page.ids, (tag, value)
            assert not re.search(r"url\((?!#)", value), (tag, value)
    styles = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    assert len(styles) == 1
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]


def test_hostile_names_are_text(page: Page) -> None:
    """Every hostile name that is in the report stands there as text, letter by letter."""
    shown = [name for name in HOSTILE if plain(name) in page.text]
    assert len(shown) >= 7
    for char in "\u202e\u200b\x1b\x00":
        assert char not in page.source


def test_fragments_of_charts_do_not_collide(page: Page) -> None:
    """Each id exists once, so that no chart uses the clip path of another."""
    ids = page.ids
    assert len(ids) == len(set(ids))
    for target in re.findall(r"url\(#([^)]+)\)", page.source):
        assert target in ids


def test_tiles_and_one_certificate(page: Page, views: duckdb.DuckDBPyConnection) -> None:
    """The four tiles stand on top, and the page says once up to when the numbers are proven."""
    ((certified,),) = views.sql("SELECT min(certified_at) FROM dim_project").fetchall()
    for name in ("Coverage", "RPO compliance", "Success, 7 days", "Stuck"):
        assert name in page.texts
    assert page.text.count(f"certified {certified} UTC") == 1


def test_projects_first(page: Page, views: duckdb.DuckDBPyConnection) -> None:
    """A lake of several projects begins with a table of them, each linked to a section of its own."""
    projects = views.sql("SELECT project_id FROM dim_project").fetchall()
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert len(projects) > 1
    assert {f"#p{place}" for place in range(1, len(projects) + 1)} <= set(links)
    assert page.ids.index("projects") < page.ids.index("exceptions") < page.ids.index("grid")
    assert page.ids[0] == "projects"


@pytest.mark.usefixtures("draws_here")
def test_an_empty_inventory_is_no_unread_one(tmp_path: Path) -> None:
    """An inventory without an instance is known: no instances, and not a coverage that cannot be known.

    Of one that was not read it cannot be: `test_an_empty_lake` has its words.
    """
    runs = [run(at("2026-03-10 12:00"))]
    lake = make_lake(tmp_path / "a", instances=[], runs=runs)
    read = Page(write_report(lake, tmp_path / "a.html"))
    assert "no instances" in read.texts
    assert "cannot be known" not in read.text
    query = "SELECT coverage_rate, unprotected_count FROM v_kpi_current"
    with connect_lake(make_lake(tmp_path / "b", runs=runs)) as unread:
        assert unread.sql(query).fetchall() == [(None, None)]


@pytest.mark.usefixtures("draws_here")
def test_what_changed_stands_at_the_head(tmp_path: Path) -> None:
    """What came and went in the last day stands before the findings, with those that are new.

    Before all of it stand the projects, with one that only the config names.
    """
    now = at("2026-03-10 12:00")
    rows = [backup(f"b{n}", "i", now - timedelta(days=n, hours=6)) for n in range(1, 9)]
    rows.append(backup("gone", "i", now - timedelta(days=9), gone_at=now - timedelta(hours=1)))
    runs = [run(now - timedelta(days=n)) for n in range(9)]
    lake = make_lake(tmp_path / "a", backups=rows, instances=[instance("i")], runs=runs)
    page = Page(write_report(lake, tmp_path / "a.html", projects=["p1", "p9"]))
    assert page.source.index(">p9</code>") < page.source.index('class="tiles"')
    assert page.ids.index("changes") < page.ids.index("exceptions")
    text = re.sub(r"\s+", " ", page.text)
    assert "+0 new, ~0 changed, −1 gone" in re.sub(r" ?(new|changed|gone)", r" \1", text)  # noqa: RUF001 - as printed
    assert "1 rpo missed (high)" in text


def test_every_chart_twice_with_its_table(page: Page) -> None:
    """Seven charts, each wide and narrow, with a table; projects, controls, and two tables of findings."""
    names = [tag for tag, _ in page.tags]
    assert names.count("svg") == 14
    assert names.count("details") == 7
    assert names.count("table") == 11


def test_exceptions_with_ids(page: Page, views: duckdb.DuckDBPyConnection) -> None:
    """Each finding stands in the table with the ids that a colleague needs."""
    rows = views.sql("SELECT kind, instance_id, backup_id FROM v_exceptions").fetchall()
    assert rows
    for kind, instance_id, backup_id in rows:
        assert kind in page.texts
        for text in filter(None, (instance_id, backup_id)):
            assert plain(text) in page.text


def test_dark_and_print(page: Page) -> None:
    """The page follows the reader's scheme; charts take the colour of the text around them."""
    assert "prefers-color-scheme: dark" in page.source
    assert "@media print" in page.source
    assert "currentColor" in page.source


@pytest.mark.usefixtures("draws_here")
def test_an_empty_lake(empty_lake: Path, tmp_path: Path) -> None:
    """Nothing is known of a lake before its first sync, and the page says so instead of 100 %."""
    page = Page(write_report(empty_lake, tmp_path / "report.html"))
    assert "cannot be known" in page.text
    assert "100 %" not in page.text
    assert "not certified: a project has no complete run" in page.text


def test_atomic_and_tidy(hostile_lake: Path, tmp_path: Path) -> None:
    """A folder that does not exist is a ConfigError; nothing is left beside the page."""
    with pytest.raises(ConfigError, match="There is no folder"):
        write_report(hostile_lake, tmp_path / "missing" / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (26.0, "h", "26 h"),
        (1139.4, "h", "47.5 days"),
        (59.6, "s", "59.6 s"),
        (7_300.0, "s", "122 min"),
        (86_400.0, "s", "24 h"),
        (5.0, "KB", "5 KB"),
        (1_234_567_890.0, "KB", "1,177 GiB"),
        (1.0, "restore points", "1 restore point"),
        (None, "h", ""),
    ],
)
def test_quantities(value: float | None, unit: str, text: str) -> None:
    """A number stands in the unit that people would say it in."""
    assert quantity(value, unit) == text


def test_numbers_in_tables() -> None:
    """Headings name units, rates are percent, and only exactly all is 100 %."""
    assert heading("restore_point_age_h") == "restore point age, h"
    assert heading("is_rpo_met") == "is rpo met"
    assert cell(0.98765, "success_rate") == percent(0.98765) == "98.8 %"
    assert cell(1_234_567, "backups") == "1,234,567"
    assert cell(0.00001234, "size_gib") == "0.0000123"
    assert (percent(0.99999), percent(1.0), percent(0.00001)) == ("99.9 %", "100 %", "0.1 %")
