"""A mutating model of the service behind httpx's transport, on a virtual clock.

It keeps the truth that no client sees: which rows were there for the whole read. Between any two
requests rows come, go, change or show up late; answers may be odd in every way a profile names.
"""

from __future__ import annotations

import functools
import json
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import httpx
from support.clocks import VirtualClock

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START_S = 1_780_000_000
START = EPOCH + timedelta(seconds=START_S)
ENGINES = ("cassandra", "redis", "mongodb", "influxdb")


@dataclass(frozen=True)
class Profile:
    """What a simulated service does; rates are chances per request."""

    name: str
    rows: int = 60
    table_level: int = 6
    insert: float = 0.0
    late: float = 0.0
    delete: float = 0.0
    bulk: float = 0.0
    swap: float = 0.0
    edit: float = 0.0
    ties: int = 1
    dense: int = 0
    dense_instances: int = 12
    dense_seconds: int = 1
    untimed: int = 0
    future: int = 0
    ancient: int = 0
    is_end_included: bool = True
    is_begin_included: bool = True
    has_fractions: bool = False
    is_order_unstable: bool = False
    short: float = 0.0
    double: float = 0.0
    wrong_total: float = 0.0
    empty: float = 0.0
    shuffled: float = 0.0
    outside: float = 0.0
    lag: float = 0.0
    lacking_at: int = 0
    """The number of the one request that a replica answers, which lacks three rows of ten."""
    page_cap: int | None = None
    max_offset: int | None = None
    max_window_s: int | None = None
    ignores_level: bool = False
    meaning: str = "begin"
    """What a window of time selects on; see `Model._span_of`."""
    cap_s: int | None = None
    """Wide windows silently hold the rows of their last so many seconds only."""
    is_cap_from_now: bool = False
    misread: str | None = None
    """A filter that the service ignores; "hides: <filter>" finds nothing, "thins: …" some rows,
    "recent: …" none older than ten days."""
    longest_s: int = 5_400
    throttle: tuple[int, float] | None = None
    retry_after_s: int | None = None
    expire: float = 0.0
    fail: float = 0.0
    reset: float = 0.0
    cut: float = 0.0
    html: float = 0.0
    span_days: int = 40
    min_complete: float = 0.99
    reasons: tuple[str, ...] = ()
    """Texts of which each reason of an incomplete read must hold one."""


@dataclass
class Row:
    id: str
    level: str
    begin: float | None  # epoch seconds, with a fraction where the profile has fractions
    instance: int
    kind: str
    status: str = "COMPLETED"
    tie: float = 0.0
    duration: int = 0

    @property
    def instance_id(self) -> str:
        return f"{self.instance:032x}in06"

    def render(self) -> dict[str, object]:
        record: dict[str, object] = {
            "id": self.id,
            "instance_id": self.instance_id,
            "datastore": {"type": ENGINES[self.instance % 4], "version": "1"},
            "type": self.kind,
            "status": self.status,
        }
        if self.begin is not None:
            moment = EPOCH + timedelta(seconds=self.begin)
            record["begin_time"] = moment.isoformat().replace("+00:00", "+0000")
            if self.duration:
                end = moment + timedelta(seconds=self.duration)
                record["end_time"] = end.isoformat().replace("+00:00", "+0000")
        if self.level == "DatabaseTable":
            record["database_tables"] = [{"database_name": "d", "table_names": ["t"]}]
        return record


@dataclass
class Model:
    """The service: its rows, what happens to them, and how it answers."""

    profile: Profile
    rng: random.Random
    clock: VirtualClock
    rows: dict[str, Row] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    ever: set[str] = field(default_factory=set)
    history: list[dict[str, Row]] = field(default_factory=list)
    requests: int = 0
    wasted: int = 0
    refused_calls: int = 0
    token: int = 1
    logins: int = 0
    window: list[float] = field(default_factory=list)
    pending: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        profile, rng = self.profile, self.rng
        for level, count in (("Instance", profile.rows), ("DatabaseTable", profile.table_level)):
            missing = count
            while missing > 0:
                second = START_S - rng.randrange(profile.span_days * 86400)
                tied = min(rng.randint(1, profile.ties), missing)
                for _ in range(tied):
                    self._add(level, float(second))
                missing -= tied
        dense_s = float(START_S - 86400 * 3)
        for index in range(profile.dense):
            second = dense_s + index % profile.dense_seconds
            self._add("Instance", second, instance=index % profile.dense_instances)
        for _ in range(profile.untimed):
            self._add("Instance", None)
        for _ in range(profile.future):
            self._add("Instance", float(START_S + rng.randrange(10**7)))
        for _ in range(profile.ancient):
            self._add("Instance", float(-rng.randrange(1, 10**8)))
        self.held = set(self.rows)

    def _add(self, level: str, begin: float | None, instance: int | None = None) -> Row:
        rng = self.rng
        row = Row(
            id=f"{rng.getrandbits(96):024x}br06",
            level=level,
            begin=begin,
            instance=rng.randrange(12) if instance is None else instance,
            kind=rng.choice(("Auto", "Auto", "Manual")),
            tie=rng.random(),
            duration=rng.randint(1, self.profile.longest_s),
        )
        if begin is not None and self.profile.has_fractions:
            row.begin = begin + rng.choice((0.0, 0.25, 0.5))
        self.rows[row.id] = row
        self.ever.add(row.id)
        return row

    def _mutate(self) -> None:
        """What happens between two requests."""
        profile, rng = self.profile, self.rng
        if profile.lag:
            self.history = [*self.history[-6:], dict(self.rows)]
        if rng.random() < profile.insert:
            for _ in range(rng.randint(1, profile.ties)):
                self._add(rng.choice(("Instance", "DatabaseTable")), float(int(self._now_s())))
        if rng.random() < profile.late:
            second = START_S - rng.randrange(profile.span_days * 86400)
            self._add("Instance", float(second))
        if self.rows and rng.random() < profile.delete:
            self._delete(rng.choice(list(self.rows)))
        if self.rows and rng.random() < profile.swap:  # the total does not tell
            gone = self.rows[rng.choice(list(self.rows))]
            self._delete(gone.id)
            self._add(gone.level, float(START_S - rng.randrange(profile.span_days * 86400)))
        self._retire()
        if self.rows and rng.random() < profile.edit:
            self.rows[rng.choice(list(self.rows))].status = rng.choice(("FAILED", "COMPLETED"))
        if rng.random() < profile.expire:
            self.token += 1

    def _retire(self) -> None:
        """Bulk retention: some of the oldest go at once."""
        profile, rng = self.profile, self.rng
        if rng.random() < profile.bulk:
            timed = [row for row in self.rows.values() if row.begin is not None]
            for row in sorted(timed, key=lambda row: row.begin or 0)[: rng.randint(2, 12)]:
                self._delete(row.id)

    def _delete(self, backup_id: str) -> None:
        del self.rows[backup_id]
        self.held.discard(backup_id)

    def _now_s(self) -> float:
        return START_S + self.clock.seconds

    # -- answering -------------------------------------------------------------------------------

    def answer(self, request: httpx.Request) -> httpx.Response:
        """One request, one atomic look at the rows as they are now."""
        profile, rng = self.profile, self.rng
        self.clock.seconds += 0.02 + rng.random() * 0.03
        if request.url.path == "/v3/auth/tokens":
            return self._log_in()
        self.requests += 1
        self._mutate()
        if request.headers.get("X-Auth-Token") != f"token-{self.token}" and profile.expire:
            self.refused_calls += 1
            return _json(401, {"error_code": "APIGW.0301", "error_msg": "decrypt token fail"})
        if (refusal := self._throttled()) is not None:
            return refusal
        if rng.random() < profile.fail:
            return _json(rng.choice((500, 502, 503, 504)), {"error_code": "DBS.280005"})
        if rng.random() < profile.reset:
            raise rng.choice((httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout))("x")
        if rng.random() < profile.html:
            return httpx.Response(200, content=b"<html>maintenance</html>")
        return self._page(request)

    def _log_in(self) -> httpx.Response:
        self.logins += 1
        expires = (self.clock.now() + timedelta(days=1)).isoformat()
        response = _json(201, {"token": {"expires_at": expires}})
        response.headers["X-Subject-Token"] = f"token-{self.token}"
        return response

    def _throttled(self) -> httpx.Response | None:
        if self.profile.throttle is None:
            return None
        limit, period_s = self.profile.throttle
        now = self.clock.seconds
        start = now - now % period_s
        self.window = [at for at in self.window if at >= start]
        if len(self.window) < limit:
            self.window.append(now)
            return None
        self.wasted += 1
        text = (
            "The throttling threshold has been reached: policy user over ratelimit,"
            f"limit:{limit},time:{int(period_s // 60)} minute"
        )
        response = _json(429, {"error_code": "APIGW.0308", "error_msg": text})
        if self.profile.retry_after_s is not None:
            left = int(start + period_s - now) + 1
            response = _json(429, {"error_code": "DBS.280443", "error_msg": "too many"})
            response.headers["Retry-After"] = str(left)
        return response

    def _page(self, request: httpx.Request) -> httpx.Response:
        profile, rng = self.profile, self.rng
        params = dict(parse_qsl(request.url.query.decode()))
        limit, offset = int(params["limit"]), int(params["offset"])
        if profile.max_offset is not None and offset > profile.max_offset:
            return _json(400, {"error_code": "DBS.280440", "error_msg": "Invalid offset."})
        rows = self.rows
        if rng.random() < profile.lag and self.history:
            rows = rng.choice(self.history)
        if self.requests == profile.lacking_at:
            rows = {one: row for one, row in rows.items() if row.tie >= 0.3}
        window = None
        if "begin_time" in params:
            window = (_seconds(params["begin_time"]), _seconds(params["end_time"]))
            if profile.max_window_s is not None and window[1] - window[0] > profile.max_window_s:
                return _json(400, {"error_code": "DBS.201215", "error_msg": "Time is illegal."})
        found = self._matching(list(rows.values()), params, window)
        found.sort(
            key=lambda row: (
                -(row.begin if row.begin is not None else -1e18),
                rng.random() if profile.is_order_unstable else row.tie,
            )
        )
        total = len(found)
        page = found[offset : offset + min(limit, profile.page_cap or limit)]
        return self._spoilt(total, page, window)

    def _spoilt(
        self, total: int, page: list[Row], window: tuple[float, float] | None
    ) -> httpx.Response:
        profile, rng = self.profile, self.rng
        if page and rng.random() < profile.short:
            page = page[: rng.randrange(len(page))]
        if page and rng.random() < profile.double:
            page = [*page[:-1], page[0]]
        if rng.random() < profile.wrong_total:
            total = max(0, total + rng.choice((-3, -1, 1, 7)))
        if rng.random() < profile.empty:
            total, page = 0, []
        if rng.random() < profile.shuffled:
            rng.shuffle(page)
        has_room = window is not None and window[0] > -6e10  # the calendar begins there
        if page and window and has_room and rng.random() < profile.outside:
            begin = window[0] - rng.randrange(1, 10**6)
            page = [*page[:-1], replace(page[-1], begin=begin)]
        body = json.dumps({"total_count": total, "backups": [row.render() for row in page]})
        if rng.random() < profile.cut:
            body = body[: rng.randrange(len(body))]
        return httpx.Response(200, content=body.encode())

    def _matching(
        self, rows: list[Row], params: dict[str, str], window: tuple[float, float] | None
    ) -> list[Row]:
        profile = self.profile
        if not profile.ignores_level:
            rows = [row for row in rows if row.level == params["type"]]
        if window is not None and profile.meaning != "ignored":
            low, high = self._as_read(window)
            is_after = operator.ge if profile.is_begin_included else operator.gt
            is_before = operator.le if profile.is_end_included else operator.lt
            timed = ((row, row.begin) for row in rows if row.begin is not None)
            if profile.meaning in (*_MOMENTS, "inside", "overlap"):
                spans = [(row, *self._span_of(row)) for row, _ in timed]
                if profile.meaning == "overlap":
                    spans = [(row, last, first) for row, first, last in spans]
                rows = [
                    row
                    for row, first, last in spans
                    if is_after(first, low) and is_before(last, high)
                ]
            else:
                rows = [
                    row for row, begin in timed if is_after(begin, low) and is_before(begin, high)
                ]
                if profile.meaning == "some":  # of every age, a fifth shows in no window
                    rows = [row for row in rows if int(row.id[:2], 16) % 5]
        return self._filtered(rows, params)

    def _filtered(self, rows: list[Row], params: dict[str, str]) -> list[Row]:
        misread = self.profile.misread
        values: dict[str, Callable[[Row], str]] = {
            "backup_type": lambda row: row.kind,
            "datastore_type": lambda row: ENGINES[row.instance % 4],
            "instance_id": lambda row: row.instance_id,
            "backup_id": lambda row: row.id,
        }
        for name, value_of in values.items():
            if name in params and misread == f"hides: {name}":
                rows = []
            elif name in params and misread != name:
                rows = [row for row in rows if value_of(row) == params[name]]
                if misread == f"thins: {name}":
                    rows = [row for row in rows if int(row.id[:2], 16) % 4]
                if misread == f"recent: {name}":
                    rows = [row for row in rows if (row.begin or 0) > START_S - 10 * 86400]
        return rows

    def _as_read(self, window: tuple[float, float]) -> tuple[float, float]:
        """The window as the service understands it."""
        (low, high), profile = window, self.profile
        if profile.cap_s is not None:
            low = max(low, (self._now_s() if profile.is_cap_from_now else high) - profile.cap_s)
        if profile.meaning == "zone":
            return low - 8 * 3600, high - 8 * 3600
        if profile.meaning == "whole days":
            return low - low % 86400, high - high % 86400 + 86399
        return low, high

    def _span_of(self, row: Row) -> tuple[float, float]:
        """What of a row must lie inside a window: its first and its last moment."""
        begin, meaning = row.begin or 0.0, self.profile.meaning
        if meaning in ("inside", "overlap"):
            return begin, begin + row.duration
        if meaning in _MOMENTS:
            begin = _MOMENTS[meaning](row, begin)
        return begin, begin


_MOMENTS: dict[str, Callable[[Row, float], float]] = {
    "end": lambda row, begin: begin + row.duration,
    "created": lambda row, begin: begin + 40,
    "created at times": lambda row, begin: begin + int(row.id[:2], 16) % 41,
    "day": lambda row, begin: begin - begin % 86400,
    "minute": lambda row, begin: begin - begin % 60,
}


class ModelTransport(httpx.BaseTransport):
    """The model where a connection would be."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.model.answer(request)


def _json(status: int, content: dict[str, object]) -> httpx.Response:
    return httpx.Response(status, json=content)


@functools.cache
def _seconds(text: str) -> float:
    return (datetime.fromisoformat(text) - EPOCH).total_seconds()
