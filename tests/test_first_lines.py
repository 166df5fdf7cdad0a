"""First lines that people type wrongly in Python: each says what happened and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import backup_frames as bf
from backup_frames import insight
from backup_frames.errors import BackupFramesError
from backup_frames.sandbox import Sandbox

#: What is not in the package by that name, and what to look at instead.
NAMES = {
    "read_backup": "read_backups",
    "Read_Backups": "read_backups",
    "load": "read_backups",
    "open": "open_lake",
    "openlake": "open_lake",
    "verify": "verify_lake",
    "Sandbox": "backup_frames.sandbox",
    "write_report": "backup_frames.insight",
    "charts": "backup_frames.insight",
    "q": "help(backup_frames)",
}


class Account:
    """A sandbox, its lake and its frames, for the lines below."""

    def __init__(self, box: Sandbox, folder: Path) -> None:
        self.place: dict[str, Any] = {
            "endpoint": box.endpoint,
            "project_id": box.project_id,
            "token": box.token,
        }
        self.lake = folder / "lake"
        self.out = folder / "out"
        bf.sync_backups(lake=str(self.lake), **self.place)
        self.frames = bf.read_backups(**self.place)


LINES: dict[str, tuple[Callable[[Account], object], str]] = {
    "a lake made by hand": (lambda a: bf.Lake(str(a.lake)), r"open_lake\('.*lake'\)"),  # type: ignore[arg-type]  # wrong
    "a lake made of a path": (lambda a: bf.Lake(a.lake), r"open_lake\("),  # type: ignore[arg-type]  # wrong
    "frames made by hand": (lambda _: bf.BackupFrames("lake"), r"read_backups\(\).*type str"),  # type: ignore[arg-type]  # wrong
    "frames of a DataFrame": (
        lambda _: bf.BackupFrames(pd.DataFrame()),  # type: ignore[arg-type]  # wrong
        r"read_backups\(\).*type DataFrame",
    ),
    "no address": (lambda _: bf.open_lake(None), r"url is of type NoneType; give a path"),  # type: ignore[arg-type]  # wrong
    "bytes for a lake": (lambda _: bf.open_lake(b"lake"), r"url is of type bytes"),  # type: ignore[arg-type]  # wrong
    "a lake for its address": (
        lambda a: bf.verify_lake(bf.open_lake(a.lake)),  # type: ignore[arg-type]  # wrong
        r"lake is of type Lake; give a path",
    ),
    "frames for a lake": (
        lambda a: insight.connect_lake(a.frames),
        r"lake is of type BackupFrames",
    ),  # type: ignore[arg-type]  # wrong
    "a number for a lake": (lambda a: insight.write_report(7, a.out), r"lake is of type int"),  # type: ignore[arg-type]  # wrong
    "a number for a file": (lambda a: insight.publish_lake(a.lake, 7), r"path is of type int"),  # type: ignore[arg-type]  # wrong
    "a number for a folder": (lambda a: a.frames.write(7), r"path is of type int"),  # type: ignore[arg-type]  # wrong
    "a number for a workbook": (lambda a: a.frames.to_excel(7), r"file to write is of type int"),  # type: ignore[arg-type]  # wrong
    "no account": (lambda _: bf.read_backups(), r"Give endpoint= or region=, or export"),
    "no project": (
        lambda _: bf.read_backups(endpoint="https://a.invalid", token="t"),
        r"Give project_id= or export",
    ),
    "no config file": (lambda _: bf.load_settings("no.toml"), r"no\.toml: .*Check config="),
    "a chart of a path": (
        lambda a: insight.charts.stored_size(str(a.lake)),  # type: ignore[arg-type]  # wrong
        r"connect_lake\(\) or read_backups\(\), not from a str",
    ),
    "a chart of a DataFrame": (
        lambda a: insight.charts.stored_size(a.frames.backups),  # type: ignore[arg-type]  # wrong
        r"not from a DataFrame",
    ),
    "a theme that is none": (
        lambda a: insight.charts.stored_size(a.frames, theme="blue"),  # type: ignore[arg-type]  # wrong
        r"theme is 'blue'; use 'light', 'dark' or 'page'",
    ),
    "a width in words": (
        lambda a: insight.charts.stored_size(a.frames, width="wide"),  # type: ignore[arg-type]  # wrong
        r"width is 'wide'; give 200 pixels",
    ),
    "no width": (lambda a: insight.charts.stored_size(a.frames, width=0), r"width is 0; give 200"),
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with Sandbox(backups=30, seed=3) as box:
        yield Account(box, tmp_path_factory.mktemp("first"))


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ENDPOINT", "REGION", "PROJECT_ID", "TOKEN", "LAKE", "CONFIG"):
        monkeypatch.delenv(f"BACKUP_FRAMES_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("title", LINES)
def test_a_wrong_line_says_what_to_do(title: str, account: Account) -> None:
    """An error of this package, with what was given and what to give."""
    line, message = LINES[title]
    with pytest.raises(BackupFramesError, match=message):
        line(account)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_there_leads_to_one_that_is(name: str) -> None:
    """Close names, names that live in a part of the package, and where to look for all others."""
    with pytest.raises(AttributeError, match=f"no attribute '{name}'") as caught:
        getattr(bf, name)
    assert NAMES[name] in str(caught.value)
    for place in ("backup_frames.sandbox", "backup_frames.insight"):
        if NAMES[name] == place:
            part = insight if place.endswith("insight") else __import__(place, fromlist=[name])
            assert hasattr(part, name)


def test_tools_may_look_for_names() -> None:
    """A private name that is not there is an `AttributeError` without advice."""
    with pytest.raises(AttributeError, match=r"'__wrapped__'$"):
        _ = bf.__wrapped__
