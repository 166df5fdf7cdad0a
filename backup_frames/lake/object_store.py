"""A lake in a bucket: one PUT per file, through obstore, on any S3-compatible store.

In: keys and bytes. Out: objects that readers see whole or not at all. A PUT whose answer got
lost is settled by asking what the object is now; nothing is ever deleted on doubt.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from backup_frames.api.clock import Clock
from backup_frames.errors import LakeError
from backup_frames.lake.object_calls import ObjectCalls
from backup_frames.lake.object_lock import LEASE_S, Lease
from backup_frames.lake.object_url import ObjectAddress, read_object_url
from backup_frames.lake.store import RunNote, StoredFile, check_key

_log = logging.getLogger(__name__)


def open_object_store(
    url: str, *, scratch: str, clock: Clock, environ: Mapping[str, str]
) -> ObjectStore:
    """The store behind an ``s3://`` or ``obs://`` URL; see `read_object_url` for the settings."""
    return ObjectStore(read_object_url(url, environ), url=url, scratch=scratch, clock=clock)


class ObjectStore:
    """A `Store` in a bucket of an S3-compatible object store.

    Args:
        address: where it is.
        url: the same as the user wrote it, with no secret in it.
        scratch: key prefix of temporary objects.
        clock: what the lock's "since" is taken from.
        timeout_s: total time of one request; those for the lock have a sixth of the lease.
        retries: how often a request is sent again after 5xx, a timeout or a broken connection.
        lease_s: how long the lock outlives its last renewal.
    """

    format = "parquet"

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

    def read(self, key: str) -> bytes | None:
        """The object's bytes, None if there is no such object. One request."""
        check_key(key)
        with self._calls.explained("read", key):
            return self._read(key)

    def put(self, key: str, data: bytes) -> None:
        """Write the object with one PUT, sent again (it is the same) if it fails in transit.

        Raises:
            LakeError: it was not written, or that is unknown; the message says which.
        """
        check_key(key)
        with self._calls.explained("write", key):
            try:
                self._calls.run(self._calls.store.put, key, data, use_multipart=False)
            except (PermissionDeniedError, UnauthenticatedError, InvalidPathError):
                raise
            except BaseError:
                if not self._holds(key, data):
                    raise

    def commit(self, note: RunNote) -> None:
        """Nothing: each object was shown as it was put."""

    def list(self, prefix: str) -> list[StoredFile]:
        """All objects below the folder, sorted by key. One request per 1,000 objects."""
        folder = check_key(prefix.rstrip("/")) if prefix else None
        with self._calls.explained("list", prefix):
            found = self._calls.run(self._calls.store.list(folder).collect)
        return sorted(StoredFile(item["path"], item["size"]) for item in found)

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is no error. One request."""
        check_key(key)
        with self._calls.explained("delete", key):
            try:
                self._calls.run(self._calls.store.delete, key)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise

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
        )
        self._calls.was_interrupted = False
        try:
            lease.acquire()
            self.warnings = lease.warnings
            for warning in lease.warnings:
                _log.warning("%s: %s", self.url, warning)
            for leftover in self.list(self._scratch):
                self.delete(leftover.key)
            yield lease
        finally:
            if self._calls.was_interrupted:
                lease.abandon()
            else:
                lease.release()

    def _read(self, key: str) -> bytes | None:
        try:
            result = self._calls.run(self._calls.store.get, key)
            return bytes(self._calls.run(result.bytes))
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
            # An ETag that is another hash (encrypted objects) says nothing: compare the bytes.
            return (found["e_tag"] or "").strip('"') == md5 or self._read(key) == data
        except FileNotFoundError:
            return False
        except BaseError as error:
            raise LakeError(
                f"Whether {key} was written to {self.url} is unknown: the store does not answer "
                f"({self._calls.reason(error)}). Nothing was deleted; run again when it does.",
                path=key,
            ) from None
