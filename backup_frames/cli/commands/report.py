"""The command ``report``: a lake as one page for a browser.

In: a lake's address. Out: the page.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..session.options import Config, Lake, lake_of
from ..session.session import Session, command


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("report")(write_page)


@command
def write_page(
    session: Session,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="The page to write.")],
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Write one self-contained HTML page about the lake's backups."""
    url = lake_of(session.load(config, lake=lake))
    from ...insight.charts.report import write_report

    write_report(url, out)
    session.note(f"Wrote {out}")
