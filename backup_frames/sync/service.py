"""`connect`: one login, one project look-up, one gate and one pool for reads and syncs alike.

In: connection keywords, or settings from the environment. Out: a `Service`.
"""

from __future__ import annotations

from typing import Self, Unpack

from ..read.keywords import ConnectionKeywords, spelled_out
from ..read.reader import Progress
from ..read.service import ReadService, reach
from ..scan.ranges import Grain
from ..settings import resolve_settings
from ..settings.values import LakeFormat, Place
from .one_project import sync_with
from .report import SyncReport


class Service(ReadService):
    """One connection to the service; made by `connect`, closed by ``with`` or `close`.

    All calls share one login, one look-up of the project, one rate limit and one pool of
    connections. Each checks its own question before it asks anything.
    """

    def sync_backups(  # noqa: PLR0913  # one keyword per setting of backup_frames.sync_backups
        self,
        *,
        lake: Place | None = None,
        partition_by: Grain | None = None,
        lake_format: LakeFormat | None = None,
        overlap_s: int | None = None,
        reread_requests: int | None = None,
        full: bool = False,
        allow_mass_deletion: bool = False,
        accept_clock_skew: bool = False,
        dry_run: bool = False,
        inventory: bool = True,
        progress: Progress | None = None,
    ) -> SyncReport:
        """Bring a lake up to the project's list; as `backup_frames.sync_backups` does."""
        settings = resolve_settings(
            self._settings,
            lake=lake,
            partition_by=partition_by,
            lake_format=lake_format,
            overlap_s=overlap_s,
            reread_requests=reread_requests,
        )
        return sync_with(
            self._client,
            self._project_id,
            settings,
            full=full,
            allow_mass_deletion=allow_mass_deletion,
            accept_clock_skew=accept_clock_skew,
            dry_run=dry_run,
            inventory=inventory,
            progress=progress,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Service({self._client.endpoint!r}, project_id={self._project_id!r})"


@spelled_out(ConnectionKeywords)
def connect(**given: Unpack[ConnectionKeywords]) -> Service:
    """Connect to the service once, for as many reads and syncs as one likes.

    Cost: no request, but one or two to the identity service if the project id must be looked up by
    region. The functions ``read_backups``, ``sync_backups`` … of the package are short-cuts that
    connect, ask once, and close.

    Args:
        endpoint: the service, such as ``https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu``.
        region: such as ``eu-west-101``; gives the endpoint if that is not given.
        project_id: the project; looked up by region if it is not given.
        token: an IAM token; better from the environment.
        settings: all settings at once; arguments win over them. None: environment, then config file.
        transport: what carries requests, for tests; None for real connections.
        clock: time and waiting, for tests; None for the machine's.

    Returns:
        A `Service`: ``read_backups``, ``scan_backups``, ``plan_read``, ``read_instances``,
        ``read_policies``, ``sync_backups``. Use it in a ``with`` statement, or close it.

    Raises:
        ConfigError: a setting is missing or wrong; before any request.
        FetchError: the look-up of the project failed.

    Examples:
        >>> from backup_frames.sandbox import Sandbox
        >>> with (
        ...     Sandbox(backups=300, seed=1) as box,
        ...     connect(endpoint=box.endpoint, project_id=box.project_id, token=box.token) as service,
        ... ):
        ...     len(service.read_backups()), len(service.read_instances()) > 0
        (300, True)
    """
    return Service(*reach(**given))
