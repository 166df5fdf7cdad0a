"""Where a lake lives: the five things the ledger asks of storage, and how a URL becomes one.

In: a lake URL (local path, ``file://``, ``s3://bucket/prefix`` or ``obs://bucket/prefix``).
Out: a `Store` of whole files under keys such as ``backups/date=2026-01-31/<project_id>.parquet``.
A reader of the lake sees a file as it was before a `put` or as it is after it, never between.
"""

from __future__ import annotations

import json
import os
import re
import socket
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from backup_frames.api.clock import Clock, SystemClock
from backup_frames.errors import BackupFramesError, ConfigError, LakeError


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
    """One file of a store: its key (``/`` between segments) and its size in bytes."""

    key: str
    size: int


class Lock(Protocol):
    """A lock while it is held."""

    def check(self) -> None:
        """Prove that the lock is still ours; call it before each step that commits.

        Costs a stat on a local lake, one small request on an object store.

        Raises:
            LakeConflictError: another run took the lock over (this one was silent for longer
                than its lease), or somebody removed it.
            LakeError: the store cannot be asked.
        """


class Store(Protocol):
    """Whole files under keys; handed in, so that tests drive every crash point.

    Every method raises `LakeError` with the key and what to do if the storage fails.
    Keys are relative, ``/``-separated, without ``.``, ``..``, empty or hidden-control parts.
    """

    @property
    def url(self) -> str:
        """The lake's URL as the user wrote it; it never holds a secret."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What this store cannot promise, learned when it was locked; empty if nothing."""

    def read(self, key: str) -> bytes | None:
        """The file's bytes, None if there is no such file."""

    def put(self, key: str, data: bytes) -> None:
        """Write the file whole: afterwards it is durable; on an error the old one stands.

        The one exception is an object store that falls silent: the outcome is then asked for,
        and if that fails too the error says that it is unknown. Nothing is deleted on doubt.
        """

    def list(self, prefix: str) -> list[StoredFile]:
        """All files below the folder `prefix` ("" = the whole lake), sorted by key.

        Temporary and foreign files are among them; a missing folder is an empty list.
        """

    def delete(self, key: str) -> None:
        """Remove the file; a missing one is no error."""

    def lock(self, key: str) -> AbstractContextManager[Lock]:
        """Hold the lake for one run. Locks exclude each other across threads and machines.

        Entering clears what dead runs left under the scratch prefix.

        Raises:
            LakeConflictError: at once, with who holds it. A dead owner never blocks: the
                kernel frees a local lock, an object's lease runs out after a minute.
        """


class CheckStep(NamedTuple):
    """One line of `check_store`: what was tried, whether it worked, and what was found."""

    step: str
    is_ok: bool
    message: str


def open_store(url: str, *, scratch: str, clock: Clock | None = None) -> Store:
    """The store behind a lake URL. Costs no I/O.

    Object stores take credentials from ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and
    ``AWS_SESSION_TOKEN`` (``obs://`` first from ``HUAWEICLOUD_SDK_AK``, ``_SK``,
    ``_SECURITY_TOKEN``), the address from ``AWS_REGION``, ``AWS_ENDPOINT_URL_S3``,
    ``AWS_ENDPOINT_URL`` and ``AWS_VIRTUAL_HOSTED_STYLE_REQUEST``, all overridden by the URL:
    ``s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-west-101&virtual_host=true``.

    Args:
        url: a path (``~`` is expanded), ``file:///path``, ``s3://…`` or ``obs://…``.
        scratch: key prefix for temporary files, such as ``_meta/<project_id>/tmp``; no two
            writers that may run at once share one, unless they share the lock.
        clock: what the lock's "since" is taken from; the machine's own by default.

    Returns:
        A `Store`; nothing has been asked of the storage yet.

    Raises:
        ConfigError: the URL is none of these, holds a secret, or lacks a region.

    Example:
        >>> open_store("/tmp/lake", scratch="_meta/p/tmp").url
        '/tmp/lake'
    """
    clock = clock or SystemClock()
    check_key(scratch)
    scheme = match[1].lower() if (match := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)) else ""
    if scheme in ("s3", "obs"):
        from .object_store import open_object_store  # noqa: PLC0415 - loads obstore only if used

        return open_object_store(url, scratch=scratch, clock=clock, environ=os.environ)
    from .local_store import LocalStore  # noqa: PLC0415 - it imports this module's names

    return LocalStore(_local_root(url, scheme), url=url, scratch=scratch, clock=clock)


def check_store(url: str, *, scratch: str, clock: Clock | None = None) -> list[CheckStep]:
    """Try everything a sync needs of a store on one small file, and remove it again.

    Args:
        url: as for `open_store`.
        scratch: a key prefix that no sync uses, such as ``_meta/<project_id>/doctor``.
        clock: as for `open_store`.

    Returns:
        The steps open, lock, write, read, list, delete, up to the first that failed. It never
        raises an error of this package: the failed step carries its message.
    """
    # The lock stands beside the scratch folder, whose content every lock clears.
    key, lock_key, data = f"{scratch}/check", f"{scratch}.lock", os.urandom(64)
    steps, step = list[CheckStep](), "open"
    try:
        store = open_store(url, scratch=scratch, clock=clock)
        steps.append(CheckStep(step, True, store.url))
        step = "lock"
        with store.lock(lock_key) as lock:
            lock.check()
            steps.append(CheckStep(step, True, " ".join(store.warnings) or "one run at a time"))
            step = "write"
            store.put(key, data)
            steps.append(CheckStep(step, True, f"{len(data)} bytes to {key}"))
            step = "read"
            _expect(store.read(key) == data, key, "what was written did not come back")
            steps.append(CheckStep(step, True, "the same bytes came back"))
            step = "list"
            _expect(StoredFile(key, len(data)) in store.list(scratch), key, "it is not listed")
            steps.append(CheckStep(step, True, "it is listed with its size"))
            step = "delete"
            store.delete(key)
            _expect(store.read(key) is None, key, "it is still there after the delete")
        store.delete(lock_key)
        steps.append(CheckStep(step, True, "it is gone again"))
    except BackupFramesError as error:
        steps.append(CheckStep(step, False, str(error)))
    return steps


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
    except (ValueError, KeyError, TypeError):
        return "another run"


def _local_root(url: str, scheme: str) -> Path:
    if scheme not in ("", "file"):
        raise ConfigError(
            f"A lake cannot live at {scheme}://: give a local path, file://, s3:// or obs://."
        )
    path = url
    if scheme:
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
            raise ConfigError(
                f"{scheme}:// must be followed by an absolute path of this machine. "
                "Write file:///data/lake, or the path alone."
            )
        path = unquote(parts.path)
    if not path or "\0" in path:
        raise ConfigError("The lake's path is empty or holds a NUL. Give a folder's path.")
    return Path(path).expanduser().absolute()


def _expect(is_met: bool, key: str, problem: str) -> None:
    if not is_met:
        raise LakeError(
            f"The store took {key}, but {problem}. Do not trust it with a lake: check the "
            "endpoint, and whether it really speaks S3.",
            path=key,
        )
