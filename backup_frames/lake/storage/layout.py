"""Which file is where: the keys of a lake, made and read.

In: table, partition date, project, run. Out: keys such as
``backups/date=2026-01-31/<project_id>.parquet``; and for any key of a listing what it is, so that
foreign files are never read and never deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Final, Literal, NamedTuple

from ...lake_folder import LAKE_MARK

LAKE_KEY: Final = LAKE_MARK
TABLE_NAMES: Final = ("backup_databases", "backup_tables", "backups")
"""The tables in partitions by date, children first."""
CHANGES_OF: Final = {"backup_policy_changes": "backup_policies", "instance_changes": "instances"}
"""The tables of changes, and whose values changed."""
INVENTORY_NAMES: Final = ("instances", "backup_policies", *CHANGES_OF)
"""The tables in one file per project; written from the last to the first."""
RUNS: Final = "sync_runs"

_PROJECT = r"(?P<project>[A-Za-z0-9_-]{1,64})"
# A folder's temporary files; the object that asks a bucket for the time; what a check writes.
_TEMPORARY = "([0-9a-f]{32}|clock|check)"
_DATE = r"date=(?P<date>\d{4}-\d{2}-\d{2})"
_KEYS: tuple[tuple[str, str], ...] = (
    ("table", rf"(?P<table>{'|'.join(TABLE_NAMES)})/{_DATE}/{_PROJECT}\.parquet"),
    ("run", rf"(?P<table>{RUNS})/{_DATE}/{_PROJECT}-(?P<run>\d{{8}}T\d{{12}}Z(?:-\d+)?)\.parquet"),
    ("inventory", rf"(?P<table>{'|'.join(INVENTORY_NAMES)})/{_PROJECT}\.parquet"),
    ("lake", re.escape(LAKE_KEY)),
    ("record", rf"_meta/{_PROJECT}/(manifest|state|pending)\.json"),
    # tmp.lock is of a store's check, should it have died.
    ("scratch", rf"_meta/{_PROJECT}/(lock|tmp\.lock|tmp/{_TEMPORARY})"),
)
_FOLDERS = re.compile(
    rf"_meta(/iceberg\.db|/{_PROJECT}(/tmp)?)?|({'|'.join((*TABLE_NAMES, RUNS))})(/{_DATE})?"
    rf"|{'|'.join(INVENTORY_NAMES)}"
)
_PATTERNS = tuple((kind, re.compile(pattern)) for kind, pattern in _KEYS)

Kind = Literal["table", "run", "inventory", "lake", "record", "scratch"]


class KeyParts(NamedTuple):
    """What a key of the layout names; None where it names none."""

    kind: Kind
    table: str | None
    partition: date | None
    project_id: str | None
    run_id: str | None = None


def run_key(day: date, project_id: str, run_id: str) -> str:
    """The key of a run's row."""
    return f"{RUNS}/date={day.isoformat()}/{project_id}-{run_id}.parquet"


def inventory_key(table: str, project_id: str) -> str:
    """The key of a project's one file of a table of `INVENTORY_NAMES`."""
    return f"{table}/{project_id}.parquet"


def meta_key(project_id: str, name: str) -> str:
    """The key of a project's record: ``manifest.json``, ``state.json``, ``lock`` and so on."""
    return f"_meta/{project_id}/{name}"


def known_projects(keys: Iterable[str]) -> set[str]:
    """The projects with records or runs among these keys: files of any other are foreign.

    Where nobody has any, as in a lake that lost them all, every project that is named counts.
    """
    named = [one for one in map(parse_key, keys) if one and one.project_id]
    known = {str(one.project_id) for one in named if one.kind in ("record", "run")}
    return known or {str(one.project_id) for one in named if one.kind != "scratch"}


def is_temporary(name: str) -> bool:
    """Whether a file in a scratch folder is one that a store made there."""
    return re.fullmatch(_TEMPORARY, name) is not None


def is_ours(path: str) -> bool:
    """Whether a folder or file is one of the layout's, by its name."""
    return _FOLDERS.fullmatch(path) is not None or parse_key(path) is not None


def is_data_file(path: str) -> bool:
    """Whether it is named like a file of rows: what is wrong with one is wrong with its partition."""
    parts = parse_key(path)
    return parts is not None and parts.kind in ("table", "run", "inventory")


def parse_key(key: str) -> KeyParts | None:
    """What a key names, None if it is not of the layout: foreign."""
    for kind, pattern in _PATTERNS:
        match = pattern.fullmatch(key)
        if match is None:
            continue
        names = match.groupdict()
        try:
            partition = date.fromisoformat(names["date"]) if "date" in names else None
        except ValueError:
            return None
        table, project_id, run_id = map(names.get, ("table", "project", "run"))
        return KeyParts(kind, table, partition, project_id, run_id)  # type: ignore[arg-type]  # kinds above
    return None
