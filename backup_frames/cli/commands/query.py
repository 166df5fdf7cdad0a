"""The command ``query``: SQL over a lake's KPI views, without Python and without a file.

In: one SELECT. Out: its answer on stdout or in --out; without SQL, what can be asked.
"""

from __future__ import annotations

import re
from typing import Annotated

import typer

from ..screen.exports import check_target, write_answer
from ..session.options import Config, Form, Lake, Limit, Out, known_of, lake_of
from ..session.session import Session, command

SHOWN_ROWS = 100


@command
def answer_query(
    session: Session,
    *,
    sql: Annotated[
        str | None,
        typer.Argument(
            metavar="[SQL]", help="One SELECT, as DuckDB takes it. Without it: what can be asked."
        ),
    ] = None,
    lake: Lake = None,
    form: Form = "table",
    limit: Limit = None,
    out: Out = None,
    config: Config = None,
) -> None:
    """Answer SQL over the lake's tables and KPI views; nothing can be written to the lake.

    Example: backup-frames query "FROM v_kpi_current" --lake ./lake --format csv
    """
    check_target(form, out)
    url = lake_of(session.load(config, lake=lake))
    check_target(form, out, url)
    with session.step(f"Asking {url}", is_announced=False):
        from ...insight.kpi.query import list_views, query_lake

        answer = list_views(url) if sql is None else query_lake(url, sql, **known_of(config, url))
    if sql is None and form == "table":
        # what a screen has room for of each description
        first = [
            re.split("[.;] ", str(text))[0].rstrip(".")
            for text in answer["description"].to_pylist()
        ]
        answer = answer.set_column(1, "answers", [first])
    if form == "table" and limit is None:
        limit = SHOWN_ROWS
    write_answer(answer, form, out, limit=limit, prose={"answers"} if sql is None else ())
    if out is not None:
        session.note(f"Wrote {out}")
