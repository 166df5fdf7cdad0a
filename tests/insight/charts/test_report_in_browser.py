"""The report in a real browser: nothing leaves the page, nothing complains, everything fits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backup_frames.insight import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: `apt-get install chromium`"),
]
#: Of all charts that are shown: texts that reach out of the picture, and texts that lie on others.
MISPLACED = """
() => [...document.querySelectorAll("svg")].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) return [];
    const texts = [...svg.querySelectorAll("text")].map(text => [text, text.getBoundingClientRect()])
        .filter(([text, box]) => text.textContent.trim() && box.width);
    const cut = texts.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1
        || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
    const over = texts.filter(([, a], i) => texts.some(([, b], j) => i < j && a.left < b.right - 1
        && b.left < a.right - 1 && a.top + 3 < b.bottom && b.top + 3 < a.bottom));
    return [...cut, ...over].map(([text]) => text.textContent);
})
"""

#: By how many pixels the page, or a list of findings, is wider than its room.
WIDER = """
() => Math.max(...[document.documentElement, ...document.querySelectorAll(".attention .scroll")]
    .map(one => one.scrollWidth - one.clientWidth))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    quiet = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - heavy, and all here is slow

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=list(quiet))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(hostile_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(hostile_lake, tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 1280, 390])
def test_in_a_browser(
    browser: Browser, path: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    """At each width, in both schemes: one request, a silent console, nothing cut, nothing overlapping."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True
    )
    page = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(path.as_uri())
    for summary in page.query_selector_all("summary"):
        summary.click()
    page.screenshot(path=str(tmp_path / f"{width}-{scheme}.png"), full_page=True)
    assert requests == [path.as_uri()]
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    shown = "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width)"
    assert page.evaluate(f"{shown}.length") == 7
    assert page.evaluate(MISPLACED) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 22, 22)"
    )
    context.close()


@pytest.mark.parametrize("name", ["small_lake", "hostile_lake", "wordy_lake"])
def test_nothing_scrolls_sideways(
    browser: Browser, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """From a phone to a large screen, page, list and pictures have room, whatever the names."""
    path = write_report(request.getfixturevalue(name), tmp_path / "report.html")
    page = browser.new_page()
    page.goto(path.as_uri())
    over = {}
    for width in (320, 390, 699, 701, 959, 961, 1024, 1149, 1151, 1209, 1211, 1440, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        over[width] = page.evaluate(WIDER)
        if width in (390, 1440):
            assert page.evaluate(MISPLACED) == []
    page.close()
    assert set(over.values()) == {0}, over


def test_on_paper(browser: Browser, path: Path, tmp_path: Path) -> None:
    """Printed, the page is a handful of sheets with all charts, in light colours."""
    page = browser.new_page()
    page.goto(path.as_uri())
    sheets = page.pdf(path=str(tmp_path / "report.pdf"), format="A4").count(b"/Type /Page\n")
    assert 2 <= sheets <= 12
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
