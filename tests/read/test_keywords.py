"""The keywords of reads: named by each function's signature, and refused if they are none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import backup_frames as bf

CONNECTION = ["endpoint", "region", "project_id", "token", "settings", "transport", "clock"]
FILTERS = [
    *("instance_id", "instance_name", "datastore_type", "backup_id", "backup_type"),
    *("level", "begin", "end"),
]
OWN = ["allow_incomplete", "progress"]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (bf.read_backups, [*OWN, *CONNECTION, *FILTERS]),
        (bf.scan_backups, [*OWN, *CONNECTION, *FILTERS]),
        (bf.plan_read, [*CONNECTION, *FILTERS]),
        (bf.read_instances, CONNECTION),
        (bf.read_policies, ["instance_ids", *CONNECTION]),
        (bf.connect, CONNECTION),
        (bf.Service.read_backups, ["self", *OWN, *FILTERS]),
        (bf.Service.scan_backups, ["self", *OWN, *FILTERS]),
        (bf.Service.plan_read, ["self", *FILTERS]),
    ],
)
def test_a_signature_names_each_keyword(function: Callable[..., Any], names: list[str]) -> None:
    """`help` and notebooks that complete a call see every keyword, each with its type."""
    parameters = inspect.signature(function).parameters
    assert list(parameters) == names
    assert all(
        isinstance(one.annotation, str) for name, one in parameters.items() if name != "self"
    )


@pytest.mark.parametrize(
    "function", [bf.read_backups, bf.scan_backups, bf.plan_read, bf.Service.read_backups]
)
def test_another_keyword_is_refused(function: Callable[..., Any]) -> None:
    """A keyword that a function does not have is refused by its name, with the nearest, at once."""
    said = rf"{function.__name__}\(\) got .* 'instnace_id'. Did you mean 'instance_id'\?"
    with pytest.raises(TypeError, match=said):
        function(instnace_id="0a1b")
