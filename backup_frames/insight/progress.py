"""A progress bar that works wherever a job runs, and never breaks the job.

In: a label. Out: a function of (rows done, rows expected), as reads and syncs call it. In a notebook it
moves a bar below the cell, on a terminal a bar on stderr, and elsewhere it writes a log line now and
then. If a bar cannot be drawn, because its terminal has gone or its notebook was closed, the job goes on
without one.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import Any, TypeAlias

Advance: TypeAlias = Callable[[int, int | None], None]

LOG = logging.getLogger("backup_frames")
LOG_EVERY_S = 10.0  # between log lines
DRAW_EVERY_S = 0.1  # between moves of a notebook's bar: each is a message to the browser


@contextmanager
def show_progress(label: str, *, is_plain: bool = False) -> Iterator[Advance]:
    """Show progress of rows until the block ends.

    Args:
        label: what is being done, such as "Reading".
        is_plain: log lines only, wherever this runs.

    Yields:
        A function of (rows done, rows expected or None), to be called as often as one likes and from
        any thread. It raises nothing.

    Example:
        >>> with show_progress("Reading") as advance:
        ...     advance(500, 3000)
    """
    bar: AbstractContextManager[Advance]
    if not is_plain and _in_notebook():
        bar = _notebook_bar(label)
    elif not is_plain and sys.stderr is not None and sys.stderr.isatty():
        bar = _terminal_bar(label)
    else:
        bar = nullcontext(_log_lines(label))
    draw: Advance | None = None
    ending = ExitStack()
    try:
        draw = ending.enter_context(bar)
    except Exception:  # drawing is never worth a job
        LOG.debug("No progress bar.", exc_info=True)

    def advance(done: int, expected: int | None) -> None:
        nonlocal draw
        if draw is not None:
            try:
                draw(done, expected)
            except Exception:
                draw = None
                LOG.debug("The progress bar is gone.", exc_info=True)

    try:
        yield advance
    finally:
        with suppress(Exception):
            ending.close()


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def _notebook_bar(label: str) -> Iterator[Advance]:
    import html  # noqa: PLC0415 - with its thousands of names for a notebook alone

    from IPython.display import HTML, display  # noqa: PLC0415 - only where it runs already

    def picture(text: str, bar: str = "") -> Any:
        return HTML(f"{bar} {html.escape(label)}: {html.escape(text)}")  # type: ignore[no-untyped-call]

    begun_s = last_s = time.monotonic()
    rows = 0
    handle = display(picture("…"), display_id=True)  # type: ignore[no-untyped-call]

    def draw(done: int, expected: int | None) -> None:
        nonlocal last_s, rows
        rows = done
        if time.monotonic() - last_s >= DRAW_EVERY_S:
            last_s = time.monotonic()
            value = f"value='{done}' max='{max(expected, done)}'" if expected else ""
            handle.update(picture(_count(done, expected), f"<progress {value}></progress>"))

    yield draw
    handle.update(picture(f"{rows:,} rows in {time.monotonic() - begun_s:.1f} s"))


@contextmanager
def _terminal_bar(label: str) -> Iterator[Advance]:
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.progress import (  # noqa: PLC0415 - likewise
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    label_column = TextColumn("{task.description}", markup=False)
    columns = (label_column, BarColumn(), MofNCompleteColumn(), "rows", TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, expected: bar.update(task, completed=done, total=expected)


def _log_lines(label: str) -> Advance:
    last_s = time.monotonic()

    def draw(done: int, expected: int | None) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= LOG_EVERY_S:
            last_s = time.monotonic()
            LOG.info("%s: %s", label, _count(done, expected))

    return draw


def _count(done: int, expected: int | None) -> str:
    return f"{done:,} of {f'{expected:,}' if expected else '?'} rows"
