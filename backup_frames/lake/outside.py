"""What is written about a lake stands outside of it: inside, it would be a foreign file among its own.

In: where a file, or a lake, is to be written. Out: nothing, or an error.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..lake_folder import refuse_lakes
from ..settings.values import Place
from ..whole_files import path_text
from .storage.urls import local_root, scheme_of


def check_outside(out: Place, lake: Place | None = None) -> None:
    """Refuse a place inside a lake's folder, links followed: inside `lake`, or inside any other.

    Raises:
        ConfigError: the place lies in a lake, or is one.
    """
    roots = []
    if lake is not None and scheme_of(address := path_text(lake, "lake")) in ("", "file"):
        roots.append(Path(os.path.realpath(local_root(address))))
    refuse_lakes(Path(path_text(out, "out")).expanduser(), roots)


def check_apart(lake: str) -> None:
    """Refuse to begin a lake inside another one's folder.

    Raises:
        ConfigError: there is no lake yet, and it would lie in one.
    """
    if scheme_of(lake) in ("", "file"):
        root = local_root(lake)
        if not os.path.exists(root / "_meta"):  # noqa: PTH110 - Path's raises
            check_outside(root)
