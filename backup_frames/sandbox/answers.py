"""Answers of the service, its gateway and IAM, in the three error shapes that they use.

In: what went wrong. Out: a `Problem` to raise, which renders itself as an HTTP response. Codes and
texts are those of the manuals and of recorded answers; where the code for a bad value is not known,
the documented generic one (DBS.200001) stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from starlette.responses import Response

from .world.index import render_json

THROTTLED = "The throttling threshold has been reached: policy user over ratelimit,limit:{},time:{}"
NO_API = "The API does not exist or has not been published in the environment"
IAM_FAILED = "Incorrect IAM authentication information: "

# status -> code and text of the answer a plain `Status` fault gives
USUAL: dict[int, tuple[str, str]] = {
    400: ("DBS.200001", "Parameter error."),
    401: ("APIGW.0301", f"{IAM_FAILED}decrypt token fail"),
    403: ("DBS.280032", "You do not have the required permission. Contact the administrator."),
    404: ("APIGW.0101", NO_API),
    429: ("APIGW.0308", THROTTLED.format(200, "1 minute")),
    500: ("DBS.280005", "Server error. Try again later."),
    502: ("APIGW.0201", "Backend unavailable."),
    503: ("APIGW.0613", "IAM currently unavailable"),
    504: ("APIGW.0201", "Backend timeout."),
}


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818  # an answer first, an exception second
    """An error answer: status, JSON body, extra headers."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] | None = None

    def response(self) -> Response:
        """The answer as HTTP."""
        return json_response(self.body, self.status, self.headers)


def json_response(
    body: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON answer; bytes are taken as rendered already."""
    content = body if isinstance(body, bytes) else render_json(body)
    return Response(content, status, headers, media_type="application/json")


def refuse_parameter(code: str = "DBS.200001", text: str = "Parameter error.") -> Problem:
    """The service does not like a value."""
    return refuse_call(400, code, text)


def refuse_call(status: int, code: str, text: str) -> Problem:
    """An error of the service (no request id) or, by its code, of the gateway (with one)."""
    body = {"error_code": code, "error_msg": text}
    if code.startswith("APIGW."):
        body = {"error_msg": text, "error_code": code, "request_id": token_hex(16)}
    return Problem(status, body)


def refuse_usually(status: int) -> Problem:
    """The usual error of that status."""
    return refuse_call(status, *USUAL.get(status, ("DBS.200998", f"Status {status}.")))


def refuse_login(status: int, text: str, title: str) -> Problem:
    """An error of IAM, in Keystone's shape."""
    return Problem(status, {"error": {"code": status, "message": text, "title": title}})
