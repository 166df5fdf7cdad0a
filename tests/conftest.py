"""What all tests share: nothing of the machine's own settings, and the worlds that several rooms ask for."""

from __future__ import annotations

# ruff: noqa: PLC0415 - what is heavy loads inside the fixtures that need it
import gc
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from support.inventory_lab import Lab
    from support.lake_service import World

# The tests start hundreds of processes: without bytecode each would compile all it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
gc.set_threshold(50_000)  # as the command itself has it: imports make many objects and no garbage

_FOREIGN = ("BACKUP_FRAMES_", "HUAWEICLOUD_", "AWS_")


def pytest_configure() -> None:
    """Let no property fail because a machine is slow."""
    from hypothesis import settings

    settings.register_profile("any machine", deadline=None)
    settings.load_profile("any machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let each worker begin with files of its own: what those share is made once, not in every one."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than processors: a fifth of the time tests wait for servers and programs."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what collecting made: it stays, and is a fifth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(_FOREIGN) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)  # xdist sets it for its workers


class _Everything(set[Any]):
    def __contains__(self, _: object) -> bool:
        return True


@pytest.fixture(autouse=True, scope="session")
def _views_are_bound_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a process keeps of KPI views, the workers of a run keep in one folder, from the first time on."""
    from backup_frames.insight.kpi import catalog

    base = tmp_path_factory.getbasetemp()
    catalog._folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "views"
    catalog._folder.mkdir(exist_ok=True)
    catalog._asked = _Everything()


@pytest.fixture
def draws_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are drawn as where no process can be started: Vega starts once here, not for every page."""
    from backup_frames.insight.charts import drawing

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise OSError("no process here")

    monkeypatch.setattr(drawing, "subprocess", SimpleNamespace(Popen=refuse, PIPE=-1, DEVNULL=-3))


@pytest.fixture(scope="session")
def synced_world() -> World:
    """Six days of eight backups, in a lake that a full sync made an hour ago; tests change copies."""
    from support.lake_service import HOUR, World

    made = World()
    made.fill(days=6)
    assert made.sync().verdict == "complete"
    made.clock.advance(HOUR)
    return made


@pytest.fixture
def world(synced_world: World) -> World:
    """The same, to be changed."""
    return synced_world.copy()


@pytest.fixture
def empty_world() -> World:
    """A service without backups and a store without files."""
    from support.lake_service import World

    return World()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A sandbox with given records, and a lake of it."""
    from support.inventory_lab import START, Lab

    from backup_frames.sandbox import Sandbox

    with Sandbox(records={}, start=START) as box:
        yield Lab(tmp_path / "lake", box)


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """moto's S3 on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto_url(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lake's place in a bucket of its own there, and made-up keys."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/EXAMPLEKEY")
    bucket = uuid.uuid4().hex
    urlopen(Request(f"{moto_endpoint}/{bucket}", method="PUT")).close()
    return f"s3://{bucket}/some/lake?endpoint={moto_endpoint}"
