"""The verified read over real sockets, against the sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from support.clocks import InstantClock

from backup_frames.errors import AuthError, IncompleteReadError, QueryError
from backup_frames.frames.frames import BackupFrames
from backup_frames.read import reader
from backup_frames.read.one_liners import plan_read, read_backups, scan_backups
from backup_frames.sandbox import Fault, Sandbox
from backup_frames.sandbox.answers import refuse_call
from backup_frames.sandbox.faults import Asked
from backup_frames.scan.walks import walk
from backup_frames.settings import load_settings


def connection(box: Sandbox) -> dict[str, str]:
    return {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}


def ids_of(frames: BackupFrames) -> list[str]:
    return frames.arrow.backups["backup_id"].to_pylist()


@pytest.fixture(scope="module")
def still() -> Sandbox:
    with Sandbox(backups=3_000, seed=3) as box:
        yield box


def test_a_read_has_every_backup_of_both_levels_once(still: Sandbox) -> None:
    """The frames hold exactly the fleet, and the certificate says complete."""
    frames = read_backups(**connection(still))
    assert sorted(ids_of(frames)) == sorted(still.fleet.ids())
    assert frames.certificate is not None
    assert frames.certificate.verdict == "complete"
    assert frames.certificate.reasons == []
    assert frames.certificate.rows == len(still.fleet) == len(frames)


class SlowWire(httpx.HTTPTransport):
    """Each answer takes two seconds, and after so many the service refuses all."""

    def __init__(self, clock: InstantClock, answers: int) -> None:
        super().__init__()
        self.clock, self.left = clock, answers

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.clock.slept_s += 2
        self.left -= 1
        return super().handle_request(request) if self.left >= 0 else httpx.Response(403)


def slow_parts(still: Sandbox, monkeypatch, answers: int = 1_000) -> Iterator[BackupFrames]:
    monkeypatch.setattr(walk, "RANGE_PAGES", 5)  # as in a longer list
    clock = InstantClock()
    settings = load_settings(max_connections=1)
    wire = SlowWire(clock, answers)
    return scan_backups(**connection(still), settings=settings, clock=clock, transport=wire)


def test_a_slow_read_hands_out_what_it_has_every_few_seconds(still: Sandbox, monkeypatch) -> None:
    """Its rows come in many parts, not when 8 MB are there: what waits is lost if a run is killed."""
    parts = list(slow_parts(still, monkeypatch))
    assert len(parts) >= 4
    assert sorted(one for part in parts for one in ids_of(part)) == sorted(still.fleet.ids())


def test_a_read_that_fails_hands_out_what_it_found_before(still: Sandbox, monkeypatch) -> None:
    """Rows of finished ranges come before the error, be they far less than a part."""
    monkeypatch.setattr(reader, "PART_S", 1_000)
    parts = slow_parts(still, monkeypatch, 25)
    found = ids_of(next(parts))
    assert len(found) > 500
    assert set(found) < set(still.fleet.ids())
    with pytest.raises(AuthError):
        next(parts)


@pytest.mark.parametrize("level", ["Instance", "DatabaseTable"])
def test_one_level_alone_can_be_read(still: Sandbox, level: str) -> None:
    """A level asked for is the only one in the frames."""
    frames = read_backups(**connection(still), level=level)
    assert sorted(ids_of(frames)) == sorted(still.fleet.ids(level))
    assert set(frames.arrow.backups["backup_level"].to_pylist()) == {level}


@pytest.mark.parametrize(
    ("name", "field"), [("backup_type", "type"), ("instance_id", "instance_id")]
)
def test_filters_select_what_they_name(still: Sandbox, name: str, field: str) -> None:
    """A filter's frames are the fleet's records with that value."""
    value = still.fleet.records("Instance")[0][field]
    frames = read_backups(**connection(still), **{name: value})
    wanted = [record["id"] for record in still.fleet.records() if record[field] == value]
    assert sorted(ids_of(frames)) == sorted(wanted)


def test_begin_is_included_and_end_is_not(still: Sandbox) -> None:
    """A read of [begin, end) has the backups at begin and not those at end."""
    times = sorted({record["begin_time"] for record in still.fleet.records()})
    begin, end = times[len(times) // 3], times[len(times) // 2]
    frames = read_backups(**connection(still), begin=begin, end=end)
    wanted = [r["id"] for r in still.fleet.records() if begin <= r["begin_time"] < end]
    assert sorted(ids_of(frames)) == sorted(wanted)


def test_an_omitted_end_reads_up_to_the_newest(still: Sandbox) -> None:
    """With begin alone, everything from there on is read."""
    begin = still.clock.now() - timedelta(days=3)
    frames = read_backups(**connection(still), begin=begin)
    wanted = [
        record["id"]
        for record in still.fleet.records()
        if datetime.fromisoformat(record["begin_time"]) >= begin
    ]
    assert sorted(ids_of(frames)) == sorted(wanted)


def test_a_swapped_span_is_refused_before_any_request(still: Sandbox) -> None:
    """Begin after end is a QueryError, and the service is not asked."""
    before = still.request_count
    with pytest.raises(QueryError, match="swap"):
        read_backups(**connection(still), begin="2026-02-01", end="2026-01-01")
    assert still.request_count == before


def test_an_unknown_instance_reads_empty_typed_tables(still: Sandbox) -> None:
    """Nothing that matches is an empty, typed result with a complete verdict."""
    frames = read_backups(**connection(still), instance_id="0" * 32 + "in06")
    assert len(frames) == 0
    assert frames.backups["begin_time"].dt.tz is not None
    assert frames.certificate is not None
    assert frames.certificate.is_complete


def test_scanning_streams_the_same_backups(still: Sandbox) -> None:
    """The parts of a scan are disjoint and together are the read."""
    ids = [i for part in scan_backups(**connection(still)) for i in ids_of(part)]
    assert sorted(ids) == sorted(still.fleet.ids())


def test_a_plan_asks_one_count_per_level(still: Sandbox) -> None:
    """Planning tells rows and requests for two requests."""
    before = still.request_count
    plan = plan_read(**connection(still))
    assert still.request_count == before + 2
    assert sum(plan.rows.values()) == len(still.fleet)
    assert plan.requests >= len(still.fleet) / 100


@pytest.mark.parametrize("backups", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_full_read_costs_little_more_than_its_pages(backups: int) -> None:
    """A read of still backups takes at most 1.10 requests per 100 rows and 15 more."""
    with Sandbox(backups=backups, seed=5) as box:
        parts = list(scan_backups(**connection(box)))
        assert sum(map(len, parts)) == len(box.fleet)
        assert box.request_count <= 1.10 * len(box.fleet) / 100 + 15


def test_deletions_between_pages_lose_rows_for_the_sdk_and_none_for_us(tmp_path: Path) -> None:
    """With one deletion per page, the official SDK's offset loop loses rows; this reader does not."""
    gone: set[str] = set()

    def expire_the_newest(_: object) -> None:
        newest = box.fleet.ids("Instance")[0]
        if len(gone) < 15:
            box.fleet.delete(newest)
            gone.add(newest)

    with Sandbox(backups=2_000, seed=9) as box:
        box.on_request(expire_the_newest)
        frames = read_backups(**connection(box), level="Instance")
        assert set(box.fleet.ids("Instance")) <= set(ids_of(frames))
        assert len(gone) == 15

    gone.clear()
    with Sandbox(backups=2_000, seed=9) as box:
        box.on_request(expire_the_newest)
        script = Path(__file__).with_name("sdk_loop.py")
        environment = box.environment() | {"HOME": str(tmp_path)}  # the SDK writes there
        done = subprocess.run(
            [sys.executable, str(script)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        held = set(box.fleet.ids("Instance"))
        assert len(held - set(done.stdout.split())) >= 10


def test_what_cannot_be_proven_is_an_error_with_the_frames() -> None:
    """More backups in one second than filters tell apart: the frames come with the error."""
    second = "2026-01-05T00:00:00+0000"
    records = [
        {"id": f"{n:032x}br06", "instance_id": "one", "type": "Auto", "begin_time": second}
        for n in range(150)
    ]
    with Sandbox(records={"Instance": records}) as box:
        with pytest.raises(IncompleteReadError, match="filter") as caught:
            read_backups(**connection(box))
        assert caught.value.frames is not None
        assert len(caught.value.frames) == 150
        frames = read_backups(**connection(box), allow_incomplete=True)
        assert frames.certificate is not None
        assert frames.certificate.verdict == "incomplete"


@pytest.mark.parametrize(("row_count", "connections"), [(1, "8"), (100, "1")])
def test_a_count_that_no_page_bears_out_does_not_read_for_ever(
    row_count: int, connections: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows at every offset, and 10**18 of them promised: what came is there, unproven."""
    monkeypatch.setenv("BACKUP_FRAMES_MAX_CONNECTIONS", connections)
    rows = [{"id": f"b{n}", "begin_time": "2026-01-01T00:00:00Z"} for n in range(row_count)]
    content = json.dumps({"total_count": 10**18, "backups": rows})
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        assert len(asked) < 10_000
        return httpx.Response(200, text=content)

    with pytest.raises(IncompleteReadError, match="completeness is not proven") as caught:
        read_backups(
            endpoint="http://127.0.0.1:9",
            project_id="p",
            token="t",
            transport=httpx.MockTransport(answer),
        )
    assert caught.value.frames is not None
    assert sorted(ids_of(caught.value.frames)) == sorted(row["id"] for row in rows)
    assert any(
        "only rows that were read before" in one for one in caught.value.frames.certificate.reasons
    )


class NoCassandraHere(Fault):
    """A region whose service does not know every engine that others know."""

    def replace(self, asked: Asked, /) -> None:
        if asked.params.get("datastore_type") == "cassandra":
            raise refuse_call(400, "DBS.280235", "Invalid database type.")


def test_a_dense_second_is_read_where_a_filter_value_is_refused() -> None:
    """An engine the service does not know holds no rows; the count proves that none is missing."""
    records = [
        {
            "id": f"{n:032x}br12",
            "instance_id": f"{n % 3:032x}in12",
            "type": "Auto",
            "datastore": {"type": "redis", "version": "6"},
            "begin_time": "2026-01-05T00:00:00+0000",
        }
        for n in range(250)
    ]
    with Sandbox(records={"Instance": records}, faults=[NoCassandraHere()]) as box:
        assert len(read_backups(**connection(box))) == 250


def test_backups_without_begin_time_are_read() -> None:
    """Rows that no window of time shows are found by the closing witness."""
    records = [
        {"id": f"{n:032x}br06", "begin_time": f"2026-01-{n % 28 + 1:02d}T00:00:00+0000"}
        for n in range(250)
    ]
    records += [{"id": f"f{n:031x}br06", "begin_time": None} for n in range(5)]
    with Sandbox(records={"Instance": records}) as box:
        frames = read_backups(**connection(box))
    assert len(frames) == 255
    assert frames.arrow.backups["begin_time"].null_count == 5


def test_the_moment_of_the_read_is_told() -> None:
    """as_of is when the read began, on the caller's clock, in UTC."""
    with Sandbox(backups=50, seed=1) as box:
        frames = read_backups(**connection(box))
    assert frames.certificate is not None
    assert abs(datetime.now(UTC) - frames.certificate.as_of) < timedelta(minutes=5)
