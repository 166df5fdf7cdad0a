"""Is the lake sound? The public question, with and without the service's help.

In: a lake's URL, and settings if the service is to be asked. Out: findings, one per thing that is
not as it should be; after a repair those that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...api.connect import open_client
from ...api.query import BackupQuery
from ...clock import Clock, SystemClock
from ...lake.formats.open_tables import open_lake_store
from ...lake.lake import open_lake
from ...lake.storage.layout import meta_key
from ...read.reader import BackupReader
from ...settings import Settings, load_settings
from ...settings.values import Place, check_switches
from ...whole_files import path_text
from .check import Finding, check_lake
from .compare import compare_project
from .repair import repair_project

if TYPE_CHECKING:
    import httpx  # types only: this room knows no HTTP

__all__ = ["Finding", "verify_lake"]


def verify_lake(
    lake: Place,
    *,
    against_service: bool = False,
    repair: bool = False,
    settings: Settings | Sequence[Settings] | None = None,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
) -> list[Finding]:
    """Check a lake's files; compare them with the service, or repair them from it, if asked.

    Reads every file of the lake: size and sha256 against the manifest, schema, unique keys,
    children against parents; missing, unknown and foreign files are findings. What a sync that
    is running or died has announced is no finding.

    Args:
        lake: a local path, ``s3://bucket/prefix`` or ``obs://bucket/prefix``.
        against_service: compare the settings' projects with a fresh full read as well.
        repair: first read the settings' projects' damaged partitions again and write them anew.
        settings: how to reach the service, for one project or several of the lake's; None: from
            environment and config file, if needed.
        transport: what carries requests, for tests; None for real connections.
        clock: time and waiting, for tests; None for the machine's.

    Returns:
        Findings sorted by path; empty for a sound lake. After a repair: what is lost, and what is
        still not as it should be.

    Raises:
        ConfigError: the URL or a setting that is needed is wrong or missing.
        LakeConflictError: a repair was asked for while a sync runs.
        LakeError: there is no lake, or it cannot be read or written.
        FetchError: the service was to be asked and failed.

    Example:
        >>> import tempfile
        >>> from backup_frames.sync.one_project import sync_backups
        >>> from backup_frames.sandbox import Sandbox
        >>> with Sandbox(backups=20, seed=1) as box, tempfile.TemporaryDirectory() as folder:
        ...     report = sync_backups(
        ...         lake=folder, endpoint=box.endpoint, project_id=box.project_id, token=box.token
        ...     )
        ...     verify_lake(folder)
        []
    """
    check_switches(against_service=against_service, repair=repair)
    clock = clock or SystemClock()
    lake = path_text(lake, "lake")
    open_lake(lake)  # says so if there is none
    projects = list(settings) if isinstance(settings, Sequence) else [settings]
    findings = list[Finding]()
    for project in projects if repair else ():
        with _open_reader(project, transport, clock) as (reader, project_id):
            store = open_lake_store(lake, scratch=meta_key(project_id, "tmp"), clock=clock)
            findings += repair_project(reader, store, project_id=project_id, clock=clock)
    store = open_lake_store(lake, scratch="_meta/verify/tmp", clock=clock)
    findings += check_lake(store)
    for project in projects if against_service else ():
        with _open_reader(project, transport, clock) as (reader, project_id):
            findings += compare_project(reader, store, project_id=project_id)
    return sorted(findings)


@contextmanager
def _open_reader(
    settings: Settings | None, transport: httpx.BaseTransport | None, clock: Clock
) -> Iterator[tuple[BackupReader, str]]:
    settings = settings or load_settings()
    client, project_id = open_client(settings, transport=transport, clock=clock)
    with client:
        query = BackupQuery(project_id, api_version=settings.api_version)
        yield BackupReader(client, query, connections=settings.max_connections), project_id
