"""The command ``changes``: what came, changed and went in a lake since a moment.

In: a lake, and since when. Out: a short text, or all events as data.
"""

from __future__ import annotations

import json
from typing import Annotated

from ..screen.exceptions import print_exceptions
from ..screen.exports import (
    check_target,
    select_columns,
    with_text_times,
    write_answer,
    write_text,
)
from ..screen.tables import print_text
from ..session.options import FILTER, Columns, Config, Form, Lake, Limit, Out, lake_of, option
from ..session.session import Session, command

NAMES = ("change", "happened_at", "instance_name", "backup_type", "status", "size_kb", "backup_id")


@command
def show_changes(
    session: Session,
    *,
    lake: Lake = None,
    since: Annotated[
        str, option("TIME", "Since when: 24h, 7d, 90m, or an ISO date or time (UTC).", FILTER)
    ] = "24h",
    form: Form = "table",
    columns: Columns = None,
    limit: Limit = None,
    out: Out = None,
    config: Config = None,
) -> None:
    """Say which backups came, changed and went since a moment, and what is new to look at.

    json is one object of events and new exceptions; the other formats hold the events alone.
    Moments are those at which a sync saw it: first_seen_at, updated_at, gone_at.
    """
    check_target(form, out)
    url = lake_of(session.load(config, lake=lake))
    check_target(form, out, url)
    with session.step(f"Asking {url}", is_announced=False):
        from ...insight.kpi.changes import find_changes

        found = find_changes(url, since=since)
    events = select_columns(found.events, columns)
    if form == "json":
        facts = {
            "since": f"{found.since:%Y-%m-%dT%H:%M:%SZ}",
            "counts": found.counts,
            "events": with_text_times(events.slice(0, limit or None)).to_pylist(),
            "exceptions": with_text_times(found.exceptions).to_pylist(),
        }
        text = json.dumps(facts, ensure_ascii=False, default=str)
        write_text(text + "\n", out)
    elif form != "table":
        write_answer(events, form, out, limit=limit)
    if out is not None:
        session.note(f"Wrote {out}")
    if form != "table":
        return
    counts = found.counts
    print_text(
        f"Since {found.since:%Y-%m-%d %H:%M} UTC: {counts['new']:,} new, {counts['changed']:,} "
        f"changed, {counts['gone']:,} gone; {found.exceptions.num_rows:,} new exceptions."
    )
    if events.num_rows:
        totals = (events.num_rows, events.num_columns)
        shown = events if columns else events.select(list(NAMES))
        write_answer(shown, form, limit=limit, totals=totals)
    print_exceptions(found.exceptions, url)
