"""The backup list: parameters, filters, pages, and the records exactly as they were given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup_frames.sandbox import Dialect, Sandbox
from backup_frames.sandbox.world.index import BackupIndex, ListQuery, Row

Get = Callable[..., httpx.Response]
DAY = {"begin_time": "2026-01-20T00:00:00+0000", "end_time": "2026-01-21T00:00:00+0000"}


def made(backup_id: str, begin: str | None, **fields: Any) -> dict[str, Any]:
    return {"id": backup_id, "begin_time": begin, "type": "Auto", **fields}


def ids(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [record["id"] for record in response.json()["backups"]]


def read_all(get: Get, limit: int = 100, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        answer = get(limit=limit, offset=len(found), **params).json()
        found += answer["backups"]
        if len(found) >= answer["total_count"]:
            return found


@pytest.mark.parametrize("level", ["Instance", "DatabaseTable"])
def test_pages_put_together_are_the_fleet(still: Sandbox, get: Get, level: str) -> None:
    """Offset paging over a still fleet gives every record of a level once, newest first."""
    records = read_all(get, limit=37, type=level)
    assert records == still.fleet.records(level)
    begins = [record["begin_time"] for record in records]
    assert begins == sorted(begins, reverse=True)


def test_defaults_are_instance_level_and_a_hundred(still: Sandbox, get: Get) -> None:
    """Without parameters come the 100 newest instance-level backups, counted over all."""
    answer = get().json()
    assert answer["backups"] == still.fleet.records("Instance")[:100]
    assert answer["total_count"] == len(still.fleet.records("Instance"))


def test_v4_serves_the_same_list(get: Get) -> None:
    """The v4 path has the same data."""
    assert get("/v4/{project}/backups", limit=7).json() == get(limit=7).json()


def test_past_the_end_is_an_empty_list(get: Get) -> None:
    """An offset past the end is 200 with an empty array and the full count."""
    answer = get(offset=10**6).json()
    assert answer["backups"] == []
    assert answer["total_count"] > 0


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "ten"},
        {"limit": ""},
        {"limit": "1e1"},
        {"offset": -1},
        {"offset": "x"},
        {"type": "instance"},
        {"type": ""},
        {"backup_type": "auto"},
        {"backup_type": "Incremental"},
        {"datastore_type": "mysql"},
        {"begin_time": "2026-01-20T00:00:00+0000"},
        {"end_time": "2026-01-20T00:00:00+0000"},
        {**DAY, "end_time": "2026-01-19T00:00:00+0000"},
        {**DAY, "begin_time": "2026-01-20 00:00:00"},
        {**DAY, "begin_time": "2026-01-20"},
        {**DAY, "begin_time": "2026-01-20T00:00:00Z"},
        {**DAY, "begin_time": "2026-02-31T00:00:00+0000"},
        {**DAY, "begin_time": "2026-01-20T00:00:00.5+0000"},
    ],
)
def test_bad_values_are_refused(get: Get, params: dict[str, Any]) -> None:
    """A value outside the reference page is 400 DBS.200001 in the service's shape."""
    response = get(**params)
    assert response.status_code == 400
    assert response.json() == {"error_code": "DBS.200001", "error_msg": "Parameter error."}


def test_a_raw_plus_is_a_space(still: Sandbox, connect: Callable[[Sandbox], Get]) -> None:
    """An unescaped + is refused, or understood where the dialect says so."""
    query = "?begin_time=2026-01-20T00:00:00+0000&end_time=2026-01-21T00:00:00+0000"
    assert connect(still)("/v3.1/{project}/backups" + query).status_code in (200, 400)
    raw = f"{still.endpoint}/v3.1/{still.project_id}/backups{query}"
    assert httpx.get(raw, headers={"X-Auth-Token": still.token}).status_code == 400
    with Sandbox(backups=20, dialect=Dialect(is_plus_lenient=True)) as lenient:
        raw = f"{lenient.endpoint}/v3.1/{lenient.project_id}/backups{query}"
        assert httpx.get(raw, headers={"X-Auth-Token": lenient.token}).status_code == 200


@pytest.mark.parametrize(
    "params",
    [
        {"datastore_type": "redis"},
        {"backup_type": "Manual"},
        {"datastore_type": "cassandra", "backup_type": "Auto"},
        {**DAY, "datastore_type": "influxdb"},
        {**DAY, "backup_type": "Auto"},
        DAY,
        {"type": "DatabaseTable", "backup_type": "Manual"},
    ],
)
def test_filters_select_what_a_scan_selects(
    still: Sandbox, get: Get, params: dict[str, Any]
) -> None:
    """A filtered list equals the records that pass the same filter by hand."""

    def passes(record: dict[str, Any]) -> bool:
        return (
            params.get("datastore_type") in (None, record["datastore"]["type"])
            and params.get("backup_type") in (None, record["type"])
            and params.get("begin_time", "") <= record["begin_time"]
            and record["begin_time"] <= params.get("end_time", "9")
        )

    expected = [r for r in still.fleet.records(params.get("type", "Instance")) if passes(r)]
    assert expected
    assert read_all(get, **params) == expected


def test_ids_select_one_instance_or_backup(still: Sandbox, get: Get) -> None:
    """instance_id and backup_id select their rows; unknown ids and the other level select none."""
    record = still.fleet.records("DatabaseTable")[3]
    of_instance = [
        r for r in still.fleet.records("DatabaseTable") if r["instance_id"] == record["instance_id"]
    ]
    assert read_all(get, type="DatabaseTable", instance_id=record["instance_id"]) == of_instance
    assert ids(get(type="DatabaseTable", backup_id=record["id"])) == [record["id"]]
    assert ids(get(backup_id=record["id"])) == []
    assert ids(get(backup_id="0" * 32 + "br06")) == []
    assert ids(get(instance_id="0" * 32 + "in06")) == []
    manual = [r["id"] for r in of_instance if r["type"] == "Manual"]
    asked = {"type": "DatabaseTable", "instance_id": record["instance_id"]}
    assert ids(get(**asked, backup_type="Manual")) == manual


@pytest.mark.parametrize(("is_begin_in", "is_end_in"), [(True, True), (True, False), (False, True)])
def test_window_ends_follow_the_dialect(
    connect: Callable[[Sandbox], Get], is_begin_in: bool, is_end_in: bool
) -> None:
    """Rows exactly at the ends of the window are in or out as the dialect says."""
    rows = [made(name, f"2026-01-20T0{name}:00:00+0000") for name in "321"]
    dialect = Dialect(is_begin_inclusive=is_begin_in, is_end_inclusive=is_end_in)
    with Sandbox(records={"Instance": rows}, dialect=dialect) as sandbox:
        window = {
            "begin_time": "2026-01-20T09:00:00+0800",
            "end_time": "2026-01-20T03:00:00+0000",
        }
        expected = ["3"] * is_end_in + ["2"] + ["1"] * is_begin_in
        assert ids(connect(sandbox)(**window)) == expected


def test_given_records_come_as_they_are(connect: Callable[[Sandbox], Get]) -> None:
    """Times of every shape sort right, unknown fields and nulls stay, no begin time comes last."""
    records = [
        made("z", "2026-01-20T03:00:00Z", surprise={"a": [1, None]}, size=None),
        made("d", "2026-01-20 02:30:00"),
        made("c", "2026-01-20T10:00:00+0800", description="\ud800 lone"),
        made("t1", "2026-01-20T01:00:00+0000"),
        made("t2", "2026-01-20T01:00:00"),
        {"id": "n", "begin_time": None, "database_tables": []},
        {"size": 3},
    ]
    with Sandbox(records={"Instance": records}) as sandbox:
        get = connect(sandbox)
        answer = get().json()
        assert answer["total_count"] == 7
        assert answer["backups"][:6] == records[:6]
        assert answer["backups"] == sandbox.fleet.records()
        wide = {"begin_time": "1970-01-01T00:00:00+0000", "end_time": "2099-01-01T00:00:00+0000"}
        assert get(**wide).json()["total_count"] == 5


def test_changes_between_pages_show_at_once(connect: Callable[[Sandbox], Get]) -> None:
    """Hooks run before each list request; adding, updating and deleting show in that answer."""
    records = [made(f"b{n:02d}", f"2026-01-20T00:00:{59 - n:02d}+0000") for n in range(20)]
    with Sandbox(records={"Instance": records}) as sandbox:
        get = connect(sandbox)
        sandbox.on_request(
            lambda asked: asked.params["offset"] == "10" and sandbox.fleet.delete("b03")
        )
        first, second = ids(get(limit=10, offset=0)), ids(get(limit=10, offset=10))
        assert first[-1] == "b09"
        assert second[0] == "b11"  # b10 slipped onto the first page: nobody saw it
        sandbox.fleet.add(made("new", "2026-01-21T00:00:00+0000"))
        sandbox.fleet.update("b05", status="COMPLETED", begin_time="2026-01-22T00:00:00+0000")
        sandbox.fleet.update("b07", description="still in its place")
        assert ids(get(limit=3, offset=0)) == ["b05", "new", "b00"]
        assert [record["id"] for record in sandbox.fleet.records()].index("b07") == 7
        with pytest.raises(ValueError, match="new is there already"):
            sandbox.fleet.add(made("new", None))


def test_a_hook_that_fails_fails_the_test(connect: Callable[[Sandbox], Get]) -> None:
    """What a hook raises in the server's thread is raised when the sandbox is left."""
    sandbox = Sandbox(backups=5)
    sandbox.on_request(lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError), sandbox:
        connect(sandbox)()


_MOMENTS = st.one_of(st.none(), st.integers(0, 40))
_ROWS = st.lists(
    st.tuples(_MOMENTS, st.sampled_from("rc"), st.sampled_from(["Auto", "Manual"])), max_size=40
)


@settings(max_examples=50)
@given(
    rows=_ROWS,
    removed=st.sets(st.integers(0, 39)),
    window=st.tuples(_MOMENTS, _MOMENTS),
    limit=st.integers(1, 12),
    offset=st.integers(0, 45),
    engine=st.sampled_from([None, "r"]),
)
def test_shelves_answer_like_a_plain_list(
    rows: list[tuple[int | None, str, str]],
    removed: set[int],
    window: tuple[int | None, int | None],
    limit: int,
    offset: int,
    engine: str | None,
) -> None:
    """For all rows, removals and questions: count and page equal those of a sorted plain list."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    index, plain = BackupIndex(), []
    for number, (second, kind, backup_type) in enumerate(rows):
        begin = None if second is None else (start + timedelta(seconds=second)).isoformat()
        record = made(str(number), begin, datastore={"type": kind})
        row = Row({**record, "type": backup_type}, "Instance")
        index.insert(row)
        plain.append((-1 if second is None else second, number, kind, row))
    gone = [entry for entry in plain if entry[1] in removed]
    index.remove([entry[3] for entry in gone])
    low, high = window
    is_windowed = low is not None and high is not None
    plain = [
        entry
        for entry in sorted(plain, key=lambda entry: entry[:2], reverse=True)
        if entry not in gone
        and engine in (None, entry[2])
        and (not is_windowed or low <= entry[0] <= high)
    ]
    base = int(start.timestamp())
    query = ListQuery(
        engine=engine,
        begin_us=(base + low) * 10**6 if is_windowed else None,
        end_us=(base + high) * 10**6 if is_windowed else None,
        limit=limit,
        offset=offset,
    )
    expected = b",".join(entry[3].body for entry in plain[offset : offset + limit])
    assert index.page(query) == (len(plain), expected)
