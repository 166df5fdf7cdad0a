"""The parts of the scan by themselves: cutting, certificates, threads."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_frames.api.answers import Page
from backup_frames.api.query import BackupQuery
from backup_frames.errors import RejectedError, UnavailableError
from backup_frames.scan.asking.schedule import Schedule
from backup_frames.scan.asking.workers import Workers
from backup_frames.scan.certificate import Certificate, RangeCount
from backup_frames.scan.checks import find_breach
from backup_frames.scan.plan import CEILING_S, FLOOR_S, cut_second, look_at, to_moment, to_span
from backup_frames.scan.walks.walk import FinishedRange

DAY_S = 86400
NOW = datetime(2026, 1, 31, tzinfo=UTC)
CERTIFICATE = Certificate(
    endpoint="https://example.invalid",
    project_id="p",
    filters={"backup_type": "Auto"},
    levels=("Instance",),
    begin=None,
    end=NOW,
    as_of=NOW,
    verdict="incomplete",
    reasons=["a <b>reason</b>"],
    rows=3,
    requests=4,
    retries=1,
    throttles=0,
    duplicates_removed=2,
    unknown_values={"status": ["ODD"]},
    duration_s=0.5,
    ranges=(RangeCount("Instance", None, None, 3, 4, 0, is_certified=False),),
)


def page_of(query: BackupQuery, seconds: list[int], total: int) -> Page:
    rows = [{"id": f"b{index}"} for index in range(len(seconds))]
    body = json.dumps({"total_count": total, "backups": rows}).encode()
    return Page(query, body, total, tuple(row["id"] for row in rows), tuple(seconds))


@given(
    begin_s=st.integers(0, 10**9),
    width_s=st.integers(0, 10**9),
    density=st.floats(0, 1000),
    rows=st.integers(0, 10**6),
    align_s=st.sampled_from([1, DAY_S]),
)
def test_a_cut_leaves_something_on_both_sides(
    begin_s: int, width_s: int, density: float, rows: int, align_s: int
) -> None:
    """A cut lies strictly inside the span, or there is none."""
    cut = cut_second(begin_s, begin_s + width_s, density, rows, align_s)
    assert cut is None if width_s < 2 else begin_s < (cut or 0) < begin_s + width_s


def test_cuts_prefer_midnight() -> None:
    """A wide span is cut at a midnight, so that partitions are finished early."""
    cut = cut_second(100 * DAY_S + 5, 200 * DAY_S + 7, 0.0, 1000, DAY_S)
    assert cut is not None
    assert cut % DAY_S == 0


def test_a_look_asks_one_second_beyond_both_ends() -> None:
    """The window on the wire is wider than the span, so that an excluded end loses nothing."""
    query = look_at(BackupQuery("p"), 1_000, 2_000)
    assert (query.begin, query.end) == (to_moment(999), to_moment(2_000))


def test_an_open_question_spans_all_times() -> None:
    """What is omitted is supplied; fractions are rounded outward."""
    assert to_span(None, None) == (FLOOR_S, CEILING_S)
    begin = datetime(2026, 1, 1, 0, 0, 0, 500_000, UTC)
    assert to_span(begin, begin) == (1767225600, 1767225601)


@pytest.mark.parametrize(
    ("seconds", "total", "told"),
    [
        ([5, 4], 3, "2 rows came"),
        ([5, 4, 3], 2, "3 rows came"),
        ([4, 5, 3], 9, "not sorted"),
        ([5, 4, 900], 3, "outside"),
    ],
)
def test_answers_that_contradict_themselves_are_noticed(
    seconds: list[int], total: int, told: str
) -> None:
    """Wrong counts, wrong order and rows outside the window are breaches."""
    query = replace(look_at(BackupQuery("p"), 1, 10), limit=3)
    assert told in str(find_breach(page_of(query, seconds, total)))


def test_an_unsorted_answer_that_holds_everything_is_fine() -> None:
    """Order only matters while more is left than the page holds."""
    query = look_at(BackupQuery("p"), 1, 10)
    assert find_breach(page_of(query, [4, 5, 3], 3)) is None


def test_a_certificate_serialises_without_loss() -> None:
    """JSON and pickle carry what the certificate says."""
    content = json.loads(CERTIFICATE.to_json())
    assert content["verdict"] == "incomplete"
    assert content["end"] == "2026-01-31T00:00:00+00:00"
    assert content["ranges"][0]["rows"] == 3
    assert pickle.loads(pickle.dumps(CERTIFICATE)) == CERTIFICATE


def test_a_certificate_prints_short_and_escapes_html() -> None:
    """Text and HTML show verdict and reasons; a reason is text, never markup."""
    assert "incomplete" in str(CERTIFICATE)
    assert "&lt;b&gt;" in CERTIFICATE._repr_html_()
    assert "<b>" not in CERTIFICATE._repr_html_()


def schedule_of(spans: list[tuple[int, int]]) -> Schedule:
    return Schedule(BackupQuery("p"), levels=("Instance",), spans=spans, now_s=10**9)


def test_a_failing_fetch_ends_the_read_with_its_error() -> None:
    """What a thread meets is raised where the ranges are consumed, and the threads end."""

    def fail(query: BackupQuery) -> Page:
        raise UnavailableError("down")

    with pytest.raises(UnavailableError, match="down"):
        list(Workers(schedule_of([(0, 100)]), fail, 8).run())


def test_a_refused_question_is_asked_without_times_before_it_is_an_error() -> None:
    """A refusal that is not about the window costs one more request, not a storm of splits."""
    asked: list[BackupQuery] = []

    def refuse(query: BackupQuery) -> Page:
        asked.append(query)
        raise RejectedError("no such instance", status=400)

    with pytest.raises(RejectedError):
        list(Workers(schedule_of([(0, 10**9)]), refuse, 8).run())
    assert [query.begin is None for query in asked] == [False, True]


def test_finished_ranges_tile_the_spans() -> None:
    """Finished ranges are disjoint and cover every second that was asked."""
    rows = sorted((index * 977 % 90_000 for index in range(2_000)), reverse=True)

    def answer(query: BackupQuery) -> Page:
        assert query.begin is not None
        assert query.end is not None
        low, high = int(query.begin.timestamp()), int(query.end.timestamp())
        inside = [(n, s) for n, s in enumerate(rows) if low <= s <= high]
        page = inside[:100]
        return Page(
            query, b"", len(inside), tuple(f"b{n}" for n, _ in page), tuple(s for _, s in page)
        )

    spans = [(0, 40_000), (50_000, 90_000)]
    done: list[FinishedRange] = list(Workers(schedule_of(spans), answer, 4).run())
    ranges = sorted((one.begin_s or 0, one.end_s or 0) for one in done)
    merged = [list(ranges[0])]
    for begin_s, end_s in ranges[1:]:
        if merged[-1][1] == begin_s:
            merged[-1][1] = end_s
        else:
            merged.append([begin_s, end_s])
    assert merged == [list(span) for span in spans]
    wanted = sum(any(low <= s < high for low, high in spans) for s in rows)
    assert sum(one.row_count for one in done) == wanted


def rows_within(query: BackupQuery, seconds: list[int], most: int) -> Page:
    """The newest of these rows that lie in the query's window, and how many do."""
    assert query.begin is not None
    assert query.end is not None
    low, high = int(query.begin.timestamp()), int(query.end.timestamp())
    inside = [second for second in seconds if low <= second <= high]
    ids = tuple(f"b{second}" for second in inside[:most])
    return Page(query, b"", len(inside), ids, tuple(inside[:most]))


@pytest.mark.parametrize("number", range(4))
def test_an_answer_that_comes_empty_hides_no_row_of_a_window(number: int) -> None:
    """It is asked again, also where no answer before had rows, and no witness counts at the end."""
    seconds, asked = list(range(90_000, 0, -300)), list[BackupQuery]()

    def answer(query: BackupQuery) -> Page:
        asked.append(query)
        return rows_within(query, [] if len(asked) == number + 1 else seconds, query.limit)

    done = list(Workers(schedule_of([(0, 90_001)]), answer, 1).run())
    assert sum(one.row_count for one in done) == len(seconds)
    assert not any(one.reasons for one in done)


def test_a_service_that_always_gives_one_row_less_is_read_whole() -> None:
    """Its answers contradict themselves for good: uncertified, but what is below them is read."""
    seconds = list(range(50_000, 0, -5))
    answers = Workers(
        schedule_of([(0, 50_001)]), lambda query: rows_within(query, seconds, query.limit - 1), 1
    )
    done = list(answers.run())
    assert sum(one.row_count for one in done) > 0.98 * len(seconds)
    assert any("rows came where" in reason for one in done for reason in one.reasons)
