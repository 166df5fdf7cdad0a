"""The command ``config``: every setting, and where it came from.

In: options, environment, config file. Out: a table on stdout.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import typer

from ..screen.tables import print_rows
from ..session.options import Config, Endpoint, Lake, ProjectId, Region
from ..session.session import Session, command


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("config")(show_config)


@command
def show_config(
    session: Session,
    *,
    endpoint: Endpoint = None,
    region: Region = None,
    project_id: ProjectId = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Show every setting, its value (secrets as ***) and where it came from."""
    from ...settings import describe_settings, find_unknown_variables

    for text in find_unknown_variables(config):
        session.warn(text)
    rows = describe_settings(
        config, endpoint=endpoint, region=region, project_id=project_id, lake=lake
    )
    print_rows(("setting", "value", "source"), rows, prose={"value", "source"})
