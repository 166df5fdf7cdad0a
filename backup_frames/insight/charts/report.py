"""The report: one HTML page about a lake that anybody can open, print or send on.

In: a lake. Out: one file without a link to anything outside, under a policy that forbids the browser to
load anything, and to run anything but the few lines that filter its tables. Charts are inline SVG in the
colour of the text around them, drawn twice, for wide and for narrow screens. Every value from the
service passes through Jinja's escaping, with invisible and reordering characters spelled out.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...lake.outside import check_outside
from ...settings.owners import Attestation, OwnerRule
from ...settings.values import Place
from ...whole_files import absolute_path, find_target, write_whole
from ..kpi.changes import earlier_asked
from ..kpi.narrow import narrow_to
from ..kpi.publish import open_views
from . import words
from .blocks import BLOCKS, earlier_moments, read_kpi
from .drawing import Drawing
from .figures import FIGURES, Figure

WIDE, NARROW = 640, 340
#: In the order in which one answers from the other: with the first day that the page shows, or all.
_HELD = {
    "v_instance_ledger": None,
    "v_watched_daily": "today - greatest(90, trend_days)",
    "v_instance_health": None,
    "v_instance_daily": "today - 61",
    "v_exceptions": None,
    "v_kpi_current": None,
}


def write_report(
    lake: Place,
    out: Place,
    *,
    thresholds: Mapping[str, float] | None = None,
    owner: str | None = None,
    enterprise_project_id: str | None = None,
    owners: Sequence[OwnerRule] = (),
    attestations: Sequence[Attestation] = (),
    projects: Sequence[str] = (),
) -> Path:
    """Write the report about a lake: one self-contained HTML page.

    Reads the lake once and holds it while the report is made (about 400 bytes of memory per
    backup). The page stays below 5 MB for a lake of any size: it shows the worst and counts the
    rest. A reader of an older page at `out` never sees a torn one.

    Args:
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        out: the file to write or replace; its folder must exist.
        thresholds: values for columns of the table ``settings``, such as ``{"rpo_h": 12}``.
        owner: only instances of this owner, and the projects that they are in.
        enterprise_project_id: only instances of this enterprise project.
        owners: who answers for which instances, as ``load_owners`` reads them.
        attestations: what people vouch for, as ``load_attestations`` reads them.
        projects: those that should be in the lake, as ``load_project_ids`` reads them.

    Returns:
        The page's absolute path.

    Raises:
        LakeError: no lake there, a file of it is unreadable, or the disk of `out` failed.
        ConfigError: no file can be written at `out`; an unknown threshold, or one that is no number
            above zero.
        QueryError: no instance belongs to whom is asked for.

    Example:
        >>> write_report("/data/lake", "/data/report.html")  # doctest: +SKIP
        PosixPath('/data/report.html')
    """
    target = absolute_path(out)
    check_outside(target, lake)
    find_target(target)
    with (
        Drawing() as drawing,
        open_views(
            lake,
            materialize=True,
            thresholds=thresholds,
            owners=owners,
            attestations=attestations,
            projects=projects,
            brief=True,
        ) as connection,
    ):
        narrow_to(connection, owner, enterprise_project_id)
        write_whole(target, render_report(connection, drawing).encode())
    return target


def render_report(connection: duckdb.DuckDBPyConnection, drawing: Drawing) -> str:
    """The page; the connection, of `open_views`, keeps the answers to what the page asked."""
    with ThreadPoolExecutor(1) as aside:  # earlier exceptions are found while views are held
        moments = earlier_moments(connection)
        earlier = [aside.submit(earlier_asked(connection, moments))] if moments else []
        _hold(connection)
        for one in earlier:
            one.result()
    connection.execute(
        "CREATE TEMP TABLE findings AS SELECT e.*, i.datastore_type AS engine FROM v_exceptions AS e "
        "LEFT JOIN dim_instance AS i "
        "ON i.project_id = e.project_id AND i.instance_id = e.instance_id"
    )
    environment = _environment()
    blocks, tails = [], []
    with ThreadPoolExecutor(1) as aside:  # the pictures are drawn while the blocks are read
        drawn = [_begin_to_draw(connection, figure, drawing, aside) for figure in FIGURES]
        for block in BLOCKS:
            if (content := block.read(connection)) is None:
                continue
            blocks.append(_rendered(environment, block.template, content))
            if block.tail:
                tails.append(_rendered(environment, block.tail, content))
        figures = [finish() for finish in drawn]
    script = environment.get_template("filter.js").render()
    return environment.get_template("report.html.j2").render(
        kpi=read_kpi(connection),
        blocks=blocks,
        tails=tails,
        figures=figures,
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _hold(connection: duckdb.DuckDBPyConnection) -> None:
    """Answer the views that nearly every part of the page asks once, and keep the answers.

    What is said of days reaches back no further than the page does.
    """
    for view, first_day in _HELD.items():
        query = f"CREATE TABLE {view}_held AS FROM {view}"
        if first_day is None:
            connection.execute(query)
        else:  # a day that is known beforehand spares the views all others
            day = f"SELECT {first_day} FROM v_now CROSS JOIN settings"  # noqa: S608 - our text
            connection.execute(f"{query} WHERE date >= ?", connection.execute(day).fetchall()[0])
        connection.execute(f"CREATE OR REPLACE VIEW {view} AS FROM {view}_held")


@cache
def _environment() -> Environment:
    """The page's templates, each parsed once."""
    environment = Environment(
        loader=PackageLoader("backup_frames.insight.charts", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        cell=words.cell, heading=words.heading, quantity=words.quantity, percent=words.percent
    )
    environment.globals["severities"] = ("", "high", "medium", "low")
    return environment


def _rendered(environment: Environment, template: str, content: Mapping[str, Any]) -> Markup:
    return Markup(environment.get_template(template).render(content))  # noqa: S704 - escaped there


def _begin_to_draw(
    connection: duckdb.DuckDBPyConnection, figure: Figure, drawing: Drawing, aside: Executor
) -> Callable[[], dict[str, Any]]:
    """Read a figure's rows and have its pictures drawn; what comes back waits for them."""
    rows = figure.read(connection)
    wide, narrow = (aside.submit(_svg, figure, rows, width, drawing) for width in (WIDE, NARROW))
    return lambda: {
        "id": figure.id,
        "title": figure.title,
        "meaning": figure.meaning,
        "columns": figure.columns,
        "rows": _days_per_instance(rows) if figure.id == "grid" else rows,
        "wide_svg": wide.result(),
        "narrow_svg": narrow.result(),
    }


def _svg(figure: Figure, rows: list[dict[str, Any]], width: int, drawing: Drawing) -> Markup:
    """The chart as SVG whose ids are its own; the texts in it were escaped by Vega."""
    drawn = drawing.svg(figure.draw(rows, "page", width))
    prefix = f"{figure.id}-{width}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', drawn)
    return Markup(re.sub(r"url\(#", f"url(#{prefix}", svg))  # noqa: S704 - see above


def _days_per_instance(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The grid's cells as one row per instance: 1,400 cells are no table to read."""
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        line = {name: row[name] for name in ("instance", "instance_id", "bad_days")}
        line |= {"days": 0, "completed": 0, "failed": 0, "worst_days": ""}
        line = found.setdefault(row["place"], line)
        line["days"] += 1
        line["completed"] += row["completed"]
        line["failed"] += row["failed"]
        if row["state"] in ("failed", "none"):
            line["worst_days"] = f"{line['worst_days']} {row['date']} {row['state']};".strip()
    return list(found.values())
