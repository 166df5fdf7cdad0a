"""The commands ``changes`` and ``check``: what happened in a lake, and what somebody should look at.

In: a lake, and since when or how bad. Out: a short text fit for mail or chat, or all rows as data.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..api.scrub import as_printable
from .exports import AnswerFormat, print_answer
from .lake import lake_of
from .options import Config, Lake
from .session import Session, command
from .tables import with_text_times

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_ROWS = 20
ALARM_CODE = 7


class ChangesFormat(StrEnum):
    """How ``changes`` writes."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class FailOn(StrEnum):
    """The mildest severity that counts."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("changes")(show_changes)
    app.command("check")(show_exceptions)


@command
def show_changes(
    session: Session,
    *,
    lake: Lake = None,
    since: Annotated[
        str, typer.Option(help="Since when: 24h, 7d, 90m, or an ISO date or time (UTC).")
    ] = "24h",
    form: Annotated[
        ChangesFormat,
        typer.Option("--format", help="json: one object; csv: the backups' events, all of them."),
    ] = ChangesFormat.TABLE,
    config: Config = None,
) -> None:
    """Say which backups came, changed and went since a moment, and what is new to look at.

    Moments are those at which a sync saw it: first_seen_at, updated_at, gone_at.
    """
    url = lake_of(session.load(config, lake=lake))
    from ..insight.kpi.changes import find_changes

    found = find_changes(url, since=since)
    if form is ChangesFormat.CSV:
        print_answer(found.events, AnswerFormat.CSV)
        return
    if form is ChangesFormat.JSON:
        facts = {
            "since": f"{found.since:%Y-%m-%dT%H:%M:%SZ}",
            "counts": found.counts,
            "events": with_text_times(found.events).to_pylist(),
            "exceptions": with_text_times(found.exceptions).to_pylist(),
        }
        session.print(json.dumps(facts, ensure_ascii=False, default=str))
        return
    counts = found.counts
    session.print(
        f"Since {found.since:%Y-%m-%d %H:%M} UTC: {counts['new']:,} new, {counts['changed']:,} "
        f"changed, {counts['gone']:,} gone; {found.exceptions.num_rows:,} new exceptions."
    )
    names = ["change", "happened_at", "instance_name", "backup_type", "status", "backup_id"]
    if found.events.num_rows:
        print_answer(found.events.select(names).slice(0, SHOWN_ROWS), AnswerFormat.TABLE)
    _say_rest(session, found.events.num_rows, "events; --format csv or json gives them all")
    _print_exceptions(session, found.exceptions)


@command
def show_exceptions(
    session: Session,
    *,
    lake: Lake = None,
    fail_on: Annotated[
        FailOn, typer.Option(help="Count exceptions of this severity and worse ones.")
    ] = FailOn.HIGH,
    new: Annotated[
        bool, typer.Option("--new", help="Only those that were none before the last run.")
    ] = False,
    config: Config = None,
) -> None:
    """Say what somebody should look at, as a short text; exit code 7 if there is anything.

    high: data could not be restored, or the numbers are not proven. medium: the policy is not kept.
    low: worth a look. With --new an alarm goes off once, not with every run.
    """
    url = lake_of(session.load(config, lake=lake))
    from ..insight.kpi.changes import find_exceptions

    found = find_exceptions(url, at_least=fail_on.value, new=new)
    kind = "new exceptions" if new else "exceptions"
    worse = "" if fail_on is FailOn.HIGH else " or worse"
    session.print(
        f"{found.num_rows or 'No'} {kind} of severity {fail_on}{worse} in {as_printable(url)}."
    )
    _print_exceptions(session, found)
    if found.num_rows:
        session.exit_code = ALARM_CODE
        session.conclude(f"{found.num_rows} {kind} of severity {fail_on}{worse}.")


def _print_exceptions(session: Session, exceptions: pa.Table) -> None:
    """A line per kind and instance, the most severe first, cut to what a chat takes."""
    lines: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in exceptions.to_pylist():
        who = row["instance_name"] or row["instance_id"] or row["project_id"] or "the lake"
        lines.setdefault((row["severity"], who, row["kind"]), []).append(row)
    for (severity, who, kind), rows in list(lines.items())[:SHOWN_ROWS]:
        moments = [row["since"] for row in rows if row["since"]]
        since = f" since {min(moments):%Y-%m-%d %H:%M} UTC" if moments else ""
        times = f" ({len(rows)} backups)" if len(rows) > 1 else ""
        session.print(
            as_printable(f"{severity}: {who}: {kind}{times}{since}. {rows[0]['message']}")
        )
    _say_rest(session, len(lines), 'lines; `backup-frames query "FROM v_exceptions"` gives all')


def _say_rest(session: Session, count: int, what: str) -> None:
    if count > SHOWN_ROWS:
        session.print(f"… and {count - SHOWN_ROWS:,} more {what}.")
