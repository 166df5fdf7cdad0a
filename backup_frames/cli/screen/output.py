"""Writing to stdout and stderr, whatever they are: closed, full, a pipe, another alphabet.

In: texts and bytes. Out: the same on the stream, foreign control characters spelled out; or an
`OutputError`, which is the fault of neither this program nor its data.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Literal, TextIO

from ...api.scrub import as_printable


class OutputError(Exception):
    """Stdout cannot be written.

    Attributes:
        exit_code: 141 if its reader left, as a shell says it; else 2.
    """

    def __init__(self, reason: BaseException | None) -> None:
        is_pipe = isinstance(reason, BrokenPipeError)
        self.exit_code = 141 if is_pipe else 2
        if is_pipe:
            text = "Stdout was closed by its reader; the rest is not written."
        elif isinstance(reason, OSError):
            text = f"Stdout cannot be written: {reason.strerror}. Redirect it elsewhere."
        else:
            text = "Stdout is closed. Redirect it to a file, or to /dev/null."
        super().__init__(text)


def is_terminal(stream: Literal["stdout", "stderr"] = "stdout") -> bool:
    """Whether what is now stdout, or stderr, is a terminal."""
    with suppress(AttributeError, ValueError):  # it is closed, or none
        return getattr(sys, stream).isatty()
    return False


def is_styled() -> bool:
    """Whether colours may go to stdout: it is a terminal that knows them, and NO_COLOR is not set."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")
    return is_terminal() and wanted


def write_out(text: str) -> None:
    """Write lines to stdout.

    Raises:
        OutputError: it cannot be written.
    """
    with _blaming_stdout():
        _write(sys.stdout, as_printable(text, keep_lines=True))


def write_styled(text: str) -> None:
    """Write lines with colours to stdout, as they are: of texts that come with this package only.

    Raises:
        OutputError: it cannot be written.
    """
    with _blaming_stdout():
        _write(sys.stdout, text)


def flush_out() -> None:
    """Make sure that what was written has left.

    Raises:
        OutputError: it cannot.
    """
    if sys.stdout is not None:  # nothing was written then, or it was told
        with _blaming_stdout():
            sys.stdout.flush()


def write_err(text: str) -> None:
    """Write lines to stderr; what cannot be written there cannot be told anywhere."""
    with suppress(OSError, ValueError, AttributeError):
        _write(sys.stderr, as_printable(text, keep_lines=True))
        sys.stderr.flush()


@contextmanager
def open_out() -> Iterator[IO[bytes]]:
    """Stdout for bytes of data, exactly as they are; on a terminal control characters spelled out.

    What takes no bytes, such as a caller's `io.StringIO`, gets text like a terminal.

    Raises:
        OutputError: it cannot be written.
    """
    if is_terminal() or not hasattr(sys.stdout, "buffer"):
        held = io.BytesIO()
        yield held
        write_out(held.getvalue().decode())
        return
    with _blaming_stdout():
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()


@contextmanager
def _blaming_stdout() -> Iterator[None]:
    if sys.stdout is None:
        raise OutputError(None)
    try:
        yield
    except ValueError as error:
        if not sys.stdout.closed:
            raise
        raise OutputError(None) from error
    except OSError as error:
        if error.errno == errno.EBADF:
            raise OutputError(None) from error
        # Python would try and complain again at its last flush.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(error) from error


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding))
