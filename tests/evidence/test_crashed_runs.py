"""What the controls say of days at whose end a sync died: what is proven later, or that it is not known."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Final

import pytest
from support.inventory_lab import DAY, POLICY, instance, instance_id, sync_with_inventory
from support.lake_maker import at
from support.stores import Fault, FaultStore, MemoryStore, snapshot

from backup_frames.insight.kpi.publish import open_views
from backup_frames.lake.storage.store import Store
from backup_frames.sandbox import Sandbox

Results = dict[tuple[str, str | None, date], str]
FIRST: Final = at("2026-01-24 12:00")
#: When a run dies, and when the next one comes.
STRUCK: Final = at("2026-01-29 12:00")
HEALED: Final = STRUCK + DAY


def serve(moment: datetime) -> Sandbox:
    """Two instances with a backup each evening for a week; one has none on the 28th, one failed."""
    records = []
    for name in (0, 1):
        for n in range(-7, 9):
            begin = FIRST.replace(hour=19, minute=10) + n * DAY
            if begin < moment <= begin + 7 * DAY and (name, begin.day) != (1, 28):
                records.append(
                    {
                        "id": f"{name:016x}{n + 7:016x}br06",
                        "name": "daily",
                        "instance_id": instance_id(name),
                        "instance_name": f"orders-{name}",
                        "datastore": {"type": "cassandra", "version": "3.11"},
                        "type": "Auto",
                        "status": "FAILED" if (name, begin.day) == (1, 26) else "COMPLETED",
                        "size": 2048,
                        "begin_time": f"{begin:%Y-%m-%dT%H:%M:%S}+0000",
                        "end_time": f"{begin:%Y-%m-%dT%H:%M}:59+0000",
                        "description": None,
                        "database_tables": None,
                    }
                )
    records.sort(key=lambda record: str(record["begin_time"]), reverse=True)
    fleet = [instance(name) for name in (0, 1)]
    policies = {one["id"]: POLICY | {"period": "1,2,3,4,5,6,7"} for one in fleet}
    return Sandbox(start=moment, records={"Instance": records}, instances=fleet, policies=policies)


def sync(store: Store, moment: datetime) -> None:
    with serve(moment) as box:
        sync_with_inventory(box, store)


def judged(store: Store, folder: Path) -> Results:
    """What every control says of every day of a copy of the lake on disk."""
    for key, data in snapshot(store).items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    query = "SELECT control_id, instance_id, date, status || ': ' || outcome FROM v_control_result"
    with open_views(folder, materialize=True, only={"v_control_result"}) as views:
        return {(c, i, d): words for c, i, d, words in views.sql(query).fetchall()}


@pytest.fixture(scope="module")
def before() -> MemoryStore:
    """A lake with a run on each day until the one that dies."""
    store = MemoryStore()
    moment = FIRST
    while moment < STRUCK:
        sync(store, moment)
        moment += DAY
    return store


@pytest.fixture(scope="module")
def calm(before: MemoryStore) -> FaultStore:
    """The lake after the run that dies elsewhere."""
    store = FaultStore(before.copy())
    sync(store, STRUCK)
    return store


@pytest.fixture(scope="module")
def truth(calm: FaultStore, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What the controls say of a lake in which no run died."""
    assert isinstance(calm.inner, MemoryStore)
    store = calm.inner.copy()
    sync(store, HEALED)
    return judged(store, tmp_path_factory.mktemp("calm"))


def killed(calm: FaultStore, key: str) -> MemoryStore:
    """The lake after a run that died when it had put the first file whose key begins so."""
    at_call = next(n for n, one in enumerate(calm.calls) if one.method == "put" and key in one.key)
    return calm.left[Fault(at_call, "kill", "after")].copy()


@pytest.mark.parametrize("key", ["backups/", "/manifest.json"])
def test_a_run_that_died_is_not_known_and_its_days_are(
    calm: FaultStore, truth: Results, tmp_path: Path, key: str
) -> None:
    """A run died after rows of it were there: it is not known, and the next run proves all else."""
    store = killed(calm, key)
    sync(store, HEALED)
    found = judged(store, tmp_path)
    changed = {one: words for one, words in found.items() if words != truth[one]}
    assert changed == {("list_certified", None, STRUCK.date()): "cannot_be_known: not known"}
    assert found.keys() == truth.keys()


def test_a_run_that_died_before_it_wrote_left_nothing(
    calm: FaultStore, truth: Results, tmp_path: Path
) -> None:
    """No row tells of it: the day is one without a run, and the reason claims no more than that."""
    store = killed(calm, "/pending.json")
    sync(store, HEALED)
    found = judged(store, tmp_path)
    changed = {one: words for one, words in found.items() if words != truth[one]}
    assert changed == {("list_certified", None, STRUCK.date()): "alarm: missed"}


def test_what_no_run_came_back_for_in_time_is_not_known(calm: FaultStore, tmp_path: Path) -> None:
    """A run died, and the next came too late for the days between: neither ok nor missed."""
    store = killed(calm, "backups/")
    sync(store, STRUCK + 12 * DAY)
    left_out = {STRUCK.date() + n * DAY for n in range(4)}
    statuses = {
        words.partition(":")[0]
        for (control, _, day), words in judged(store, tmp_path).items()
        if day in left_out and control != "list_certified"
    }
    assert statuses == {"cannot_be_known"}
