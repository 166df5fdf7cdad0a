"""Inside a lake nothing is a link: what is behind one is neither read, nor replaced, nor removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.lake_service import DAY, HOUR, PROJECT, World, sync

from backup_frames.errors import LakeError
from backup_frames.lake.lake import open_lake
from backup_frames.lake.storage import local as local_store
from backup_frames.lake.storage.store import Store
from backup_frames.lake.storage.urls import open_store
from backup_frames.sync.maintenance.verify import verify_lake

META = f"_meta/{PROJECT}"
DAY_FOLDER = "backups/date=2025-12-31"
LINKED = [
    "_meta",
    META,
    f"{META}/tmp",
    f"{META}/manifest.json",
    f"{META}/state.json",
    f"{META}/lock",
    "_meta/lake.json",
    "backups",
    "backup_tables",
    "sync_runs",
    DAY_FOLDER,
    "instances",
    "_meta/another-project",
]


@pytest.fixture
def world() -> World:
    made = World()
    made.fill(days=1)
    return made


@pytest.fixture
def lake(tmp_path: Path, world: World) -> Path:
    """A lake on disk, and a change that the next sync will write on 2025-12-31 and after."""
    folder = tmp_path / "lake"
    sync(world.service, store_of(folder))
    (folder / META / "tmp").mkdir(exist_ok=True)
    world.clock.advance(HOUR)
    world.service.remove(world.ids()[-1])
    world.service.add(world.clock.now())
    return folder


def store_of(folder: Path) -> Store:
    return open_store(str(folder), scratch=f"{META}/tmp")


def tree(root: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def move_behind_link(lake: Path, path: str, outside: Path) -> None:
    """What stands there goes elsewhere, with more of somebody's files, and a link comes back."""
    real, place = outside / "theirs", lake / path
    outside.mkdir()
    if place.exists():
        place.rename(real)
    else:
        real.mkdir()
    if real.is_dir():
        (real / "deep").mkdir()
        for name in ("deep/mine", "mine", "0af" * 10 + "00", "date=2026-01-01"):
            (real / name).exists() or (real / name).write_bytes(b"mine")
    place.symlink_to(real)


@pytest.mark.parametrize("path", LINKED)
def test_a_link_in_the_lake_is_refused(world: World, lake: Path, tmp_path: Path, path: str) -> None:
    """A sync, verify and whoever reads it name the link; behind it not a byte changes."""
    move_behind_link(lake, path, tmp_path / "outside")
    before, inside = tree(tmp_path / "outside"), tree(lake)
    calls = [lambda: verify_lake(str(lake))]
    if path.endswith(".parquet") and path.startswith("backups/"):  # one old file costs itself only
        report = sync(world.service, store_of(lake))
        assert (report.exit_code, report.damaged) == (5, (path,))
        assert any(f"{lake}/{path} is a link" in reason for reason in report.reasons)
        inside = tree(lake)
    else:
        calls.append(lambda: sync(world.service, store_of(lake)))
    for call in calls:
        with pytest.raises(LakeError, match=f"{lake}/{path} is a link") as caught:
            call()
        assert caught.value.path == path
    if path not in (f"{META}/lock", f"{META}/state.json", "instances", "sync_runs"):
        with pytest.raises(LakeError, match=f"{lake}/{path} is a link"):
            open_lake(str(lake)).tables()
    assert tree(tmp_path / "outside") == before
    (lake / META / "lock").exists()
    assert {n: d for n, d in tree(lake).items() if n != f"{META}/lock"} == {
        n: d for n, d in inside.items() if n != f"{META}/lock"
    }


def test_a_link_for_a_data_file_is_damage_of_one_partition(
    world: World, lake: Path, tmp_path: Path
) -> None:
    """It is named and not followed; what else there is to write is written."""
    path = f"{DAY_FOLDER}/{PROJECT}.parquet"
    move_behind_link(lake, path, tmp_path / "outside")
    before = tree(tmp_path / "outside")
    report = sync(world.service, store_of(lake), is_full=True)
    assert (report.exit_code, report.damaged, report.counts["new"]) == (5, (path,), 1)
    assert f"{lake}/{path} is a link" in " ".join(report.reasons)
    (finding,) = verify_lake(str(lake))
    assert (finding.path, finding.kind) == (path, "damaged")
    assert "is a link" in finding.message
    with pytest.raises(LakeError, match=f"{lake}/{path} is a link"):
        open_lake(str(lake)).backups()
    assert tree(tmp_path / "outside") == before
    assert (lake / path).is_symlink()


def test_foreign_files_stay_and_are_listed(world: World, lake: Path, tmp_path: Path) -> None:
    """Of files, folders and links that are none of a lake's, nothing is read and all is named."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "x.parquet").write_bytes(b"theirs")
    foreign = {
        "notes.txt": b"mine",
        "exports/deep/a.parquet": b"mine",
        f"{DAY_FOLDER}/part-0.parquet.crc": b"mine",
        f"{META}/tmp/mine": b"mine",
        f"{META}/tmp/deep/{'0af' * 10}00": b"mine",
        f"{META}/manifest.json.bak": b"mine",
    }
    for path, data in foreign.items():
        (lake / path).parent.mkdir(parents=True, exist_ok=True)
        (lake / path).write_bytes(data)
    links = ["elsewhere", f"{DAY_FOLDER}/more", f"{META}/tmp/folder", "dangling"]
    for path in links:
        (lake / path).symlink_to(tmp_path / ("nowhere" if path == "dangling" else "theirs"))
    os.mkfifo(lake / "pipe")
    (lake / META / "tmp" / ("0af" * 10 + "00")).write_bytes(b"of a dead run")
    sync(world.service, store_of(lake))
    assert not (lake / META / "tmp" / ("0af" * 10 + "00")).exists()
    assert {path: (lake / path).read_bytes() for path in foreign} == foreign
    assert (tmp_path / "theirs" / "x.parquet").read_bytes() == b"theirs"
    found = verify_lake(str(lake))
    assert {finding.kind for finding in found} == {"foreign"}
    assert sorted(finding.path for finding in found) == sorted([*foreign, *links, "pipe"])
    assert open_lake(str(lake)).backups().num_rows == len(world.service.backups)


def test_a_pipe_in_the_place_of_a_file_is_an_error(world: World, lake: Path) -> None:
    """What is no regular file is not opened for reading: that could wait for ever."""
    (lake / META / "manifest.json").unlink()
    os.mkfifo(lake / META / "manifest.json")
    with pytest.raises(LakeError, match="no regular file"):
        sync(world.service, store_of(lake))


def between(patched: pytest.MonkeyPatch, name: str, act: Callable[[], None]) -> None:
    """Do something once, right after the store has called a function."""
    real, is_done = getattr(local_store, name), False

    def call(*arguments: object, **options: object) -> object:
        nonlocal is_done
        result = real(*arguments, **options)
        if not is_done:
            is_done = True
            act()
        return result

    patched.setattr(local_store, name, call)


def test_a_link_that_comes_meanwhile_is_refused(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is a link since the temporary file was written: the put ends there."""
    store, key = store_of(lake), f"{DAY_FOLDER}/{PROJECT}.parquet"
    between(
        monkeypatch,
        "fill_file",
        lambda: move_behind_link(lake, DAY_FOLDER, tmp_path / "outside"),
    )
    with pytest.raises(LakeError, match=f"{DAY_FOLDER} is a link"):
        store.put(key, b"new")
    assert (tmp_path / "outside" / "theirs" / f"{PROJECT}.parquet").read_bytes() != b"new"
    with pytest.raises(LakeError, match=f"{DAY_FOLDER} is a link"):
        store.delete(key)
    with pytest.raises(LakeError, match=f"{DAY_FOLDER} is a link"):
        store.read(key)
    assert (tmp_path / "outside" / "theirs" / f"{PROJECT}.parquet").exists()


def test_a_folder_that_is_swapped_for_a_link_is_not_left(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swapped after the folder was opened: what happens, happens in the folder that was opened."""
    store, key = store_of(lake), f"{DAY_FOLDER}/{PROJECT}.parquet"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / f"{PROJECT}.parquet").write_bytes(b"theirs")

    def swap() -> None:
        (lake / DAY_FOLDER).rename(lake / "moved")
        (lake / DAY_FOLDER).symlink_to(outside)

    between(monkeypatch, "_is_link", swap)
    store.delete(key)
    assert (outside / f"{PROJECT}.parquet").read_bytes() == b"theirs"
    assert not (lake / "moved" / f"{PROJECT}.parquet").exists()
    with pytest.raises(LakeError, match="is a link"):
        store.delete(key)


def test_a_lake_behind_a_link_is_a_lake(world: World, lake: Path, tmp_path: Path) -> None:
    """The lake's own folder, or one above it, may be a link: syncs and readers follow it."""
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "link").symlink_to(lake)
    (tmp_path / "link").symlink_to(tmp_path / "above")
    url = str(tmp_path / "link" / "link")
    world.clock.advance(DAY)
    sync(world.service, open_store(url, scratch=f"{META}/tmp"))
    assert verify_lake(url) == []
    assert open_lake(url).backups().num_rows == len(world.service.backups)
