"""One damaged file costs its own partition, until it is repaired, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

import pyarrow as pa
import pytest
from support.lake_service import DAY, HOUR, PROJECT, START, World, rows_of, sync, table_of
from support.stores import MemoryStore

from backup_frames.errors import LakeError
from backup_frames.frames.partitions import decode_table, encode_table
from backup_frames.lake.ledger.metadata import State, decode_record
from backup_frames.sync.maintenance.check import check_lake
from backup_frames.sync.maintenance.flips import undo_flip
from backup_frames.sync.maintenance.repair import repair_project
from backup_frames.sync.maintenance.salvage import salvage_table

OLD_DAY = (START - 4 * DAY).date()
MANIFEST = f"_meta/{PROJECT}/manifest.json"
STATE = f"_meta/{PROJECT}/state.json"
Harm = Callable[[MemoryStore, str], None]


def flip(store: MemoryStore, key: str, at: float = 0.4) -> None:
    data = bytearray(store.files[key])
    data[int(len(data) * at)] ^= 8
    store.files[key] = bytes(data)


def cut(store: MemoryStore, key: str) -> None:
    store.files[key] = store.files[key][:-9]


def lose(store: MemoryStore, key: str) -> None:
    del store.files[key]


def empty(store: MemoryStore, key: str) -> None:
    store.files[key] = b""


def lock_away(store: MemoryStore, key: str) -> None:
    """As a file without permission, or a bad sector."""
    read = store.read

    def refuse(wanted: str) -> bytes | None:
        if wanted == key:
            raise LakeError(f"{key} cannot be read: Permission denied.", path=key)
        return read(wanted)

    store.read = refuse  # type: ignore[method-assign]


def change_schema(store: MemoryStore, key: str) -> None:
    table = decode_table(store.files[key])
    store.files[key] = encode_table(table.drop_columns(table.column_names[-1:]))


HARMS: list[Harm] = [flip, cut, lose, empty, lock_away, change_schema]


def path_of(table: str = "backups") -> str:
    return f"{table}/date={OLD_DAY}/{PROJECT}.parquet"


def repair(world: World) -> list[object]:
    reader = world.service.reader()
    return [*repair_project(reader, world.store, project_id=PROJECT, clock=world.clock)]


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("harm", HARMS)
def test_all_else_is_written_beside_a_damaged_file(world: World, harm: Harm, is_full: bool) -> None:
    """New, changed and gone backups of other days are kept; the file stays as it is, run by run."""
    key = path_of()
    harm(world.store, key)
    harmed = world.store.files.get(key)
    inside = [one for one in world.ids() if world.service.backups[one].begin.date() == OLD_DAY]
    outside = [one for one in world.ids() if one not in inside]
    world.service.remove(inside[0], outside[0])
    world.service.add(START - 4 * DAY + HOUR / 9)
    for _ in range(2):
        new = world.service.add(world.clock.now())
        report = sync(world.service, world.store, is_full=is_full)
        assert (report.exit_code, report.verdict, report.damaged) == (5, "incomplete", (key,))
        assert any(
            key in reason and "backup-frames verify --lake memory://lake --repair" in reason
            for reason in report.reasons
        )
        assert world.store.files.get(key) == harmed
        found = {
            row["backup_id"]: row
            for file in world.store.list("backups")
            if file.key != key
            for row in decode_table(world.store.files[file.key]).to_pylist()
        }
        assert found[new.id]["gone_at"] is None
        assert found[outside[0]]["gone_at"] is not None
        assert sum(row["gone_at"] is not None for row in found.values()) == 1
        world.clock.advance(HOUR)
    assert decode_record(world.store.read(STATE), State).damaged == [OLD_DAY.isoformat()]


@pytest.mark.parametrize("table", ["backup_databases", "backup_tables"])
def test_a_damaged_file_of_children_leaves_their_backups_alone_too(
    world: World, table: str
) -> None:
    """A partition is its three files."""
    lose(world.store, path_of(table))
    before = world.store.files[path_of()]
    world.service.backups[world.ids()[16]].size = 5.0
    world.service.add(world.clock.now())
    report = sync(world.service, world.store)
    assert (report.exit_code, report.damaged) == (5, (path_of(table),))
    assert report.counts["new"] == 1
    assert world.store.files[path_of()] == before


@pytest.mark.parametrize("is_repaired_by_hand", [True, False])
def test_after_a_repair_the_partition_catches_up(world: World, is_repaired_by_hand: bool) -> None:
    """What was listed for it meanwhile comes in, what left is gone, and the run is complete."""
    whole = world.store.files[path_of()]
    flip(world.store, path_of())
    inside = [one for one in world.ids() if world.service.backups[one].begin.date() == OLD_DAY]
    world.service.remove(inside[0])
    late = world.service.add(START - 4 * DAY + HOUR / 9)
    assert sync(world.service, world.store).exit_code == 5
    world.clock.advance(HOUR)
    if is_repaired_by_hand:
        world.store.files[path_of()] = whole
    else:
        assert repair(world) == []
        assert world.store.files[path_of()] == whole
    report = world.sync(after=HOUR, reread_requests=0)
    assert report.exit_code == 0
    assert (report.counts["new"], report.counts["gone"]) == (1, 1)
    assert late.id in rows_of(world.store)
    assert decode_record(world.store.read(STATE), State).damaged == []
    assert check_lake(world.store) == []


def test_new_backups_of_a_day_whose_file_is_damaged_wait_for_it(world: World) -> None:
    """Today's file: each run names it, none is lost once it is repaired, later days go on."""
    world.service.add(START + HOUR / 2)
    world.sync()
    key = f"backups/date={START.date()}/{PROJECT}.parquet"
    cut(world.store, key)
    for _ in range(30):
        world.clock.advance(HOUR)
        world.service.add(world.clock.now() - HOUR / 3)
        assert sync(world.service, world.store).damaged == (key,)
    repair(world)
    sync(world.service, world.store)
    assert rows_of(world.store).keys() == world.service.backups.keys()
    assert sync(world.service, world.store).exit_code == 0


@pytest.mark.parametrize("is_damaged_source", [True, False])
def test_a_backup_that_moves_from_or_to_a_damaged_day_is_one_row_in_the_end(
    world: World, is_damaged_source: bool
) -> None:
    """Never gone meanwhile, and with its history after the repair."""
    source, target = (START - 4 * DAY), (START - 2 * DAY)
    backup = next(
        one
        for one in world.service.backups.values()
        if one.begin.date() == (source if is_damaged_source else target).date()
    )
    flip(world.store, path_of())
    backup.begin = (target if is_damaged_source else source) + HOUR / 7
    world.service._index = None
    report = sync(world.service, world.store, is_full=True)
    assert (report.exit_code, report.counts["gone"]) == (5, 0)
    repair(world)
    world.clock.advance(HOUR)
    assert sync(world.service, world.store, reread_requests=0).exit_code == 0
    row = rows_of(world.store)[backup.id]
    assert (row["begin_time"], row["gone_at"], row["first_seen_at"]) == (backup.begin, None, START)
    assert check_lake(world.store) == []


def test_a_damaged_file_is_not_written_over_when_the_manifest_is_lost_as_well(world: World) -> None:
    """The manifest is made anew without it: still it is what holds the partition's history."""
    cut(world.store, path_of())
    harmed = world.store.files[path_of()]
    del world.store.files[f"_meta/{PROJECT}/manifest.json"]
    for _ in range(2):
        report = sync(world.service, world.store)
        assert report.damaged == (path_of(),)
        assert world.store.files[path_of()] == harmed
        world.clock.advance(HOUR)


def test_an_unreadable_file_is_a_finding(world: World) -> None:
    """verify goes on to the next file, and a repair reads the partition from the service."""
    lock_away(world.store, path_of())
    cut(world.store, path_of("backup_tables"))
    found = {(one.path, one.kind) for one in check_lake(world.store)}
    assert found == {(path_of(), "damaged"), (path_of("backup_tables"), "damaged")}


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(at, marks=[pytest.mark.slow] * (at in (0.35, 0.999)))
        for at in (0.0, 0.35, 0.9, 0.999)
    ],
)
def test_any_single_flipped_bit_is_undone(world: World, at: float) -> None:
    """By the manifest's sha256, wherever it is: nothing is lost, not even of gone backups."""
    world.service.remove(
        *[one for one in world.ids() if world.service.backups[one].begin.date() == OLD_DAY][:3]
    )
    world.sync()
    whole = dict(world.store.files)
    flip(world.store, path_of(), at)
    assert repair(world) == []
    assert {key: data for key, data in world.store.files.items() if "_meta" not in key} == {
        key: data for key, data in whole.items() if "_meta" not in key
    }


def fatal() -> bytes:
    """A file with a flipped bit on which pyarrow ends the process that reads it."""
    data = bytearray(encode_table(pa.table({"name": ["a", "b", None]})))
    data[len(data) - 8 - int.from_bytes(data[-8:-4], "little") + 20] ^= 4
    return bytes(data)


def test_nothing_that_heals_is_ended_by_a_file_that_nobody_vouches_for(world: World) -> None:
    """With the manifest lost: syncs, verify and repair go on, and say which file it is."""
    key = path_of()
    world.store.files[key] = fatal()
    del world.store.files[MANIFEST]
    found = {one.path: one for one in check_lake(world.store)}
    assert "ends the process" in found[key].message
    report = sync(world.service, world.store)
    assert (report.exit_code, report.damaged) == (5, (key,))
    world.clock.advance(HOUR)
    lost = repair(world)
    assert [one.path for one in lost] == [key]
    assert check_lake(world.store) == []
    assert sync(world.service, world.store).verdict == "complete"


def test_a_file_put_under_a_name_of_ours_ends_no_sync(world: World) -> None:
    """A partition that no record names is looked at in a process of its own as well."""
    new = world.service.add(START - 400 * DAY)
    key = f"backups/date={new.begin.date()}/{PROJECT}.parquet"
    world.store.files[key] = fatal()
    assert sync(world.service, world.store).damaged == (key,)


@pytest.mark.parametrize(("at", "bit"), [(18, 2), (20, 4), (90, 4)])
def test_a_description_on_which_pyarrow_ends_the_process_costs_nothing(at: int, bit: int) -> None:
    """It is read in a process of its own: the flip is undone, and two flips are a file without rows."""
    whole = bytes(encode_table(pa.table({"name": ["a", "b", None]})))
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    data = bytearray(whole)
    data[footer + at] ^= 1 << bit
    assert undo_flip(bytes(data), hashlib.sha256(whole).hexdigest()) == whole
    data[5] ^= 1
    assert salvage_table(bytes(data), "backups") is None


def test_two_flipped_bits_are_not_one(world: World) -> None:
    """Nothing is taken for right that does not have the sha256."""
    data = bytearray(world.store.files[path_of()][:600])
    sha256 = "0" * 64
    data[3] ^= 1
    assert undo_flip(bytes(data), sha256) is None


def test_a_store_that_fails_once_costs_one_run(world: World) -> None:
    """A file that could not be read for a moment is read by the next run."""
    lock_away(world.store, path_of())
    world.service.backups[world.ids()[17]].size = 9.0
    assert sync(world.service, world.store, is_full=True).exit_code == 5
    world.store.read = MemoryStore.read.__get__(world.store)  # type: ignore[method-assign]
    report = world.sync(after=timedelta(minutes=5), reread_requests=0)
    assert (report.exit_code, report.counts["changed"]) == (0, 1)
    assert all(row["gone_at"] is None for row in table_of(world.store, "backups"))
