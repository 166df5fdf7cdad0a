"""The small proofs that reads and `doctor` share, against windows of every meaning."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from backup_frames.api.answers import Page, read_page
from backup_frames.api.query import BackupQuery
from backup_frames.errors import RejectedError
from backup_frames.scan.assumptions import (
    ASSUMPTIONS,
    ServiceProof,
    drive,
    find_ends,
    find_qualifying,
    prove_cut,
    prove_row,
)
from backup_frames.scan.plan import to_moment

BEGIN_S = 1_767_225_611
ROWS = [(BEGIN_S - 86_400 * n, BEGIN_S - 86_400 * n + 600) for n in range(5)]
Span = Callable[[int, int], tuple[int, int]]


def fetch_by(span_of: Span, *, ends: tuple[int, int] = (0, 0)) -> Callable[[BackupQuery], Page]:
    """A service of five backups, ten minutes long each, a day apart."""

    def fetch(query: BackupQuery) -> Page:
        found = ROWS
        if query.begin is not None and query.end is not None:
            low, high = int(query.begin.timestamp()) + ends[0], int(query.end.timestamp()) - ends[1]
            spans = ((row, span_of(*row)) for row in ROWS)
            found = [row for row, (first, last) in spans if low <= first and last <= high]
        page = [
            {
                "id": str(begin),
                "begin_time": f"{to_moment(begin):%FT%T}+0000",
                "end_time": f"{to_moment(end):%FT%T}+0000",
            }
            for begin, end in found[query.offset : query.offset + query.limit]
        ]
        body = json.dumps({"total_count": len(found), "backups": page})
        return read_page(query, body.encode())

    return fetch


def by_begin(begin: int, end: int) -> tuple[int, int]:
    return begin, begin


MEANINGS: dict[str, Span] = {
    "inside": lambda begin, end: (begin, end),
    "end": lambda begin, end: (end, end),
    "running in it": lambda begin, end: (end, begin),
    "created": lambda begin, end: (begin + 40, begin + 40),
    "created before": lambda begin, end: (begin - 40, begin - 40),
    "zone": lambda begin, end: (begin - 28_800, begin - 28_800),
    "day": lambda begin, end: (begin - begin % 86_400,) * 2,
    "minute": lambda begin, end: (begin - begin % 60,) * 2,
    "ignored": lambda begin, end: (2**40, 0),
}
QUERY = BackupQuery("p")


@pytest.mark.parametrize("ends", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_windows_on_begin_times_are_proven_whatever_ends_they_include(
    ends: tuple[int, int],
) -> None:
    """Both proofs hold, and two looks tell which ends a window includes."""
    fetch = fetch_by(by_begin, ends=ends)
    for row in find_qualifying(fetch(QUERY)):
        assert drive(prove_row(QUERY, row), fetch) is None
        assert drive(prove_cut(QUERY, row), fetch) == len(ROWS)
        assert drive(find_ends(QUERY, row), fetch) == (ends[0] == 0, ends[1] == 0)


@pytest.mark.parametrize("meaning", MEANINGS)
def test_windows_of_another_meaning_fail(meaning: str) -> None:
    """Two windows about one backup tell each other meaning apart, and say what they saw."""
    fetch = fetch_by(MEANINGS[meaning])
    for row in find_qualifying(fetch(QUERY)):
        told = drive(prove_row(QUERY, row), fetch)
        assert told is not None
        assert f"{to_moment(row.begin_s):%FT%TZ}" in told


def test_short_unfinished_and_undated_backups_prove_nothing() -> None:
    """Only a backup with both times, three seconds apart or more, can be a proof."""
    rows = [
        {"id": "a", "begin_time": "2026-01-01T00:00:05+0000"},
        {"id": "b", "begin_time": "2026-01-01T00:00:05+0000", "end_time": ""},
        {
            "id": "c",
            "begin_time": "2026-01-01T00:00:05+0000",
            "end_time": "2026-01-01T00:00:07+0000",
        },
        {"id": "d", "begin_time": None, "end_time": "2026-01-01T00:00:07+0000"},
        {"id": "e", "begin_time": "2025-12-31T23:00:05+0000", "end_time": 7},
        {
            "id": "f",
            "begin_time": "2025-12-31T22:00:05+0000",
            "end_time": "2025-12-31T22:00:08+0000",
        },
    ]
    body = json.dumps({"total_count": len(rows), "backups": rows}).encode()
    assert [row.backup_id for row in find_qualifying(read_page(QUERY, body))] == ["f"]


def test_a_refusal_is_told_to_who_asked() -> None:
    """Where the service refuses the windows of a proof, the refusal comes out, and nothing else."""

    def refuse(query: BackupQuery) -> Page:
        raise RejectedError("too wide")

    (row, *_) = find_qualifying(fetch_by(by_begin)(QUERY))
    with pytest.raises(RejectedError, match="too wide"):
        drive(prove_cut(QUERY, row), refuse)


def test_the_table_and_the_proof_say_what_they_mean() -> None:
    """Each assumption has a proof and a consequence; a certificate's line tells level by level."""
    assert len({one.name for one in ASSUMPTIONS}) == len(ASSUMPTIONS) >= 6
    assert all(all(one) for one in ASSUMPTIONS)
    proof = ServiceProof(0, {"Instance": "b1", "DatabaseTable": None})
    assert proof.describe() == (
        "Instance: proven by backup b1, 1970-01-01 00:00 UTC; "
        "DatabaseTable: not proven: no backup qualifies"
    )
