"""What a sync does to a lake, against a model of the service."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from support.lake_service import DAY, HOUR, LEVELS, PROJECT, START, rows_of, sync, table_of
from support.stores import snapshot

from backup_frames.errors import (
    ConfigError,
    LakeConflictError,
    QueryError,
    SchemaError,
    UnavailableError,
)
from backup_frames.frames.partitions import decode_table
from backup_frames.lake.ledger.metadata import Manifest, State, decode_record, describe_file
from backup_frames.sync.one_project import sync_lake

DATA = ("backups/", "backup_databases/", "backup_tables/")
STATE = f"_meta/{PROJECT}/state.json"
MANIFEST = f"_meta/{PROJECT}/manifest.json"


def data(store):
    return {key: value for key, value in snapshot(store).items() if key.startswith(DATA)}


def state_of(store):
    return decode_record(store.read(STATE), State)


def test_a_first_sync_writes_everything(empty_world):
    """Every backup at both levels is there, with its children, first seen now."""
    empty_world.fill(days=4)
    report = empty_world.sync()
    assert report.is_full
    assert report.exit_code == 0
    assert report.counts["new"] == report.counts["present"] == 32
    assert report.file_count == len(data(empty_world.store)) == 3 * 4


def test_an_empty_service_makes_an_empty_lake(empty_world):
    """No backups, no rows: one empty file a table; the run and the lake's records are there."""
    report = empty_world.sync()
    assert report.exit_code == 0
    assert {key.split("/")[1] for key in data(empty_world.store)} == {"date=1970-01-01"}
    assert rows_of(empty_world.store) == {}
    assert decode_record(empty_world.store.read(MANIFEST), Manifest) is not None


def test_an_unchanged_list_touches_no_file(world):
    """A second sync writes no data file and costs a handful of requests."""
    before = data(world.store)
    report = world.sync()
    assert not report.is_full
    assert report.file_count == 0
    assert report.requests <= 20
    assert data(world.store) == before


def test_new_changed_and_gone_backups_each_get_their_moment(world):
    """One of each: first_seen_at, updated_at, gone_at are the run's moment, nothing else moves."""
    ids = world.ids()
    world.service.remove(ids[3])
    world.service.backups[ids[20]].status = "FAILED"
    world.service.add(world.clock.now() - HOUR / 2)
    # an edit of a final backup is seen when its day is read again
    counts = world.sync(reread_requests=50).counts
    assert (counts["new"], counts["changed"], counts["gone"]) == (1, 1, 1)


def test_only_partitions_that_changed_are_written(world):
    """One deletion touches one file: the parents of its day."""
    world.service.remove(world.ids()[3])
    before = data(world.store)
    report = world.sync()
    changed = [key for key, value in data(world.store).items() if value != before[key]]
    assert len(changed) == report.file_count == 1
    assert changed[0].startswith("backups/")


def test_a_backup_that_comes_back_is_present_again(world):
    """Its gone_at is null again and its history goes on."""
    backup = world.service.backups[world.ids()[5]]
    world.service.remove(backup.id)
    world.sync()
    world.service.backups[backup.id] = backup
    world.service._index = None
    report = world.sync(after=HOUR)
    assert report.counts["returned"] == 1


@pytest.mark.parametrize("age", [2 * HOUR, 5 * DAY])
def test_an_open_backup_is_read_until_it_is_final(empty_world, age):
    """A backup that was BUILDING is read again however old it is, and seen to complete."""
    empty_world.fill(days=6)
    slow = empty_world.service.add(empty_world.clock.now() - age, status="BUILDING")
    empty_world.sync(reread_requests=0)
    empty_world.sync(after=3 * HOUR, reread_requests=0)
    slow.status, slow.size = "COMPLETED", 77.0
    report = empty_world.sync(after=HOUR, reread_requests=0)
    assert report.counts["changed"] == 1
    assert empty_world.sync(after=HOUR, reread_requests=0).requests <= 10


def test_a_late_arrival_before_the_head_is_found_by_counting(world):
    """A backup that shows up days late in the closed rest is read and added."""
    world.service.add(world.clock.now() - 3 * DAY + timedelta(minutes=7), level=LEVELS[1])
    report = world.sync(reread_requests=0)
    assert report.counts["new"] == 1


def test_a_loss_and_a_new_backup_do_not_cancel(world):
    """What began since the last sync is in the head, never in a count of the closed rest."""
    world.sync()
    removed = world.service.backups[world.ids()[4]]
    world.service.remove(removed.id)
    world.service.add(world.clock.now() + HOUR, level=removed.level)
    counts = world.sync(after=12 * HOUR, reread_requests=0).counts
    assert (counts["new"], counts["gone"]) == (1, 1)


def test_what_counting_cannot_see_is_found_within_a_few_runs(world):
    """An edit in a closed day is found when the day's turn to be read again comes."""
    world.service.backups[world.ids()[2]].name = "renamed"
    for _ in range(8):
        world.clock.advance(HOUR)
        report = sync(world.service, world.store, reread_requests=3)
        if report.counts["changed"]:
            break
    world.ledger.observe(world.service.backups, report.as_of)
    world.check()


def test_rereading_takes_the_oldest_proof_first(world):
    """Within one round of small budgets every closed day is verified anew."""
    first = state_of(world.store)
    for _ in range(8):
        report = world.sync(after=HOUR, reread_requests=2)
    assert report.oldest_verified_at > START + HOUR
    assert set(first.days) <= set(state_of(world.store).days)


def test_a_day_too_large_for_the_budget_is_read_in_slices(empty_world):
    """A cursor walks through a large day, run by run; the whole day then counts as verified."""
    for number in range(900):
        empty_world.service.add(START - 3 * DAY + timedelta(seconds=60 * number))
    empty_world.sync()
    runs = 0
    while empty_world.sync(after=HOUR, reread_requests=6).oldest_verified_at == START:
        runs += 1
        assert runs < 6
    assert runs >= 1


def test_rows_without_begin_time_are_kept_and_read_again_by_a_full_sync(empty_world):
    """They live in 1970-01-01; only a full read can tell that one is gone."""
    empty_world.fill(days=2)
    undated = [empty_world.service.add(None, level=level, tables=[("d", None)]) for level in LEVELS]
    empty_world.sync()
    assert f"backups/date=1970-01-01/{PROJECT}.parquet" in data(empty_world.store)
    empty_world.sync(after=HOUR)
    empty_world.service.remove(undated[0].id)
    assert empty_world.sync(after=HOUR, is_full=True).counts["gone"] == 1


@pytest.mark.parametrize("is_full", [True, False])
def test_a_begin_time_that_becomes_known_moves_the_row(empty_world, is_full):
    """One backup, one row: it leaves 1970-01-01 and keeps its first_seen_at."""
    empty_world.fill(days=2)
    moving = empty_world.service.add(None, status="BUILDING", tables=[("d", ["t"])])
    empty_world.service.add(None)
    empty_world.sync()
    moving.begin, moving.status = START + HOUR / 2, "COMPLETED"
    empty_world.service._index = None
    report = empty_world.sync(after=HOUR, is_full=is_full)
    assert (report.counts["new"], report.counts["changed"], report.counts["gone"]) == (0, 1, 0)
    assert empty_world.sync(after=HOUR, is_full=True).file_count == 0


@pytest.mark.parametrize(
    ("total", "gone", "is_much"),
    [(100, 20, False), (100, 21, True), (50, 20, False), (105, 21, False), (103, 21, True)],
)
def test_the_guard_holds_a_mass_deletion_back(empty_world, total, gone, is_much):
    """More than a fifth and more than 20 at once: nothing is marked until it is allowed."""
    for number in range(total):
        empty_world.service.add(START - 3 * DAY + number * HOUR / 2)
    empty_world.sync()
    empty_world.service.remove(*empty_world.ids()[:gone])
    empty_world.service.add(empty_world.clock.now())  # does not count: it was not there before
    report = empty_world.sync(after=HOUR)
    assert report.is_guarded == is_much
    assert report.verdict == "complete"
    assert report.exit_code == (6 if is_much else 0)
    assert report.counts["new"] == 1
    if is_much:
        assert report.counts["held_back"] == gone
        assert empty_world.sync(after=HOUR).is_guarded
        report = empty_world.sync(after=HOUR, allow_mass_deletion=True)
    assert report.counts["gone"] == gone
    assert empty_world.sync(after=HOUR).exit_code == 0


def test_days_held_back_by_the_guard_are_not_verified(empty_world):
    """A day whose absent backups stay unmarked is not as the service has it."""
    empty_world.fill(days=3, per_day=30)
    empty_world.sync()
    empty_world.service.remove(*empty_world.ids()[:25])
    report = empty_world.sync(after=HOUR, is_full=True)
    assert report.is_guarded
    assert report.oldest_verified_at == START
    report = empty_world.sync(after=HOUR, is_full=True, allow_mass_deletion=True)
    assert report.oldest_verified_at == START + 2 * HOUR


def test_few_deletions_of_few_backups_pass_the_guard(empty_world):
    """Half of a dozen backups is less than 20: they are marked."""
    empty_world.fill(days=1, per_day=12)
    empty_world.sync()
    empty_world.service.remove(*empty_world.ids()[:6])
    assert empty_world.sync(after=HOUR).counts["gone"] == 6


def test_an_uncertified_range_adds_but_never_marks_gone(world):
    """Where the read cannot prove itself, rows come in, none is marked, the state stays."""
    ids = world.ids()
    day = world.service.backups[ids[10]].begin
    second = int(day.timestamp())
    world.service.uncertified = [(second - 3600, second + 3600)]
    world.service.remove(ids[10])
    world.service.backups[ids[9]].size = 5.0
    before = state_of(world.store).as_of_s
    report = sync(world.service, world.store, is_full=True)
    assert report.verdict == "incomplete"
    assert report.exit_code == 6
    assert report.reasons
    assert report.counts["gone"] == 0
    assert state_of(world.store).as_of_s == before
    world.service.uncertified = []
    world.ledger.entries[ids[9]] |= {"size_kb": 5.0, "updated_at": report.as_of}
    world.sync(after=HOUR)


@pytest.mark.parametrize(
    "error", [UnavailableError("down"), SchemaError("odd"), KeyboardInterrupt()]
)
def test_a_run_that_fails_midway_keeps_what_it_proved(world, error):
    """Rows read whole are added, nothing is gone, the state stays; the next run completes."""
    world.service.remove(world.ids()[0])
    for hour in range(30):
        world.service.add(world.clock.now() + hour * HOUR)
    world.clock.advance(30 * HOUR)
    before = state_of(world.store).as_of_s
    world.service.fail_after_parts, world.service.error = 2, error
    with pytest.raises(type(error)):
        sync(world.service, world.store, is_full=True)
    assert state_of(world.store).as_of_s == before
    assert all(row["gone_at"] is None for row in table_of(world.store, "backups"))
    failed_at = world.clock.now()
    for row in table_of(world.store, "backups"):
        if row["first_seen_at"] == failed_at:
            seen = {row["backup_id"]: world.service.backups[row["backup_id"]]}
            world.ledger.observe(seen, failed_at, marks=False)
    world.service.fail_after_parts = None
    assert world.sync(after=HOUR).exit_code == 0


def test_a_run_that_fails_at_once_leaves_the_tables_alone(world):
    """Without one certified range no file is touched, no run is recorded."""
    before = snapshot(world.store)
    world.service.fail_after_parts = 0
    with pytest.raises(UnavailableError):
        sync(world.service, world.store)
    assert snapshot(world.store) == before


def test_a_first_run_that_fails_at_once_writes_nothing(empty_world):
    """A refused first sync leaves no trace of a lake."""
    empty_world.service.fail_after_parts = 0
    with pytest.raises(UnavailableError):
        sync(empty_world.service, empty_world.store)
    assert snapshot(empty_world.store) == {}


def test_a_failed_run_that_wrote_is_in_sync_runs(empty_world):
    """Its row names the error; its verdict is incomplete."""
    empty_world.fill(days=3)
    empty_world.service.fail_after_parts = 100
    with pytest.raises(UnavailableError):
        sync(empty_world.service, empty_world.store)
    keys = [file.key for file in empty_world.store.list("sync_runs")]
    (row,) = [row for key in keys for row in read_rows(empty_world.store, key)]
    assert "UnavailableError" in row["error"]
    assert row["verdict"] == "incomplete"
    assert row["new_count"] == 24


def read_rows(store, key):
    return decode_table(store.read(key)).to_pylist()


def test_each_run_is_one_row(world):
    """Two runs at one moment are two rows, with the certificate's numbers."""
    world.sync()
    report = world.sync()
    keys = [file.key for file in world.store.list("sync_runs")]
    assert len(keys) == 3
    row = next(
        row for key in keys for row in read_rows(world.store, key) if row["run_id"] == report.run_id
    )
    assert row["request_count"] == report.requests
    assert row["present_count"] == 48
    assert row["as_of"] == report.as_of
    assert row["error"] is None


@pytest.mark.parametrize("damage", [None, b"", b"{}", b"flip"])
def test_losing_the_state_costs_requests_not_data(world, damage):
    """A lost or corrupt state means one full read; the tables stay as they are."""
    if damage is None:
        world.store.delete(STATE)
    else:
        good = world.store.files[STATE]
        world.store.files[STATE] = (
            good.replace(b'"as_of_s":1', b'"as_of_s":2') if damage == b"flip" else damage
        )
    before = data(world.store)
    assert world.sync().is_full
    assert data(world.store) == before
    assert not world.sync(after=HOUR).is_full


@pytest.mark.parametrize("damage", [None, b"{"])
def test_losing_the_manifest_rebuilds_it_from_the_files(world, damage):
    """History survives; the new manifest names every file of the project, run rows included."""
    world.service.remove(world.ids()[0])
    world.sync()
    before = data(world.store)
    if damage is None:
        world.store.delete(MANIFEST)
    else:
        world.store.files[MANIFEST] = damage
    world.sync(after=HOUR)
    assert data(world.store) == before
    manifest = decode_record(world.store.read(MANIFEST), Manifest)
    files = {
        key: value for key, value in snapshot(world.store).items() if not key.startswith("_meta")
    }
    assert manifest.files.keys() == files.keys()
    assert all(
        describe_file(files[key], entry.rows) == entry for key, entry in manifest.files.items()
    )


def test_a_state_that_does_not_fit_the_files_is_thrown_away(empty_world):
    """An old state beside newer files leads to a full read, not to a wrong ledger."""
    for number in range(800):
        empty_world.service.add(START - 3 * DAY + timedelta(seconds=60 * number))
    empty_world.sync()
    old = empty_world.store.files[STATE]
    empty_world.service.remove(*empty_world.ids()[100:110])
    empty_world.sync(after=HOUR)
    empty_world.store.files[STATE] = old
    empty_world.service.remove(*empty_world.ids()[400:401])
    empty_world.sync(after=HOUR)


def test_a_file_that_the_manifest_lacks_is_not_overwritten_blindly(world):
    """A partition restored by hand under our name keeps its history."""
    key = f"backups/date=2026-01-01/{PROJECT}.parquet"
    manifest = decode_record(world.store.read(MANIFEST), Manifest)
    assert key not in manifest.files
    world.store.files[key] = b"not ours"
    world.service.add(START)
    report = sync(world.service, world.store)
    assert (report.exit_code, report.damaged) == (5, (key,))
    assert world.store.files[key] == b"not ours"


def test_the_overlap_is_read_again(world):
    """A change within the overlap before the last sync is seen without any probing."""
    world.service.backups[world.ids()[-1]].name = "renamed"
    assert world.sync(after=HOUR, overlap_s=5 * 3600, reread_requests=0).counts["changed"] == 1


@pytest.mark.parametrize("includes_end", [True, False])
@pytest.mark.parametrize(
    "offset", [timedelta(0), timedelta(seconds=-1), timedelta(milliseconds=500)]
)
def test_rows_at_midnight_are_counted_right(empty_world, includes_end, offset):
    """Backups in the first and last second of days, on a service that leaves its end_time out."""
    empty_world.service.includes_end = includes_end
    for day in range(40):
        for _ in range(20):
            empty_world.service.add(START - (day + 2) * DAY + offset)
    empty_world.sync()
    empty_world.service.remove(empty_world.ids()[333])
    report = empty_world.sync(after=HOUR, reread_requests=0)
    assert report.counts["gone"] == 1
    assert empty_world.sync(after=HOUR, reread_requests=0).requests <= 12


def test_months_are_partitions_too(empty_world):
    """Grain month: files carry the month's first day, and syncs work as with days."""
    empty_world.fill(days=70, per_day=2)
    empty_world.sync(partition_by="month")
    dates = {key.split("/")[1] for key in data(empty_world.store)}
    assert dates == {"date=2025-10-01", "date=2025-11-01", "date=2025-12-01"}
    empty_world.service.remove(empty_world.ids()[5])
    empty_world.service.add(empty_world.clock.now())
    assert empty_world.sync(after=HOUR).file_count == 2


@pytest.mark.parametrize("is_record_lost", [False, True])
def test_the_grain_of_a_lake_cannot_be_changed(world, is_record_lost):
    """Asking for months on a lake of days is an error before anything is read or written."""
    if is_record_lost:
        world.store.delete("_meta/lake.json")
    before = snapshot(world.store)
    with pytest.raises(ConfigError, match="partitioned by day, not by month"):
        sync(world.service, world.store, partition_by="month")
    assert snapshot(world.store) == before
    assert sync(world.service, world.store, partition_by="day").exit_code == 0


def test_two_projects_share_a_lake(world):
    """Each project writes its own files and records; neither touches the other's."""
    before = {key: value for key, value in snapshot(world.store).items() if key.count(PROJECT)}
    report = sync_lake(world.service.reader(), world.store, project_id="other-1", clock=world.clock)
    assert report.counts["new"] == 48
    assert before == {key: value for key, value in snapshot(world.store).items() if key in before}
    world.sync()


@pytest.mark.parametrize("project_id", ["", "a/b", "..", "x" * 65, "a b", "a\n"])
def test_a_hostile_project_id_never_becomes_a_path(empty_world, project_id):
    """It is refused before the store is asked for anything."""
    with pytest.raises(QueryError):
        sync_lake(
            empty_world.service.reader(),
            empty_world.store,
            project_id=project_id,
            clock=empty_world.clock,
        )
    assert snapshot(empty_world.store) == {}


def test_a_second_run_is_refused_while_one_holds_the_lake(world):
    """LakeConflictError at once, before a request; nothing is written."""
    before = snapshot(world.store)
    with world.store.lock(f"_meta/{PROJECT}/lock"), pytest.raises(LakeConflictError):
        sync(world.service, world.store)
    assert snapshot(world.store) == before


def test_a_lost_lock_stops_the_commit(world):
    """Who lost the lock meanwhile moves neither manifest nor state."""
    records = {key: world.store.files[key] for key in (MANIFEST, STATE)}
    world.service.on_part = lambda: (
        world.store.steal_lock(f"_meta/{PROJECT}/lock") if world.store._held else None
    )
    world.service.add(world.clock.now())
    with pytest.raises(LakeConflictError):
        sync(world.service, world.store)
    assert records == {key: world.store.files[key] for key in records}


def test_a_lock_lost_before_the_last_step_keeps_the_state(world):
    """Between manifest and state the lock is asked again."""
    state, put = world.store.files[STATE], world.store.put

    def put_and_lose(key, data):
        put(key, data)
        if key.startswith("sync_runs/"):
            world.store.steal_lock(f"_meta/{PROJECT}/lock")

    world.store.put = put_and_lose
    with pytest.raises(LakeConflictError):
        sync(world.service, world.store)
    assert world.store.files[STATE] == state
    world.store.put = put
    world.sync(after=HOUR)


def test_a_dry_run_writes_nothing_and_says_what_it_would_read(world):
    """Days, partitions and requests of the next run; not even a lock is left behind."""
    world.service.remove(world.ids()[3])
    before = snapshot(world.store)
    report = sync(world.service, world.store, is_dry_run=True, reread_requests=0)
    assert snapshot(world.store) == before
    assert report.is_dry_run
    assert "2025-12-26" in report.days
    assert f"{world.clock.now():%Y-%m-%d}" in report.days
    assert len(report.days) <= 8, "days that hold nothing are none"
    assert set(report.partitions) == set(report.days)
    assert 0 < report.expected_requests < 20
    assert "dry run" in report.to_text()


def test_a_dry_run_of_a_first_sync_counts_what_there_is(empty_world):
    """Two counts tell how many requests the first sync takes; nothing is written."""
    empty_world.fill(days=30, per_day=20)
    report = sync(empty_world.service, empty_world.store, is_dry_run=True)
    assert snapshot(empty_world.store) == {}
    assert report.requests == 2
    assert 6 <= report.expected_requests <= 12


def test_the_report_speaks_every_language(world):
    """Text, HTML, dict and JSON tell the same; the exit code is among them."""
    report = world.sync()
    assert "verdict" in report.to_text()
    assert "<table" in report._repr_html_()
    told = json.loads(report.to_json())
    assert told["exit_code"] == 0
    assert told["counts"]["present"] == 48
    assert told["certificate"]["verdict"] == "complete"


def test_a_clock_that_ran_ahead_hides_nothing(world):
    """After a run with a wrong, future clock the next one still finds all that began since."""
    world.clock.advance(300 * DAY)
    world.sync()
    world.clock.advance(-300 * DAY)
    world.service.add(world.clock.now() + HOUR)
    assert world.sync(after=3 * HOUR).counts["new"] == 1
