"""Huawei Cloud GeminiDB backups as verified pandas/Arrow tables and a Parquet lake.

In: nothing at import; each name below loads its module when it is first used, so that
``import backup_frames`` and ``backup-frames --version`` stay light. Out: the public names.

    >>> import backup_frames as bf
    >>> from backup_frames.sandbox import Sandbox
    >>> with Sandbox(backups=200, seed=1) as box:
    ...     frames = bf.read_backups(
    ...         endpoint=box.endpoint, project_id=box.project_id, token=box.token
    ...     )
    >>> frames.certificate.verdict
    'complete'
"""

from __future__ import annotations

from importlib import import_module

from .version import VERSION

TYPE_CHECKING = False  # as checkers read it; `typing` costs 10 ms, and --version needs it not
if TYPE_CHECKING:
    from typing import Any

    from . import insight
    from .errors import (
        AuthError,
        BackupFramesError,
        ConfigError,
        FetchError,
        IncompleteReadError,
        LakeConflictError,
        LakeError,
        MissingExtraError,
        PageError,
        QueryError,
        RejectedError,
        SchemaError,
        ThrottledError,
        UnavailableError,
    )
    from .frames.flatten import ArrowFrames, flatten_pages
    from .frames.frames import BackupFrames
    from .lake.lake import Lake, open_lake
    from .read.one_liners import (
        plan_read,
        read_backups,
        read_instances,
        read_policies,
        scan_backups,
    )
    from .read.service import ReadPlan
    from .scan.certificate import Certificate
    from .settings import Settings, load_projects, load_settings
    from .sync.maintenance.verify import Finding, verify_lake
    from .sync.one_project import SyncReport, sync_backups
    from .sync.service import Service, connect

__version__ = VERSION

_NAMES = {  # by their modules; all others are errors
    "frames.flatten": ("ArrowFrames", "flatten_pages"),
    "frames.frames": ("BackupFrames",),
    "read.one_liners": (
        "plan_read",
        "read_backups",
        "read_instances",
        "read_policies",
        "scan_backups",
    ),
    "read.service": ("ReadPlan",),
    "lake.lake": ("Lake", "open_lake"),
    "sync.one_project": ("SyncReport", "sync_backups"),
    "sync.service": ("Service", "connect"),
    "sync.maintenance.verify": ("Finding", "verify_lake"),
    "scan.certificate": ("Certificate",),
    "settings": ("Settings", "load_projects", "load_settings"),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [
    "ArrowFrames",
    "AuthError",
    "BackupFrames",
    "BackupFramesError",
    "Certificate",
    "ConfigError",
    "FetchError",
    "Finding",
    "IncompleteReadError",
    "Lake",
    "LakeConflictError",
    "LakeError",
    "MissingExtraError",
    "PageError",
    "QueryError",
    "ReadPlan",
    "RejectedError",
    "SchemaError",
    "Service",
    "Settings",
    "SyncReport",
    "ThrottledError",
    "UnavailableError",
    "connect",
    "flatten_pages",
    "insight",
    "load_projects",
    "load_settings",
    "open_lake",
    "plan_read",
    "read_backups",
    "read_instances",
    "read_policies",
    "scan_backups",
    "sync_backups",
    "verify_lake",
]

_BEGIN = ("read_backups", "sync_backups", "open_lake", "verify_lake", "insight", "sandbox")
_ELSEWHERE = {
    "Sandbox": "sandbox",
    "charts": "insight",
    "connect_lake": "insight",
    "publish_lake": "insight",
    "write_report": "insight",
}


def __getattr__(name: str) -> Any:
    if name == "insight":
        return import_module(".insight", __name__)
    if name not in __all__:
        raise AttributeError(f"module 'backup_frames' has no attribute {name!r}{_meant(name)}")
    value = getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def _meant(name: str) -> str:
    """Where to look for a name that is not here; nothing for those that tools look for."""
    if name.startswith("_"):
        return ""
    from difflib import get_close_matches  # noqa: PLC0415 - for this message alone

    if name in _ELSEWHERE:
        return f"; it is in backup_frames.{_ELSEWHERE[name]}"
    known = {one.lower(): one for one in __all__}
    close = get_close_matches(name.lower(), known, n=1)
    likely = f"Did you mean {known[close[0]]}?" if close else f"There are {', '.join(_BEGIN)}."
    return f". {likely} help(backup_frames) tells more."


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
