"""One request to an object store: interruptible, and with errors that say what to do.

In: a method of obstore and its arguments. Out: its result, or a `LakeError` without secrets.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from obstore.exceptions import BaseError, InvalidPathError

from ...api.scrub import without_secrets
from ...errors import LakeError
from .bucket_url import ObjectAddress, open_client

if TYPE_CHECKING:
    from obstore.store import S3Store

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

_ADVICE = (
    ("//169.254.", "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment."),
    ("NoSuchBucket", "Create the bucket, or correct its name, region or endpoint."),
    ("RequestTimeTooSkewed", "Set this machine's clock right."),
    ("SignatureDoesNotMatch", "Check the secret key and the region in the environment."),
    ("InvalidAccessKeyId", "Check the access key in the environment, and the endpoint."),
    ("ExpiredToken", "Renew the temporary credentials in the environment."),
    ("PermanentRedirect", "Correct the region or the endpoint: the bucket is elsewhere."),
    ("VirtualHostDomainRequired", "Write ?virtual_host=true behind the lake's URL."),
    ("status code: 301", "Correct the region or the endpoint: the bucket is elsewhere."),
    ("status code: 401", "Check the credentials in the environment."),
    (
        "status code: 403",
        "Check the credentials in the environment and what they may do in that bucket.",
    ),
    ("HTTP error", "Check the endpoint and the network, then run again."),
)


class ObjectCalls:
    """The way to an object store for everything that asks it something.

    Args:
        address: where it is and with which credentials.
        url: the lake's URL, for messages.
        timeout_s: total time of one request.
        retries: how often one is sent again.

    Attributes:
        store: the obstore client, whose methods `run` calls.
        was_interrupted: a signal ended the wait for a request that may still be under way.
    """

    def __init__(self, address: ObjectAddress, *, url: str, timeout_s: float, retries: int) -> None:
        self.store: S3Store = open_client(address, timeout_s=timeout_s, retries=retries)
        self.was_interrupted = False
        self._url = url
        self._secrets = address.secrets

    def run(
        self, method: Callable[_Given, _Result], *args: _Given.args, **options: _Given.kwargs
    ) -> _Result:
        """Call on a thread of its own and wait: obstore itself is deaf to signals till it ends."""
        outcome: Future[_Result] = Future()

        def call() -> None:
            try:
                outcome.set_result(method(*args, **options))
            except BaseException as error:  # raised again where it is waited for
                outcome.set_exception(error)

        threading.Thread(target=call, name="backup-frames-store", daemon=True).start()
        try:
            return outcome.result()
        except BaseException:
            self.was_interrupted |= not outcome.done()
            raise

    @contextmanager
    def explained(self, action: str, key: str) -> Iterator[None]:
        """Turn what obstore raises into a `LakeError`."""
        try:
            yield
        except (BaseError, FileNotFoundError, ValueError) as error:
            what = f"{key} at {self._url}" if key else self._url
            advice = "Check the store and run again."
            if isinstance(error, InvalidPathError):
                advice = "An object below the lake's prefix has an unusable name: rename it."
            advice = next((text for mark, text in _ADVICE if mark in str(error)), advice)
            # `from None`: the answer as it came may repeat what was signed, tokens included.
            raise LakeError(
                f"Cannot {action} {what}: {self.reason(error)}. {advice}", path=key or None
            ) from None

    def reason(self, error: Exception) -> str:
        """What the store or the network said, in one line and without secrets."""
        text = without_secrets(str(error), self._secrets).partition("\n\nDebug source")[0]
        status = re.search(r"status code: (\d{3}[^:\n<]*)", text)
        words = re.findall(r"<(?:Code|Message)>([^<]{1,300})<", text)
        if status:
            reason = ": ".join(["HTTP " + status[1].strip(), *words])
        else:
            reason = re.sub(r"\s+", " ", text.rpartition(" - ")[2] or type(error).__name__)[:300]
        return reason.rstrip(". ")
