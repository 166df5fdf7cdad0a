"""The API's twin: a real HTTP server with a living fleet, for tests, demos and tools.

In: how large a fleet, which seed, what goes wrong. Out: an endpoint that answers like the service,
its gateway and IAM. This room imports nothing of the rest of the package, so that it can disagree.
"""

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
