"""Switches: each lets the service mean by a parameter what its name says, seen over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from backup_frames.sandbox import Dialect, Sandbox, WindowLimit

Get = Callable[..., httpx.Response]
Connect = Callable[[Sandbox], Get]


def made(backup_id: str, begin: str, end: str | None, **fields: Any) -> dict[str, Any]:
    begin, end = (text and f"2026-01-{text}+0000" for text in (begin, end))
    kinds = {"type": "Auto", "instance_id": "i1", "datastore": {"type": "redis"}}
    return {"id": backup_id, "begin_time": begin, "end_time": end, **kinds, **fields}


# Each row lies so that one meaning more of the window below holds it or leaves it out.
RECORDS = {
    "Instance": [
        made("running", "20T11:30:00", None),
        made("over the end", "20T11:30:00", "20T12:30:00"),
        made("at the end", "20T11:59:40", "20T12:00:00"),
        made("inside", "20T10:30:00", "20T10:40:00"),
        made("at the begin", "20T10:00:20", "20T10:20:00"),
        made("before the begin", "20T10:00:00", "20T10:10:00"),
        made("over the begin", "20T09:59:50", "20T10:30:00"),
        made("8 hours before", "20T03:00:00", "20T03:10:00"),
        made("at midnight", "20T00:00:00", "20T00:10:00"),
    ],
    "DatabaseTable": [made("table", "20T10:30:00", "20T10:40:00", type="Manual")],
}
WINDOW = {"begin_time": "2026-01-20T10:00:20+0000", "end_time": "2026-01-20T12:00:10+0000"}


def ids(response: httpx.Response) -> set[str]:
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["total_count"] >= len(answer["backups"])
    return {record["id"] for record in answer["backups"]}


@pytest.mark.parametrize(
    ("meaning", "held"),
    [
        ("begin", {"running", "over the end", "at the end", "inside", "at the begin"}),
        ("inside", {"at the end", "inside", "at the begin"}),
        ("end", {"at the end", "inside", "at the begin", "before the begin", "over the begin"}),
        (
            "created",
            {"running", "over the end", "inside", "at the begin"}
            | {"before the begin", "over the begin"},
        ),
        ("zone", {"8 hours before"}),
        ("day", {"at midnight"}),
        (
            "minute",
            {"running", "over the end", "at the end", "inside", "at the begin"}
            | {"before the begin"},
        ),
        ("ignored", {record["id"] for record in RECORDS["Instance"]}),
    ],
)
def test_a_window_of_times_selects_what_it_means(
    connect: Connect, meaning: str, held: set[str]
) -> None:
    """Each meaning of the window holds the rows of that meaning, and no other."""
    with Sandbox(records=RECORDS, time_filter=meaning) as box:
        assert ids(connect(box)(**WINDOW)) == held


def test_a_zone_that_is_not_read_is_the_services_own(connect: Connect) -> None:
    """Times in +0800 are understood where zones are not read; in another they are hours off."""
    own = {"begin_time": "2026-01-20T11:00:00+0800", "end_time": "2026-01-20T11:00:00+0800"}
    with Sandbox(records=RECORDS, time_filter="zone") as box:
        assert ids(connect(box)(**own)) == {"8 hours before"}


def test_pages_and_counts_follow_the_meaning(connect: Connect) -> None:
    """Counts are those of all rows that match, and pages put together are these rows."""
    with Sandbox(records=RECORDS, time_filter="end") as box:
        get = connect(box)
        pages = [get(**WINDOW, limit=2, offset=offset) for offset in (0, 2, 4)]
        assert [page.json()["total_count"] for page in pages] == [5, 5, 5]
        assert set().union(*map(ids, pages)) == ids(get(**WINDOW))


def test_ignored_levels_list_everything_at_both(connect: Connect) -> None:
    """Whatever `type` says, both levels come, newest first; filters and windows count as ever."""
    with Sandbox(records=RECORDS, levels="ignored") as box:
        get = connect(box)
        both = {record["id"] for level in RECORDS.values() for record in level}
        for level in ("Instance", "DatabaseTable"):
            answer = get(type=level)
            assert ids(answer) == both
            begins = [record["begin_time"] for record in answer.json()["backups"]]
            assert begins == sorted(begins, reverse=True)
            assert ids(get(type=level, backup_id="table")) == {"table"}
            assert ids(get(type=level, backup_type="Manual")) == {"table"}
            assert {"table", "inside"} < ids(get(type=level, **WINDOW))


@pytest.mark.parametrize("mode", ["refusing", "silent"])
def test_a_window_that_is_too_wide(connect: Connect, mode: str) -> None:
    """It is refused, or its oldest part left out; one as wide as allowed, or none, is not."""
    wide = {"begin_time": "2026-01-19T23:59:59+0000", "end_time": "2026-01-20T12:00:00+0000"}
    with Sandbox(records=RECORDS, window_cap_days=0.5, window_cap=mode) as box:
        get = connect(box)
        narrow = {**wide, "begin_time": "2026-01-20T00:00:00+0000"}
        assert len(ids(get(**narrow))) == len(ids(get())) == 9
        if mode == "silent":
            late = {**wide, "end_time": "2026-01-20T12:00:01+0000"}
            assert len(ids(get(**wide))) == 9
            assert ids(get()) - ids(get(**late)) == {"at midnight"}
        else:
            answer = get(**wide)
            assert (answer.status_code, answer.json()["error_code"]) == (400, "DBS.201215")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instance_id", "i2"),
        ("backup_id", "nowhere"),
        ("backup_type", "Manual"),
        ("datastore_type", "mongodb"),
    ],
)
def test_an_ignored_filter_does_not_count(connect: Connect, name: str, value: str) -> None:
    """The list is that without it; the other filters select as ever."""
    with Sandbox(records=RECORDS, ignored_filter=name) as box:
        get = connect(box)
        assert ids(get(**{name: value})) == ids(get())
        other = "instance_id" if name != "instance_id" else "backup_id"
        assert ids(get(**{name: value, other: "nothing"})) == set()


def test_filters_compare_by_case_as_told(connect: Connect) -> None:
    """Exactly; without regard to case; or asking for upper case, which our rows do not have."""
    records = {
        "Instance": [
            made("lower", "20T10:00:00", None),
            made("upper", "20T11:00:00", None, type="AUTO", datastore={"type": "REDIS"}),
            made("other", "20T12:00:00", None, type="MANUAL", datastore={"type": "Mongodb"}),
            made("none", "20T13:00:00", None, type=None, datastore=None),
        ]
    }
    redis = {"datastore_type": "redis", "backup_type": "Auto"}
    held = {"exact": {"lower"}, "ignored": {"lower", "upper"}, "upper": {"upper"}}
    for case, expected in held.items():
        with Sandbox(records=records, filter_case=case) as box:
            get = connect(box)
            assert ids(get(**redis)) == ids(get(**redis, instance_id="i1")) == expected
            assert ids(get(**redis, backup_id="other")) == set()


def test_a_page_never_has_more_than_the_cap(connect: Connect) -> None:
    """A limit above the cap gives fewer rows without a word; one below it is kept."""
    with Sandbox(records=RECORDS, limit_cap=4) as box:
        get = connect(box)
        pages = {limit: get(limit=limit).json() for limit in (100, 5, 4, 3)}
    assert [len(page["backups"]) for page in pages.values()] == [4, 4, 4, 3]
    assert {page["total_count"] for page in pages.values()} == {9}


def test_a_switch_can_be_set_while_it_serves(connect: Connect) -> None:
    """A switch adds to a dialect that is given, and another dialect counts from the next call."""
    with Sandbox(records=RECORDS, dialect=Dialect(limit_cap=3), levels="ignored") as box:
        get = connect(box)
        assert box.dialect == Dialect(limit_cap=3, levels="ignored")
        assert get().json()["total_count"] == 10
        box.dialect = Dialect()
        assert len(ids(get())) == 9


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_filter", "start"),
        ("levels", "both"),
        ("window_cap", "loud"),
        ("ignored_filter", "limit"),
        ("filter_case", "lower"),
        ("window_cap_days", 0),
        ("limit_cap", -1),
    ],
)
def test_a_switch_without_meaning_is_refused(name: str, value: object) -> None:
    """The error names the switch and the value."""
    with pytest.raises(ValueError, match=f"{name} .*{value}"):
        Sandbox(backups=0, **{name: value})


def test_the_fault_of_wide_windows_stands_beside_the_switches(connect: Connect) -> None:
    """It reads windows as asked, whatever they mean."""
    with Sandbox(records=RECORDS, faults=[WindowLimit(days=1)], time_filter="day") as box:
        assert connect(box)(**WINDOW).status_code == 200
