"""The command ``report``: a lake as one page for a browser.

In: a lake's address. Out: the page.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ...whole_files import absolute_path
from ..screen.exports import check_file
from ..session.options import (
    OUTPUT,
    Config,
    EnterpriseProject,
    Lake,
    Owner,
    default_name,
    lake_of,
    written,
)
from ..session.session import Session, command


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("report")(write_page)


@command
def write_page(
    session: Session,
    *,
    lake: Lake = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            parser=written,
            help="The page to write; default: named after the lake, in this folder.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    open_page: Annotated[
        bool,
        typer.Option("--open", help="Show the page in a browser.", rich_help_panel=OUTPUT),
    ] = False,
    owner: Owner = None,
    enterprise_project: EnterpriseProject = None,
    config: Config = None,
) -> None:
    """Write one self-contained HTML page about the lake's backups."""
    url = lake_of(session.load(config, lake=lake))
    out = out or default_name(url, ".html")
    check_file(absolute_path(out), url)
    with session.step(f"Drawing {out}"):
        from ...insight.charts.report import write_report
        from ...settings.owners import load_attestations, load_owners
        from ...settings.resolve import load_project_ids

        write_report(
            url, out, owners=load_owners(config), attestations=load_attestations(config),
            projects=load_project_ids(config, url),
            owner=owner, enterprise_project_id=enterprise_project,
        )  # fmt: skip
    session.note(f"Wrote {out}")
    if open_page and not webbrowser.open(out.absolute().as_uri()):
        session.warn(f"No browser could be started. Open {out.absolute()} in one.")
