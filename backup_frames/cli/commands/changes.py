"""The command ``changes``: what came, changed and went in a lake since a moment.

In: a lake, and since when. Out: a short text, or all events as data.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from ..screen.exceptions import SHOWN_ROWS, print_exceptions, print_rest
from ..screen.exports import AnswerFormat, print_answer
from ..screen.tables import with_text_times
from ..session.options import Config, Lake, lake_of
from ..session.session import Session, command


class ChangesFormat(StrEnum):
    """How ``changes`` writes."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("changes")(show_changes)


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
    from ...insight.kpi.changes import find_changes

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
    print_rest(found.events.num_rows, "events; --format csv or json gives them all")
    print_exceptions(found.exceptions)
