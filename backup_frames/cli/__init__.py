"""The command line `backup-frames`: each subcommand is one call of the library.

In: arguments. Out: data on stdout, notes and progress on stderr, an exit code: 0 done and complete,
2 usage, settings or query, 3 the service, 4 data outside the contract, 5 lake, 6 incomplete,
7 `check` found something, 1 a bug of ours, 130 Ctrl-C, 143 SIGTERM. Heavy libraries load inside the
commands that need them.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from types import FrameType
from typing import Annotated, Any

import typer

from ..errors import ConfigError
from ..version import VERSION
from .screen.output import OutputError, flush_out, write_out
from .session.plain_values import PlainCommand, PlainGroup
from .session.session import (
    COMMANDS,
    Debug,
    LogFormatOption,
    Quiet,
    Session,
    log_format_of,
    release_log,
)
from .session.wording import usage_line

__all__ = ["app", "main", "make_app"]

STOP_WITHIN_S = 4.0
_LAST_WORDS_S = 0.2  # to write a line; a thread that is held up may hold what it takes

NAMES = (
    *("demo", "read", "sync", "changes", "check", "query", "report", "publish", "evidence"),
    *("verify", "guide", "doctor", "sandbox", "config"),
)


def make_app(names: Sequence[str] = NAMES) -> typer.Typer:
    """The command line with these commands, each of the module of its name."""
    made = typer.Typer(
        name="backup-frames",
        cls=PlainGroup,
        help="Huawei Cloud GeminiDB backups as verified tables and a Parquet lake.",
        epilog="Exit codes: 0 done and complete, 2 usage or settings, 3 service, 4 data outside the "
        "contract, 5 lake, 6 incomplete, 7 check found something, 1 a bug. "
        "Start without an account: backup-frames demo",
        no_args_is_help=True,
        add_completion=len(names) > 1,  # its options stand before a command
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    made.callback()(options_before_subcommand)
    for name in names:
        import_module(f".commands.{name}", __name__)
        made.command(name, cls=PlainCommand)(COMMANDS[name])
    return made


def __getattr__(name: str) -> typer.Typer:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return make_app()


def _show_version(is_asked: bool) -> None:
    if not is_asked:
        return
    write_out(f"backup-frames {VERSION}\n")
    raise typer.Exit


def options_before_subcommand(
    context: typer.Context,
    *,
    debug: Debug = False,
    quiet: Quiet = False,
    log_format: LogFormatOption = None,
    version: Annotated[  # noqa: ARG001 - acts through its callback
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Huawei Cloud GeminiDB backups as verified tables and a Parquet lake."""
    context.ensure_object(Session).adopt(debug=debug, quiet=quiet, log_format=log_format)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; never raises.

    Args:
        argv: the arguments without the program's name; default: those of the process, which then
            also stops within five seconds of Ctrl-C or SIGTERM, whatever its threads wait for.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    session = Session(log_format=log_format_of(arguments))  # for what fails before it is parsed
    if argv is None:
        signal.signal(signal.SIGTERM, partial(_stop, session))
        signal.signal(signal.SIGINT, partial(_stop, session))
    session.take_log()
    # the others are neither loaded nor made where the first word is a command
    asked = (arguments[0],) if arguments and arguments[0] in NAMES else NAMES
    try:
        code = _command_line(asked)(
            args=arguments, prog_name="backup-frames", standalone_mode=False, obj=session
        )
        flush_out()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer's own texts, such as its help
            return session.fail(OutputError(stop.__context__))
        return stop.code if isinstance(stop.code, int) else 1
    except (KeyboardInterrupt, typer.Abort):
        return session.conclude("Stopped by Ctrl-C.", 130)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer's usage errors have in common
            return session.fail(error)
        return session.fail(ConfigError(usage_line(error, arguments)))
    finally:
        release_log()
    return code if isinstance(code, int) else 0


@cache
def _command_line(names: tuple[str, ...]) -> Callable[..., Any]:
    """Parses and runs a line with these commands; made once, for who calls `main` again."""
    return typer.main.get_command(make_app(names)).main


def _stop(session: Session, number: int, _frame: FrameType | None) -> None:
    """Unwind the main thread; if requests in flight hold it up, end the process.

    Both are safe: the lake is built to survive kill -9.
    """
    try:  # no `threading.Timer`: its start waits for a thread that lacks memory, for ever
        _thread.start_new_thread(_end_late, (session, 128 + number))
    except RuntimeError:  # no more threads
        os._exit(128 + number)
    session.stop_code = 128 + number
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _end_late(session: Session, code: int) -> None:
    time.sleep(STOP_WITHIN_S)
    if not session.has_concluded:  # the main thread does not get to say it
        with suppress(RuntimeError):  # no more threads
            _thread.start_new_thread(session.fail, (SystemExit(code),))
        time.sleep(_LAST_WORDS_S)
    os._exit(code)
