"""Charts of a fleet's backups, for notebooks and for the report; see `figures`.

In: a connection from `connect_lake`, or frames. Out: Altair charts, by the names below.

    >>> from backup_frames.insight import charts, connect_lake  # doctest: +SKIP
    >>> charts.instance_grid(connect_lake("/data/lake"))  # doctest: +SKIP
"""

from .figures import (
    duration_by_size,
    instance_grid,
    restore_point_ages,
    retention_ladder,
    start_hours,
    stored_size,
    success_trend,
)

__all__ = [
    "duration_by_size",
    "instance_grid",
    "restore_point_ages",
    "retention_ladder",
    "start_hours",
    "stored_size",
    "success_trend",
]
