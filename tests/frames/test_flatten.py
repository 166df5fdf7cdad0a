from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import strategies as st
from support.record_maker import RECORD_LISTS, canonical, for_all, make_pages, make_records, page

from backup_frames.errors import SchemaError
from backup_frames.frames import flatten
from backup_frames.frames.flatten import ArrowFrames, concat_frames, flatten_pages
from backup_frames.frames.frames import BackupFrames
from backup_frames.frames.record import unknown_fields
from backup_frames.frames.record.odd_values import clean_page
from backup_frames.frames.schema import BACKUP_DATABASES, BACKUP_TABLES, BACKUPS

# The reference page's example response, verbatim.
SAMPLE = (
    b'{ "total_count" : 4, "backups" : [ { "id" : "43e4feaab48f11e89039fa163ebaa7e4br01", '
    b'"name" : "backup-test", "instance_id" : "43e4feaab48f11e89039fa163ebaa7e4br01", '
    b'"instance_name" : "cluster-test", "datastore" : { "type" : "cassandra", "version" : '
    b'"3.4" }, "type" : "Auto", "begin_time" : "2019-05-27T03:38:51+0000", "end_time" : '
    b'"2019-05-27T03:39:51+0000", "status" : "COMPLETED", "size" : 2803, "description" : '
    b'"backup description", "database_tables" : [ { "database_name" : "DATABASE_X", '
    b'"table_names" : [ "TABLE_A", "TABLE_B", "TABLE_C" ] }, { "database_name" : '
    b'"DATABASE_Y", "table_names" : null } ] }, { "id" : '
    b'"43e4feaab48f11e89039fa163ebaa7e4br02", "name" : "backup-test-2", "instance_id" : '
    b'"43e4feaab48f11e89039fa163ebaa7e4br02", "instance_name" : "cluster-test", "datastore" : '
    b'{ "type" : "cassandra", "version" : "3.4" }, "type" : "Manual", "begin_time" : '
    b'"2019-05-27T03:38:51+0000", "end_time" : "2019-05-27T03:39:51+0000", "status" : '
    b'"COMPLETED", "size" : 2803, "description" : "backup description", "database_tables" : [ '
    b'{ "database_name" : "DATABASE_X", "table_names" : [ "TABLE_A", "TABLE_B", "TABLE_C" ] '
    b'}, { "database_name" : "DATABASE_Y", "table_names" : null } ] } ] }'
)


def flat(*bodies: bytes, **options: Any) -> ArrowFrames:
    return flatten_pages(bodies, project_id="p1", level="Instance", **options)


def ids(frames: ArrowFrames) -> list[str]:
    return frames.backups["backup_id"].to_pylist()


def test_reference_sample() -> None:
    """The reference page's response is two backups, four databases, three tables per entry."""
    frames = flat(SAMPLE)
    assert ids(frames) == [f"43e4feaab48f11e89039fa163ebaa7e4br0{n}" for n in (1, 2)]
    row = frames.backups.to_pylist()[1]
    assert {name: value for name, value in row.items() if value is not None} == {
        "project_id": "p1",
        "backup_id": "43e4feaab48f11e89039fa163ebaa7e4br02",
        "name": "backup-test-2",
        "description": "backup description",
        "instance_id": "43e4feaab48f11e89039fa163ebaa7e4br02",
        "instance_name": "cluster-test",
        "datastore_type": "cassandra",
        "datastore_version": "3.4",
        "backup_type": "Manual",
        "backup_level": "Instance",
        "status": "COMPLETED",
        "size_kb": 2803.0,
        "begin_time": datetime(2019, 5, 27, 3, 38, 51, tzinfo=UTC),
        "end_time": datetime(2019, 5, 27, 3, 39, 51, tzinfo=UTC),
        "begin_date": date(2019, 5, 27),
        "database_count": 2,
    }
    assert frames.databases.drop(["project_id", "backup_id", "begin_date"]).to_pylist() == 2 * [
        {
            "database_index": 0,
            "database_name": "DATABASE_X",
            "table_count": 3,
            "is_whole_database": False,
        },
        {
            "database_index": 1,
            "database_name": "DATABASE_Y",
            "table_count": None,
            "is_whole_database": True,
        },
    ]
    assert frames.tables["table_name"].to_pylist() == 2 * ["TABLE_A", "TABLE_B", "TABLE_C"]
    assert BackupFrames(frames).records() == [
        canonical(one) for one in json.loads(SAMPLE)["backups"]
    ]


@for_all(RECORD_LISTS, st.booleans(), st.sampled_from([None, 0, 2]))
def test_round_trip(records: list[dict[str, Any]], is_ascii: bool, indent: int | None) -> None:
    """For all records, however written: the tables give them back, unknown fields included."""
    body = json.dumps(
        {"backups": records, "total_count": 0}, ensure_ascii=is_ascii, indent=indent
    ).encode()
    assert BackupFrames(flat(body)).records() == [canonical(record) for record in records]


@for_all(st.lists(RECORD_LISTS, max_size=3))
def test_plain_model(pages: list[list[dict[str, Any]]]) -> None:
    """For all pages: rows, parents, positions and counts are those of a plain walk."""
    frames = flat(*(page(*records) for records in pages))
    counts, databases, tables = [], [], []
    for record in (record for records in pages for record in records):
        entries = record.get("database_tables")
        counts.append((record["id"], None if entries is None else len(entries)))
        for index, entry in enumerate(entries or []):
            name, names = (entry or {}).get("database_name"), (entry or {}).get("table_names")
            databases.append(
                (record["id"], index, name, None if names is None else len(names), names is None)
            )
            tables += [(record["id"], index, name, place, t) for place, t in enumerate(names or [])]
    columns = ("backup_id", "database_index", "database_name")
    assert rows(frames.backups, "backup_id", "database_count") == counts
    assert rows(frames.databases, *columns, "table_count", "is_whole_database") == databases
    assert rows(frames.tables, *columns, "table_index", "table_name") == tables


def rows(table: Any, *columns: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))


def test_null_is_not_empty() -> None:
    """database_tables and table_names tell null from [] apart; null and absent are one."""
    records = [
        {"id": "a", "database_tables": None},
        {"id": "b"},
        {"id": "c", "database_tables": []},
        {"id": "d", "database_tables": [{"table_names": None}, {}, {"table_names": []}]},
    ]
    frames = flat(page(*records))
    assert frames.backups["database_count"].to_pylist() == [None, None, 0, 3]
    assert rows(frames.databases, "table_count", "is_whole_database") == [
        (None, True),
        (None, True),
        (0, False),
    ]
    assert [record["database_tables"] for record in BackupFrames(frames).records()] == [
        None,
        None,
        [],
        [{"database_name": None, "table_names": names} for names in (None, None, [])],
    ]


@pytest.mark.parametrize("bodies", [[], [page()], [page({"id": "a"})], [page({"id": "a", "q": 1})]])
def test_schema_without_values(bodies: list[bytes]) -> None:
    """A batch without rows, or with nothing but nulls, has the contracted types all the same."""
    for table, schema in zip(
        flat(*bodies), (BACKUPS, BACKUP_DATABASES, BACKUP_TABLES), strict=True
    ):
        assert table.schema.equals(schema, check_metadata=True)
        table.validate(full=True)


def test_keep() -> None:
    """keep takes the named rows of each body, with their own databases, tables and extras."""
    first = [{"id": name, "database_tables": [{"database_name": name}]} for name in "abc"]
    second = [{"id": name, "colour": name, "database_tables": None} for name in "de"]
    frames = flat(page(*first), page(*second), page({"id": "f"}), keep=[[0, 2], [1], None])
    assert ids(frames) == ["a", "c", "e", "f"]
    assert frames.databases["database_name"].to_pylist() == ["a", "c"]
    assert frames.backups["extra"].to_pylist() == [None, None, '{"colour":"e"}', None]
    assert ids(flat(page(*first), keep=[[]])) == []


@pytest.mark.parametrize("keep", [[], [[3]], [[-1]]])
def test_keep_out_of_bounds(keep: list[list[int]]) -> None:
    """keep that does not fit the bodies is refused, not taken from the neighbour's rows."""
    with pytest.raises(ValueError, match="keep"):
        flat(page({"id": "a"}), keep=keep)


def test_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many batches side by side give the rows of one, in the same order."""
    bodies = make_pages(5, rows=20)
    whole = flat(*bodies, keep=[None, [3, 1], [], None, [19]])
    monkeypatch.setattr(flatten, "BATCH_BYTES", 100)
    parts = flat(*bodies, keep=[None, [3, 1], [], None, [19]])
    assert all(one.equals(other) for one, other in zip(whole, parts, strict=True))
    assert concat_frames([]).backups.num_rows == 0


def test_unknown_fields() -> None:
    """Unknown fields are JSON by API name: sorted, compact, at every level, whatever their type."""
    records = [
        {"id": "a", "z": [1, {"b": None, "a": 1.50}], "colour": None},
        {"id": "b", "z": "text", "datastore": {"type": "redis", "patch": True}},
        {"id": "c", "datastore": {"patch": {}}, "database_tables": [{}, None, {"mode": "ttl"}]},
        {"id": "d", "size": 2**53 + 1, "total_count": 3},
    ]
    frames = flat(page(*records, request_id="r1"))
    assert frames.backups["extra"].to_pylist() == [
        '{"colour":null,"z":[1,{"a":1.5,"b":null}]}',
        '{"datastore":{"patch":true},"z":"text"}',
        '{"database_tables":{"2":{"mode":"ttl"}},"datastore":{"patch":{}}}',
        '{"size":9007199254740993,"total_count":3}',
    ]
    assert BackupFrames(frames).records() == [canonical(record) for record in records]


HARD_NAMES = [
    ["` - at `$.backups[0]`", "field_0", "", "ключ", "a.b", "database_tables[0]"],
    ['say "so"', "back\\slash", "line\nbreak"],
    [f"name {number}" for number in range(100)],
]


@pytest.mark.parametrize("names", HARD_NAMES, ids=["odd", "escaped", "many"])
@pytest.mark.parametrize("within", ["", "datastore", "database_tables"])
def test_unknown_fields_whatever_they_are_called(names: list[str], within: str) -> None:
    """Each name on a row of its own, at each level: all of them come back."""
    records = []
    for number, name in enumerate(names):
        record = {"id": f"b{number}", "datastore": {}, "database_tables": [{}]}
        objects = {"": record, "datastore": record["datastore"]}
        objects["database_tables"] = record["database_tables"][0]
        objects[within][name] = number * 0.25
        records.append(record)
    frames = flat(page(*records))
    assert BackupFrames(frames).records() == [canonical(record) for record in records]
    assert frames.backups["extra"].to_pylist() == clean_page(page(*records)).extras


def test_an_unknown_field_is_learned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows with such fields are decoded once, and a body once more for each name that is new in it."""
    made = []
    decode = unknown_fields._decode
    reader = unknown_fields._reader
    monkeypatch.setattr(
        unknown_fields, "_decode", lambda *given: made.append(given) or decode(*given)
    )
    reader.cache_clear()
    rows = [{"id": f"b{number}", "colour": True, "patch": number} for number in range(100)]
    flat(*[page(*rows[start : start + 10]) for start in range(0, 100, 10)])
    assert len(made) == 10
    assert reader.cache_info().misses == 3  # none known, one, both


@pytest.mark.parametrize("size", [2**53 + 1, 2**60 + 1, 2**53, 0, 1160.60254, 1e300, -0.0])
def test_size_as_sent(size: float) -> None:
    """Any finite size comes back as sent, whole numbers that no double holds included."""
    frames = flat(page({"id": "a", "size": size}))
    assert frames.backups["size_kb"].to_pylist() == [float(size)]
    assert BackupFrames(frames).records()[0]["size"] == size


@pytest.mark.parametrize(
    ("record", "path", "got"),
    [
        ('{"name": "x"}', "backups[1].id", "nothing"),
        ('{"id": null}', "backups[1].id", "null"),
        ('{"id": 7}', "backups[1].id", "7"),
        ('{"id": ""}', "backups[1].id", '""'),
        ("null", "backups[1]", "null"),
        ("[]", "backups[1]", "[]"),
        ('{"id": "a", "id": "b"}', "backups[1].id", '"b"'),
        ('{"id": "\\ud800"}', "backups[1].id", "ud800"),
        ('{"id": "", "size": "x"}', "backups[1].id", '""'),
    ],
)
@pytest.mark.parametrize("unknown", ["", ', "colour": true'])
def test_out_of_contract(record: str, path: str, got: str, unknown: str) -> None:
    """A row without one id is an error naming path, expectation and value."""
    good = page(*make_records(3))
    bad = f'{{"total_count": 2, "backups": [{{"id": "first"{unknown}}}, {record}]}}'.encode()
    with pytest.raises(SchemaError) as caught:
        flat(good, bad, good)
    assert caught.value.path == path
    assert got in str(caught.value.got)
    assert str(caught.value.expected) in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        b'{"total_count": 1}',
        b'{"total_count": 1, "backups": null}',
        b'{"total_count": 1, "backups": {}}',
        b'{"total_count": 1, "backups": [{"id": "a"}',
        b'{"total_count": 1, "backups": [{"id": "a"}]} {"total_count": 1, "backups": []}',
        b'{"total_count": 1, "backups": [{"id": "a\nb"}]}',
        b'{"total_count": 1, "backups": [{"id": "a", "id": "b"}]}',
        b'{"total_count": 1, "backups": [{"id": "\xff"}]}',
        b'{"total_count": 1, "backups": [{"id": "\\ud800"}]}',
        b'{"total_count": 1, "backups": [{"id": "a", "x": "\xff"}]}',
        b'{"total_count": 1, "backups": [{"id": "a", "x": NaN}]}',
        b'{"total_count": 1, "backups": [{"id": "a", "size": NaN}]}',
        b'{"total_count": 1, "backups": [{"id": "a", "size": -Infinity}]}',
        b"<html></html>",
    ],
)
def test_no_page(body: bytes) -> None:
    """A body that is no page is an error, never an empty list, and never its neighbours' rows."""
    for bodies in ([body], [page(), body], [body, page({"id": "z"})]):
        with pytest.raises(SchemaError, match=r"[Rr]eport it"):
            flat(*bodies)


def test_split_documents() -> None:
    """Two bodies that are JSON only when put together are refused."""
    with pytest.raises(SchemaError):
        flat(b'{"total_count": 1, "backups": [{"id": "a"}', b"]}")
