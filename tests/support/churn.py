"""A list that changes while it is read, and remembers what was there all along."""

from __future__ import annotations

import random
from typing import Any

from backup_frames.sandbox import Fault, Sandbox


class Churn(Fault):
    """Between any two requests one backup leaves the list, one comes, and one changes."""

    def __init__(self, box: Sandbox, seed: int = 1) -> None:
        super().__init__()
        self._fleet = box.fleet
        self._dice = random.Random(seed)
        self._model = next(iter(box.fleet.records("Instance")))
        self._present = box.fleet.ids("Instance")
        self.held = set(box.fleet.ids())
        self.ever = set(self.held)
        self.count = 0

    def replace(self, _: Any, /) -> None:
        fleet, dice = self._fleet, self._dice
        with fleet.lock:
            gone = self._present.pop(dice.randrange(len(self._present)))
            fleet.delete(gone)
            self.held.discard(gone)
            self.count += 1
            new = f"{self.count:024x}br06"
            fleet.add({**self._model, "id": new})
            self.ever.add(new)
            fleet.update(dice.choice(self._present), status="FAILED")
