"""A lake and sandboxes with a given inventory: syncs of it, over real sockets."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from backup_frames.api.connect import open_client
from backup_frames.api.query import BackupQuery
from backup_frames.lake.storage.store import Store
from backup_frames.read.inventory import InventoryReader
from backup_frames.read.reader import BackupReader
from backup_frames.sandbox import Fault, Fleet, Sandbox
from backup_frames.settings import Settings
from backup_frames.sync.one_project import sync_backups, sync_lake
from backup_frames.sync.report import SyncReport

Record = dict[str, Any]
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def instance_id(number: int) -> str:
    return f"{number:032x}in06"


def instance(number: int, **fields: Any) -> Record:
    return {
        "id": instance_id(number),
        "name": f"orders-{number}",
        "status": "normal",
        "datastore": {"type": "cassandra", "version": "3.11"},
        "created": "2025-01-17T07:05:52",
        "updated": "2025-01-17T07:05:52",
        "backup_strategy": {"start_time": "19:00-20:00", "keep_days": 7},
        "pay_mode": "0",
        "groups": [{"volume": {"size": "100", "used": "1.5"}, "nodes": [{}, {}, {}]}],
    } | fields


POLICY = {"keep_days": 7, "start_time": "19:00-20:00", "period": "1,2,3"}


class Lab:
    """One lake, and a service that is as the test wants it at each sync; backups there are none.

    Between syncs `instances`, `policies`, `denied` and `faults` may be changed.
    """

    def __init__(self, root: Path, box: Sandbox) -> None:
        self.root = root
        self.box = box
        self.project_id = box.project_id
        self.instances: list[Record] = []
        self.policies: dict[str, Record] = {}
        self.denied: set[str] = set()
        self.faults: list[Fault] = []
        self.asked: Counter[str] = Counter()
        self.asked_ids: list[str] = []

    @property
    def now(self) -> datetime:
        return self.box.clock.now()

    def fill(self, count: int) -> None:
        self.instances = [instance(number) for number in range(count)]
        self.policies = {one["id"]: dict(POLICY) for one in self.instances}

    def serve(self, *, after: timedelta = timedelta(0)) -> Sandbox:
        """The service as it is now, so much later."""
        box = self.box
        box.clock.advance(after)
        box.service.fleet = Fleet(
            box.clock, records={}, instances=self.instances, policies=self.policies
        )
        box.denied.clear()
        box.denied.update(self.denied)
        box.faults[:] = self.faults
        box.requests.clear()
        return box

    def sync(self, *, after: timedelta = timedelta(0), **options: Any) -> SyncReport:
        box = self.serve(after=after)
        report = sync_backups(
            lake=str(self.root),
            endpoint=box.endpoint,
            project_id=box.project_id,
            token=box.token,
            clock=box.clock,
            **options,
        )
        self.asked = Counter(received.operation for received in box.requests)
        self.asked_ids = [
            received.path.split("/")[4]
            for received in box.requests
            if received.operation == "policy"
        ]
        assert report.requests == self.asked.total()
        return report

    def path(self, table: str) -> Path:
        return self.root / table / f"{self.project_id}.parquet"

    def table(self, table: str) -> pa.Table:
        return pq.ParquetFile(self.path(table)).read()

    def rows(self, table: str) -> dict[str, Record]:
        return {row["instance_id"]: row for row in self.table(table).to_pylist()}


def sync_with_inventory(box: Sandbox, store: Store) -> None:
    """Sync a sandbox's project into a store, instances and policies with it, by the sandbox's clock."""
    settings = Settings(endpoint=box.endpoint, project_id=box.project_id, token=box.token)
    client, project_id = open_client(settings, clock=box.clock)
    with client:
        sync_lake(
            BackupReader(client, BackupQuery(project_id)),
            store,
            project_id=project_id,
            clock=box.clock,
            inventory=InventoryReader(client, project_id),
        )
