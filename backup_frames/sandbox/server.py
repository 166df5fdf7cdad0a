"""The sandbox as a context manager, and as the blocking server of `backup-frames sandbox`.

In: what to serve. Out: a real HTTP server on 127.0.0.1, in a thread with its own event loop, and
everything a client needs to know to call it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from .app import Received, Service
from .faults import Fault, parse_faults
from .iam import Iam
from .query import Dialect
from .world.clock import DEFAULT_START, SandboxClock
from .world.fleet import UNFINISHED, Fleet
from .world.index import Record


class Sandbox:
    """The API's twin on a free port of 127.0.0.1; use it as a context manager.

    The fleet stands still until `clock.advance(timedelta)` is called, unless `is_live`. A client
    that keeps a ledger should be given `clock`, so that both agree on what day it is.

    Args:
        backups: How many backups an invented fleet has at the start, exactly.
        seed: Same arguments and seed: same fleet, ids, keys and future.
        start: The clock's first time; default 2026-01-31T12:00Z, with `is_live` the present.
        is_live: The clock runs with the real one.
        records: Serve these records (level -> list) instead of an invented fleet.
        instances: With `records`: what the instance list sends.
        policies: With `records`: instance id -> policy.
        faults: What goes wrong, or its text as `parse_faults` reads it; `faults` of the sandbox may
            be changed while it serves.
        dialect: How it behaves where the real service's behaviour is not known.
        unfinished: How a running backup looks: "null", "empty", "absent", "all-null".
        latency_s: Every answer takes so long.
        token_lifetime_s: How long tokens live that are issued by password.
        region: Region, and name of the project.
        port: 0 = a free one.
        **switches: Fields of `Dialect` by themselves, e.g. `time_filter="inside"`.

    Example:
        >>> with Sandbox(backups=30) as sandbox:
        ...     sandbox.endpoint.startswith("http://127.0.0.1:"), len(sandbox.fleet)
        (True, 30)
    """

    def __init__(  # noqa: PLR0913  # one argument per thing a test may want to be different
        self,
        backups: int = 2000,
        *,
        seed: int = 7,
        start: datetime | None = None,
        is_live: bool = False,
        records: Mapping[str, Iterable[Record]] | None = None,
        instances: Iterable[Record] = (),
        policies: Mapping[str, Record] | None = None,
        faults: str | Iterable[Fault] = (),
        dialect: Dialect | None = None,
        unfinished: str = "null",
        latency_s: float = 0.0,
        token_lifetime_s: float = 86_400,
        region: str = "eu-west-101",
        port: int = 0,
        **switches: Any,
    ) -> None:
        for name, number, most in (("backups", backups, None), ("port", port, 65_535)):
            if not isinstance(number, int) or number < 0 or number > (most or number):
                asked = f"0 to {most}" if most else "0 or more"
                raise ValueError(f"{name} is {number!r}: give a whole number, {asked}")
        if not isinstance(is_live, bool):  # "false" of a template would let time run
            raise ValueError(f"is_live is {is_live!r}: give True or False")
        if not isinstance(latency_s, int | float) or not 0 <= latency_s < inf:
            raise ValueError(f"latency_s is {latency_s!r}: give seconds, 0 or more")
        if unfinished not in UNFINISHED:
            raise ValueError(f"unfinished is {unfinished!r}: use one of {', '.join(UNFINISHED)}")
        faults = parse_faults(faults) if isinstance(faults, str) else list(faults)
        for fault in faults:
            if not isinstance(fault, Fault):
                raise ValueError(f"{fault!r} is no fault: give one such as Status(status=500)")
        default = datetime.now(UTC) if is_live else DEFAULT_START
        self.clock = SandboxClock(default if start is None else start, is_live=is_live)
        self.fleet = Fleet(
            self.clock,
            seed=seed,
            backups=backups,
            records=records,
            instances=instances,
            policies=policies,
            unfinished=unfinished,
            region=region,
        )
        self.iam = Iam(seed, region, token_lifetime_s, self.clock)
        self.region = region
        self.project_id = self.iam.project_id
        self.token = self.iam.token
        self.access_key = self.iam.access_key
        self.secret_key = self.iam.secret_key
        self.domain = self.iam.domain
        self.username = self.iam.username
        self.password = self.iam.password
        dialect = replace(dialect or Dialect(), **switches)
        self.service = Service(self.fleet, self.iam, faults, dialect, latency_s=latency_s)
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Bind the port and serve; a taken port is an `OSError`."""
        # asyncio switches Nagle off only where the protocol is named: 40 ms per answer
        listener = socket.socket(proto=socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self._port))
        except OSError:
            listener.close()
            raise
        listener.listen(128)
        self._port = listener.getsockname()[1]
        self._server = _Server(self.service.app())
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="sandbox", daemon=True
        )
        self._thread.start()
        self._server.is_up.wait()
        return self

    def stop(self) -> None:
        """Stop serving and free the port; does nothing if it does not serve."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop()
        if error is None and self.service.errors:
            raise self.service.errors[0]  # a hook failed in the server's thread

    def __repr__(self) -> str:
        return f"Sandbox({self.endpoint})"

    @property
    def endpoint(self) -> str:
        """Where it serves, e.g. `http://127.0.0.1:40123`; IAM is at the same place."""
        return f"http://127.0.0.1:{self._port}"

    iam_endpoint = endpoint

    @property
    def requests(self) -> list[Received]:
        """What was asked so far, in order; no header's value is kept."""
        return self.service.requests

    @property
    def request_count(self) -> int:
        """How many requests came to a route that exists."""
        return len(self.service.requests)

    @property
    def faults(self) -> list[Fault]:
        """What goes wrong; append, remove or clear at any time."""
        return self.service.faults

    @property
    def dialect(self) -> Dialect:
        """How it behaves where the real service's behaviour is not known; set it at any time."""
        return self.service.dialect

    @dialect.setter
    def dialect(self, dialect: Dialect) -> None:
        self.service.dialect = dialect

    @property
    def denied(self) -> set[str]:
        """Operations answered with 403: any of backups, instances, policy."""
        return self.service.denied

    @property
    def extra_headers(self) -> dict[str, str]:
        """Sent with every answer, e.g. `X-Apig-RateLimit-User: remain:9,limit:10,time:1 minute`."""
        return self.service.extra_headers

    def on_request(self, hook: Callable[[Received], object]) -> None:
        """Call `hook` before every list request is answered, e.g. to change the fleet by then."""
        self.service.hooks.append(hook)

    def environment(self) -> dict[str, str]:
        """The variables that point a client here."""
        return {
            "BACKUP_FRAMES_ENDPOINT": self.endpoint,
            "BACKUP_FRAMES_IAM_ENDPOINT": self.iam_endpoint,
            "BACKUP_FRAMES_PROJECT_ID": self.project_id,
            "BACKUP_FRAMES_TOKEN": self.token,
            "HUAWEICLOUD_SDK_AK": self.access_key,
            "HUAWEICLOUD_SDK_SK": self.secret_key,
        }


class _Server(uvicorn.Server):
    """uvicorn, telling when it is up and able to reset a connection."""

    def __init__(self, app: ASGIApp) -> None:
        self.is_up = threading.Event()
        super().__init__(
            uvicorn.Config(
                _with_abort(app),
                http="h11",
                loop="asyncio",
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                log_level="critical",
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )

    async def main_loop(self) -> None:
        """Tell, and serve: if it was told to stop before this, uvicorn may leave its port open."""
        self.is_up.set()
        await super().main_loop()


def _with_abort(app: ASGIApp) -> ASGIApp:
    """Put `abort` into the scope: it resets the connection, as a broken network does."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def abort() -> None:
            transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's own
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
            while (await receive())["type"] != "http.disconnect":
                pass  # until uvicorn has noticed, it would try to answer

        scope["abort"] = abort
        await app(scope, receive, send)

    return wrapped


def serve(
    *,
    port: int = 0,
    backups: int = 2000,
    seed: int = 7,
    faults: str | Iterable[Fault] = (),
    is_live: bool = False,
    start: datetime | None = None,
    dialect: Dialect | None = None,
    tell: Callable[[str], object] = print,
) -> None:
    """Serve until SIGINT or SIGTERM; to be called in the main thread.

    The clock starts with the present UTC day, so that reports about the fleet look current; without
    `is_live` it stays there.

    Args:
        port: 0 = a free one.
        backups: How many to begin with.
        seed: Decides the fleet.
        faults: Faults, or their text as `parse_faults` reads it.
        is_live: Whether time runs.
        start: Another first time.
        dialect: How it behaves where the real service's behaviour is not known.
        tell: Called with each line `NAME=value`, then with those that export the names.
    """
    if start is None and not is_live:
        start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with Sandbox(
            backups,
            seed=seed,
            start=start,
            is_live=is_live,
            faults=faults,
            dialect=dialect,
            port=port,
        ) as sandbox:
            variables = sandbox.environment()
            for name, value in variables.items():
                tell(f"{name}={value}")
            for pair in zip(*[iter(variables)] * 2, strict=True):  # short enough for any terminal
                tell(f"export {' '.join(pair)}")
            threading.Event().wait()
    except KeyboardInterrupt:
        pass  # asked to stop, and stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
