"""What is written about a lake stands outside of it: inside, it would be a foreign file among its own.

In: where a file is to be written. Out: nothing, or an error.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError
from ..settings.values import Place
from ..whole_files import path_text
from .storage.layout import LAKE_KEY
from .storage.urls import local_root, scheme_of


def check_outside(out: Place, lake: Place | None = None) -> None:
    """Refuse a place inside a lake's folder, links followed: inside `lake`, or inside any other.

    Raises:
        ConfigError: the place lies in a lake, or is one.
    """
    roots = []
    if lake is not None and scheme_of(address := path_text(lake, "lake")) in ("", "file"):
        roots.append(Path(os.path.realpath(local_root(address))))
    place = Path(os.path.realpath(Path(path_text(out, "out")).expanduser()))
    for folder in (place, *place.parents):
        if folder in roots or _is_lake(folder):
            raise ConfigError(
                f"{out} lies in the lake {folder}, which holds its own files only. Write it to a "
                "place outside, such as beside it."
            )


def _is_lake(folder: Path) -> bool:
    try:
        return (folder / LAKE_KEY).exists()
    except OSError:  # a name that no folder can have, or one that may not be entered
        return False
