"""Nothing but a sync writes into a lake: rows without ledger columns would cost its history.

In: where a file is to be written. Out: nothing, or an error.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from glob import glob
from pathlib import Path
from typing import Final

from .errors import ConfigError

LAKE_MARK: Final = "_meta/lake.json"
"""By this file the folder of a lake is known."""
_MANIFESTS: Final = "_meta/*/manifest.json"
"""By these it is known where that file is lost."""


def refuse_lakes(out: Path, lakes: Collection[Path] = ()) -> None:
    """Refuse a place inside one of these lakes' folders or any other's, links followed.

    Raises:
        ConfigError: the place lies in a lake, or is one.
    """
    place = Path(os.path.realpath(out))
    for folder in (place, *place.parents):
        is_marked = os.path.exists(folder / LAKE_MARK)  # noqa: PTH110 - Path's raises
        is_lake = is_marked or glob(_MANIFESTS, root_dir=folder)  # noqa: PTH207 - Path's raises
        if folder in lakes or is_lake:
            raise ConfigError(
                f"{out} lies in the lake {folder}, which holds its own files only. Write it to a "
                "place outside, such as beside it."
            )
