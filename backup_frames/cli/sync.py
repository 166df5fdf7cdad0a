"""The command ``sync``: bring a lake up to date, for one project or all of a config file.

In: settings and options. Out: a report per project on stdout, a metrics file, the worst exit code.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .lake import lake_of
from .metrics import write_metrics
from .options import Config, Endpoint, Lake, MaxConnections, MaxRequests, ProjectId, Region
from .session import LogFormat, Session, command

if TYPE_CHECKING:
    from backup_frames.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("sync")(sync_lake)


@command
def sync_lake(  # noqa: PLR0913 - one parameter per option
    session: Session,
    *,
    lake: Lake = None,
    endpoint: Endpoint = None,
    region: Region = None,
    project_id: ProjectId = None,
    config: Config = None,
    full: Annotated[bool, typer.Option("--full", help="Read everything again.")] = False,
    partition_by: Annotated[
        str | None, typer.Option(help="day or month; fixed once the lake exists. Default: day.")
    ] = None,
    lake_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="parquet, delta or iceberg; fixed once the lake exists. Default: parquet.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say requests, days and partitions; write nothing.")
    ] = False,
    allow_mass_deletion: Annotated[
        bool,
        typer.Option(
            "--allow-mass-deletion", help="Mark gone also more than a fifth of a project."
        ),
    ] = False,
    with_inventory: Annotated[
        bool,
        typer.Option(
            "--with-inventory/--without-inventory",
            help="Also read instances (once a day) and their backup policies.",
        ),
    ] = True,
    overlap: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="Read this far back again; default 3600.")
    ] = None,
    reread_requests: Annotated[
        int | None, typer.Option(help="Requests to spend on days long unverified; default 10.")
    ] = None,
    max_requests_per_second: MaxRequests = None,
    max_connections: MaxConnections = None,
    metrics_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write metrics in Prometheus text format here."),
    ] = None,
) -> None:
    """Bring the lake up to date; costs what changed since the last run.

    With several project tables in the config file all projects are synced, one after the other; one
    that fails does not stop the others, and the exit code is the worst.
    """
    from backup_frames.settings import load_projects

    projects = load_projects(
        config,
        lake=lake,
        endpoint=endpoint,
        region=region,
        project_id=project_id,
        partition_by=partition_by,
        lake_format=lake_format,
        overlap_s=overlap,
        reread_requests=reread_requests,
        max_requests_per_second=max_requests_per_second,
        max_connections=max_connections,
    )
    if metrics_file is not None:
        from backup_frames.lake.outside import check_outside

        for settings in projects:
            check_outside(metrics_file, settings.lake)
    options = {
        "is_full": full,
        "is_dry_run": dry_run,
        "allow_mass_deletion": allow_mass_deletion,
        "with_inventory": with_inventory,
    }
    outcomes = [_sync_project(session, settings, options) for settings in projects]
    if len(outcomes) > 1:
        good = sum(outcome["exit_code"] == 0 for outcome in outcomes)
        session.note(f"{good} of {len(outcomes)} projects are up to date.")
    if metrics_file is not None:
        write_metrics(metrics_file, outcomes)
    session.exit_code = max(outcome["exit_code"] for outcome in outcomes)


def _sync_project(session: Session, settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    """Sync one project; what goes wrong ends here, so that the next project gets its turn."""
    from backup_frames.lake.sync import sync_backups

    session.watch(settings)
    label = settings.project_id or settings.known_region or "project"
    begun_s = time.monotonic()
    facts: dict[str, Any] = {"project_id": label}
    try:
        lake_of(settings)
        with session.progress(f"Sync {label}") as advance:
            report = sync_backups(settings=settings, progress=advance, **options)
    except Exception as error:  # one failing project must not stop the others
        code = session.fail(error, about=f"{label}: " if settings.project_id else "")
        return facts | {"exit_code": code, "duration_s": time.monotonic() - begun_s}
    facts |= report.to_dict() | {"exit_code": report.exit_code}
    if session.log_format is LogFormat.JSON:
        session.print(json.dumps(facts, ensure_ascii=False, default=str))
    else:
        session.print(report.to_text())
    return facts
