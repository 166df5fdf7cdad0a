"""The command doctor: is everything there that a read and a sync need, and is it as assumed?

In: settings and options. Out: a line per check on stdout; with ``--share`` what strangers may read.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from ...errors import BackupFramesError
from ...version import VERSION
from ..screen.tables import COLOURS, print_text
from ..session.options import Config, Endpoint, Lake, ProjectId, Region, flag
from ..session.session import LOG, Session, command
from ..session.wording import speak_options

if TYPE_CHECKING:
    from ...api.answers import Page
    from ...api.doctor import Check
    from ...settings import Settings


@dataclass
class Sample:
    """What the service answered to the checks."""

    pages: list[Page] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@command
def run_doctor(
    session: Session,
    *,
    share: Annotated[
        bool,
        flag(
            "--share",
            "Print only shapes, for a bug report: no ids, names, hosts, project or account.",
        ),
    ] = False,
    endpoint: Endpoint = None,
    region: Region = None,
    project_id: ProjectId = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Check the way to the service, what is assumed of it, and the lake: a line each.

    Each line says ok, "not proven" where no backup can prove it, or FAIL and what to do. Ends with
    the exit code of the first check that failed: 2 settings, 3 service, 5 lake, 6 incomplete.
    """
    if share and not session.is_debug:
        LOG.setLevel(logging.CRITICAL)  # log lines name hosts
    given = {"endpoint": endpoint, "region": region, "project_id": project_id, "lake": lake}
    sample = Sample()
    checks: list[Check] = []
    for check in _run_all(session, config, given, sample):
        checks.append(check)
        seen = check.shape if share else speak_options(check.message, session.options)
        state = "ok" if check.is_ok else "FAIL"
        text = session.scrub(f"  {check.name}{': ' if seen else ''}{seen}")
        print_text((f"{state:4}", COLOURS[state]), text)
    if share:
        for line in _describe_shapes(sample):
            session.print(line)
    failed = [check for check in checks if not check.is_ok]
    if failed:
        names = ", ".join(check.name for check in failed)
        text = f"{len(failed)} of {len(checks)} checks failed: {names}."
        session.exit_code = session.fail(BackupFramesError(text), code=failed[0].exit_code)


def _run_all(
    session: Session, config: Any, given: dict[str, Any], sample: Sample
) -> Iterator[Check]:
    """Every check, those that depend on a failed one left out."""
    from ...api.doctor import Check, failed_check, run_checks
    from ...settings import find_unknown_variables

    try:
        for text in find_unknown_variables(config):
            session.warn(text)
        settings = session.load(config, **given)
    except BackupFramesError as error:
        yield failed_check("settings", error)
        return
    is_sound = True
    for check in run_checks(settings):
        is_sound = is_sound and check.is_ok
        yield check
    if is_sound:
        for check in _check_assumptions(settings, sample):
            is_sound = is_sound and check.is_ok
            yield check
    if is_sound:
        yield _check_small_read(settings)
    if settings.lake:
        from ...lake.storage.urls import check_store

        for step in check_store(settings.lake, scratch="_meta/doctor/tmp", settings=settings):
            yield Check(f"lake {step.step}", is_ok=step.is_ok, message=step.message, exit_code=5)


def _check_assumptions(settings: Settings, sample: Sample) -> Iterator[Check]:
    """What is assumed of the service; its answers are kept."""
    from ...api.connect import open_client
    from ...api.doctor import failed_check, failure_shape
    from ...api.query import BackupQuery
    from ...scan.proof.service_checks import check_service

    try:
        client, found_id = open_client(settings)
    except BackupFramesError as error:
        yield failed_check("assumptions", error)
        return

    def fetch(query: BackupQuery) -> Page:
        try:
            sample.pages.append(client.fetch_page(query))
        except BackupFramesError as error:
            sample.errors.append(failure_shape(error))
            raise
        return sample.pages[-1]

    with client:
        now_s = int(datetime.now(UTC).timestamp())
        query = BackupQuery(found_id, api_version=settings.api_version)
        yield from check_service(query, fetch, now_s=now_s)


def _check_small_read(settings: Settings) -> Check:
    from ...api.doctor import Check, failed_check, magnitude
    from ...read.one_liners import read_backups

    begin = datetime.now(UTC) - timedelta(days=1)
    try:
        frames = read_backups(settings=settings, begin=begin)
    except BackupFramesError as error:
        return failed_check("verified read", error)
    message = f"the last day's {len(frames):,} backups, proven complete"
    return Check("verified read", is_ok=True, message=message, shape=magnitude(len(frames)))


def _describe_shapes(sample: Sample) -> Iterator[str]:
    from ...scan.proof.shapes import describe_shapes

    system = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    yield f"version: backup-frames {VERSION}, {system}"
    yield f"errors: {'; '.join(sorted(set(sample.errors))) or 'none'}"
    yield from describe_shapes(sample.pages)
