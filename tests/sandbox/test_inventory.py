"""Instances and policies, as the sibling calls send them."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from backup_frames.sandbox import Sandbox

Get = Callable[..., httpx.Response]
INSTANCES = "/v3/{project}/instances"


def policy_path(instance_id: str) -> str:
    return f"/v3.1/{{project}}/instances/{instance_id}/backups/policy"


def test_instances_come_in_pages(still: Sandbox, get: Get) -> None:
    """Pages put together are the fleet's instances, with the count of all in each."""
    expected = still.fleet.instances()
    found = []
    for offset in range(0, len(expected) + 7, 7):
        answer = get(INSTANCES, limit=7, offset=offset).json()
        assert answer["total_count"] == len(expected)
        found += answer["instances"]
    assert found == expected
    assert len({one["id"] for one in found}) == len(found)
    assert all(one["id"][32:34] == "in" for one in found)


def test_instances_can_be_selected(still: Sandbox, get: Get) -> None:
    """By id and by engine; an unknown id gives an empty list."""
    expected = still.fleet.instances()
    assert get(INSTANCES, id=expected[3]["id"]).json()["instances"] == [expected[3]]
    redis = [one for one in expected if one["datastore"]["type"] == "redis"]
    assert get(INSTANCES, datastore_type="redis").json()["instances"] == redis
    assert get(INSTANCES, id="nobody").json() == {"instances": [], "total_count": 0}


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"offset": -1}])
def test_bad_pages_are_refused(get: Get, params: dict[str, int]) -> None:
    """Limits outside 1 to 100 and negative offsets are 400."""
    assert get(INSTANCES, **params).status_code == 400


def test_policies_say_what_the_fleet_does(still: Sandbox, get: Get) -> None:
    """A policy's hour and days are those in which the instance's automated backups begin."""
    checked = 0
    for instance in still.fleet.instances():
        answer = get(policy_path(instance["id"]), type="Instance")
        policy = answer.json()["backup_policy"]
        assert policy == still.fleet.policy(instance["id"])
        begins = [
            record["begin_time"]
            for record in still.fleet.records("Instance")
            if (record["instance_id"], record["type"]) == (instance["id"], "Auto")
        ]
        if policy["keep_days"] == 0:
            assert begins == []
            continue
        assert {begin[11:13] for begin in begins} <= {policy["start_time"][:2]}
        checked += len(begins)
    assert checked > 500


def test_unknown_instances_have_no_policy(get: Get) -> None:
    """404 in the service's shape; a wrong level is 400."""
    response = get(policy_path("0" * 32 + "in06"))
    assert response.status_code == 404
    assert response.json()["error_code"] == "DBS.200002"


def test_a_wrong_level_of_policy_is_refused(still: Sandbox, get: Get) -> None:
    """The optional type is one of the two levels."""
    instance_id = still.fleet.instances()[0]["id"]
    assert get(policy_path(instance_id), type="DatabaseTable").status_code == 200
    assert get(policy_path(instance_id), type="table").status_code == 400


def test_given_instances_and_policies(connect: Callable[[Sandbox], Get]) -> None:
    """With records, the inventory is what was given; without a policy it is off."""
    instances = [{"id": "a", "datastore": {"type": "redis"}}, {"id": "b", "groups": {}}]
    policies = {"a": {"keep_days": 7, "start_time": "19:00-20:00", "period": "1"}}
    with Sandbox(records={}, instances=instances, policies=policies) as sandbox:
        get = connect(sandbox)
        assert get(INSTANCES).json() == {"instances": instances, "total_count": 2}
        assert get(policy_path("a")).json() == {"backup_policy": policies["a"]}
        assert get(policy_path("b")).json() == {"backup_policy": {"keep_days": 0}}
        sandbox.fleet.delete_instance("a")
        assert get(INSTANCES).json()["total_count"] == 1
        assert get(policy_path("a")).status_code == 404


def test_a_policy_changes(connect: Callable[[Sandbox], Get]) -> None:
    """What is set of a policy is what the service says from then on; nobody else's changes."""
    policies = {"a": {"keep_days": 7, "start_time": "19:00-20:00", "period": "1"}}
    with Sandbox(records={}, instances=[{"id": "a"}, {"id": "b"}], policies=policies) as sandbox:
        get = connect(sandbox)
        sandbox.fleet.update_policy("a", keep_days=3, period="1,2")
        changed = {"keep_days": 3, "start_time": "19:00-20:00", "period": "1,2"}
        assert get(policy_path("a")).json() == {"backup_policy": changed}
        assert get(policy_path("b")).json() == {"backup_policy": {"keep_days": 0}}
        assert policies["a"]["keep_days"] == 7
        with pytest.raises(KeyError):
            sandbox.fleet.update_policy("c", keep_days=3)
    with Sandbox(backups=20) as sandbox:
        one = sandbox.fleet.instances()[0]["id"]
        before = sandbox.fleet.policy(one)
        sandbox.fleet.update_policy(one, keep_days=0)
        assert connect(sandbox)(policy_path(one)).json() == {
            "backup_policy": before | {"keep_days": 0}
        }


@pytest.mark.parametrize("operation", ["instances", "policy"])
def test_permission_can_be_taken(connect: Callable[[Sandbox], Get], operation: str) -> None:
    """A denied inventory call is 403, and the backup list still answers."""
    with Sandbox(backups=20) as sandbox:
        sandbox.denied.add(operation)
        get = connect(sandbox)
        path = {"instances": INSTANCES, "policy": policy_path(sandbox.fleet.instances()[0]["id"])}
        assert get(path[operation]).json()["error_code"] == "DBS.280032"
        assert get().status_code == 200
