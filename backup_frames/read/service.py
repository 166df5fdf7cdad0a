"""One connection to the service, and all that it can be asked: one login, one pool, one gate.

In: settings, once. Out: as many reads as one likes over the same connection.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import currentframe
from math import ceil
from typing import TYPE_CHECKING, Unpack

import pyarrow as pa

from ..api.connect import open_client
from ..api.gate import connections_for
from ..api.query import MAX_LIMIT
from ..clock import Clock
from ..errors import IncompleteReadError
from ..facts import Report
from ..frames.deduplicate import deduplicate_frames
from ..frames.flatten import concat_frames
from ..frames.frames import BackupFrames
from ..scan.plan import look_at
from ..settings import Settings, resolve_settings
from ..settings.values import check_switches
from .inventory import InventoryReader
from .keywords import ConnectionKeywords, FilterKeywords, spelled_out
from .question import Question, explain_selection, naming_filters
from .reader import BackupReader, Progress

if TYPE_CHECKING:
    import httpx  # types only: this room knows no HTTP
    import pandas as pd

    from ..api.client import BackupClient

_OVERLAP = 1.05
_FIXED_REQUESTS = 14


@dataclass(frozen=True, slots=True)
class ReadPlan(Report):
    """What a read would cost, as far as one count per level tells.

    Attributes:
        rows: backups that match now, by level.
        requests: requests it would take, about.
        seconds: how long that would take at the latency just seen and the limits set, about.
        request_latency_s: seconds that one request took.
        matched_after: filters that are matched after the read only: `rows` are counted without them.
    """

    rows: dict[str, int]
    requests: int
    seconds: float
    request_latency_s: float
    matched_after: tuple[str, ...] = ()

    def facts(self) -> list[tuple[str, str]]:
        """What it says, heading by heading."""
        by_level = ", ".join(f"{count:,} {level}" for level, count in self.rows.items())
        facts = [
            ("backups", f"{sum(self.rows.values()):,} ({by_level or 'none'})"),
            ("requests", f"about {self.requests:,}"),
            (
                "time",
                f"about {self.seconds:,.1f} s, at {1000 * self.request_latency_s:,.0f} ms each",
            ),
        ]
        if self.matched_after:
            facts.append(("counted without", ", ".join(self.matched_after)))
        return facts


class ReadService:
    """One connection's reads; see `connect`. Safe to use from one thread at a time.

    Args:
        client: asks; closed with this object.
        project_id: whose backups.
        settings: where from, and the limits.
    """

    def __init__(self, client: BackupClient, project_id: str, settings: Settings) -> None:
        self._client = client
        self._project_id = project_id
        self._settings = settings

    @property
    def project_id(self) -> str:
        """Whose backups are read."""
        return self._project_id

    @spelled_out(FilterKeywords)
    def read_backups(
        self,
        *,
        allow_incomplete: bool = False,
        progress: Progress | None = None,
        **filters: Unpack[FilterKeywords],
    ) -> BackupFrames:
        """Read all backups that match, verified; as `backup_frames.read_backups` does."""
        question = Question(clock=self._client.clock, **filters)
        return self.read(question, allow_incomplete=allow_incomplete, progress=progress)

    @spelled_out(FilterKeywords)
    def scan_backups(
        self,
        *,
        allow_incomplete: bool = False,
        progress: Progress | None = None,
        **filters: Unpack[FilterKeywords],
    ) -> Iterator[BackupFrames]:
        """The same, streamed range by range; as `backup_frames.scan_backups` does."""
        question = Question(clock=self._client.clock, **filters)
        return self.scan(question, allow_incomplete=allow_incomplete, progress=progress)

    @spelled_out(FilterKeywords)
    def plan_read(self, **filters: Unpack[FilterKeywords]) -> ReadPlan:
        """Tell what such a read would cost, by one count per level."""
        question = Question(clock=self._client.clock, **filters)
        return self.plan(question)

    def read_instances(self) -> pd.DataFrame:
        """Read all instances of the project; as `backup_frames.read_instances` does."""
        instances: pd.DataFrame = self._proven_instances().to_pandas()
        return instances

    def read_policies(self, instance_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """Read the policies for automated backups; as `backup_frames.read_policies` does."""
        if instance_ids is None:
            instance_ids = self._proven_instances()["instance_id"].to_pylist()
        table, found = self._inventory().policies(sorted(set(instance_ids)))
        for error in filter(None, (found.stopped_by, *found.refused.values())):
            raise error
        policies: pd.DataFrame = table.to_pandas()
        return policies

    def read(
        self, question: Question, *, allow_incomplete: bool, progress: Progress | None
    ) -> BackupFrames:
        """Read a checked question into memory."""
        check_switches(allow_incomplete=allow_incomplete)
        reader = self._reader(question, progress)
        _warn(question.warnings)
        with naming_filters(question):
            parts = list(reader.scan(question.spans, is_full=question.is_full, align_s=1))
        arrow, duplicates = deduplicate_frames(concat_frames([part.frames for part in parts]))
        reader.close_books(arrow.backups.num_rows, duplicates)
        frames = BackupFrames(arrow, reader.certificate)
        _warn([] if len(frames) else question.empty_advice)
        return frames if allow_incomplete else _required_complete(frames)

    def scan(
        self, question: Question, *, allow_incomplete: bool, progress: Progress | None
    ) -> Iterator[BackupFrames]:
        """Stream a checked question; nothing is asked before the first part is wanted."""
        check_switches(allow_incomplete=allow_incomplete)
        reader = self._reader(question, progress)
        frames: BackupFrames | None = None
        _warn(question.warnings)
        with naming_filters(question):
            for part in reader.scan(question.spans, is_full=question.is_full, align_s=1):
                frames = BackupFrames(part.frames, reader.certificate)
                yield frames
        if not reader.row_count:
            _warn(question.empty_advice)
        if frames is not None and not allow_incomplete:
            _required_complete(frames)

    def plan(self, question: Question) -> ReadPlan:
        """Count what a checked question asks for."""
        reader = self._reader(question, None)
        clock = self._client.clock
        started = clock.monotonic()
        rows: dict[str, int] = {}
        _warn(question.warnings)
        with naming_filters(question):
            for level in reader.levels:
                query = replace(reader.query, level=level, limit=1)
                for begin_s, end_s in question.spans:
                    asked = query if question.is_full else look_at(query, begin_s, end_s)
                    rows[level] = self._client.fetch_page(asked).total_count
        latency_s = (clock.monotonic() - started) / max(len(rows), 1)
        requests = sum(ceil(count / MAX_LIMIT * _OVERLAP) for count in rows.values())
        requests += _FIXED_REQUESTS
        connections = self._settings.max_connections or connections_for(latency_s)
        seconds = requests * latency_s / connections
        if self._settings.max_requests_per_second:
            seconds = max(seconds, requests / self._settings.max_requests_per_second)
        return ReadPlan(
            rows, requests, round(seconds, 3), round(latency_s, 6), tuple(question.selection)
        )

    def _reader(self, question: Question, progress: Progress | None) -> BackupReader:
        reader = BackupReader(
            self._client,
            question.query(self._project_id, self._settings.api_version),
            levels=question.levels,
            connections=self._settings.max_connections,
            progress=progress,
        )
        reader.begin, reader.end = question.begin, question.end
        reader.selection, reader.empty_advice = question.selection, question.empty_advice
        reader.warnings = [*question.warnings, *explain_selection(question.selection)]
        return reader

    def _inventory(self) -> InventoryReader:
        connections = self._settings.max_connections
        return InventoryReader(self._client, self._project_id, connections=connections)

    def _proven_instances(self) -> pa.Table:
        instances, is_proven = self._inventory().instances()
        if not is_proven:
            raise IncompleteReadError(
                f"{instances.num_rows} instances were read, but the list changed with every pass, so "
                "that others may be missing. Read again when fewer are created and deleted."
            )
        return instances


@contextmanager
def open_reads(**given: Unpack[ConnectionKeywords]) -> Iterator[ReadService]:
    """A connection for the one-liners: opened, asked, closed."""
    client, project_id, settings = reach(**given)
    with client:
        yield ReadService(client, project_id, settings)


def reach(
    *,
    endpoint: str | None = None,
    region: str | None = None,
    project_id: str | None = None,
    token: str | None = None,
    settings: Settings | None = None,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
) -> tuple[BackupClient, str, Settings]:
    """A client, the project that it asks for, and the settings it goes by; see `connect`."""
    settings = resolve_settings(
        settings, endpoint=endpoint, region=region, project_id=project_id, token=token
    )
    return *open_client(settings, transport=transport, clock=clock), settings


def _warn(texts: Iterable[str]) -> None:
    """Warn at the line that called this package, however many of its own frames are between."""
    package = __name__.partition(".")[0]
    frame, level = currentframe(), 1
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    for text in texts:
        warnings.warn(text, UserWarning, stacklevel=level)


def _required_complete(frames: BackupFrames) -> BackupFrames:
    certificate = frames.certificate
    if certificate is None or certificate.is_complete:
        return frames
    raise IncompleteReadError(
        f"{certificate.rows} backups were read, but completeness is not proven: "
        f"{'; '.join(certificate.reasons[:3])}. Read again, or pass allow_incomplete=True "
        "to take them as they are.",
        frames=frames,
        certificate=certificate,
    )
