"""Reading a lake: present or all rows, time ranges, past moments, lazy datasets."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from support.lake_service import DAY, HOUR, PROJECT, START, content_of
from support.stores import FaultStore

from backup_frames.errors import LakeError, QueryError
from backup_frames.frames.schema import TABLES, with_ledger
from backup_frames.lake.lake import Lake, open_lake

LEDGER = ("first_seen_at", "updated_at", "gone_at")


def ids(table: pa.Table) -> list[str]:
    return sorted(table["backup_id"].to_pylist())


@pytest.fixture
def aged(world):
    """A lake of a few syncs: one backup gone after two hours, one new after three."""
    world.sync()
    gone = world.ids()[2]
    world.service.remove(gone)
    world.sync(after=HOUR)
    world.service.add(world.clock.now(), tables=[("new", ["t"])])
    world.sync(after=HOUR)
    world.gone = gone
    return world


def test_present_backups_are_those_on_the_service(aged):
    """By default the lake shows what the service lists; present=False shows all that ever were."""
    lake = Lake(aged.store)
    assert ids(lake.backups()) == aged.ids()
    assert ids(lake.backups(present=False)) == sorted(aged.ledger.entries)


def test_columns_are_those_of_the_schema(aged):
    """All three tables carry their schema with descriptions, empty or not."""
    lake = Lake(aged.store)
    for begin in (None, "1999-01-01"):
        end = None if begin is None else "1999-01-02"
        backups = lake.backups(begin=begin, end=end)
        assert backups.schema.equals(with_ledger(TABLES["backups"]), check_metadata=True)
        assert lake.databases(begin=begin, end=end).schema.equals(TABLES["backup_databases"])
        assert lake.tables(begin=begin, end=end).schema.equals(TABLES["backup_tables"])


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (START - 3 * DAY, None),
        (None, START - 2 * DAY),
        (START - 3 * DAY + timedelta(hours=5), START - 2 * DAY + timedelta(hours=1)),
        ("2025-12-28", date(2025, 12, 30)),
    ],
)
def test_a_time_range_is_half_open(aged, begin, end):
    """Exactly the backups with begin <= begin_time < end, and the children of just these."""
    low = datetime.fromisoformat("2025-12-28T00:00:00+00:00") if isinstance(begin, str) else begin
    high = (
        datetime(2025, 12, 30, tzinfo=UTC)
        if isinstance(end, date) and not isinstance(end, datetime)
        else end
    )
    expected = [
        one
        for one in aged.service.backups.values()
        if (low is None or one.begin >= low) and (high is None or one.begin < high)
    ]
    lake = Lake(aged.store)
    assert ids(lake.backups(begin=begin, end=end)) == sorted(one.id for one in expected)
    databases = [row for one in expected for row in content_of(one)["databases"]]
    tables = [row for one in expected for row in content_of(one)["tables"]]
    assert ids(lake.databases(begin=begin, end=end)) == sorted(
        row["backup_id"] for row in databases
    )
    assert ids(lake.tables(begin=begin, end=end)) == sorted(row["backup_id"] for row in tables)


def test_a_time_range_reads_only_its_partitions(aged):
    """Files of other days are not opened, and a project's records once."""
    store = FaultStore(aged.store)
    lake = Lake(store)
    for _ in range(2):
        lake.backups(begin="2025-12-28", end="2025-12-29")
    assert [call.key for call in store.calls if call.method == "read"] == [
        "_meta/lake.json",
        f"_meta/{PROJECT}/pending.json",
        f"_meta/{PROJECT}/manifest.json",
        f"backups/date=2025-12-28/{PROJECT}.parquet",
        f"backups/date=2025-12-28/{PROJECT}.parquet",
    ]


def test_as_of_shows_a_past_moment(aged):
    """What had been seen and had not left by then; present=False keeps those that had left."""
    lake = Lake(aged.store)
    before, after = START + HOUR, START + 2 * HOUR
    assert aged.gone in ids(lake.backups(as_of=before))
    assert aged.gone not in ids(lake.backups(as_of=after))
    assert aged.gone in ids(lake.backups(as_of=after, present=False))
    assert lake.backups(as_of=START - DAY).num_rows == 0
    assert len(ids(lake.databases(as_of=before))) == len(
        [
            row
            for row in aged.ledger.entries.values()
            if row["first_seen_at"] <= before
            for _ in row["databases"]
        ]
    )


def test_rows_come_in_order_of_time(aged):
    """By begin time, then id."""
    rows = Lake(aged.store).backups().select(["begin_time", "backup_id"]).to_pylist()
    assert rows == sorted(rows, key=lambda row: (row["begin_time"], row["backup_id"]))


def test_foreign_files_are_never_read(aged):
    """Stray names beside the data change nothing."""
    expected = Lake(aged.store).backups()
    for key in (
        "backups/date=2025-12-28/copy of x.parquet",
        "backups/date=2025-12-28/.x.parquet",
        f"backups/date=2025-13-28/{PROJECT}.parquet",
        f"backups/{PROJECT}.parquet",
        "backups/notes.txt",
    ):
        aged.store.files[key] = b"stray"
    lake = Lake(aged.store)
    assert lake.backups().equals(expected)
    assert lake.dataset("backups").count_rows() == len(aged.ledger.entries)


def test_a_dataset_is_lazy_and_prunes_by_date(aged):
    """Opening it reads no data; a filter on begin_date opens only the files it needs."""
    store = FaultStore(aged.store)
    dataset = Lake(store).dataset("backups")
    assert not [
        call for call in store.calls if call.method == "read" and not call.key.startswith("_meta/")
    ]
    found = dataset.to_table(filter=pc.field("begin_date") == date(2025, 12, 28))
    assert found.num_rows == 8
    read = {call.key for call in store.calls if call.key.startswith("backups/date")}
    assert read == {f"backups/date=2025-12-28/{PROJECT}.parquet"}


def test_runs_are_a_table(aged):
    """One row per sync, oldest first."""
    runs = Lake(aged.store).runs()
    assert runs["as_of"].to_pylist() == sorted(runs["as_of"].to_pylist())
    assert runs.num_rows == 4
    assert runs["gone_count"].to_pylist() == [0, 0, 1, 0]


def test_rows_without_begin_time_have_no_place_in_a_range(empty_world):
    """They are in the whole table, and left out as soon as a begin or an end is asked."""
    empty_world.service.add(None)
    empty_world.service.add(START)
    empty_world.sync()
    lake = Lake(empty_world.store)
    assert lake.backups().num_rows == 2
    assert lake.backups(begin="1900-01-01").num_rows == 1
    assert lake.backups(end="2200-01-01").num_rows == 1


def test_no_lake_is_an_error(tmp_path):
    """An address without a lake says so and how to make one."""
    with pytest.raises(LakeError, match="backup-frames sync"):
        open_lake(str(tmp_path / "nowhere"))


def test_questions_that_make_no_sense_are_query_errors(aged):
    """Unknown tables and unreadable moments."""
    lake = Lake(aged.store)
    with pytest.raises(QueryError):
        lake.dataset("backup")
    with pytest.raises(QueryError):
        lake.backups(begin="yesterday")


def test_a_damaged_file_is_an_error_that_names_it(aged):
    """A cut file does not come back as fewer rows."""
    key = f"backups/date=2025-12-28/{PROJECT}.parquet"
    aged.store.files[key] = aged.store.files[key][:-20]
    with pytest.raises(LakeError) as raised:
        Lake(aged.store).backups()
    assert raised.value.path == key


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.8, 0.95, 0.999])
def test_no_flipped_bit_is_decoded_or_read_as_if_it_were_none(aged, place):
    """Wherever it lies: on some of them Arrow ends the process, others change rows in silence."""
    data = aged.store.files
    key = max(key for key in data if key.startswith("backups/"))
    flipped = bytearray(data[key])
    flipped[int(len(flipped) * place)] ^= 4
    data[key] = bytes(flipped)
    for read in (Lake(aged.store).backups, Lake(aged.store).dataset("backups").to_table):
        with pytest.raises(LakeError, match="not as they were written") as caught:
            read()
        assert caught.value.path == key


def test_without_records_a_file_is_decoded_apart(aged):
    """Nobody vouches for it then: what would end the process is an error, to a lazy reader too."""
    data = aged.store.files
    key = max(key for key in data if key.startswith("backups/"))
    flipped = bytearray(data[key])
    flipped[len(flipped) - 8 - int.from_bytes(flipped[-8:-4], "little") + 20] ^= 4
    data[key] = bytes(flipped)
    del data[f"_meta/{PROJECT}/manifest.json"]
    for read in (Lake(aged.store).backups, Lake(aged.store).dataset("backups").to_table):
        with pytest.raises(LakeError) as caught:
            read()
        assert caught.value.path == key
