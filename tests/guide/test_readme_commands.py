"""The README's commands in a shell that knows nothing but what the README says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from guide.documents import ROOT, blocks_of

from backup_frames.sandbox import Sandbox

BARE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "BROWSER": "true"}


@pytest.mark.slow  # a process for each line
def test_every_command_of_the_readme_works_in_a_bare_shell(tmp_path: Path) -> None:
    """After its first command and `activate`, each line ends as the README says."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    lines = []
    for block in blocks_of((ROOT / "README.md").read_text("utf-8")):
        is_activation = ".venv/bin/activate" in block.code
        if block.language == "sh" and (block.runs or is_activation):
            lines += [(line, block.exit_code) for line in block.code.splitlines() if line]
    assert len(lines) >= 6
    script = "".join(f"{line}; test $? -eq {code} || exit 99\n" for line, code in lines)
    with Sandbox(backups=60, seed=7) as box:
        done = subprocess.run(
            ["/bin/sh", "-xc", script], cwd=tmp_path, env=BARE | box.environment(),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "my-lake.html" in os.listdir(tmp_path)  # noqa: PTH208 - names
