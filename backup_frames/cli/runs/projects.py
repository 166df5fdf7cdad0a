"""Projects side by side: one that waits for its service never holds up the others.

In: settings of projects, and what to do with each. Out: what came of each, as they end. So many are
busy at a time; one that only waits (throttled, or asked of a slow service) gives its turn to another,
and goes on beside it. Each runs on a thread of its own, with its own client, pace and retry budget.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from ...api.watch import Watch
    from ...settings import Settings

T = TypeVar("T")

MOST_IDLE: Final = 60
"""Projects that wait beside the busy ones; more would fill the memory."""
LOOK_EVERY_S: Final = 0.1
END_WITHIN_S: Final = 3.0


def run_side_by_side(
    projects: Sequence[Settings], run: Callable[[Settings, Watch], T], *, at_once: int
) -> Generator[tuple[Settings, T | Exception] | None, None, None]:
    """Run something for each project.

    Args:
        projects: in the order in which they are begun.
        run: called in a thread; what it raises is its result. It hands on the watch's parts.
        at_once: how many may be busy.

    Yields:
        A project and its result, as soon as it is there; None now and then while nothing ends.
        Closed early, it stops all of them.
    """
    from ...api.watch import Watch

    done = queue.SimpleQueue[tuple[threading.Thread, T | Exception]]()
    waiting = deque(projects)
    running: dict[threading.Thread, tuple[Settings, Watch]] = {}

    def work(settings: Settings, watch: Watch) -> None:
        try:
            result: T | Exception = run(settings, watch)
        except Exception as error:  # told where the results are
            result = error
        except BaseException as stop:  # likewise, but not as an end of this process
            result = RuntimeError(f"stopped by {type(stop).__name__}")
        done.put((threading.current_thread(), result))

    try:
        while waiting or running:
            while waiting and _has_turn([watch for _, watch in running.values()], at_once):
                settings = waiting[0]
                watch = Watch(settings.service_url, max_connections=settings.max_connections)
                thread = threading.Thread(target=work, args=(settings, watch), daemon=True)
                if (error := _start(thread)) is None:
                    running[thread] = (waiting.popleft(), watch)
                elif running:
                    break  # wait for one to end
                else:
                    yield waiting.popleft(), error
            try:
                thread, result = done.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                yield None
            else:
                yield running.pop(thread)[0], result
    finally:
        _stop(running)


def _stop(running: Mapping[threading.Thread, tuple[Settings, Watch]]) -> None:
    """End what runs, and give it time to give back what it holds."""
    for _, watch in running.values():
        watch.stop()
    until = time.monotonic() + END_WITHIN_S
    for thread in running:
        thread.join(max(until - time.monotonic(), 0))


def _start(thread: threading.Thread) -> RuntimeError | None:
    """Start it; the error if the machine has no more threads."""
    try:
        thread.start()
    except RuntimeError as error:
        return error
    return None


def _has_turn(watches: Sequence[Watch], at_once: int) -> bool:
    if len(watches) < at_once:
        return True
    busy = sum(not watch.is_idle for watch in watches)
    return busy < at_once and len(watches) < at_once + MOST_IDLE
