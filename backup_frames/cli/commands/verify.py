"""The command ``verify``: a lake's files against its manifest, and against the service.

In: a lake's address. Out: a line for each finding on stdout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from ...errors import BackupFramesError
from ..screen.invocation import as_typed
from ..session.options import Config, Endpoint, Lake, ProjectId, Region, flag, lake_of
from ..session.session import Session, command

if TYPE_CHECKING:
    from ...settings import Settings


@command
def verify_lake_files(
    session: Session,
    *,
    lake: Lake = None,
    against_service: Annotated[
        bool, flag("--against-service", "Compare with a fresh certified read, too.")
    ] = False,
    repair: Annotated[
        bool, flag("--repair", "Read damaged partitions from the service again.")
    ] = False,
    endpoint: Endpoint = None,
    region: Region = None,
    project_id: ProjectId = None,
    config: Config = None,
) -> None:
    """Check the lake's files against manifest and schema: one line per finding.

    Exit code 5 if there is any finding left. With several project tables in the config file the
    flags are for all of them; a table or a lake that cannot be used does not stop the others.
    """
    from ...settings import RefusedProject, load_each_project
    from ...sync.maintenance.verify import verify_lake

    lakes: dict[str, list[Settings]] = {}
    codes = [0]
    for project in load_each_project(
        config, endpoint=endpoint, region=region, project_id=project_id, lake=lake
    ):
        if isinstance(project, RefusedProject):
            codes.append(session.fail(project.error, about=f"{project.label}: "))
            continue
        session.watch(project)
        lakes.setdefault(lake_of(project), []).append(project)
    findings = []
    for url, projects in lakes.items():
        try:
            with session.step(f"Checking {url}"):
                found = verify_lake(
                    url, settings=projects, against_service=against_service, repair=repair
                )
        except (BackupFramesError, OSError) as error:  # the other lakes get their turn
            codes.append(session.fail(error))
            continue
        findings += [(one, as_typed(one.message, url)) for one in found]
    for finding, message in findings:
        session.print(session.scrub(f"{finding.path}: {finding.kind}: {message}"))
    session.exit_code = max(*codes, 5 if findings else 0)
    if findings:
        session.conclude(f"Findings: {len(findings):,}, the first: {findings[0][0].path}.")
    elif not session.exit_code:
        session.note("The lake is sound.")
