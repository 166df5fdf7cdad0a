"""Reads at the edges: the calendar's ends, rows outside the range, values that are none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.edge_service import SETTINGS, EdgeService, read_ids

from backup_frames.lake.lake import open_lake
from backup_frames.read.one_liners import read_backups, scan_backups
from backup_frames.sync.one_project import sync_backups

MOMENTS = {
    "first": "0001-01-01T00:00:00Z",
    "roman": "0117-08-08T12:00:00+0000",
    "old": "1969-12-31T23:59:59Z",
    "now": "2026-01-31T00:00:00+0000",
    "later": "2200-01-01T00:00:00Z",
    "far": "2345-06-07T08:09:10Z",
    "last": "9999-12-31T23:59:59Z",
}
EDGES = [{"id": name, "begin_time": text, "status": "COMPLETED"} for name, text in MOMENTS.items()]
UNTIMED = {"id": "untimed", "status": "COMPLETED"}


@pytest.mark.parametrize("max_window_s", [None, 90 * 86400])
def test_the_whole_calendar_is_read(max_window_s: int | None) -> None:
    """Without bounds backups from the year 1 to 9999 are read, and those without time."""
    service = EdgeService(*EDGES, UNTIMED, max_window_s=max_window_s)
    assert read_ids(service) == [*MOMENTS, "untimed"]
    assert service.requests < 60


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ("0001-01-01", None, "first roman old now later far last"),
        (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), " ".join(MOMENTS)),
        (None, "0001-01-01T00:00:01", "first"),
        (None, "1970-01-01", "first roman old"),
        ("2200-01-01", None, "later far last"),
        ("9999-12-31T23:59:59", None, "last"),
        (None, "2200-01-01", "first roman old now"),
        ("0001-01-01", "0001-01-01", ""),
    ],
)
@pytest.mark.parametrize("untimed_in_windows", [False, True])
def test_a_range_holds_what_began_in_it(
    begin: str | datetime | None,
    end: str | datetime | None,
    expected: str,
    untimed_in_windows: bool,
) -> None:
    """With begin or end, backups of the range come, to its very ends, and none without time."""
    service = EdgeService(*EDGES, UNTIMED, untimed_in_windows=untimed_in_windows)
    assert read_ids(service, begin=begin, end=end) == expected.split()


def test_many_beyond_2200_are_read() -> None:
    """Hundreds of backups in the year 2500, more than pages hold, are read with and without begin."""
    rows = [
        {"id": f"{n:04}", "begin_time": f"2500-01-01T{n // 60:02}:{n % 60:02}:00Z"}
        for n in range(450)
    ]
    assert len(read_ids(EdgeService(*rows))) == 450
    assert len(read_ids(EdgeService(*rows), begin="2026-01-01")) == 450


def test_fractions_of_a_second_count() -> None:
    """A range that ends within a second leaves out what began later in it."""
    rows = [{"id": str(n), "begin_time": f"2026-01-31T00:00:00.{n}Z"} for n in (1, 5, 9)]
    at = "2026-01-31T00:00:00.5"
    assert read_ids(EdgeService(*rows), end=at) == ["1"]
    assert read_ids(EdgeService(*rows), begin=at) == ["5", "9"]


ODD = [
    {"id": "a", "begin_time": MOMENTS["now"], "end_time": "-"},
    {"id": "b", "begin_time": 1558928331, "status": 7},
    {"id": "c", "begin_time": "\x1b]0;x\x07", "x": float("inf")},
    {"id": "d", "begin_time": MOMENTS["now"], "size": -1, "database_tables": ["x"]},
]
NO_ODD_VALUES = [  # unknown fields may hold anything
    {"id": "e", "begin_time": MOMENTS["now"], "x": "\ud800"},
    {"id": "f", "begin_time": MOMENTS["now"], "\udfff": ["\\ud800", "\U0001f600"]},
    {"id": "g", "begin_time": MOMENTS["now"], "x": "5,000 digits"},
]


def test_odd_values_stop_no_read() -> None:
    """Healthy and odd rows come, complete; the certificate counts the values and names the first."""
    frames = read_backups(settings=SETTINGS, transport=EdgeService(*EDGES, *ODD))
    certificate = frames.certificate
    assert certificate is not None
    assert certificate.is_complete
    assert len(frames) == len(EDGES) + len(ODD)
    assert certificate.odd_value_count == 6
    assert certificate.first_odd_value is not None
    assert certificate.first_odd_value.keys() == {"backup_id", "field", "text"}
    assert certificate.odd_value_count == certificate.to_dict()["odd_value_count"]
    assert "odd values: 6" in certificate.to_text()
    assert "\x1b" not in certificate.to_text() + certificate.to_json() + certificate.warnings[0]
    records = {record["id"]: record for record in frames.records()}
    for sent in ODD:
        assert sent.items() <= records[sent["id"]].items()  # type: ignore[operator, index]


def test_texts_and_numbers_that_json_libraries_refuse_stop_no_read() -> None:
    """Halves of surrogate pairs in names and values, and numbers of 5,000 digits, are given back."""
    half = {"id": "h", "begin_time": MOMENTS["now"], "name": "\ud800" * 150}
    service = EdgeService(*EDGES, *NO_ODD_VALUES, half)
    frames = read_backups(settings=SETTINGS, transport=service)
    certificate = frames.certificate
    assert certificate is not None
    assert (certificate.is_complete, certificate.odd_value_count) == (True, 1)
    assert certificate.to_text().count("odd values") == 1
    assert certificate.first_odd_value is not None
    assert len(certificate.first_odd_value["text"]) == 200
    records = {record["id"]: record for record in frames.records()}
    for sent in [*NO_ODD_VALUES[:2], half]:
        assert sent.items() <= records[sent["id"]].items()
    assert records["g"]["x"] == 10**5000 - 1


def test_odd_values_outside_the_range_are_not_counted() -> None:
    """What a range leaves out is not told by its certificate."""
    service = EdgeService(*EDGES, *ODD, untimed_in_windows=True)
    frames = read_backups(settings=SETTINGS, transport=service, end="2000-01-01")
    assert frames.certificate is not None
    assert (len(frames), frames.certificate.odd_value_count) == (3, 0)


@pytest.mark.parametrize("partition_by", ["day", "month"])
def test_syncs_at_the_edges(tmp_path: Path, partition_by: str) -> None:
    """A lake takes in odd values and the calendar's ends, and the next runs change nothing."""
    service = EdgeService(*EDGES, *ODD, UNTIMED)
    options = {
        "settings": SETTINGS.model_copy(update={"partition_by": partition_by}),
        "lake": str(tmp_path), "transport": service, "inventory": False,
    }  # fmt: skip
    first = sync_backups(**options)  # type: ignore[arg-type]
    assert (first.verdict, first.exit_code, first.counts["new"]) == ("complete", 0, 12)
    assert "odd values: 6" in first.warnings[0]
    for _ in range(2):
        again = sync_backups(**options)  # type: ignore[arg-type]
        assert (again.verdict, again.counts["new"], again.counts["gone"]) == ("complete", 0, 0)
        assert again.requests < 60
    backups = open_lake(str(tmp_path)).backups()
    assert set(MOMENTS) <= set(backups["backup_id"].to_pylist())
    service.records = [row for row in service.records if row["id"] not in ("first", "last")]
    service.records.append({"id": "new", "begin_time": MOMENTS["now"], "end_time": {}})
    changed = sync_backups(**options)  # type: ignore[arg-type]
    assert (changed.verdict, changed.counts["new"], changed.counts["gone"]) == ("complete", 1, 2)


def test_progress_that_fails_is_the_callers_error() -> None:
    """What a progress callback raises comes out of the call."""

    def fail(done: int, expected: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_backups(settings=SETTINGS, transport=EdgeService(*EDGES), progress=fail)
    with pytest.raises(KeyboardInterrupt):
        list(scan_backups(settings=SETTINGS, transport=EdgeService(*EDGES), progress=fail))
