"""Values of the wrong type or unreadable: null in their column, as sent in ``extra``, named."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st
from support.record_maker import JSON_VALUES, RECORD_LISTS, canonical, for_all, make_pages, page

from backup_frames.frames import flatten
from backup_frames.frames.flatten import ArrowFrames, flatten_pages
from backup_frames.frames.frames import BackupFrames
from backup_frames.frames.record.extras import split_json
from backup_frames.frames.record.odd_values import OddValue

TIME = "2026-01-31T00:00:00+0000"


def read(*bodies: bytes, **options: Any) -> tuple[ArrowFrames, list[OddValue]]:
    odd: list[OddValue] = []
    frames = flatten_pages(bodies, project_id="p1", level="Instance", odd_values=odd, **options)
    return frames, odd


def one_record(fields: str) -> bytes:
    return f'{{"total_count": 1, "backups": [{{"id": "b", {fields}}}]}}'.encode()


@pytest.mark.parametrize(
    ("fields", "column", "field", "extra"),
    [
        ('"end_time": "-"', "end_time", "end_time", '{"end_time":"-"}'),
        ('"end_time": 1558928331', "end_time", "end_time", '{"end_time":1558928331}'),
        ('"begin_time": "yester\\"day"', "begin_time", "begin_time", None),
        ('"begin_time": "2019-02-30T00:00:00Z"', "begin_time", "begin_time", None),
        ('"begin_time": "10000-01-01T00:00:00Z"', "begin_date", "begin_time", None),
        ('"begin_time": "0000-12-31T23:59:59Z"', "begin_time", "begin_time", None),
        ('"begin_time": ["x"]', "begin_time", "begin_time", None),
        ('"size": "n/a"', "size_kb", "size", '{"size":"n/a"}'),
        ('"size": true', "size_kb", "size", '{"size":true}'),
        ('"size": 1e400', "size_kb", "size", '{"size":1e400}'),
        ('"size": -1', "size_kb", "size", '{"size":-1}'),
        (f'"size": {"9" * 5000}', "size_kb", "size", None),
        ('"status": 7', "status", "status", '{"status":7}'),
        ('"name": {"de": "x"}', "name", "name", '{"name":{"de":"x"}}'),
        ('"name": "\\ud800"', "name", "name", '{"name":"\\ud800"}'),
        ('"name": "a", "name": "b"', "name", "name", '{"name":"b"}'),
        ('"datastore": "redis"', "datastore_type", "datastore", '{"datastore":"redis"}'),
        ('"datastore": [1, 2]', "datastore_version", "datastore", '{"datastore":[1,2]}'),
        (
            '"datastore": {"type": 1, "version": "3"}',
            "datastore_type",
            "datastore.type",
            '{"datastore":{"type":1}}',
        ),
        (
            '"database_tables": {"0": {"database_name": "x"}}',
            "database_count",
            "database_tables",
            '{"database_tables":{"0":{"database_name":"x"}}}',
        ),
        ('"database_tables": {}', "database_count", "database_tables", None),
    ],
)
@pytest.mark.parametrize("unknown", ["", ', "colour": 1e400'])
def test_null_in_its_column(
    fields: str, column: str, field: str, extra: str | None, unknown: str
) -> None:
    """An odd value is null in its column, comes back as sent, and is named; its row stays."""
    body = one_record(fields + unknown)
    frames, odd = read(*make_pages(1, rows=3), body)
    (row,) = frames.backups.slice(3).to_pylist()
    assert row[column] is None
    assert [(value.backup_id, value.field) for value in odd] == [("b", field)]
    sent = json.loads(split_json(split_json(body.decode())[3])[0], parse_int=lambda text: text)
    if extra is not None and not unknown:
        assert row["extra"] == extra
    (record,) = BackupFrames(frames).records()[3:]
    name = field.partition(".")[0]
    if name != "size" or "999" not in fields:
        assert record[name] == json.loads(body)["backups"][0][name]
    else:
        assert record[name] == 10**5000 - 1
    assert ("colour" in record) == bool(unknown)
    assert sent["id"] == "b"


def test_inside_an_entry() -> None:
    """Odd entries and table names keep their place; whether it is the whole database is unknown."""
    entries = ["x", {"database_name": 7, "table_names": ["t", 5, None]}, {"table_names": "t"}, {}]
    frames, odd = read(page({"id": "b", "database_tables": entries}))
    assert frames.databases["table_count"].to_pylist() == [None, 3, None, None]
    assert frames.databases["is_whole_database"].to_pylist() == [None, None, None, True]
    assert frames.tables["table_name"].to_pylist() == ["t", None, None]
    assert [(value.field.removeprefix("database_tables"), value.text) for value in odd] == [
        ("[0]", '"x"'),
        ("[1].database_name", "7"),
        ("[1].table_names", '["t",5,null]'),
        ("[2].table_names", '"t"'),
    ]
    blank = {"database_name": None, "table_names": None}
    assert BackupFrames(frames).records()[0]["database_tables"] == [
        "x",
        entries[1],
        blank | {"table_names": "t"},
        blank,
    ]


FIELDS = (
    "name",
    "type",
    "begin_time",
    "end_time",
    "status",
    "size",
    "datastore",
    "database_tables",
)


@for_all(RECORD_LISTS, st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES), st.booleans())
def test_round_trip_whatever_is_sent(
    records: list[dict[str, Any]], odd: dict[str, Any], is_ascii: bool
) -> None:
    """For all records with any JSON in any field: the tables give them back."""
    records = [record | odd if number % 2 else record for number, record in enumerate(records)]
    body = json.dumps({"total_count": 0, "backups": records}, ensure_ascii=is_ascii).encode()
    frames, _ = read(body)
    assert BackupFrames(frames).records() == [as_sent(record) for record in records]


def as_sent(record: dict[str, Any]) -> dict[str, Any]:
    """`canonical`, whatever datastore and database_tables are."""
    datastore, entries = record.get("datastore"), record.get("database_tables")
    wanted = canonical(record | {"datastore": None, "database_tables": None})
    if isinstance(datastore, dict):
        wanted["datastore"] = canonical({"datastore": datastore})["datastore"]
    elif datastore is not None:
        wanted["datastore"] = datastore
    if isinstance(entries, list):
        blank = {"database_name": None, "table_names": None}
        wanted["database_tables"] = [
            blank | (entry or {}) if entry is None or isinstance(entry, dict) else entry
            for entry in entries
        ]
    elif entries is not None:
        wanted["database_tables"] = entries
    return wanted


@pytest.mark.parametrize(
    "text",
    [
        "1e400",
        "9" * 5000,
        '"\\ud800"',
        '{"\\udc00":[1]}',
        '{"b":1,"a":1e400}',
        "[" * 400 + "]" * 400,
    ],
)
def test_unknown_fields_keep_any_text(text: str) -> None:
    """A field that is not known holds whatever it likes; nothing of it is odd."""
    frames, odd = read(one_record(f'"x": {text}, "\\ud800": 1'), one_record(f'"x": {text}'))
    assert odd == []
    assert frames.backups["extra"].to_pylist()[1] == f'{{"x":{text}}}'
    assert {"x", "\ud800"} <= BackupFrames(frames).records()[0].keys()


def test_only_rows_kept_are_counted() -> None:
    """Rows that keep leaves out are not told, whichever way their value was odd."""
    rows = [{"id": str(n), "size": -1, "end_time": "-", "database_tables": ["x"]} for n in range(3)]
    frames, odd = read(page(*rows), page(*rows), keep=[[2, 1], []])
    assert frames.backups["backup_id"].to_pylist() == ["2", "1"]
    assert [(value.backup_id, value.field) for value in odd] == [
        (name, field) for name in "21" for field in ("size", "database_tables[0]", "end_time")
    ]
    assert frames.databases["is_whole_database"].to_pylist() == [None, None]


def test_only_odd_pages_are_read_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a batch of pages only the one that holds an odd value is cut into its texts."""
    seen: list[bytes] = []
    clean = flatten.clean_page
    monkeypatch.setattr(flatten, "clean_page", lambda body: seen.append(body) or clean(body))
    odd = page({"id": "b", "status": 7})
    frames, _ = read(*make_pages(9), odd)
    assert (frames.backups.num_rows, seen) == (901, [odd])


def test_times_are_kept_beside_unknown_fields() -> None:
    """A time in another notation, one that is none, and an unknown field share one extra."""
    record = {"id": "b", "begin_time": "2019-05-27 00:00:00", "end_time": '"', "colour": True}
    frames, odd = read(page(record))
    kept = frames.backups["extra"][0].as_py()
    assert kept == '{"begin_time":"2019-05-27 00:00:00","colour":true,"end_time":"\\""}'
    assert frames.backups["begin_time"][0].as_py() == datetime(2019, 5, 27, tzinfo=UTC)
    assert odd == [OddValue("b", "end_time", '"\\""')]


def test_long_texts_are_kept_whole() -> None:
    """A text of a million characters is cut where the certificate shows it, not before."""
    text = "".join(random.Random(1).choices("ab", k=10**6))
    frames, odd = read(page({"id": "b", "end_time": text, "name": text}))
    assert BackupFrames(frames).records()[0]["end_time"] == text
    assert frames.backups["name"][0].as_py() == text
    assert odd[0].text == json.dumps(text)
