"""The command ``demo``: everything once, on the API's twin beside this process; needs no account.

In: a folder. Out: a lake there, a DuckDB file and an HTML report beside it, and a tour on stdout.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ...errors import ConfigError
from ...whole_files import find_target
from ..screen.invocation import own_command, whole_path
from ..screen.tables import COLOURS, human_size, print_rows, print_text
from ..session.options import named, option
from ..session.session import Session, command

if TYPE_CHECKING:
    import pyarrow as pa

    from ...sandbox import Sandbox
    from ...sandbox.apart import SandboxApart
    from ...settings import Settings
    from ...sync.one_project import SyncReport

SHOWN_ROWS = 3
LIVES = (  # what has happened before each sync, and how long it took
    ("First sync", timedelta(0)),
    ("An hour later", timedelta(hours=1)),
    ("A day later", timedelta(days=1)),
)
NEWEST = """
    SELECT make_timestamp(epoch_us(begin_time)) AS begin_time, instance_name, backup_type, status,
        size_kb, backup_id, datastore_type
    FROM backups WHERE gone_at IS NULL ORDER BY begin_time DESC, backup_id"""
KPIS = """
    SELECT instance_count, protected_count, rpo_limit_h, rpo_met_count, success_rate_recent,
        present_count, stored_gib, ledger_count,
        (SELECT count(*) FROM v_exceptions WHERE severity = 1) AS urgent_count,
        (SELECT count(*) FROM v_exceptions WHERE severity = 2) AS other_count,
        (SELECT count(*) FROM backup_databases) AS database_count,
        (SELECT count(*) FROM backup_tables) AS table_count
    FROM v_kpi_current"""


@command
def run_demo(
    session: Session,
    *,
    lake: Annotated[
        Path, option("DIR", "Folder for the lake: new, or of an earlier demo.", parser=named)
    ] = Path("lake"),
    backups: Annotated[int, option(None, "Backups to begin with.", min=1)] = 20_000,
    seed: Annotated[int, option(None, "The same seed gives the same fleet.")] = 7,
) -> None:
    """Start a sandbox, sync it, sync again an hour and a day later, and show what came out.

    Needs no account and leaves the network alone. A folder that holds anything but an earlier
    demo's lake is refused.
    """
    from ...settings import Settings

    session.is_talkative = True
    results = [beside(lake, ".duckdb"), beside(lake, ".html")]
    refuse_others(lake, "[0-9a-f]{32}")  # before anything starts
    for result in results if lake.absolute().parent.is_dir() else ():
        find_target(result)
    # It ends today, so that what is said of the last days is said of the reader's.
    today = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC)
    start = today - sum((life for _, life in LIVES), timedelta(0))
    with ExitStack() as ending:
        with session.step("Starting a stand-in for the service"):
            starting = _start_sandbox(backups, seed, start)
            _prepare()
            sandbox = ending.enter_context(starting)
            # made without the environment: somebody's account and settings have no part in a demo
            settings = Settings.of(
                endpoint=sandbox.endpoint,
                region=sandbox.region,
                project_id=sandbox.project_id,
                token=sandbox.token,
                lake=str(lake),
                partition_by="day",
            )
        clear_demo_lake(lake, sandbox.project_id, results)
        session.note(f"A stand-in for the service holds {backups:,} backups; no account is needed.")
        for title, life in LIVES:
            sandbox.clock.advance(life)
            report = _sync(session, sandbox, settings, title)
            session.exit_code = max(session.exit_code, report.exit_code)
    with session.step("Drawing the report"):
        kpis, newest = _write_files(lake)
    _show_lake(session, lake, report, kpis, newest)


def _start_sandbox(
    backups: int, seed: int, start: datetime
) -> AbstractContextManager[Sandbox | SandboxApart]:
    """In a process of its own, beside the sync; in this one where none can start."""
    from ...sandbox.apart import SandboxApart

    try:
        return SandboxApart(backups, seed=seed, start=start)
    except OSError:
        from ...sandbox import Sandbox

        return Sandbox(backups, seed=seed, start=start)


def _prepare() -> None:
    """Load what comes next, and make the KPI views, while the sandbox makes its fleet."""
    from ...insight.charts import report  # noqa: F401 - loaded for later
    from ...insight.kpi.catalog import declare_views
    from ...insight.kpi.publish import INNER_SCHEMA
    from ...insight.kpi.relations import open_memory
    from ...sync import one_project  # noqa: F401 - likewise

    with open_memory() as connection:
        declare_views(connection, inner=INNER_SCHEMA, words=True)


def beside(lake: Path, suffix: str) -> Path:
    """Where the demo puts a file about the lake."""
    return lake.absolute().with_name(lake.absolute().name + suffix)


def clear_demo_lake(folder: Path, project_id: str, results: Sequence[Path] = ()) -> None:
    """Remove what an earlier demo left; refuse to touch anything else.

    Raises:
        ConfigError: the folder holds a file that this demo did not write, or a result would replace
            a file though there is no earlier demo's lake; nothing was removed.
    """
    for result in results:
        if result.exists() and not (folder / "_meta" / project_id).is_dir():
            raise ConfigError(f"{result} exists, and no earlier demo's lake. Give another --lake.")
    refuse_others(folder, re.escape(project_id))
    if folder.is_dir():
        for child in folder.iterdir():
            shutil.rmtree(child)


def refuse_others(folder: Path, name: str) -> None:
    """Refuse a file as folder, and a folder with anything but a demo's lake of the project of that name.

    Args:
        folder: where the lake is to be.
        name: of the project, as a regular expression.

    Raises:
        ConfigError: it holds a file that no such demo wrote.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file. Give another --lake.")
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


def _sync(
    session: Session, sandbox: Sandbox | SandboxApart, settings: Settings, title: str
) -> SyncReport:
    from ...sync.one_project import sync_backups

    with session.progress(title) as advance:
        report = sync_backups(settings=settings, clock=sandbox.clock, progress=advance)
    counts = report.counts
    session.note(
        f"{title:13}  {counts['new']:>7,} new, {counts['gone']:>5,} gone, "
        f"{report.requests:>5,} requests, {report.duration_s:>4.1f} s"
    )
    return report


def _write_files(lake: Path) -> tuple[dict[str, Any], pa.Table]:
    """Write the DuckDB file, and of it the report; its KPIs and newest backups: one read of the lake."""
    from ...insight.charts.drawing import Drawing
    from ...insight.charts.report import render_report
    from ...insight.kpi.publish import open_published, publish_lake
    from ...whole_files import write_whole

    with Drawing() as drawing:
        published = publish_lake(str(lake), beside(lake, ".duckdb"), materialize=True)
        with open_published(published.path) as connection:
            page = render_report(connection, drawing)
            write_whole(beside(lake, ".html"), page.encode())
            kpis = connection.sql(KPIS).to_arrow_table().to_pylist()[0]
            newest = connection.sql(f"{NEWEST} LIMIT {SHOWN_ROWS}").to_arrow_table()
    return kpis, newest


def _show_lake(
    session: Session, lake: Path, report: SyncReport, kpis: dict[str, Any], newest: pa.Table
) -> None:
    """The newest backups, the KPIs, what was proven, where to go on: a screenful with the syncs."""
    title = (
        f"The newest of {kpis['present_count']:,} backups "
        f"({kpis['database_count']:,} databases and {kpis['table_count']:,} tables named in them)"
    )
    print_rows(newest.column_names, [list(row.values()) for row in newest.to_pylist()], title)
    instances = f"of {kpis['instance_count']:,} database instances"
    deleted = kpis["ledger_count"] - kpis["present_count"]
    print_text(("How the backups are doing", "bold"))
    for line in (
        f"{kpis['protected_count']:,} {instances} can be restored at all",
        f"{kpis['rpo_met_count']:,} {instances}, to a state of the last {kpis['rpo_limit_h']:.0f} hours",
        f"{100 * (kpis['success_rate_recent'] or 0):.1f} % of the last week's backups succeeded",
        f"{kpis['urgent_count']:,} findings are urgent, {kpis['other_count']:,} should be looked at",
        f"{human_size(kpis['stored_gib'] * 1024**2)} are stored, {deleted:,} deleted ones remembered",
    ):
        print_text(f"  {line}")
    print_text(
        "  the list was read ",
        (report.verdict, COLOURS.get(report.verdict, "")),
        ": every backup that the service showed, once",
    )
    print_text(("The report, a page for your browser", "bold"))
    session.print(f"  {beside(lake, '.html')}")
    print_text(("Where to look next", "bold"))
    own, place = own_command(), whole_path(lake)
    for words in (
        f"report --lake {place} --open",
        f"changes --lake {place}",
        f"query --lake {place}",
        f"verify --lake {place}",
        "guide settings",
    ):
        session.print(f"{own} {words}")
