"""A lake in a folder of this machine: whole files, swapped in by one rename.

In: keys and bytes. Out: files that survive a power cut once `LocalStore.put` has returned, and
that no reader ever sees half-written, whatever happens to this process. Temporary files live
under the scratch prefix inside the lake (same file system, out of reach of readers' globs).
"""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backup_frames.api.clock import Clock
from backup_frames.errors import LakeConflictError, LakeError
from backup_frames.lake.store import RunNote, StoredFile, check_key, describe_holder, holder_record

_IN_THE_WAY = "A file stands where a folder belongs (or the reverse): move it away."
_ADVICE = {
    errno.ENOSPC: "Free some space on that file system and run again; nothing was damaged.",
    errno.EDQUOT: "The quota is used up: free some space and run again; nothing was damaged.",
    errno.EFBIG: "The limit on file sizes is too low (`ulimit -f`): raise it and run again.",
    errno.EACCES: "Give this user read and write permission there, or run as another user.",
    errno.EPERM: "Give this user read and write permission there, or run as another user.",
    errno.EROFS: "The file system is mounted read-only: remount it, or put the lake elsewhere.",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.ENAMETOOLONG: "The path is too long for this file system: choose a shorter folder.",
    errno.EXDEV: "Folders of one lake must be on one file system: unmount the one inside it.",
    errno.ENOLCK: "This file system has no locks: put the lake on one that has.",
    errno.EOPNOTSUPP: "This file system has no locks: put the lake on one that has.",
}


class LocalStore:
    """A `Store` in a folder, which is created with the first file.

    Args:
        root: the lake's folder, absolute; it may be a symbolic link.
        url: the same as the user wrote it.
        scratch: key prefix of temporary files.
        clock: what the lock's "since" is taken from.
    """

    format = "parquet"
    warnings: tuple[str, ...] = ()

    def __init__(self, root: Path, *, url: str, scratch: str, clock: Clock) -> None:
        self.url = url
        self._root = root
        self._scratch = scratch
        self._clock = clock

    def read(self, key: str) -> bytes | None:
        """The file's bytes, None if there is no such file."""
        path = self._path(key)
        with _explained("read", path, key):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def put(self, key: str, data: bytes) -> None:
        """Write a temporary file, flush it, rename it over `key`, flush the folder.

        Raises:
            LakeError: the file of that name is as it was; the temporary file is gone.
        """
        path = self._path(key)
        temporary = self._path(f"{self._scratch}/{uuid.uuid4().hex}")
        with _explained("write", path, key):
            try:
                _make_folder(temporary.parent)
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                _make_folder(path.parent)
                temporary.replace(path)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
            _flush_folder(path.parent)

    def commit(self, note: RunNote) -> None:
        """Nothing: each file was shown as it was put."""

    def list(self, prefix: str) -> list[StoredFile]:
        """All files below the folder, sorted by key; linked folders inside are not entered."""
        top = self._path(prefix.rstrip("/")) if prefix else self._root
        found = []
        with _explained("list", top, prefix):
            for folder, _, names in os.walk(top, onerror=_raise_unless_missing):
                for name in names:
                    path = Path(folder, name)
                    with suppress(FileNotFoundError):  # removed meanwhile, or a dangling link
                        found.append(StoredFile(self._key(path), path.stat().st_size))
        return sorted(found)

    def delete(self, key: str) -> None:
        """Remove the file and flush its folder; a missing one is no error."""
        path = self._path(key)
        with _explained("delete", path, key), suppress(FileNotFoundError):
            path.unlink()
            _flush_folder(path.parent)

    @contextmanager
    def lock(self, key: str) -> Iterator[LocalLock]:
        """Hold a lock of the kernel's on the file `key`; it ends with this process, however.

        The file stays (removing it would let two runs lock two files of one name); while the
        lock is held it says by whom.
        """
        path = self._path(key)
        with _explained("lock", path, key):
            _make_folder(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            lock = self._acquire(descriptor, path, key)
            try:
                yield lock
            finally:
                with suppress(OSError):  # the record is for people; closing frees the lock
                    os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int, path: Path, key: str) -> LocalLock:
        with _explained("lock", path, key):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = describe_holder(os.pread(descriptor, 4096, 0))
                raise LakeConflictError(
                    f"The lake {self.url} is locked by {holder}. Let it finish, or end it, and "
                    "run again; a run that died holds no lock.",
                    path=key,
                ) from None
            lock = LocalLock(descriptor, path, key)
            lock.check()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder_record(self._clock), 0)
        for leftover in self.list(self._scratch):
            self.delete(leftover.key)
        return lock

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _key(self, path: Path) -> str:
        # A foreign name need not be text; what is shown of it must be.
        name = path.relative_to(self._root).as_posix()
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


class LocalLock:
    """The kernel's lock on an open file, as long as that file is the one in the lake."""

    def __init__(self, descriptor: int, path: Path, key: str) -> None:
        self._descriptor = descriptor
        self._path = path
        self._key = key

    def check(self) -> None:
        """Raise `LakeConflictError` if the lock file was removed or replaced under the lock."""
        with _explained("check", self._path, self._key):
            try:
                is_ours = os.path.samestat(os.fstat(self._descriptor), self._path.stat())
            except FileNotFoundError:
                is_ours = False
        if not is_ours:
            raise LakeConflictError(
                f"The lock file {self._path} was removed while it was held, so another run may "
                "have started. Leave that file alone, and run again.",
                path=self._key,
            )


@contextmanager
def _explained(action: str, path: Path, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Check that disk and run again.")
        reason = error.strerror or type(error).__name__
        at_fault = _at_fault(path, error)
        raise LakeError(f"Cannot {action} {at_fault}: {reason}. {advice}", path=key) from error


def _at_fault(path: Path, error: OSError) -> Path:
    """Of a path that could not be used the part to blame: a file in the way, a folder not made."""
    in_the_way = [one for one in path.parents if os.path.exists(one) and not os.path.isdir(one)]  # noqa: PTH110, PTH112 - Path's raise
    named = Path(error.filename) if isinstance(error.filename, str) else path
    return in_the_way[0] if in_the_way else named if named in path.parents else path


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot flush folders; they commit renames by themselves.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
