"""The list of sabotages fits the code; and, in the slow tier, each of them is caught."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from mutations import EQUIVALENT, MUTATIONS, Mutation
from runner import ROOT, find_line, read_package, sabotage


def test_every_sabotage_finds_its_line() -> None:
    """Each entry of the list stands at one place of the package, under a name of its own."""
    entries = [*MUTATIONS, *EQUIVALENT]
    assert len({one.name for one in entries}) == len(entries) >= 60
    package, lost = read_package(ROOT), []
    for one in entries:
        try:
            find_line(package, one)
        except LookupError as error:
            lost.append(str(error))
    assert not lost
    assert all(one.becomes != one.lines.splitlines()[-1] for one in entries)
    for name in {name for one in MUTATIONS for name in one.tests}:
        assert len(list((ROOT / "tests").rglob(name))) == 1, name


@pytest.mark.slow  # a minute each, and up to the whole commit tier for one that survives
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_sabotage_is_caught(mutation: Mutation) -> None:
    """The commit tier goes red when this one line is broken."""
    assert sabotage(mutation).is_caught
