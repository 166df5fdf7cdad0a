"""Commands about the service: doctor, sandbox, config.

In: settings and options. Out: lines on stdout.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from backup_frames.errors import ConfigError

from .options import Config, Endpoint, Lake, ProjectId, Region
from .output import flush_out
from .session import Session, command
from .tables import print_rows

if TYPE_CHECKING:
    from backup_frames.api.doctor import Check
    from backup_frames.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("doctor")(doctor)
    app.command("sandbox")(serve_sandbox)
    app.command("config")(show_config)


@command
def doctor(
    session: Session,
    *,
    endpoint: Endpoint = None,
    region: Region = None,
    project_id: ProjectId = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Check endpoint, clock, credentials, permission, quota and lake: a line each, and what to do.

    Ends with the exit code of the first check that failed: 2 settings, 3 service, 5 lake.
    """
    from backup_frames.api.doctor import run_checks

    settings = session.load(
        config, endpoint=endpoint, region=region, project_id=project_id, lake=lake
    )
    checks = [_tell(session, check) for check in run_checks(settings)]
    if all(check.is_ok for check in checks):
        _tell(session, _check_small_read(settings))
    if settings.lake:
        for check in _check_lake(settings.lake):
            _tell(session, check)


def _tell(session: Session, check: Check) -> Check:
    """Print one check; the first that failed gives the exit code."""
    line = f"{'ok  ' if check.is_ok else 'FAIL'}  {check.name}: {check.message}"
    session.print(session.scrub(line))
    if not check.is_ok and session.exit_code == 0:
        session.exit_code = check.exit_code
    return check


def _check_small_read(settings: Settings) -> Check:
    from backup_frames.api.doctor import Check
    from backup_frames.errors import BackupFramesError
    from backup_frames.frames.read import read_backups

    begin = datetime.now(UTC) - timedelta(days=1)
    try:
        frames = read_backups(settings=settings, begin=begin)
    except BackupFramesError as error:
        return Check("verified read", is_ok=False, message=str(error), exit_code=error.exit_code)
    message = f"the last day's {len(frames):,} backups, proven complete"
    return Check("verified read", is_ok=True, message=message)


def _check_lake(lake: str) -> Iterator[Check]:
    from backup_frames.api.doctor import Check
    from backup_frames.lake.store_url import check_store

    for step in check_store(lake, scratch="_meta/doctor/tmp"):
        name = f"lake {step.step}"
        yield Check(name, is_ok=step.is_ok, message=step.message, exit_code=5)


@command
def serve_sandbox(
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
) -> None:
    """Serve the API's twin on 127.0.0.1 until Ctrl-C.

    Prints NAME=value lines that point backup-frames there: export them in another shell.
    """
    from backup_frames.sandbox import parse_faults, serve

    def tell(line: str) -> None:
        session.print(line)
        flush_out()  # a script may wait for these lines through a pipe

    try:
        planned = parse_faults(faults)
    except ValueError as error:
        raise ConfigError(f"--faults: {error}.") from error
    try:
        serve(port=port, backups=backups, seed=seed, faults=planned, is_live=live, tell=tell)
    except OSError as error:
        raise ConfigError(f"Cannot serve on port {port}: {error}. Give another --port.") from error


@command
def show_config(
    session: Session,  # noqa: ARG001 - every command gets it
    *,
    endpoint: Endpoint = None,
    region: Region = None,
    project_id: ProjectId = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Show every setting, its value (secrets as ***) and where it came from."""
    from backup_frames.settings import describe_settings

    rows = describe_settings(
        config, endpoint=endpoint, region=region, project_id=project_id, lake=lake
    )
    print_rows(("setting", "value", "source"), rows)
