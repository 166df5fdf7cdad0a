"""The doctor at services that mean something else than we assume, and what it shows to strangers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import Response

from backup_frames.sandbox import Dialect, Fault, Sandbox, Status
from backup_frames.sandbox.answers import json_response
from backup_frames.sandbox.faults import Asked
from backup_frames.scan.assumptions import ASSUMPTIONS

Ask = Callable[..., Any]
TIME = {"time filter Instance", "time filter DatabaseTable"}
BEHIND_TIME = {"ends", "window width"}  # lines that say "not proven" where the time filter is not


@pytest.fixture
def ask(run, monkeypatch) -> Ask:
    """Run doctor at a sandbox with these switches."""

    def ask_at(*options: str, box: Sandbox | None = None, **given: Any) -> Any:
        with box or Sandbox(200, **given) as served:
            for name, value in served.environment().items():
                monkeypatch.setenv(name, value)
            return run("doctor", *options)

    return ask_at


def lines_of(ran: Any) -> dict[str, str]:
    """Name -> rest of the line, of the checks."""
    lines = [line for line in ran.out.splitlines() if line[:6] in ("ok    ", "FAIL  ")]
    return dict(line[6:].partition(": ")[::2] for line in lines)


def failed(ran: Any) -> set[str]:
    return {line[6:].partition(":")[0] for line in ran.out.splitlines() if line.startswith("FAIL")}


def row(number: int, **fields: Any) -> dict[str, Any]:
    times = {"begin_time": f"2026-01-20T10:{number:02d}:07+0000"}
    times["end_time"] = f"2026-01-20T10:{number:02d}:37+0000"
    kinds = {"datastore": {"type": "redis"}, "type": "Auto", "status": "COMPLETED", "size": 7}
    return {
        "id": f"b{number}",
        "name": f"n{number}",
        "instance_id": "i",
        **times,
        **kinds,
        **fields,
    }


def test_a_service_as_assumed_passes(ask):
    """Every line is ok and nothing is left unproven; each assumption of the table has its line."""
    ran = ask()
    assert (ran.code, failed(ran), ran.err) == (0, set(), "")
    assert "not proven" not in ran.out
    lines = lines_of(ran)
    assert {*TIME, *BEHIND_TIME, "time formats", "verified read"} < lines.keys()
    for assumption in ASSUMPTIONS:
        assert any(name.startswith(assumption.name) for name in lines), assumption.name
    assert "begin_time included, end_time included" in lines["ends"]


@pytest.mark.parametrize(
    ("switches", "wrong", "seen"),
    [
        ({"time_filter": "inside"}, TIME, "does not hold"),
        ({"time_filter": "end"}, TIME, "does not hold"),
        ({"time_filter": "created"}, TIME, "does not hold"),
        ({"time_filter": "zone"}, TIME, "do not select"),
        ({"time_filter": "day"}, TIME, "do not select"),
        ({"time_filter": "minute"}, TIME, "do not select"),
        ({"time_filter": "ignored"}, TIME, "began at other times"),
        ({"levels": "ignored"}, {"level"}, "ignores type"),
        ({"window_cap_days": 20}, {"window width"}, "DBS.201215"),
        ({"window_cap_days": 20, "window_cap": "silent"}, {"window width"}, "days"),
        ({"ignored_filter": "instance_id"}, {"filters"}, "instance_id lets"),
        ({"ignored_filter": "backup_id"}, {"filters"}, "backup_id lets"),
        ({"ignored_filter": "backup_type"}, {"filters"}, "backup_type lets"),
        ({"ignored_filter": "datastore_type"}, {"filters"}, "datastore_type lets"),
        ({"filter_case": "upper"}, {"filters"}, "backup_type finds nothing"),
        ({"limit_cap": 40}, {"limit"}, "40 rows"),
        ({"limit_cap": 1}, {"limit"}, "1 rows"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_each_switch_fails_its_line_and_no_other(ask, switches, wrong, seen):
    """The line of the assumption fails and says what was seen; stderr names it, quiet or not."""
    ran = ask("--quiet", **switches)
    assert failed(ran) == wrong
    assert ran.code == 3
    lines = lines_of(ran)
    assert all(seen in lines[name] for name in wrong)
    unproven = {name for name, text in lines.items() if text.startswith("not proven")}
    assert unproven == (BEHIND_TIME if wrong == TIME else set())
    assert len(ran.err.splitlines()) == 1
    assert all(name in ran.err for name in wrong)


@pytest.mark.parametrize(
    ("dialect", "seen"),
    [
        (Dialect(is_begin_inclusive=False), "begin_time excluded, end_time included"),
        (Dialect(is_end_inclusive=False), "begin_time included, end_time excluded"),
        (Dialect(filter_case="ignored"), "begin_time included, end_time included"),
    ],
)
def test_what_reads_do_not_depend_on_is_told_and_passes(ask, dialect, seen):
    """Ends may be in or out, and filters may compare in any case."""
    ran = ask(dialect=dialect)
    assert ran.code == 0, ran.out
    assert lines_of(ran)["ends"] == seen


@pytest.mark.parametrize(
    ("records", "unproven"),
    [
        ([], {"limit", "time formats", "level", *TIME, *BEHIND_TIME, "filters", "counts"}),
        ([row(1)], {"limit", *TIME, *BEHIND_TIME}),
        ([row(n, end_time=None) for n in range(9)], {"limit", *TIME, *BEHIND_TIME}),
        ([row(n) for n in range(9)], {"limit", "time filter DatabaseTable"}),
    ],
    ids=["empty", "one short", "all running", "nine"],
)
def test_what_no_backup_can_prove_is_no_failure(ask, records, unproven):
    """An empty list, or backups too short or still running, leave lines unproven, exit 0."""
    if len(records) == 1:
        records[0]["end_time"] = "2026-01-20T10:01:09+0000"
    ran = ask(records={"Instance": records, "DatabaseTable": []})
    assert (ran.code, failed(ran)) == (0, set())
    lines = lines_of(ran)
    assert {name for name, text in lines.items() if text.startswith("not proven")} == unproven
    assert "no backup qualifies" in lines["time filter DatabaseTable"]


@pytest.mark.parametrize("name", ["instance_id", "backup_id", "backup_type", "datastore_type"])
def test_backups_that_are_alike_prove_a_filter_too(ask, name):
    """Where all backups have the value of a filter, one that none has shows that it is ignored."""
    records = {"Instance": [row(1)], "DatabaseTable": []}
    assert failed(ask(records=records)) == set()
    ran = ask(records=records, ignored_filter=name)
    assert failed(ran) == {"filters"}
    assert f"{name} lets other backups through" in ran.out


def test_a_filter_that_hides_some_backups_is_a_line(ask):
    """A filter that finds other backups with its value, but not this one, fails its line."""

    records = [row(number, instance_id="i" if number % 3 else "j") for number in range(9)]

    class Thinned(Fault):
        def replace(self, asked: Asked, /) -> Response | None:
            if asked.params.get("instance_id") != "j":
                return None
            return json_response({"total_count": 2, "backups": [records[6], records[0]]}, 200)

    box = Sandbox(records={"Instance": records, "DatabaseTable": []}, faults=[Thinned()])
    ran = ask(box=box)
    assert failed(ran) == {"filters"}
    assert "instance_id hides" in ran.out


def test_times_that_cannot_be_read_are_a_line(ask):
    """An end time that is none fails the line of the time formats."""
    records = [row(1), row(2, end_time="soon"), row(3, end_time="")]
    ran = ask(records={"Instance": records, "DatabaseTable": []})
    assert failed(ran) == {"time formats"}
    assert "1 end times" in ran.out


@pytest.mark.parametrize("after", [3, 9, 18])
def test_a_service_that_fails_on_the_way_is_a_line(ask, after):
    """What failed while assumptions were checked is told in the same way, wherever it was."""
    faults: list[Fault] = [Status(403, after=after)]
    ran = ask("--quiet", faults=faults)
    assert ran.code == 3
    assert failed(ran) == {"assumptions"}
    assert "not checked to the end" in ran.out
    assert "assumptions" in ran.err


CANARY = "canary7"


def canaries(number: int) -> dict[str, Any]:
    """A record that says who somebody is wherever it can."""
    text = f"{CANARY}-{number}"
    return row(
        number,
        id=f"id-{text}",
        name=f"name-{text}",
        instance_id=f"in-{text}",
        instance_name=f"instance-{text}",
        description=f"description {text}",
        datastore={"type": ("redis", text)[number % 2], "version": text, f"{text}-key": text},
        type=("Auto", text)[number % 2],
        status=("COMPLETED", text)[number % 2],
        size=text if number % 3 else 7,
        database_tables=[{"database_name": text, "table_names": [text], text: text}],
        **{f"extra-{text}": {text: text}, "host": f"{text}.example.com"},
    )


@pytest.mark.parametrize("switches", [{}, {"time_filter": "end"}, {"limit_cap": 3}])
def test_share_shows_shapes_only(ask, tmp_path, switches):
    """No id, name, host, extra field, project or account is in what doctor --share prints."""
    records = {"Instance": [canaries(n) for n in range(9, 0, -1)], "DatabaseTable": []}
    box = Sandbox(records=records, **switches)
    box.extra_headers["X-Apig-RateLimit-User"] = "remain:99,limit:100,time:1 minute"
    box.extra_headers["X-Apig-RateLimit-Canary7"] = CANARY
    ran = ask("--share", "--lake", str(tmp_path / CANARY), box=box)
    shown = ran.out + ran.err
    assert CANARY not in shown.lower()
    assert "127.0.0.1" not in shown
    for secret in (box.project_id, box.token, box.access_key, box.domain, box.username, box.region):
        assert secret not in shown
    assert "9999-99-99T99:99:99+0000 x 1-9" in ran.out
    assert "statuses: COMPLETED x 1-9; other (9 characters) x 1-9" in ran.out
    assert "engines: other (9 characters) x 1-9; redis x 1-9" in ran.out
    assert "user: remain:99,limit:100,time:1 minute; 1 of another form" in ran.out
    assert re.search("fields beyond the reference page: [1-9]", ran.out)
    assert "version: backup-frames " in ran.out
    assert "lake delete" in ran.out


def test_share_tells_what_failed(ask):
    """A refused call is a kind of error, its status and its code; ends and limits are told."""
    ran = ask("--share", dialect=Dialect(is_end_inclusive=False, window_cap_days=20))
    assert "ok    ends: begin_time included, end_time excluded" in ran.out
    assert "FAIL  window width: wide windows are refused (RejectedError 400 DBS.201215)" in ran.out
    assert "errors: RejectedError 400 DBS.201215" in ran.out
    body = {"error_code": f"DBS.{CANARY}", "error_msg": CANARY}
    refused = ask("--share", faults=[Status(403, body=body)])
    assert refused.code == 3
    assert "FAIL  permission: AuthError 403" in refused.out
    assert CANARY not in refused.out + refused.err


def test_share_without_settings_shows_no_value(run, monkeypatch):
    """Settings that contradict themselves are told by their kind, not with their values."""
    monkeypatch.setenv("BACKUP_FRAMES_ENDPOINT", f"ftp://{CANARY}.example.com")
    monkeypatch.setenv("BACKUP_FRAMES_PROJECT_ID", CANARY)
    ran = run("doctor", "--share")
    assert ran.code == 2
    assert "FAIL  settings" in ran.out
    assert "settings" in ran.err
    assert CANARY not in ran.out + ran.err
