"""Services that mean something else by a parameter than we assume, read and synced by the public calls.

The commit tier takes a few cells of the table; ``-m slow`` takes all.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.clocks import VirtualClock
from support.model import EPOCH, START, START_S, Model, ModelTransport, Profile

from backup_frames import open_lake, read_backups, sync_backups
from backup_frames.api.query import MAX_LIMIT
from backup_frames.scan.asking import schedule

MEANINGS = (
    "inside",
    "end",
    "created",
    "created at times",
    "zone",
    "day",
    "minute",
    "ignored",
    "some",
)
SIZES, SPANS = (90, 1_500), (10, 30, 400)
TABLE = [(*cell, meaning) for meaning in ("begin", *MEANINGS) for cell in product(SIZES, SPANS)]
SAMPLE = [
    (1_500, 10, "begin"),
    (90, 400, "begin"),
    (1_500, 30, "inside"),
    (90, 10, "end"),
    (1_500, 400, "zone"),
    (1_500, 10, "created at times"),
    (90, 400, "some"),
    (1_500, 10, "some"),
]


class Service:
    """A model of the service, still unless told otherwise, and the calls that read it."""

    def __init__(self, **facts: Any) -> None:
        profile = Profile("meaning", table_level=facts.pop("table_level", 9), **facts)
        self.clock = VirtualClock(START)
        self.model = Model(profile, random.Random(f"{facts}"), self.clock)
        self.how: dict[str, Any] = {
            "endpoint": "http://127.0.0.1",
            "project_id": "p",
            "token": "t",
            "transport": ModelTransport(self.model),
            "clock": self.clock,
        }

    @property
    def ids(self) -> set[str]:
        return set(self.model.rows)

    def read(self, **question: Any) -> tuple[set[str], Any, int]:
        """The ids of a read, its certificate, and its requests."""
        before = self.model.requests
        frames = read_backups(**self.how, **question, allow_incomplete=True)
        ids = frames.arrow.backups["backup_id"].to_pylist()
        assert len(ids) == len(set(ids))
        return set(ids), frames.certificate, self.model.requests - before

    def sync(self, lake: Path) -> tuple[set[str], Any]:
        """The present ids of the lake after a sync, and its report."""
        report = sync_backups(**self.how, lake=str(lake), partition_by="month", inventory=False)
        self.clock.sleep(3600)
        return set(open_lake(str(lake)).backups()["backup_id"].to_pylist()), report


def judge_cell(rows: int, days: int, meaning: str, lake: Path) -> None:
    """Two reads and three syncs of one service: nothing lost, nothing doubled, nothing marked gone."""
    service = Service(rows=rows, span_days=days, meaning=meaning)
    ids, certificate, _ = service.read()
    assert ids == service.ids
    assert certificate.is_complete or meaning != "begin"
    assert certificate.proof.backups.keys() == {"Instance", "DatabaseTable"}
    begin = START_S - days * 86400 // 2
    wanted = {
        one for one, row in service.model.rows.items() if begin <= (row.begin or 0) < START_S - 7200
    }
    moments = {"begin": begin, "end": START_S - 7200}
    window = {name: _moment(second) for name, second in moments.items()}
    ids, certificate, _ = service.read(**window)
    assert ids == wanted
    assert certificate.is_complete or meaning != "begin"
    for _ in range(3):
        present, report = service.sync(lake)
        assert present == service.ids
        assert report.counts["gone"] == 0
        assert report.exit_code == (0 if report.verdict == "complete" else 6)
        assert report.verdict == "complete" or meaning != "begin"


def _moment(second: int) -> str:
    return (EPOCH + timedelta(seconds=second)).isoformat()


@pytest.mark.parametrize(("rows", "days", "meaning"), SAMPLE)
def test_no_meaning_of_a_window_loses_a_row_in_silence(
    rows: int, days: int, meaning: str, tmp_path: Path
) -> None:
    """Whatever the service means by a window, all rows come, and no live backup is marked gone."""
    judge_cell(rows, days, meaning, tmp_path / "lake")


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "days", "meaning"), TABLE)
def test_no_meaning_of_any_list_loses_a_row_in_silence(
    rows: int, days: int, meaning: str, tmp_path: Path
) -> None:
    """The same for each meaning, number of rows and span of days."""
    judge_cell(rows, days, meaning, tmp_path / "lake")


def believe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reads be as they would be if the service were believed."""
    proving = schedule.Schedule.__init__

    def believing(self: Any, *args: Any, **options: Any) -> None:
        proving(self, *args, **options | {"is_proving": False})

    monkeypatch.setattr(schedule.Schedule, "__init__", believing)


@pytest.mark.parametrize(
    ("rows", "days", "meaning"),
    [(1_500, 10, "inside"), (1_500, 400, "end"), (1_500, 10, "created"), (90, 400, "zone")],
)
def test_without_the_proof_the_same_table_shows_losses(
    rows: int, days: int, meaning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sparring partner, which believes the service, loses rows and says complete."""
    believe(monkeypatch)
    service = Service(rows=rows, span_days=days, meaning=meaning)
    some = service.model.rows[max(service.ids)].begin or 0
    question = {"begin": _moment(int(some)), "end": _moment(int(some) + 7200)}
    ids, certificate, _ = service.read(**({} if rows > MAX_LIMIT else question))
    wanted = service.ids if rows > MAX_LIMIT else {max(service.ids)}
    assert certificate.is_complete
    assert wanted - ids


@pytest.mark.parametrize("rows", [0, 40, 90, 1_500])
def test_the_proof_costs_six_requests_at_most(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A still read costs at most six requests more than one that believes the service."""
    monkeypatch.setenv("BACKUP_FRAMES_MAX_CONNECTIONS", "1")  # else cuts hang on the threads' luck
    service = Service(rows=rows, table_level=min(rows, 200))
    window = {"begin": _moment(START_S - 20 * 86400), "end": _moment(START_S - 86400)}
    costs = [service.read(**question)[2] for question in ({}, window)]
    believe(monkeypatch)
    believed = [service.read(**question)[2] for question in ({}, window)]
    assert all(cost <= less + 6 for cost, less in zip(costs, believed, strict=True))


@pytest.mark.parametrize(
    ("rows", "tables", "most"), [(0, 0, 4), (40, 30, 7), (900, 30, 8), (900, 450, 10)]
)
def test_a_filter_costs_few_requests_more_per_level(
    rows: int, tables: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no newest row has its value, and for the oldest; of no row at all nothing is asked twice."""
    monkeypatch.setenv("BACKUP_FRAMES_MAX_CONNECTIONS", "1")
    service = Service(rows=rows, table_level=tables)
    oldest = sorted(service.model.rows.values(), key=lambda row: row.begin or 0)[:1]
    values = [f"{0:032x}br02", *(row.id for row in oldest)]
    costs = [service.read(backup_id=value)[2] for value in values]
    believe(monkeypatch)
    believed = [service.read(backup_id=value)[2] for value in values]
    assert max(cost - less for cost, less in zip(costs, believed, strict=True)) <= most


def test_a_sync_proves_once_a_week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hourly syncs cost no request for the proof; after a week it is repeated, and remembered."""

    def costs(lake: Path) -> list[int]:
        service = Service(rows=150)
        found = []
        for run in range(6):
            if run == 4:
                service.clock.sleep(7 * 86400)
            found.append(service.sync(lake)[1].requests)
        return found

    proving = costs(tmp_path / "proving")
    believe(monkeypatch)
    believing = costs(tmp_path / "believing")
    more = [cost - less for cost, less in zip(proving, believing, strict=True)]
    assert (more[1:4], more[5]) == ([0, 0, 0], 0)
    assert 0 < more[0] <= 6
    assert 0 < more[4] <= 6


def test_a_service_that_changes_its_mind_is_found_out(tmp_path: Path) -> None:
    """An incomplete run, and a week's time, make a sync prove the service anew; nothing goes."""
    service = Service(rows=150)
    service.sync(tmp_path / "lake")
    service.model.profile = replace(service.model.profile, meaning="inside")
    service.clock.sleep(7 * 86400)
    for _ in range(2):
        present, report = service.sync(tmp_path / "lake")
        assert (present, report.exit_code, report.counts["gone"]) == (service.ids, 6, 0)
    service.model.profile = replace(service.model.profile, meaning="begin")
    assert service.sync(tmp_path / "lake")[1].exit_code == 0


def test_what_fails_at_one_level_keeps_the_rows_of_the_other(tmp_path: Path) -> None:
    """Nothing is marked gone in a run in which an assumption failed, wherever it did."""
    service = Service(rows=150, table_level=1)
    service.sync(tmp_path / "lake")
    (only,) = (one for one, row in service.model.rows.items() if row.level == "DatabaseTable")
    service.model.profile = replace(service.model.profile, meaning="inside")
    del service.model.rows[only]  # that level's list is empty now, and nothing there can fail
    service.clock.sleep(7 * 86400)
    present, report = service.sync(tmp_path / "lake")
    assert (only in present, report.exit_code, report.counts["gone"]) == (True, 6, 0)
    service.model.profile = replace(service.model.profile, meaning="begin")
    present, report = service.sync(tmp_path / "lake")
    assert (only in present, report.exit_code, report.counts["gone"]) == (False, 0, 1)


@pytest.mark.parametrize("rows", [30, 150, 400])
def test_an_ignored_level_is_read_off_the_rows(rows: int, tmp_path: Path) -> None:
    """If the service lists all at both levels, database_tables tells the level, and all is complete."""
    service = Service(rows=rows, table_level=rows // 3, ignores_level=True)
    tables = {one for one, row in service.model.rows.items() if row.level == "DatabaseTable"}
    ids, certificate, _ = service.read()
    assert (ids, certificate.verdict) == (service.ids, "complete")
    assert any("database_tables" in note for note in certificate.proof.notes)
    assert service.read(level="DatabaseTable")[0] == tables
    assert service.read(level="Instance")[0] == service.ids - tables
    costs = []
    for _ in range(3):
        present, report = service.sync(tmp_path / "lake")
        assert (present, report.exit_code, report.counts["gone"]) == (service.ids, 0, 0)
        costs.append(report.requests)
    levels = open_lake(str(tmp_path / "lake")).backups().to_pydict()
    pairs = zip(levels["backup_id"], levels["backup_level"], strict=True)
    assert {one for one, level in pairs if level == "DatabaseTable"} == tables
    assert costs[-1] <= 25


FILTERS: dict[str, Callable[[Any], str]] = {
    "instance_id": lambda row: row.instance_id,
    "datastore_type": lambda row: row.render()["datastore"]["type"],
    "backup_type": lambda row: row.kind,
    "backup_id": lambda row: row.id,
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("how", ["{}", "hides: {}"])
def test_a_filter_that_is_not_kept_hands_out_no_other_row(name: str, how: str) -> None:
    """Rows that do not match are left out and told; rows that a filter hides are not lost."""
    service = Service(rows=150, misread=how.format(name))
    newest = max(service.model.rows.values(), key=lambda row: row.begin or 0)
    value = FILTERS[name](newest)
    wanted = {one for one, row in service.model.rows.items() if FILTERS[name](row) == value}
    ids, certificate, _ = service.read(**{name: value})
    assert ids == wanted
    assert certificate.is_complete == (how == "{}")
    assert name in str(certificate)


@pytest.mark.parametrize("cap", ["cap_s", "max_window_s"])
@pytest.mark.parametrize(("rows", "days"), [(60, 400), (400, 200)])
def test_windows_cut_in_silence_are_narrowed(
    rows: int, days: int, cap: str, tmp_path: Path
) -> None:
    """Where wide windows hold their last 30 days only, or are refused, narrow ones show all."""
    service = Service(rows=rows, span_days=days, **{cap: 30 * 86400})
    ids, certificate, _ = service.read()
    assert (ids, certificate.verdict) == (service.ids, "complete")
    begin = START_S - days * 43200
    ids, certificate, _ = service.read(begin=_moment(begin))
    wanted = {one for one, row in service.model.rows.items() if (row.begin or 0) >= begin}
    assert (ids, certificate.verdict) == (wanted, "complete")
    for _ in range(3):
        present, report = service.sync(tmp_path / "lake")
        assert (present, report.exit_code, report.counts["gone"]) == (service.ids, 0, 0)


@pytest.mark.parametrize(
    "facts",
    [
        {"cap_s": 30 * 86400, "page_cap": 40},
        {"cap_s": 7 * 86400, "page_cap": 1},
        {"meaning": "inside", "page_cap": 40},
        {"meaning": "created", "page_cap": 7},
    ],
    ids=str,
)
def test_short_pages_keep_no_proof_from_being_asked(facts: dict[str, Any], tmp_path: Path) -> None:
    """Pages capped in silence hide neither cut windows nor windows that mean something else."""
    service = Service(rows=150, span_days=200, table_level=0, **facts)
    begin = START_S - 100 * 86400
    ids, certificate, _ = service.read(begin=_moment(begin))
    wanted = {one for one, row in service.model.rows.items() if (row.begin or 0) >= begin}
    assert ids == wanted
    assert certificate.proof.backups["Instance"] or certificate.proof.failures
    assert certificate.is_complete == ("meaning" not in facts)
    present, report = service.sync(tmp_path / "lake")
    assert (present, report.counts["gone"]) == (service.ids, 0)


def test_a_list_that_no_backup_can_prove_is_complete_and_says_so(tmp_path: Path) -> None:
    """Backups shorter than three seconds prove nothing: that is told, and spoils no verdict."""
    service = Service(rows=150, longest_s=2)
    ids, certificate, _ = service.read()
    assert (ids, certificate.verdict) == (service.ids, "complete")
    assert "not proven: no backup qualifies" in str(certificate)
    for _ in range(2):
        assert service.sync(tmp_path / "lake")[1].exit_code == 0


def test_a_backup_far_down_proves_as_well() -> None:
    """Where the newest hundred are too short, a backup met later in the read is the proof."""
    for meaning, verdict in (
        ("begin", "complete"),
        ("inside", "incomplete"),
        ("end", "incomplete"),
    ):
        service = Service(rows=400, meaning=meaning, table_level=0)
        rows = sorted(service.model.rows.values(), key=lambda row: -(row.begin or 0))
        for row in rows[:150]:
            row.duration = 1
        ids, certificate, _ = service.read()
        assert (ids, certificate.verdict) == (service.ids, verdict)


@pytest.mark.parametrize("rows", [120, 190])
@pytest.mark.parametrize("meaning", ["zone", "end", "created"])
def test_backups_too_short_to_prove_speak_against_a_window_all_the_same(
    meaning: str, rows: int
) -> None:
    """If no backup took three seconds, nothing is proven, but what windows hide is still noticed."""
    service = Service(rows=rows, span_days=1, meaning=meaning, longest_s=2)
    ids, certificate, _ = service.read()
    assert ids == service.ids
    assert not certificate.is_complete


@pytest.mark.parametrize("name", ["instance_id", "datastore_type", "backup_type"])
@pytest.mark.parametrize("rows", [60, 900])
def test_a_filter_that_hides_some_rows_is_found_out(name: str, rows: int) -> None:
    """A filter that finds most of what matches is no less broken than one that finds nothing."""
    service = Service(rows=rows, misread=f"thins: {name}")
    kept = [row for row in service.model.rows.values() if row.level == "Instance"]
    newest = sorted(kept, key=lambda row: -(row.begin or 0))[:60]
    value = FILTERS[name](next(row for row in newest if int(row.id[:2], 16) % 4 == 0))
    wanted = {one for one, row in service.model.rows.items() if FILTERS[name](row) == value}
    ids, certificate, _ = service.read(**{name: value})
    assert (ids, certificate.verdict) == (wanted, "incomplete")
    assert "which matches" in str(certificate)


@pytest.mark.parametrize(
    ("name", "page_cap"), [("backup_id", None), ("instance_id", 5), ("datastore_type", 1)]
)
def test_a_filter_that_hides_only_old_rows_is_found_out(name: str, page_cap: int | None) -> None:
    """Where no newest row has the value, the filter is tried with one that such a row has."""
    service = Service(rows=900, misread=f"hides: {name}", page_cap=page_cap, table_level=0)
    rows = sorted(service.model.rows.values(), key=lambda row: row.begin or 0)
    newest = {FILTERS[name](row) for row in rows[-(page_cap or MAX_LIMIT) :]}
    value = next(FILTERS[name](row) for row in rows if FILTERS[name](row) not in newest)
    wanted = {row.id for row in rows if FILTERS[name](row) == value}
    ids, certificate, _ = service.read(**{name: value})
    assert (ids, certificate.verdict) == (wanted, "incomplete")


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("rows", [60, 250, 900])
def test_a_filter_that_looks_at_recent_rows_only_is_found_out(name: str, rows: int) -> None:
    """What holds for the newest rows is held against the oldest, too, with and without begin."""
    service = Service(rows=rows, misread=f"recent: {name}")
    held = service.model.rows.values()
    value = FILTERS[name](min(held, key=lambda row: row.begin or 0))
    for begin in (START_S - 15 * 86400, START_S - 100 * 86400):
        wanted = {r.id for r in held if FILTERS[name](r) == value and (r.begin or 0) >= begin}
        ids, certificate, _ = service.read(**{name: value}, begin=_moment(begin))
        assert (ids, certificate.verdict) == (wanted, "incomplete")


@pytest.mark.parametrize("rows", [60, 900])
def test_a_filter_that_holds_is_not_suspected(rows: int) -> None:
    """Ties and new backups do not speak against a filter."""
    for seed in range(12):
        service = Service(rows=rows, ties=30, is_order_unstable=True, insert=0.2 * (seed % 2))
        ids, certificate, _ = service.read(instance_id=f"{seed:032x}in06", backup_type="Auto")
        assert certificate.is_complete, certificate.reasons
        held = (service.model.rows[one] for one in service.model.held)
        assert ids >= {row.id for row in held if (row.instance, row.kind) == (seed, "Auto")}


@pytest.mark.parametrize("name", [None, *FILTERS])
def test_a_still_read_costs_what_its_documentation_says(name: str | None) -> None:
    """At most 1.05 requests per 100 backups and fifteen more, with a filter twenty more."""
    service = Service(rows=900, table_level=450)
    rows = sorted(service.model.rows.values(), key=lambda row: row.begin or 0)
    for row in (rows[0], rows[-1]):
        ids, _, requests = service.read(**({name: FILTERS[name](row)} if name else {}))
        assert ids
        assert requests <= 1.05 * len(ids) / 100 + (20 if name else 15)


def _mixed_levels(request: httpx.Request) -> httpx.Response:
    """A service that lists all at the default level, and nothing at the other."""
    asked = request.url.params
    row = {"begin_time": "2026-01-01T00:00:30+0000", "end_time": "2026-01-01T00:09:30+0000"}
    rows: list[dict[str, Any]] = [row | {"id": "a"}, row | {"id": "b"}]
    rows[1]["database_tables"] = [{"database_name": "d", "table_names": ["t"]}]
    if "begin_time" in asked and not asked["begin_time"] <= row["begin_time"] <= asked["end_time"]:
        rows = []
    if asked["type"] == "DatabaseTable":
        rows = []
    return httpx.Response(200, json={"total_count": len(rows), "backups": rows})


def test_table_level_backups_among_the_others_are_told() -> None:
    """A backup with tables that comes as Instance is noted; asking for its level does not hide it."""
    how: dict[str, Any] = {
        "endpoint": "http://127.0.0.1",
        "project_id": "p",
        "token": "t",
        "transport": httpx.MockTransport(_mixed_levels),
        "allow_incomplete": True,
    }
    for level in (None, "Instance"):
        frames = read_backups(**how, level=level)
        assert sorted(frames.backups["backup_id"]) == ["a", "b"]
        assert "1 backups came as Instance" in frames.certificate.proof.notes[0]
    certificate = read_backups(**how, level="DatabaseTable").certificate
    assert certificate.verdict == "incomplete"
    assert "Read both levels" in certificate.reasons[0]
