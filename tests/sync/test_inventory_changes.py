"""What a sync notes of changes in the inventory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.inventory_lab import DAY, Lab, instance_id

from backup_frames import open_lake
from backup_frames.sandbox import Sandbox
from backup_frames.settings import Settings
from backup_frames.sync.maintenance.verify import verify_lake

WEEK = 7 * DAY


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Sandbox(backups=0, seed=1) as box:
        yield Lab(tmp_path / "lake", box)


def test_each_change_is_kept_with_the_moments_it_lies_between(lab: Lab) -> None:
    """Of a policy and of an instance: what, old, new, last seen old, first seen new; once."""
    lab.fill(2)
    first = lab.sync().as_of
    lab.policies[instance_id(0)] = {"keep_days": 3, "start_time": "19:00-20:00", "period": "1,2"}
    lab.instances[0]["name"] = "renamed"
    lab.instances[1]["status"] = "frozen"
    second = lab.sync(after=WEEK).as_of
    lab.policies[instance_id(0)]["keep_days"] = 0
    third = lab.sync(after=WEEK).as_of
    lab.sync(after=WEEK)

    lake = open_lake(str(lab.root))
    found = [list(row.values())[1:] for row in lake.policy_changes().to_pylist()]
    assert found == [
        [instance_id(0), "keep_days", "7", "3", first, second],
        [instance_id(0), "period", "1,2,3", "1,2", first, second],
        [instance_id(0), "is_enabled", "true", "false", second, third],
        [instance_id(0), "keep_days", "3", "0", second, third],
    ]
    found = [list(row.values())[1:] for row in lake.instance_changes().to_pylist()]
    assert found == [
        [instance_id(0), "instance_name", "orders-0", "renamed", first, second],
        [instance_id(1), "status", "normal", "frozen", first, second],
    ]
    assert verify_lake(str(lab.root)) == []


def test_what_uses_storage_is_no_change(lab: Lab) -> None:
    """volume_used_gb differs with each look, and an inventory that never changed has no file."""
    lab.fill(1)
    lab.sync()
    lab.instances[0]["groups"][0]["volume"]["used"] = "9"
    lab.sync(after=DAY)
    assert open_lake(str(lab.root)).instance_changes().num_rows == 0
    assert not lab.path("instance_changes").exists()


def test_a_damaged_history_is_left_alone_and_nothing_passes_it_by(lab: Lab) -> None:
    """Else what changes meanwhile would be in no history; --repair goes on without the lost part."""
    lab.fill(1)
    lab.sync()
    lab.instances[0]["name"] = "once"
    lab.sync(after=DAY)
    path = lab.path("instance_changes")
    path.write_bytes(path.read_bytes()[:-9])
    lab.instances[0]["name"] = "twice"
    report = lab.sync(after=DAY)
    assert report.damaged == (f"instance_changes/{lab.project_id}.parquet",)
    assert lab.rows("instances")[instance_id(0)]["instance_name"] == "once"
    box = lab.serve()
    settings = Settings(endpoint=box.endpoint, project_id=box.project_id, token=box.token)
    verify_lake(str(lab.root), repair=True, settings=settings, clock=box.clock)
    lab.sync(after=DAY)
    (row,) = open_lake(str(lab.root)).instance_changes().to_pylist()
    assert (row["old_value"], row["new_value"]) == ("once", "twice")


def test_a_policy_that_is_refused_is_not_known_until_it_is_read_again(lab: Lab) -> None:
    """The stored row stays as last read; the history says from when to when nobody could ask."""
    lab.fill(1)
    first = lab.sync().as_of
    lab.denied = {"policy"}
    second = lab.sync(after=WEEK).as_of
    lab.sync(after=WEEK)
    lab.denied = set()
    third = lab.sync(after=WEEK).as_of
    lab.sync(after=WEEK)
    rows = open_lake(str(lab.root)).policy_changes().to_pylist()
    found = [(row["field"], row["new_value"], row["seen_at"]) for row in rows]
    assert found == [("is_readable", "false", second), ("is_readable", "true", third)]
    assert rows[0]["old_seen_at"] == first
    assert lab.rows("backup_policies")[instance_id(0)]["updated_at"] == first


def test_without_the_list_of_instances_no_policy_is_known(lab: Lab) -> None:
    """A list that is refused asks for no policy: those of all instances are noted as not readable."""
    lab.fill(2)
    lab.sync()
    lab.denied = {"instances"}
    moment = lab.sync(after=DAY).as_of
    rows = open_lake(str(lab.root)).policy_changes().to_pylist()
    assert [(row["instance_id"], row["new_value"], row["seen_at"]) for row in rows] == [
        (instance_id(0), "false", moment),
        (instance_id(1), "false", moment),
    ]
