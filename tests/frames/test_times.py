from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import strategies as st
from support.record_maker import for_all, page, times

from backup_frames.api.wire.times import read_seconds
from backup_frames.frames.flatten import flatten_pages
from backup_frames.frames.frames import BackupFrames
from backup_frames.frames.times import read_times, render_times

NOON = datetime(2019, 5, 27, 12, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2019-05-27T12:00:01+0000", NOON),
        ("2019-05-27T20:00:01+0800", NOON),
        ("2019-05-27T20:00:01+08:00", NOON),
        ("2019-05-27T12:00:01Z", NOON),
        ("2019-05-27T12:00:01", NOON),
        ("2019-05-27 12:00:01", NOON),
        ("2019-05-27 12:00:01 UTC", NOON),
        ("2019-05-27T12:00:01.25Z", NOON + timedelta(milliseconds=250)),
        ("0001-01-01T00:00:00+0000", datetime.min.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_notations(text: str | None, moment: datetime | None) -> None:
    """Each notation is read, alone and beside canonical ones; empty and null are null."""
    assert read_times(pa.array([text], pa.string())).times.to_pylist() == [moment]
    mixed = read_times(pa.array(["2019-05-27T12:00:01+0000", text, "2019-05-27 12:00:01"]))
    assert mixed.times.to_pylist() == [NOON, moment, NOON]
    assert mixed.is_unreadable is None


@pytest.fixture
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine eight hours ahead of UTC."""
    with monkeypatch.context() as machine:
        machine.setenv("TZ", "CST-8")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("shanghai")
@pytest.mark.parametrize("text", ["2019-05-27T12:00:01", "2019-05-27 12:00:01"])
def test_a_time_without_zone_is_utc_wherever_the_machine_is(text: str) -> None:
    """In columns, and in the seconds that a walk goes by."""
    assert read_seconds(text) == NOON.timestamp()
    assert read_times(pa.array([text])).times.to_pylist() == [NOON]


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2019-05-27",
        "2019-05-27T12:00Z",
        "2019-5-27T12:00:01Z",
        "2019-02-30T12:00:01+0000",
        "2019-05-27T24:00:01+0000",
        "2019-05-27T12:00:61+0000",
        "2019-05-27T12:00:01+9900",
        "2019-05-27T12:00:01 +0000",
        "2019-05-27T12:00:01.1234567Z",
        " 2019-05-27T12:00:01Z",
        "2019-05-27T12:00:01Z\n",
        "XXXXXXXXXXTXXXXXXXX+0000",
        "0001-01-01T00:00:00+0800",
        "9999-12-31T23:59:59-0800",
        "1558958401",
    ],
)
def test_unreadable(text: str) -> None:
    """What is no time of the years 1 to 9999 is null, told by its position, its text kept in extra."""
    good = ["2019-05-27T12:00:01+0000", "2019-05-27 12:00:01", None]
    for column in ([text], [*good, text], [text, *good], [*good, text, *good, text]):
        read = read_times(pa.array(column))
        assert read.is_unreadable is not None
        assert read.is_unreadable.to_pylist() == [one == text for one in column]
        assert read.times.filter(read.is_unreadable).null_count == column.count(text)
    body = page({"id": "b1", "end_time": text})
    (extra,) = flatten_pages([body], project_id="p1", level="Instance").backups["extra"]
    assert json.loads(extra.as_py()) == {"end_time": text}


@for_all(st.lists(times() | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z") | st.text()))
def test_both_readers_agree(texts: list[str]) -> None:
    """For all texts: what the walk takes for a time is one in the table, at the same second."""
    read = read_times(pa.array(texts, pa.string())).times.to_pylist()
    for text, moment in zip(texts, read, strict=True):
        try:
            second = read_seconds(text)
        except ValueError:
            assert moment is None
        else:
            assert second == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


@for_all(st.lists(st.none() | st.just("") | times()))
def test_texts_as_sent(texts: list[str | None]) -> None:
    """For all mixtures of notations the very texts come back; extra holds only the odd ones."""
    records: list[dict[str, Any]] = [
        {"id": str(number), "begin_time": text, "end_time": None}
        for number, text in enumerate(texts)
    ]
    frames = flatten_pages([page(*records)], project_id="p1", level="Instance")
    assert [record["begin_time"] for record in BackupFrames(frames).records()] == texts
    rendered = render_times(frames.backups["begin_time"]).to_pylist()
    has_extra = [extra is not None for extra in frames.backups["extra"].to_pylist()]
    assert has_extra == [one != other for one, other in zip(texts, rendered, strict=True)]


def test_begin_date() -> None:
    """begin_date is the UTC day of begin_time, before 1970 too, and null without one."""
    texts = ["2019-05-27T00:30:00+0800", "1969-12-31T23:59:59Z", "", None]
    records = [{"id": str(n), "begin_time": text} for n, text in enumerate(texts)]
    frames = flatten_pages([page(*records)], project_id="p1", level="Instance")
    days = [str(day) for day in frames.backups["begin_date"].to_pylist()]
    assert days == ["2019-05-26", "1969-12-31", "None", "None"]
