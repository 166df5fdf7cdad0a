"""The command ``sandbox``: the API's twin on 127.0.0.1.

In: what it shall hold and do wrong. Out: lines to export on stdout, until Ctrl-C.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ...errors import ConfigError
from ..screen.output import flush_out
from ..session.session import Session, command

DIALECT = "Dialect"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("sandbox")(serve_sandbox)


@command
def serve_sandbox(  # noqa: PLR0913  # one option per thing that may be different
    session: Session,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 0,
    backups: Annotated[int, typer.Option(min=0, help="Backups to begin with.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 7,
    faults: Annotated[
        str,
        typer.Option(
            metavar="FAULTS",
            help="What goes wrong: 429:every=50 or reset:rate=0.01; several with commas.",
        ),
    ] = "",
    live: Annotated[
        bool, typer.Option("--live", help="Let its time run; else it stands still.")
    ] = False,
    time_filter: Annotated[
        Literal["begin", "inside", "end", "created", "zone", "day", "minute", "ignored"],
        typer.Option(help="What begin_time and end_time select.", rich_help_panel=DIALECT),
    ] = "begin",
    levels: Annotated[
        Literal["apart", "ignored"],
        typer.Option(help="Whether a level's list is its own.", rich_help_panel=DIALECT),
    ] = "apart",
    window_cap_days: Annotated[
        float | None, typer.Option(help="The widest window; default: any.", rich_help_panel=DIALECT)
    ] = None,
    window_cap: Annotated[
        Literal["refusing", "silent"],
        typer.Option(help="A wider one is refused, or cut short.", rich_help_panel=DIALECT),
    ] = "refusing",
    ignored_filter: Annotated[
        str | None,
        typer.Option(
            help="A filter that does not count, such as instance_id.", rich_help_panel=DIALECT
        ),
    ] = None,
    filter_case: Annotated[
        Literal["exact", "ignored", "upper"],
        typer.Option(help="How filters compare; ignored: any case.", rich_help_panel=DIALECT),
    ] = "exact",
    limit_cap: Annotated[
        int | None,
        typer.Option(help="The most rows of a page, whatever is asked.", rich_help_panel=DIALECT),
    ] = None,
) -> None:
    """Serve the API's twin on 127.0.0.1 until Ctrl-C.

    Prints lines that point backup-frames there: paste them into another shell. Those
    of the last panel make it mean something else than we assume of the service.
    """
    from ...sandbox import Dialect, parse_faults, serve

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
