"""The command ``read``: one verified read, as a table or in a file's format.

In: filters and a format. Out: data on stdout or in --out, the certificate on stderr.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ...errors import ConfigError
from ...whole_files import write_whole
from ..screen.exports import (
    SCREEN_ROWS,
    AnswerFormat,
    check_target,
    select_columns,
    write_answer,
    write_csv,
    write_ndjson,
)
from ..screen.tables import hanging, print_rows
from ..session.options import (
    FILTER,
    OUTPUT,
    Columns,
    Config,
    Endpoint,
    Form,
    Limit,
    MaxConnections,
    MaxRequests,
    ProjectId,
    Region,
    flag,
    option,
    written,
)
from ..session.session import Session, command

if TYPE_CHECKING:
    import pyarrow as pa

    from ...frames.frames import BackupFrames

FEW_ROWS = 5  # of the tables beside the one that was asked for
TableName = Literal["backups", "databases", "tables"]
SHOWN_COLUMNS: dict[
    TableName, str
] = {  # the most important first: the last ones go where a terminal is narrow
    "backups": "begin_time,instance_name,backup_type,status,size_kb,backup_id,datastore_type,"
    "backup_level,name",
    "databases": "begin_date,database_name,table_count,is_whole_database,database_index,backup_id,"
    "project_id",
    "tables": "begin_date,database_name,table_name,database_index,table_index,backup_id,project_id",
}


@command
def read_once(  # noqa: PLR0913 - one parameter per option
    session: Session,
    *,
    endpoint: Endpoint = None,
    region: Region = None,
    project_id: ProjectId = None,
    config: Config = None,
    instance_id: Annotated[str | None, option("ID", "Only this instance.", FILTER)] = None,
    datastore_type: Annotated[
        str | None,
        option("ENGINE", "Only this engine: cassandra, redis, mongodb or influxdb.", FILTER),
    ] = None,
    backup_id: Annotated[str | None, option("ID", "Only this backup.", FILTER)] = None,
    backup_type: Annotated[
        Literal["Auto", "Manual"] | None,
        option(None, "Automated or manual ones; default: both.", FILTER),
    ] = None,
    level: Annotated[
        Literal["Instance", "DatabaseTable"] | None,
        option(
            None, "Backups of whole instances, or of databases and tables; default: both.", FILTER
        ),
    ] = None,
    begin: Annotated[
        str | None,
        option("TIME", "Begun at or after this ISO date or time; UTC if no zone.", FILTER),
    ] = None,
    end: Annotated[
        str | None, option("TIME", "Begun before this ISO date (its midnight) or time.", FILTER)
    ] = None,
    since: Annotated[
        str | None,
        option("AGE", "In place of --begin: so long ago, such as 90m, 24h, 7d or 4w.", FILTER),
    ] = None,
    form: Form = "table",
    table: Annotated[
        TableName,
        option(
            None,
            "Which table. xlsx holds all three, parquet writes them by date into --out DIR.",
            OUTPUT,
        ),
    ] = "backups",
    columns: Columns = None,
    limit: Limit = None,
    out: Annotated[
        Path | None,
        option(
            "PATH", "File to write, or folder for parquet; default: stdout.", OUTPUT, parser=written
        ),
    ] = None,
    dry_run: Annotated[
        bool, flag("--dry-run", "Say requests, rows and seconds; read no list.")
    ] = False,
    allow_incomplete: Annotated[
        bool, flag("--allow-incomplete", "Write also what is not proven complete (exit code 6).")
    ] = False,
    max_requests_per_second: MaxRequests = None,
    max_connections: MaxConnections = None,
) -> None:
    """Read the backups once, verified complete, and print or write them, the newest first on a screen.

    Nothing is written unless the read is proven complete, or --allow-incomplete is given.
    """
    _check_answer(form, table, columns, limit, out, is_dry_run=dry_run)
    query: dict[str, Any] = {
        "instance_id": instance_id,
        "datastore_type": datastore_type,
        "backup_id": backup_id,
        "backup_type": backup_type,
        "level": level,
        "begin": _begin(begin, since),
        "end": end,
    }
    settings = session.load(
        config,
        endpoint=endpoint,
        region=region,
        project_id=project_id,
        max_requests_per_second=max_requests_per_second,
        max_connections=max_connections,
    )
    from ...read.one_liners import plan_read, read_backups

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
    if form == "table":
        _show(session, frames, table, columns, limit)
    else:
        _deliver(frames, table, form, columns, limit, out)
    if out is not None:
        session.note(f"Wrote {out}")
    certificate = frames.certificate
    if certificate is not None:
        session.note(hanging(certificate.to_text()))
        for warning in certificate.warnings:
            session.warn(warning)
        if certificate.verdict != "complete":
            session.exit_code = 6
            session.conclude(f"Incomplete: {'; '.join(certificate.reasons[:3])}")


def _check_answer(
    form: AnswerFormat,
    table: TableName,
    columns: str | None,
    limit: int | None,
    out: Path | None,
    *,
    is_dry_run: bool,
) -> None:
    """Refuse a format, a file or columns that do not fit, before anything is read."""
    if form != "parquet":
        check_target(form, out)
    elif columns is not None or limit is not None:
        raise ConfigError(
            "--format parquet writes whole tables: without --columns and --limit. "
            "Leave them out, or choose csv, ndjson or json."
        )
    elif (not is_dry_run) if out is None else (out.exists() and not out.is_dir()):
        raise ConfigError("--format parquet writes a folder. Give --out DIR.")
    elif out is not None:
        from ...lake.outside import check_outside

        check_outside(out)
        if not out.parent.is_dir():
            raise ConfigError(f"There is no folder {out.parent} to make {out.name} in. Create it.")
    if columns is not None:
        from ...frames.schema import TABLES

        schema = TABLES["backups" if table == "backups" else f"backup_{table}"]
        select_columns(schema.empty_table(), columns)


def _begin(begin: str | None, since: str | None) -> Any:
    if since is None:
        return begin
    if begin is not None:
        raise ConfigError(f"--since {since} and --begin {begin} say the same. Give one of them.")
    from ...api.query import parse_moment

    return parse_moment(since, "since")


def _deliver(
    frames: BackupFrames,
    name: TableName,
    form: AnswerFormat,
    columns: str | None,
    limit: int | None,
    out: Path | None,
) -> None:
    """Write the table that was asked for, in the order of time; all three where the format can."""
    is_whole = columns is None and limit is None and name == "backups"
    if form == "parquet" and out is not None:
        frames.write(out)
        return
    if form == "xlsx" and out is not None and is_whole:
        frames.to_excel(out)
        return
    table: pa.Table = getattr(frames.arrow, name)
    if limit:
        table = table.slice(max(table.num_rows - limit, 0))
    chosen = select_columns(table, columns)
    if out is not None and form in ("csv", "ndjson"):  # not twice in memory
        write = write_csv if form == "csv" else write_ndjson
        write_whole(out, lambda file: write(chosen, file))
    else:
        write_answer(chosen, form, out, limit=0)


def _show(
    session: Session,
    frames: BackupFrames,
    asked: TableName,
    columns: str | None,
    limit: int | None,
) -> None:
    is_all = asked == "backups" and columns is None
    for name in SHOWN_COLUMNS if is_all else (asked,):
        table: pa.Table = getattr(frames.arrow, name)
        count = table.num_rows if limit == 0 else limit or SCREEN_ROWS
        rows = _newest(table, count if name == asked else min(count, FEW_ROWS))
        rows = select_columns(rows, columns or SHOWN_COLUMNS[name])
        if is_all and name != asked:
            session.print()
        how = "--format csv" if name == "backups" else f"--table {name} --format csv"
        title = f"{name}: {table.num_rows:,} rows"
        totals = (table.num_rows, rows.num_columns if columns else table.num_columns)
        values = [list(row.values()) for row in rows.to_pylist()]
        print_rows(rows.column_names, values, title, totals=totals, how=how)


def _newest(table: pa.Table, count: int) -> pa.Table:
    """The newest rows, newest first; those of one backup in their order, those without a time last."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_timed = pc.is_valid(table["begin_date"])
    table = pa.concat_tables([table.filter(pc.invert(is_timed)), table.filter(is_timed)])
    ends = pc.run_end_encode(table["backup_id"].combine_chunks()).run_ends.to_pylist()
    chosen: list[int] = []
    for begin, end in zip(reversed([0, *ends][:-1]), reversed(ends), strict=True):
        chosen += range(begin, end)
        if len(chosen) >= count:
            break
    return table.take(pa.array(chosen[:count], pa.int64()))
