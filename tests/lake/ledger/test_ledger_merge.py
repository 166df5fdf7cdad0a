"""The ledger's merge against the same rules in plain Python, and its algebra."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lake_service import DAY, HOUR, LEVELS, START, Backup, Row, content_of, frames

from backup_frames.frames.partitions import encode_table
from backup_frames.lake.ledger.merge import (
    EMPTY_LEDGER,
    LedgerTables,
    Proof,
    mark_gone,
    merge_fresh,
)

IDS = [f"b{number}" for number in range(6)]
BEGINS = [
    None,
    START,
    START + HOUR,
    START + timedelta(hours=1, microseconds=500_000),
    START + 2 * HOUR,
]
TABLES = [
    None,
    [],
    [("db", None)],
    [("db", [])],
    [("db", ["a", "b"])],
    [("db", ["b"]), ("e", ["a"])],
]

backups = st.builds(
    Backup,
    id=st.sampled_from(IDS),
    level=st.sampled_from(LEVELS),
    begin=st.sampled_from(BEGINS),
    status=st.sampled_from(["BUILDING", "COMPLETED"]),
    size=st.sampled_from([1.0, 2.5]),
    tables=st.sampled_from(TABLES),
)
lists = st.lists(backups, unique_by=lambda backup: backup.id, max_size=6)
cuts = [int(START.timestamp()) + 1800 * step for step in range(6)]
spans = st.tuples(st.sampled_from(cuts), st.sampled_from(cuts)).filter(lambda s: s[0] < s[1])
proofs = st.builds(
    Proof,
    spans=st.dictionaries(st.sampled_from(LEVELS), spans.map(lambda span: [span])),
    untimed=st.sets(st.sampled_from(LEVELS)),
)
reads = st.lists(st.tuples(lists, proofs, st.booleans()), min_size=1, max_size=5)


def rows_in(tables: LedgerTables) -> dict[str, Row]:
    rows: dict[str, Row] = {
        row["backup_id"]: row | {"databases": [], "tables": []}
        for row in tables.backups.to_pylist()
    }
    order = ["backup_id", "database_index"]
    databases = tables.backup_databases.sort_by([(name, "ascending") for name in order])
    for row in databases.to_pylist():
        rows[row["backup_id"]]["databases"].append(row)
    order.append("table_index")
    names = tables.backup_tables.sort_by([(name, "ascending") for name in order])
    for row in names.to_pylist():
        rows[row["backup_id"]]["tables"].append(row)
    return rows


def is_proven(row: Row, proof: Proof) -> bool:
    if row["begin_time"] is None:
        return row["backup_level"] in proof.untimed
    second = int(row["begin_time"].timestamp())
    return any(low <= second < high for low, high in proof.spans.get(row["backup_level"], ()))


def apply_rules(
    expected: dict[str, Row], rows: list[Backup], proof: Proof, as_of: datetime, *, marks: bool
) -> dict[str, list[str]]:
    """The rules of the ledger, one backup after the other; what was found, by name."""
    found: dict[str, list[str]] = {"new": [], "changed": [], "returned": [], "absent": []}
    fresh = {row.id: content_of(row) for row in rows}
    for one, known in expected.items():
        if one not in fresh and known["gone_at"] is None and is_proven(known, proof):
            found["absent"].append(one)
            expected[one] = known | {"gone_at": as_of if marks else None}
    for one, content in fresh.items():
        known = expected.get(one)
        history: Row = {"first_seen_at": as_of, "updated_at": as_of}
        if known is None:
            found["new"].append(one)
        else:
            history = {name: known[name] for name in history}
            if any(known[name] != content[name] for name in content):
                found["changed"].append(one)
                history["updated_at"] = as_of
            if known["gone_at"] is not None:
                found["returned"].append(one)
        expected[one] = {**content, **history, "gone_at": None}
    return found


@given(reads)
@settings(max_examples=80)
def test_merge_follows_the_rules(reads: list[tuple[list[Backup], Proof, bool]]) -> None:
    """After any sequence of reads the tables are what the rules say, row by row."""
    tables = EMPTY_LEDGER
    expected: dict[str, Row] = {}
    for number, (rows, proof, marks) in enumerate(reads):
        as_of = START + number * DAY
        merge = merge_fresh(tables, frames(rows), proof, as_of=as_of)
        found = apply_rules(expected, rows, proof, as_of, marks=marks)
        for name, ids in found.items():
            assert sorted(getattr(merge, name).to_pylist()) == sorted(ids), name
        tables = merge.tables
        if marks:
            tables = tables._replace(backups=mark_gone(tables.backups, merge.absent, as_of=as_of))
        assert rows_in(tables) == expected


@given(lists, st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_the_order_of_rows_does_not_show(rows: list[Backup], shuffle: random.Random) -> None:
    """The same backups in another order give the same bytes."""
    first = merge_fresh(EMPTY_LEDGER, frames(rows), Proof(), as_of=START).tables
    mixed = list(rows)
    shuffle.shuffle(mixed)
    second = merge_fresh(EMPTY_LEDGER, frames(mixed), Proof(), as_of=START).tables
    assert [encode_table(table) for table in first] == [encode_table(table) for table in second]


@given(lists, lists)
@settings(max_examples=25)
def test_reading_the_same_again_changes_nothing(rows: list[Backup], others: list[Backup]) -> None:
    """A second merge of the same rows is unchanged and hands the very same tables back."""
    tables = merge_fresh(EMPTY_LEDGER, frames(others), Proof(), as_of=START).tables
    tables = merge_fresh(tables, frames(rows), Proof(), as_of=START + HOUR).tables
    again = merge_fresh(tables, frames(rows), Proof(), as_of=START + DAY)
    assert again.is_unchanged
    assert again.tables is tables


def test_null_is_no_change_where_another_row_changes() -> None:
    """In a column that differs for one backup, null for another is what it was."""
    before = [Backup(one, LEVELS[0], None) for one in ("b0", "b1")]
    tables = merge_fresh(EMPTY_LEDGER, frames(before), Proof(), as_of=START).tables
    after = [before[0], Backup("b1", LEVELS[0], START)]
    merge = merge_fresh(tables, frames(after), Proof(), as_of=START + DAY)
    assert merge.changed.to_pylist() == ["b1"]


def test_no_proof_means_nobody_is_absent() -> None:
    """An uncertified read of nothing leaves all rows present."""
    tables = merge_fresh(
        EMPTY_LEDGER, frames([Backup("b1", LEVELS[0], START)]), Proof(), as_of=START
    )
    empty = merge_fresh(tables.tables, frames([]), Proof(), as_of=START + DAY)
    assert len(empty.absent) == 0
    assert empty.is_unchanged


def test_a_child_that_an_earlier_run_replaced_still_counts_as_changed() -> None:
    """Ids named as changed get a new updated_at though nothing differs any more."""
    rows = [Backup("b1", LEVELS[0], START, tables=[("db", None)])]
    stored = merge_fresh(EMPTY_LEDGER, frames(rows), Proof(), as_of=START).tables
    later = START + DAY
    merge = merge_fresh(stored, frames(rows), Proof(), as_of=later, known_changed=["b1"])
    assert merge.child_changed.to_pylist() == ["b1"]
    assert merge.tables.backups["updated_at"].to_pylist() == [later]
    assert merge.tables.backups["first_seen_at"].to_pylist() == [START]


def test_marking_twice_keeps_the_first_moment() -> None:
    """gone_at is the first certified absence, not the last."""
    rows = [Backup("b1", LEVELS[0], START)]
    stored = merge_fresh(EMPTY_LEDGER, frames(rows), Proof(), as_of=START).tables
    ids = pa.array(["b1"])
    first = mark_gone(stored.backups, ids, as_of=START + DAY)
    second = mark_gone(first, ids, as_of=START + 2 * DAY)
    assert second["gone_at"].to_pylist() == [START + DAY]


def test_values_that_join_alike_are_told_apart() -> None:
    """Children whose columns run together to the same text are different rows."""
    one: dict[str, Any] = {"tables": [("a:1", ["b"])]}
    two: dict[str, Any] = {"tables": [("a", ["1:b"])]}
    stored = merge_fresh(
        EMPTY_LEDGER, frames([Backup("b1", LEVELS[0], START, **one)]), Proof(), as_of=START
    ).tables
    fresh = frames([Backup("b1", LEVELS[0], START, **two)])
    merge = merge_fresh(stored, fresh, Proof(), as_of=datetime(2027, 1, 1, tzinfo=UTC))
    assert merge.child_changed.to_pylist() == ["b1"]
