"""Files that are there whole or not at all: the one way in which this package writes a file.

In: a path and bytes. Out: the file, flushed to the disk before it takes its name. What stands there
already is looked at first: devices and pipes are written into, links are followed, and a file that
is replaced hands on its owner and mode. Imports nothing of the rest but errors.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from .errors import ConfigError, LakeError

Content = bytes | Callable[[IO[bytes]], object]
"""A file's bytes, or a function that writes them."""

_MAX_LINKS = 40
_IN_THE_WAY = "A file stands where a folder belongs (or the reverse): move it away."
_ADVICE = {
    errno.ENOSPC: "Free some space on that file system and run again; nothing was damaged.",
    errno.EDQUOT: "The quota is used up: free some space and run again; nothing was damaged.",
    errno.EFBIG: "The limit on file sizes is too low (`ulimit -f`): raise it and run again.",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`) and run again.",
    errno.ENFILE: "Raise the machine's limit of open files and run again.",
    errno.ENOMEM: "The memory does not suffice: give more and run again.",
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


class Target(NamedTuple):
    """Where a file is to be written, links followed.

    Attributes:
        place: the file to make or replace, or the device or pipe to write into.
        is_stream: it is a device, a pipe, or open in this process already.
        descriptor: under which number it is open, as ``/dev/stdout`` is.
    """

    place: Path
    is_stream: bool = False
    descriptor: int | None = None


def is_utf8(text: str) -> bool:
    """Whether it can be written down; bytes that a shell hands on as lone surrogates cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def path_text(place: object, name: str) -> str:
    """A path, or a lake's address, as text.

    Raises:
        ConfigError: it is neither; the message calls it by that name.
    """
    text = os.fspath(place) if isinstance(place, os.PathLike) else place
    if not isinstance(text, str):
        kind = type(place).__name__
        raise ConfigError(f"{name} is of type {kind}; give a path, or a lake's address, as text.")
    return text


def expand_home(path: str | os.PathLike[str]) -> Path:
    """The path, ``~`` expanded.

    Raises:
        ConfigError: there is no such home.
    """
    try:
        return Path(path_text(path, "path")).expanduser()
    except RuntimeError:  # ~nobody
        raise ConfigError(
            f"The home folder in {str(path)!r} is unknown. Give the whole path."
        ) from None


def absolute_path(path: str | os.PathLike[str]) -> Path:
    """The whole path, ``~`` expanded.

    Raises:
        ConfigError: there is no such home, or the working directory it is relative to is gone.
    """
    try:
        return expand_home(path).absolute()
    except FileNotFoundError:
        raise ConfigError(
            f"{str(path)!r} is relative to a working directory that no longer exists. Change to a "
            "folder that does, or give the whole path."
        ) from None


def find_target(path: str | os.PathLike[str]) -> Target:
    """Look at what stands where a file is to be written, before any work is done for it.

    Raises:
        ConfigError: no file can be written there; the message says why and what to do.
    """
    given = path_text(path, "The file to write")
    if not given:
        raise ConfigError("The path of the file to write is empty. Give a file's name.")
    try:
        return _look_at(given)
    except ConfigError:
        raise
    except OSError as error:
        reason = f"{given} cannot be written: {error.strerror}. Choose another place."
        if error.errno == errno.ENAMETOOLONG:
            size = len(os.fsencode(Path(given).name))
            reason = (
                f"The name of the file to write has {size} bytes ({given}), which is more than this "
                "file system takes (most take 255). Choose a shorter one."
            )
        raise ConfigError(reason) from error
    except ValueError as error:  # a NUL, or no text
        raise ConfigError(f"{given!r} cannot be a file's name: {error}. Choose another.") from error


def write_whole(path: str | os.PathLike[str], content: Content) -> None:
    """Write a file aside, flush it, and let it take its name: a reader sees the old or the new.

    A new file's mode follows the umask. Into a device, a pipe or ``/dev/stdout`` it is written.

    Raises:
        ConfigError: as `find_target` does.
        LakeError: the disk is full, or failed; what stood there is as it was.
    """
    target = find_target(path)
    if not target.is_stream:
        with whole_file(path) as aside, _explained(target.place):
            fill_file(os.fspath(aside), content)
        return
    with _explained(target.place), _open_stream(target) as file:
        if callable(content):
            content(file)
        else:
            file.write(content)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """For programs that make a file by its name: the name of one that takes its place in the end.

    It lies in a folder of its own, which nobody else can enter and which goes away with the block.
    Raises as `write_whole` does.
    """
    target = find_target(path)
    with _explained(target.place):
        beside = None if target.is_stream else target.place.parent
        private = Path(tempfile.mkdtemp(prefix=".backup-frames-", dir=beside))
    try:
        yield private / "new"
        with _explained(target.place):
            if target.is_stream:
                with (private / "new").open("rb") as made, _open_stream(target) as file:
                    shutil.copyfileobj(made, file)
            else:
                _swap_paths(private / "new", target.place)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def fill_file(name: str, content: Content, *, folder: int | None = None) -> None:
    """Make a file that does not exist yet, and flush it.

    Raises:
        OSError: it exists, or the disk failed.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o666, dir_fd=folder)
    try:
        if callable(content):
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                content(file)
        else:  # a lake's file, of thousands: no object around it that asks the kernel what it is
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def swap_in(aside: str, name: str, *, aside_folder: int, folder: int) -> None:
    """Rename a flushed file over another, whose owner and mode it takes on; flush the folder.

    Args:
        aside: its name now.
        name: its name then.
        aside_folder: descriptor of the folder that it is in.
        folder: descriptor of the folder that it comes to.

    Raises:
        OSError: what stood there is as it was.
    """
    with suppress(FileNotFoundError):
        old = os.stat(name, dir_fd=folder, follow_symlinks=False)
        new = os.stat(aside, dir_fd=aside_folder, follow_symlinks=False)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            with suppress(PermissionError):  # only root may give files away
                os.chown(aside, old.st_uid, old.st_gid, dir_fd=aside_folder, follow_symlinks=False)
        if stat.S_ISREG(old.st_mode) and old.st_mode != new.st_mode:
            os.chmod(aside, stat.S_IMODE(old.st_mode), dir_fd=aside_folder)
    os.replace(aside, name, src_dir_fd=aside_folder, dst_dir_fd=folder)
    flush_folder(folder)


def flush_folder(folder: int) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: the disk failed.
    """
    try:
        os.fsync(folder)
    except OSError as error:
        # Some network file systems cannot flush folders; they commit renames by themselves.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each durable in the one that it lies in."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flush_folder(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def explained_step(action: str, root: Path, key: str) -> Iterator[None]:
    """Say what could not be done with a lake's file, and what to do: a `LakeError` for the key."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Check that disk and run again.")
        reason = error.strerror or type(error).__name__
        at_fault = _at_fault(root / key, error)
        raise LakeError(f"Cannot {action} {at_fault}: {reason}. {advice}", path=key) from error


def _at_fault(path: Path, error: OSError) -> Path:
    """What is to blame of a path, or below it: a file in the way, a folder not made, or closed."""
    in_the_way = [one for one in path.parents if os.path.exists(one) and not os.path.isdir(one)]  # noqa: PTH110, PTH112 - Path's raise
    named = Path(error.filename) if isinstance(error.filename, str) else path
    is_near = named in path.parents or path in named.parents
    return in_the_way[0] if in_the_way else named if is_near else path


def _look_at(given: str) -> Target:
    descriptor = _descriptor_of(given)
    if descriptor is not None:
        os.fstat(descriptor)  # raises if it is closed
        return Target(Path(given), True, descriptor)
    place = Path(os.path.realpath(given))
    try:
        mode = Path(given).stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
        if not place.parent.is_dir():
            raise ConfigError(
                f"There is no folder {place.parent} to write {place.name} into. Create it."
            ) from None
    if stat.S_ISDIR(mode):
        raise ConfigError(f"{given} is a folder. Give the name of a file in it.")
    if stat.S_ISSOCK(mode):
        raise ConfigError(f"{given} is a socket, which no file can replace. Choose another name.")
    is_stream = not stat.S_ISREG(mode)
    if not (os.access(place, os.W_OK) if is_stream else os.access(place.parent, os.W_OK | os.X_OK)):
        what = place if is_stream else place.parent
        raise ConfigError(
            f"{given} cannot be written: this user may not write to {what}, or it is mounted "
            "read-only. Choose another place."
        )
    return Target(place, is_stream)


def _descriptor_of(given: str) -> int | None:
    """The number of an open file that the path stands for, as ``/dev/stdout`` does for 1."""
    ours = (f"/proc/{os.getpid()}/fd", "/dev/fd")
    place = Path(given).absolute()
    for _ in range(_MAX_LINKS):
        folder = os.path.realpath(place.parent)
        if folder in ours and re.fullmatch("[0-9]{1,9}", place.name):
            return int(place.name)
        if not place.is_symlink():
            return None
        place = Path(folder, place.readlink())
    return None


def _open_stream(target: Target) -> IO[bytes]:
    if target.descriptor is not None:
        return os.fdopen(os.dup(target.descriptor), "wb")
    return os.fdopen(os.open(target.place, os.O_WRONLY | os.O_CLOEXEC), "wb")


def _swap_paths(aside: Path, place: Path) -> None:
    opened = list[int]()
    try:
        opened.append(os.open(aside, os.O_RDONLY))
        os.fsync(opened[0])
        opened += [os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY) for path in (aside, place)]
        swap_in(aside.name, place.name, aside_folder=opened[1], folder=opened[2])
    finally:
        for descriptor in opened:
            os.close(descriptor)


@contextmanager
def _explained(place: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads the pipe has had enough
    except OSError as error:
        raise LakeError(
            f"{place} could not be written: {error.strerror}. Check that place and its free space."
        ) from error
