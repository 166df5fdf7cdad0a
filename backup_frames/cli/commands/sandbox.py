"""The command ``sandbox``: the API's twin on 127.0.0.1.

In: what it shall hold and do wrong. Out: lines to export on stdout, until Ctrl-C.
"""

from __future__ import annotations

from typing import Annotated, Literal

from ...errors import ConfigError
from ..screen.output import flush_out
from ..session.options import flag, option
from ..session.session import Session, command

DIALECT = "Dialect"


@command
def serve_sandbox(  # noqa: PLR0913  # one option per thing that may be different
    session: Session,
    *,
    port: Annotated[int, option(None, "0: any free port.", min=0, max=65535)] = 0,
    backups: Annotated[int, option(None, "Backups to begin with.", min=0)] = 2000,
    seed: Annotated[int, option(None, "The same seed gives the same fleet.")] = 7,
    faults: Annotated[
        str,
        option("FAULTS", "What goes wrong: 429:every=50 or reset:rate=0.01; several with commas."),
    ] = "",
    live: Annotated[bool, flag("--live", "Let its time run; else it stands still.")] = False,
    time_filter: Annotated[
        Literal["begin", "inside", "end", "created", "zone", "day", "minute", "ignored"],
        option(None, "What begin_time and end_time select.", DIALECT),
    ] = "begin",
    levels: Annotated[
        Literal["apart", "ignored"], option(None, "Whether a level's list is its own.", DIALECT)
    ] = "apart",
    window_cap_days: Annotated[
        float | None, option(None, "The widest window; default: any.", DIALECT)
    ] = None,
    window_cap: Annotated[
        Literal["refusing", "silent"],
        option(None, "A wider one is refused, or cut short.", DIALECT),
    ] = "refusing",
    ignored_filter: Annotated[
        str | None, option(None, "A filter that does not count, such as instance_id.", DIALECT)
    ] = None,
    filter_case: Annotated[
        Literal["exact", "ignored", "upper"],
        option(None, "How filters compare; ignored: any case.", DIALECT),
    ] = "exact",
    limit_cap: Annotated[
        int | None, option(None, "The most rows of a page, whatever is asked.", DIALECT)
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
