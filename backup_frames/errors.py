"""What can go wrong, as one tree under one root: every error this package raises on purpose.

In: nothing. Out: exception classes that every room raises and `cli` maps to exit codes.

::

    BackupFramesError                  root; carries its facts as attributes, survives pickling
    ├─ ConfigError      (+ValueError)  a setting is missing or contradicts another; before any I/O
    ├─ QueryError       (+ValueError)  the question makes no sense; before any I/O
    ├─ FetchError                      on the wire: status, code, request_id, body, url
    │  ├─ AuthError                    401 or 403; at most one token renewal was tried
    │  ├─ RejectedError                any other 4xx, or a redirect
    │  ├─ ThrottledError               429 until the retry budget was spent
    │  ├─ UnavailableError             5xx, timeouts, broken connections, to the end of the budget
    │  └─ PageError                    2xx, but no page: cut, empty, HTML, too large, too deep
    ├─ SchemaError      (+ValueError)  JSON outside the contract: path, expected, got
    ├─ IncompleteReadError             the read cannot prove that it is complete: frames, certificate
    ├─ LakeError                       reading or writing the lake failed
    │  └─ LakeConflictError            another run holds the lake, or changed it meanwhile
    └─ MissingExtraError (+ImportError) an optional part is not installed; says what to install

The first sentence of a message says what happened, with the value; the last says what to do.
Facts are keyword arguments with defaults, so that an error rebuilt from ``(message,)`` and its
``__dict__`` (which is what pickle does) is the same error.
"""

from __future__ import annotations

from typing import Any, ClassVar


class BackupFramesError(Exception):
    """Root of all errors raised by backup_frames; catch this to catch them all."""

    exit_code: ClassVar[int] = 1


class ConfigError(BackupFramesError, ValueError):
    """A setting is missing, unreadable, or contradicts another; raised before any I/O."""

    exit_code = 2


class QueryError(BackupFramesError, ValueError):
    """A query parameter makes no sense; raised before any request is sent."""

    exit_code = 2


class FetchError(BackupFramesError):
    """A request to the service failed.

    Attributes:
        status: HTTP status, None if there was no answer.
        code: the service's or gateway's error code such as ``APIGW.0301``, None if there was none.
        request_id: what to quote to Huawei's support, None if there was none.
        body: the first 500 characters of the answer, credentials scrubbed.
        url: the request's URL without its query.
    """

    exit_code = 3
    is_retryable = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        body: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.body = body
        self.url = url


class AuthError(FetchError):
    """The credentials were refused (401) or lack a permission (403).

    Attributes:
        is_token_refused: whether new credentials could help (not so for a missing permission).
    """

    is_token_refused = False


class RejectedError(FetchError):
    """The service refused the request for another reason (4xx), or redirected it (3xx)."""


class ThrottledError(FetchError):
    """The service said 429; raised when the retry budget is spent.

    Attributes:
        retry_after_s: seconds the server asked to wait, None if it did not say.
        limit: requests per period that the gateway's text named, None if it did not.
        period_s: that period in seconds, None if the text named none.
    """

    is_retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        limit: int | None = None,
        period_s: float | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.retry_after_s = retry_after_s
        self.limit = limit
        self.period_s = period_s


class UnavailableError(FetchError):
    """The service could not be reached or failed (5xx, timeout, broken connection).

    Attributes:
        retry_after_s: seconds the server asked to wait, None if it did not say.
    """

    is_retryable = True
    retry_after_s: float | None = None


class PageError(FetchError):
    """A 2xx answer that is no page: cut short, empty, HTML, garbled, too large or too deep."""

    is_retryable = True


class SchemaError(BackupFramesError, ValueError):
    """JSON of the service is outside the contract of its reference page.

    Attributes:
        path: where, such as ``backups[3].begin_time``.
        expected: what the contract says stands there.
        got: what stood there, cut to 200 characters.
    """

    exit_code = 4
    is_retryable = True  # until asked three times: a fault that passes is rare here

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        expected: str | None = None,
        got: str | None = None,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.expected = expected
        self.got = got


class IncompleteReadError(BackupFramesError):
    """The read ended, but cannot prove that it is complete.

    Attributes:
        frames: the `BackupFrames` that were read, with their certificate; None if there are none.
        certificate: the `Certificate` whose ``reasons`` say what could not be proven, or None.
    """

    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        frames: Any = None,  # Any, because errors come first: nothing is imported here
        certificate: Any = None,
    ) -> None:
        super().__init__(message)
        self.frames = frames
        self.certificate = certificate


class LakeError(BackupFramesError):
    """Reading or writing the lake failed.

    Attributes:
        path: the file or folder concerned, relative to the lake, None if it is the lake itself.
    """

    exit_code = 5

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class LakeConflictError(LakeError):
    """Another run holds the lake for this project, or changed it meanwhile."""


class MissingExtraError(BackupFramesError, ImportError):
    """An optional part is not installed; the message says what to install."""

    exit_code = 2
