"""One connection for many calls: one login, one look-up of the project; every path as people have it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import backup_frames as bf
from backup_frames.errors import LakeError
from backup_frames.evidence.calendar import write_calendar
from backup_frames.evidence.pack import write_evidence
from backup_frames.evidence.verify import verify_evidence
from backup_frames.sandbox import Sandbox


def counted(box: Sandbox) -> Counter[str]:
    return Counter(received.operation for received in box.requests)


def test_four_calls_share_one_login_and_one_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session logs in once and looks its project up once, whatever it is asked."""
    with Sandbox(backups=150, seed=1) as box:
        for name, value in box.environment().items():
            if "TOKEN" not in name and "SDK" not in name and "PROJECT" not in name:
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("BACKUP_FRAMES_USERNAME", box.username)
        monkeypatch.setenv("BACKUP_FRAMES_PASSWORD", box.password)
        monkeypatch.setenv("BACKUP_FRAMES_DOMAIN", box.domain)
        with bf.connect(region=box.region) as service:
            assert len(service.read_backups()) == 150
            assert sum(len(part) for part in service.scan_backups()) == 150
            assert len(service.read_instances()) > 0
            assert len(service.read_policies()) > 0
            assert service.plan_read().requests > 0
        seen = counted(box)
    assert (seen["tokens"], seen["projects"]) == (1, 1)


def test_a_warning_names_the_line_that_called() -> None:
    """However a read is asked for, what it warns of is shown at the caller's own line."""
    asked = {"instance_id": "no-such"}
    with Sandbox(backups=20, seed=1) as box:
        keys = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
        with bf.connect(**keys) as service:
            for read in (
                lambda: bf.read_backups(**keys, **asked),
                lambda: list(bf.scan_backups(**keys, **asked)),
                lambda: service.read_backups(**asked),
                lambda: list(service.scan_backups(**asked)),
            ):
                with pytest.warns(UserWarning, match="no-such") as seen:
                    read()
                assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.usefixtures("draws_here")
@pytest.mark.parametrize(
    ("kind", "home"),
    [
        pytest.param(str, "~", id="text from home"),
        pytest.param(Path, "{}", id="a whole path", marks=pytest.mark.slow),  # as most tests do
    ],
)
def test_every_call_takes_a_path(
    kind: type, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text, path objects and a leading tilde are the same to whatever takes a file or a folder."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def place(name: str) -> Any:
        return kind(f"{home.format(tmp_path)}/{name}")

    lake = place("lake")
    with (
        Sandbox(backups=20, seed=2) as box,
        bf.connect(endpoint=box.endpoint, project_id=box.project_id, token=box.token) as service,
    ):
        assert service.sync_backups(lake=lake).counts["new"] == 20
        assert service.sync_backups(lake=lake, full=True, inventory=False).verdict == "complete"
        assert service.sync_backups(lake=lake, dry_run=True).is_dry_run
        config = f"project_id = '{box.project_id}'\nendpoint = '{box.endpoint}'\n"
        (tmp_path / "config.toml").write_text(config, "utf-8")
        (named,) = bf.load_projects(place("config.toml"), lake=lake, token=box.token)
        assert bf.load_settings(place("config.toml")).endpoint == named.endpoint == box.endpoint
        assert bf.sync_backups(settings=named).counts["present"] == 20
        instances = len(service.read_instances())
        policies = len(service.read_policies())
        frames = service.read_backups()
    frames.write(place("frames"))
    frames.to_excel(place("frames.xlsx"))
    opened = bf.open_lake(lake)
    assert opened.backups().num_rows == 20
    assert (opened.instances().num_rows, opened.policies().num_rows) == (instances, policies)
    assert bf.verify_lake(lake) == []
    with bf.insight.connect_lake(lake) as connection:
        assert connection.sql("SELECT count(*) FROM v_backups_current").fetchall() == [(20,)]
    bf.insight.publish_lake(lake, place("out.duckdb"))
    bf.insight.write_report(lake, place("out.html"))
    days = {"begin": "2026-01-01", "end": "2026-01-03"}
    write_evidence(lake, place("out.zip"), **days)
    assert verify_evidence(place("out.zip")) == []
    with pytest.raises(LakeError, match=re.escape(f"{tmp_path}/none")):
        verify_evidence(place("out.zip"), lake=place("none"))
    write_calendar(lake, place("calendar.html"), **days)
    made = {"calendar.html", "frames", "frames.xlsx", "lake", "out.duckdb", "out.html", "out.zip"}
    assert {path.name for path in tmp_path.iterdir()} == made | {"config.toml"}


def test_a_bad_question_is_told_before_any_request() -> None:
    """A session checks what it is asked as the short-cuts do."""
    with Sandbox(backups=1, seed=1) as box:
        place = {"endpoint": box.endpoint, "project_id": box.project_id, "token": box.token}
        with bf.connect(**place) as service:
            before = len(box.requests)
            with pytest.raises(bf.QueryError):
                service.read_backups(begin="2026-02-01", end="2026-01-01")
            with pytest.raises(bf.QueryError):
                next(service.scan_backups(instance_id="no id at all"))
            assert len(box.requests) == before


def test_a_closed_connection_is_told_as_that() -> None:
    """Reading after the ``with`` block is a mistake of the caller's: the words say which."""
    with Sandbox(backups=1, seed=1) as box:
        with bf.connect(
            endpoint=box.endpoint, project_id=box.project_id, token=box.token
        ) as service:
            pass
        with pytest.raises(bf.UnavailableError, match="connection is closed: connect again"):
            service.read_backups()


def test_a_lake_is_asked_by_name_and_checks_its_times(tmp_path: Path) -> None:
    """A date is no flag: times are keywords, and begin after end is an error as in a read."""
    with Sandbox(backups=20, seed=1) as box:
        bf.sync_backups(
            lake=tmp_path, endpoint=box.endpoint, project_id=box.project_id, token=box.token
        )
    lake = bf.open_lake(tmp_path)
    with pytest.raises(TypeError):
        lake.backups("2026-01-25")  # type: ignore[misc]  # the mistake
    with pytest.raises(bf.QueryError, match="swap"):
        lake.backups(begin="2026-02-01", end="2026-01-01")
