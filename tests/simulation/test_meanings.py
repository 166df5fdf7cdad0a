"""Services that mean something else by a parameter than we assume, read and synced by the public calls.

The commit tier takes a few cells of the table; ``-m slow`` takes all.
"""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from simulation.model import EPOCH, START_S, Model, ModelTransport, Profile, VirtualClock

from backup_frames import open_lake, read_backups, sync_backups
from backup_frames.api.query import MAX_LIMIT
from backup_frames.scan import schedule

MEANINGS = ("inside", "end", "created", "created at times", "zone", "day", "minute", "ignored")
SIZES, SPANS = (90, 1_500), (10, 30, 400)
TABLE = [(*cell, meaning) for meaning in ("begin", *MEANINGS) for cell in product(SIZES, SPANS)]
SAMPLE = [
    (1_500, 10, "begin"),
    (90, 400, "begin"),
    (1_500, 30, "inside"),
    (90, 10, "end"),
    (1_500, 400, "zone"),
    (1_500, 10, "created at times"),
]


class Service:
    """A model of the service, still unless told otherwise, and the calls that read it."""

    def __init__(self, **facts: Any) -> None:
        profile = Profile("meaning", table_level=facts.pop("table_level", 9), **facts)
        self.clock = VirtualClock()
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
        report = sync_backups(
            **self.how, lake=str(lake), partition_by="month", with_inventory=False
        )
        self.clock.sleep(3600)
        return set(open_lake(str(lake)).backups()["backup_id"].to_pylist()), report


def judge_cell(rows: int, days: int, meaning: str, lake: Path) -> None:
    """A read and three syncs of one service: nothing lost, nothing doubled, nothing marked gone."""
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


@pytest.fixture
def no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads as they would be if the service were believed."""
    proving = schedule.Schedule.__init__

    def believe(self: Any, *args: Any, **options: Any) -> None:
        proving(self, *args, **options | {"is_proving": False})

    monkeypatch.setattr(schedule.Schedule, "__init__", believe)


@pytest.mark.usefixtures("no_proof")
@pytest.mark.parametrize(
    ("rows", "days", "meaning"),
    [(1_500, 10, "inside"), (1_500, 400, "end"), (1_500, 10, "created"), (90, 400, "zone")],
)
def test_without_the_proof_the_same_table_shows_losses(rows: int, days: int, meaning: str) -> None:
    """The sparring partner, which believes the service, loses rows and says complete."""
    service = Service(rows=rows, span_days=days, meaning=meaning)
    some = service.model.rows[max(service.ids)].begin or 0
    question = {"begin": _moment(int(some)), "end": _moment(int(some) + 7200)}
    ids, certificate, _ = service.read(**({} if rows > MAX_LIMIT else question))
    wanted = service.ids if rows > MAX_LIMIT else {max(service.ids)}
    assert certificate.is_complete
    assert wanted - ids
