"""The files of a pack as bytes: CSV that no spreadsheet obeys, JSON, sums, and one archive of them.

In: rows, or a pack on disk. Out: bytes that depend on nothing but what goes in, and the files of a pack
with what is wrong with it as an archive. Nothing of an archive is ever extracted.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..api.scrub import as_printable
from ..errors import LakeError
from ..lake.outside import check_outside
from ..settings.values import Place
from ..whole_files import find_target, write_whole

SUMS: Final = "SHA256SUMS"
MAX_BYTES: Final = 4 << 30
# What begins a formula, for Excel also in its wide forms; where a comma is the decimal point, a
# spreadsheet begins a cell after each semicolon.
_FORMULA: Final = re.compile("(^|;)(?=\\s*[=+@\uff1d\uff0b\uff0d\uff20-])")
_HEAD_BYTES: Final = 30
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_NAME = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


class PackFinding(NamedTuple):
    """What is wrong with a pack.

    Attributes:
        path: the file in the pack; "pack" for the pack as a whole.
        kind: ``changed``, ``missing``, ``extra``, ``unsafe``, ``damaged``, or ``differs`` (from the lake).
        message: in a sentence, for people.
    """

    path: str
    kind: str
    message: str


def encode_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A CSV file; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue().encode()


def encode_json(value: Any) -> bytes:
    """JSON for people, keys in order."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=_cell)
    return (text + "\n").encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='seconds')}Z"
    return str(value).lower() if isinstance(value, bool) else value


@lru_cache(maxsize=1 << 16)
def _text(value: str) -> str:
    """The text as a spreadsheet shows it; ids and reasons come again and again."""
    return _FORMULA.sub(r"\1'", as_printable(value))


def encode_sums(files: Mapping[str, bytes]) -> bytes:
    """What ``sha256sum -c`` reads."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(lines).encode()


def encode_zip(files: Mapping[str, bytes]) -> bytes:
    """An archive of the files in the order of their names, with no time of its own."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name in sorted(files):
            writer.writestr(_entry(name), files[name])
    return archive.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
    entry.external_attr = 0o100644 << 16
    return entry


def check_pack_target(target: Path, lake: Place) -> None:
    """Refuse a place where no pack can be written, before one is made.

    Raises:
        ConfigError: it lies in a lake, or no file can be written there.
        LakeError: the folder is not empty, or cannot be made or written.
    """
    check_outside(target, lake)
    if _is_archive(target):
        find_target(target)
        return
    with _explained(target):
        if target.exists() and not target.is_dir():
            raise LakeError(f"{target} is no folder. Give a new folder, or a name with .zip.")
        target = Path(os.path.realpath(target))
        if target.exists() and any(target.iterdir()):
            raise LakeError(f"{target} is not empty. Give a new folder, or a name with .zip.")
        folder = target if target.exists() else target.parent
        folder.stat()
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write_files(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a pack: an archive if the name ends with ``.zip``, else a folder; or nothing at all.

    Raises:
        LakeError: the disk failed.
    """
    if _is_archive(target):
        write_whole(target, encode_zip(files))
        return
    target = Path(os.path.realpath(target))
    is_new = not target.exists()
    with _explained(target), ExitStack() as undo:
        target.mkdir(exist_ok=True)
        if is_new:
            undo.callback(target.rmdir)
        for name in sorted(files):
            folder = (target / name).parent
            if not folder.exists():
                folder.mkdir()
                undo.callback(folder.rmdir)
            undo.callback((target / name).unlink, missing_ok=True)
            (target / name).write_bytes(files[name])
        undo.pop_all()


def _is_archive(target: Path) -> bool:
    return target.suffix.lower() == ".zip"


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{target} cannot be written: {error.strerror}. Check the folder."
        raise LakeError(reason) from error


def read_pack(path: Path) -> tuple[dict[str, bytes], list[PackFinding]]:
    """The files of a pack, an archive or a folder, and what is wrong with it whatever they hold.

    Raises:
        OSError: it cannot be read.
    """
    return _read_folder(path) if path.is_dir() else _read_zip(path.read_bytes())


def _read_folder(root: Path) -> tuple[dict[str, bytes], list[PackFinding]]:
    files, findings = {}, []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            findings.append(
                PackFinding(name, "unsafe", "It is a link or a device; it was not read.")
            )
        elif path.is_file():
            files[name] = path.read_bytes()
    return files, findings


def _read_zip(data: bytes) -> tuple[dict[str, bytes], list[PackFinding]]:
    files: dict[str, bytes] = {}
    findings: list[PackFinding] = []
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        return {}, [PackFinding("pack", "damaged", f"It is no archive that can be read: {error}.")]
    with archive:
        left = MAX_BYTES
        for entry in archive.infolist():
            name = as_printable(entry.filename)
            if not _NAME.fullmatch(entry.orig_filename):
                message = "Its name leads out of the pack or is not ours; it was not read."
                findings.append(PackFinding(name, "unsafe", message))
                continue
            if name in files:
                findings.append(PackFinding(name, "unsafe", "Two files have this name."))
                continue
            try:
                with archive.open(entry) as file:
                    files[name] = file.read(left + 1)
            except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError,
                    NotImplementedError, OSError) as error:  # fmt: skip
                findings.append(PackFinding(name, "damaged", f"It cannot be read: {error}."))
                continue
            left -= len(files[name])
            if left < 0:
                return {}, [PackFinding(name, "damaged", f"The pack has over {MAX_BYTES:,} bytes.")]
    if not findings and not _is_as_made(data, files):
        message = (
            "The archive is not as it was made: it was changed beside its files, or packed anew."
        )
        findings.append(PackFinding("pack", "changed", message))
    return files, findings


def _is_as_made(data: bytes, files: Mapping[str, bytes]) -> bool:
    """Whether an archive is as `encode_zip` makes it of these files, here or where zlib is another.

    Other makes of zlib, such as zlib-ng, pack the same file into other bytes. An archive of theirs
    differs from ours in most of what it holds; all around them is the same, and each unpacks to its end.
    """
    made = encode_zip(files)
    if data == made:
        return True
    packed, ours = _packed_files(data), _packed_files(made)
    if packed.keys() != ours.keys():
        return False
    others = [name for name in ours if packed[name] != ours[name]]
    is_most = 2 * sum(len(files[name]) for name in others) > sum(map(len, files.values()))
    if not is_most or data != _join_packed(packed, files):
        return False
    for name in others:
        unpacking, length = zlib.decompressobj(-zlib.MAX_WBITS), len(files[name])
        text = unpacking.decompress(packed[name], length + 1)
        if text != files[name] or not unpacking.eof or unpacking.unused_data:
            return False
    return True


def _packed_files(data: bytes) -> dict[str, bytes]:
    """The bytes of each file as they lie in an archive whose entries have no extra fields."""
    packed = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            begin = entry.header_offset + _HEAD_BYTES + len(entry.orig_filename)
            packed[entry.filename] = data[begin : begin + entry.compress_size]
    return packed


def _join_packed(packed: Mapping[str, bytes], files: Mapping[str, bytes]) -> bytes:
    """The archive that `encode_zip` makes where zlib packs the files so."""
    body, index = bytearray(), bytearray()
    for name in sorted(files):
        entry, begin = _entry(name), len(body)
        entry.CRC = zlib.crc32(files[name])
        entry.compress_size, entry.file_size = len(packed[name]), len(files[name])
        head = entry.FileHeader(zip64=False)
        body += head + packed[name]
        # versions, then what the head says, then no comment, no disk, attributes, and where it is
        index += b"PK\x01\x02\x14\x03" + head[4:30] + bytes(6)
        index += struct.pack("<LL", entry.external_attr, begin) + name.encode()
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *[len(files)] * 2, len(index), len(body), 0)
    return bytes(body + index + end)


def check_sums(files: Mapping[str, bytes]) -> list[PackFinding]:
    """Each file that is not as ``SHA256SUMS`` has it, is missing, or is not in it."""
    data = files.get(SUMS)
    if data is None:
        return [PackFinding(SUMS, "missing", "Without it nothing can be checked.")]
    sums: dict[str, str] = {}
    findings = []
    for line in data.decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        if not re.fullmatch("[0-9a-f]{64}", digest) or not _NAME.fullmatch(name) or name in sums:
            findings.append(
                PackFinding(SUMS, "damaged", f"A line is not ours: {as_printable(line)[:99]}")
            )
        sums[name] = digest
    for name in sorted(sums.keys() | files.keys() - {SUMS}):
        if name not in files:
            if _NAME.fullmatch(name):
                findings.append(
                    PackFinding(name, "missing", "It is in SHA256SUMS, and not in the pack.")
                )
        elif name not in sums:
            findings.append(PackFinding(as_printable(name), "extra", "It is not in SHA256SUMS."))
        elif hashlib.sha256(files[name]).hexdigest() != sums[name]:
            message = "Its sum is not that of SHA256SUMS: it was changed, or its line there."
            findings.append(PackFinding(name, "changed", message))
    return findings
