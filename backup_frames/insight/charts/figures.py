"""The charts, each one object: what it is called and means, its rows, its picture, its table's columns.

In: a connection from `connect_lake` (or to a published file), or a `BackupFrames`. Out: for a notebook
an Altair chart, for the page a Vega-Lite specification; both are small whatever the lake's size, because
the views aggregate before anything is drawn. The colours are those of Okabe and Ito, which people with
colour-blindness can tell apart, and no meaning rests on colour alone. Empty data give an empty chart that
says so. Days and hours are UTC. Altair is loaded when a notebook asks for a chart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import duckdb
import pyarrow as pa

from ...errors import ConfigError
from ...frames.schema import SYNC_RUNS
from ..kpi.catalog import declare_views, set_now
from ..kpi.relations import insert_arrow, open_memory
from . import backup_pictures, data, day_pictures, instance_pictures

if TYPE_CHECKING:
    from ...frames.frames import BackupFrames
    from .style import Rows, Spec, Theme

Source: TypeAlias = "duckdb.DuckDBPyConnection | BackupFrames"

_MIN_WIDTH = 200


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart; call it with a source to get an Altair chart.

    Attributes:
        id: name within a page.
        title: its heading.
        meaning: what it shows, in a sentence or two.
        query: its rows, asked of the KPI views.
        draw: a Vega-Lite specification of rows in a theme, so many pixels wide.
        columns: columns of the rows that its table shows.
    """

    id: str
    title: str
    meaning: str
    query: str
    draw: Callable[[Rows, Theme, int], Spec]
    columns: tuple[str, ...]

    def read(self, connection: duckdb.DuckDBPyConnection) -> Rows:
        """Its rows, from a connection with the KPI views."""
        return data.rows_of(connection, self.query)

    def __call__(self, source: Source, *, theme: Theme = "light", width: int = 640) -> Any:
        """The chart for a notebook, as an Altair chart (`TopLevelMixin`).

        Args:
            source: a connection with the KPI views, or frames.
            theme: "light", "dark", or "page" (takes the colour of the text around it).
            width: of the whole picture, in pixels.

        Returns:
            The chart; an empty one with a note if there is nothing to see.
        """
        import altair as alt  # noqa: PLC0415 - takes its time, and the page does without

        if theme not in ("light", "dark", "page"):
            raise ConfigError(f"theme is {theme!r}; use 'light', 'dark' or 'page'.")
        if not isinstance(width, int) or width < _MIN_WIDTH:
            raise ConfigError(f"width is {width!r}; give {_MIN_WIDTH} pixels or more.")
        rows = self.read(_connection(source))
        spec = self.draw(rows, theme, width)
        kind = alt.VConcatChart if "vconcat" in spec else alt.LayerChart
        held = {name: spec.pop(name) for name in ("data", "datasets") if name in spec}
        chart = kind.from_dict(spec, validate=False)  # would hold each row against the schema
        for name, value in held.items():
            chart[name] = value
        return chart


instance_grid: Final = Figure(
    "grid",
    "Instances, day by day",
    "One row per existing instance, the worst off first; one cell per full day of the last five "
    "weeks. Not due: none begun, and the policy asks for none.",
    data.INSTANCE_GRID,
    instance_pictures.draw_instance_grid,
    ("instance", "instance_id", "days", "completed", "failed", "bad_days", "worst_days"),
)
restore_point_ages: Final = Figure(
    "ages",
    "Age of the newest full backup",
    "What would be lost at most if an instance had to be restored now, against the RPO (dashed).",
    data.RESTORE_POINT_AGE,
    instance_pictures.draw_restore_point_ages,
    (
        *("instance", "instance_id", "restore_point_at", "age_h", "limit_h", "is_rpo_met"),
        "is_age_upper_bound",
    ),
)
success_trend: Final = Figure(
    "success",
    "Success",
    "Completed of all finished backups, by the day on which they began; from the ledger.",
    data.SUCCESS,
    day_pictures.draw_success_trend,
    ("date", "completed", "failed", "unfinished", "success_rate", "is_watched"),
)
stored_size: Final = Figure(
    "stored",
    "Stored size",
    "Completed backups that the service held at the end of each day, by engine.",
    data.STORED_SIZE,
    day_pictures.draw_stored_size,
    ("kind", "date", "engine", "gib", "low_gib", "high_gib", "is_watched"),
)
duration_by_size: Final = Figure(
    "duration",
    "Duration against size",
    "Completed backups of the last 30 days; a cross took far from its instance's usual time.",
    data.DURATION,
    backup_pictures.draw_duration_by_size,
    ("kind", "backup_id", "instance", "size_gib", "duration_min", "backups", "is_watched"),
)
start_hours: Final = Figure(
    "hours",
    "When backups begin",
    "Backups begun in each hour of the week, over the last four full weeks; blank: none.",
    data.START_HOUR,
    backup_pictures.draw_start_hours,
    ("day", "hour", "backups", "failed"),
)
retention_ladder: Final = Figure(
    "ladder",
    "How far back",
    "Existing instances that can be restored to a state at least so old.",
    data.RETENTION,
    instance_pictures.draw_retention_ladder,
    ("days_back", "reached", "promised", "instance_count"),
)

#: In the order of the page.
FIGURES: Final = (
    instance_grid,
    restore_point_ages,
    success_trend,
    stored_size,
    duration_by_size,
    start_hours,
    retention_ladder,
)


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
    connection = open_memory()
    declare_views(connection)
    for name, table in tables.items():
        insert_arrow(connection, name, table)
    set_now(connection)
    return connection


def _connection(source: Source) -> duckdb.DuckDBPyConnection:
    if isinstance(source, duckdb.DuckDBPyConnection):
        return source
    if not hasattr(source, "arrow"):
        kind = type(source).__name__
        raise ConfigError(
            f"A chart is drawn from connect_lake() or read_backups(), not from a {kind}."
        )
    return connect_frames(source)
