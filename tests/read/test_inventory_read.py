"""Instances and policies as DataFrames, over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from support.inventory_lab import POLICY, instance, instance_id

import backup_frames as bf
from backup_frames.sandbox import EmptyOk, HtmlError, Sandbox, Status
from backup_frames.sandbox.faults import Cut

Record = dict[str, Any]


def connection(box: Sandbox) -> dict[str, Any]:
    return {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}


def many(count: int) -> list[Record]:
    return [instance(number) for number in range(count)]


def change_between_pages(box: Sandbox, change: Callable[[int], object]) -> None:
    """Call `change` with the number of the page before each page of instances is answered."""
    real, pages = box.fleet.instance_page, iter(range(1000))

    def page(**query: Any) -> Any:
        change(next(pages))
        return real(**query)

    box.fleet.instance_page = page  # type: ignore[method-assign]


def test_instances_are_those_of_the_estate() -> None:
    """Several pages: each instance once, with what plain Python reads from the records."""
    with Sandbox(backups=9000, seed=5) as box:
        frame = bf.read_instances(**connection(box))
        sent = {one["id"]: one for one in box.fleet.instances()}
    assert len(sent) > 100
    assert list(frame["instance_id"]) == sorted(sent)
    assert str(frame["node_count"].dtype) == "Int32"
    for row in frame.to_dict("records"):
        one = sent[row["instance_id"]]
        (group,) = one["groups"]
        assert row["project_id"] == box.project_id
        assert (row["instance_name"], row["mode"]) == (one["name"], one["mode"])
        assert row["datastore_type"] == one["datastore"]["type"]
        assert row["pay_mode"] == str(one["pay_mode"])
        assert row["node_count"] == len(group["nodes"])
        assert row["volume_size_gb"] == float(group["volume"]["size"])
        assert row["volume_used_gb"] == float(group["volume"]["used"])
        assert row["created_at"] == pd.Timestamp(one["created"], tz="UTC")


def test_policies_are_those_of_the_estate() -> None:
    """One row per instance, both ways of being off included."""
    with Sandbox(backups=3000, seed=5) as box:
        frame = bf.read_policies(**connection(box)).set_index("instance_id")
        sent = {one["id"]: box.fleet.policy(one["id"]) for one in box.fleet.instances()}
    assert set(frame.index) == set(sent)
    assert not frame["is_enabled"].all()
    for one, policy in sent.items():
        assert policy is not None
        row = frame.loc[one]
        assert row["is_enabled"] == (policy["keep_days"] > 0)
        assert row["keep_days"] == policy["keep_days"]
        if policy["keep_days"]:
            assert row["window_start"] == policy["start_time"][:5]
            assert row["period"] == policy["period"]


def test_no_instances() -> None:
    """An empty frame with all columns, for one request."""
    with Sandbox(records={}) as box:
        instances, asked = bf.read_instances(**connection(box)), box.request_count
        policies = bf.read_policies(**connection(box))
    assert (len(instances), len(policies), asked) == (0, 0, 1)
    assert "extra" in instances.columns
    assert "is_enabled" in policies.columns


def test_a_page_of_instances_costs_one_request_and_more_cost_two_passes() -> None:
    """100 instances are one atomic answer; 101 are two pages, read until two passes agree."""
    for count, cost in ((100, 1), (101, 4)):
        with Sandbox(records={}, instances=many(count)) as box:
            assert len(bf.read_instances(**connection(box))) == count
            assert box.request_count == cost


def test_a_deletion_between_pages_loses_no_instance() -> None:
    """The list moves up while it is read: plain paging would miss an instance."""
    with Sandbox(records={}, instances=many(250)) as box:
        change_between_pages(
            box, lambda page: page == 1 and box.fleet.delete_instance(instance_id(0))
        )
        frame = bf.read_instances(**connection(box))
    assert list(frame["instance_id"]) == [instance_id(number) for number in range(1, 250)]


def test_a_list_that_never_stands_still_is_not_called_complete() -> None:
    """After a bounded number of passes the read says that it cannot be proven."""
    with Sandbox(records={}, instances=many(300)) as box:
        change_between_pages(box, lambda page: box.fleet.delete_instance(instance_id(page)))
        with pytest.raises(bf.IncompleteReadError, match="changed with every pass"):
            bf.read_instances(**connection(box))
        assert box.request_count <= 5 * 3


@pytest.mark.parametrize("operation", ["instances", "policy"])
def test_a_missing_permission_is_an_error(operation: str) -> None:
    """Asked for alone, there is nothing else to give; and it is not asked again and again."""
    with Sandbox(records={}, instances=many(50)) as box:
        box.denied.add(operation)
        with pytest.raises(bf.AuthError):
            bf.read_policies(**connection(box))
        assert box.request_count <= 4


@pytest.mark.parametrize("fault", [HtmlError, Cut, EmptyOk])
@pytest.mark.parametrize("operation", ["instances", "policy"])
def test_a_spoilt_answer_is_asked_again(operation: str, fault: Any) -> None:
    """HTML, half a body, none: the next answer counts."""
    with Sandbox(records={}, instances=many(3), policies={instance_id(0): POLICY}) as box:
        box.faults.append(fault(on=operation, times=1))
        frame = bf.read_policies(**connection(box))
    assert list(frame["is_enabled"]) == [True, False, False]


def test_a_policy_that_is_empty_twice_is_off() -> None:
    """The manual's empty body means that automated backups are off."""
    with Sandbox(records={}, instances=many(1), policies={instance_id(0): POLICY}) as box:
        box.faults.append(EmptyOk(on="policy"))
        frame = bf.read_policies(**connection(box))
    assert list(frame["is_enabled"]) == [False]


def test_an_unknown_instance_has_no_policy() -> None:
    """It has no row; the others have."""
    ids = [instance_id(7), instance_id(0), instance_id(1)]
    with Sandbox(records={}, instances=many(2)) as box:
        frame = bf.read_policies(ids, **connection(box))
    assert list(frame["instance_id"]) == [instance_id(0), instance_id(1)]


@pytest.mark.parametrize("hostile", ["../../v3/x", "a/b", "a?b=c", "ü", "x" * 65])
def test_a_hostile_id_is_never_part_of_a_path(hostile: str) -> None:
    """Ids come from the service's answer: strange ones are refused before they become a URL."""
    with Sandbox(records={}, instances=many(1)) as box:
        with pytest.raises(bf.SchemaError):
            bf.read_policies([hostile], **connection(box))
        assert box.request_count == 0


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"instances": []},
        {"instances": {}, "total_count": 0},
        {"instances": [], "total_count": "0"},
        {"instances": [], "total_count": -1},
        {"instances": [{"name": "x"}], "total_count": 1},
        {"instances": [{"id": None}], "total_count": 1},
        {"instances": [], "total_count": 10**9},
    ],
)
def test_what_is_no_list_of_instances_is_refused(body: Any) -> None:
    """Never taken for an empty list."""
    with Sandbox(records={}) as box:
        box.faults.append(Status(on="instances", status=200, body=body))
        with pytest.raises(bf.SchemaError):
            bf.read_instances(**connection(box))


@pytest.mark.parametrize("body", [[], {"error_code": "x"}, {"backup_policy": []}, "off"])
def test_what_is_no_policy_is_refused(body: Any) -> None:
    """Only the forms that mean so count as switched off."""
    with Sandbox(records={}, instances=many(1)) as box:
        box.faults.append(Status(on="policy", status=200, body=body))
        with pytest.raises(bf.SchemaError):
            bf.read_policies(**connection(box))


@pytest.mark.parametrize("body", [{}, {"backup_policy": None}, {"backup_policy": {}}])
def test_what_means_switched_off(body: Any) -> None:
    """An empty object, an empty policy, none."""
    with Sandbox(records={}, instances=many(1)) as box:
        box.faults.append(Status(on="policy", status=200, body=body))
        assert not bf.read_policies(**connection(box))["is_enabled"].any()


def test_a_claim_of_more_rows_than_come_is_not_believed() -> None:
    """A first page shorter than its total proves nothing."""
    body = {"instances": [{"id": "a"}], "total_count": 2}
    with Sandbox(records={}) as box:
        box.faults.append(Status(on="instances", status=200, body=body))
        with pytest.raises(bf.IncompleteReadError):
            bf.read_instances(**connection(box))


def test_values_that_json_libraries_refuse_stop_no_inventory() -> None:
    """Half a surrogate pair, 1e400 and a number of 5,000 digits come as text; the read goes on."""
    body = f'{{"id": "a", "name": "\\ud800", "x": 1e400, "pay_mode": {"9" * 5000}}}'
    page = f'{{"instances": [{body}], "total_count": 1}}'.encode()
    with Sandbox(records={}) as box:
        box.faults.append(Status(on="instances", status=200, body=page))
        (row,) = bf.read_instances(**connection(box)).to_dict("records")
    assert (row["instance_name"], row["pay_mode"]) == ("\ufffd", "9" * 5000)
    assert row["extra"] == '{"x":"1e400"}'
