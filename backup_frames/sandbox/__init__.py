"""The API's twin: a real HTTP server with a living fleet, for tests, demos and tools.

In: how large a fleet, which seed, what goes wrong. Out: an endpoint that answers like the service,
its gateway and IAM. This room imports nothing of the rest of the package, so that it can disagree.
Each name below loads its module when it is first used: who starts it apart needs no server here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .faults import (
        Cut,
        EmptyOk,
        Fault,
        HtmlError,
        Latency,
        Redirect,
        Reset,
        Status,
        Throttle,
        TokenExpiry,
        WindowLimit,
        parse_faults,
    )
    from .query import Dialect
    from .server import Sandbox, serve
    from .world.clock import DEFAULT_START, SandboxClock
    from .world.fleet import Fleet

__all__ = [
    "DEFAULT_START",
    "Cut",
    "Dialect",
    "EmptyOk",
    "Fault",
    "Fleet",
    "HtmlError",
    "Latency",
    "Redirect",
    "Reset",
    "Sandbox",
    "SandboxClock",
    "Status",
    "Throttle",
    "TokenExpiry",
    "WindowLimit",
    "parse_faults",
    "serve",
]

_MODULES = {
    "DEFAULT_START": "world.clock",
    "Dialect": "query",
    "Fleet": "world.fleet",
    "Sandbox": "server",
    "SandboxClock": "world.clock",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES.get(name, 'faults')}", __name__), name)
    globals()[name] = value
    return value
