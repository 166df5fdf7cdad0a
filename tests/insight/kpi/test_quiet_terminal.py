"""DuckDB draws a progress bar into terminals by itself; this package draws its own."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import backup_frames

ASKED = """
from backup_frames.insight.kpi.relations import open_memory
print(open_memory().execute("SELECT current_setting('enable_progress_bar')").fetchall())
"""


def test_no_bar_is_drawn_into_a_terminal() -> None:
    """On a terminal, where DuckDB switches its bar on, every connection of ours has it off."""
    terminal, end = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", ASKED], stdin=end, stdout=end, stderr=end, timeout=120, check=True
    )
    printed = os.read(terminal, 4096)
    os.close(end)
    os.close(terminal)
    assert b"(False,)" in printed, printed


def test_no_connection_is_opened_elsewhere() -> None:
    """One place opens DuckDB, so that none is forgotten."""
    root = Path(backup_frames.__file__).parent
    texts = {path: path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    opening = {path.name for path, text in texts.items() if re.search(r"= duckdb\.connect\(", text)}
    assert opening == {"relations.py"}
