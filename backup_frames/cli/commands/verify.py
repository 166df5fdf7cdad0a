"""Commands on a lake: verify, publish, report.

In: a lake's address. Out: findings on stdout, or a file.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from .options import Config, Endpoint, Lake, ProjectId, Region
from .session import Session, command

if TYPE_CHECKING:
    from ..settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("verify")(verify)
    app.command("publish")(publish)
    app.command("report")(report)


def lake_of(settings: Settings) -> str:
    """Return the lake's address, or ask for it."""
    if settings.lake is None:
        raise ConfigError("No lake is set. Give --lake, or export BACKUP_FRAMES_LAKE.")
    return settings.lake


@command
def verify(
    session: Session,
    *,
    lake: Lake = None,
    against_service: Annotated[
        bool, typer.Option("--against-service", help="Compare with a fresh certified read, too.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Read damaged partitions from the service again.")
    ] = False,
    endpoint: Endpoint = None,
    region: Region = None,
    project_id: ProjectId = None,
    config: Config = None,
) -> None:
    """Check the lake's files against manifest and schema: one line per finding.

    Exit code 5 if there is any finding left. With several project tables in the config file the
    flags are for all of them.
    """
    from ..settings import load_projects
    from ..sync.maintenance.verify import verify_lake

    lakes: dict[str, list[Settings]] = {}
    for settings in load_projects(
        config, endpoint=endpoint, region=region, project_id=project_id, lake=lake
    ):
        session.watch(settings)
        lakes.setdefault(lake_of(settings), []).append(settings)
    findings = [
        finding
        for url, projects in lakes.items()
        for finding in verify_lake(
            url, settings=projects, against_service=against_service, repair=repair
        )
    ]
    for finding in findings:
        session.print(session.scrub(f"{finding.path}: {finding.kind}: {finding.message}"))
    session.exit_code = 5 if findings else 0
    if findings:
        session.conclude(f"{len(findings)} findings, the first: {findings[0].path}.")
    else:
        session.note("The lake is sound.")


@command
def publish(
    session: Session,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.duckdb", help="The DuckDB file to write.")],
    lake: Lake = None,
    materialize: Annotated[
        bool, typer.Option("--materialize", help="Hold the data; else views read the lake.")
    ] = False,
    config: Config = None,
) -> None:
    """Write a DuckDB file with described tables and KPI views; swapped in atomically."""
    url = lake_of(session.load(config, lake=lake))
    from ..insight.kpi.publish import publish_lake

    written = publish_lake(url, out, materialize=materialize)
    holds = " It holds the rows: publish again after a sync." if written.is_materialized else ""
    session.note(f"Wrote {out}.{holds}")


@command
def report(
    session: Session,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="The page to write.")],
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Write one self-contained HTML page about the lake's backups."""
    url = lake_of(session.load(config, lake=lake))
    from ..insight.charts.report import write_report

    write_report(url, out)
    session.note(f"Wrote {out}")
