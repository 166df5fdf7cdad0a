"""Instances and their backup policies: an instance without backups is in no backup list.

In: keyword arguments, or settings from the environment. Out: pandas DataFrames; for a sync, an
`InventoryReader` with Arrow tables (`INSTANCE_ROWS`, `POLICY_ROWS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from ..frames.inventory_rows import flatten_instances, flatten_policies
from ..scan.inventory import PolicyAnswers, fetch_policies, list_instances

if TYPE_CHECKING:
    from ..api.client import BackupClient


class InventoryReader:
    """Reads the inventory of one project; what a sync asks beside the backups.

    Args:
        client: asks.
        project_id: whose instances.
        connections: requests side by side; None for eight.
    """

    def __init__(
        self, client: BackupClient, project_id: str, *, connections: int | None = None
    ) -> None:
        self._client = client
        self._project_id = project_id
        self._connections = connections or 8

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
        records, is_proven = list_instances(
            self._client, self._project_id, connections=self._connections
        )
        return flatten_instances(records, project_id=self._project_id), is_proven

    def policies(self, instance_ids: Sequence[str]) -> tuple[pa.Table, PolicyAnswers]:
        """The policies of these instances (`POLICY_ROWS`), and what became of the others.

        One request each; nothing is raised for one refused.
        """
        found = fetch_policies(
            self._client, self._project_id, instance_ids, connections=self._connections
        )
        return flatten_policies(found.policies, project_id=self._project_id), found
