from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from support.record_maker import RECORDS, canonical, for_all, make_pages, make_records, page

from backup_frames.frames.deduplicate import deduplicate_frames, sort_table
from backup_frames.frames.flatten import ArrowFrames, concat_frames, flatten_pages
from backup_frames.frames.frames import BackupFrames


def flat(*bodies: bytes) -> ArrowFrames:
    return flatten_pages(bodies, project_id="p1", level="Instance")


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    order = list(range(table.num_rows))
    random.Random(seed).shuffle(order)
    return table.take(pa.array(order, pa.int64()))


@for_all(st.lists(RECORDS, max_size=8), st.integers(0, 3))
def test_last_wins(records: list[dict[str, Any]], again: int) -> None:
    """For all repetitions: each id stays once, as last given, with its own databases and tables."""
    records += [{**record, "name": "new", "database_tables": []} for record in records[:again]]
    last = {record["id"]: canonical(record) for record in records}
    frames, duplicates = deduplicate_frames(
        concat_frames([flat(page(record)) for record in records])
    )
    assert duplicates == len(records) - len(last)
    rebuilt = BackupFrames(frames).records()
    assert {record["id"]: record for record in rebuilt} == last
    assert len(rebuilt) == len(last)


def test_what_an_older_version_had_more_of_goes() -> None:
    """A backup that lost databases and tables between two pages has none of them left."""
    entry = {"database_name": "d", "table_names": ["t", "u"]}
    old = {"id": "a", "database_tables": [entry, entry]}
    new = {"id": "a", "database_tables": [entry | {"table_names": ["t"]}]}
    frames, _ = deduplicate_frames(concat_frames([flat(page(old)), flat(page(new))]))
    assert frames.databases["database_index"].to_pylist() == [0]
    assert frames.tables["table_name"].to_pylist() == ["t"]


def test_order() -> None:
    """Backups are sorted by begin time, then id, those without a time last; children like them."""
    records = [
        {"id": "b", "begin_time": "2026-01-02T00:00:00+0000"},
        {"id": "z"},
        {"id": "a", "begin_time": "2026-01-02T00:00:00+0000", "database_tables": [{}, {}]},
        {"id": "c", "begin_time": "2026-01-01T00:00:00+0000", "database_tables": [{}]},
    ]
    frames, _ = deduplicate_frames(flat(page(*records)))
    assert frames.backups["backup_id"].to_pylist() == ["c", "a", "b", "z"]
    assert frames.databases["backup_id"].to_pylist() == ["c", "a", "a"]
    assert frames.databases["database_index"].to_pylist() == [0, 0, 1]


def test_any_order() -> None:
    """Whatever order rows come in, settled frames and their records are the same."""
    frames = flat(*make_pages(3))
    first, _ = deduplicate_frames(frames)
    second, _ = deduplicate_frames(ArrowFrames(*(shuffled(table, 7) for table in frames)))
    assert all(one.equals(other) for one, other in zip(first, second, strict=True))
    third = ArrowFrames(first.backups, *(shuffled(table, 3) for table in first[1:]))
    assert BackupFrames(third).records() == BackupFrames(first).records()
    assert BackupFrames(first).records() == [
        canonical(record)
        for record in sorted(make_records(300), key=lambda r: (r["begin_time"], r["id"]))
    ]


def test_empty() -> None:
    """No rows settle to no rows, with the contracted types."""
    frames, duplicates = deduplicate_frames(concat_frames([]))
    assert duplicates == 0
    assert [table.num_rows for table in frames] == [0, 0, 0]
    assert frames.backups.schema.equals(concat_frames([]).backups.schema, check_metadata=True)


def test_one_chunk() -> None:
    """Sorted tables are in one chunk, so that what is written does not depend on how they came."""
    frames = concat_frames([flat(body) for body in make_pages(3, rows=10)])
    assert {column.num_chunks for column in sort_table(frames.backups).columns} == {1}
