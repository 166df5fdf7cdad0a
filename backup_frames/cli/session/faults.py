"""Faults of the user's or of the machine, which are no bugs of ours, in words.

In: an exception that no room has worded. Out: a message and an exit code; None if it is a bug.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

_NOT_WRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
# What Python, the loader of libraries, Arrow and DuckDB say; each has an exception of its own.
_NO_MEMORY: Final = "failed to map segment|cannot allocate memory|Allocation failure"
_NO_THREAD: Final = "start new thread|launch worker thread|thread constructor failed"


def explain_fault(error: BaseException) -> tuple[str, int] | None:
    """What happened, with the path at fault, and what to do; 2 or, if no room is left, 5."""
    if isinstance(error, MemoryError) or re.search(_NO_MEMORY, str(error)):
        return "The memory does not suffice. Read less at a time, or give more.", 2
    if re.search(_NO_THREAD, str(error)):
        text = "The machine starts no more threads. Raise ulimit -u, or lower --max-connections."
        return text, 2
    if isinstance(error, BrokenPipeError):
        return "What was written to was closed by its reader; the rest is not written.", 141
    if not isinstance(error, OSError):
        return None
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd() does the same
    except OSError:
        return "The working directory is gone. Change to another and start again.", 2
    paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
    reason = error.strerror or str(error) or type(error).__name__
    where = f"{' to '.join(paths)}: {reason}" if paths else reason
    advice = {
        errno.ENOSPC: "Free space",
        errno.EDQUOT: "Free space",
        errno.EFBIG: "Raise the limit on file sizes (ulimit -f)",
        errno.EMFILE: "Raise the limit of open files (ulimit -n)",
        errno.ENFILE: "Raise the limit of open files",
    }.get(error.errno or 0, "Check the path and its permissions" if paths else "Check the machine")
    return f"{where}. {advice}, then start again.", 5 if error.errno in _NOT_WRITABLE else 2
