"""The pages of evidence that people read: the cover of a pack, and the calendar of days.

In: rows. Out: HTML of one page without a script and without a link; every value is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..api.scrub import as_printable
from ..settings.owners import Attestation

Rows = tuple[list[str], list[tuple[Any, ...]]]
MAX_GAPS = 6
CELLS = {
    "ok": "·", "late": "L", "failed": "F", "missed": "M", "not due": "\N{EN DASH}", "unfinished": "…",
    "not watched": "?", "not known": "?",
}  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("backup_frames.evidence", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: as_printable(value) if type(value) is str else value,
    )
    environment.globals["cells"] = CELLS
    return environment


def render_cover(
    facts: Mapping[str, Any],
    tables: Mapping[str, Rows],
    summary: Mapping[str, Mapping[str, int]],
) -> bytes:
    """The cover: what was asked, what was found, and whether the lists are complete."""
    runs = _dicts(tables["reconciliation"])
    certified = [run for run in runs if run["verdict"] == "complete"]
    page = _environment().get_template("cover.html.j2").render(
        facts=facts,
        controls=[row | {"counts": summary[row["control_id"]]} for row in _dicts(tables["controls"])],
        runs=runs,
        certified=certified,
        unequal=[run for run in certified if run["difference"]],
        callers=sorted({run["caller"] or "not noted" for run in runs}),
        versions=sorted({run["tool_version"] or "not noted" for run in runs}),
        gaps=_dicts(tables["gaps"]),
        max_gaps=MAX_GAPS,
        backup_count=len(tables["backups"][1]),
        not_visible=_dicts(tables["not_visible"]),
    )  # fmt: skip
    return page.encode()


def render_calendar(
    title: str,
    as_of: str,
    sections: Sequence[Mapping[str, Any]],
    not_visible: Rows,
    attestations: Sequence[Attestation] = (),
) -> bytes:
    """A calendar: a section per instance, a row per month, a cell per day."""
    template = _environment().get_template("calendar.html.j2")
    page = template.render(
        title=title,
        as_of=as_of,
        sections=sections,
        not_visible=_dicts(not_visible),
        attestations=attestations,
    )
    return page.encode()


def months_of(days: Mapping[date, str]) -> list[dict[str, Any]]:
    """The outcomes by month: 31 cells each, None where there is no such day or no result."""
    found: dict[str, list[str | None]] = {}
    for day in sorted(days):
        row = found.setdefault(f"{day:%Y-%m}", [None] * 31)
        row[day.day - 1] = days[day]
    return [{"month": month, "days": cells} for month, cells in found.items()]


def _dicts(rows: Rows) -> list[dict[str, Any]]:
    columns, values = rows
    return [dict(zip(columns, row, strict=True)) for row in values]
