"""Every error of the package survives pickling with all it knows."""

from __future__ import annotations

import copy
import pickle

import pytest

from backup_frames import errors
from backup_frames.api.answers import read_failure
from backup_frames.api.client import PageTooLargeError
from backup_frames.errors import (
    AuthError,
    BackupFramesError,
    FetchError,
    IncompleteReadError,
    LakeError,
    SchemaError,
    ThrottledError,
    UnavailableError,
)


def all_errors(kind: type[BackupFramesError] = BackupFramesError) -> list[type[BackupFramesError]]:
    """The class and all its subclasses, those outside errors.py included."""
    return [kind, *(error for child in kind.__subclasses__() for error in all_errors(child))]


FACTS: dict[type[BackupFramesError], dict[str, object]] = {
    FetchError: {"status": 500, "code": "DBS.1", "request_id": "r", "body": "b", "url": "u"},
    ThrottledError: {"retry_after_s": 5.0, "limit": 200, "period_s": 60.0},
    SchemaError: {"path": "backups[3].id", "expected": "a text", "got": "7"},
    IncompleteReadError: {"frames": None, "certificate": None},
    LakeError: {"path": "backups/date=2026-01-01/p.parquet"},
}


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickling(kind: type[BackupFramesError], protocol: int) -> None:
    """Class, message and every fact come back, and so does what was learned later."""
    facts = {name: fact for c in kind.__mro__ for name, fact in FACTS.get(c, {}).items()}
    error = kind("What happened. What to do.", **facts)
    error.is_retryable = False  # type: ignore[attr-defined]  # the gate's mark on a final error
    for other in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(other) is kind
        assert str(other) == "What happened. What to do."
        assert vars(other) == vars(error) == facts | {"is_retryable": False}
        assert other.exit_code == kind.exit_code


def test_errors_that_came_over_the_wire_survive_pickling() -> None:
    """What the client raises keeps what it set after the error was made."""
    body = b'{"error_code":"APIGW.0301","error_msg":"decrypt token fail","request_id":"r1"}'
    auth = pickle.loads(pickle.dumps(read_failure(401, {}, body, "http://x")))
    assert isinstance(auth, AuthError)
    assert auth.is_token_refused
    assert (auth.status, auth.code, auth.request_id) == (401, "APIGW.0301", "r1")
    down = pickle.loads(pickle.dumps(read_failure(503, {"Retry-After": "7"}, b"", "http://x")))
    assert isinstance(down, UnavailableError)
    assert down.retry_after_s == 7.0


def test_every_error_has_its_place() -> None:
    """All errors derive from one root, and each has an exit code of the command line."""
    public = [value for value in vars(errors).values() if isinstance(value, type)]
    ours = [kind for kind in public if issubclass(kind, Exception)]
    assert set(ours) | {PageTooLargeError} <= set(all_errors())
    assert {kind.exit_code for kind in all_errors()} <= {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("30", "", 30.0),
        ("0", "", 0.0),
        ("1.5", "", 1.5),
        (" 7 ", "", 7.0),
        ("Wed, 21 Oct 2026 07:28:10 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 10.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:10 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:28:10 GMT", "", None),
        ("-5", "", None),
        ("nan", "", None),
        ("inf", "", None),
        ("1e3", "", None),
        ("1_000", "", None),
        ("soon", "Wed, 21 Oct 2026 07:28:10 GMT", None),
        ("", "", None),
    ],
)
def test_retry_after_is_read(value: str, date: str, seconds: float | None) -> None:
    """Seconds or a date beside the answer's own Date; anything else is as if it were not there."""
    body = b'{"error_code":"APIGW.0308"}'
    error = read_failure(429, {"Retry-After": value, "Date": date}, body, "http://x")
    assert isinstance(error, ThrottledError)
    assert error.retry_after_s == seconds


@pytest.mark.parametrize(
    ("text", "limit", "period_s"),
    [
        ("policy user over ratelimit,limit:200,time:5 minute", 200, 300.0),
        ("policy api over ratelimit, limit: 10, time: 1 Second", 10, 1.0),
        ("policy ip over ratelimit,limit:1000,time:2 hours", 1000, 7200.0),
        ("limit:3,time:1 day", 3, 86400.0),
        ("The maximum number of connections has been reached.", None, None),
        ("limit:many,time:1 minute", None, None),
    ],
)
def test_limits_are_learned_from_the_gateways_text(
    text: str, limit: int | None, period_s: float | None
) -> None:
    """Limit and period of APIGW.0308's text, in any unit; None where it names none."""
    body = f'{{"error_code":"APIGW.0308","error_msg":"{text}"}}'.encode()
    error = read_failure(429, {}, body, "http://x")
    assert isinstance(error, ThrottledError)
    assert (error.limit, error.period_s) == (limit, period_s)
