"""Views that are bound once and copied are the views."""

from __future__ import annotations

import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest

from backup_frames.insight.kpi import catalog, relations
from backup_frames.insight.kpi.relations import open_memory

CATALOGUE = (
    "SELECT schema_name, view_name, sql, comment FROM duckdb_views() WHERE NOT internal",
    "SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE NOT internal",
    "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal",
    "SELECT 'settings', settings FROM settings",
)


def catalogue_of(connection: duckdb.DuckDBPyConnection) -> list[list[tuple[Any, ...]]]:
    """The words of each row, sorted: DuckDB keeps the names after EXCLUDE in no order."""
    with connection:
        return [
            sorted(
                sorted(re.findall(r"\w+", str(row))) for row in connection.execute(query).fetchall()
            )
            for query in CATALOGUE
        ]


def declared(**how: Any) -> list[list[tuple[Any, ...]]]:
    connection = open_memory()
    catalog.declare_views(connection, **how)
    return catalogue_of(connection)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a place for temporary files."""
    monkeypatch.setattr(catalog, "_folder", None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))


@pytest.mark.parametrize(
    "how", [{"inner": "internal", "words": True}, {"only": {"v_backups_current"}}], ids=str
)
def test_a_copy_is_what_was_bound(
    how: dict[str, Any], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views, SQL, columns, types, comments and settings are those of a machine that cannot keep any."""
    monkeypatch.setattr(catalog, "_folder", None)
    monkeypatch.setattr(catalog, "_asked", set())
    first = declared(**how)
    # a few views are kept from the second time on
    assert (catalog._folder is None) == ("only" in how)
    copied = declared(**how)
    assert copied == first
    request.getfixturevalue("nowhere")
    assert copied == declared(**how)
    assert all(copied)


def test_views_made_over_tables_are_those_made_over_views() -> None:
    """Made while tables stand for what they ask, views are those that DuckDB makes one over another."""
    plain = open_memory()
    relations.declare_relations(plain)
    plain.execute(catalog._sql_files())
    catalog.describe_everything(plain)
    assert catalogue_of(plain) == declared(words=True)


def test_who_clears_the_temporary_files_away_disturbs_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a forked process does that ends: what was bound is bound anew."""
    monkeypatch.setattr(catalog, "_folder", None)
    few = {"v_backups_current"}
    before = declared(only=few)
    assert catalog._folder is not None
    shutil.rmtree(catalog._folder)
    assert declared(only=few) == before


def test_threads_open_lakes_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """None waits for another's binding, and all have the views."""
    few = {"v_backups_current"}
    monkeypatch.setattr(catalog, "_folder", None)
    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(lambda _: declared(only=few), range(3))
    assert catalog._folder is not None
    assert all(first)
    assert others == [first] * 2
