from __future__ import annotations

import pickle
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from support.record_maker import make_pages, page

from backup_frames.frames.deduplicate import deduplicate_frames
from backup_frames.frames.flatten import ArrowFrames, concat_frames, flatten_pages
from backup_frames.frames.frames import BackupFrames
from backup_frames.frames.schema import (
    BACKUPS,
    DESCRIPTIONS,
    KEYS,
    LEDGER_FIELDS,
    TABLES,
    describe_field,
    with_later_columns,
    with_ledger,
)

CERTIFICATE = SimpleNamespace(verdict="incomplete", reasons=["<b>one range</b> failed"])


def frames_of(*bodies: bytes) -> BackupFrames:
    flat = flatten_pages(bodies, project_id="p1", level="Instance")
    return BackupFrames(deduplicate_frames(flat)[0], CERTIFICATE)  # type: ignore[arg-type]  # duck-typed


@pytest.mark.parametrize("bodies", [[], [page({"id": "a"})], make_pages(1)])
def test_pandas_types(bodies: list[bytes]) -> None:
    """DataFrames have pandas' default types, and Int32 counts with <NA>; empty ones too."""
    frames = frames_of(*bodies)
    types = frames.backups.dtypes.astype(str).to_dict()
    assert types["begin_time"] == types["end_time"] == "datetime64[us, UTC]"
    days = [one.dtypes["begin_date"] for one in (frames.backups, frames.databases, frames.joined())]
    assert all(str(day).startswith("datetime64[") for day in days)
    assert types["database_count"] == "Int32"
    assert types["size_kb"] == "float64"
    assert types["backup_id"] == str(pd.Series(["x"]).dtype)
    assert str(frames.databases.dtypes["table_count"]) == "Int32"
    assert str(frames.databases.dtypes["database_index"]) == "int32"
    assert str(frames.tables.dtypes["table_index"]) == "int32"
    assert frames.backups is frames.backups


def test_representations() -> None:
    """Both representations tell counts, span and verdict; HTML is escaped."""
    frames = frames_of(
        page({"id": "a", "begin_time": "2026-01-01T08:00:00Z", "database_tables": [{}]})
    )
    assert repr(frames) == (
        "BackupFrames(1 backups, 1 databases, 0 tables, 2026-01-01 to 2026-01-01, "
        "incomplete: <b>one range</b> failed)"
    )
    assert "&lt;b&gt;one range" in frames._repr_html_()
    assert "<b>" not in frames._repr_html_()
    assert repr(BackupFrames(concat_frames([]))).endswith("no days, no certificate)")
    assert len(frames) == 1


def test_pickle() -> None:
    """Frames survive pickling, also after DataFrames were made of them."""
    frames = frames_of(*make_pages(1))
    assert len(frames.backups) == 100
    again = pickle.loads(pickle.dumps(frames))
    assert all(one.equals(other) for one, other in zip(again.arrow, frames.arrow, strict=True))
    assert again.certificate == CERTIFICATE
    assert "backups" not in again.__dict__


def test_records_need_one_read() -> None:
    """Tables that do not belong together, or hold a backup twice, are refused."""
    one, two = (frames_of(body).arrow for body in make_pages(2))
    for mixed in (
        ArrowFrames(one.backups, *two[1:]),
        ArrowFrames(one.backups, one.databases, two.tables),
        concat_frames([one, one]),
    ):
        with pytest.raises(ValueError, match="belong together"):
            BackupFrames(mixed).records()


@pytest.mark.parametrize("name", TABLES)
def test_described(name: str) -> None:
    """Every table, key and column is described; every column has a unit."""
    schema = TABLES[name]
    assert DESCRIPTIONS[name].endswith(".")
    assert set(KEYS[name]) <= set(schema.names)
    for field in [*schema, *LEDGER_FIELDS]:
        description, unit = describe_field(field)
        assert description.endswith((".", ";", ")")), field.name
        assert unit, field.name


def test_pandas_is_lazy() -> None:
    """Importing the room loads no pandas."""
    code = (
        "import sys, backup_frames.frames.frames\n"
        "sys.exit(any(name.startswith('pandas') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_of_an_earlier_version_gets_the_columns_it_lacks() -> None:
    """They are null, in their place; a table that lacks none is handed back as it is."""
    schema = with_ledger(BACKUPS)
    old = schema.remove(schema.get_field_index("status")).empty_table()
    assert with_later_columns(old, schema).schema.names == schema.names
    new = schema.empty_table()
    assert with_later_columns(new, schema) is new
