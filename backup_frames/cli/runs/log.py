"""What came of each project of a ``sync``, told as soon as it ends: a line each, and metrics.

In: reports and errors. Out: lines on stdout as text or JSON, errors on stderr, a metrics file, the
worst exit code.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import BackupFramesError
from ..screen.exceptions import print_exceptions
from ..screen.output import OutputError, flush_out
from ..screen.tables import COLOURS, print_text
from ..session.session import Session
from .metrics import read_kpis, write_metrics

if TYPE_CHECKING:
    from ...settings import RefusedProject, Settings
    from ...sync.one_project import SyncReport

Part = str | tuple[str, str]


def label_of(project: Settings | RefusedProject) -> str:
    """What a person knows the project by."""
    from ...settings import RefusedProject

    if isinstance(project, RefusedProject):
        return project.label
    return project.project_id or project.known_region or "project"


def summary_of(report: SyncReport) -> list[Part]:
    """What a run did, in a line: verdict, +new ~changed -gone = present, requests, seconds."""
    counts = report.counts
    moved = (
        f"+{counts['new'] + counts['returned']:,} ~{counts['changed']:,} -{counts['gone']:,} "
        f"= {counts['present']:,} backups, {report.requests:,} requests, {report.duration_s:.1f} s"
    )
    return [(report.verdict, COLOURS.get(report.verdict, "")), f", {moved}"]


class RunLog:
    """Tells what came of each project; nothing of that stops the others.

    Args:
        session: where it is told.
        metrics_file: where numbers go, if anywhere.
        projects: all that are to come.
    """

    def __init__(
        self,
        session: Session,
        metrics_file: Path | None,
        projects: list[Settings | RefusedProject],
    ) -> None:
        from ...settings import Settings

        self._session = session
        self._metrics_file = metrics_file
        lakes = (one.lake for one in projects if isinstance(one, Settings))
        self._lakes = list(dict.fromkeys(lake for lake in lakes if lake is not None))
        self._count = len(projects)
        self._outcomes: list[dict[str, Any]] = []
        self._is_any_written = False
        self._fault: Exception | None = None  # of stdout or of the metrics file
        self._written = 0
        self._write_again_at = 0.0

    def add(self, project: Settings | RefusedProject, result: SyncReport | Exception) -> None:
        """Take in how a project ended."""
        label = label_of(project)
        session = self._session
        if isinstance(result, Exception):
            is_named = self._count > 1 or getattr(project, "project_id", None)
            about = f"{label}: " if is_named else ""
            code = session.fail(result, about=about, facts={"project_id": label})
            facts: dict[str, Any] = {"project_id": label, "exit_code": code}
            self._tell([f"{about}{result}"], facts, error=type(result).__name__)
        else:
            self._is_any_written = self._is_any_written or not result.is_dry_run
            facts = result.to_dict()
            for warning in dict.fromkeys((*result.certificate.warnings, *result.warnings)):
                session.warn(f"{label}: {warning}")
            if result.exit_code:
                why = "; ".join(result.reasons[:3]) or result.verdict
                text = f"{label}: {result.verdict}: {why}"
                session.conclude(text, result.exit_code, facts={"project_id": label})
            if result.is_dry_run and session.log_format == "text":
                self._print(lambda: session.print(result.to_text()))
            else:
                self._tell([f"{label}: ", *summary_of(result)], facts)
            facts["certificate"].pop("ranges")  # of 1,000 projects: memory stays flat
        self._outcomes.append(facts)
        if len(self._outcomes) < self._count:  # the last one's are written once, with the KPIs
            self.write_metrics()

    def write_metrics(self, *, is_last: bool = False) -> None:
        """Write the metrics of all that ended, if that is new; at most a tenth of the time."""
        begun_s = time.monotonic()
        is_due = len(self._outcomes) > self._written and begun_s >= self._write_again_at
        if self._metrics_file is None or not (is_last or is_due):
            return
        self._written = len(self._outcomes)
        try:
            write_metrics(self._metrics_file, self._outcomes, self._kpis() if is_last else None)
        except BackupFramesError as error:
            self._fault = error
        ended_s = time.monotonic()
        self._write_again_at = ended_s + 9 * (ended_s - begun_s)

    def finish(self) -> None:
        """Say how many are up to date, and what is new to look at; the exit code is the worst."""
        self.write_metrics(is_last=True)
        session = self._session
        if self._count > 1:
            good = sum(outcome["exit_code"] == 0 for outcome in self._outcomes)
            session.note(f"{good} of {self._count} projects are up to date.")
        if self._is_any_written and session.log_format == "text" and not session.is_quiet:
            self._print(self._tell_new_exceptions)
        codes = [outcome["exit_code"] for outcome in self._outcomes]
        if self._fault is not None:
            codes.append(session.fail(self._fault))
        session.exit_code = max(codes)

    def _tell(self, parts: list[Part], facts: dict[str, Any], error: str | None = None) -> None:
        """A line: with --log-format json of one shape, however the run ended."""
        session = self._session
        if session.log_format == "json":
            text = "".join(part if isinstance(part, str) else part[0] for part in parts)
            self._print(lambda: session.print(session.scrub(json_line(text, facts, error))))
        elif error is None and not session.is_quiet:
            self._print(lambda: print_text(*parts))

    def _print(self, write: Any) -> None:
        try:
            write()
            flush_out()
        except OutputError as error:
            self._fault = self._fault or error

    def _tell_new_exceptions(self) -> None:
        from ...insight.kpi.changes import find_exceptions

        for lake in self._lakes:
            try:
                found = find_exceptions(lake, at_least="medium", new=True)
            except (BackupFramesError, OSError) as error:  # of one lake, which may be no place
                self._session.warn(f"What is new to look at is not known: {error}")
                continue
            if found.num_rows:
                print_text(f"New to look at since the last run ({found.num_rows:,}):")
                print_exceptions(found, lake)

    def _kpis(self) -> dict[str, dict[str, float | None]]:
        kpis: dict[str, dict[str, float | None]] = {}
        for lake in self._lakes:
            try:
                kpis |= read_kpis(lake)
            except (BackupFramesError, OSError) as error:  # of one lake, which may be no place
                self._session.warn(f"The metrics lack the KPIs of {lake}: {error}")
        return kpis


def json_line(text: str, facts: dict[str, Any], error: str | None) -> str:
    """A run as one JSON object: what a failed one has no value for is null."""
    from ...sync.one_project import SyncReport

    shape = dict.fromkeys(SyncReport.__dataclass_fields__)
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "level": "error" if facts["exit_code"] else "info",
        "message": " ".join(text.split()),
        "project_id": None,
        "exit_code": None,
        "error": error,
    }
    return json.dumps(line | shape | facts, ensure_ascii=False, default=str)
