"""Commands that need no account: sandbox, config.

In: settings and options. Out: lines on stdout.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import ConfigError
from .options import Config, Endpoint, Lake, ProjectId, Region
from .output import flush_out
from .session import Session, command
from .tables import print_rows


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("sandbox")(serve_sandbox)
    app.command("config")(show_config)


@command
def serve_sandbox(  # noqa: PLR0913  # one option per thing that may be different
    session: Session,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 0,
    backups: Annotated[int, typer.Option(min=0, help="Backups to begin with.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 7,
    faults: Annotated[
        str, typer.Option(help="What goes wrong, such as 429:every=50,reset:rate=0.01")
    ] = "",
    live: Annotated[
        bool, typer.Option("--live", help="Let its time run; else it stands still.")
    ] = False,
    time_filter: Annotated[
        str,
        typer.Option(
            help="What begin_time and end_time select: begin, inside, end, created, zone, day, "
            "minute or ignored."
        ),
    ] = "begin",
    levels: Annotated[str, typer.Option(help="Levels by type: apart, or ignored.")] = "apart",
    window_cap_days: Annotated[
        float | None, typer.Option(help="The widest window; default: any.")
    ] = None,
    window_cap: Annotated[
        str, typer.Option(help="A wider one is refused or cut short: refusing or silent.")
    ] = "refusing",
    ignored_filter: Annotated[
        str | None, typer.Option(help="A filter that does not count, such as instance_id.")
    ] = None,
    filter_case: Annotated[
        str, typer.Option(help="How filters compare: exact, ignored (any case) or upper.")
    ] = "exact",
    limit_cap: Annotated[
        int | None, typer.Option(help="The most rows of a page, whatever is asked.")
    ] = None,
) -> None:
    """Serve the API's twin on 127.0.0.1 until Ctrl-C.

    Prints NAME=value lines that point backup-frames there: export them in another shell. Options
    from --time-filter on make it mean something else than we assume of the service.
    """
    from ..sandbox import Dialect, parse_faults, serve

    def tell(line: str) -> None:
        session.print(line)
        flush_out()  # a script may wait for these lines through a pipe

    try:
        planned = parse_faults(faults)
    except ValueError as error:
        raise ConfigError(f"--faults: {error}.") from error
    try:
        dialect = Dialect(
            time_filter=time_filter,
            levels=levels,
            window_cap_days=window_cap_days,
            window_cap=window_cap,
            ignored_filter=ignored_filter,
            filter_case=filter_case,
            limit_cap=limit_cap,
        )
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    try:
        serve(
            port=port,
            backups=backups,
            seed=seed,
            faults=planned,
            is_live=live,
            dialect=dialect,
            tell=tell,
        )
    except OSError as error:
        raise ConfigError(f"Cannot serve on port {port}: {error}. Give another --port.") from error


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
    from ..settings import describe_settings, find_unknown_variables

    for text in find_unknown_variables(config):
        session.warn(text)
    rows = describe_settings(
        config, endpoint=endpoint, region=region, project_id=project_id, lake=lake
    )
    print_rows(("setting", "value", "source"), rows)
