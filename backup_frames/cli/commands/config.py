"""The command ``config``: every setting, and where it came from.

In: options, environment, config file. Out: a table on stdout.
"""

from __future__ import annotations

from ..screen.tables import print_rows
from ..session.options import Config, Endpoint, Lake, ProjectId, Region
from ..session.session import Session, command


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
