"""Whatever call to the store fails while the inventory is written, the next run makes it right."""

from __future__ import annotations

from contextlib import suppress

from support.inventory_lab import DAY, Lab, instance, instance_id, sync_with_inventory
from support.stores import FaultStore, Killed, MemoryStore, faults_of, snapshot

from backup_frames.errors import LakeError
from backup_frames.lake.storage.store import Store
from backup_frames.sync.maintenance.check import check_lake

DATA = ("instances/", "backup_policies/", "backup_policy_changes/", "instance_changes/")


def inventory_of(store: Store) -> dict[str, bytes]:
    return {key: value for key, value in snapshot(store).items() if key.startswith(DATA)}


def test_any_crash_point_heals_to_the_same_bytes(lab: Lab) -> None:
    """Kill a run at any call that concerns the inventory; one more run, and the bytes are the same.

    A death before a call leaves what a death after the last one that wrote does: of those one in four
    runs is struck; the others leave what the undisturbed run had at that moment.
    """
    lab.fill(4)
    before = MemoryStore(scratch="_meta/p/tmp")
    sync_with_inventory(lab.serve(), before)
    del lab.instances[1]
    lab.instances[0]["name"] = "renamed"
    lab.instances.append(instance(9))
    lab.policies[instance_id(9)] = {"keep_days": 3, "start_time": "01:00-02:00"}
    box = lab.serve(after=DAY)
    calm = FaultStore(before.copy())
    sync_with_inventory(box, calm)
    expected = inventory_of(calm.inner)
    assert expected != inventory_of(before)
    first = next(at for at, call in enumerate(calm.calls) if call.key.startswith(DATA))
    # A call that fails ends a run as a kill does: nothing here catches what a store raises.
    deaths = [one for one in faults_of(calm.calls) if one.at >= first - 6 and one.how == "kill"]
    before_calls = [one for one in deaths if one.when == "before"]
    faults = [one for one in deaths if one.when != "before"] + before_calls[::4]
    assert len(faults) > 15
    for fault in faults:
        store: Store | None = calm.left.get(fault)
        if store is None:
            struck = FaultStore(before.copy(), fault=fault)
            with suppress(Killed, LakeError):
                sync_with_inventory(box, struck)
            store = struck.inner
        assert check_lake(store) == [], fault
        sync_with_inventory(box, store)
        assert inventory_of(store) == expected, fault
        assert check_lake(store) == [], fault
        assert not [key for key in snapshot(store) if key.endswith("pending.json")]
