"""Takes the README's picture: the report of a sandbox's lake that was synced each day, in Chromium.

python tests/guide/picture.py    # takes some minutes; writes backup_frames/guide/report.png
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import sync_playwright

import backup_frames as bf
from backup_frames.insight import write_report
from backup_frames.sandbox import Sandbox

TARGET = Path(bf.__file__).parent / "guide" / "report.png"
DAYS = 32  # somewhat more than the trends need
SIZE = {"width": 1280, "height": 1500}


def make_report(folder: Path) -> Path:
    start = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC)
    with Sandbox(backups=400, seed=7, start=start - timedelta(days=DAYS)) as box:
        for _ in range(DAYS):
            bf.sync_backups(
                lake=str(folder / "lake"),
                endpoint=box.endpoint,
                project_id=box.project_id,
                token=box.token,
                clock=box.clock,
            )
            box.clock.advance(timedelta(days=1))
    return write_report(folder / "lake", folder / "report.html")


def take_picture(report: Path) -> None:
    with sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(report.as_uri())
        page.screenshot(path=TARGET)
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        take_picture(make_report(Path(scratch)))
