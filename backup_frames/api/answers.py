"""What the service answered: a checked page, or the error that its body and status mean.

In: an HTTP status, headers and a decoded body (of a failure: without secrets that a server may have
echoed, since texts are cut here). Out: a `Page` that keeps the bytes, or one of this
package's errors with a message that says what to do. The contract of a page: a JSON object with
``total_count`` (integer, 0 or more) and ``backups`` (array of objects with a text ``id``).

msgspec decodes only what the scan needs (0.05 ms for 100 rows) and validates the rest as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from ..errors import (
    AuthError,
    FetchError,
    PageError,
    RejectedError,
    SchemaError,
    ThrottledError,
    UnavailableError,
)
from .json_text import pair_surrogates
from .permissions import advise_grant
from .query import BackupQuery
from .scrub import as_printable
from .wire.times import read_seconds

MAX_NESTING: Final = 500
"""Deeper JSON is refused: pyarrow's JSON reader crashes on very deep input."""

_CODES: Final = ("error_code", "errorCode", "errCode", "code")
_MESSAGES: Final = ("error_msg", "errorMsg", "errMsg", "message")
# Transient by their code, whatever the status (the vendor's own tools retry them).
_TRANSIENT: Final = frozenset({"DBS.280005", "DBS.200998", "DBS.111205"})
_TRANSIENT_STATUS: Final = frozenset({408, 409, 421, 425})
_THROTTLED: Final = frozenset({"DBS.280443", "APIGW.0308", "APIG.0308"})
# What the gateway says of credentials, with 401 or 403; new ones may be had.
_TOKEN_INVALID: Final = frozenset(
    {"DBS.280056", "DBS.200010"}
    | {
        f"{name}.{number}"
        for name in ("APIGW", "APIG")
        for number in ("0301", "0303", "0305", "0307")
    }
)
_DENIED: Final = frozenset({"DBS.280032", "DBS.280063", "DBS.280015"})
_NO_GRANT_HELPS: Final = {
    "0310": "the project is unavailable. Check the project id, and that it is not frozen.",
    "0401": "this machine's address is not allowed. Ask from another, or have it allowed.",
    "0402": "this machine's address is not allowed. Ask from another, or have it allowed.",
    "0801": "the region does not allow it. Check endpoint and region.",
    "0802": "the region does not allow it. Check endpoint and region.",
}
"""What the gateway's 403 means beside a missing permission, by the number of its code."""
_LIMIT_TEXT = re.compile(
    r"limit:\s*(\d+)\s*,\s*time:\s*(\d+)\s*(second|minute|hour|day)", re.IGNORECASE
)
_PERIOD_S: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class _Row(msgspec.Struct):
    id: str
    begin_time: str | None = None


class _OddRow(msgspec.Struct):
    id: str
    begin_time: msgspec.Raw = msgspec.Raw()


class _OddBody(msgspec.Struct):
    total_count: int
    backups: list[_OddRow]


class _Body(msgspec.Struct):
    total_count: int
    backups: list[_Row]


_DECODER = msgspec.json.Decoder(_Body)
_ODD_DECODER = msgspec.json.Decoder(_OddBody)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the service: one atomic look at what a query matches.

    Attributes:
        query: what was asked, with the limit that was really used.
        body: the JSON as received, decoded from its transfer encoding.
        total_count: rows that match the query in all, not only on this page.
        ids: backup ids in the order sent.
        begin_s: begin times in whole epoch seconds (rounded down), None where a row has none.
    """

    query: BackupQuery
    body: bytes
    total_count: int
    ids: tuple[str, ...]
    begin_s: tuple[int | None, ...]


def read_page(query: BackupQuery, body: bytes) -> Page:
    """Check a 2xx body and read what the scan needs from it.

    Raises:
        PageError: it is not JSON (cut, empty, HTML, garbled) or nested too deep.
        SchemaError: it is JSON, but not a page.
    """
    try:
        content = _decode(body)
        body.decode("utf-8")  # what it skipped is not validated yet
        check_nesting(body)
    except msgspec.ValidationError as exc:
        raise _outside_contract(body, exc) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise PageError(
            f"The service answered with {describe_body(body)} instead of a page of backups ({exc}); "
            "try again, and check the endpoint if it stays so.",
            status=200,
            body=_start(body, 500),
        ) from None  # a UnicodeDecodeError holds the whole body
    if content.total_count < 0:
        raise SchemaError(
            f"total_count is {content.total_count}; the contract says 0 or more. "
            "Report it to the service with the time of the request.",
            path="total_count",
            expected="an integer of 0 or more",
            got=str(content.total_count),
        )
    rows = content.backups
    return Page(
        query=query,
        body=body,
        total_count=content.total_count,
        ids=tuple([row.id for row in rows]),
        begin_s=_begin_seconds(rows),
    )


def _decode(body: bytes) -> _Body:
    """The body, with None for begin times that are no text: one odd value does not stop a page."""
    try:
        return _DECODER.decode(body)
    except msgspec.MsgspecError:
        odd = _ODD_DECODER.decode(pair_surrogates(body))
    times = [bytes(row.begin_time) for row in odd.backups]
    texts = [json.loads(time) if time.startswith(b'"') else None for time in times]
    return _Body(odd.total_count, [_Row(r.id, t) for r, t in zip(odd.backups, texts, strict=True)])


def _begin_seconds(rows: list[_Row]) -> tuple[int | None, ...]:
    """Begin times; None where there is none, or what is sent is none: the flattening names it."""
    known: dict[str | None, int | None] = {None: None}
    for row in rows:
        text = row.begin_time
        if text not in known:
            try:
                known[text] = read_seconds(text or "")
            except ValueError:
                known[text] = None
    return tuple([known[row.begin_time] for row in rows])


def check_nesting(body: bytes) -> None:
    """Refuse JSON nested deeper than `MAX_NESTING`, before Arrow's recursive parser sees it.

    A page with no more brackets than that cannot be deeper, which costs two counts. Else what is
    outside strings is looked at: each pass takes away the innermost level.

    Raises:
        RecursionError: it is nested deeper (or its brackets do not match, which no parser forgives).
    """
    if body.count(b"[") + body.count(b"{") <= MAX_NESTING:
        return
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(body.split(b'"')[::2]).translate(None, _NOT_BRACKETS)
    for _ in range(MAX_NESTING):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not brackets:
            return
    raise RecursionError(f"nested more than {MAX_NESTING} deep, or cut short")


def describe_body(body: bytes) -> str:
    """Say in two or three words what a body is that is not what it should be."""
    start = body[:100].lstrip().lower()
    if not start:
        return "an empty body"
    if start.startswith(b"<"):
        return "an HTML page"
    return f"{len(body)} bytes that are no valid JSON"


def _outside_contract(body: bytes, exc: msgspec.ValidationError) -> SchemaError:
    what, _, where = str(exc).partition(" - at `$")
    path = where.rstrip("`").lstrip(".") or "(the whole body)"
    code, message, _ = read_error(body)
    reason = ": ".join(filter(None, (code, message)))
    reason = f" It says {reason}." if reason else ""
    return SchemaError(
        f"The service's JSON is outside the contract at {path}: {what}.{reason} "
        "Check the endpoint; nothing was taken from this answer.",
        path=path,
        expected="an object with total_count (integer) and backups (array of objects)",
        got=_start(body, 200),
    )


def read_error(body: bytes) -> tuple[str | None, str | None, str | None]:
    """Find code, message and request id in an error body of any known shape."""
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None, None, None
    if isinstance(content, dict) and isinstance(content.get("error"), dict):
        content = {**content, **content["error"]}
    if not isinstance(content, dict):
        return None, None, None

    def first(names: Iterable[str]) -> str | None:
        found = next((str(content[name])[:300] for name in names if content.get(name)), None)
        return None if found is None else as_printable(found)  # it becomes part of a message

    return first(_CODES), first(_MESSAGES), first(("request_id", "requestId"))


def read_failure(status: int, headers: Mapping[str, str], body: bytes, url: str) -> FetchError:
    """Turn an answer that is no success into the error it means; nothing is raised here.

    Args:
        status: the HTTP status, 3xx to 5xx (or any other that is not 2xx).
        headers: the answer's headers.
        body: the decoded body.
        url: the URL without query, for the message.
    """
    code, message, request_id = read_error(body)
    reason = ": ".join(filter(None, (code, message))) or describe_body(body)
    facts: dict[str, Any] = {
        "status": status,
        "code": code,
        "request_id": request_id or headers.get("X-Request-Id"),
        "body": _start(body, 500),
        "url": url,
    }
    failure = f"{url} answered {status} ({reason})"
    if status == 429 or code in _THROTTLED:
        limit, period_s = read_limit(message or "")
        return ThrottledError(
            f"{failure}: too many requests. Wait a few minutes, or use --max-requests-per-second.",
            retry_after_s=read_retry_after(headers),
            limit=limit,
            period_s=period_s,
            **facts,
        )
    if code in _TRANSIENT or status >= 500 or status in _TRANSIENT_STATUS:
        failed = UnavailableError(f"{failure}: the service failed. Try again later.", **facts)
        failed.retry_after_s = read_retry_after(headers)
        return failed
    if status == 401 or code in _TOKEN_INVALID:
        refused = AuthError(
            f"{failure}: the credentials were refused. Get a new token, or check key, clock and "
            "region.",
            **facts,
        )
        refused.is_token_refused = True
        return refused
    if status == 403 or code in _DENIED:
        gateway, _, number = (code or "").partition(".")
        other = _NO_GRANT_HELPS.get(number) if gateway in ("APIGW", "APIG") else None
        advice = other or f"no permission. {advise_grant(url)}"
        return AuthError(f"{failure}: {advice}", **facts)
    if 300 <= status < 400:
        return RejectedError(
            f"{failure}: a redirect, which is not followed, since it would carry credentials to "
            "another host. Check the endpoint.",
            **facts,
        )
    advice = "the request was refused. Check filters and ids."
    if status == 407:
        advice = "a proxy wants credentials. Set HTTPS_PROXY to http://user:password@host:port."
    return RejectedError(f"{failure}: {advice}", **facts)


def read_limit(text: str) -> tuple[int | None, float | None]:
    """Limit and period in seconds from the gateway's throttling text; None where it names none."""
    found = _LIMIT_TEXT.search(text)
    if not found:
        return None, None
    return int(found[1]), int(found[2]) * _PERIOD_S[found[3].lower()]


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a ``Retry-After`` header: a number, or a date beside the ``Date`` header."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d*)?", value, re.ASCII):
        return float(value)
    try:
        then, now = (parsedate_to_datetime(text) for text in (value, headers.get("Date", "")))
        return max((then - now).total_seconds(), 0.0)
    except (ValueError, TypeError):  # no date, or one with and one without zone
        return None


def _start(body: bytes, length: int) -> str:
    return body[: 4 * length].decode("utf-8", "replace")[:length]
