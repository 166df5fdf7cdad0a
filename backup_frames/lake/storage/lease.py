"""The lock of a lake in a bucket: a small object that its owner keeps renewing.

In: the calls to the object store and the lock's key. Out: a `Lease` that excludes other runs.

The object is created with If-None-Match and renewed every 20 seconds with If-Match on its
ETag. Whoever finds it asks the store for the time (by writing an object of its own: the clocks
of two machines need not agree) and takes it over, again with If-Match, once it has not been
renewed for a minute. Stores that ignore such conditions are found out each time the lock is
taken, and said; there the lock is read back instead, which two runs that start within the same
second can slip through.

A run that was stopped, or whose machine was suspended, may wake when the lock has long been another
run's. Hence `Lease.keep`, which every put asks first, and which renews whatever was not renewed
lately; and hence a put of the lake's files is conditional too (`Lease.condition`), on what this run
has seen of them: one that was already on its way fails at the store.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, PreconditionError

from ...clock import Clock
from ...errors import LakeConflictError
from .bucket_calls import ObjectCalls
from .store import describe_holder, holder_record

if TYPE_CHECKING:
    from obstore import PutMode

LEASE_S = 60.0
_LONGEST_LEASE_S = 3600.0  # no longer is believed of another run's record
_FREE = b"free\n"  # the last line of a lock whose run has ended
_RELEASE_S = 3.0  # how long the end of a run waits for a store that has gone silent
_WARNING = (
    "This object store {fault}, so the lock is best effort: two runs that start at the same "
    "moment can both believe that they hold it. Schedule one run at a time."
)


@dataclass(frozen=True)
class _Found:
    """The lock object as the store has it."""

    data: bytes
    e_tag: str | None
    modified: datetime


class Lease:
    """A lock object in a bucket, renewed by a thread while it is held.

    Args:
        calls: the way to the store; its patience must be well below the lease.
        key: the lock object's key.
        url: the lake's URL, for messages.
        scratch: key prefix for the object that tells the store's time.
        clock: what "since" is taken from; no decision depends on it.
        lease_s: how long the lock outlives its last renewal.
        uptime: seconds that go on while the machine is suspended.

    Attributes:
        warnings: what the store cannot promise, known after `acquire`.
    """

    def __init__(
        self,
        calls: ObjectCalls,
        key: str,
        *,
        url: str,
        scratch: str,
        clock: Clock,
        lease_s: float,
        uptime: Callable[[], float],
    ) -> None:
        self.warnings: tuple[str, ...] = ()
        self._calls = calls
        self._key = key
        self._url = url
        self._clock_key = f"{scratch}/clock"
        self._record = holder_record(clock, run=uuid.uuid4().hex, lease_s=str(lease_s))
        self._lease_s = lease_s
        self._uptime = uptime
        self._renewed_s = 0.0
        self._write_count = 0
        self._e_tag: str | None = None
        self._is_e_tag_quoted = False
        self._is_refused = False  # the store answered 501 to a condition
        self._is_lost = False
        self._mutex = threading.Lock()
        self._stop = threading.Event()
        self._renewals = threading.Thread(
            target=self._keep_renewing, name="backup-frames-lease", daemon=True
        )

    def acquire(self) -> None:
        """Take the lock, find out what the store honours, and start renewing.

        Raises:
            LakeConflictError: another run holds it.
            LakeError: the store refuses or cannot be reached.
        """
        with self._calls.explained("lock", self._key):
            found = self._find()
            if found is None:
                if not self._create():
                    raise self._conflict(self._find())
            elif not self._is_expired(found) or not self._take_over(found):
                raise self._conflict(found)
            if fault := self._find_fault():
                self.warnings = (_WARNING.format(fault=fault),)
                if not self._find_ours():
                    raise self._conflict(self._find())
        self._renewals.start()

    def keep(self) -> None:
        """Renew if half of the lease went by without; a thread renews each third, unless it is stopped.

        What is left of the lease is then time enough for a request that is sent at once.
        """
        if self._is_lost or self._uptime() - self._renewed_s > self._lease_s / 2:
            self.check()

    def condition(self, e_tag: str | None) -> PutMode | None:
        """How to put a file whose last known version has this ETag, None if there was no file.

        None if the store cannot do it.
        """
        if self.warnings:
            return None
        return "create" if e_tag is None else self._update(e_tag)

    def check(self) -> None:
        """Renew now, which only the owner can. One small request."""
        with self._calls.explained("renew the lock", self._key):
            self._renew()
        if self._is_lost:
            raise LakeConflictError(
                f"The lock on {self._url} was lost: this run was silent for more than "
                f"{self._lease_s:g} s, or somebody removed {self._key}. Run again.",
                path=self._key,
            )

    def release(self) -> None:
        """Stop renewing, and let the lock object say that it is free, if it is still ours.

        It stays: no store can be asked to remove it only if it is still ours, so a removal that
        comes late, or is sent again, would take the next run's. A store that does not answer within
        seconds keeps the lock until the lease runs out.
        """
        self.abandon()
        if self._e_tag is not None:
            thread = threading.Thread(target=self._free, daemon=True)
            thread.start()
            thread.join(_RELEASE_S)

    def abandon(self) -> None:
        """Stop renewing and leave the lock to run out: a request may still be under way."""
        self._stop.set()

    def _free(self) -> None:
        try:
            if self._renewals.is_alive():
                self._renewals.join()
            self._renew(_FREE)
        except (BaseError, FileNotFoundError):
            return  # what cannot be freed now runs out by itself

    def _keep_renewing(self) -> None:
        while not self._is_lost and not self._stop.wait(self._lease_s / 3):
            try:
                self._renew()
            except (BaseError, FileNotFoundError):
                continue  # the next beat tries again; `check` tells the run

    def _renew(self, mark: bytes = b"") -> None:
        with self._mutex:
            if self._is_lost:
                return
            if self.warnings:
                self._is_lost = not (self._find_ours() and self._put(None, mark))
            elif not self._put_if_match(self._e_tag, mark):
                # A renewal whose answer was lost changed the ETag, but not the owner.
                ours = self._find_ours()
                self._is_lost = not (ours and self._put_if_match(ours.e_tag, mark))

    def _create(self) -> bool:
        return self._put("create") or (self._is_refused and self._put(None))

    def _take_over(self, found: _Found) -> bool:
        if self._put_if_match(found.e_tag):
            return True
        again = self._find()
        if again is None or again.data != found.data:
            return False
        # Nobody touched it, so this store refuses even what is right.
        return self._put(None)

    def _find_fault(self) -> str:
        """How the store treats conditions on our own lock object; "" if as it should."""
        if self._put("create"):
            return "ignores If-None-Match"
        if not self._put_if_match(self._e_tag):
            return "refuses If-Match even on the right ETag"
        if self._put(self._update("0" * 32)):
            return "ignores If-Match"
        return ""

    def _put_if_match(self, e_tag: str | None, mark: bytes = b"") -> bool:
        if e_tag is None:
            return False
        # HTTP wants the ETag quoted; Ceph's gateway knows it only without.
        for _ in range(2):
            if self._put(self._update(e_tag), mark):
                return True
            self._is_e_tag_quoted = not self._is_e_tag_quoted
        return False

    def _update(self, e_tag: str) -> PutMode:
        bare = e_tag.strip('"')
        return {"e_tag": f'"{bare}"' if self._is_e_tag_quoted else bare}

    def _put(self, mode: PutMode | None, mark: bytes = b"") -> bool:
        """Write the lock object; False if the store says that the condition does not hold."""
        begun_s = self._uptime()
        self._write_count += 1  # so that every write has an ETag of its own
        data = self._record + b"%d\n" % self._write_count + mark
        put = self._calls.store.put
        try:
            done = self._calls.run(put, self._key, data, mode=mode, use_multipart=False)
        except GenericError as error:
            if mode is None or "501 Not Implemented" not in str(error):
                raise
            self._is_refused = True
            return False
        except (AlreadyExistsError, PreconditionError):
            # A write whose answer was lost is sent again, and then fails on itself.
            found = self._find()
            if found is None or found.data != data:
                return False
            self._e_tag, self._renewed_s = found.e_tag, begun_s
            return True
        except FileNotFoundError as error:  # what some stores say to If-Match where nothing is
            if mode is None or "NoSuchBucket" in str(error):
                raise
            return False
        self._e_tag, self._renewed_s = done["e_tag"], begun_s
        return True

    def _find(self) -> _Found | None:
        try:
            result = self._calls.run(self._calls.store.get, self._key)
            data = bytes(self._calls.run(result.bytes))
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None
        return _Found(data, result.meta["e_tag"], result.meta["last_modified"])

    def _find_ours(self) -> _Found | None:
        found = self._find()
        return found if found and found.data.startswith(self._record) else None

    def _is_expired(self, found: _Found) -> bool:
        if found.data.endswith(_FREE):
            return True
        store, key = self._calls.store, self._clock_key
        try:
            self._calls.run(store.put, key, b"now", use_multipart=False)
            now = self._calls.run(store.head, key)["last_modified"]
            self._calls.run(store.delete, key)
        except FileNotFoundError:  # the owner cleared the scratch folder: it is alive
            return False
        return (now - found.modified).total_seconds() > self._lease_of(found)

    def _lease_of(self, found: _Found) -> float:
        try:
            lease_s = float(json.loads(found.data.partition(b"\n")[0])["lease_s"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return self._lease_s
        return lease_s if 0 < lease_s <= _LONGEST_LEASE_S else self._lease_s

    def _conflict(self, found: _Found | None) -> LakeConflictError:
        holder = describe_holder(found.data if found else None)
        return LakeConflictError(
            f"The lake {self._url} is locked by {holder}. Let it finish, or end it, and run again; "
            f"the lock of a run that died ends by itself within {self._lease_s:g} s.",
            path=self._key,
        )
