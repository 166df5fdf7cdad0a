"""Records that belong together name each other: one of another moment, lake or project is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.lake_service import DAY, HOUR, PROJECT, START, World, rows_of, sync

from backup_frames.lake.ledger.metadata import (
    LakeRecord,
    Manifest,
    Pending,
    State,
    decode_record,
    encode_record,
)
from backup_frames.sync.maintenance.check import check_lake

META = f"_meta/{PROJECT}"
Files = dict[str, bytes]


@pytest.fixture
def moments(world: World) -> tuple[World, Files, Files]:
    """A lake, its files before the last sync and after it; four backups went in that one."""
    before = dict(world.store.files)
    world.service.remove(*world.ids()[8:12])
    world.service.add(START - 3 * DAY + HOUR / 5)
    world.sync()
    return world, before, dict(world.store.files)


def newer_state(before: Files, after: Files) -> Files:
    return before | {f"{META}/state.json": after[f"{META}/state.json"]}


def older_state(before: Files, after: Files) -> Files:
    return after | {f"{META}/state.json": before[f"{META}/state.json"]}


def older_tables(before: Files, after: Files) -> Files:
    tables = {key: data for key, data in before.items() if key.startswith("backup")}
    return tables | {f"{META}/{n}": after[f"{META}/{n}"] for n in ("state.json", "manifest.json")}


def state_of_another_lake(before: Files, after: Files) -> Files:
    state = decode_record(after[f"{META}/state.json"], State)
    assert state is not None
    state.lake_id = "another"
    state.days.clear()
    return after | {f"{META}/state.json": encode_record(state)}


def state_of_another_project(before: Files, after: Files) -> Files:
    state = decode_record(after[f"{META}/state.json"], State)
    assert state is not None
    state.project_id = "another"
    state.days.clear()
    return after | {f"{META}/state.json": encode_record(state)}


def manifest_of_another_project(before: Files, after: Files) -> Files:
    return after | {f"{META}/manifest.json": encode_record(Manifest("another", "day"))}


def manifest_of_another_lake(before: Files, after: Files) -> Files:
    manifest = encode_record(Manifest(PROJECT, "day", lake_id="another"))
    return after | {f"{META}/manifest.json": manifest}


def pending_of_another_moment(before: Files, after: Files) -> Files:
    manifest = decode_record(before[f"{META}/manifest.json"], Manifest)
    assert manifest is not None
    files = {key: [entry] for key, entry in manifest.files.items()}
    pending = Pending(PROJECT, "run", 0, files, manifests=["of then"])
    return after | {f"{META}/pending.json": encode_record(pending)}


def no_lake_record(before: Files, after: Files) -> Files:
    return {key: data for key, data in after.items() if key != "_meta/lake.json"}


MIXES: list[Callable[[Files, Files], Files]] = [
    newer_state,
    older_state,
    state_of_another_lake,
    state_of_another_project,
    manifest_of_another_project,
    manifest_of_another_lake,
    pending_of_another_moment,
]


@pytest.mark.parametrize("mix", MIXES)
def test_a_mixed_lake_costs_requests_never_data(
    moments: tuple[World, Files, Files], mix: Callable[[Files, Files], Files]
) -> None:
    """verify says so, one sync makes the lake what it should be, and verify is silent."""
    world, before, after = moments
    world.store.files = mix(before, after)
    assert "mismatch" in {finding.kind for finding in check_lake(world.store)}
    report = sync(world.service, world.store)
    assert (report.exit_code, report.is_full) == (0, True)
    rows = rows_of(world.store)
    assert {one for one, row in rows.items() if row["gone_at"] is None} == set(world.ids())
    assert all(row["first_seen_at"] <= report.as_of for row in rows.values())
    assert len(rows) == len(world.ledger.entries)
    assert check_lake(world.store) == []
    assert not sync(world.service, world.store).is_full


def test_older_tables_beside_newer_records_are_named(
    moments: tuple[World, Files, Files],
) -> None:
    """They are not as the manifest says: verify and a full sync name them."""
    world, before, after = moments
    world.store.files = {**after, **older_tables(before, after)}
    named = {finding.path for finding in check_lake(world.store)}
    assert named
    report = sync(world.service, world.store, is_full=True)
    assert report.exit_code == 5
    assert set(report.damaged) <= named


def test_a_lost_lake_record_is_written_again_with_the_lakes_id(
    moments: tuple[World, Files, Files],
) -> None:
    """The state stays good: it and the manifest tell which lake it was."""
    world, before, after = moments
    lake = decode_record(after["_meta/lake.json"], LakeRecord)
    assert lake is not None
    world.store.files = no_lake_record(before, after)
    world.store.url = "memory://moved"
    assert [finding.path for finding in check_lake(world.store)] == ["_meta/lake.json"]
    assert not world.sync(after=HOUR).is_full
    assert decode_record(world.store.read("_meta/lake.json"), LakeRecord) == lake
    assert check_lake(world.store) == []


def test_a_state_of_before_it_named_its_manifest_is_no_finding(world: World) -> None:
    """A lake that an earlier version wrote is sound, and costs one full read."""
    state = decode_record(world.store.read(f"{META}/state.json"), State)
    assert state is not None
    old = State(PROJECT, state.as_of_s, state.days, state.untimed)
    world.store.put(f"{META}/state.json", encode_record(old))
    assert check_lake(world.store) == []
    assert world.sync().is_full


def test_a_backup_that_stands_twice_is_found_and_one_row_after_a_full_sync(world: World) -> None:
    """As an earlier version left it: gone on one day, listed on another."""
    backup = world.service.backups[world.ids()[9]]
    begin, copy = backup.begin, dict(world.store.files)
    world.service.remove(backup.id)
    world.sync()
    backup.begin = begin + 2 * DAY
    other = World(memory=world.store.copy())
    other.store.files = copy
    day = f"backups/date={begin.date()}/{PROJECT}.parquet"
    stale = world.store.files[day]
    world.service.backups[backup.id] = backup
    world.service._index = None
    world.sync(after=HOUR)
    manifest = decode_record(world.store.read(f"{META}/manifest.json"), Manifest)
    assert manifest is not None
    world.store.files[day] = stale
    del world.store.files[f"{META}/manifest.json"]  # as if the records knew it so
    report = world.sync(after=HOUR)
    assert report.counts["gone"] == 0
    assert rows_of(world.store)[backup.id]["first_seen_at"] == START
