"""One run of the command line: what it prints where, and which exit code it ends with.

In: the output options, exceptions and log records. Out: data on stdout, everything else on stderr,
an exit code. Also `command`, which gives every subcommand the output options and this treatment.

Secrets that settings brought in are blotted out of all that goes to stderr: a last net below the
rooms, which keep them out of their messages by themselves.
"""

# ruff: noqa: PLC0415 - what is heavy loads inside the commands that need it

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backup_frames.errors import BackupFramesError, ConfigError

if TYPE_CHECKING:
    from backup_frames.settings import Settings

Advance = Callable[[int, int | None], None]

LOG = logging.getLogger("backup_frames")
SECRET_LENGTH = 4  # a shorter one is no secret, and blotting it out would spoil every line


class LogFormat(StrEnum):
    """How log lines and reports look."""

    TEXT = "text"
    JSON = "json"


Debug = Annotated[bool, typer.Option("--debug", help="Log details; show tracebacks of errors.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes: errors only.")]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option("--log-format", help="Log lines on stderr as text or as JSON, one per line."),
]


@dataclass
class Session:
    """Output options of this run, and the secrets to keep out of it."""

    is_debug: bool = False
    is_quiet: bool = False
    log_format: LogFormat = LogFormat.TEXT
    exit_code: int = 0
    _secrets: set[str] = field(default_factory=set, repr=False)

    def adopt(self, *, debug: bool, quiet: bool, log_format: LogFormat | None) -> None:
        """Take the output options; they add up when given before and after the subcommand."""
        self.is_debug = self.is_debug or debug
        self.is_quiet = self.is_quiet or quiet
        self.log_format = log_format or self.log_format
        level = logging.WARNING if self.is_quiet else logging.INFO
        LOG.setLevel(logging.DEBUG if self.is_debug else level)
        LOG.handlers = [_StderrHandler(self)]

    def load(self, config: Any = None, **arguments: Any) -> Settings:
        """Load settings as `load_settings` does, and remember their secrets."""
        from backup_frames.settings import load_settings

        return self.watch(load_settings(config, **arguments))

    def watch(self, settings: Settings) -> Settings:
        """Keep the secrets of these settings out of everything that goes to stderr."""
        for name in type(settings).model_fields:
            value = getattr(settings, name)
            if hasattr(value, "get_secret_value"):
                self._secrets.add(value.get_secret_value())
        return settings

    def scrub(self, text: str) -> str:
        """Return the text without the secrets seen so far."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= SECRET_LENGTH:
                text = text.replace(secret, "***")
        return text

    def print(self, text: str = "") -> None:
        """Write data, or a report that was asked for, to stdout."""
        sys.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """Write lines for people to stderr; as a log record with --log-format json."""
        if self.log_format is LogFormat.JSON:
            LOG.info(text)
        elif not self.is_quiet:
            sys.stderr.write(self.scrub(text) + "\n")

    def complain(self, text: str) -> None:
        """Say on stderr why the exit code will not be 0, also with --quiet."""
        if self.log_format is LogFormat.JSON:
            LOG.error(text, extra={"facts": {"exit_code": self.exit_code}})
        else:
            sys.stderr.write(self.scrub(text) + "\n")

    def write(self, out: Path, data: bytes) -> None:
        """Write a whole file that was asked for."""
        try:
            out.write_bytes(data)
        except OSError as error:
            raise ConfigError(
                f"{out} cannot be written: {error.strerror}. Choose another --out."
            ) from error

    def fail(self, error: BaseException, *, about: str = "") -> int:
        """Report an error on stderr and return its exit code; a traceback only with --debug."""
        if isinstance(error, BackupFramesError):
            text, code = str(error), error.exit_code
        else:
            text = (
                f"{type(error).__name__}: {error}. This is a bug of backup-frames: please report "
                "it with the output of the same command with --debug."
            )
            code = 1
        text = " ".join(self.scrub(about + text).split())
        trace = "".join(traceback.format_exception(error)) if self.is_debug else ""
        if self.log_format is LogFormat.JSON:
            facts = {"error": type(error).__name__, "exit_code": code}
            LOG.error(text, extra={"facts": facts | ({"traceback": trace} if trace else {})})
        else:
            sys.stderr.write(f"{self.scrub(trace)}Error: {text}\n")
        return code

    @contextmanager
    def progress(self, label: str) -> Iterator[Advance]:
        """Show progress of rows: a bar on a terminal, else a log line now and then.

        Yields:
            A function of (rows done, rows expected or None), to be called as often as one likes.
        """
        from backup_frames.insight.progress import show_progress

        is_plain = self.is_quiet or self.log_format is LogFormat.JSON
        with show_progress(label, is_plain=is_plain) as advance:
            yield advance


def release_log() -> None:
    """Leave the package's logger as it was before the command line took it."""
    LOG.handlers = []
    LOG.setLevel(logging.NOTSET)


class _StderrHandler(logging.Handler):
    """One line per record on whatever stderr is now (a progress bar replaces it while it lives)."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and self._session.is_debug:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        if self._session.log_format is LogFormat.JSON:
            facts = {"time": moment, "level": record.levelname.lower(), "message": text}
            text = json.dumps(facts | getattr(record, "facts", {}), ensure_ascii=False, default=str)
        else:
            text = f"{moment} {record.levelname.lower()} {text}"
        sys.stderr.write(self._session.scrub(text) + "\n")


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a typer command of ``function(session, **options)``.

    It gains --debug, --quiet and --log-format (they work before the subcommand, too). An exception
    becomes a message and an exit code; ``session.exit_code`` is the code where there was none.
    """
    signature = inspect.signature(function, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "session"]

    @wraps(function)
    def run(context: typer.Context, **options: Any) -> None:
        session = context.ensure_object(Session)
        session.adopt(**{name: options.pop(name) for name in ("debug", "quiet", "log_format")})
        try:
            function(session, **options)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader (head, less) has enough. Python would complain again at its last flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except typer.Exit:
            raise
        except Exception as error:  # the wall: everything becomes an exit code here
            raise typer.Exit(session.fail(error)) from None
        raise typer.Exit(session.exit_code)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("context", keyword, annotation=typer.Context),
        *(p.replace(kind=keyword) for p in own),
        inspect.Parameter("debug", keyword, default=False, annotation=Debug),
        inspect.Parameter("quiet", keyword, default=False, annotation=Quiet),
        inspect.Parameter("log_format", keyword, default=None, annotation=LogFormatOption),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
