"""No setting of the machine's own reaches the tests of this folder."""

from __future__ import annotations

import os

import pytest
from support.real_lab import FOREIGN


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
