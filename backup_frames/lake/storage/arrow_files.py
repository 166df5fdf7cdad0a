"""A store as a file system for Arrow: read-only, each file fetched whole when it is opened.

In: a `Store`. Out: a `pyarrow.fs.FileSystem`, for lazy datasets over any kind of lake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pyarrow as pa
from pyarrow import fs

from ...errors import LakeError
from .store import Store


def open_file_system(store: Store, check: Callable[[str, bytes], object]) -> fs.FileSystem:
    """The store's files under their keys; `check` raises if one must not be decoded."""
    return fs.PyFileSystem(_StoreHandler(store, check))


class _StoreHandler(fs.FileSystemHandler):  # type: ignore[misc]  # pyarrow is untyped
    def __init__(self, store: Store, check: Callable[[str, bytes], object]) -> None:
        self._store = store
        self._check = check

    def get_type_name(self) -> str:
        return "lake"

    def normalize_path(self, path: str) -> str:
        return path

    def open_input_file(self, path: str) -> pa.NativeFile:
        data = self._store.read(path)
        if data is None:
            raise FileNotFoundError(path)
        self._check(path, data)
        return pa.BufferReader(data)

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return [self._info(path, self._store.read(path)) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        return [
            fs.FileInfo(file.key, fs.FileType.File, size=file.size)
            for file in self._store.list(selector.base_dir)
        ]

    def _info(self, path: str, data: bytes | None) -> fs.FileInfo:
        if data is None:
            return fs.FileInfo(path, fs.FileType.NotFound)
        return fs.FileInfo(path, fs.FileType.File, size=len(data))

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise LakeError(
            f"{self._store.url} is read-only for datasets. Change a lake with `backup-frames sync`."
        )

    copy_file = create_dir = delete_dir = delete_dir_contents = _refuse
    delete_root_dir_contents = delete_file = move = _refuse
    open_append_stream = open_output_stream = _refuse
