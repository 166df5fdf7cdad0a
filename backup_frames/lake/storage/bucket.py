"""A lake in a bucket: one PUT per file, through obstore, on any S3-compatible store.

In: keys and bytes. Out: objects that readers see whole or not at all. A PUT whose answer got
lost is made up for by asking what the object is now; nothing is ever deleted on doubt. While the lake is
locked the store remembers which version of each object it has seen, and puts only over that.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from ...clock import Clock, read_uptime
from ...errors import LakeConflictError, LakeError
from .bucket_calls import ObjectCalls
from .bucket_url import ObjectAddress, read_object_url
from .layout import is_temporary
from .lease import LEASE_S, Lease
from .store import MAX_FILE_BYTES, PlainFiles, StoredFile, check_key, too_large

if TYPE_CHECKING:
    from obstore import PutMode

_log = logging.getLogger(__name__)


def open_object_store(
    url: str, *, scratch: str, clock: Clock, environ: Mapping[str, str]
) -> ObjectStore:
    """The store behind an ``s3://`` or ``obs://`` URL; see `read_object_url` for the settings."""
    return ObjectStore(read_object_url(url, environ), url=url, scratch=scratch, clock=clock)


class ObjectStore(PlainFiles):
    """A `Store` in a bucket of an S3-compatible object store.

    Args:
        address: where it is.
        url: the same as the user wrote it, with no secret in it.
        scratch: key prefix of temporary objects.
        clock: what the lock's "since" is taken from.
        timeout_s: total time of one request; those for the lock have a sixth of the lease.
        retries: how often a request is sent again after 5xx, a timeout or a broken connection.
        lease_s: how long the lock outlives its last renewal.
        uptime: seconds that go on while the machine is suspended.
    """

    def __init__(
        self,
        address: ObjectAddress,
        *,
        url: str,
        scratch: str,
        clock: Clock,
        timeout_s: float = 120,
        retries: int = 6,
        lease_s: float = LEASE_S,
        uptime: Callable[[], float] = read_uptime,
    ) -> None:
        self.url = url
        self.warnings: tuple[str, ...] = ()
        self._scratch = scratch
        self._clock = clock
        self._calls = ObjectCalls(address, url=url, timeout_s=timeout_s, retries=retries)
        # A lease is renewed well before it ends or not at all: fewer tries, less patience.
        self._lock_calls = ObjectCalls(
            address, url=url, timeout_s=min(timeout_s, lease_s / 6), retries=min(retries, 2)
        )
        self._lease_s = lease_s
        self._uptime = uptime
        self._lease: Lease | None = None
        self._seen = dict[str, str | None]()  # ETags, None where there is no object

    def read(self, key: str) -> bytes | None:
        """The object's bytes, None if there is no such object. One request."""
        check_key(key)
        with self._calls.explained("read", key):
            if self._lease:
                self._lease.keep()  # what a run that slept finds changed is not damaged
            data, self._seen[key] = self._fetch(key) or (None, None)
            return data

    def put(self, key: str, data: bytes) -> None:
        """Write the object with one PUT, sent again (it is the same) if it fails in transit.

        Raises:
            LakeConflictError: the lock was lost, or the object is not as this run has seen it.
            LakeError: it was not written, or that is unknown; the message says which.
        """
        check_key(key)
        with self._calls.explained("write", key):
            mode = self._condition(key)
            try:
                done = self._calls.run(
                    self._calls.store.put, key, data, mode=mode, use_multipart=False
                )
                self._seen[key] = done["e_tag"]
            except (PermissionDeniedError, UnauthenticatedError, InvalidPathError):
                raise
            except (BaseError, FileNotFoundError) as error:
                is_refused = mode is not None and _is_unmet(error)
                if not is_refused and not isinstance(error, BaseError):
                    raise
                # Sent again after a lost answer, it meets itself; then it is done all the same.
                if self._holds(key, data):
                    return
                if not is_refused:
                    raise
                if key not in self._seen:  # this run has not looked at it so far
                    self._seen[key] = self._calls.run(self._calls.store.head, key)["e_tag"]
                    self.put(key, data)
                    return
                raise LakeConflictError(
                    f"{key} of {self.url} was changed by another run while this one was at work. "
                    "Nothing was written over it; run again.",
                    path=key,
                ) from None

    def list(self, prefix: str) -> list[StoredFile]:
        """All objects below the folder, sorted by key. One request per 1,000 objects."""
        folder = check_key(prefix.rstrip("/")) if prefix else None
        with self._calls.explained("list", prefix):
            found = self._calls.run(self._calls.store.list(folder).collect)
        self._seen |= {item["path"]: item["e_tag"] for item in found}
        return sorted(StoredFile(item["path"], item["size"]) for item in found)

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is no error. One request."""
        check_key(key)
        with self._calls.explained("delete", key):
            if self._lease:
                self._lease.keep()
            try:
                self._calls.run(self._calls.store.delete, key)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
        self._seen[key] = None

    @contextmanager
    def lock(self, key: str) -> Iterator[Lease]:
        """Hold a lease of a minute on the object `key`, renewed by a thread until the end.

        Costs about ten small requests. `warnings` then says what the store cannot promise.
        """
        lease = Lease(
            self._lock_calls,
            check_key(key),
            url=self.url,
            scratch=self._scratch,
            clock=self._clock,
            lease_s=self._lease_s,
            uptime=self._uptime,
        )
        outer = self._lease
        self._calls.was_interrupted = False
        try:
            lease.acquire()
            self.warnings = lease.warnings
            for warning in lease.warnings:
                _log.warning("%s: %s", self.url, warning)
            for leftover in self.list(self._scratch):
                if is_temporary(leftover.key.removeprefix(f"{self._scratch}/")):
                    self.delete(leftover.key)
            self._lease = lease
            self._seen.clear()
            yield lease
        finally:
            self._lease = outer
            if self._calls.was_interrupted:
                lease.abandon()
            else:
                lease.release()

    def _condition(self, key: str) -> PutMode | None:
        """What a put demands of the object, the lock being ours; nothing while there is no lock."""
        if self._lease is None:
            return None
        self._lease.keep()
        return self._lease.condition(self._seen.get(key))

    def _fetch(self, key: str) -> tuple[bytes, str | None] | None:
        try:
            result = self._calls.run(self._calls.store.get, key)
            if result.meta["size"] > MAX_FILE_BYTES:
                raise too_large(key, result.meta["size"])
            return bytes(self._calls.run(result.bytes)), result.meta["e_tag"]
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None

    def _holds(self, key: str, data: bytes) -> bool:
        """Whether the object is exactly `data` by now; a `LakeError` if the store will not say."""
        try:
            found = self._calls.run(self._calls.store.head, key)
            if found["size"] != len(data):
                return False
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            if (found["e_tag"] or "").strip('"') != md5:
                # An ETag that is another hash (encrypted objects) says nothing: compare the bytes.
                there = self._fetch(key)
                if there is None or there[0] != data:
                    return False
            self._seen[key] = found["e_tag"]
            return True
        except FileNotFoundError:
            return False
        except BaseError as error:
            raise LakeError(
                f"Whether {key} was written to {self.url} is unknown: the store does not answer "
                f"({self._calls.reason(error)}). Nothing was deleted; run again when it does.",
                path=key,
            ) from None


def _is_unmet(error: Exception) -> bool:
    """Whether the store says that a condition does not hold; of nothing, some say "not found"."""
    if isinstance(error, FileNotFoundError):
        return "NoSuchBucket" not in str(error)
    return isinstance(error, AlreadyExistsError | PreconditionError)
