"""verify finds what is wrong and nothing else; repair brings back what can be."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.lake_service import DAY, HOUR, LEVELS, PROJECT, START, World, rows_of, sync, table_of
from support.stores import snapshot

from backup_frames.errors import LakeConflictError, UnavailableError
from backup_frames.frames.partitions import decode_table, encode_table
from backup_frames.lake.formats.open_tables import open_lake_store
from backup_frames.lake.lake import Lake
from backup_frames.lake.ledger.metadata import (
    Manifest,
    State,
    decode_record,
    describe_file,
    encode_record,
    manifest_checksum,
)
from backup_frames.sync.maintenance.check import Finding, check_lake
from backup_frames.sync.maintenance.compare import compare_project
from backup_frames.sync.maintenance.repair import repair_project
from backup_frames.sync.maintenance.salvage import salvage_table

MANIFEST = f"_meta/{PROJECT}/manifest.json"
STATE = f"_meta/{PROJECT}/state.json"
DAY_FILE = f"backups/date=2025-12-28/{PROJECT}.parquet"


def tables(store):
    names = ("backups/", "backup_databases/", "backup_tables/")
    return {key: value for key, value in snapshot(store).items() if key.startswith(names)}


def repair(world):
    return repair_project(
        world.service.reader(), world.store, project_id=PROJECT, clock=world.clock
    )


@pytest.fixture(scope="module")
def aged_files():
    """The files of a lake with gone backups in it, and the service it belongs to."""
    made = World()
    made.fill(days=5)
    made.sync()
    made.service.remove(*made.ids()[3:6])
    made.sync(after=HOUR)
    made.clock.advance(HOUR)
    return made


@pytest.fixture
def aged(aged_files):
    """The same, to be damaged."""
    made = World(memory=aged_files.store.copy())
    made.service, made.ledger = aged_files.service, aged_files.ledger
    return made


def test_a_sound_lake_has_no_findings(aged):
    """Nor has it after another sync, nor in the service's eyes; a dead doctor's lock is no harm."""
    aged.store.files["_meta/doctor/tmp.lock"] = b"{}"
    assert check_lake(aged.store) == []
    assert compare_project(aged.service.reader(), aged.store, project_id=PROJECT) == []


@given(data=st.data())
@settings(
    max_examples=5,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_flipped_bit_cut_and_loss_is_found_and_repaired(aged_files, data):
    """One finding names the file; repair makes the lake sound; what is not as before is said."""
    world = World(memory=aged_files.store.copy())
    world.service = aged_files.service
    before = tables(world.store)
    key = data.draw(st.sampled_from(sorted(before)))
    at = data.draw(st.integers(0, len(before[key]) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "lose"]))
    if how == "flip":
        damaged = bytearray(before[key])
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
        world.store.files[key] = bytes(damaged)
    elif how == "cut":
        world.store.files[key] = before[key][:at]
    else:
        del world.store.files[key]
    assert {finding.path for finding in check_lake(world.store)} == {key}
    lost = repair(world)
    assert check_lake(world.store) == []
    assert lost or tables(world.store) == before
    present = {one for one, row in rows_of(world.store).items() if row["gone_at"] is None}
    assert present == set(world.service.backups)
    assert compare_project(world.service.reader(), world.store, project_id=PROJECT) == []


def test_a_flip_in_an_ordinary_column_costs_nothing(aged):
    """Intact columns are kept, so history and gone rows survive; the rest is read again."""
    before = tables(aged.store)
    table = decode_table(before[DAY_FILE])
    # The page's header comes first, with its least and its greatest text.
    _, _, at, *_ = (one.start() for one in re.finditer(b"orders", before[DAY_FILE]))
    damaged = bytearray(before[DAY_FILE])
    damaged[at] ^= 1
    aged.store.files[DAY_FILE] = bytes(damaged)
    assert "instance_name" in salvage_table(bytes(damaged), "backups").lost
    assert table.num_rows == 8
    assert repair(aged) == []
    assert tables(aged.store) == before


def test_a_lost_file_loses_only_what_the_service_forgot(aged):
    """Present backups come back, gone ones are lost, and the finding says how many there were."""
    (gone_key,) = {
        key for key in tables(aged.store) if key.startswith("backups/") and gone_in(aged.store, key)
    }
    del aged.store.files[gone_key]
    (finding,) = [one for one in repair(aged) if one.path == gone_key]
    assert finding.kind == "lost"
    assert "8 backups" in finding.message
    assert check_lake(aged.store) == []
    rows = table_of(aged.store, "backups")
    assert {row["backup_id"] for row in rows} == set(aged.service.backups)


def test_a_file_in_another_ones_place_is_not_taken_for_it(aged):
    """Another day's file, intact but misplaced, lends no rows: the day comes from the service."""
    before = tables(aged.store)
    aged.store.files[DAY_FILE] = before[DAY_FILE.replace("28", "29")]
    assert [(one.path, one.kind) for one in check_lake(aged.store)] == [(DAY_FILE, "damaged")]
    assert [one.kind for one in repair(aged)] == ["lost"]  # when they were first seen
    assert check_lake(aged.store) == []
    assert compare_project(aged.service.reader(), aged.store, project_id=PROJECT) == []


def test_files_without_any_records_are_still_read(aged):
    """A lake that lost its records and runs is not taken for a heap of foreign files."""
    rows = Lake(aged.store).backups()
    for key in list(aged.store.files):
        if key.startswith(("_meta/", "sync_runs/")):
            del aged.store.files[key]
    assert Lake(aged.store).backups().equals(rows)
    assert "foreign" not in {one.kind for one in check_lake(aged.store)}


def gone_in(store, key):
    return (
        decode_table(store.read(key))["gone_at"].null_count < decode_table(store.read(key)).num_rows
    )


def test_repair_reads_only_what_is_damaged(aged):
    """One damaged day costs the requests of that day."""
    aged.store.files[DAY_FILE] = b""
    reader = aged.service.reader()
    repair_project(reader, aged.store, project_id=PROJECT, clock=aged.clock)
    begin_s = int((START - 4 * DAY).timestamp())
    assert reader.scanned == [(begin_s, begin_s + 86400)]


def test_repair_of_a_sound_lake_does_nothing(aged):
    """No request, no write."""
    before = snapshot(aged.store)
    reader = aged.service.reader()
    assert repair_project(reader, aged.store, project_id=PROJECT, clock=aged.clock) == []
    assert reader.requests == 0
    assert snapshot(aged.store) == before


def test_repair_waits_for_no_sync(aged):
    """While a sync holds the lake a repair is refused."""
    with aged.store.lock(f"_meta/{PROJECT}/lock"), pytest.raises(LakeConflictError):
        repair(aged)


def test_a_repair_that_cannot_reach_the_service_changes_nothing(aged):
    """The damaged file stays as evidence until the service answers."""
    aged.store.files[DAY_FILE] = b"x"
    before = snapshot(aged.store)
    reader = aged.service.reader()
    aged.service.fail_after_parts = 0
    try:
        with pytest.raises(UnavailableError):
            repair_project(reader, aged.store, project_id=PROJECT, clock=aged.clock)
    finally:
        aged.service.fail_after_parts = None
    assert snapshot(aged.store) == before


@pytest.mark.parametrize("name", ["manifest.json", "state.json"])
@pytest.mark.parametrize("damage", ["lost", "flipped"])
def test_damaged_records_are_findings_and_a_sync_heals_them(aged, name, damage):
    """Each is named; the next sync writes it anew; the tables are as before."""
    key = f"_meta/{PROJECT}/{name}"
    before = tables(aged.store)
    if damage == "lost":
        del aged.store.files[key]
    else:
        aged.store.files[key] = aged.store.files[key].replace(b"1", b"2", 1)
    assert {finding.path for finding in check_lake(aged.store)} == {key}
    sync(aged.service, aged.store)
    assert check_lake(aged.store) == []
    assert tables(aged.store) == before


@pytest.mark.parametrize("heal", [repair, lambda world: sync(world.service, world.store)])
def test_a_lost_lake_record_is_found_and_healed(aged, heal):
    """The manifest still knows the grain, so a repair or a sync writes lake.json again."""
    before = aged.store.files.pop("_meta/lake.json")
    assert [finding.path for finding in check_lake(aged.store)] == ["_meta/lake.json"]
    heal(aged)
    assert check_lake(aged.store) == []
    assert aged.store.files["_meta/lake.json"] == before


@pytest.mark.parametrize(
    "key",
    [
        "README.txt",
        f"backups/date=2025-12-28/.{PROJECT}.parquet",
        "backups/date=2025-12-28/part-0.parquet",
        "backups/x.parquet",
        "_meta/x",
    ],
)
def test_foreign_files_are_listed_and_left_alone(aged, key):
    """Each is a finding; neither readers nor repair nor sync touch it."""
    rows = Lake(aged.store).backups()
    aged.store.files[key] = b"mine"
    assert [(one.path, one.kind) for one in check_lake(aged.store)] == [(key, "foreign")]
    assert Lake(aged.store).backups().equals(rows)
    repair(aged)
    sync(aged.service, aged.store)
    assert aged.store.files[key] == b"mine"


def test_a_file_that_no_sync_recorded_is_unlisted(aged):
    """A partition copied in under our name is found."""
    key = f"backups/date=2024-01-01/{PROJECT}.parquet"
    aged.store.files[key] = aged.store.files[DAY_FILE]
    assert [(one.path, one.kind) for one in check_lake(aged.store)] == [(key, "unlisted")]


def rewrite(store, key, table):
    """Put another table in place as if a sync had written it: the records agree."""
    manifest = decode_record(store.read(MANIFEST), Manifest)
    data = encode_table(table)
    manifest.files[key] = describe_file(data, table.num_rows)
    state = decode_record(store.read(STATE), State)
    state.manifest = manifest_checksum(manifest)
    store.put(MANIFEST, encode_record(manifest))
    store.put(STATE, encode_record(state))
    store.put(key, data)


def test_rows_that_a_bug_wrote_are_found(aged):
    """Doubled keys, a foreign project's rows, wrong days, wrong types: even if the hash fits."""
    table = decode_table(aged.store.read(DAY_FILE))
    other = table.set_column(0, table.schema.field(0), pa.array(["other"] * table.num_rows))
    wrong_day = decode_table(aged.store.read(DAY_FILE.replace("28", "29")))
    two_days = pa.concat_tables([table, wrong_day])
    for kind, rows in (
        ("keys", pa.concat_tables([table, table.slice(0, 1)])),
        ("keys", other),
        ("keys", wrong_day),
        ("keys", two_days),
        ("schema", table.drop_columns(["size_kb"])),
    ):
        store = aged.store.copy()
        rewrite(store, DAY_FILE, rows)
        found = check_lake(store)
        assert (found[0].path, found[0].kind) == (DAY_FILE, kind)


def test_children_that_do_not_fit_are_found(aged):
    """A child too few is named under the children's file."""
    key = f"backup_tables/date=2025-12-28/{PROJECT}.parquet"
    rewrite(aged.store, key, decode_table(aged.store.read(key)).slice(1))
    assert [(one.path, one.kind) for one in check_lake(aged.store)] == [(key, "children")]
    repair(aged)
    assert check_lake(aged.store) == []


def test_a_sync_that_runs_meanwhile_is_no_finding(aged):
    """Files and records that change between two looks are looked at again."""
    service = aged.service
    inner_read, state = aged.store.read, {"runs": 0}

    def read(key):
        data = inner_read(key)
        if key == DAY_FILE and not state["runs"]:
            state["runs"] = 1
            extra = service.add(START - 4 * DAY + HOUR / 3)
            sync(service, aged.store, reread_requests=0)
            service.remove(extra.id)
        return data

    aged.store.read = read
    assert check_lake(aged.store) == []
    assert state["runs"] == 1


def test_syncs_that_never_leave_off_are_no_finding_and_hide_none():
    """Each look meets a partition that was written after its records; damage elsewhere is found."""
    world = World()  # of its own: its service changes
    world.fill(days=5)
    world.sync()
    damaged = next(key for key in sorted(world.store.files) if key.startswith("sync_runs/"))
    world.store.files[damaged] += b"x"
    inner_read, runs = world.store.read, []

    def read(key):
        if key == DAY_FILE and (not runs or runs[-1] is not None):
            runs.append(None)  # the sync itself reads it as well
            world.clock.advance(HOUR)
            world.service.add(START - 4 * DAY + HOUR / 3)
            sync(world.service, world.store, reread_requests=200)
            runs[-1] = key
        return inner_read(key)

    world.store.read = read
    assert [(one.path, one.kind) for one in check_lake(world.store)] == [(damaged, "damaged")]
    assert len(runs) > 2


def test_the_service_sees_what_the_lake_lacks(aged):
    """New, changed and vanished backups of before the last sync are findings, later ones not."""
    reader = aged.service.reader()
    ids = sorted(aged.service.backups)
    removed = aged.service.backups[ids[0]]
    late = aged.service.add(aged.clock.now())
    early = aged.service.add(START - 2 * DAY + HOUR / 7, level=LEVELS[1])
    aged.service.backups[ids[1]].size = 4.0
    aged.service.remove(removed.id)
    try:
        found = compare_project(reader, aged.store, project_id=PROJECT)
    finally:
        aged.service.backups[ids[1]].size = 1.0
        aged.service.backups[removed.id] = removed
        aged.service.remove(late.id, early.id)
    text = " ".join(finding.message for finding in found)
    assert all(one in text for one in (early.id, ids[1], removed.id))
    assert late.id not in text
    assert {finding.kind for finding in found} == {"service"}


def test_findings_sort_and_print():
    """A finding is a value: path, kind, message."""
    findings = [Finding("b", "missing", "x"), Finding("a", "damaged", "y")]
    random.shuffle(findings)
    assert min(findings).path == "a"


def test_a_folder_in_a_files_place_is_one_finding_and_the_rest_is_repaired(tmp_path: Path) -> None:
    """It names the file and what to do; another damaged partition is made good meanwhile."""
    world = World()
    world.fill(days=4)
    store = open_lake_store(str(tmp_path / "lake"), scratch=f"_meta/{PROJECT}/tmp")
    sync(world.service, store)
    blocked, damaged = sorted(file.key for file in store.list("backups"))[1:3]
    (tmp_path / "lake" / blocked).unlink()
    (tmp_path / "lake" / blocked).mkdir()
    (tmp_path / "lake" / damaged).write_bytes(b"PAR1")
    assert {one.path for one in check_lake(store)} == {blocked, damaged}
    reader = world.service.reader()
    repair_project(reader, store, project_id=PROJECT, clock=world.clock)
    (left,) = check_lake(store)
    assert left.path == blocked
    assert "folder stands in its place. Move it away" in left.message
    (tmp_path / "lake" / blocked).rmdir()
    repair_project(world.service.reader(), store, project_id=PROJECT, clock=world.clock)
    assert check_lake(store) == []
