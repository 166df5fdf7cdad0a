"""Vega-Lite specifications drawn as SVG, in a process of its own.

In: specifications. Out: SVG. Vega takes most of a second to start, and holds Python's lock while it
draws; in a process of its own it does both while the views are asked. There it lays texts out with the
fonts that it brings: they are the same everywhere, and of the machine's it would open dozens of files
for each text, which took a third of its time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import vl_convert

_FONTS = Path(__file__).with_name("bundled_fonts.conf")
_PROGRAM = """\
import json, sys, vl_convert
vl_convert.vegalite_to_svg({"data": {"values": []}, "mark": "bar"})  # it starts with the first
for line in sys.stdin:
    print(json.dumps(vl_convert.vegalite_to_svg(line)), flush=True)
"""


class Drawing:
    """Draws until it is closed, one picture after the other; starts when it is made.

    Where no process can be started, or it ends (a machine short of memory), this one draws, with the
    fonts of the machine.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        with suppress(OSError):
            self._process = subprocess.Popen(  # noqa: S603 - the program above, by this interpreter
                [sys.executable or "", "-P", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ
                | {
                    "PYTHONPATH": os.pathsep.join(sys.path),  # to find what this found
                    "FONTCONFIG_FILE": str(_FONTS),
                },
                encoding="utf-8",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def svg(self, spec: dict[str, Any]) -> str:
        """The picture of a specification."""
        svg: str
        if self._process is not None:
            there, back = self._process.stdin, self._process.stdout
            assert there is not None and back is not None  # noqa: S101, PT018 - both are pipes
            try:
                there.write(json.dumps(spec) + "\n")
                there.flush()
                svg = json.loads(back.readline())
            except (OSError, ValueError):  # it has ended
                self._process.kill()
            else:
                return svg
        svg = vl_convert.vegalite_to_svg(spec)
        return svg
