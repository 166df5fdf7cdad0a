"""What Spark's driver and tasks do, as plain Python: plans, ranges, days of a lake, proofs."""

from __future__ import annotations

import pickle
import subprocess
import sys
from bisect import bisect_left
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backup_frames as bf
from backup_frames.engines.spark.lake import plan_days, read_days
from backup_frames.engines.spark.options import SourceOptions, parse_options
from backup_frames.engines.spark.plan import PlannedRange, cut_spans, plan_ranges
from backup_frames.engines.spark.proofs import ReadProof, add_proofs
from backup_frames.engines.spark.tasks import find_gaps, read_range
from backup_frames.sandbox import Sandbox, WindowLimit
from backup_frames.scan.plan import CEILING_S, CoveredSpan

NOW_S = 1_780_000_000


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Any:
    with Sandbox(backups=1500, seed=3) as sandbox:
        monkeypatch.setenv("BACKUP_FRAMES_TOKEN", sandbox.token)
        yield sandbox


class TimedWindowLimit(WindowLimit):
    """Refuses wide windows, but not questions without times."""

    def replace(self, asked: Any, /) -> Any:
        return super().replace(asked) if "begin_time" in asked.params else None


def ask(box: Sandbox, **options: str) -> SourceOptions:
    return parse_options({"endpoint": box.endpoint, "project_id": box.project_id, **options})


def read_all(options: SourceOptions) -> tuple[pa.Table, ReadProof]:
    """Every planned range, one after the other."""
    planned = plan_ranges(options)
    done = [read_range(options, one) for one in planned]
    backups = pa.concat_tables([frames.backups for frames, _ in done]).sort_by("backup_id")
    return backups, ReadProof(planned, dict(enumerate(certificate for _, certificate in done)))


def kinds(proof: ReadProof) -> list[str]:
    return [one.kind for one in proof.planned]


# -- plans -----------------------------------------------------------------------------------------


@given(
    seconds=st.lists(st.integers(0, NOW_S), max_size=60),
    parts=st.integers(1, 9),
    whole=st.tuples(st.integers(0, NOW_S), st.integers(1, CEILING_S)).filter(lambda s: s[0] < s[1]),
    lie=st.integers(-5, 5),
)
def test_spans_tile_the_whole_whatever_the_counts_say(
    seconds: list[int], parts: int, whole: tuple[int, int], lie: int
) -> None:
    """Disjoint, without gaps, in order, at most as many as wanted: even if counts are wrong."""
    rows = sorted(s for s in seconds if whole[0] <= s < whole[1])

    def count(spans: Any) -> list[int]:
        return [max(bisect_left(rows, e) - bisect_left(rows, b) + lie, 0) for b, e in spans]

    spans = cut_spans(count, whole, len(rows), parts)
    assert spans[0][0] == whole[0]
    assert spans[-1][1] == whole[1]
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    assert all(begin_s < end_s for begin_s, end_s in spans)
    assert len(spans) <= parts


def test_spans_hold_about_the_same_number_of_rows() -> None:
    """For backups of a week and a few of years, in a span of centuries, at few requests."""
    rows = sorted([NOW_S - 97 * n for n in range(6000)] + [NOW_S - 90_000 * n for n in range(400)])
    asked: list[Any] = []

    def count(spans: Any) -> list[int]:
        asked.extend(spans)
        return [bisect_left(rows, end_s) - bisect_left(rows, begin_s) for begin_s, end_s in spans]

    spans = cut_spans(count, (0, CEILING_S), len(rows), 8)
    held = count(spans)
    assert len(spans) == 8
    assert sum(held) == len(rows)
    assert max(held) < 1.5 * len(rows) / 8
    assert len(asked) - len(spans) < 30


def test_ranges_and_the_untimed_rows_make_the_whole(box: Sandbox) -> None:
    """Read one by one they give the rows of a plain read, and together its proof."""
    frames = bf.read_backups(endpoint=box.endpoint, project_id=box.project_id)
    backups, proof = read_all(ask(box, partitions="5"))
    assert backups.equals(frames.arrow.backups.sort_by("backup_id"))
    assert kinds(proof) == ["range"] * 5 + ["untimed"]
    [certificate] = proof.certificates()
    assert certificate.verdict == "complete"
    assert certificate.rows == 1500
    assert (certificate.begin, certificate.end) == (None, None)


def test_rows_without_begin_time_come_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no range's rows, and the extra task's alone."""
    record = {"instance_id": "i1", "name": "n", "status": "COMPLETED", "type": "Manual"}
    moments = [f"2026-01-{day:02}T00:00:0{n}+0000" for day in range(1, 29) for n in range(10)]
    rows = [record | {"id": f"b{n}", "begin_time": at} for n, at in enumerate(reversed(moments))]
    rows += [record | {"id": f"u{n}", "begin_time": None} for n in range(7)]
    with Sandbox(records={"Instance": rows}) as box:
        monkeypatch.setenv("BACKUP_FRAMES_TOKEN", box.token)
        backups, proof = read_all(ask(box, partitions="3"))
    assert sorted(backups["backup_id"].to_pylist()) == sorted(row["id"] for row in rows)
    assert kinds(proof)[-1] == "untimed"
    assert proof.by_range[len(proof.planned) - 1].rows == 7


def test_bounds_and_filters_reach_every_range(box: Sandbox) -> None:
    """A bounded read has no extra task, and gives what a plain bounded read gives."""
    where = {"begin": "2025-11-01", "end": "2026-01-20", "backup_type": "Auto"}
    frames = bf.read_backups(endpoint=box.endpoint, project_id=box.project_id, **where)
    backups, proof = read_all(ask(box, partitions="3", **where))
    assert backups.equals(frames.arrow.backups.sort_by("backup_id"))
    assert set(kinds(proof)) == {"range"}


def test_a_service_that_refuses_wide_windows_is_read_by_one_task(box: Sandbox) -> None:
    """Nothing can be counted there; the walk finds its way alone."""
    box.service.faults.append(TimedWindowLimit(days=31))
    backups, proof = read_all(ask(box, partitions="5"))
    assert backups.num_rows == 1500
    assert kinds(proof) == ["whole"]


def test_a_rate_is_divided_among_the_tasks_that_run_at_once(box: Sandbox) -> None:
    """Among all of them, or among as many as the user says."""
    options = ask(box, partitions="3", max_requests_per_second="20")
    assert [one.requests_per_second for one in plan_ranges(options)] == [5.0] * 4
    options = replace(options, concurrency=2)
    assert [one.requests_per_second for one in plan_ranges(options)] == [10.0] * 4


def name_by_region(box: Sandbox, number: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """A table of a config file, without the project's id."""
    monkeypatch.setenv(f"AK_{number}", box.access_key)
    monkeypatch.setenv(f"SK_{number}", box.secret_key)
    return (
        f'[[project]]\nendpoint = "{box.endpoint}"\niam_endpoint = "{box.endpoint}"\n'
        f'region = "{box.region}"\naccess_key_env = "AK_{number}"\nsecret_key_env = "SK_{number}"\n'
    )


def test_projects_that_only_their_region_names_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task finds the settings of its project again; where they differ, it says so."""
    config = tmp_path / "projects.toml"
    with Sandbox(backups=30, seed=1) as one, Sandbox(backups=40, seed=2) as other:
        tables = [name_by_region(box, n, monkeypatch) for n, box in enumerate((one, other))]
        config.write_text("".join(tables))
        options = parse_options({"config": str(config)})
        _, proof = read_all(options)
        rows = {certificate.project_id: certificate.rows for certificate in proof.certificates()}
        assert rows == {one.project_id: 30, other.project_id: 40}
        config.write_text(tables[0])
        with pytest.raises(bf.ConfigError, match="same config file"):
            read_range(options, proof.planned[1])


def test_a_plan_holds_no_secret(box: Sandbox) -> None:
    """Neither options nor ranges carry the token to executors: these have their own."""
    options = ask(box)
    assert box.token.encode() not in pickle.dumps((options, plan_ranges(options)))


@pytest.mark.slow
@pytest.mark.parametrize("lake_format", ["parquet", "delta", "iceberg"])
def test_days_make_the_lake_in_every_format(box: Sandbox, tmp_path: Path, lake_format: str) -> None:
    """Read one by one, they give each row that the lake gives, present or not."""
    lake = str(tmp_path / "lake")
    for _ in range(2):
        bf.sync_backups(
            lake=lake,
            lake_format=lake_format,
            endpoint=box.endpoint,
            project_id=box.project_id,
            clock=box.clock,
        )
        box.clock.advance(timedelta(days=2))
    for present in (True, False):
        options = parse_options({"lake": lake, "present": str(present), "partitions": "4"})
        days = plan_days(options)
        rows = pa.concat_tables([read_days(options, one) for one in days])
        wanted = bf.open_lake(lake).backups(present=present)
        assert rows.sort_by("backup_id").equals(wanted.sort_by("backup_id"))
        assert 4 <= len(days) <= 6


# -- proofs ----------------------------------------------------------------------------------------


def test_an_uncertified_range_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second too dense to be certified fails the task, with an error that survives pickling."""
    record = {"instance_id": "i1", "status": "COMPLETED", "type": "Manual", "datastore": None}
    rows = [record | {"id": f"b{n}", "begin_time": "2026-01-05T00:00:00+0000"} for n in range(230)]
    with Sandbox(records={"Instance": rows}) as box:
        monkeypatch.setenv("BACKUP_FRAMES_TOKEN", box.token)
        options = ask(box, partitions="2", begin="2026-01-01", end="2026-02-01")
        with pytest.raises(bf.IncompleteReadError, match="not proven") as caught:
            read_all(options)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.certificate.verdict == "incomplete"


def test_an_executor_without_credentials_says_how_to_give_them(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver had them; the executor's own environment does not."""
    options = ask(box)
    planned = plan_ranges(options)
    monkeypatch.delenv("BACKUP_FRAMES_TOKEN")
    with pytest.raises(bf.ConfigError, match=r"spark\.executorEnv\.BACKUP_FRAMES_TOKEN"):
        read_range(options, planned[0])


@given(missing=st.integers(0, 5))
def test_a_missing_range_is_no_proof(missing: int) -> None:
    """Whichever task is missing, the driver raises."""
    proof = made_proof()
    by_range = {index: one for index, one in proof.by_range.items() if index != missing}
    with pytest.raises(bf.IncompleteReadError, match="1 of 6 ranges were not read"):
        ReadProof(proof.planned, by_range).certificates()


def test_ranges_that_leave_a_hole_are_no_proof() -> None:
    """All tasks are there, but their spans do not meet."""
    proof = made_proof()
    planned = list(proof.planned)
    planned[2] = replace(planned[2], end_s=planned[2].end_s - 1)
    with pytest.raises(bf.IncompleteReadError, match="was not read"):
        ReadProof(planned, proof.by_range).certificates()


def test_a_task_that_ran_twice_counts_once() -> None:
    """As after a lost executor or a stage that is tried again."""
    proof = made_proof()
    held: dict[str, ReadProof] = {}
    add_proofs(held, {"r": ReadProof(proof.planned)})
    for index, certificate in [*proof.by_range.items(), (2, proof.by_range[2])]:
        add_proofs(held, {"r": ReadProof((), {index: certificate})})
    [certificate] = held["r"].certificates()
    assert certificate.rows == 60


def test_a_log_keeps_the_newest_reads() -> None:
    """A session that reads for months does not fill the driver."""
    held: dict[str, ReadProof] = {}
    for number in range(100):
        add_proofs(held, {str(number): made_proof()})
    assert list(held) == [str(number) for number in range(36, 100)]


def test_a_gap_between_certified_spans_is_told() -> None:
    """Uncertified spans and other levels do not close it."""
    covered = [
        CoveredSpan("Instance", 0, 10, True),
        CoveredSpan("Instance", 20, 30, True),
        CoveredSpan("Instance", 10, 20, False),
        CoveredSpan("DatabaseTable", 10, 20, True),
        CoveredSpan("Instance", None, None, True),
    ]
    assert len(find_gaps(covered, "Instance", 0, 30)) == 1
    assert find_gaps([*covered, CoveredSpan("Instance", 9, 21, True)], "Instance", 0, 30) == []


def made_proof() -> ReadProof:
    """Five ranges and the untimed rows of one project, ten rows each."""
    certificate = bf.Certificate(
        endpoint="https://e",
        project_id="p1",
        filters={},
        levels=("Instance",),
        begin=None,
        end=None,
        as_of=datetime(2026, 1, 1, tzinfo=UTC),
        verdict="complete",
        reasons=[],
        rows=10,
        requests=1,
        retries=0,
        throttles=0,
        duplicates_removed=0,
        unknown_values={},
        duration_s=1.0,
        ranges=(),
    )
    planned = [
        PlannedRange("p1", "range", 10 * index, 10 * index + 10, (0, 50), True, index=index)
        for index in range(5)
    ]
    planned.append(PlannedRange("p1", "untimed", 0, 50, (0, 50), True, index=5))
    return ReadProof(planned, dict.fromkeys(range(6), certificate))


# -- extras ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "package", "name"),
    [("spark", "pyspark", "register"), ("dlt", "dlt", "backup_source")],
)
def test_a_missing_extra_says_what_to_install(module: str, package: str, name: str) -> None:
    """Importing what it is for raises it, as an ImportError too; the rest of the package stays usable."""
    code = f"""
import sys
sys.modules[{package!r}] = None
import backup_frames as bf, backup_frames.engines
try:
    from backup_frames.engines.{module} import {name}
except bf.MissingExtraError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"pip install 'backup-frames[{module}]'" in done.stdout
