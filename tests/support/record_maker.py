"""Records as the service sends them: realistic pages by seed, and arbitrary ones for hypothesis."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backup_frames.frames.record.fields import ENTRIES, RECORD_NAMES

FIELDS = (*RECORD_NAMES, ENTRIES)
ENGINES = (
    ("06", "cassandra", "3.11"),
    ("12", "redis", "5.0"),
    ("10", "mongodb", "4.0"),
    ("13", "influxdb", "1.8"),
)
CANONICAL = "%Y-%m-%dT%H:%M:%S+0000"


def for_all(*strategies: st.SearchStrategy[Any]) -> Callable[[Any], Any]:
    """hypothesis.given without its time limit: a busy machine is no failure; other examples each run."""
    return lambda test: settings(max_examples=25)(given(*strategies)(test))


def page(*records: Any, **extra: Any) -> bytes:
    return json.dumps({"total_count": len(records), "backups": records, **extra}).encode()


def make_records(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Newest first; every tenth row shares its second, a quarter are Cassandra with tables."""
    dice = random.Random(seed)
    instances = [
        (
            f"{dice.getrandbits(128):032x}in{code}",
            f"{engine}-prod-{number:03}",
            code,
            engine,
            version,
        )
        for code, engine, version in ENGINES
        for number in range(50)
    ]
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    records = []
    for number in range(count):
        instance_id, instance_name, code, engine, version = dice.choice(instances)
        moment -= timedelta(seconds=0 if number % 10 == 0 else dice.randrange(400))
        end = moment + timedelta(seconds=dice.randrange(60, 3600))
        databases = [
            {
                "database_name": f"keyspace_{index}",
                "table_names": dice.choice(
                    [None, [], [f"events_{table:04}" for table in range(dice.randrange(1, 6))]]
                ),
            }
            for index in range(dice.randrange(4))
        ]
        records.append(
            {
                "id": f"{dice.getrandbits(128):032x}br{code}",
                "name": f"GeminiDB-{instance_name}-{moment:%Y%m%d%H%M%S}",
                "instance_id": instance_id,
                "instance_name": instance_name,
                "datastore": {"type": engine, "version": version},
                "type": "Auto" if dice.random() < 0.9 else "Manual",
                "begin_time": moment.strftime(CANONICAL),
                "end_time": end.strftime(CANONICAL),
                "status": "COMPLETED",
                "size": dice.choice([dice.randrange(10**7), round(dice.random() * 1e6, 3)]),
                "description": dice.choice([None, None, None, "vor der Änderung 变更"]),
                "database_tables": databases if engine == "cassandra" else None,
            }
        )
    return records


def make_pages(count: int, seed: int = 1, rows: int = 100) -> list[bytes]:
    records = make_records(count * rows, seed)
    return [page(*records[start : start + rows]) for start in range(0, len(records), rows)]


def canonical(record: dict[str, Any]) -> dict[str, Any]:
    """The record as `BackupFrames.records` words it: null and absent count as one."""
    wanted = dict.fromkeys(FIELDS) | record
    if wanted["datastore"] is not None:
        store = {"type": None, "version": None} | wanted["datastore"]
        wanted["datastore"] = None if store == {"type": None, "version": None} else store
    if wanted["database_tables"] is not None:
        blank = {"database_name": None, "table_names": None}
        wanted["database_tables"] = [blank | (entry or {}) for entry in wanted["database_tables"]]
    return wanted


@st.composite
def times(draw: st.DrawFn) -> str:
    """A time in one of the five notations, the years 1 and 9999 included."""
    moment = draw(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))  # noqa: DTZ001 - no zone
    text = moment.replace(microsecond=0).isoformat()
    shape = draw(st.sampled_from(["+0000", "Z", "", "space", "space UTC", "offset", "fraction"]))
    match shape:
        case "space":
            return text.replace("T", " ")
        case "space UTC":
            return text.replace("T", " ") + " UTC"
        case "offset":
            return text + draw(st.from_regex(r"[+-](0[0-9]|1[0-4]):?[0-5][0-9]", fullmatch=True))
        case "fraction":
            return text + draw(st.from_regex(r"\.[0-9]{1,6}(Z|\+0000)", fullmatch=True))
    return text + shape


_NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def _objects(
    fields: dict[str, st.SearchStrategy[Any]], required: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these fields, null or absent too, and now and then unknown ones."""
    names = st.sampled_from(["colour", "x", "名", "begin_date", "\x00\n"]) | st.text(max_size=4)
    unknown = st.just({}) | st.dictionaries(
        names.filter(lambda name: name not in {*fields, *required}), JSON_VALUES, max_size=2
    )
    known = st.fixed_dictionaries(
        required, optional={name: st.none() | values for name, values in fields.items()}
    )
    return st.builds(lambda first, second: first | second, known, unknown)


_TEXT = st.text(max_size=8)
_ENTRIES = _objects(
    {"database_name": _TEXT, "table_names": st.lists(st.none() | _TEXT, max_size=3)}, {}
)
RECORDS = _objects(
    {
        **dict.fromkeys(("name", "instance_id", "instance_name", "type", "status"), _TEXT),
        "description": _TEXT,
        "datastore": _objects({"type": _TEXT, "version": _TEXT}, {}),
        "begin_time": st.just("") | times(),
        "end_time": st.just("") | times(),
        "size": _NUMBERS,
        "database_tables": st.lists(st.none() | _ENTRIES, max_size=3),
    },
    {"id": st.text(min_size=1, max_size=8)},
)
RECORD_LISTS = st.lists(RECORDS, max_size=6, unique_by=lambda record: record["id"])
