"""Which task reads what: spans of time that tile the whole, each with about as many rows.

In: a question and a client. Out: `PlannedRange` after range, small and picklable. Rows are counted,
not read: one request with ``limit=1`` tells how many backups a span of time holds. No Spark is
needed here.

The cuts need not be right, only disjoint and without gaps: a backup belongs to the span that its
begin time lies in, whatever happens to the list between planning and reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from typing import Final, Literal

from ..api.answers import Page
from ..api.connect import open_client
from ..api.query import BackupQuery
from ..errors import RejectedError
from ..scan.plan import look_at, to_span
from ..settings import Settings
from .spark_options import SourceOptions

Span = tuple[int, int]
Look = Callable[[Sequence[BackupQuery]], list[Page]]
"""Asks several questions side by side; answers come in their order."""
Count = Callable[[Sequence[Span]], list[int]]

_DAY_S: Final = 86_400
_SMALL_ROWS: Final = 500  # a task with less costs more to start than to read
_SMALL_PARTS: Final = 8  # enough for each core of a small cluster to take part
_MAX_HALVINGS: Final = 16


@dataclass(frozen=True)
class PlannedRange:
    """What one task reads, and of which whole it is a part.

    Attributes:
        project_id: whose backups.
        kind: ``whole``: all that was asked for; ``range``: a span of it; ``untimed``: only what no
            span of time can show.
        begin_s: first second, included.
        end_s: end, excluded.
        whole: the span that all ranges of the project tile.
        is_full: whether rows without begin time belong to the whole.
        requests_per_second: this task's share of the rate; None for no own limit.
        index: position among all ranges of the read.
    """

    project_id: str
    kind: Literal["whole", "range", "untimed"]
    begin_s: int
    end_s: int
    whole: Span
    is_full: bool
    requests_per_second: float | None = None
    index: int = 0


def plan_ranges(options: SourceOptions) -> list[PlannedRange]:
    """Plan a read of the service, all projects and levels at once.

    Costs one request per level and project and, where there is something to cut, about eight more
    and one or two per cut. Empty if the filters leave nothing to read.

    Raises:
        ConfigError: a setting is missing or wrong, before any request.
        FetchError: the service refused or failed.
    """
    if options.is_empty:
        return []
    planned = [
        one for settings in options.load_projects() for one in _ask_project(settings, options)
    ]
    at_once = min(len(planned), options.concurrency or len(planned))
    return [
        replace(
            one,
            index=index,
            requests_per_second=one.requests_per_second and one.requests_per_second / at_once,
        )
        for index, one in enumerate(planned)
    ]


def _ask_project(settings: Settings, options: SourceOptions) -> list[PlannedRange]:
    client, project_id = open_client(settings)
    rate = settings.max_requests_per_second
    with client, ThreadPoolExecutor(settings.max_connections) as pool:
        query = BackupQuery(project_id, **options.filters)  # type: ignore[arg-type]  # it checks its own arguments
        ranges = plan_project(
            lambda asked: list(pool.map(client.fetch_page, asked)), query, options
        )
    return [replace(one, requests_per_second=rate) for one in ranges]


def plan_project(look: Look, query: BackupQuery, options: SourceOptions) -> list[PlannedRange]:
    """Plan the ranges of one project: one if it is small, else ranges oldest first.

    A service that refuses wide windows, so that nothing can be counted, is read by one task, which
    finds its way.
    """
    whole = to_span(options.begin, options.end)
    alone = [PlannedRange(query.project_id, "whole", *whole, whole, options.is_full)]
    if options.partitions == 1:
        return alone
    try:
        spans = _spans(look, query, options, whole)
    except RejectedError:
        return alone
    if len(spans) < 2:
        return alone
    ranges = [
        PlannedRange(query.project_id, "range", *span, whole, options.is_full) for span in spans
    ]
    if options.is_full:
        ranges.append(replace(alone[0], kind="untimed"))
    return ranges


def _spans(look: Look, query: BackupQuery, options: SourceOptions, whole: Span) -> list[Span]:
    """The tiles of the whole, by the counts of the level that has the most rows."""
    asked = replace(query if options.is_full else look_at(query, *whole), limit=1)
    pages = look([replace(asked, level=level) for level in options.levels])
    rows = sum(page.total_count for page in pages)
    parts = options.partitions or _wanted_parts(rows, options.rows_per_partition)
    if parts < 2:
        return [whole]
    main = max(pages, key=lambda page: page.total_count)

    def count(spans: Sequence[Span]) -> list[int]:
        counted = [replace(look_at(main.query, *span), limit=1) for span in spans]
        return [page.total_count for page in look(counted)]

    newest_s = main.begin_s[0] if main.begin_s else None
    if newest_s is None or not whole[0] <= newest_s < whole[1]:
        newest_s = whole[1] - 1 if options.end else whole[0]
    return cut_spans(count, whole, newest_s, main.total_count, parts)


def _wanted_parts(rows: int, rows_per_partition: int) -> int:
    return max(min(rows // _SMALL_ROWS, _SMALL_PARTS), ceil(rows / rows_per_partition), 1)


def cut_spans(count: Count, whole: Span, newest_s: int, total: int, parts: int) -> list[Span]:
    """Cut a span at whole seconds into parts of about as many rows.

    Args:
        count: tells how many rows each of several spans holds, about.
        whole: what to cut, ``[begin_s, end_s)``.
        newest_s: second of the newest row.
        total: rows of the whole, about.
        parts: how many spans are wanted.

    Returns:
        Spans, oldest first, that tile the whole; fewer where seconds are too dense to be cut.
    """
    bins = _halve_bins(count, _ladder(count, whole, newest_s, total), total / parts)
    rows = sum(held for _, held in bins)
    cuts: list[int] = []
    below = 0
    for (begin_s, end_s), held in bins:
        while (
            held
            and below + held >= (wanted := rows * (len(cuts) + 1) / parts)
            and len(cuts) < parts - 1
        ):
            # between two counts, rows are taken to be spread evenly
            cuts.append(begin_s + round((end_s - begin_s) * (wanted - below) / held))
        below += held
    edges = sorted({whole[0], whole[1], *(cut for cut in cuts if whole[0] < cut < whole[1])})
    return list(pairwise(edges))


def _ladder(count: Count, whole: Span, newest_s: int, total: int) -> list[tuple[Span, int]]:
    """The whole in spans that grow with age, each with its rows, oldest first.

    Backups live for days, some for years, and a read without bounds spans centuries.
    """
    top_s = min(newest_s + 1, whole[1])
    rungs = [top_s - _DAY_S * 4**step for step in range(12)]
    edges = [top_s, *(rung for rung in rungs if rung > whole[0])]
    newer = [0, *count([(edge, top_s) for edge in edges[1:]]), total]
    spans = zip([*edges[1:], whole[0]], edges, strict=True)
    held = (max(after - before, 0) for before, after in pairwise(newer))
    ladder = [*zip(spans, held, strict=True)]
    return [*reversed(ladder), ((top_s, whole[1]), 0)]


def _halve_bins(count: Count, bins: list[tuple[Span, int]], most: float) -> list[tuple[Span, int]]:
    """Halve spans that hold more rows than one part should, all of a round side by side."""
    for _ in range(_MAX_HALVINGS):
        full = [span for span, held in bins if held > most and span[1] - span[0] > 1]
        if not full:
            break
        older = [(begin_s, (begin_s + end_s) // 2) for begin_s, end_s in full]
        counted = dict(zip(full, zip(older, count(older), strict=True), strict=True))
        bins = list(_split_bins(bins, counted))
    return bins


def _split_bins(
    bins: Sequence[tuple[Span, int]], counted: dict[Span, tuple[Span, int]]
) -> Iterator[tuple[Span, int]]:
    for span, held in bins:
        if span not in counted:
            yield span, held
            continue
        older, older_held = counted[span]
        yield older, min(older_held, held)
        yield (older[1], span[1]), max(held - older_held, 0)
