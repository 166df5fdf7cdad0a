"""How this program is started from a shell that knows nothing of it, from any folder.

In: how it was started. Out: words of a command that work as printed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

NAME = "backup-frames"
ABOUT_LAKES = ("query", "sync", "verify")


def own_command() -> str:
    """What to type: the name where every shell finds it, else the whole path.

    What an activated virtual environment adds to PATH is not counted: the next shell lacks it.
    """
    script = Path(sys.argv[0] if Path(sys.argv[0]).name == NAME else sys.executable)
    script = Path(os.path.abspath(script)).with_name(NAME)  # noqa: PTH100 - links stay: a venv is one
    activated = os.environ.get("VIRTUAL_ENV")
    folders = os.environ.get("PATH", "").split(os.pathsep)
    lasting = [one for one in folders if not activated or not one.startswith(activated)]
    found = shutil.which(NAME, path=os.pathsep.join(lasting))
    if found and script.is_file() and script.samefile(found):
        return NAME
    if script.is_file():
        return shlex.quote(str(script))
    return f"{shlex.quote(sys.executable)} -m backup_frames"


def whole_path(path: str | os.PathLike[str]) -> str:
    """A path, or a lake's address, as a shell takes it in whatever folder."""
    text = os.fspath(path)
    return shlex.quote(text if "://" in text else os.path.abspath(text))  # noqa: PTH100 - links stay


def as_typed(text: str, lake: str | os.PathLike[str] | None = None) -> str:
    """A message whose commands name their lake, as a shell takes it in whatever folder.

    Args:
        text: commands in it stand in backticks, and paths in them unquoted.
        lake: what commands about a lake are about that name none.
    """

    def command(found: re.Match[str]) -> str:
        name, words = found[1], found[2]
        words = re.sub(r"(?<= --lake )(.*?)(?= --|$)", lambda one: whole_path(one[1]), words)
        if lake is not None and name in ABOUT_LAKES and " --lake " not in words:
            words += f" --lake {whole_path(lake)}"
        return f"`{NAME} {name}{words}`"

    return re.sub(rf"`{NAME} ([a-z]+)([^`]*)`", command, text)
