"""The command ``read``: one verified read, as a table, CSV, NDJSON or Parquet.

In: filters and a format. Out: data on stdout or in --out, the certificate on stderr.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from ..whole_files import find_target, write_whole
from .options import Config, Endpoint, MaxConnections, MaxRequests, ProjectId, Region
from .output import open_out
from .session import Session, command
from .tables import print_head, write_csv, write_ndjson

if TYPE_CHECKING:
    import pyarrow as pa

    from ..frames.frames import BackupFrames

SHOWN_ROWS = 20
SHOWN_COLUMNS = (
    "begin_time",
    "backup_id",
    "name",
    "instance_name",
    "datastore_type",
    "backup_type",
    "backup_level",
    "status",
    "size_kb",
)


class Format(StrEnum):
    """What ``read`` writes."""

    TABLE = "table"
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


class TableName(StrEnum):
    """Which of the three tables CSV and NDJSON hold."""

    BACKUPS = "backups"
    DATABASES = "databases"
    TABLES = "tables"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("read")(read_once)


def _named(text: str) -> Path:
    """A path that is not empty: as a `Path` that would be the current folder."""
    if not text:
        raise typer.BadParameter("The path is empty. Give a name.")
    return Path(text)


@command
def read_once(  # noqa: PLR0913 - one parameter per option
    session: Session,
    *,
    endpoint: Endpoint = None,
    region: Region = None,
    project_id: ProjectId = None,
    config: Config = None,
    instance_id: Annotated[str | None, typer.Option(help="Only this instance.")] = None,
    datastore_type: Annotated[
        str | None, typer.Option(help="Only this engine: cassandra, redis, mongodb or influxdb.")
    ] = None,
    backup_id: Annotated[str | None, typer.Option(help="Only this backup.")] = None,
    backup_type: Annotated[str | None, typer.Option(help="Auto or Manual; default: both.")] = None,
    level: Annotated[
        str | None, typer.Option(help="Instance or DatabaseTable; default: both.")
    ] = None,
    begin: Annotated[
        str | None, typer.Option(help="Begun at or after this ISO date or time; UTC if no zone.")
    ] = None,
    end: Annotated[
        str | None, typer.Option(help="Begun before this ISO date (its midnight) or time.")
    ] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="table shows the newest rows. In csv, text that a spreadsheet would run as a "
            "formula (it begins with = + - @ or tab) gets a leading apostrophe. "
            "parquet writes partitions by date into --out.",
        ),
    ] = Format.TABLE,
    table: Annotated[
        TableName, typer.Option(help="Which table csv and ndjson hold.")
    ] = TableName.BACKUPS,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=_named,
            metavar="PATH",
            help="File to write, or folder for parquet; default: stdout.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say requests, rows and seconds; read no list.")
    ] = False,
    allow_incomplete: Annotated[
        bool,
        typer.Option(
            "--allow-incomplete", help="Write also what is not proven complete (exit code 6)."
        ),
    ] = False,
    max_requests_per_second: MaxRequests = None,
    max_connections: MaxConnections = None,
) -> None:
    """Read the backups once, verified complete, and print or write them.

    Nothing is written unless the read is proven complete, or --allow-incomplete is given.
    """
    if form is Format.PARQUET and out is None and not dry_run:
        raise ConfigError("--format parquet writes a folder. Give --out DIR.")
    if form is Format.TABLE and out is not None:
        raise ConfigError(
            "--format table is for the screen. With --out use csv, ndjson or parquet."
        )
    if out is not None:
        from ..lake.outside import check_outside

        check_outside(out)
    if out is not None and form is Format.PARQUET and not out.parent.is_dir():
        raise ConfigError(f"There is no folder {out.parent} to make {out.name} in. Create it.")
    if out is not None and form is not Format.PARQUET:
        find_target(out)
    from ..read.one_liners import plan_read, read_backups

    settings = session.load(
        config,
        endpoint=endpoint,
        region=region,
        project_id=project_id,
        max_requests_per_second=max_requests_per_second,
        max_connections=max_connections,
    )
    query: dict[str, Any] = {
        "instance_id": instance_id,
        "datastore_type": datastore_type,
        "backup_id": backup_id,
        "backup_type": backup_type,
        "level": level,
        "begin": begin,
        "end": end,
    }
    if dry_run:
        plan = plan_read(**query, settings=settings)
        levels = ", ".join(f"{count:,} {level}" for level, count in plan.rows.items())
        session.print(
            f"About {sum(plan.rows.values()):,} rows ({levels}) in {plan.requests:,} requests, "
            f"{plan.seconds:,.1f} seconds."
        )
        return
    with session.progress("Reading") as advance, warnings.catch_warnings(action="ignore"):
        # what Python warns of, the certificate says as well
        frames = read_backups(
            **query, settings=settings, allow_incomplete=allow_incomplete, progress=advance
        )
    _deliver(session, frames, form, table, out)
    certificate = frames.certificate
    if certificate is not None:
        session.note(certificate.to_text())
        for warning in certificate.warnings:
            session.warn(warning)
        if certificate.verdict != "complete":
            session.exit_code = 6
            session.conclude(f"Incomplete: {'; '.join(certificate.reasons[:3])}")


def _deliver(
    session: Session, frames: BackupFrames, form: Format, table: TableName, out: Path | None
) -> None:
    chosen: pa.Table = getattr(frames.arrow, table.value)
    if form is Format.PARQUET and out is not None:
        frames.write(out)
    elif form is Format.TABLE:
        _show(frames, table)
    elif out is None:
        with open_out() as stdout:
            (write_csv if form is Format.CSV else write_ndjson)(chosen, stdout)
    else:
        write = write_csv if form is Format.CSV else write_ndjson
        write_whole(out, lambda file: write(chosen, file))
    if out is not None:
        session.note(f"Wrote {out}")


def _show(frames: BackupFrames, table: TableName) -> None:
    for name in TableName if table is TableName.BACKUPS else (table,):
        rows: pa.Table = getattr(frames.arrow, name.value)
        is_main = name is TableName.BACKUPS
        columns = SHOWN_COLUMNS if is_main else rows.column_names
        count = SHOWN_ROWS if name is table else 5
        print_head(rows, columns, count=count, title=name.value, is_newest_first=is_main)
