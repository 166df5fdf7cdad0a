"""What happens to a service before the run that a test strikes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from support.lake_service import DAY, HOUR, START, ModelService


def fleet(days: int, seed: int = 3) -> ModelService:
    """Some days of backups at both levels, one without begin time, one still running."""
    service = ModelService(seed=seed)
    for hour in range(0, days * 24, 6):
        tables = [("db", ["a", "b"]), ("all", None)] if hour % 4 == 0 else None
        begin = START - days * DAY + hour * HOUR
        service.add(begin, level=("Instance", "DatabaseTable")[hour % 4 == 0], tables=tables)
    service.add(START - days * DAY, status="BUILDING", tables=[])
    service.add(None)
    service.add(None, tables=[("d", ["t"])])
    service.add(None, tables=[("e", None)])
    return service


def first(service: ModelService) -> None:
    """The lake is empty."""


def busy(service: ModelService) -> None:
    """New, changed, gone, finished, moved backups; one whose children alone changed."""
    service.clock.advance(timedelta(hours=5))
    dated = [one.id for one in service.backups.values() if one.begin is not None]
    *ids, running = dated
    service.remove(ids[1], ids[-1])
    service.backups[ids[2]].tables = [("db", ["a", "c"]), ("all", None)]
    service.backups[ids[3]].size = 99.0
    service.backups[running].status = "COMPLETED"
    service.backups[ids[4]].begin = service.clock.now() - 50 * HOUR
    service.backups[ids[5]].begin = None
    undated = [one for one in service.backups.values() if one.begin is None]
    undated[0].begin = service.clock.now() - 2 * HOUR
    undated[1].begin = service.clock.now() - 30 * HOUR
    service.add(service.clock.now() - HOUR, tables=[("x", ["t"])])


class Scene(NamedTuple):
    """What happens before the run that is struck, and how it runs."""

    change: Callable[[ModelService], None]
    settings: dict[str, Any]
    grain: str = "day"


SCENES = {
    "first": Scene(first, {}),
    "incremental": Scene(busy, {"reread_requests": 0}),
    "full": Scene(busy, {"is_full": True}),
    "month": Scene(busy, {"is_full": True}, "month"),
}
