"""A request of many to one address, which differ in their query alone.

In: the first request to the address, and a query. Out: an `httpx.Request` with that query.

Why not `httpx.Request` itself: it reads its whole URL anew, letter by letter, which takes longer than
sending it. Here the URL is read when somebody asks for it: a signature, or a transport of your own.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import TypeGuard
from urllib.parse import quote

import httpx


class Request(httpx.Request):
    """Another request to the same address, with headers of its own.

    Args:
        first: without a query; what it holds is taken over.
        query: behind the question mark, quoted.
    """

    def __init__(self, first: httpx.Request, query: str) -> None:
        vars(self).update(vars(first))
        vars(self).pop("url", None)
        self.address = first.url
        self.headers = first.headers.copy()
        self.extensions = {}
        self._query = query

    @cached_property
    def url(self) -> httpx.URL:  # type: ignore[override]  # a plain attribute in httpx
        """The address with the query."""
        return httpx.URL(f"{self.address}?{self._query}")

    @property
    def target(self) -> bytes:
        """What is asked of the host: path and query."""
        return b"%b?%b" % (self.address.raw_path, self._query.encode("ascii"))


def join_params(params: Iterable[tuple[str, str]]) -> str:
    """The text of a query; quoted so that "+" travels as %2B, and as a signature quotes it."""
    return "&".join([f"{name}={_quote(value)}" for name, value in params])


@lru_cache(maxsize=64)  # of a query only one value is new
def _quote(value: str) -> str:
    return quote(value, safe="-_.~")


def address_of(request: httpx.Request) -> httpx.URL:
    """Where a request goes; with or without its query."""
    return request.address if _is_unread(request) else request.url


def target_of(request: httpx.Request) -> bytes:
    """What a request asks of the host: path and query."""
    return request.target if _is_unread(request) else request.url.raw_path


def _is_unread(request: httpx.Request) -> TypeGuard[Request]:
    """Whether nobody has asked for the URL yet, nor given another one."""
    return isinstance(request, Request) and "url" not in vars(request)
