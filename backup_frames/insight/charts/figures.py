"""Charts of a fleet's backups, for notebooks and for the report.

In: a connection from `connect_lake` (or to a published file), or a `BackupFrames`. Out: Altair charts,
small whatever the lake's size, because the views aggregate before anything is drawn. The colours are
those of Okabe and Ito, which people with colour-blindness can tell apart, and no meaning rests on
colour alone. Empty data give an empty chart that says so. Days and hours are UTC.

In a notebook without network use ``alt.renderers.enable("svg")`` or ``"png"``.

    >>> from backup_frames.insight import charts, connect_lake  # doctest: +SKIP
    >>> charts.instance_grid(connect_lake("/data/lake"))  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import altair as alt
import duckdb
import pyarrow as pa

from ...frames.schema import SYNC_RUNS
from ..kpi.catalog import create_views
from ..kpi.relations import create_arrow_relations
from . import data, drawing
from .style import Theme

if TYPE_CHECKING:
    from ...frames.frames import BackupFrames

__all__ = [
    "duration_by_size",
    "instance_grid",
    "restore_point_ages",
    "retention_ladder",
    "start_hours",
    "stored_size",
    "success_trend",
]

Source: TypeAlias = "duckdb.DuckDBPyConnection | BackupFrames"


def instance_grid(source: Source, *, theme: Theme = "light", width: int = 640) -> alt.LayerChart:
    """Each instance's last 35 full days, the 40 instances with the most bad days first.

    A day is completed, tables only, partly failed, failed, unfinished, without a backup, or not
    known (before the lake watched the instance); see v_instance_daily.day_state.

    Args:
        source: a connection with the KPI views, or frames.
        theme: "light", "dark", or "page" (takes the colour of the text around it).
        width: of the whole picture, in pixels.

    Returns:
        The chart; an empty one with a note if there are no instances.
    """
    rows = data.instance_grid_rows(_connection(source))
    return drawing.instance_grid(rows, theme, width)


def restore_point_ages(
    source: Source, *, theme: Theme = "light", width: int = 640
) -> alt.LayerChart:
    """The 25 highest ages of the newest full backup among existing instances, against the RPO line.

    Where increments are on, which the list of backups does not show, the age is an upper bound. Bars
    end at a week; the label says the real age. Arguments as for `instance_grid`.
    """
    rows = data.restore_point_age_rows(_connection(source))
    return drawing.restore_point_ages(rows, theme, width)


def success_trend(
    source: Source, *, theme: Theme = "light", width: int = 640
) -> alt.VConcatChart | alt.LayerChart:
    """Success rate and counts of the last 60 full days, from the ledger.

    Arguments as for `instance_grid`.
    """
    rows = data.success_rows(_connection(source))
    return drawing.success_trend(rows, theme, width)


def stored_size(source: Source, *, theme: Theme = "light", width: int = 640) -> alt.LayerChart:
    """Stored size by engine over 90 days, and the 30-day forecast of the sum with its 95 % band.

    Arguments as for `instance_grid`.
    """
    rows = data.stored_size_rows(_connection(source))
    return drawing.stored_size(rows, theme, width)


def duration_by_size(source: Source, *, theme: Theme = "light", width: int = 640) -> alt.LayerChart:
    """Duration against size of the last 30 full days' backups, outliers as crosses.

    Squares count usual backups in logarithmic cells; a cross is a backup whose duration is far from
    its own instance's median (see v_backup_history.is_duration_outlier). Arguments as for
    `instance_grid`.
    """
    rows = data.duration_rows(_connection(source))
    return drawing.duration_by_size(rows, theme, width)


def start_hours(source: Source, *, theme: Theme = "light", width: int = 640) -> alt.LayerChart:
    """How many backups begin in each hour of the week (UTC), over the last four full weeks.

    Arguments as for `instance_grid`.
    """
    rows = data.start_hour_rows(_connection(source))
    return drawing.start_hours(rows, theme, width)


def retention_ladder(source: Source, *, theme: Theme = "light", width: int = 640) -> alt.LayerChart:
    """How many existing instances can go back at least so many days, against their policies.

    Bars: instances whose oldest present restore point is that old. Ticks: instances whose policy
    promises it. Arguments as for `instance_grid`.
    """
    rows = data.retention_rows(_connection(source))
    return drawing.retention_ladder(rows, theme, width)


def connect_frames(frames: BackupFrames) -> duckdb.DuckDBPyConnection:
    """The KPI views over frames in memory; what only a lake knows is empty in them.

    The certificate stands in for the runs, so that "now" is when the frames were read.
    """
    arrow = frames.arrow
    tables = {
        "backups": arrow.backups,
        "backup_databases": arrow.databases,
        "backup_tables": arrow.tables,
    }
    if (certificate := frames.certificate) is not None:
        names = ("project_id", "endpoint", "as_of", "verdict")
        run = {"run_id": "read", **{name: getattr(certificate, name) for name in names}}
        schema = pa.schema([SYNC_RUNS.field(name) for name in run])
        tables["sync_runs"] = pa.Table.from_pylist([run], schema=schema)
    connection = duckdb.connect()
    create_arrow_relations(connection, tables)
    create_views(connection)
    return connection


def _connection(source: Source) -> duckdb.DuckDBPyConnection:
    return source if isinstance(source, duckdb.DuckDBPyConnection) else connect_frames(source)
