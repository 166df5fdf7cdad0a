"""The command ``demo``: everything once, on the API's twin inside this process; needs no account.

In: a folder. Out: a lake there, a DuckDB file and an HTML report beside it, and a tour on stdout.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import ConfigError
from ..screen.tables import print_rows
from ..session.session import Session, command

if TYPE_CHECKING:
    from ...sandbox import Sandbox
    from ...settings import Settings
    from ...sync.one_project import SyncReport

# Times are shown as UTC without a zone: with one, DuckDB would show the machine's.
QUERIES = {
    "backups: the newest": """
        SELECT make_timestamp(epoch_us(begin_time)) AS begin_time_utc, backup_id, instance_name,
            datastore_type, backup_type, status, size_kb
        FROM '{lake}/backups/*/*.parquet' WHERE gone_at IS NULL
        ORDER BY begin_time_utc DESC, backup_id LIMIT 5""",
    "backup_databases: of table-level backups": """
        SELECT backup_id, database_index, database_name, table_count, is_whole_database
        FROM '{lake}/backup_databases/*/*.parquet'
        ORDER BY begin_date DESC, backup_id, database_index LIMIT 5""",
    "backup_tables: what those hold": """
        SELECT backup_id, database_index, database_name, table_index, table_name
        FROM '{lake}/backup_tables/*/*.parquet'
        ORDER BY begin_date DESC, backup_id, database_index, table_index LIMIT 5""",
    "KPIs: v_kpi_daily of the DuckDB file": """
        SELECT date, backup_count, failed_count, round(100 * success_rate, 1) AS success_percent,
            size_gib, gap_count, restore_point_age_p95_h, stored_gib
        FROM v_kpi_daily ORDER BY date DESC LIMIT 5""",
}


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("demo")(run_demo)


@command
def run_demo(
    session: Session,
    *,
    lake: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the lake: new, or of an earlier demo.")
    ] = Path("lake"),
    backups: Annotated[int, typer.Option(min=1, help="Backups to begin with.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 7,
) -> None:
    """Start a sandbox, sync it, let a day pass, sync again, and show what came out.

    Needs no account and leaves the network alone. A folder that holds anything but an earlier
    demo's lake is refused.
    """
    from ...sandbox import Sandbox

    # It ends today, so that what is said of the last days is said of the reader's.
    start = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC) - timedelta(days=1)
    with Sandbox(backups=backups, seed=seed, start=start) as sandbox:
        clear_demo_lake(lake, sandbox.project_id, [beside(lake, ".duckdb"), beside(lake, ".html")])
        session.note(
            f"A sandbox of the service runs at {sandbox.endpoint}. First sync into {lake}:"
        )
        settings = _sandbox_settings(sandbox, lake)
        _sync(session, sandbox, settings)
        sandbox.clock.advance(timedelta(days=1))
        session.note(
            "A day later: new backups, expired ones, and one more sync, which costs little:"
        )
        last = _sync(session, sandbox, settings)
    session.exit_code = last.exit_code
    _show_lake(session, lake, beside(lake, ".duckdb"))
    session.print(f"Certificate of the second sync:\n{last.certificate.to_text()}")
    session.print(_next_steps(lake))


def beside(lake: Path, suffix: str) -> Path:
    """Where the demo puts a file about the lake."""
    return lake.absolute().with_name(lake.absolute().name + suffix)


def clear_demo_lake(folder: Path, project_id: str, results: Sequence[Path] = ()) -> None:
    """Remove what an earlier demo left; refuse to touch anything else.

    Raises:
        ConfigError: the folder holds a file that this demo did not write, or a result would replace
            a file though there is no earlier demo's lake; nothing was removed.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file. Give another --lake.")
    for result in results:
        if result.exists() and not (folder / "_meta" / project_id).is_dir():
            raise ConfigError(f"{result} exists, and no earlier demo's lake. Give another --lake.")
    name = re.escape(project_id)
    own = re.compile(
        rf"_meta/lake\.json|_meta/{name}(/.*)?|[a-z_]+/(date=[0-9-]+/)?{name}(-[^/]*)?\.parquet"
    )
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if not path.is_dir() and (path.is_symlink() or not own.fullmatch(relative)):
            raise ConfigError(
                f"{folder} holds {relative}, which this demo did not write. "
                "Give an empty folder as --lake."
            )
    if folder.is_dir():
        for child in folder.iterdir():
            shutil.rmtree(child)


def _sandbox_settings(sandbox: Sandbox, lake: Path) -> Settings:
    from ...settings import Settings

    # Made without the environment: somebody's account and settings have no part in a demo.
    return Settings.of(
        endpoint=sandbox.endpoint,
        region=sandbox.region,
        project_id=sandbox.project_id,
        token=sandbox.token,
        lake=str(lake),
        partition_by="day",
    )


def _sync(session: Session, sandbox: Sandbox, settings: Settings) -> SyncReport:
    from ...sync.one_project import sync_backups

    with session.progress("Sync") as advance:
        report = sync_backups(settings=settings, clock=sandbox.clock, progress=advance)
    session.note(report.to_text())
    return report


def _show_lake(session: Session, lake: Path, database: Path) -> None:
    from ...insight.charts.report import write_report
    from ...insight.kpi.publish import connect_lake, publish_lake

    publish_lake(str(lake), database)
    session.note(f"Wrote {database}")
    session.note(f"Wrote {write_report(lake, beside(lake, '.html'))}")
    place = str(lake).replace("'", "''")
    with connect_lake(str(lake)) as connection:
        for title, query in QUERIES.items():
            rows = connection.execute(query.format(lake=place))
            head = [column[0] for column in rows.description or ()]
            print_rows(head, rows.fetchall(), title)


def _next_steps(lake: Path) -> str:
    page, database = beside(lake, ".html"), beside(lake, ".duckdb")
    opened = f"duckdb.connect('{database}', read_only=True)"
    return f"""\
Where to look next:
  python -c "import pandas; print(pandas.read_parquet('{lake}/backups'))"
  python -c "import duckdb; print(duckdb.sql(\\"FROM '{lake}/backups/*/*.parquet'\\"))"
  backup-frames verify --lake {lake}
The report, for a browser (a double click will do):
  python -m webbrowser -t "{page.as_uri()}"
The KPI views, for DuckDB, Superset, Metabase, … (backup-frames guide bi: how to connect each):
  python -c "import duckdb; print({opened}.sql('FROM v_exceptions'))"
With your own account: export BACKUP_FRAMES_REGION, HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, then
  backup-frames doctor
  backup-frames sync --lake ./my-lake"""
