from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st
from support.record_maker import RECORD_LISTS, for_all, make_pages, page

from backup_frames.errors import ConfigError, LakeError, QueryError
from backup_frames.frames.deduplicate import deduplicate_frames
from backup_frames.frames.flatten import ArrowFrames, concat_frames, flatten_pages
from backup_frames.frames.frames import BackupFrames
from backup_frames.frames.partitions import (
    NO_DATE,
    decode_table,
    encode_table,
    partition_keys,
    partition_path,
    split_by_date,
)
from backup_frames.frames.schema import TABLES, with_ledger

DAY_1 = {
    "id": "a",
    "name": "n",
    "size": 7,
    "begin_time": "2026-01-01T08:00:00+0000",
    "database_tables": [{"database_name": "x", "table_names": ["t", "u"]}, {}],
}
# A day on which everything that can be null is, and one row without any time.
DAY_2 = {"id": "b", "begin_time": "2026-01-02T08:00:00+0000"}
NO_DAY = {"id": "c", "database_tables": []}


def frames_of(*records: dict[str, Any], project_id: str = "p1") -> BackupFrames:
    flat = flatten_pages([page(*records)], project_id=project_id, level="Instance")
    return BackupFrames(deduplicate_frames(flat)[0])


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", ["backups", "backup_databases", "backup_tables"])
def test_partition_paths(tmp_path: Path, name: str) -> None:
    """write puts one file per table, UTC day and project; no time means 1970-01-01."""
    written = frames_of(DAY_1, DAY_2, NO_DAY).write(tmp_path)
    expected = [
        f"{name}/date={day}/p1.parquet" for day in ("1970-01-01", "2026-01-01", "2026-01-02")
    ]
    assert [path for path in files_of(tmp_path) if path.startswith(f"{name}/")] == expected
    assert sorted(str(path.relative_to(tmp_path)) for path in written) == sorted(files_of(tmp_path))


def test_pandas_reads(tmp_path: Path) -> None:
    """pandas.read_parquet on the folder gives the types of BackupFrames but for days, nulls in all days."""
    frames = frames_of(DAY_1, DAY_2, NO_DAY)
    frames.write(tmp_path)
    for name, held in (
        ("backups", frames.backups),
        ("backup_databases", frames.databases),
        ("backup_tables", frames.tables),
    ):
        read = pd.read_parquet(tmp_path / name).drop(columns="date")
        if "begin_date" in read:  # pandas reads Parquet's days as objects
            read["begin_date"] = pd.to_datetime(read["begin_date"]).astype("datetime64[ms]")
        key = [column for column in held.columns if column.endswith(("_id", "_index"))]
        pd.testing.assert_frame_equal(
            read.sort_values(key, ignore_index=True), held.sort_values(key, ignore_index=True)
        )


def test_arrow_reads(tmp_path: Path) -> None:
    """pyarrow.dataset gives back the very tables: write, then read, is identity."""
    arrow = frames_of(DAY_1, DAY_2, NO_DAY).arrow
    BackupFrames(arrow).write(tmp_path)
    back = ArrowFrames(
        *(
            ds.dataset(tmp_path / name, partitioning="hive").to_table(columns=table.column_names)
            for name, table in zip(
                ("backups", "backup_databases", "backup_tables"), arrow, strict=True
            )
        )
    )
    again, _ = deduplicate_frames(back)
    for one, other in zip(again, arrow, strict=True):
        assert one.equals(other)
        assert one.schema.equals(other.schema, check_metadata=True)


def test_polars_reads(tmp_path: Path) -> None:
    """polars reads the folder in one line, with the contracted types."""
    frames_of(DAY_1, DAY_2, NO_DAY).write(tmp_path)
    backups = pl.read_parquet(tmp_path / "backups")
    assert backups.schema["begin_time"] == pl.Datetime("us", "UTC")
    assert backups.schema["database_count"] == pl.Int32
    assert backups.schema["description"] == pl.String
    assert backups.sort("backup_id")["database_count"].to_list() == [2, None, 0]
    assert pl.read_parquet(tmp_path / "backup_tables")["table_name"].to_list() == ["t", "u"]


def test_duckdb_reads(tmp_path: Path) -> None:
    """DuckDB reads the folder in one line, with the contracted types."""
    frames_of(DAY_1, DAY_2, NO_DAY).write(tmp_path)
    with duckdb.connect() as connection:
        described = connection.sql(f"describe from '{tmp_path}/backups/*/*.parquet'").fetchall()
        types = {row[0]: row[1] for row in described}
        count = connection.sql(f"select count(*) from '{tmp_path}/backup_tables/*/*.parquet'")
        assert count.fetchall() == [(2,)]
    assert types["begin_time"] == "TIMESTAMP WITH TIME ZONE"
    assert (types["begin_date"], types["database_count"]) == ("DATE", "INTEGER")
    assert (types["description"], types["size_kb"]) == ("VARCHAR", "DOUBLE")


def test_same_bytes(tmp_path: Path) -> None:
    """The same rows give the same bytes, whatever order and chunks they come in."""
    frames = flatten_pages(make_pages(3), project_id="p1", level="Instance")
    chunks = [flatten_pages([one], project_id="p1", level="Instance") for one in make_pages(3)]
    chunked = concat_frames(list(reversed(chunks)))
    for table, other in zip(frames, chunked, strict=True):
        order = list(range(table.num_rows))
        random.Random(5).shuffle(order)
        assert encode_table(table) == encode_table(other) == encode_table(table.take(order))
    BackupFrames(frames).write(tmp_path / "one")
    BackupFrames(chunked).write(tmp_path / "two")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@for_all(RECORD_LISTS)
def test_decode_is_inverse(records: list[dict[str, Any]]) -> None:
    """For all records: decoding gives the encoded rows, with schema and field metadata."""
    for table in frames_of(*records).arrow:
        back = decode_table(encode_table(table))
        assert back.equals(table)
        assert back.schema.equals(table.schema, check_metadata=True)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_encodes(name: str) -> None:
    """Every table of the schema, ledger columns too, can be encoded and decoded, empty or null."""
    for schema in (TABLES[name], with_ledger(TABLES["backups"])):
        row = pa.table({field.name: pa.nulls(2, field.type) for field in schema}, schema=schema)
        for table in (schema.empty_table(), row):
            assert decode_table(encode_table(table)).equals(table)


def test_a_file_of_few_rows_has_no_dictionaries() -> None:
    """They would make it larger; from 64 rows on they make it smaller."""
    schema = TABLES["backups"]
    for rows, has_dictionaries in ((0, False), (63, False), (64, True)):
        table = pa.Table.from_pylist([{"project_id": "p", "status": "FAILED"}] * rows, schema)
        metadata = pq.read_metadata(pa.BufferReader(encode_table(table)))
        found = {
            metadata.row_group(group).column(column).has_dictionary_page
            for group in range(metadata.num_row_groups)
            for column in range(metadata.num_columns)
        }
        assert any(found) == has_dictionaries


def test_damage_is_noticed() -> None:
    """A file with one flipped byte among its pages, or cut short, is an error."""
    frames = flatten_pages(make_pages(1), project_id="p1", level="Instance")
    data = encode_table(frames.backups)
    place = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0).column(1).data_page_offset
    flipped = bytearray(data)
    flipped[place + 200] ^= 1
    for damaged in (bytes(flipped), data[:-10], b"", b"PAR1"):
        with pytest.raises(LakeError, match="not an intact Parquet file"):
            decode_table(damaged)


@for_all(RECORD_LISTS, st.sampled_from(["day", "month"]))
def test_split(records: list[dict[str, Any]], grain: str) -> None:
    """For all records: the partitions hold all rows, each under its day or its month's first."""
    frames = frames_of(*records).arrow
    parts = split_by_date(frames, grain)
    assert list(parts) == sorted(parts)
    assert all(part.backups.num_rows for part in parts.values())
    for index, table in enumerate(frames):
        assert sum(part[index].num_rows for part in parts.values()) == table.num_rows
        for day, part in parts.items():
            for held in part[index]["begin_date"].to_pylist():
                wanted = NO_DATE if held is None else held
                assert day == (wanted.replace(day=1) if grain == "month" and held else wanted)


def test_unknown_grain() -> None:
    """A grain that is neither day nor month is refused."""
    with pytest.raises(QueryError, match="'week'"):
        partition_keys(concat_frames([]).backups, "week")


@pytest.mark.parametrize("project_id", ["", "../x", "a/b", "a b", "x" * 65, "a\n", "..", "é"])
def test_hostile_project(tmp_path: Path, project_id: str) -> None:
    """A project id that could lead a path astray is refused before anything is written."""
    with pytest.raises(QueryError, match="project_id"):
        partition_path("backups", date(2026, 1, 31), project_id)
    with pytest.raises(QueryError, match="project_id"):
        frames_of(DAY_1, project_id=project_id).write(tmp_path)
    assert files_of(tmp_path) == {}
    assert partition_path("backups", date(2026, 1, 31), "aZ0_-").endswith("/aZ0_-.parquet")


def test_rewrite(tmp_path: Path) -> None:
    """Writing again replaces the days at hand; other days and projects stay, no temp file does."""
    frames_of(DAY_1, DAY_2).write(tmp_path)
    frames_of(DAY_1, project_id="p2").write(tmp_path)
    before = files_of(tmp_path)
    frames_of({**DAY_1, "database_tables": None}).write(tmp_path)
    after = files_of(tmp_path)
    changed = {path for path in after if after[path] != before[path]}
    assert changed == {
        f"{name}/date=2026-01-01/p1.parquet"
        for name in ("backups", "backup_databases", "backup_tables")
    }
    assert before.keys() == after.keys()
    assert frames_of().write(tmp_path) == []


def test_two_projects(tmp_path: Path) -> None:
    """Rows of two projects go into two files of the same day."""
    parts = [frames_of(DAY_1, project_id=project).arrow for project in ("p1", "p2")]
    BackupFrames(concat_frames(parts)).write(tmp_path)
    for project in ("p1", "p2"):
        table = decode_table(
            (tmp_path / partition_path("backups", date(2026, 1, 1), project)).read_bytes()
        )
        assert table["project_id"].to_pylist() == [project]


def test_refusing_disk(tmp_path: Path) -> None:
    """A folder that cannot be made is a LakeError that names the file; the temp file is gone."""
    (tmp_path / "backups").write_text("in the way")
    with pytest.raises(LakeError, match="could not be written") as caught:
        frames_of(DAY_1).write(tmp_path)
    assert caught.value.path == "backups/date=2026-01-01/p1.parquet"
    assert list(files_of(tmp_path)) == ["backups"]


@pytest.mark.parametrize(
    ("place", "mark"),
    [("lake", "lake"), ("lake/new", "lake"), ("link/backups", "lake"), ("lake", "p1/manifest")],
)
def test_no_frames_are_written_into_a_lake(tmp_path: Path, place: str, mark: str) -> None:
    """Over a lake's own files, one of which is lost, they would cost its history: refused, untouched."""
    known = tmp_path / "lake" / "_meta" / f"{mark}.json"
    known.parent.mkdir(parents=True)
    known.write_text("{}")
    (tmp_path / "link").symlink_to("lake")
    frames = frames_of(DAY_1)
    for write, name in ((frames.write, place), (frames.to_excel, f"{place}/x.xlsx")):
        with pytest.raises(ConfigError, match=f"lies in the lake {tmp_path}/lake, which holds"):
            write(tmp_path / name)
    assert list(files_of(tmp_path / "lake")) == [f"_meta/{mark}.json"]


def test_a_name_that_is_no_text_is_a_damaged_file() -> None:
    """One flipped bit in a column's name is no UTF-8 any more: an error of the file, in words."""
    data = encode_table(pa.table({"named": ["a", "b"] * 32}))
    for place in (data.rindex(b"named", 0, -8), data.index(b"named")):
        flipped = bytearray(data)
        flipped[place] ^= 0x80
        with pytest.raises(LakeError, match="not an intact Parquet file"):
            decode_table(bytes(flipped))
