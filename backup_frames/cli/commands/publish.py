"""The command ``publish``: a lake as a DuckDB file for BI tools.

In: a lake's address. Out: the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ...whole_files import absolute_path
from ..screen.exports import check_file
from ..session.options import (
    DEFAULT_OUT,
    OUTPUT,
    Config,
    Lake,
    default_name,
    flag,
    known_of,
    lake_of,
    option,
    written,
)
from ..session.session import Session, command


@command
def publish_file(
    session: Session,
    *,
    lake: Lake = None,
    out: Annotated[
        Path | None, option("FILE.duckdb", f"The DuckDB file {DEFAULT_OUT}", OUTPUT, parser=written)
    ] = None,
    materialize: Annotated[
        bool, flag("--materialize", "Hold the data; else views read the lake.")
    ] = False,
    config: Config = None,
) -> None:
    """Write a DuckDB file with described tables and KPI views; swapped in atomically."""
    url = lake_of(session.load(config, lake=lake))
    out = out or default_name(url, ".duckdb")
    check_file(absolute_path(out), url)
    from ...insight.kpi.publish import publish_lake

    with session.step(f"Writing {out}"):
        written = publish_lake(url, out, materialize=materialize, **known_of(config, url))
    holds = " It holds the rows: publish again after a sync." if written.is_materialized else ""
    session.note(f"Wrote {out}.{holds}")
