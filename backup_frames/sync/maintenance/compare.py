"""A lake against a fresh certified read of the service.

In: a reader and a store. Out: findings where the present rows of the ledger are not what the
service lists. Nothing is written; what began after the last sync is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import LakeError
from ...frames.partitions import partition_path
from ...frames.schema import LEDGER_SCHEMAS
from ...lake.ledger.collect import FreshPartition, PartitionCollector
from ...lake.ledger.merge import LedgerTables, begin_seconds, merge_fresh
from ...lake.ledger.recovery import load_table, read_records
from ...lake.storage.layout import meta_key
from ...lake.storage.store import Store
from ...scan.plan import to_moment
from ..planning.reader import Reader
from .check import Finding


def compare_project(reader: Reader, store: Store, *, project_id: str) -> list[Finding]:
    """Compare a project's present rows, and their children, with a full read; streams.

    Costs a full read. A backup that began after the lake's last sync counts as no difference;
    one that changed or left the list since then does: sync first for a clean comparison.

    Raises:
        FetchError: the service failed.
    """
    return sorted(_Comparison(reader, store, project_id).run())


class _Comparison:
    def __init__(self, reader: Reader, store: Store, project_id: str) -> None:
        self._reader = reader
        self._store = store
        self._project_id = project_id
        self._records = read_records(store, project_id)

    def run(self) -> Iterator[Finding]:
        stored, grain = self._records.partitions(), self._records.grain
        spans = [(self._reader.begin_floor_s, self._reader.end_ceiling_s)]
        collector = PartitionCollector(spans, is_full=True, stored=stored, grain=grain)
        for fresh in collector.gather(self._reader.scan(spans, is_full=True)):
            yield from self._compare(fresh)
        for reason in self._reader.certificate.reasons:
            path = meta_key(self._project_id, "manifest.json")
            yield Finding(path, "service", f"The comparison is not complete: {reason}")

    def _compare(self, fresh: FreshPartition) -> Iterator[Finding]:
        partition = fresh.partition
        path = partition_path("backups", partition, self._project_id)
        try:
            stored = LedgerTables(
                *(
                    load_table(self._store, self._records, name, partition)
                    for name in LEDGER_SCHEMAS
                )
            )
        except LakeError:
            yield Finding(path, "service", "It is damaged, so it was not compared.")
            return
        merge = merge_fresh(stored, fresh.fresh, fresh.proof, as_of=to_moment(self._reader.now_s))
        for ids, what in (
            (self._known_by_now(merge.new, fresh), "that the service lists are not in the lake"),
            (merge.changed, "are not as the service lists them"),
            (merge.returned, "are marked gone, but the service lists them"),
            (merge.absent, "are present in the lake, but the service does not list them"),
        ):
            if len(ids):
                message = f"{len(ids)} backups {what}, as {min(ids.to_pylist())}. Run a sync."
                yield Finding(path, "service", message)

    def _known_by_now(self, new: pa.Array, fresh: FreshPartition) -> pa.Array:
        """Those of the new ids that a sync at the lake's moment would have seen."""
        state = self._records.state
        if state is None or state.as_of_s is None:
            return new
        rows = fresh.fresh.backups.filter(pc.is_in(fresh.fresh.backups["backup_id"], value_set=new))
        is_old = pa.array(begin_seconds(rows) < state.as_of_s)
        return rows.filter(is_old)["backup_id"].combine_chunks()
