"""The keywords that reads share, written once: how to reach the service, and which backups are meant.

In: what a caller gave as ``**given``. Out: its filters and its connection. A function that takes them so
shows each of them all the same, to type checkers, to `help` and to notebooks that complete a call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

from ..api.query import Level, Moment

if TYPE_CHECKING:
    import httpx  # types only: this room knows no HTTP

    from ..clock import Clock
    from ..settings import Settings

Filter = str | Sequence[str] | None
"""A value, or several of which a backup must have one; None for all."""

F = TypeVar("F", bound=Callable[..., Any])


class ConnectionKeywords(TypedDict, total=False):
    """How to reach the service; `read_instances` says what each is."""

    endpoint: str | None
    region: str | None
    project_id: str | None
    token: str | None
    settings: Settings | None
    transport: httpx.BaseTransport | None
    clock: Clock | None


class FilterKeywords(TypedDict, total=False):
    """Which backups; `read_backups` says what each is."""

    instance_id: Filter
    instance_name: Filter
    datastore_type: Filter
    backup_id: Filter
    backup_type: Filter
    level: Level | Sequence[Level] | None
    begin: Moment | None
    end: Moment | None


class ReadKeywords(ConnectionKeywords, FilterKeywords, total=False):
    """Which backups, and from where."""


def divide(given: ReadKeywords) -> tuple[FilterKeywords, ConnectionKeywords]:
    """What was given, in its two kinds."""
    connection = {one: given[one] for one in ConnectionKeywords.__annotations__ if one in given}  # type: ignore[literal-required]  # its own names
    filters = {name: value for name, value in given.items() if name not in connection}
    return cast("FilterKeywords", filters), cast("ConnectionKeywords", connection)


def spelled_out(keywords: type) -> Callable[[F], F]:
    """Let a function that takes these as ``**given`` name each in its signature, and refuse others."""
    given = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind.__forward_arg__)
        for name, kind in keywords.__annotations__.items()
    ]

    def spell_out(function: F) -> F:
        own = signature(function)
        named = [one for one in own.parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
        spelled = own.replace(parameters=[*named, *given])

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if unknown := next((name for name in kwargs if name not in spelled.parameters), None):
                close = get_close_matches(unknown, spelled.parameters, n=1)
                raise TypeError(
                    f"{function.__name__}() got an unexpected keyword argument {unknown!r}."
                    + (f" Did you mean {close[0]!r}?" if close else "")
                )
            return function(*args, **kwargs)

        call.__signature__ = spelled  # type: ignore[attr-defined]  # as of PEP 362
        return cast("F", call)

    return spell_out
