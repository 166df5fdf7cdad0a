"""One run of the command line: what it prints where, and which exit code it ends with.

In: the output options, exceptions and log records. Out: data on stdout, everything else on stderr,
an exit code. Also `command`, which gives every subcommand the output options and this treatment.

Secrets that settings brought in are blotted out of all that goes to stderr: a last net below the
rooms, which keep them out of their messages by themselves.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ...api.scrub import as_printable, without_secrets
from ...errors import BackupFramesError
from ..screen.invocation import as_typed
from ..screen.output import OutputError, flush_out, is_terminal, write_err, write_out
from .faults import explain_fault
from .wording import options_of, speak_options

if TYPE_CHECKING:
    from ...settings import Settings

Advance = Callable[[int, int | None], None]

LOG = logging.getLogger("backup_frames")
COMMANDS: dict[str, Callable[..., None]] = {}
"""The function of each command that is loaded, by its module's name, which is the command's."""
ANNOUNCE_AFTER_S = 1.0
ANNOUNCE_EVERY_S = 2.0


LogFormat = Literal["text", "json"]
Debug = Annotated[bool, typer.Option("--debug", help="Log details; show tracebacks of errors.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes: errors only.")]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option("--log-format", help="Log lines on stderr as text or as JSON, one per line."),
]


@dataclass
class Session:
    """Output options of this run, its command's options by parameter, and the secrets to keep out of it.

    A talkative run, which people watch, shows every two seconds that it lives, on a pipe too.
    """

    is_debug: bool = False
    is_quiet: bool = False
    log_format: LogFormat = "text"
    exit_code: int = 0
    is_talkative: bool = False
    has_concluded: bool = False
    stop_code: int | None = None
    options: dict[str, str] = field(default_factory=dict)
    lake: str | Path | None = None
    _secrets: set[str] = field(default_factory=set, repr=False)

    def adopt(self, *, debug: bool, quiet: bool, log_format: LogFormat | None) -> None:
        """Take the output options; they add up when given before and after the subcommand."""
        self.is_debug = self.is_debug or debug
        self.is_quiet = self.is_quiet or quiet
        self.log_format = log_format or self.log_format
        self.take_log()

    def take_log(self) -> None:
        """Let the package's log lines come out as these options say."""
        level = logging.ERROR if self.is_quiet else logging.INFO
        LOG.setLevel(logging.DEBUG if self.is_debug else level)
        LOG.handlers = [_StderrHandler(self)]

    def load(self, config: Any = None, **arguments: Any) -> Settings:
        """Load settings as `load_settings` does, and remember their secrets."""
        from ...settings import load_settings

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
        return without_secrets(text, self._secrets)

    def print(self, text: str = "") -> None:
        """Write data, or a report that was asked for, to stdout.

        Raises:
            OutputError: it cannot be written.
        """
        write_out(text + "\n")

    def note(self, text: str) -> None:
        """Write lines for people to stderr; as a log record with --log-format json."""
        if self.log_format == "json":
            LOG.info(text)
        elif not self.is_quiet:
            write_err(self.scrub(text) + "\n")

    def warn(self, text: str) -> None:
        """Write one line about what is odd to stderr; the exit code stays."""
        LOG.warning(speak_options(text, self.options))

    def conclude(
        self, text: str, code: int | None = None, *, facts: dict[str, Any] | None = None
    ) -> int:
        """Say on stderr in one line why the exit code is not 0, --quiet or not; return the code."""
        self.has_concluded = True
        code = self.exit_code if code is None else code
        text = " ".join(self.scrub(speak_options(text, self.options)).split())
        if self.log_format == "json":
            LOG.error(text, extra={"facts": (facts or {}) | {"exit_code": code}})
        else:
            write_err(f"{as_printable(text)}\n")
        return code

    def fail(
        self,
        error: BaseException,
        *,
        about: str = "",
        code: int | None = None,
        facts: dict[str, Any] | None = None,
    ) -> int:
        """Report an error on stderr and return its exit code; a traceback only with --debug.

        After a signal it is the signal's doing: DuckDB raises an error of its own in place of ours.
        """
        if self.stop_code is not None:
            how = "Ctrl-C" if self.stop_code == 128 + signal.SIGINT else "a signal"
            return self.conclude(f"Stopped by {how}.", self.stop_code)
        self.has_concluded = True
        if isinstance(error, BackupFramesError | OutputError):
            text = as_typed(speak_options(str(error), self.options), self.lake)
            code = code or error.exit_code
        elif (fault := explain_fault(error)) is not None:
            text, code = fault
        else:
            text = (
                f"{type(error).__name__}: {error}. This is a bug of backup-frames: please report "
                "it with the output of the same command with --debug."
            )
            code = 1
        text = re.sub(
            r"(\S{200})\S{800,}(\S{50})", r"\1…\2", " ".join(self.scrub(about + text).split())
        )
        trace = "".join(traceback.format_exception(error)) if self.is_debug else ""
        if self.log_format == "json":
            facts = (facts or {}) | {"error": type(error).__name__, "exit_code": code}
            LOG.error(text, extra={"facts": facts | ({"traceback": trace} if trace else {})})
        else:
            write_err(f"{self.scrub(trace)}Error: {as_printable(text)}\n")
        return code

    @contextmanager
    def progress(self, label: str) -> Iterator[Advance]:
        """Show progress of rows: a bar on a terminal, else a line after a second and now and then.

        Yields:
            A function of (rows done, rows expected or None), to be called as often as one likes.
        """
        from ...insight.progress import show_progress

        is_plain = self.is_quiet or self.log_format == "json"
        if self.is_talkative and not is_plain and not is_terminal("stderr"):
            with self._announced(label):
                yield lambda *_: None
            return
        with self._announced(label), show_progress(label, is_plain=is_plain) as advance:
            yield advance

    @contextmanager
    def step(self, label: str, *, is_announced: bool = True) -> Iterator[None]:
        """Say what takes a while: a moving sign on a terminal until it is done, else a line.

        Args:
            label: what is being done, such as "Drawing the report".
            is_announced: with a line where there is no terminal; not for questions, whose stderr cron
                mails.
        """
        if self.is_quiet or self.log_format == "json" or not is_terminal("stderr"):
            with self._announced(label) if is_announced else nullcontext():
                yield
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(f"{as_printable(label)} …")):
            yield

    @contextmanager
    def _announced(self, label: str) -> Iterator[None]:
        """Where no bar moves: a line, if it takes longer than a second; it grows in a talkative run."""
        if is_terminal("stderr") or self.is_quiet:
            yield
            return
        is_over = threading.Event()

        def announce() -> None:
            if is_over.wait(ANNOUNCE_AFTER_S):
                return
            if not self.is_talkative or self.log_format == "json":
                self.note(f"{label} …")
                return
            write_err(f"{label} …")
            while not is_over.wait(ANNOUNCE_EVERY_S):
                write_err(" …")
            write_err("\n")

        watcher = threading.Thread(target=announce, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            is_over.set()
            watcher.join()


def log_format_of(arguments: Sequence[str]) -> LogFormat:
    """What --log-format asks for, of a command line that may be no good otherwise."""
    asked = [*pairwise(arguments), *(tuple(one.split("=", 1)) for one in arguments)]
    return "json" if ("--log-format", "json") in asked else "text"


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
        text, trace = record.getMessage(), ""
        if record.exc_info and self._session.is_debug:
            trace = "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        if self._session.log_format == "json":
            facts = {"time": moment, "level": record.levelname.lower(), "message": text + trace}
            text = json.dumps(facts | getattr(record, "facts", {}), ensure_ascii=False, default=str)
        else:
            text = f"{moment} {record.levelname.lower()} {as_printable(text)}{trace}"
        write_err(self._session.scrub(text) + "\n")


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
        session.options = options_of(context)
        session.lake = options.get("lake")
        session.adopt(**{name: options.pop(name) for name in ("debug", "quiet", "log_format")})
        try:
            function(session, **options)
            flush_out()
        except KeyboardInterrupt:
            raise typer.Exit(session.conclude("Stopped by Ctrl-C.", 130)) from None
        except SystemExit as stop:
            session.conclude("Stopped by a signal.", stop.code if isinstance(stop.code, int) else 1)
            raise
        except typer.Exit as end:
            session.exit_code = end.exit_code
        except Exception as error:  # the wall: everything becomes an exit code here
            session.exit_code = session.fail(error)
        if session.exit_code and not session.has_concluded:
            session.conclude(f"Exit code {session.exit_code}: stdout says why.")
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
    # a help's paragraph is as wide as the reader's terminal, not as its source
    run.__doc__ = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(function) or "")
    COMMANDS[function.__module__.rpartition(".")[2]] = run
    return run
