"""Which task reads what: spans of time that tile the whole, each with about as many rows.

In: a question and a client. Out: `PlannedRange` after range, small and picklable. Rows are counted,
not read: one request with ``limit=1`` tells how many backups a span of time holds. No Spark is
needed here.

The cuts need not be right, only disjoint and without gaps: a backup belongs to the span that its
begin time lies in, whatever happens to the list between planning and reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from typing import Final, Literal

from ...api.answers import Page
from ...api.connect import open_client
from ...api.query import BackupQuery
from ...errors import RejectedError
from ...scan.plan import look_at, to_span
from ...scan.proof.trial import is_as_assumed
from ...settings import Settings
from .options import SourceOptions

Span = tuple[int, int]
Look = Callable[[Sequence[BackupQuery]], list[Page]]
"""Asks several questions side by side; answers come in their order."""
Count = Callable[[Sequence[Span]], list[int]]

_LOOKS_AT_ONCE: Final = 8
_SMALL_ROWS: Final = 500  # a task with less costs more to start than to read
_SMALL_PARTS: Final = 8  # enough for each core of a small cluster to take part


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
        project_index: position of the project's settings in `SourceOptions.load_projects`.
        requests_per_second: this task's share of the rate; None for no own limit.
        index: position among all ranges of the read.
    """

    project_id: str
    kind: Literal["whole", "range", "untimed"]
    begin_s: int
    end_s: int
    whole: Span
    is_full: bool
    project_index: int = 0
    requests_per_second: float | None = None
    index: int = 0


def plan_ranges(options: SourceOptions) -> list[PlannedRange]:
    """Plan a read of the service, all projects and levels at once.

    Per project: one range if it is small, or if the service refuses wide windows, so that nothing
    can be counted; else ranges, oldest first, and one for the rows without begin time.

    Costs one request per level and project and, where there is something to cut, about fifteen more
    and one or two per cut, and six to prove what is assumed of the service (else one task reads
    all). Empty if the filters leave nothing to read.

    Raises:
        ConfigError: a setting is missing or wrong, before any request.
        FetchError: the service refused or failed.
    """
    if options.is_empty:
        return []
    planned = [
        replace(one, project_index=index, requests_per_second=settings.max_requests_per_second)
        for index, settings in enumerate(options.load_projects())
        for one in _plan_project(settings, options)
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


def _plan_project(settings: Settings, options: SourceOptions) -> list[PlannedRange]:
    whole = to_span(options.begin, options.end)
    client, project_id = open_client(settings)
    with client, ThreadPoolExecutor(settings.max_connections or _LOOKS_AT_ONCE) as pool:
        query = BackupQuery(project_id, api_version=settings.api_version, **options.filters)  # type: ignore[arg-type]  # it checks its own arguments
        try:
            spans = _find_spans(
                lambda asked: list(pool.map(client.fetch_page, asked)), query, options, whole
            )
        except RejectedError:
            spans = [whole]
        if len(spans) > 1:  # one task proves and reads it, or says why that cannot be
            now_s = int(client.clock.now().timestamp())
            if not is_as_assumed(query, options.levels, now_s, client.fetch_page):
                spans = [whole]
    alone = PlannedRange(project_id, "whole", *whole, whole, options.is_full)
    if len(spans) < 2:
        return [alone]
    ranges = [replace(alone, kind="range", begin_s=one[0], end_s=one[1]) for one in spans]
    return [*ranges, replace(alone, kind="untimed")] if options.is_full else ranges


def _find_spans(look: Look, query: BackupQuery, options: SourceOptions, whole: Span) -> list[Span]:
    """The tiles of the whole, by the counts of the level that has the most rows."""
    if options.partitions == 1:
        return [whole]
    asked = replace(query if options.is_full else look_at(query, *whole), limit=1)
    pages = look([replace(asked, level=level) for level in options.levels])
    rows = sum(page.total_count for page in pages)
    few = min(rows // _SMALL_ROWS, _SMALL_PARTS)
    parts = options.partitions or max(few, ceil(rows / options.rows_per_partition), 1)
    main = max(pages, key=lambda page: page.total_count)

    def count(spans: Sequence[Span]) -> list[int]:
        counted = [replace(look_at(main.query, *span), limit=1) for span in spans]
        return [page.total_count for page in look(counted)]

    return cut_spans(count, whole, main.total_count, parts)


def cut_spans(count: Count, whole: Span, total: int, parts: int) -> list[Span]:
    """Cut a span at whole seconds into parts of about as many rows.

    Args:
        count: tells how many rows each of several spans holds, about.
        whole: what to cut, ``[begin_s, end_s)``.
        total: rows of the whole, about.
        parts: how many spans are wanted.

    Returns:
        Spans, oldest first, that tile the whole; fewer where seconds are too dense to be cut.
    """
    bins = [(whole, total)]
    while full := [one for one, held in bins if held > total / parts and one[1] - one[0] > 1]:
        # halved, all of a round side by side, until no bin holds more than one part should
        older = count([(begin_s, (begin_s + end_s) // 2) for begin_s, end_s in full])
        bins = list(_halve_bins(bins, dict(zip(full, older, strict=True))))
    cuts: list[int] = []
    below = 0
    for (begin_s, end_s), held in bins:
        while held and len(cuts) < parts - 1:
            wanted = total * (len(cuts) + 1) / parts - below
            if wanted > held:
                break
            # between two counts, rows are taken to be spread evenly
            cuts.append(begin_s + round((end_s - begin_s) * wanted / held))
        below += held
    edges = sorted({whole[0], whole[1], *(cut for cut in cuts if whole[0] < cut < whole[1])})
    return list(pairwise(edges))


def _halve_bins(
    bins: Sequence[tuple[Span, int]], older: Mapping[Span, int]
) -> Iterator[tuple[Span, int]]:
    for span, held in bins:
        if span in older:
            middle_s = (span[0] + span[1]) // 2
            older_held = min(older[span], held)
            yield (span[0], middle_s), older_held
            yield (middle_s, span[1]), held - older_held
        else:
            yield span, held
