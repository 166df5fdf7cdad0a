"""The one-liners: a whole read in memory, the same streamed, and what it would cost.

In: keyword arguments, or settings from the environment. Out: `BackupFrames` with a certificate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Unpack

from ..frames.frames import BackupFrames
from ..settings.values import check_switches
from .keywords import ConnectionKeywords, ReadKeywords, divide, spelled_out
from .question import Question
from .reader import Progress
from .service import ReadPlan, open_reads

if TYPE_CHECKING:
    import pandas as pd


@spelled_out(ReadKeywords)
def read_backups(
    *,
    allow_incomplete: bool = False,
    progress: Progress | None = None,
    **given: Unpack[ReadKeywords],
) -> BackupFrames:
    """Read all backups that match, verified, into three tables.

    Asks the service now: about 1.05 requests per 100 backups, side by side, and at most fifteen
    more, twenty with filters; if the service turns out to mean something else by its parameters than
    this package assumes, all is read by offset, twice or more, and the verdict is ``incomplete``.
    Everything is held in memory, about 300 bytes per backup; `scan_backups` streams instead.

    Args:
        endpoint: the service, such as ``https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu``.
        region: such as ``eu-west-101``; gives the endpoint if that is not given.
        project_id: the project; looked up by region if it is not given.
        token: an IAM token; better from the environment.
        instance_id: only backups of this instance. Of each filter several values may be given in a
            list; then the service is not asked for them: the whole list is read and proven, and
            they are matched after the read, which the certificate says.
        instance_name: only backups of instances of this name; always matched after the read.
        datastore_type: only backups of this engine, such as ``cassandra``, in any case. One that the
            reference does not name is asked all the same, with a warning.
        backup_id: only this backup.
        backup_type: ``Auto`` or ``Manual``.
        level: ``Instance``, ``DatabaseTable``, or None for both.
        begin: first begin time, included: datetime or `numpy.datetime64` (UTC without zone), date,
            month, ISO text, or a time back from now (timedelta, or text such as ``7d``, ``24h``,
            ``2w``). Backups without begin time come only if neither begin nor end is given.
        end: end of begin times, excluded; a date means its midnight, a month its first.
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
    check_switches(allow_incomplete=allow_incomplete)
    filters, connection = divide(given)
    question = Question(clock=given.get("clock"), **filters)
    with open_reads(**connection) as service:
        return service.read(question, allow_incomplete=allow_incomplete, progress=progress)


@spelled_out(ReadKeywords)
def scan_backups(
    *,
    allow_incomplete: bool = False,
    progress: Progress | None = None,
    **given: Unpack[ReadKeywords],
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
    check_switches(allow_incomplete=allow_incomplete)
    filters, connection = divide(given)
    question = Question(clock=given.get("clock"), **filters)
    with open_reads(**connection) as service:
        yield from service.scan(question, allow_incomplete=allow_incomplete, progress=progress)


@spelled_out(ReadKeywords)
def plan_read(**given: Unpack[ReadKeywords]) -> ReadPlan:
    """Tell what a read would cost, by one count per level; nothing else is asked.

    Takes the filters of `read_backups` and raises what it raises before and while asking.
    """
    filters, connection = divide(given)
    question = Question(clock=given.get("clock"), **filters)
    with open_reads(**connection) as service:
        return service.plan(question)


@spelled_out(ConnectionKeywords)
def read_instances(**given: Unpack[ConnectionKeywords]) -> pd.DataFrame:
    """Read all instances of the project.

    Asks the service now: one request for up to 100 instances; beyond that the list is read until
    two passes in a row agree, two requests per 100 instances if it stands still.

    Args:
        endpoint: the service, such as ``https://gaussdb-nosql.eu-west-101.myhuaweicloud.eu``.
        region: such as ``eu-west-101``; gives the endpoint if that is not given.
        project_id: the project; looked up by region if it is not given.
        token: an IAM token; better from the environment.
        settings: all settings at once, arguments win over them; None: from environment and config file.
        transport: what carries requests, for tests; None for real connections.
        clock: time and waiting, for tests; None for the machine's.

    Returns:
        One row per instance, sorted by ``instance_id``, with the columns of the lake's
        ``instances`` but its history: times tz-aware UTC, storage in GB over all groups (null if
        a group's is no number), ``node_count`` Int32, everything else that was sent as JSON in
        ``extra``. Empty, with all columns, if there are none.

    Raises:
        ConfigError: a setting is missing or wrong; before any request.
        AuthError: the permission is missing (nosql:instance:list), or the credentials are wrong.
        FetchError: the service refused, failed or throttled to the end of the retry budget.
        SchemaError: an answer is no list of instances.
        IncompleteReadError: the list kept changing, so that an instance may be missing.

    Examples:
        >>> from backup_frames.sandbox import Sandbox
        >>> with Sandbox(backups=500, seed=1) as box:
        ...     instances = read_instances(
        ...         endpoint=box.endpoint, project_id=box.project_id, token=box.token
        ...     )
        ...     len(instances) == len(box.fleet.instances())
        True

    Source: ``GET /v3/{project_id}/instances``.
    """
    with open_reads(**given) as service:
        return service.read_instances()


@spelled_out(ConnectionKeywords)
def read_policies(
    instance_ids: Sequence[str] | None = None, **given: Unpack[ConnectionKeywords]
) -> pd.DataFrame:
    """Read the policies for automated backups; one request per instance, 8 side by side.

    Takes the connection keywords of `read_instances` and raises what it raises.

    Args:
        instance_ids: whose policies; None for all instances, whose list is read first.
        **given: see `read_instances`.

    Returns:
        One row per instance, sorted by ``instance_id``: ``is_enabled`` (keep_days above 0 and a
        start time; False for whatever else the service sends of a policy), ``keep_days`` Int32,
        ``window_start`` as UTC time of day, ``period`` with 1 for Monday. An instance that does
        not exist has no row.

    Examples:
        >>> from backup_frames.sandbox import Sandbox
        >>> with Sandbox(backups=500, seed=1) as box:
        ...     policies = read_policies(
        ...         endpoint=box.endpoint, project_id=box.project_id, token=box.token
        ...     )
        >>> bool(policies.loc[policies["is_enabled"], "keep_days"].min() >= 1)
        True

    Source: ``GET /v3.1/{project_id}/instances/{instance_id}/backups/policy``.
    """
    with open_reads(**given) as service:
        return service.read_policies(instance_ids)
