"""The process of the command ``backup-frames``, which is ``python -m backup_frames``: start and end.

In: the arguments of the process. Out: its exit code. What is done here is done to a whole process,
so it is here and not in `cli.main`, which others may call in theirs:

- ``--version`` alone is answered without the command line's libraries;
- standard streams that are closed lead nowhere: else the next file opened is one of them, and what
  a library says on stderr is written into it;
- Ctrl-C and SIGTERM end it at once while libraries load, which some of them would swallow;
- libraries do not find what they load by themselves and no command uses (`_Unneeded`);
- numpy's linear algebra, which no command uses, starts no threads: each would spin for a while;
- imports, which make many objects and no garbage, are not searched for garbage all the time;
- the end leaves out taking half a thousand modules apart, which takes longer than many a command.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from importlib import import_module

from .version import VERSION

_HIDDEN_FROM = {
    "brotli": "httpx._decoders",
    "ctypes": "numpy._core._internal",
    "httpx._main": "httpx",
    "pandas": "pyarrow",
    "typing_extensions": "msgspec._utils",
    "zstandard": "httpx._decoders",
}
_GARBAGE_AFTER = 400_000  # objects; Python's 700 are reached hundreds of times by imports alone


def main() -> int:
    """Run the command of this process; ends it, unless others wait for it to come back."""
    if sys.argv[1:] == ["--version"] and _wrote_version():
        return _end(0)
    import signal  # noqa: PLC0415 - likewise

    for number in (signal.SIGINT, signal.SIGTERM):  # until `run` has its own
        signal.signal(number, _stop)
    _hold_streams()
    gc.set_threshold(_GARBAGE_AFTER)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.meta_path.insert(0, _Unneeded())
    from .cli import main as run  # noqa: PLC0415  # typer, which --version does without

    return _end(run())


def _stop(number: int, _: object) -> None:
    line = "Stopped by Ctrl-C." if number == 2 else "Stopped by a signal."
    try:
        os.write(2, f"{line}\n".encode())
    finally:
        os._exit(128 + number)


def _hold_streams() -> None:
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        try:
            if stream is None:
                os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


class _Unneeded:
    """Hides from libraries what they would load by themselves, and no command uses.

    - ``httpx`` brings a command line of its own, with rich, click and pygments, and readers of
      bodies that `api.wire` reads; numpy makes room for C code, msgspec for old Pythons.
    - ``pyarrow`` loads pandas for the first array it makes, to know pandas' objects when it meets
      them. It asks once whether there is pandas: here, while there is none. Commands hand Arrow no
      objects of pandas; in a process of others it is not ours to decide.
    - numpy and Arrow give each of their functions its docstring while they load: modules that know
      next to nothing stand in for those that do. So it is with numpy's types for annotations.

    All is hidden only from the module that would load it: who wants it by name finds it.
    """

    def __init__(self) -> None:
        for name, known in _KNOWN.items():
            sys.modules.setdefault(name, _Later(name, **known))

    def find_spec(self, name: str, *_: object) -> None:
        """Find nothing; fail for what is hidden."""
        asker = sys.modules.get(_HIDDEN_FROM.get(name, ""))
        if asker is not None and getattr(asker.__spec__, "_initializing", False):
            raise ModuleNotFoundError(f"{name} is not needed here", name=name)
        if name == "pyarrow.ipc" and "pandas" not in sys.modules:  # the first behind its core
            sys.modules["pyarrow.lib"].array([0])


def _read_no_docstring(_: str) -> dict[str, tuple[()]]:
    return {"Parameters": ()}


class _Later(type(sys)):  # type: ignore[misc]  # a module, without the import of `types`
    """In place of a module of which mostly the known names are asked; loads it for any other."""

    def __init__(self, name: str, **known: object) -> None:
        super().__init__(name)
        self._stood_for, self._known = name, known

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self._stood_for) is self:
            if name in self._known:
                return self._known[name]
            if name.startswith("__"):  # asked of all modules, by who looks through them
                raise AttributeError(name)
            sys.modules.pop(self._stood_for, None)  # None: two threads may ask at once
        return getattr(import_module(self._stood_for), name)


def _wrote_version() -> bool:
    try:
        sys.stdout.write(f"backup-frames {VERSION}\n")
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        return False  # closed, full, no reader: the command line says it
    return True


def _end(code: int) -> int:
    """End the process with this code at once, or give it back if that could lose something.

    Left out is only that modules and what they hold are taken apart. Threads that Python would
    wait for, or callers above, such as a profiler or a debugger, get the ordinary end.
    """
    waiting = [one for one in threading.enumerate() if not one.daemon]
    if len(waiting) > 1 or not _is_outermost():
        return code
    atexit._run_exitfuncs()  # temporary folders, logging, coverage: what asked to be called
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return code  # Python tries as well, and has an exit code for it
    os._exit(code)


def _is_outermost() -> bool:
    """Whether `main` was called by what Python itself was told to run: a script, or -m."""
    frame = sys._getframe(2).f_back
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name != "runpy" and (name, frame.f_code.co_name) != ("__main__", "<module>"):
            return False
        frame = frame.f_back
    return True


_KNOWN: dict[str, dict[str, object]] = {
    "numpy._core._add_newdocs": {},
    "numpy._core._add_newdocs_scalars": {},
    "numpy._typing": {"NDArray": list, "__path__": ()},
    "pyarrow.vendored.docscrape": {"NumpyDocString": _read_no_docstring},
}

if __name__ == "__main__":
    sys.exit(main())
