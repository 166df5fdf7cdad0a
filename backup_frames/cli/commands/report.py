"""The command ``report``: a lake as one page for a browser.

In: a lake's address. Out: the page.
"""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

from ...whole_files import absolute_path
from ..screen.exports import check_file
from ..session.options import (
    DEFAULT_OUT,
    OUTPUT,
    Config,
    EnterpriseProject,
    Lake,
    Owner,
    default_name,
    flag,
    known_of,
    lake_of,
    option,
    written,
)
from ..session.session import Session, command


@command
def write_page(
    session: Session,
    *,
    lake: Lake = None,
    out: Annotated[
        Path | None, option("FILE.html", f"The page {DEFAULT_OUT}", OUTPUT, parser=written)
    ] = None,
    open_page: Annotated[bool, flag("--open", "Show the page in a browser.", OUTPUT)] = False,
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

        write_report(
            url, out, owner=owner, enterprise_project_id=enterprise_project, **known_of(config, url)
        )
    session.note(f"Wrote {out}")
    if open_page and not webbrowser.open(out.absolute().as_uri()):
        session.warn(f"No browser could be started. Open {out.absolute()} in one.")
