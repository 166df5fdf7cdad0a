"""The command ``sync``: bring a lake up to date, for one project or all of a config file.

In: settings and options. Out: a report per project on stdout, a metrics file, the worst exit code.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import BackupFramesError
from ...whole_files import find_target
from ..runs.metrics import write_metrics
from ..runs.projects import run_side_by_side
from ..screen.output import OutputError, flush_out
from ..session.options import (
    Config,
    Endpoint,
    Lake,
    MaxConnections,
    MaxRequests,
    ProjectId,
    Region,
    lake_of,
)
from ..session.session import LogFormat, Session, command

if TYPE_CHECKING:
    from ...settings import Settings
    from ...sync.one_project import SyncReport


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
    accept_clock_skew: Annotated[
        bool,
        typer.Option(
            "--accept-clock-skew", help="Go by the service's clock, however wrong this one is."
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
    max_projects: Annotated[
        int, typer.Option(min=1, max=64, help="Projects side by side, of a config file's.")
    ] = 4,
    metrics_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write metrics in Prometheus text format here."),
    ] = None,
) -> None:
    """Bring the lake up to date; costs what changed since the last run.

    With several project tables in the config file all projects are synced, some side by side, each
    with its own limits and retries; one that fails or waits does not stop the others, and the exit
    code is the worst.
    """
    from ...settings import load_projects

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
        from ...lake.outside import check_outside

        for settings in projects:
            check_outside(metrics_file, settings.lake)
        find_target(metrics_file)
    options = {
        "full": full,
        "dry_run": dry_run,
        "allow_mass_deletion": allow_mass_deletion,
        "accept_clock_skew": accept_clock_skew,
        "inventory": with_inventory,
    }
    for settings in projects:
        session.watch(settings)
    log = _RunLog(session, metrics_file, len(projects))
    if len(projects) == 1:
        label = _label(projects[0])
        with session.progress(f"Sync {label}") as advance:
            result = _result(projects[0], options | {"progress": advance})
        log.add(projects[0], result)
    else:
        results = run_side_by_side(
            projects,
            lambda settings, watch: _result(
                settings, options | {"transport": watch.transport, "clock": watch.clock}
            ),
            at_once=max_projects,
        )
        with closing(results):
            for ended in results:
                if ended is None:
                    log.write_metrics()
                else:
                    log.add(*ended)
    log.finish()


class _RunLog:
    """Tells what came of each project as soon as it ends; nothing of that stops the others."""

    def __init__(self, session: Session, metrics_file: Path | None, count: int) -> None:
        self._session = session
        self._metrics_file = metrics_file
        self._count = count
        self._outcomes: list[dict[str, Any]] = []
        self._fault: Exception | None = None  # of stdout or of the metrics file
        self._written = 0
        self._write_again_at = 0.0

    def add(self, settings: Settings, result: SyncReport | Exception) -> None:
        """Take in how a project ended."""
        label = _label(settings)
        facts: dict[str, Any] = {"project_id": label}
        if isinstance(result, Exception):
            about = f"{label}: " if settings.project_id else ""
            facts["exit_code"] = self._session.fail(result, about=about)
        else:
            facts |= result.to_dict()
            self._tell(label, result, facts)
            facts["certificate"].pop("ranges")  # of 1,000 projects: memory stays flat
        self._outcomes.append(facts)
        self.write_metrics()

    def write_metrics(self, *, is_last: bool = False) -> None:
        """Write the metrics of all that ended, if that is new; at most a tenth of the time."""
        begun_s = time.monotonic()
        is_due = is_last or begun_s >= self._write_again_at
        if self._metrics_file is None or self._written == len(self._outcomes) or not is_due:
            return
        self._written = len(self._outcomes)
        try:
            write_metrics(self._metrics_file, self._outcomes)
        except BackupFramesError as error:
            self._fault = error
        ended_s = time.monotonic()
        self._write_again_at = ended_s + 9 * (ended_s - begun_s)

    def finish(self) -> None:
        """Say how many are up to date; the exit code is the worst."""
        self.write_metrics(is_last=True)
        if self._count > 1:
            good = sum(outcome["exit_code"] == 0 for outcome in self._outcomes)
            self._session.note(f"{good} of {self._count} projects are up to date.")
        codes = [outcome["exit_code"] for outcome in self._outcomes]
        if self._fault is not None:
            codes.append(self._session.fail(self._fault))
        self._session.exit_code = max(codes)

    def _tell(self, label: str, report: SyncReport, facts: dict[str, Any]) -> None:
        session = self._session
        for warning in report.certificate.warnings:
            session.warn(f"{label}: {warning}")
        if report.exit_code:
            why = "; ".join(report.reasons[:3]) or report.verdict
            session.conclude(f"{label}: {report.verdict}: {why}", report.exit_code)
        is_json = session.log_format is LogFormat.JSON
        try:
            session.print(
                json.dumps(facts, ensure_ascii=False, default=str) if is_json else report.to_text()
            )
            flush_out()
        except OutputError as error:
            self._fault = self._fault or error


def _label(settings: Settings) -> str:
    return settings.project_id or settings.known_region or "project"


def _result(settings: Settings, options: dict[str, Any]) -> SyncReport | Exception:
    """Sync one project; what goes wrong ends here, so that the others get their turn."""
    from ...sync.one_project import sync_backups

    try:
        lake_of(settings)
        return sync_backups(settings=settings, **options)
    except Exception as error:  # one failing project must not stop the others
        return error
