"""The command ``sync``: bring a lake up to date, for one project or all of a config file.

In: settings and options. Out: a report per project on stdout, a metrics file, the worst exit code.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ...errors import BackupFramesError, ConfigError
from ...whole_files import find_target
from ..runs.log import RunLog, json_line, label_of
from ..runs.projects import run_side_by_side
from ..session.options import (
    FILTER,
    OUTPUT,
    Config,
    Endpoint,
    Lake,
    MaxConnections,
    MaxRequests,
    ProjectId,
    Region,
    flag,
    lake_of,
    option,
    written,
)
from ..session.session import Session, command

if TYPE_CHECKING:
    from ...settings import RefusedProject, Settings
    from ...sync.one_project import SyncReport


@command
def sync_lake(  # noqa: PLR0913 - one parameter per option
    session: Session,
    *,
    lake: Lake = None,
    endpoint: Endpoint = None,
    region: Region = None,
    project_id: ProjectId = None,
    config: Config = None,
    full: Annotated[bool, flag("--full", "Read everything again.")] = False,
    partition_by: Annotated[
        Literal["day", "month"] | None,
        option(None, "A file per day or month; fixed once the lake exists. Default: day.", OUTPUT),
    ] = None,
    lake_format: Annotated[
        Literal["parquet", "delta", "iceberg"] | None,
        option(None, "Fixed once the lake exists. Default: parquet.", OUTPUT, name="--format"),
    ] = None,
    force: Annotated[
        bool, flag("--force", "Begin a lake in a folder that holds other things.", OUTPUT)
    ] = False,
    dry_run: Annotated[
        bool, flag("--dry-run", "Say requests, days and partitions; write nothing.")
    ] = False,
    allow_mass_deletion: Annotated[
        bool, flag("--allow-mass-deletion", "Mark gone also more than a fifth of a project.")
    ] = False,
    accept_clock_skew: Annotated[
        bool, flag("--accept-clock-skew", "Go by the service's clock, however wrong this one is.")
    ] = False,
    with_inventory: Annotated[
        bool,
        flag(
            "--with-inventory/--without-inventory",
            "Also read instances (once a day) and their backup policies.",
            FILTER,
        ),
    ] = True,
    overlap: Annotated[
        int | None, option("SECONDS", "Read this far back again; default 3600.")
    ] = None,
    reread_requests: Annotated[
        int | None, option("N", "Requests to spend on days long unverified; default 10.")
    ] = None,
    max_requests_per_second: MaxRequests = None,
    max_connections: MaxConnections = None,
    max_projects: Annotated[
        int, option("N", "Projects side by side, of a config file's.", min=1, max=64)
    ] = 4,
    metrics_file: Annotated[
        Path | None,
        option("FILE", "Write metrics in Prometheus text format here.", OUTPUT, parser=written),
    ] = None,
) -> None:
    """Bring the lake up to date; costs what changed since the last run.

    With several project tables in the config file all projects are synced, some side by side, each
    with its own limits and retries; one that fails or waits, or whose table cannot be used, does
    not stop the others, and the exit code is the worst.
    """
    given = {
        "lake": lake,
        "endpoint": endpoint,
        "region": region,
        "project_id": project_id,
        "partition_by": partition_by,
        "lake_format": lake_format,
        "overlap_s": overlap,
        "reread_requests": reread_requests,
        "max_requests_per_second": max_requests_per_second,
        "max_connections": max_connections,
    }
    projects = _load(session, config, given)
    usable, refused = _sort_out(projects, is_forced=force)
    if metrics_file is not None:
        from ...lake.outside import check_outside

        for settings in usable:
            check_outside(metrics_file, settings.lake)
        find_target(metrics_file)
    options = {
        "full": full,
        "dry_run": dry_run,
        "allow_mass_deletion": allow_mass_deletion,
        "accept_clock_skew": accept_clock_skew,
        "inventory": with_inventory,
    }
    log = RunLog(session, metrics_file, projects)
    for project, error in refused:
        log.add(project, error)
    if len(projects) == len(usable) == 1:
        label = label_of(usable[0])
        with session.progress(f"Sync {label}") as advance:
            result = _result(usable[0], options | {"progress": advance})
        log.add(usable[0], result)
    else:
        results = run_side_by_side(
            usable,
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


def _load(
    session: Session, config: Path | None, given: dict[str, Any]
) -> list[Settings | RefusedProject]:
    """The settings of all projects; why there are none is told where a run would be."""
    from ...settings import Settings, load_each_project

    try:
        projects = load_each_project(config, **given)
    except BackupFramesError as error:
        if session.log_format == "json":
            facts = {"project_id": given["project_id"], "exit_code": error.exit_code}
            session.print(session.scrub(json_line(str(error), facts, type(error).__name__)))
        raise
    for project in projects:
        if isinstance(project, Settings):
            session.watch(project)
    return projects


def _sort_out(
    projects: list[Settings | RefusedProject], *, is_forced: bool
) -> tuple[list[Settings], list[tuple[Settings | RefusedProject, Exception]]]:
    """The projects that can be synced; and the others, each with what is wrong."""
    from ...settings import RefusedProject, Settings

    usable = list[Settings]()
    refused = list[tuple[Settings | RefusedProject, Exception]]()
    for project in projects:
        try:
            if isinstance(project, RefusedProject):
                raise project.error
            if not is_forced:
                check_place(project.lake)
        except (ConfigError, OSError) as error:  # OSError: a path that may not be looked at
            refused.append((project, error))
        else:
            usable.append(project)
    return usable, refused


def check_place(url: str | None) -> None:
    """Refuse a folder that holds other things, or lies in another lake, lest they get mixed.

    Raises:
        ConfigError: it is no lake, and holds something, or lies in one.
    """
    from ...lake.outside import check_apart
    from ...lake.storage.urls import local_root, scheme_of

    if url is None or scheme_of(url) not in ("", "file"):
        return
    check_apart(url)
    folder = local_root(url)
    if (folder / "_meta").exists() or not folder.is_dir():
        return
    held = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    others = [name for name in held if name != "lost+found"]  # of a freshly mounted disk
    if others:
        raise ConfigError(
            f"{url} is no lake, and holds other things, such as {others[0]}. "
            "Give an empty folder as --lake, or --force to begin a lake among them."
        )


def _result(settings: Settings, options: dict[str, Any]) -> SyncReport | Exception:
    """Sync one project; what goes wrong ends here, so that the others get their turn."""
    from ...sync.one_project import sync_backups

    try:
        lake_of(settings)
        return sync_backups(settings=settings, **options)
    except Exception as error:  # one failing project must not stop the others
        return error
