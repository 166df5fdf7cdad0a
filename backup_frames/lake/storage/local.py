"""A lake in a folder of this machine: whole files, swapped in by one rename.

In: keys and bytes. Out: files that survive a power cut once `LocalStore.put` has returned, and
that no reader ever sees half-written, whatever happens to this process. Temporary files live
under the scratch prefix inside the lake (same file system, out of reach of readers' globs).

The lake's own folder may be a link; inside it nothing is. Every file is reached folder by folder
from the lake's on, by descriptors and without following links, so that nothing outside is read,
replaced or removed, even if somebody swaps a link in meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

from ...clock import Clock
from ...errors import LakeConflictError, LakeError
from ...whole_files import explained_step, fill_file, flush_folder, make_folders, swap_in
from .layout import is_data_file, is_ours, is_temporary
from .store import (
    MAX_FILE_BYTES,
    PlainFiles,
    StoredFile,
    check_key,
    describe_holder,
    holder_record,
    too_large,
)

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LINK: Final = os.O_NOFOLLOW | os.O_CLOEXEC


class LocalStore(PlainFiles):
    """A `Store` in a folder, which is created with the first file.

    Args:
        root: the lake's folder, absolute; it may be a symbolic link.
        url: the same as the user wrote it.
        scratch: key prefix of temporary files.
        clock: what the lock's "since" is taken from.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, root: Path, *, url: str, scratch: str, clock: Clock) -> None:
        self.url = url
        self._root = root
        self._scratch = scratch
        self._clock = clock
        self._held: LocalLock | None = None

    def read(self, key: str) -> bytes | None:
        """The file's bytes, None if there is no such file."""
        *parent, name = check_key(key).split("/")
        with self._step("read", key), suppress(FileNotFoundError):
            with self._folder(parent) as folder:
                # Without waiting: a named pipe in its place would never be opened.
                descriptor = self._open(name, os.O_RDONLY | os.O_NONBLOCK, folder, key)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise IsADirectoryError(errno.EISDIR, "It is no regular file")
                if found.st_size > MAX_FILE_BYTES:
                    raise too_large(key, found.st_size)
                return file.read()
        return None

    def put(self, key: str, data: bytes) -> None:
        """Write a temporary file, flush it, rename it over `key`, flush the folder.

        Raises:
            LakeError: the file of that name is as it was; the temporary file is gone.
            LakeConflictError: likewise, since the lock that was held is no longer.
        """
        *parent, name = check_key(key).split("/")
        aside = os.urandom(16).hex()
        with self._step("write", key), self._scratch_folder() as scratch:
            try:
                fill_file(aside, data, folder=scratch)
                with self._folder(parent, is_made=True) as folder:
                    if _is_link(name, folder):
                        self._refuse_link(key)
                    self._check_lock()
                    swap_in(aside, name, aside_folder=scratch, folder=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(aside, dir_fd=scratch)
                raise

    def expect(self, keys: Iterable[str]) -> None:
        """Make the folders that are not there yet, and flush each that got some once.

        A folder without a file is nothing to any reader.
        """
        groups = defaultdict[str, set[str]](set)
        for key in keys:
            parent, _, name = check_key(key).rpartition("/")[0].rpartition("/")
            if parent:
                groups[parent].add(name)
        for parent, names in groups.items():
            path = parent.split("/")
            with self._step("make", parent), self._folder(path, is_made=True) as folder:
                with os.scandir(folder) as entries:
                    new = names - {entry.name for entry in entries}
                for name in new:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=folder)
                if new:
                    flush_folder(folder)

    def list(self, prefix: str) -> list[StoredFile]:
        """All files below the folder, sorted by key; links count as files, which no read follows.

        Raises:
            LakeError: a link stands where the lake's own folders and records belong.
        """
        parts = check_key(prefix.rstrip("/")).split("/") if prefix else []
        with self._step("list", prefix), suppress(FileNotFoundError), self._folder(parts) as top:
            return sorted(self._walk(top, "".join(f"{part}/" for part in parts)))
        return []

    def delete(self, key: str) -> None:
        """Remove the file and flush its folder; a missing one is no error."""
        *parent, name = check_key(key).split("/")
        with self._step("delete", key), suppress(FileNotFoundError), self._folder(parent) as folder:
            if _is_link(name, folder):
                self._refuse_link(key)
            self._check_lock()
            os.unlink(name, dir_fd=folder)
            flush_folder(folder)

    def is_blocked(self, key: str) -> bool:
        """Whether a folder or a link stands there."""
        *parent, name = check_key(key).split("/")
        with (
            self._step("look at", key),
            suppress(FileNotFoundError),
            self._folder(parent) as folder,
        ):
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            return stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
        return False

    @contextmanager
    def lock(self, key: str) -> Iterator[LocalLock]:
        """Hold a lock of the kernel's on the file `key`; it ends with this process, however.

        The file stays (removing it would let two runs lock two files of one name); while the
        lock is held it says by whom. No other link than the lake's own folder is accepted in it.
        """
        *parent, name = check_key(key).split("/")
        with self._step("lock", key), self._folder(parent, is_made=True) as folder:
            descriptor = self._open(name, os.O_RDWR | os.O_CREAT, folder, key)
        outer = self._held
        try:
            self._held = lock = self._acquire(descriptor, key)
            try:
                with self._step("list", ""):
                    self._refuse_links()
                self._clear_scratch()
                yield lock
            finally:
                self._held = outer
                for folder in lock.scratch:
                    os.close(folder)
                with suppress(OSError):  # the record is for people; closing frees the lock
                    os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int, key: str) -> LocalLock:
        with self._step("lock", key):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = describe_holder(os.pread(descriptor, 4096, 0))
                raise LakeConflictError(
                    f"The lake {self.url} is locked by {holder}. Let it finish, or end it, and "
                    "run again; a run that died holds no lock.",
                    path=key,
                ) from None
            record = holder_record(self._clock, run=os.urandom(16).hex())
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, record, 0)
            lock = LocalLock(descriptor, self._root, key, record)
        lock.check()
        return lock

    def _check_lock(self) -> None:
        if self._held is not None:
            self._held.check()

    def _refuse_links(self) -> None:
        """Look at the lake's folders down to those of the dates: none of them is a link."""
        for path in (self._root, *self._root.iterdir()):
            folder = path.relative_to(self._root).parts
            if folder and not is_ours(folder[0]):
                continue
            with (
                suppress(NotADirectoryError),
                self._folder(folder) as opened,
                os.scandir(opened) as entries,
            ):
                for entry in entries:
                    key = "/".join((*folder, _shown(entry.name)))
                    if entry.is_symlink() and is_ours(key) and not is_data_file(key):
                        self._refuse_link(key)

    def _clear_scratch(self) -> None:
        """Remove what puts of dead runs left: files by our own names, in this one folder."""
        with (
            self._step("clear", self._scratch),
            suppress(FileNotFoundError),
            self._folder(self._scratch.split("/")) as folder,
            os.scandir(folder) as entries,
        ):
            for entry in list(entries):
                if is_temporary(entry.name) and entry.is_file(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=folder)

    def _walk(self, folder: int, prefix: str) -> Iterator[StoredFile]:
        with os.scandir(folder) as entries:
            for entry in entries:
                key = prefix + _shown(entry.name)
                if entry.is_symlink() and is_ours(key) and not is_data_file(key):
                    self._refuse_link(key)
                with suppress(FileNotFoundError):  # removed meanwhile
                    if not entry.is_dir(follow_symlinks=False):
                        yield StoredFile(key, entry.stat(follow_symlinks=False).st_size)
                        continue
                    inner = self._open(entry.name, _FOLDER, folder, key)
                    try:
                        yield from self._walk(inner, f"{key}/")
                    finally:
                        os.close(inner)

    def _step(self, action: str, key: str) -> AbstractContextManager[None]:
        return explained_step(action, self._root, key)

    @contextmanager
    def _scratch_folder(self) -> Iterator[int]:
        """The folder of temporary files, made if need be; a run opens it once."""
        kept = self._held.scratch if self._held else []
        if not kept or not os.fstat(kept[-1]).st_nlink:  # somebody may have removed it
            with self._folder(self._scratch.split("/"), is_made=True) as folder:
                if not self._held:
                    yield folder
                    return
                kept.append(os.dup(folder))
        yield kept[-1]

    @contextmanager
    def _folder(self, parts: Sequence[str], *, is_made: bool = False) -> Iterator[int]:
        """A descriptor of a folder of the lake, reached without following a link."""
        try:
            descriptor = os.open(self._root, _FOLDER)
        except FileNotFoundError:
            if not is_made:
                raise
            make_folders(self._root)
            descriptor = os.open(self._root, _FOLDER)
        try:
            for number, part in enumerate(parts, 1):
                key = "/".join(parts[:number])
                try:
                    inner = self._open(part, _FOLDER, descriptor, key)
                except FileNotFoundError:
                    if not is_made:
                        raise
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=descriptor)
                    flush_folder(descriptor)
                    inner = self._open(part, _FOLDER, descriptor, key)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, name: str, flags: int, folder: int, key: str) -> int:
        try:
            return os.open(name, flags | _NO_LINK, 0o666, dir_fd=folder)
        except OSError as error:
            if _is_link(name, folder):
                self._refuse_link(key)
            error.filename = str(self._root / key)
            raise

    def _refuse_link(self, key: str) -> NoReturn:
        raise LakeError(
            f"{self._root / key} is a link, and nothing inside a lake may be one: what is behind "
            "it may be somebody else's. Put the folder or file itself there, or make the whole "
            "lake's folder a link.",
            path=key,
        )


class LocalLock:
    """The kernel's lock on an open file, as long as that file is the one in the lake.

    And as long as it says what we wrote: where locks do not reach (some network file systems, or
    after the server has dropped them), the next owner's record tells.
    """

    def __init__(self, descriptor: int, root: Path, key: str, record: bytes) -> None:
        self.scratch = list[int]()  # descriptors of the folder of temporary files, the newest last
        self._descriptor, self._record = descriptor, record
        self._root, self._key = root, key
        self._path = os.fspath(root / key)

    def check(self) -> None:
        """Raise `LakeConflictError` if the lock file was removed or replaced under the lock."""
        is_ours = False
        with explained_step("check", self._root, self._key), suppress(FileNotFoundError):
            is_ours = (
                os.path.samestat(os.fstat(self._descriptor), os.lstat(self._path))
                and os.pread(self._descriptor, len(self._record), 0) == self._record
            )
        if not is_ours:
            raise LakeConflictError(
                f"The lock file {self._path} was removed or taken over while it was held, so "
                "another run may have started. Leave that file alone, and run again.",
                path=self._key,
            )

    keep = check  # it costs nothing


def _is_link(name: str, folder: int) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


def _shown(name: str) -> str:
    """A foreign name need not be text; what is shown of it must be."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
