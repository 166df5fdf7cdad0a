"""Records whose types drift become rows, and what no column carries stays in ``extra``."""

from __future__ import annotations

import copy
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_frames.frames.inventory_rows import (
    INSTANCE_ROWS,
    POLICY_ROWS,
    flatten_instances,
    flatten_policies,
    upgrade_policies,
)
from backup_frames.frames.schema import BACKUP_POLICIES, as_written

Record = dict[str, Any]
POLICY = {"keep_days": 7, "start_time": "19:00-20:00", "period": "1"}

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
number = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
leaf = st.none() | st.booleans() | number | text
anything = st.recursive(
    leaf, lambda one: st.lists(one, max_size=3) | st.dictionaries(text, one, max_size=3)
)
numeric = st.integers(0, 10**6) | st.floats(0, 1e6)
sent_number = numeric | numeric.map(str)


def row_of(record: Record) -> Record:
    return flatten_instances([{"id": "a"} | record], project_id="p").to_pylist()[0]


def policy_of(policy: Record) -> Record:
    return flatten_policies({"a": policy}, project_id="p").to_pylist()[0]


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return good | good | anything


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": mostly(text),
            "status": mostly(text),
            "pay_mode": mostly(st.sampled_from(["0", "1", 0, 1])),
            "created": mostly(st.sampled_from(["2019-01-17T07:05:52", "", "soon"])),
            "datastore": mostly(st.just({"type": "redis", "version": 5, "whole_version": "5.0"})),
            "groups": anything,
            "ssl": anything,
            "time_zone": anything,
        },
    )
)
def test_no_field_is_lost_and_none_is_changed(record: Record) -> None:
    """Each field sent is in its column or, as sent, in extra; the record given stays as it is."""
    before = copy.deepcopy(record)
    row = row_of(record)
    assert record == before
    extra = json.loads(row["extra"] or "{}")
    columns = {"name": "instance_name"}
    for name in ("name", "status", "pay_mode", "time_zone"):
        sent, got = record.get(name), row[columns.get(name, name)]
        if name in extra:
            assert (extra[name], got) == (sent, None)
            assert isinstance(sent, bool | list | dict)
        else:
            assert got == (None if sent is None else str(sent))
            assert not isinstance(sent, bool)
    if record.get("created") is not None:
        is_read = row["created_at"] is not None or record["created"] == ""
        assert is_read != ("created" in extra)
    if "ssl" in record:
        assert extra["ssl"] == record["ssl"]
    if "datastore" not in extra:
        assert not record.get("datastore") or row["datastore_type"] or row["datastore_version"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"nodes": st.lists(st.just({}), max_size=3)},
            optional={
                "volume": st.fixed_dictionaries({}, optional={"size": sent_number, "used": numeric})
            },
        ),
        min_size=1,
        max_size=3,
    )
)
def test_storage_and_nodes_are_summed_over_the_groups(groups: list[Record]) -> None:
    """Numbers as text or as numbers, groups as a list or one object: the same sums."""
    row = row_of({"groups": groups})
    assert row["node_count"] == sum(len(group["nodes"]) for group in groups)
    for name, column in (("size", "volume_size_gb"), ("used", "volume_used_gb")):
        sent = [group.get("volume", {}).get(name) for group in groups]
        known = [float(value) for value in sent if value is not None]
        assert row[column] == (pytest.approx(sum(known)) if known else None)
    if len(groups) == 1:
        alone = row_of({"groups": groups[0]})
        assert {**alone, "extra": None} == {**row, "extra": None}


@pytest.mark.parametrize("size", ["100GB", "NaN", "inf", "1_000", True, [100], "1e999", "٣"])
def test_storage_that_is_no_number_is_null_and_kept(size: object) -> None:
    """One group's strange value makes the sum unknown; every value stays as sent."""
    groups = [{"volume": {"size": 100, "used": 1}}, {"volume": {"size": size, "used": 2}}]
    row = row_of({"groups": groups})
    assert (row["volume_size_gb"], row["volume_used_gb"]) == (None, 3.0)
    assert json.loads(row["extra"]) == {
        "groups": [{"volume": {"size": 100}}, {"volume": {"size": size}}]
    }


def test_an_ordinary_instance() -> None:
    """Every column has its value, and extra what is left."""
    row = row_of(
        {
            "name": "orders",
            "status": "normal",
            "mode": "Cluster",
            "region": "eu-west-101",
            "datastore": {"type": "cassandra", "version": "3.11", "patch_available": False},
            "created": "2019-01-17T07:05:52",
            "groups": [{"id": "g", "volume": {"size": "500", "used": "0.25"}, "nodes": [{}, {}]}],
            "pay_mode": 0,
            "enterprise_project_id": "0",
            "time_zone": "",
            "port": "8635",
        }
    )
    assert row.pop("created_at").isoformat() == "2019-01-17T07:05:52+00:00"
    assert json.loads(row.pop("extra")) == {
        "datastore": {"patch_available": False},
        "groups": [{"id": "g", "nodes": [{}, {}]}],
        "port": "8635",
    }
    assert row == {
        "project_id": "p",
        "instance_id": "a",
        "instance_name": "orders",
        "status": "normal",
        "mode": "Cluster",
        "region": "eu-west-101",
        "datastore_type": "cassandra",
        "datastore_version": "3.11",
        "volume_size_gb": 500.0,
        "volume_used_gb": 0.25,
        "node_count": 2,
        "pay_mode": "0",
        "enterprise_project_id": "0",
        "time_zone": "",
    }


def test_no_instances_are_an_empty_table() -> None:
    """All columns, typed, without a row."""
    assert flatten_instances([], project_id="p").schema == INSTANCE_ROWS
    assert flatten_policies({}, project_id="p").schema == POLICY_ROWS


def test_the_order_sent_does_not_matter() -> None:
    """Rows are sorted, and names within extra."""
    records = [{"id": "b", "x": 1, "y": {"p": 1, "q": 2}}, {"id": "a"}]
    turned = [{"id": "a"}, {"y": {"q": 2, "p": 1}, "x": 1, "id": "b"}]
    assert flatten_instances(records, project_id="p").equals(
        flatten_instances(turned, project_id="p")
    )


@pytest.mark.parametrize(
    ("policy", "is_enabled", "keep_days"),
    [
        ({"keep_days": 7, "start_time": "19:00-20:00", "period": "1"}, True, 7),
        ({"keep_days": "7", "start_time": "19:00-20:00"}, True, 7),
        ({"keep_days": 7.0, "start_time": "19:00-20:00"}, True, 7),
        ({"keep_days": 0}, False, 0),
        ({"keep_days": 0, "start_time": "", "period": ""}, False, 0),
        ({"keep_days": "", "start_time": "", "period": ""}, False, None),
        ({"keep_days": 7, "start_time": " ", "period": ""}, False, 7),
        ({"keep_days": None, "start_time": None}, False, None),
        ({"keep_days": True, "start_time": "19:00-20:00"}, False, None),
        ({"keep_days": "a week", "start_time": "19:00-20:00"}, False, None),
        ({"keep_days": 2**31, "start_time": "19:00-20:00"}, False, None),
        ({"keep_days": -1, "start_time": "19:00-20:00"}, False, -1),
        ({}, False, None),
    ],
)
def test_when_a_policy_is_on(policy: Record, is_enabled: bool, keep_days: int | None) -> None:
    """Days above 0 and a start time; every other form is off, and nothing readable is dropped."""
    row = policy_of(policy)
    assert (row["is_enabled"], row["keep_days"]) == (is_enabled, keep_days)
    has_kept_days = "keep_days" in json.loads(row["extra"] or "{}")
    assert has_kept_days == (keep_days is None and policy.get("keep_days") not in (None, ""))


@pytest.mark.parametrize(
    ("sent", "minutes"),
    [
        ("5", 5),
        (15, 15),
        ("0", 0),
        (0, 0),
        ("120.0", 120),
        (None, None),
        ("", None),
        ("hourly", None),
        (True, None),
        ("5.5", None),
        (["5"], None),
    ],
)
def test_minutes_between_increments(sent: object, minutes: int | None) -> None:
    """Text or number; null where the policy does not say; what is no number stays as sent."""
    row = policy_of(POLICY | {"incremental_period": sent})
    assert row["incremental_period_min"] == minutes
    kept = json.loads(row["extra"] or "{}")
    is_odd = minutes is None and sent not in (None, "")
    assert kept == ({"incremental_period": sent} if is_odd else {})
    assert policy_of(POLICY)["incremental_period_min"] is None


@pytest.mark.parametrize("sent", ["5", None, "hourly", "absent"])
def test_policies_of_an_earlier_version_look_as_if_read_anew(sent: str | None) -> None:
    """What it left in extra comes into the column, so that no policy seems to have changed."""
    policy = POLICY | {"differential_period": "0"}
    policy |= {} if sent == "absent" else {"incremental_period": sent}
    history = {"first_seen_at": None, "updated_at": None, "gone_at": None}
    fresh = policy_of(policy)
    unread = {name: value for name, value in policy.items() if name not in POLICY}
    row = fresh | history | {"extra": json.dumps(unread), "project_id": "p", "instance_id": "a"}
    old = pa.Table.from_pylist([row], as_written(BACKUP_POLICIES, []))
    assert "incremental_period_min" not in old.column_names
    (found,) = upgrade_policies(old).to_pylist()
    assert found == row | fresh
    assert upgrade_policies(old).schema.equals(BACKUP_POLICIES)
    assert upgrade_policies(upgrade_policies(old)).equals(upgrade_policies(old))


@pytest.mark.parametrize(
    ("sent", "start"),
    [
        ("19:00-20:00", "19:00"),
        ("9:30-10:30", "09:30"),
        ("00:00", "00:00"),
        ("23:00:00-00:00:00", "23:00"),
        ("24:00-01:00", None),
        ("19:60-20:60", None),
        ("night", None),
        ("", None),
    ],
)
def test_the_window_starts_at_a_time_of_day(sent: str, start: str | None) -> None:
    """Two digits each; null where it is none; the text as sent stays beside it."""
    row = policy_of({"keep_days": 1, "start_time": sent})
    assert (row["window_start"], row["start_time"]) == (start, sent)


@given(st.dictionaries(st.sampled_from(["keep_days", "start_time", "period", "x"]), anything))
def test_any_policy_is_read(policy: Record) -> None:
    """Whatever is sent gives a row; a field without column, or of a strange type, is in extra."""
    row = policy_of(policy)
    extra = json.loads(row["extra"] or "{}")
    if "x" in policy:
        assert extra["x"] == policy["x"]
    for name in ("keep_days", "start_time", "period"):
        is_blank = policy.get(name) is None or not str(policy[name]).strip()
        assert is_blank or row[name] is not None or name in extra or policy[name] == []
    assert not row["is_enabled"] or row["keep_days"] > 0


def test_days_of_the_week_as_a_list() -> None:
    """A list says the same as the text with commas."""
    assert policy_of({"period": [1, 3, "5"]})["period"] == "1,3,5"
