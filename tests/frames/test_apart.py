"""Files that nobody vouches for: decoded elsewhere, told as ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from backup_frames.errors import LakeError
from backup_frames.frames import partitions
from backup_frames.frames.partitions import _end, decode_apart, encode_table
from backup_frames.frames.schema import BACKUPS
from backup_frames.sync.maintenance.flips import check_pages


def test_rows_and_descriptions_come_through() -> None:
    """A sound file comes out as it was written, columns' descriptions included, time and again."""
    table = BACKUPS.empty_table()
    names = pa.table({"name": ["ü", None, "x" * 100_000]})
    for _ in range(2):
        assert decode_apart(encode_table(table)).schema.equals(BACKUPS, check_metadata=True)
        assert decode_apart(encode_table(names)).sort_by("name") == names.sort_by("name")


def test_files_of_the_current_folder_are_no_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who works where a file is named like a library reads files nevertheless."""
    (tmp_path / "pyarrow.py").write_text("raise ImportError")
    monkeypatch.chdir(tmp_path)
    data = encode_table(pa.table({"name": [str(one) for one in range(500)]}))
    _end()  # of the tests before
    assert decode_apart(data).num_rows == 500
    assert check_pages(data) == ([], False)
    at = len(data) // 3
    assert check_pages(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]) != ([], False)


def test_after_a_file_that_ends_the_process_the_next_is_read() -> None:
    """Each of them is an error of its own, and costs no other file."""
    whole = encode_table(pa.table({"name": ["a", "b", None]}))
    data = bytearray(whole)
    data[len(data) - 8 - int.from_bytes(data[-8:-4], "little") + 20] ^= 4
    for _ in range(2):
        with pytest.raises(LakeError, match="ends the process"):
            decode_apart(bytes(data))
        with pytest.raises(LakeError, match="not an intact Parquet file"):
            decode_apart(whole[:-9])
        assert decode_apart(whole).num_rows == 3


def test_what_ends_a_program_is_no_damage_of_a_file() -> None:
    """Ctrl-C goes to all processes of a terminal's program: not to the one that decodes."""
    decode_apart(encode_table(BACKUPS.empty_table()))
    assert partitions._process is not None
    assert os.getpgid(partitions._process.pid) != os.getpgrp()


FORKED = """
import os, sys
import pyarrow as pa
from backup_frames.frames import partitions

data = partitions.encode_table(pa.table({"name": ["a", "b", None]}))
with partitions._process_lock:  # another thread waits for an answer
    if not (child := os.fork()):
        os._exit(partitions.decode_apart(data).num_rows != 3)
sys.exit(os.waitpid(child, 0)[1])
"""


def test_a_process_forked_while_one_waits_for_an_answer_reads_on() -> None:
    """It starts a process of its own, and waits for nobody who is not in it."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED], check=False, timeout=60, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
