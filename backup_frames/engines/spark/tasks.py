"""What one task does: read its range with its own client, and prove it before handing out a row.

In: options and a `PlannedRange`. Out: deduplicated Arrow tables and a complete certificate, or an error
that fails the task. Runs on executors; no Spark is needed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from ...api.client import BackupClient
from ...api.connect import open_client
from ...api.query import BackupQuery
from ...errors import ConfigError, IncompleteReadError
from ...frames.deduplicate import deduplicate_frames
from ...frames.flatten import ArrowFrames, concat_frames, flatten_pages
from ...read.reader import BackupReader
from ...scan.certificate import Certificate, RangeCount
from ...scan.finished import FinishedRange
from ...scan.plan import CoveredSpan, to_moment
from ...scan.walks.witness import Witness
from ...settings import Settings
from .options import CONNECTIONS, SourceOptions
from .plan import PlannedRange


def read_range(options: SourceOptions, planned: PlannedRange) -> tuple[ArrowFrames, Certificate]:
    """Read one planned range, verified.

    Costs about 1.05 requests per 100 backups; holds the range in memory, 300 bytes per backup.

    Returns:
        The range's rows, each backup once, and a certificate whose verdict is ``complete``.

    Raises:
        ConfigError: this machine lacks a setting.
        FetchError: the service refused, failed or throttled to the end of the retry budget.
        SchemaError: an answer is outside the contract.
        IncompleteReadError: completeness of the range is not proven.
    """
    settings = _load_settings(options, planned)
    connections = settings.max_connections or CONNECTIONS
    try:
        client, _ = open_client(settings)
    except ConfigError as error:
        raise ConfigError(
            f"{error} On Spark, set it for the executors as well, such as by "
            "spark.executorEnv.BACKUP_FRAMES_TOKEN before the session starts."
        ) from error
    with client:
        query = BackupQuery(planned.project_id, api_version=settings.api_version, **options.filters)  # type: ignore[arg-type]  # it checks its own arguments
        reader = BackupReader(
            client,
            query,
            levels=options.levels,
            connections=connections,
            is_proving=planned.kind == "whole",  # else it was proven where the ranges were planned
        )
        if planned.kind == "untimed":
            frames, certificate = _read_untimed(reader, client)
        else:
            frames, certificate = _read_span(reader, options, planned)
    if not certificate.is_complete:
        raise IncompleteReadError(
            f"A range of project {planned.project_id} was read, but completeness is not proven: "
            f"{'; '.join(certificate.reasons[:3])}. Run the job again.",
            certificate=certificate,
        )
    return frames, certificate


def _load_settings(options: SourceOptions, planned: PlannedRange) -> Settings:
    """The settings of the range's project on this machine, with the task's share of the rate."""
    projects = options.load_projects()[planned.project_index :]
    if not projects or projects[0].project_id not in (None, planned.project_id):
        raise ConfigError(
            f"The driver's settings name project {planned.project_id}, those of this executor do "
            "not in its place. Give all machines the same config file and environment."
        )
    own = {"project_id": planned.project_id, "max_requests_per_second": planned.requests_per_second}
    return projects[0].model_copy(update=own)


def _read_span(
    reader: BackupReader, options: SourceOptions, planned: PlannedRange
) -> tuple[ArrowFrames, Certificate]:
    span = planned.begin_s, planned.end_s
    if planned.kind == "range" or not planned.is_full:
        reader.begin, reader.end = map(to_moment, span)
    is_full = planned.kind == "whole" and planned.is_full
    spans = [span] if span[0] < span[1] else []
    parts = list(reader.scan(spans, is_full=is_full, align_s=1))
    frames, duplicates = deduplicate_frames(concat_frames([part.frames for part in parts]))
    reader.close_books(frames.backups.num_rows, duplicates)
    certificate = reader.certificate
    if not is_full:  # a full read's verdict comes from its closing witness
        covered = [one for part in parts for one in part.covered]
        gaps = [reason for level in options.levels for reason in find_gaps(covered, level, *span)]
        certificate = _with_reasons(certificate, gaps)
    return frames, certificate


def _read_untimed(reader: BackupReader, client: BackupClient) -> tuple[ArrowFrames, Certificate]:
    """What no span of time can show, told by counts with and without times."""
    found: list[ArrowFrames] = []
    done: list[FinishedRange] = []
    for level in reader.levels:
        # other tasks read meanwhile, and do not tell whether the list moves: assume that it does
        witness = Witness(replace(reader.query, level=level), lambda: True, lambda: -1)
        steps = witness.steps()
        query = next(steps)
        with suppress(StopIteration):
            while True:
                query = steps.send(client.fetch_page(query))
        pieces = [piece for one in witness.finished for piece in one.pieces]
        done += witness.finished
        found.append(
            flatten_pages(
                [piece.body for piece in pieces],
                project_id=query.project_id,
                level=level,
                keep=[piece.rows for piece in pieces],
            )
        )
    frames, duplicates = deduplicate_frames(concat_frames(found))
    reader.close_books(frames.backups.num_rows, duplicates)
    certificate = replace(reader.certificate, ranges=tuple(map(RangeCount.of, done)))
    return frames, _with_reasons(certificate, [reason for one in done for reason in one.reasons])


def find_gaps(covered: Iterable[CoveredSpan], level: str, begin_s: int, end_s: int) -> list[str]:
    """What certified spans leave open of ``[begin_s, end_s)``, a text each; empty if they tile it."""
    gaps = []
    reached_s = begin_s
    spans = [
        (one.begin_s, one.end_s)
        for one in covered
        if one.level == level and one.is_certified and one.begin_s is not None
    ]
    for low_s, high_s in sorted([*spans, (end_s, end_s)]):
        if low_s > reached_s:
            gaps.append(f"{level} {to_moment(reached_s)} to {to_moment(low_s)} is not certified")
        reached_s = max(reached_s, high_s or 0)
    return gaps


def _with_reasons(certificate: Certificate, reasons: Sequence[str]) -> Certificate:
    if not reasons:
        return certificate
    return replace(certificate, verdict="incomplete", reasons=[*certificate.reasons, *reasons])
