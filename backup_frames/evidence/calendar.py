"""The SLA calendar: for each instance a month per row and a cell per day, from the control daily_success.

In: a lake, and which instances. Out: one printable HTML page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from ..errors import QueryError
from ..insight.kpi.narrow import narrow_to, spelled
from ..insight.kpi.publish import open_views
from ..lake.outside import check_outside
from ..settings.owners import Attestation, OwnerRule
from ..settings.values import Place
from ..whole_files import absolute_path, find_target, write_whole
from .cover import months_of, render_calendar
from .pack import read_days
from .rewind import set_back


def write_calendar(  # noqa: PLR0913 - filters, each by its name
    lake: Place,
    out: Place,
    *,
    begin: str | date,
    end: str | date,
    instance_id: str | None = None,
    owner: str | None = None,
    enterprise_project_id: str | None = None,
    owners: Sequence[OwnerRule] = (),
    attestations: Sequence[Attestation] = (),
) -> Path:
    """Write the calendar of some instances: ok, late, failed, missed, not due, not watched.

    Args:
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        out: the HTML file to write.
        begin: the first day, ISO (UTC).
        end: the last day, included.
        instance_id: only this instance.
        owner: only instances of this owner.
        enterprise_project_id: only instances of this enterprise project.
        owners: who answers for which instances, as ``load_owners`` reads them.
        attestations: what people vouch for; the page ends with it.

    Raises:
        QueryError: a day cannot be read, the last is before the first, there is no such instance, or none
            belongs to whom is asked for.
        LakeError: no lake there, or a file of it is unreadable.
        ConfigError: no file can be written at `out`.

    Example:
        >>> write_calendar("/data/lake", "q1.html", begin="2026-01-01", end="2026-03-31")  # doctest: +SKIP
    """
    first, last = read_days(begin, end)
    target = absolute_path(out)
    check_outside(target, lake)
    find_target(target)
    wanted = {"i": spelled(instance_id), "first": first, "last": last}
    with open_views(lake, materialize=True, owners=owners) as connection:
        now = set_back(connection, None, first)
        narrow_to(connection, owner, enterprise_project_id)
        known = "SELECT count(*) FROM dim_instance WHERE instance_id = $i"
        if instance_id and not connection.execute(known, {"i": wanted["i"]}).fetchall()[0][0]:
            raise QueryError(
                f"There is no instance {instance_id!r} in the lake, or not of whom was asked for. "
                "Give an instance_id, as the list of instances has it."
            )
        rows = connection.execute(
            "SELECT project_id, instance_id, instance_name, date, outcome FROM v_control_result "
            "WHERE control_id = 'daily_success' AND date BETWEEN $first AND $last "
            "AND ($i IS NULL OR instance_id = $i) ORDER BY 3, 1, 2, 4",
            wanted,
        ).fetchall()
        topics = connection.execute("SELECT topic, words FROM v_not_visible").fetchall()
    found: dict[tuple[str, str], tuple[str, dict[date, str]]] = {}
    for project_id, one, name, day, outcome in rows:
        found.setdefault((project_id, one), (name, {}))[1][day] = outcome
    sections = [
        {
            "name": name,
            "id": one,
            "months": months_of(days),
            "counts": dict(sorted(Counter(days.values()).items())),
        }
        for (_, one), (name, days) in found.items()
    ]
    title = instance_id or owner or enterprise_project_id or "all instances"
    as_of = f"{now:%Y-%m-%d %H:%M}" if now else "never"
    page = render_calendar(title, as_of, sections, (["topic", "words"], topics), attestations)
    write_whole(target, page)
    return target
