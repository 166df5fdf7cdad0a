"""Small files that claim to be huge: refused by what the records say, before they are decoded."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.lake_service import PROJECT, World, sync

from backup_frames.errors import LakeError
from backup_frames.frames import partitions
from backup_frames.frames.partitions import decode_table, encode_table, open_parquet
from backup_frames.lake.lake import Lake
from backup_frames.lake.ledger.metadata import (
    Manifest,
    State,
    decode_record,
    describe_file,
    encode_record,
)
from backup_frames.lake.storage import store as store_module
from backup_frames.lake.storage.layout import meta_key
from backup_frames.lake.storage.urls import open_store
from backup_frames.sync.maintenance.check import check_lake
from backup_frames.sync.maintenance.salvage import salvage_table


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def many_rows() -> bytes:
    """Five million times the same value: a run length."""
    return parquet(pa.table({"a": pa.repeat(pa.scalar("x"), 5_000_000)}))


def one_text_many_times() -> bytes:
    """Three thousand times a text of a megabyte: a dictionary of one entry."""
    text = pa.DictionaryArray.from_arrays(
        pa.repeat(pa.scalar(0), 3000), pa.array(["x" * 1_000_000])
    )
    return parquet(pa.table({"a": text}), dictionary_pagesize_limit=1 << 30, compression="zstd")


def one_prefix_many_times() -> bytes:
    """Each text is the one before: nothing is stored but its length."""
    return parquet(
        pa.table({"a": ["x" * 20_000] * 1000}),
        use_dictionary=False,
        compression="zstd",
        column_encoding={"a": "DELTA_BYTE_ARRAY"},
    )


def one_long_text() -> bytes:
    """One row, thirty megabytes of zeros, compressed to nothing."""
    zeros = pa.array(["\0" * 30_000_000])
    return parquet(pa.table({"a": zeros}), use_dictionary=False, compression="zstd")


def one_long_list() -> bytes:
    """One row that holds millions of values."""
    values = pa.repeat(pa.scalar(1), 5_000_000)
    return parquet(pa.table({"a": pa.ListArray.from_arrays(pa.array([0, len(values)]), values)}))


def deep_schema() -> bytes:
    """A column in a thousand groups."""
    kind = pa.int32()
    for _ in range(1000):
        kind = pa.struct([("a", kind)])
    return parquet(pa.table({"a": pa.nulls(1, kind)}), store_schema=False)


def many_columns() -> bytes:
    """Ten thousand columns without a row."""
    return parquet(pa.table({f"c{number}": pa.array([], pa.int8()) for number in range(10_000)}))


BOMBS = [  # and how many rows the records say
    (many_rows, 3000),
    (many_rows, None),
    (one_text_many_times, 3000),
    (one_prefix_many_times, 1000),
    (one_long_text, 1),
    (one_long_list, 1),
    (deep_schema, 1),
    (deep_schema, None),
    (many_columns, 0),
    (many_columns, None),
]


_POOLS: list[pa.MemoryPool] = []


@contextmanager
def little_memory() -> Iterator[None]:
    """What is done inside takes a few megabytes of Arrow's at most."""
    before = pa.default_memory_pool()
    taken = pa.proxy_memory_pool(before)
    _POOLS.append(taken)  # what was made inside may outlive the block, and is given back to it
    pa.set_memory_pool(taken)
    try:
        yield
    finally:
        pa.set_memory_pool(before)
    assert taken.max_memory() < 15_000_000


@pytest.mark.parametrize(("bomb", "rows"), BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(
    monkeypatch: pytest.MonkeyPatch, bomb: Callable[[], bytes], rows: int | None
) -> None:
    """A file of at most some kilobytes is an error in words, at the cost of a few megabytes."""
    monkeypatch.setattr(partitions, "_ROW_BYTES", 1 << 10)  # so that the bombs can be small ones
    monkeypatch.setattr(partitions, "_SPARE_BYTES", 1 << 20)
    data = bomb()
    assert len(data) < 2_000_000
    with (
        little_memory(),
        pytest.raises(LakeError, match=r"would decode to|not an intact Parquet file"),
    ):
        decode_table(data, rows=rows)


def test_what_a_lake_holds_is_no_bomb() -> None:
    """Long texts, repeated ones, empty files: all that is in proportion to its rows comes back."""
    texts = ["x" * 30_000, "y", None] * 300
    schema = pa.schema([pa.field("a", pa.string(), metadata={"unit": "none"})])
    for table in (
        pa.table({"a": texts}, schema=schema),
        pa.table({"a": ["z" * 200_000] * 300}, schema=schema),
        schema.empty_table(),
    ):
        data = parquet(table)
        for rows in (table.num_rows, table.num_rows + 5, None):
            again = decode_table(data, rows=rows)
            assert again.equals(table, check_metadata=True)
        if table.num_rows:
            with pytest.raises(LakeError, match="would decode to"):
                decode_table(data, rows=table.num_rows - 1)


def plant(world: World, bomb: bytes, rows: int | None = None) -> str:
    """Put a bomb in the place of a file, and its hash into the manifest; the key."""
    store, name = world.store, meta_key(PROJECT, "manifest.json")
    manifest = decode_record(store.read(name), Manifest)
    assert manifest
    key = max(key for key in manifest.files if key.startswith("backups/"))
    entry = describe_file(bomb, manifest.files[key].rows if rows is None else rows)
    manifest.files[key] = entry
    store.put(name, encode_record(manifest))
    store.put(key, bomb)
    return key


def test_every_reader_goes_by_the_manifest(world: World) -> None:
    """Reads, datasets, verify and syncs name the file; none decodes it, the right hash or not."""
    key = plant(world, many_rows())
    store = world.store
    with little_memory():
        with pytest.raises(LakeError, match="would decode to") as caught:
            Lake(store).backups()
        assert caught.value.path == key
        with pytest.raises(LakeError, match="would decode to"):
            Lake(store).dataset("backups").to_table()
    report = sync(world.service, store, is_full=True)  # takes an allocator of its own
    assert (report.exit_code, report.damaged) == (5, (key,))
    with little_memory():
        assert [(one.path, one.kind) for one in check_lake(store)] == [(key, "damaged")]
        assert salvage_table(store.read(key), "backups") is None


def test_a_reader_sees_what_a_sync_has_just_written(world: World) -> None:
    """More rows than when the records were read: they are read again before a file is refused."""
    lake = Lake(world.store)
    count = lake.backups().num_rows
    for number in range(3):
        world.service.add(world.clock.now())
        sync(world.service, world.store, is_full=True)
        assert lake.backups().num_rows == count + number + 1


def test_a_file_that_is_in_no_record_is_foreign_to_readers(world: World) -> None:
    """Named like one of ours, of a known project, but recorded by nobody: it is not read."""
    store = world.store
    count = Lake(store).backups(present=False).num_rows
    key = f"backups/date=2025-06-01/{PROJECT}.parquet"
    other = next(file.key for file in store.list("backups"))
    store.put(key, store.read(other))
    assert Lake(store).backups(present=False).num_rows == count
    assert Lake(store).dataset("backups").count_rows() == count
    assert [(one.path, one.kind) for one in check_lake(store)] == [(key, "unlisted")]


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "data",
    [
        DEEP,
        b'{"files":' + DEEP + b',"checksum":""}',
        b'{"a":' * 50_000,
        b"[1]",
        b"1",
        b'"x"',
        b"null",
        b'{"checksum":1}',
        b'{"checksum":"","project_id":' + b"9" * 10_000 + b"}",
        b'{"checksum":"","project_id":1e999}',
        b"\xff",
        b"[]," * (1 << 22),
        b"",
    ],
)
def test_a_record_that_is_none_is_lost_and_no_crash(data: bytes) -> None:
    """Deep, wide, long or odd JSON under _meta is a damaged record, whatever it holds."""
    assert decode_record(data, Manifest) is None
    assert decode_record(data, State) is None


def test_a_sealed_record_of_another_kind_is_lost() -> None:
    """The right checksum over the wrong things is no record either."""
    content = {"project_id": "p", "partition_by": "day", "files": {"a": [1]}}
    checksum = hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
    assert decode_record(msgspec.json.encode(content | {"checksum": checksum}), Manifest) is None


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "pending.json", "lock"])
def test_deep_records_stop_no_sync(world: World, name: str) -> None:
    """A lake with such a record is synced, and sound after it."""
    world.store.put(meta_key(PROJECT, name), DEEP)
    world.sync()
    findings = check_lake(world.store)
    assert [one for one in findings if one.kind != "foreign"] == []


def test_a_file_too_large_to_be_ours_is_not_read(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file of a gigabyte and more is refused by its size; nothing is read of it."""
    store = open_store(str(tmp_path), scratch="_meta/p/tmp")
    store.put("_meta/p/manifest.json", b"")
    with open(f"{tmp_path}/_meta/p/manifest.json", "r+b") as file:  # noqa: PTH123
        file.truncate(store_module.MAX_FILE_BYTES + 1)
    with pytest.raises(LakeError, match="no file of a lake has more") as caught:
        store.read("_meta/p/manifest.json")
    assert caught.value.path == "_meta/p/manifest.json"


def test_encoding_is_unharmed() -> None:
    """A footer of ours passes whatever bound its own rows give."""
    table = pa.table({"backup_id": [str(number) for number in range(500)], "status": ["x"] * 500})
    data = encode_table(table.append_column("project_id", pa.repeat(pa.scalar("p"), 500)))
    open_parquet(data, rows=500).close()
