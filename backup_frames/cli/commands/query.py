"""The command ``query``: SQL over a lake's KPI views, without Python and without a file.

In: one SELECT. Out: its answer on stdout or in --out; without SQL, what can be asked.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...whole_files import find_target, write_whole
from ..screen.exports import AnswerFormat, check_target, encode_answer, print_answer
from ..session.options import Config, Lake, lake_of
from ..session.session import Session, command

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_ROWS = 100
SHOWN_WIDTH = 90


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("query")(answer_query)


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
    form: Annotated[
        AnswerFormat, typer.Option("--format", help="How the answer is written.")
    ] = AnswerFormat.TABLE,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write; default: stdout.")
    ] = None,
    config: Config = None,
) -> None:
    """Answer SQL over the lake's tables and KPI views; nothing can be written to the lake.

    Example: backup-frames query "FROM v_kpi_current" --lake ./lake --format csv
    """
    check_target(form, out)
    url = lake_of(session.load(config, lake=lake))
    if out is not None:
        from ...lake.outside import check_outside

        check_outside(out, url)
        find_target(out)
    from ...insight.kpi.query import list_views, query_lake

    if sql is None:
        views = list_views(url)
        if form is AnswerFormat.TABLE:
            views = views.set_column(1, "answers", [_first_sentences(views["description"])])
        answer = views
    else:
        answer = query_lake(url, sql)
    if out is not None:
        write_whole(out, encode_answer(answer, form))
        session.note(f"Wrote {out}")
        return
    is_table = form is AnswerFormat.TABLE
    print_answer(answer.slice(0, SHOWN_ROWS) if is_table else answer, form)
    if is_table and answer.num_rows > SHOWN_ROWS:
        session.note(
            f"{SHOWN_ROWS} of {answer.num_rows:,} rows; --format csv or json gives them all."
        )


def _first_sentences(texts: pa.ChunkedArray) -> list[str]:
    """What a screen has room for of each description."""
    firsts = (str(text).split(". ")[0].split("; ")[0].rstrip(".") for text in texts.to_pylist())
    return [
        first if len(first) <= SHOWN_WIDTH else first[: SHOWN_WIDTH - 1] + "…" for first in firsts
    ]
