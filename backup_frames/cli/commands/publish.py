"""The command ``publish``: a lake as a DuckDB file for BI tools.

In: a lake's address. Out: the file.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...whole_files import absolute_path
from ..screen.exports import check_file
from ..session.options import OUTPUT, Config, Lake, default_name, lake_of, written
from ..session.session import Session, command


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("publish")(publish_file)


@command
def publish_file(
    session: Session,
    *,
    lake: Lake = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.duckdb",
            parser=written,
            help="The DuckDB file to write; default: named after the lake, in this folder.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    materialize: Annotated[
        bool, typer.Option("--materialize", help="Hold the data; else views read the lake.")
    ] = False,
    config: Config = None,
) -> None:
    """Write a DuckDB file with described tables and KPI views; swapped in atomically."""
    url = lake_of(session.load(config, lake=lake))
    out = out or default_name(url, ".duckdb")
    check_file(absolute_path(out), url)
    from ...insight.kpi.publish import publish_lake
    from ...settings.owners import load_attestations, load_owners
    from ...settings.resolve import load_project_ids

    with session.step(f"Writing {out}"):
        written = publish_lake(
            url, out, materialize=materialize, owners=load_owners(config),
            attestations=load_attestations(config), projects=load_project_ids(config, url),
        )  # fmt: skip
    holds = " It holds the rows: publish again after a sync." if written.is_materialized else ""
    session.note(f"Wrote {out}.{holds}")
