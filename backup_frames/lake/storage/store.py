"""What the ledger asks of storage, and what all kinds of it share.

In: keys such as ``backups/date=2026-01-31/<project_id>.parquet``, and bytes: of records as they are, of
rows as the store encodes them. Out: whole files.
A reader of the lake sees a file as it was before a `put` or as it is after it, never between.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import pyarrow as pa

from ...clock import Clock
from ...errors import LakeError
from ...frames.partitions import decode_apart, decode_table, encode_sorted

MAX_FILE_BYTES: Final = 1 << 30
"""No file of a lake is larger (a million backups take a tenth of it): what is, is not read."""


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
    """One file of a store: its key (``/`` between segments) and its size in bytes."""

    key: str
    size: int


class Lock(Protocol):
    """A lock while it is held.

    The store that it was taken from keeps it (`keep`) before each `put` and `delete` of its own.
    """

    def keep(self) -> None:
        """Make sure that the lock is ours for some time to come; as good as free of cost.

        What was renewed long ago, by a clock that goes on while the machine sleeps, is renewed.
        Raises as `check` does.
        """

    def check(self) -> None:
        """Prove that the lock is still ours; call it before each step that commits.

        Costs a stat on a local lake, one small request on an object store.

        Raises:
            LakeConflictError: another run took the lock over (this one was silent for longer
                than its lease), or somebody removed it.
            LakeError: the store cannot be asked.
        """


class RunNote(NamedTuple):
    """Which run puts what it puts, for stores that keep a history of their own.

    Attributes:
        project_id: whose files.
        run_id: the run.
        as_of_s: its moment.
        verdict: ``complete``, ``incomplete``, or ``repair``.
    """

    project_id: str
    run_id: str
    as_of_s: int
    verdict: str


class Store(Protocol):
    """Whole files under keys; handed in, so that tests drive every crash point.

    Every method raises `LakeError` with the key and what to do if the storage fails.
    Keys are relative, ``/``-separated, without ``.``, ``..``, empty or hidden-control parts.
    """

    @property
    def url(self) -> str:
        """The lake's URL as the user wrote it; it never holds a secret."""

    @property
    def format(self) -> str:
        """What holds the rows of the lake's tables: ``parquet`` for files as they are put."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What this store cannot promise, learned when it was locked; empty if nothing."""

    def read(self, key: str) -> bytes | None:
        """The file's bytes, None if there is no such file."""

    def put(self, key: str, data: bytes) -> None:
        """Write the file whole: afterwards it is durable; on an error the old one stands.

        While the store is locked, a put on an object store is conditional on what this run has
        seen of the file: one that comes late, after another run took the lock over, fails.

        The one exception is an object store that falls silent: the outcome is then asked for,
        and if that fails too the error says that it is unknown. Nothing is deleted on doubt.

        Raises:
            LakeConflictError: the lock was lost, or the file is not as this run has seen it.
        """

    def encode(self, key: str, rows: pa.Table) -> bytes:
        """The bytes of a data file under that key with these rows, which `sort_table` has sorted."""

    def decode(self, key: str, data: bytes, *, rows: int | None = None) -> pa.Table:
        """The rows of a data file that was read.

        Args:
            key: what it was read from.
            data: its bytes.
            rows: how many it may have; None if nobody vouches for it (see `decode_apart`).

        Raises:
            LakeError: the bytes are damaged, or would decode to more than they may.
        """

    def expect(self, keys: Iterable[str]) -> None:
        """Hear which files are about to be put: what they share is made once for all of them."""

    def commit(self, note: RunNote) -> None:
        """Let readers see the tables' files that were put since the last commit.

        A store of plain files has shown each as it was put, and has nothing to do.
        """

    def list(self, prefix: str) -> list[StoredFile]:
        """All files below the folder `prefix` ("" = the whole lake), sorted by key.

        Temporary and foreign files are among them; a missing folder is an empty list.
        """

    def delete(self, key: str) -> None:
        """Remove the file; a missing one is no error."""

    def is_blocked(self, key: str) -> bool:
        """Whether something stands in the file's place that no `put` may replace."""

    def lock(self, key: str) -> AbstractContextManager[Lock]:
        """Hold the lake for one run. Locks exclude each other across threads and machines.

        Entering clears what dead runs left in the scratch folder, by the store's own file names.

        Raises:
            LakeConflictError: at once, with who holds it. A dead owner never blocks: the
                kernel frees a local lock, an object's lease runs out after a minute.
        """


class PlainFiles:
    """What stores of a plain lake share: a data file is Parquet with all of a table's columns."""

    format = "parquet"

    def encode(self, key: str, rows: pa.Table) -> bytes:  # noqa: ARG002 - protocol
        """Parquet, the same for the same rows."""
        return encode_sorted(rows)

    def decode(self, key: str, data: bytes, *, rows: int | None = None) -> pa.Table:  # noqa: ARG002 - protocol
        """The rows, with the schema that they were written with."""
        return decode_apart(data) if rows is None else decode_table(data, rows=rows)

    def expect(self, keys: Iterable[str]) -> None:
        """Nothing: they share nothing."""

    def is_blocked(self, key: str) -> bool:  # noqa: ARG002 - protocol
        """Nothing can: under a key there is an object, or none."""
        return False

    def commit(self, note: RunNote) -> None:
        """Nothing: each file was shown as it was put."""


def check_key(key: str) -> str:
    """Hand back a key that is safe as a path and as an object name.

    Raises:
        LakeError: it is absolute, climbs out of the lake, or holds what no key of ours holds.
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts) or not key.isprintable() or "\\" in key:
        raise LakeError(
            f"{key!r} is no key of a lake: it must be relative, without '..', empty parts, "
            "backslashes or control characters. Check the project id and the partition names.",
            path=key,
        )
    return key


def too_large(key: str, size: int) -> LakeError:
    """The error for a file that cannot be a lake's."""
    return LakeError(
        f"{key} has {size:,} bytes, and no file of a lake has more than {MAX_FILE_BYTES:,}. It was "
        "not read: move it away, then run `backup-frames verify --repair`.",
        path=key,
    )


def holder_record(clock: Clock, **facts: str) -> bytes:
    """What a lock says for people (and, in `facts`, for us): host, process, since when."""
    since = clock.now().isoformat(timespec="seconds")
    record = {"host": socket.gethostname(), "pid": os.getpid(), "since": since, **facts}
    return json.dumps(record, sort_keys=True).encode() + b"\n"


def describe_holder(data: bytes | None) -> str:
    """The holder in words, from a lock's first line; what is no record is "another run"."""
    try:
        record = json.loads((data or b"").partition(b"\n")[0])
        return f"process {record['pid']} on {record['host']} since {record['since']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "another run"
