"""From a lake's URL to the store behind it, and whether that store does what a sync needs.

In: a local path, ``file://``, ``s3://bucket/prefix`` or ``obs://bucket/prefix``.
Out: a `Store`; or the steps of a check, up to the first that failed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ...clock import Clock, SystemClock
from ...errors import BackupFramesError, ConfigError, LakeError
from ...settings import Settings, load_settings
from ...whole_files import absolute_path, explained_step
from .local import LocalStore
from .store import Store, StoredFile, check_key

# "s3:/b", "obs:b", "s3;//b", " s3://b", "'s3://b'"; of two letters or more: C:/lake is a path
_MISTYPED = re.compile(
    r"""[\s"'<]*([A-Za-z][A-Za-z0-9+.-]+[:;]/|(s3[an]?|obs|file|gs|gcs|az|abfss?|oss|hdfs)(:|;/|//))"""
    r"|[^/]*:/{2}",
    re.IGNORECASE,
)


class CheckStep(NamedTuple):
    """One line of `check_store`: what was tried, whether it worked, and what was found."""

    step: str
    is_ok: bool
    message: str


def open_store(
    url: str, *, scratch: str, clock: Clock | None = None, settings: Settings | None = None
) -> Store:
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
        settings: of ``obs://``: the region, and the endpoint in whose cloud it must lie; None: from
            environment and config file.

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
    if scheme_of(url) in ("s3", "obs"):
        from .bucket import open_object_store  # noqa: PLC0415 - loads obstore only if used

        environ = bucket_environ(url, settings)
        return open_object_store(url, scratch=scratch, clock=clock, environ=environ)
    return LocalStore(local_root(url), url=url, scratch=scratch, clock=clock)


def check_store(url: str, *, scratch: str, settings: Settings | None = None) -> list[CheckStep]:
    """Try everything a sync needs of a store on one small file, and remove it again.

    Args:
        url: as for `open_store`.
        scratch: a key prefix that no sync uses, such as ``_meta/<project_id>/doctor``.
        settings: as for `open_store`.

    Returns:
        The steps open, lock, write, read, list, delete, up to the first that failed. It never
        raises an error of this package: the failed step carries its message.
    """
    # The lock stands beside the scratch folder, whose content every lock clears.
    key, lock_key, data = f"{scratch}/check", f"{scratch}.lock", os.urandom(64)
    steps, step = list[CheckStep](), "open"
    try:
        store = open_store(url, scratch=scratch, settings=settings)
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


def bucket_environ(url: str, settings: Settings | None) -> Mapping[str, str]:
    """The environment that a bucket's address is read from; of OBS with what settings say of it."""
    if scheme_of(url) != "obs":
        return os.environ
    settings = settings or load_settings()
    own = {
        "BACKUP_FRAMES_ENDPOINT": settings.endpoint,
        "BACKUP_FRAMES_REGION": settings.known_region,
    }
    return {**os.environ, **{name: value or "" for name, value in own.items()}}


def scheme_of(url: str) -> str:
    """The URL's scheme in lower case; "" for a path.

    Raises:
        ConfigError: it is a URL mistyped, such as ``s3:/bucket``: no folder is made of that name.
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    if match is None and _MISTYPED.match(url):
        raise ConfigError(
            f"{url!r} looks like a URL, but is none. Write s3://bucket/prefix, obs://bucket/prefix "
            f"or file:///path; a folder of that name as {f'./{url.strip()}'!r}."
        )
    return match[1].lower() if match else ""


def local_root(url: str) -> Path:
    """The folder that a path or a ``file://`` URL names, absolute.

    Raises:
        ConfigError: it is neither.
    """
    scheme = scheme_of(url)
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
    return absolute_path(path)


def _expect(is_met: bool, key: str, problem: str) -> None:
    if not is_met:
        raise LakeError(
            f"The store took {key}, but {problem}. Do not trust it with a lake: check the "
            "endpoint, and whether it really speaks S3.",
            path=key,
        )


def is_folder(path: Path) -> bool:
    """Whether there is such a folder.

    Raises:
        ConfigError: no folder can have that name.
        LakeError: it may not be looked at.
    """
    try:
        return path.is_dir()
    except PermissionError:
        with explained_step("read", path, ""):
            raise
    except OSError as error:
        raise ConfigError(f"{path} can be no folder: {error.strerror}. Give another.") from error
