"""Instances and their backup policies: an instance without backups is in no backup list.

In: keyword arguments, or settings from the environment. Out: pandas DataFrames; for a sync, an
`InventoryReader` with Arrow tables (`INSTANCE_ROWS`, `POLICY_ROWS`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from ..api.client import BackupClient
from ..api.clock import Clock
from ..api.connect import open_client
from ..errors import BackupFramesError, IncompleteReadError
from ..frames.inventory_rows import flatten_instances, flatten_policies
from ..scan.inventory import fetch_policies, list_instances
from ..settings import Settings, resolve_settings

if TYPE_CHECKING:
    import httpx  # types only: this room knows no HTTP
    import pandas as pd


class PolicyRead(NamedTuple):
    """Policies that were read, and those that were not.

    Attributes:
        table: `POLICY_ROWS`, one row per policy read.
        missing: instances that do not exist any more.
        refused: by instance id, why its policy cannot be read.
        stopped_by: what ended the asking early; None if all were asked.
    """

    table: pa.Table
    missing: list[str]
    refused: dict[str, BackupFramesError]
    stopped_by: BackupFramesError | None


class InventoryReader:
    """Reads the inventory of one project; what a sync asks beside the backups.

    Args:
        client: asks.
        project_id: whose instances.
        connections: requests side by side.
    """

    def __init__(self, client: BackupClient, project_id: str, *, connections: int = 8) -> None:
        self._client = client
        self._project_id = project_id
        self._connections = connections

    @property
    def requests(self) -> int:
        """Requests that the client has sent so far, for whatever purpose."""
        return self._client.gate.counts.requests

    def instances(self) -> tuple[pa.Table, bool]:
        """All instances (`INSTANCE_ROWS`), and whether it is proven that none is missing.

        Raises:
            FetchError: the service refused or failed.
            SchemaError: an answer is no list of instances.
        """
        found = list_instances(self._client, self._project_id, connections=self._connections)
        return flatten_instances(found.records, project_id=self._project_id), found.is_proven

    def policies(self, instance_ids: Sequence[str]) -> PolicyRead:
        """The policies of these instances; one request each, nothing is raised for one refused."""
        found = fetch_policies(
            self._client, self._project_id, instance_ids, connections=self._connections
        )
        table = flatten_policies(found.policies, project_id=self._project_id)
        return PolicyRead(table, found.missing, found.refused, found.stopped_by)


def read_instances(
    *,
    endpoint: str | None = None,
    region: str | None = None,
    project_id: str | None = None,
    token: str | None = None,
    settings: Settings | None = None,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
) -> pd.DataFrame:
    """Read all instances of the project.

    Asks the service now: one request for up to 100 instances; beyond that the list is read until
    two passes in a row agree, two requests per 100 instances if it stands still.

    Args:
        endpoint: the service, such as ``https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu``.
        region: such as ``eu-west-101``; gives the endpoint if that is not given.
        project_id: the project; looked up by region if it is not given.
        token: an IAM token; better from the environment.
        settings: all settings at once, arguments win over them; None: from environment and config file.
        transport: what carries requests, for tests; None for real connections.
        clock: time and waiting, for tests; None for the machine's.

    Returns:
        One row per instance, sorted by ``instance_id``, with the columns of the lake's
        ``instances`` but its history: times tz-aware UTC, storage in GB over all groups (null if
        a group's is no number), ``node_count`` Int32, everything else that was sent as JSON in
        ``extra``. Empty, with all columns, if there are none.

    Raises:
        ConfigError: a setting is missing or wrong; before any request.
        AuthError: the permission is missing (nosql:instance:list), or the credentials are wrong.
        FetchError: the service refused, failed or throttled to the end of the retry budget.
        SchemaError: an answer is no list of instances.
        IncompleteReadError: the list kept changing, so that an instance may be missing.

    Examples:
        >>> from backup_frames.sandbox import Sandbox
        >>> with Sandbox(backups=500, seed=1) as box:
        ...     instances = read_instances(
        ...         endpoint=box.endpoint, project_id=box.project_id, token=box.token
        ...     )
        ...     len(instances) == len(box.fleet.instances())
        True

    Source: ``GET /v3/{project_id}/instances``.
    """
    with _open_reader(
        settings, transport, clock, endpoint=endpoint, region=region, project_id=project_id,
        token=token,
    ) as reader:  # fmt: skip
        return _proven_instances(reader).to_pandas()


def read_policies(
    instance_ids: Sequence[str] | None = None,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    project_id: str | None = None,
    token: str | None = None,
    settings: Settings | None = None,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
) -> pd.DataFrame:
    """Read the policies for automated backups; one request per instance, 8 side by side.

    Takes the connection keywords of `read_instances` and raises what it raises.

    Args:
        instance_ids: whose policies; None for all instances, whose list is read first.
        endpoint: see `read_instances`; likewise the other keywords.
        region: see there.
        project_id: see there.
        token: see there.
        settings: see there.
        transport: see there.
        clock: see there.

    Returns:
        One row per instance, sorted by ``instance_id``: ``is_enabled`` (keep_days above 0 and a
        start time; False for whatever else the service sends of a policy), ``keep_days`` Int32,
        ``window_start`` as UTC time of day, ``period`` with 1 for Monday. An instance that does
        not exist has no row.

    Examples:
        >>> from backup_frames.sandbox import Sandbox
        >>> with Sandbox(backups=500, seed=1) as box:
        ...     policies = read_policies(
        ...         endpoint=box.endpoint, project_id=box.project_id, token=box.token
        ...     )
        >>> bool(policies.loc[policies["is_enabled"], "keep_days"].min() >= 1)
        True

    Source: ``GET /v3.1/{project_id}/instances/{instance_id}/backups/policy``.
    """
    with _open_reader(
        settings, transport, clock, endpoint=endpoint, region=region, project_id=project_id,
        token=token,
    ) as reader:  # fmt: skip
        if instance_ids is None:
            instance_ids = _proven_instances(reader)["instance_id"].to_pylist()
        read = reader.policies(sorted(set(instance_ids)))
        for error in filter(None, (read.stopped_by, *read.refused.values())):
            raise error
        return read.table.to_pandas()


def _proven_instances(reader: InventoryReader) -> pa.Table:
    instances, is_proven = reader.instances()
    if not is_proven:
        raise IncompleteReadError(
            f"{instances.num_rows} instances were read, but the list changed with every pass, so "
            "that others may be missing. Read again when fewer are created and deleted."
        )
    return instances


@contextmanager
def _open_reader(
    settings: Settings | None,
    transport: httpx.BaseTransport | None,
    clock: Clock | None,
    **given: str | None,
) -> Iterator[InventoryReader]:
    settings = resolve_settings(settings, **given)
    client, project_id = open_client(settings, transport=transport, clock=clock)
    with client:
        yield InventoryReader(client, project_id, connections=settings.max_connections)
