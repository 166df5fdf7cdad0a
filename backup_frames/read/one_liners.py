"""The one-liners: a whole read in memory, the same streamed, and what it would cost.

In: keyword arguments, or settings from the environment. Out: `BackupFrames` with a certificate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from math import ceil
from typing import TYPE_CHECKING

from ..api.clock import Clock
from ..api.connect import open_client
from ..api.query import LEVELS, MAX_LIMIT, BackupQuery, Level, parse_moment
from ..errors import IncompleteReadError, QueryError
from ..frames.flatten import concat_frames
from ..frames.frames import BackupFrames
from ..frames.settle import settle_frames
from ..scan.plan import look_at, to_span
from ..settings import Settings, resolve_settings
from .reader import BackupReader, Progress

if TYPE_CHECKING:
    import httpx  # types only: this room knows no HTTP

Moment = str | date | datetime

_OVERLAP = 1.05
_FIXED_REQUESTS = 14


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What a read would cost, as far as one count per level tells.

    Attributes:
        rows: backups that match now, by level.
        requests: requests it would take, about.
        seconds: how long that would take at the latency just seen and the limits set, about.
        request_latency_s: seconds that one request took.
    """

    rows: dict[str, int]
    requests: int
    seconds: float
    request_latency_s: float


def read_backups(  # noqa: PLR0913  # one keyword per setting and filter, as DESIGN's users know them
    *,
    endpoint: str | None = None,
    region: str | None = None,
    project_id: str | None = None,
    token: str | None = None,
    instance_id: str | None = None,
    datastore_type: str | None = None,
    backup_id: str | None = None,
    backup_type: str | None = None,
    level: Level | None = None,
    begin: Moment | None = None,
    end: Moment | None = None,
    allow_incomplete: bool = False,
    settings: Settings | None = None,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> BackupFrames:
    """Read all backups that match, verified, into three tables.

    Asks the service now: about 1.05 requests per 100 backups, 8 side by side, and at most fifteen
    more; if the service turns out to mean something else by its parameters than this package
    assumes, all is read by offset, twice or more, and the verdict is ``incomplete``. Everything is
    held in memory, about 300 bytes per backup; `scan_backups` streams instead.

    Args:
        endpoint: the service, such as ``https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu``.
        region: such as ``eu-west-101``; gives the endpoint if that is not given.
        project_id: the project; looked up by region if it is not given.
        token: an IAM token; better from the environment.
        instance_id: only backups of this instance.
        datastore_type: only backups of this engine, such as ``cassandra``.
        backup_id: only this backup.
        backup_type: ``Auto`` or ``Manual``.
        level: ``Instance``, ``DatabaseTable``, or None for both.
        begin: first begin time, included: aware datetime, date or ISO text (UTC without zone).
            Backups without begin time come only if neither begin nor end is given.
        end: end of begin times, excluded; a date means its midnight.
        allow_incomplete: hand out what could not be proven complete, instead of raising.
        settings: all settings at once, arguments win over them; None: from environment and config file.
        transport: what carries requests, for tests; None for real connections.
        clock: time and waiting, for tests; None for the machine's.
        progress: called with rows done and rows expected.

    Returns:
        `BackupFrames`: ``backups`` one row per backup, sorted by (begin_time, backup_id), times in
        UTC, sizes in KB; empty, fully typed tables if nothing matches; with a certificate.

    Raises:
        ConfigError: a setting is missing or wrong; before any request.
        QueryError: a filter or time makes no sense; before any request.
        FetchError: the service refused, failed or throttled to the end of the retry budget.
        SchemaError: an answer is outside the contract.
        IncompleteReadError: completeness is not proven; ``error.frames`` has what was read.

    Examples:
        >>> from backup_frames.sandbox import Sandbox
        >>> with Sandbox(backups=500, seed=1) as box:
        ...     frames = read_backups(
        ...         endpoint=box.endpoint, project_id=box.project_id, token=box.token
        ...     )
        >>> len(frames), frames.certificate.verdict
        (500, 'complete')

    Source: "Querying Backups (Recommended)", ``GET /v3.1/{project_id}/backups``.
    """
    with _open_reader(locals()) as (reader, spans, is_full):
        parts = list(reader.scan(spans, is_full=is_full, align_s=1))
        arrow, duplicates = settle_frames(concat_frames([part.frames for part in parts]))
        reader.close_books(arrow.backups.num_rows, duplicates)
        frames = BackupFrames(arrow, reader.certificate)
    return frames if allow_incomplete else _required_complete(frames)


def scan_backups(  # noqa: PLR0913  # the same keywords as read_backups
    *,
    endpoint: str | None = None,
    region: str | None = None,
    project_id: str | None = None,
    token: str | None = None,
    instance_id: str | None = None,
    datastore_type: str | None = None,
    backup_id: str | None = None,
    backup_type: str | None = None,
    level: Level | None = None,
    begin: Moment | None = None,
    end: Moment | None = None,
    allow_incomplete: bool = False,
    settings: Settings | None = None,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> Iterator[BackupFrames]:
    """Read all backups that match, verified, streamed range by range: memory stays flat.

    Takes what `read_backups` takes and raises what it raises; an incomplete read raises
    `IncompleteReadError` after the last part. Nothing is asked before the first part is wanted.

    Yields:
        `BackupFrames` of some thousand backups each, in no particular order of time, sorted within;
        no backup comes twice under a complete verdict. Each carries the certificate of everything
        read so far; the last one's is the certificate of the read. At least one part comes, empty
        if nothing matches.

    Examples:
        >>> from backup_frames.sandbox import Sandbox
        >>> with Sandbox(backups=500, seed=1) as box:
        ...     parts = scan_backups(
        ...         endpoint=box.endpoint, project_id=box.project_id, token=box.token
        ...     )
        ...     sum(len(part) for part in parts)
        500
    """
    with _open_reader(locals()) as (reader, spans, is_full):
        frames: BackupFrames | None = None
        for part in reader.scan(spans, is_full=is_full, align_s=1):
            frames = BackupFrames(part.frames, reader.certificate)
            yield frames
    if frames is not None and not allow_incomplete:
        _required_complete(frames)


def plan_read(  # noqa: PLR0913  # the same keywords as read_backups
    *,
    endpoint: str | None = None,
    region: str | None = None,
    project_id: str | None = None,
    token: str | None = None,
    instance_id: str | None = None,
    datastore_type: str | None = None,
    backup_id: str | None = None,
    backup_type: str | None = None,
    level: Level | None = None,
    begin: Moment | None = None,
    end: Moment | None = None,
    settings: Settings | None = None,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
) -> ReadPlan:
    """Tell what a read would cost, by one count per level; nothing else is asked.

    Takes the filters of `read_backups` and raises what it raises before and while asking.
    """
    settings = resolve_settings(
        settings, endpoint=endpoint, region=region, project_id=project_id, token=token
    )
    with _open_reader(locals()) as (reader, spans, is_full):
        clock = reader.client.clock
        started = clock.monotonic()
        rows: dict[str, int] = {}
        for one_level in reader.levels:
            query = replace(reader.query, level=one_level, limit=1)
            for begin_s, end_s in spans:
                asked = query if is_full else look_at(query, begin_s, end_s)
                rows[one_level] = reader.client.fetch_page(asked).total_count
        latency_s = (clock.monotonic() - started) / max(len(rows), 1)
        requests = sum(ceil(count / MAX_LIMIT * _OVERLAP) for count in rows.values())
        requests += _FIXED_REQUESTS
        seconds = requests * latency_s / settings.max_connections
        if settings.max_requests_per_second:
            seconds = max(seconds, requests / settings.max_requests_per_second)
        return ReadPlan(rows, requests, round(seconds, 3), round(latency_s, 6))


@contextlib.contextmanager
def _open_reader(
    given: dict[str, object],
) -> Iterator[tuple[BackupReader, list[tuple[int, int]], bool]]:
    """Check the question, open a client, and hand out a reader with what it should read."""
    begin, end = (
        None if given[name] is None else parse_moment(given[name], name)  # type: ignore[arg-type]  # locals() forgets types
        for name in ("begin", "end")
    )
    if begin is not None and end is not None and begin > end:
        raise QueryError(f"begin {begin} is after end {end}; swap them.")
    filters = {
        name: given[name]
        for name in ("instance_id", "datastore_type", "backup_id", "backup_type")
        if given[name] is not None
    }
    level = given["level"]
    BackupQuery("check", level=LEVELS[0] if level is None else level, **filters)  # type: ignore[arg-type]  # it checks its own arguments
    names = ("endpoint", "region", "project_id", "token")
    settings = resolve_settings(
        given["settings"],  # type: ignore[arg-type]  # locals() forgets types
        **{name: given[name] for name in names},
    )
    client, project_id = open_client(
        settings,
        transport=given["transport"],  # type: ignore[arg-type]  # locals() forgets types
        clock=given["clock"],  # type: ignore[arg-type]  # likewise
    )
    with client:
        reader = BackupReader(
            client,
            BackupQuery(project_id, api_version=settings.api_version, **filters),  # type: ignore[arg-type]  # checked above
            levels=LEVELS if level is None else (level,),  # type: ignore[arg-type]  # checked above
            connections=settings.max_connections,
            progress=given.get("progress"),  # type: ignore[arg-type]  # locals() forgets types
        )
        reader.begin, reader.end = begin, end
        span = to_span(begin, end)
        is_full = begin is None and end is None
        yield reader, [span] if span[0] < span[1] else [], is_full


def _required_complete(frames: BackupFrames) -> BackupFrames:
    certificate = frames.certificate
    if certificate is None or certificate.is_complete:
        return frames
    raise IncompleteReadError(
        f"{certificate.rows} backups were read, but completeness is not proven: "
        f"{'; '.join(certificate.reasons[:3])}. Read again, or pass allow_incomplete=True "
        "(--allow-incomplete) to take them as they are.",
        frames=frames,
        certificate=certificate,
    )
