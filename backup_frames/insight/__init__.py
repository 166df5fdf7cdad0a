"""For people: KPI views in SQL, the DuckDB file, the charts and the report, all over a lake.

In: a lake. Out: the names below, each loaded when it is first used: DuckDB and Altair take their time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import charts
    from .charts.report import write_report
    from .kpi.publish import PublishReport, connect_lake, publish_lake
    from .progress import show_progress

__all__ = [
    "PublishReport",
    "charts",
    "connect_lake",
    "publish_lake",
    "show_progress",
    "write_report",
]

_HOMES = {
    "PublishReport": "kpi.publish",
    "connect_lake": "kpi.publish",
    "publish_lake": "kpi.publish",
    "show_progress": "progress",
    "write_report": "charts.report",
}


def __getattr__(name: str) -> Any:
    if name == "charts":
        return import_module(".charts", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
