"""What may be asked, and how it looks on the wire."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_frames.api.auth import StaticToken
from backup_frames.api.client import BackupClient
from backup_frames.api.query import BackupQuery, check_project_id, parse_moment
from backup_frames.errors import QueryError

MOMENT = datetime(2026, 1, 31, 6, 30, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HIGH = timezone(timedelta(hours=14))
LOW = timezone(timedelta(hours=-12))


@pytest.mark.parametrize(
    "fields",
    [
        {"project_id": ""},
        {"project_id": "../../etc"},
        {"project_id": "a" * 65},
        {"project_id": "a\n"},
        {"project_id": "ä"},
        {"project_id": None},
        {"project_id": 7},
        {"level": "instance"},
        {"level": None},
        {"backup_type": "auto"},
        {"backup_type": ""},
        {"instance_id": ""},
        {"instance_id": "a b"},
        {"instance_id": "a\r\nX-Evil: 1"},
        {"instance_id": "a" * 129},
        {"instance_id": 5},
        {"datastore_type": "ca ssandra"},
        {"backup_id": "ü"},
        {"limit": 0},
        {"limit": 101},
        {"limit": True},
        {"limit": 1.0},
        {"limit": "10"},
        {"offset": -1},
        {"offset": False},
        {"begin": MOMENT},
        {"end": MOMENT},
        {"begin": MOMENT.replace(tzinfo=None), "end": MOMENT},
        {"begin": "2026-01-01", "end": "2026-01-02"},
        {"begin": MOMENT, "end": MOMENT - timedelta(seconds=1)},
        {"begin": datetime.min.replace(tzinfo=HIGH), "end": MOMENT},
        {"begin": MOMENT, "end": datetime.max.replace(tzinfo=UTC)},
        {"begin": MOMENT, "end": datetime.max.replace(tzinfo=LOW)},
    ],
    ids=str,
)
def test_nonsense_is_refused_before_any_request(fields: dict[str, Any]) -> None:
    """A query that makes no sense cannot be made; the message holds the value's name."""
    with pytest.raises(QueryError, match=next(reversed(fields)) if len(fields) == 1 else "."):
        BackupQuery(**{"project_id": "p", **fields})


def test_a_query_has_a_fixed_order_and_a_numeric_zone() -> None:
    """The same query always gives the same parameters; times are UTC with +0000."""
    query = BackupQuery(
        "p",
        level="DatabaseTable",
        instance_id="i",
        datastore_type="redis",
        backup_id="b",
        backup_type="Auto",
        begin=MOMENT.astimezone(HIGH),
        end=MOMENT + timedelta(days=1),
        limit=7,
        offset=3,
    )
    assert query.path == "/v3.1/p/backups"
    assert query.params() == (
        ("type", "DatabaseTable"),
        ("instance_id", "i"),
        ("datastore_type", "redis"),
        ("backup_id", "b"),
        ("backup_type", "Auto"),
        ("begin_time", "2026-01-31T06:30:00+0000"),
        ("end_time", "2026-02-01T06:30:00+0000"),
        ("limit", "7"),
        ("offset", "3"),
    )


@given(
    begin=st.datetimes(timezones=st.sampled_from((UTC, HIGH, LOW))),
    width=st.timedeltas(timedelta(0), timedelta(days=3000)),
)
def test_the_window_on_the_wire_holds_the_window_asked(begin: datetime, width: timedelta) -> None:
    """Whole seconds go out: begin rounded down, end rounded up, never the other way."""
    try:
        query = BackupQuery("p", begin=begin, end=begin + width)
    except (QueryError, OverflowError):
        assert not 2 <= begin.year < 9990  # the ends of the calendar
        return
    params = dict(query.params())
    sent_begin, sent_end = (
        datetime.fromisoformat(params[name]) for name in ("begin_time", "end_time")
    )
    assert timedelta(0) <= begin - sent_begin < timedelta(seconds=1)
    assert timedelta(0) <= sent_end - (begin + width) < timedelta(seconds=1)


@given(value=st.text("".join(map(chr, range(0x21, 0x7F))), min_size=1, max_size=128))
def test_filters_arrive_as_they_were_given(value: str) -> None:
    """Whatever is allowed in a filter survives the URL, a plus sign above all."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"total_count": 0, "backups": []})

    transport = httpx.MockTransport(answer)
    with BackupClient("http://127.0.0.1", StaticToken("t"), transport=transport) as client:
        query = BackupQuery("p", instance_id=value, begin=MOMENT, end=MOMENT)
        client.fetch_page(query)
    raw = seen[0].url.query.decode()
    assert "+" not in raw
    assert "%2B0000" in raw
    assert tuple(parse_qsl(raw, strict_parsing=True)) == query.params()


@given(text=st.text(max_size=80))
def test_project_ids_are_a_closed_alphabet(text: str) -> None:
    """What passes is harmless in a path and a URL; everything else is refused."""
    is_fine = 1 <= len(text) <= 64 and all(c.isascii() and (c.isalnum() or c in "_-") for c in text)
    if is_fine:
        assert check_project_id(text) == text
    else:
        with pytest.raises(QueryError):
            check_project_id(text)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        (" 2026-01-31T06:30:00 ", MOMENT),
        ("2026-01-31 06:30", MOMENT),
        ("2026-01-31T06:30:00Z", MOMENT),
        ("2026-01-31T06:30:00+0000", MOMENT),
        ("2026-01-31T20:30:00+14:00", MOMENT),
        (date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),
        (MOMENT.astimezone(HIGH), MOMENT),
        (MOMENT.replace(tzinfo=None), MOMENT),
        (np.datetime64("2026-01-31T06:30:00.000000999"), MOMENT),
        (np.datetime64("2026-01"), datetime(2026, 1, 1, tzinfo=UTC)),
        (pd.Period("2026-01", "M"), datetime(2026, 1, 1, tzinfo=UTC)),
        (pd.Timestamp("2026-01-31 06:30"), MOMENT),
        (pd.Timestamp("2026-01-31 07:30", tz="Europe/Madrid"), MOMENT),
        ("2026-02", datetime(2026, 2, 1, tzinfo=UTC)),
        ("7d", NOW - timedelta(days=7)),
        (" 36H", NOW - timedelta(hours=36)),
        ("2 w", NOW - timedelta(days=14)),
        ("0d", NOW),
        (timedelta(minutes=90), NOW - timedelta(minutes=90)),
        (np.timedelta64(3, "h"), NOW - timedelta(hours=3)),
    ],
    ids=str,
)
def test_moments_that_are_understood(value: str | date | datetime, moment: datetime) -> None:
    """Dates, months, times with and without zone and times back come out as plain UTC datetimes."""
    read = parse_moment(value, "begin", now=NOW)
    assert type(read) is datetime
    assert read == moment
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "31.01.2026",
        "2026-02-30",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:00:00-12:00",
        "7 fortnights",
        "-7d",
        "2026-13",
        "999999999w",
        timedelta(days=-1),
        timedelta.max,
        pd.NaT,
        pd.NA,
        float("nan"),
        np.datetime64("NaT"),
        np.timedelta64("NaT"),
        np.datetime64("29000-01-01"),
        np.int64(7),
        True,
        datetime.min.replace(tzinfo=HIGH),
        datetime.max.replace(tzinfo=LOW),
        1767225600,
        None,
    ],
    ids=str,
)
def test_moments_that_are_not(value: Any) -> None:
    """Anything else is a QueryError that names what the value was for."""
    with pytest.raises(QueryError, match=r"^begin is"):
        parse_moment(value, "begin")
