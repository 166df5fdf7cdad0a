"""The report: one HTML page about a lake that anybody can open, print or send on.

In: a lake. Out: one file without a script and without a link to anything outside, under a policy that
forbids the browser to load anything. Charts are inline SVG in the colour of the text around them,
drawn twice, for wide and for narrow screens. Every value from the service passes through Jinja's
escaping, with invisible and reordering characters spelled out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...lake.outside import check_outside
from ...lake.storage.urls import absolute_path
from ...settings.values import Place
from ...whole_files import find_target, write_whole
from ..kpi.publish import connect_lake
from . import data
from .figures import FIGURES, Figure

MAX_EXCEPTIONS = 300
WIDE, NARROW = 640, 340

_LARGER = {
    "s": (("h", 3600), ("min", 60)),
    "h": (("days", 24),),
    "KB": (("GiB", 1024**2), ("MiB", 1024)),
}
_UNITS = {"h": "h", "gib": "GiB", "min": "min", "rate": "rate"}


def write_report(lake: Place, out: Place, *, thresholds: Mapping[str, float] | None = None) -> Path:
    """Write the report about a lake: one self-contained HTML page.

    Reads the lake once and holds it while the report is made (about 400 bytes of memory per
    backup). The page stays below 5 MB for a lake of any size: it shows the worst and counts the
    rest. A reader of an older page at `out` never sees a torn one.

    Args:
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        out: the file to write or replace; its folder must exist.
        thresholds: values for columns of the table ``settings``, such as ``{"rpo_h": 12}``.

    Returns:
        The page's absolute path.

    Raises:
        LakeError: no lake there, a file of it is unreadable, or the disk of `out` failed.
        ConfigError: no file can be written at `out`; an unknown threshold, or one that is no number
            above zero.

    Example:
        >>> write_report("/data/lake", "/data/report.html")  # doctest: +SKIP
        PosixPath('/data/report.html')
    """
    target = absolute_path(out)
    check_outside(target, lake)
    find_target(target)
    with connect_lake(lake, materialize=True, thresholds=thresholds) as connection:
        page = _render(connection)
    write_whole(target, page.encode())
    return target


def _render(connection: duckdb.DuckDBPyConnection) -> str:
    (kpi,) = data.rows_of(connection, "SELECT * FROM v_kpi_current")
    connection.execute("CREATE TEMP TABLE findings AS SELECT * FROM v_exceptions")
    kinds = data.rows_of(
        connection,
        "SELECT kind, min(message) AS message, severity, count(*) AS findings FROM findings "
        "GROUP BY kind, severity ORDER BY severity, kind <> 'unprotected', findings DESC, kind",
    )
    exceptions = data.rows_of(
        connection,
        "FROM findings ORDER BY severity, kind <> 'unprotected', kind, since NULLS FIRST, "
        f"instance_id, backup_id LIMIT {MAX_EXCEPTIONS}",
    )
    environment = Environment(
        loader=PackageLoader("backup_frames.insight.charts", ""),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(cell=_cell, heading=_heading, quantity=_quantity)
    return environment.get_template("report.html.j2").render(
        kpi=kpi,
        tiles=_tiles(kpi),
        certified=_certified(kpi),
        notice=_notice(kpi, connection),
        kinds=kinds,
        exceptions=exceptions,
        exception_count=sum(row["findings"] for row in kinds),
        figures=[_draw(connection, figure) for figure in FIGURES],
    )


def _draw(connection: duckdb.DuckDBPyConnection, figure: Figure) -> dict[str, Any]:
    rows = figure.read(connection)
    return {
        "id": figure.id,
        "title": figure.title,
        "meaning": figure.meaning,
        "columns": figure.columns,
        "rows": _days_per_instance(rows) if figure.id == "grid" else rows,
        "wide_svg": _svg(figure, rows, WIDE),
        "narrow_svg": _svg(figure, rows, NARROW),
    }


def _svg(figure: Figure, rows: data.Rows, width: int) -> Markup:
    """The chart as SVG whose ids are its own; the texts in it were escaped by Vega."""
    drawn = vl_convert.vegalite_to_svg(figure.draw(rows, "page", width))
    prefix = f"{figure.id}-{width}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', drawn)
    return Markup(re.sub(r"url\(#", f"url(#{prefix}", svg))  # noqa: S704 - see above


def _days_per_instance(rows: data.Rows) -> data.Rows:
    """The grid's cells as one row per instance: 1,400 cells are no table to read."""
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        line = found.setdefault(
            row["place"],
            {
                "instance": row["instance"],
                "instance_id": row["instance_id"],
                "days": 0,
                "completed": 0,
                "failed": 0,
                "bad_days": row["bad_days"],
                "worst_days": "",
            },
        )
        line["days"] += 1
        line["completed"] += row["completed"]
        line["failed"] += row["failed"]
        if row["state"] in ("failed", "none"):
            line["worst_days"] = f"{line['worst_days']} {row['date']} {row['state']};".strip()
    return list(found.values())


def _tiles(kpi: Mapping[str, Any]) -> list[dict[str, Any]]:
    coverage, unprotected = kpi["coverage_rate"], kpi["unprotected_count"]
    known, unknown = kpi["instance_count"], "cannot be known"
    age = kpi["restore_point_age_max_h"]
    time_rate = kpi["rpo_time_rate"]
    stuck, success = kpi["stuck_count"], kpi["success_rate_recent"]
    note = "" if kpi["is_inventory_known"] else "The lake has no list of instances."
    return [
        _tile(
            "Coverage",
            _percent(coverage) or (unknown if known is None else "no instances"),
            f"{kpi['protected_count']:,} of {known:,} instances have a restore point."
            if known is not None
            else f"{kpi['coverage_note'].capitalize()}.",
            None if coverage is None else coverage == 1,
        ),
        _tile(
            "RPO compliance",
            _percent(kpi["rpo_instance_rate"]) or "no instances",
            f"{kpi['rpo_met_count']:,} instances within {kpi['rpo_limit_h']:g} h"
            + (f", the oldest {_quantity(age, 'h')}. " if age is not None else ". ")
            + (
                f"Over the last 30 days: {_percent(time_rate)} of the time. "
                if time_rate is not None
                else ""
            )
            + (
                ""
                if kpi["is_inventory_known"] and not kpi["age_upper_bound_count"]
                else f"{kpi['rpo_note'].capitalize()}."
            ),
            _is_rpo_good(kpi),
        ),
        _tile(
            "Success, 7 days",
            _percent(success) or "nothing finished",
            f"{kpi['completed_recent']:,} completed, {kpi['failed_recent']:,} failed.",
            None if success is None else kpi["failed_recent"] == 0,
        ),
        _tile("Stuck", f"{stuck:,}", "backups BUILDING for too long.", stuck == 0),
        _tile(
            "Unprotected",
            unknown if unprotected is None else f"{unprotected:,}",
            note or "instances without any restore point.",
            None if unprotected is None else unprotected == 0,
        ),
    ]


def _is_rpo_good(kpi: Mapping[str, Any]) -> bool | None:
    """None also where only increments, which the list does not show, could tell."""
    rate = kpi["rpo_instance_rate"]
    missed = kpi["rpo_missed_count"]
    return None if rate is None or (rate < 1 and not missed) else not missed


def _tile(name: str, value: str, detail: str, is_good: bool | None) -> dict[str, Any]:
    tone, word = {True: ("good", "✓ good"), False: ("warn", "! look"), None: ("", "? unknown")}[
        is_good
    ]
    return {
        "name": name,
        "value": value,
        "is_number": value[:1].isdigit(),
        "detail": detail,
        "tone": tone,
        "word": word,
    }


def _percent(rate: float | None) -> str:
    """The rate in percent; 100 % and 0 % only if it is exactly so."""
    if rate is None:
        return ""
    text = f"{100 * rate:.1f}"
    if text == "100.0" and rate < 1:
        text = "99.9"
    elif text == "0.0" and rate > 0:
        text = "0.1"
    return f"{text.removesuffix('.0')} %"


def _certified(kpi: Mapping[str, Any]) -> str:
    if kpi["certified_at"] is None:
        return "not certified: a project has no complete run"
    return f"certified {kpi['certified_at']} UTC"


def _notice(kpi: Mapping[str, Any], connection: duckdb.DuckDBPyConnection) -> str:
    """What stands above everything: which projects' numbers are not proven to the end."""
    projects = data.rows_of(
        connection,
        "SELECT project_id, certified_at, last_verdict FROM dim_project CROSS JOIN settings "
        "WHERE certified_at IS NULL OR last_verdict <> 'complete' "
        "OR certificate_age_h > stale_after_h ORDER BY certified_at NULLS FIRST, project_id",
    )
    if not projects:
        return "" if kpi["now_at"] else "The lake holds no run and no backup."
    first, more = projects[0], len(projects) - 1
    since = f"after {first['certified_at']} UTC" if first["certified_at"] else "so far"
    others = f" {more} more project{'s' if more > 1 else ''} likewise." if more else ""
    return f"Project {first['project_id']} has no complete run {since}: changes may be missing.{others}"


def _quantity(value: float | None, unit: str) -> str:
    """A number with its unit, in a larger unit once it is large."""
    if value is None:
        return ""
    for larger, size in _LARGER.get(unit, ()):
        if abs(value) >= 3 * size:
            return f"{_number(value / size)} {larger}"
    return f"{_number(value)} {unit.removesuffix('s') if value == 1 and len(unit) > 1 else unit}"


def _heading(column: str) -> str:
    """A column's name as words: `restore_point_age_h` as "restore point age, h"."""
    words = column.split("_")
    if words[-1] in _UNITS and len(words) > 1:
        return f"{' '.join(words[:-1])}, {_UNITS[words[-1]]}"
    return " ".join(words)


def _cell(value: Any, column: str) -> str:
    return _percent(value) if column.endswith("_rate") else _number(value)


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and abs(value) < 1000:
        return f"{Decimal(f'{value:.3g}'):,f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)
