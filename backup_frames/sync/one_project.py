"""One sync: the service's list on one side, the ledger on the other, made equal.

In: settings, or a reader of the service and a store. Out: the lake brought up to the reader's
moment, and a `SyncReport`. `run` says in which order, and why that is safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api.connect import open_client
from ..api.query import BackupQuery, check_project_id
from ..clock import Clock
from ..errors import ConfigError
from ..lake.formats.open_tables import open_lake_store
from ..lake.outside import check_apart
from ..lake.storage.layout import meta_key
from ..lake.storage.store import Store
from ..read.inventory import InventoryReader
from ..read.reader import BackupReader, Progress
from ..scan.ranges import Grain
from ..settings import Settings, resolve_settings
from ..settings.values import LakeFormat, Place, check_switches
from .inventory import sync_inventory
from .planning.plan import SyncSettings
from .planning.reader import Reader
from .report import SyncReport
from .run import SyncRun

if TYPE_CHECKING:
    import httpx  # types only: this room knows no HTTP

    from ..api.client import BackupClient


__all__ = ["SyncReport", "SyncSettings", "sync_backups", "sync_lake", "sync_with"]


def sync_backups(  # noqa: PLR0913 - one keyword per setting, as DESIGN's users know them
    *,
    lake: Place | None = None,
    endpoint: str | None = None,
    region: str | None = None,
    project_id: str | None = None,
    token: str | None = None,
    partition_by: Grain | None = None,
    lake_format: LakeFormat | None = None,
    overlap_s: int | None = None,
    reread_requests: int | None = None,
    full: bool = False,
    allow_mass_deletion: bool = False,
    accept_clock_skew: bool = False,
    dry_run: bool = False,
    inventory: bool = True,
    settings: Settings | None = None,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> SyncReport:
    """Bring a lake up to the service's list of backups, for one project.

    The first sync reads everything (about 1.05 requests per 100 backups); later ones cost what
    changed: on an unchanged list about 15 requests, however long it is. Backups that left the
    list keep their row and get ``gone_at``. Memory does not grow with the list. Readers of the
    lake never see a file half-written; a run that dies at any point is made good by the next.

    Args:
        lake: a local path, ``s3://bucket/prefix`` or ``obs://bucket/prefix``.
        endpoint: the service, such as ``https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu``.
        region: such as ``eu-west-101``; gives the endpoint if that is not given.
        project_id: the project; looked up by region if it is not given.
        token: an IAM token; better from the environment.
        partition_by: "day" or "month", fixed once the lake exists; None: as it is, else "day".
        lake_format: "parquet", "delta" or "iceberg", fixed once the lake exists; None: as it is,
            else "parquet". The latter two need an extra of that name.
        overlap_s: how far back before the last sync to read again, in seconds; default 3600.
        reread_requests: requests to spend on days long unverified; default 10.
        full: read everything again.
        allow_mass_deletion: mark gone also more than a fifth of the project's backups at once, or
            all of them.
        accept_clock_skew: go by the service's time even if this machine's clock is more than a day
            off; within that it is done anyway, and said in ``warnings``.
        dry_run: write nothing; tell requests, days and partitions that a run would touch.
        inventory: read instances once a day and the policies of new or changed ones, too
            (after the backups; a dry run leaves it out). What the service refuses of it is told
            in ``warnings`` and leaves the verdict alone.
        settings: all settings at once, arguments win over them; None: from environment and config file.
        transport: what carries requests, for tests; None for real connections.
        clock: time and waiting, for tests; None for the machine's.
        progress: called with rows done and rows expected (None while unknown).

    Returns:
        A `SyncReport`. Its ``exit_code`` is 6 if the read could not be proven complete (then
        nothing is marked gone where the proof is missing, and the next run starts from the same
        point), or if the deletion guard held: more than 20 % of the project's backups, and more than 20,
        or all of them, or all of a level that had more than 5, had left the list. It is 5 if a
        file of the lake is damaged: its partition is left alone, and all else is written.

    Raises:
        ConfigError: a setting is missing or wrong, this machine's clock is more than a day off (by
            the ``Date`` of the service's answers), or the lake is partitioned otherwise, of
            another format, or would begin inside another one.
        MissingExtraError: the library for the format is not installed.
        QueryError: the project id cannot be one.
        LakeConflictError: another run holds this project's part of the lake.
        LakeError: the lake cannot be read or written.
        FetchError: the service refused or failed; what was proven by then is in the lake.
        SchemaError: an answer of the service is outside its contract.

    Example:
        >>> import tempfile
        >>> from backup_frames.sandbox import Sandbox
        >>> with Sandbox(backups=200, seed=1) as box, tempfile.TemporaryDirectory() as folder:
        ...     report = sync_backups(
        ...         lake=folder, endpoint=box.endpoint, project_id=box.project_id, token=box.token
        ...     )
        >>> report.verdict, report.counts["new"]
        ('complete', 200)
    """
    settings = resolve_settings(
        settings,
        lake=lake,
        endpoint=endpoint,
        region=region,
        project_id=project_id,
        token=token,
        partition_by=partition_by,
        lake_format=lake_format,
        overlap_s=overlap_s,
        reread_requests=reread_requests,
    )
    switches = {
        "full": full,
        "allow_mass_deletion": allow_mass_deletion,
        "accept_clock_skew": accept_clock_skew,
        "dry_run": dry_run,
        "inventory": inventory,
    }
    check_switches(**switches)  # before any request, as the lake
    _lake_of(settings)
    client, found_id = open_client(settings, transport=transport, clock=clock)
    with client:
        return sync_with(client, found_id, settings, progress=progress, **switches)


def sync_with(
    client: BackupClient,
    project_id: str,
    settings: Settings,
    *,
    progress: Progress | None,
    **switches: bool,
) -> SyncReport:
    """Sync over a connection that is there; see `sync_backups`, whose switches are all to be given."""
    check_switches(**switches)
    lake = _lake_of(settings)
    is_grain_given = "partition_by" in settings.model_fields_set
    how = SyncSettings(
        partition_by=settings.partition_by if is_grain_given else None,
        overlap_s=settings.overlap_s,
        reread_requests=settings.reread_requests,
        is_full=switches["full"],
        allow_mass_deletion=switches["allow_mass_deletion"],
        accept_clock_skew=switches["accept_clock_skew"],
    )
    reader = BackupReader(
        client,
        BackupQuery(project_id, api_version=settings.api_version),
        connections=settings.max_connections,
        progress=progress,
    )
    store = open_lake_store(
        lake,
        scratch=meta_key(project_id, "tmp"),
        clock=client.clock,
        lake_format=settings.lake_format,
        settings=settings,
    )
    return sync_lake(
        reader,
        store,
        project_id=project_id,
        clock=client.clock,
        settings=how,
        is_dry_run=switches["dry_run"],
        inventory=InventoryReader(client, project_id, connections=settings.max_connections)
        if switches["inventory"]
        else None,
    )


def _lake_of(settings: Settings) -> str:
    if settings.lake is None:
        raise ConfigError("No lake is set. Give lake=, or export BACKUP_FRAMES_LAKE.")
    check_apart(settings.lake)
    return settings.lake


def sync_lake(
    reader: Reader,
    store: Store,
    *,
    project_id: str,
    clock: Clock,
    settings: SyncSettings | None = None,
    is_dry_run: bool = False,
    inventory: InventoryReader | None = None,
) -> SyncReport:
    """Bring a project's ledger up to what a reader reads; see `sync_backups`.

    Args:
        reader: one read of the project.
        store: the lake; its scratch prefix is the project's ``tmp``.
        project_id: whose backups; ``[A-Za-z0-9_-]{1,64}``.
        clock: for durations and the run's id.
        settings: see `SyncSettings`.
        is_dry_run: only say what a run would read; counts may be asked, nothing is written.
        inventory: reads instances and policies; None leaves the lake's inventory as it is.
    """
    check_project_id(project_id)
    settings = settings or SyncSettings()
    if is_dry_run:
        return SyncRun(reader, store, project_id, clock, settings).preview()
    with store.lock(meta_key(project_id, "lock")) as lock:
        report = SyncRun(reader, store, project_id, clock, settings).execute(lock)
        if inventory is None:
            return report
        return sync_inventory(
            inventory,
            store,
            lock,
            report,
            clock=clock,
            is_full=settings.is_full,
            allow_mass_deletion=settings.allow_mass_deletion,
        )
