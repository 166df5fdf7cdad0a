"""The public names, pinned; and what importing them costs."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib import resources
from importlib.metadata import version

import pytest

import backup_frames as bf
from backup_frames import errors

PUBLIC = [
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
HEAVY = ("pandas", "pyarrow", "numpy", "duckdb", "deltalake", "pyspark", "httpx", "altair")


def test_the_public_names_are_pinned() -> None:
    """Adding or removing a public name is a decision, made here."""
    assert sorted(bf.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_with_a_docstring(name: str) -> None:
    """Each name can be had from the root and says what it is."""
    assert len(getattr(bf, name).__doc__) > 40


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A typo says what it always says."""
    with pytest.raises(AttributeError, match="read_backup"):
        bf.read_backup  # noqa: B018  # the access is the test


def test_the_version_is_stated_once() -> None:
    """The version comes from the distribution's metadata."""
    assert bf.__version__ == version("backup-frames")


def test_importing_the_root_loads_nothing_heavy() -> None:
    """``import backup_frames`` loads no table, HTTP or SQL library."""
    code = "import sys, backup_frames; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & set(HEAVY)


def test_the_errors_of_the_root_have_one_root() -> None:
    """Every error is a BackupFramesError and has an exit code of DESIGN's table."""
    classes = [cls for cls in vars(errors).values() if isinstance(cls, type)]
    raised = [cls for cls in classes if issubclass(cls, Exception)]
    assert len(raised) >= 13
    for cls in raised:
        assert issubclass(cls, bf.BackupFramesError)
        assert cls.exit_code in {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("name", [name for name in PUBLIC if name.endswith("Error")])
def test_errors_survive_pickling(name: str) -> None:
    """Class, message and facts are the same after a trip to another process."""
    cls = getattr(bf, name)
    error = cls("it broke")
    for fact in vars(error):
        setattr(error, fact, "fact")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert (again.args, vars(again)) == (error.args, vars(error))


def test_the_package_is_typed() -> None:
    """The package ships py.typed, so that users' type checkers look into it."""
    assert (resources.files(bf) / "py.typed").is_file()
