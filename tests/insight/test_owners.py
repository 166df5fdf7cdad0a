"""Owners, enterprise projects and attestations: what belongs to whom, in every answer."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc
import pytest
from support.hostile import HOSTILE
from support.lake_maker import at, backup, instance, make_lake, policy, policy_change, run

from backup_frames.cli import main
from backup_frames.errors import QueryError
from backup_frames.evidence.calendar import write_calendar
from backup_frames.evidence.pack import write_evidence
from backup_frames.evidence.verify import verify_evidence
from backup_frames.insight.charts.report import write_report
from backup_frames.insight.kpi.changes import find_exceptions
from backup_frames.insight.kpi.narrow import narrow_to
from backup_frames.insight.kpi.publish import connect_lake, publish_lake
from backup_frames.insight.kpi.query import query_lake
from backup_frames.settings import load_project_ids
from backup_frames.settings.owners import Attestation, OwnerRule

DAY = timedelta(days=1)
OWNERS = (
    OwnerRule("payments", instance_name="orders-*"),
    OwnerRule("platform", enterprise_project_id="ep-2"),
)
CONFIG = """
[[owner]]
owner = "payments"
instance_name = "orders-*"

[[owner]]
owner = "platform"
enterprise_project_id = "ep-2"

[[attestation]]
text = "A restore was tested"
who = "Ann"
when = 2026-02-03
"""


CONTROLS = set("\x1b\x00\u202e\x9b\x07")


def _attributes(page: str) -> set[str]:
    """The names of all attributes of all elements of a page."""
    names: set[str] = set()

    class Parser(HTMLParser):
        def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names.update(name for name, _ in attrs)

    Parser().feed(page)
    return names


def fleet() -> dict[str, Any]:
    """orders-1 and bare (unprotected) in p1, synced on the 20th; users in p2, last synced on the 10th."""
    known = {"first_seen_at": at("2026-02-01 12:00"), "updated_at": at("2026-02-01 12:00")}
    backups = []
    for n in range(10, 21):
        begin = at(f"2026-02-{n:02d} 02:00")
        for name, project in (("orders-1", "p1"), ("users", "p2")):
            if project == "p1" or n <= 10:
                row = backup(f"{name}-{n}", name, begin, project_id=project)
                backups.append(row | {"instance_name": name})
    return {
        "backups": backups,
        "instances": [
            instance("orders-1", instance_name="orders-1", enterprise_project_id="ep-1", **known),
            instance(
                "bare", instance_name="bare", enterprise_project_id="ep-2", **known,
                created_at=at("2026-02-05 08:00"),
            ),
            instance(
                "users", instance_name="users", project_id="p2", enterprise_project_id="ep-3", **known
            ),
        ],
        "policies": [
            policy("orders-1", **known | {"updated_at": at("2026-02-19 12:00")}),
            policy("users", project_id="p2", **known),
        ],
        "policy_changes": [
            policy_change("orders-1", "keep_days", "14", "7", seen_at=at("2026-02-19 12:00"))
        ],
        "runs": [
            *(run(at(f"2026-02-{n:02d} 12:00")) for n in range(10, 21)),
            run(at("2026-02-10 12:00"), project_id="p2"),
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("lakes") / "lake", **fleet())


def kinds(lake: Path, **wanted: Any) -> set[tuple[str, str | None]]:
    rows = find_exceptions(lake, owners=OWNERS, **wanted).to_pylist()
    return {(row["kind"], row["instance_id"] or row["project_id"]) for row in rows}


def test_exceptions_of_an_owner(lake: Path) -> None:
    """Those of the owner's instances and of the projects that they are in; now stays the lake's."""
    # not ("stale data", "p2") either
    assert kinds(lake, owner="payments") == {("policy weakened", "orders-1")}
    assert ("unprotected", "bare") in kinds(lake, owner="platform")
    # p2's last run is ten days older than the lake's, which only the others' runs tell
    found = kinds(lake, enterprise_project_id="ep-3")
    assert ("stale data", "p2") in found
    assert {name for _, name in found} == {"p2", "users"}


def test_now_stays_the_lakes(lake: Path) -> None:
    """Narrowed to a project that was synced ten days before another, views have its rows as before."""
    views = ("dim_project", "v_watched_daily", "v_slot", "v_instance_ledger", "v_control_result")

    def rows(connection: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
        ask = "FROM {} WHERE project_id = 'p2'"
        return {
            view: set(map(str, connection.execute(ask.format(view)).fetchall())) for view in views
        }

    with connect_lake(lake, materialize=True) as connection:
        whole = rows(connection)
        narrow_to(connection, None, "ep-3")
        assert rows(connection) == whole
    assert all(whole.values())


def test_nobody_is_no_pass(lake: Path, tmp_path: Path) -> None:
    """A name that fits no instance is refused everywhere: it would have no exception and no alarm."""
    days = {"begin": "2026-02-10", "end": "2026-02-20"}
    both = {"owner": "platform", "enterprise_project_id": "ep-1"}
    for wanted in ({"enterprise_project_id": "EP-1"}, both):
        with pytest.raises(QueryError, match="'payments', 'platform'"):
            find_exceptions(lake, owners=OWNERS, **wanted)
    with pytest.raises(QueryError, match="'payment'"):
        write_report(lake, tmp_path / "r.html", owners=OWNERS, owner="payment")
    with pytest.raises(QueryError, match="'payment'"):
        write_evidence(lake, tmp_path / "p.zip", owners=OWNERS, owner="payment", **days)
    with pytest.raises(QueryError, match="'payment'"):
        write_calendar(lake, tmp_path / "c.html", owners=OWNERS, owner="payment", **days)
    assert not list(tmp_path.iterdir())


def test_an_alarm_for_a_weaker_policy_goes_off_once(tmp_path: Path) -> None:
    """With --new it is of the run that saw the change, and of no later one."""
    rows = fleet()
    for last, is_new in ((19, True), (20, False)):
        some = rows | {"runs": [one for one in rows["runs"] if one["as_of"].day <= last]}
        found = kinds(make_lake(tmp_path / str(last), **some), new=True)
        assert (("policy weakened", "orders-1") in found) == is_new


def test_since_when(lake: Path) -> None:
    """Each exception says on which day it became one: by the limit, the change, the creation."""
    rows = find_exceptions(lake).to_pylist()
    found = {
        (row["kind"], row["instance_id"] or row["project_id"]): (row["opened_on"], row["days_open"])
        for row in rows
    }
    assert {row["closed_on"] for row in rows} == {None}
    assert found["policy weakened", "orders-1"] == (date(2026, 2, 19), 1)
    assert found["unprotected", "bare"] == (date(2026, 2, 5), 15)
    (limit_h,) = query_lake(lake, "SELECT rpo_h + rpo_tolerance_h AS h FROM settings")[
        "h"
    ].to_pylist()
    day = (at("2026-02-10 02:00") + timedelta(hours=limit_h)).date()
    assert found["rpo missed", "users"] == (day, (date(2026, 2, 20) - day).days)


def test_kpis_by_owner(lake: Path) -> None:
    """One row per owner and enterprise project, worked out by hand; who is named by no rule has null."""
    columns = (
        "owner",
        "enterprise_project_id",
        "instance_count",
        "coverage_rate",
        "rpo_instance_rate",
    )
    rows = query_lake(lake, "FROM v_kpi_owner ORDER BY enterprise_project_id", owners=OWNERS)
    found = [tuple(row[name] for name in columns) for row in rows.to_pylist()]
    assert found == [
        ("payments", "ep-1", 1, 1.0, 1.0),
        ("platform", "ep-2", 1, 0.0, 0.0),
        (None, "ep-3", 1, 1.0, 0.0),
    ]


@pytest.mark.usefixtures("draws_here")
def test_the_commands_take_owners_from_the_config(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """check, query, publish and report, each with --config; check by --owner tells of the owner alone."""
    config = tmp_path / "c.toml"
    config.write_text(CONFIG)
    place = ["--lake", str(lake), "--config", str(config)]
    assert main(["check", *place, "--owner", "payments"]) == 0
    assert main(["check", *place, "--owner", "platform"]) == 7
    assert "bare: unprotected" in capsys.readouterr().out
    assert main(["check", *place, "--owner", "nobody"]) == 2
    sql = "SELECT DISTINCT owner FROM v_exceptions WHERE owner IS NOT NULL ORDER BY 1"
    capsys.readouterr()
    assert main(["query", sql, *place, "--format", "csv"]) == 0
    assert capsys.readouterr().out.replace('"', "").split() == ["owner", "payments", "platform"]
    assert main(["publish", *place, "--out", str(tmp_path / "p.duckdb")]) == 0
    with duckdb.connect(str(tmp_path / "p.duckdb"), read_only=True) as connection:
        assert connection.sql("SELECT who FROM attestation").fetchall() == [("Ann",)]
        assert ("payments",) in connection.sql("SELECT owner FROM dim_instance").fetchall()
    page = tmp_path / "r.html"
    assert main(["report", *place, "--owner", "platform", "--out", str(page)]) == 0
    text = page.read_text("utf-8")
    assert "A restore was tested" in text
    assert "Not visible here" in text
    assert "Policy not weakened" in text
    assert "bare" in text
    assert "orders-1" not in text


@pytest.mark.slow
def test_hostile_names_stay_text_in_every_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Owners, instances, projects' names, reasons and attestations: CSV, pages, terminal, file names."""
    texts = (*HOSTILE, "../../etc/x", "a,b\r\n=1", "\x07\x9b2J")
    ids = [f"i-{n}" for n in range(len(texts))]
    known = {"first_seen_at": at("2026-02-01 12:00"), "updated_at": at("2026-02-01 12:00")}
    rows: dict[str, Any] = {
        "backups": [
            backup("b-" + name, name, at("2026-02-10 02:00"))
            | {"instance_name": text, "name": text}
            for name, text in zip(ids, texts, strict=True)
        ],
        "instances": [
            instance(name, instance_name=text, enterprise_project_id=text, **known)
            for name, text in zip(ids, texts, strict=True)
        ],
        "policy_changes": [
            policy_change(ids[0], "period", "1,2", text, seen_at=at("2026-02-11 12:00"))
            for text in texts[:1]
        ],
        "runs": [
            run(at("2026-02-10 12:00"), caller=texts[3], reasons=texts[0]),
            run(at("2026-02-11 12:00"), verdict="incomplete", reasons="\n".join(texts)),
        ],
    }
    owners = [OwnerRule(text, enterprise_project_id=text) for text in texts]
    notes = [Attestation(text, text, text, text) for text in texts]
    lake = make_lake(tmp_path / "lake", **rows)
    days = {"begin": "2026-02-10", "end": "2026-02-11", "owners": owners, "attestations": notes}
    write_report(lake, tmp_path / "r.html", owners=owners, attestations=notes)
    write_calendar(lake, tmp_path / "c.html", **days)
    write_evidence(lake, tmp_path / "pack", **days)
    pages = [tmp_path / "r.html", tmp_path / "c.html", tmp_path / "pack/index.html"]
    for page in (one.read_text("utf-8") for one in pages):
        assert not set(page) & CONTROLS
        assert not {name for name in _attributes(page) if name.startswith("on")}
        assert page.count("<script") <= 1
        assert "<img" not in page
    for path in (tmp_path / "pack").rglob("*"):
        assert path.resolve().is_relative_to(tmp_path / "pack")
        if path.suffix == ".csv":
            content = path.read_text("utf-8")
            assert not set(content) & (CONTROLS | {"\r"})
            for row in csv.reader(io.StringIO(content)):
                assert not [cell for cell in row if cell.lstrip()[:1] in tuple("=+@")]
    publish_lake(lake, tmp_path / "p.duckdb", owners=owners, attestations=notes)
    with connect_lake(lake, owners=owners, attestations=notes) as connection:
        found = {one for (one,) in connection.sql("SELECT text FROM attestation").fetchall()}
    assert found == set(texts)
    config = tmp_path / "c.toml"
    config.write_text('[[owner]]\nowner = "\\u001b[31m=cmd"\ninstance_name = "*"\n')
    for arguments in (
        ["check"],
        ["check", "--owner", "\x1b[31mnobody"],
        ["query", "FROM v_kpi_owner"],
    ):
        main([*arguments, "--lake", str(lake), "--config", str(config)])
        shown = capsys.readouterr()
        assert not set(shown.out + shown.err) & CONTROLS


def test_a_project_that_never_synced(lake: Path, tmp_path: Path) -> None:
    """A project that only the config names has rows everywhere, and nothing of it is ever ok.

    Of the page: `test_what_changed_stands_at_the_head`.
    """
    config = tmp_path / "lake.toml"
    tables = "".join(f'[[project]]\nproject_id = "{name}"\n' for name in ("p1", "p9"))
    config.write_text(f'lake = "{lake}"\n{tables}[[project]]\nproject_id = "p8"\nlake = "other"\n')
    projects = load_project_ids(config, str(lake))
    assert projects == ["p1", "p9"]
    stale = find_exceptions(lake, projects=projects).filter(pc.field("project_id") == "p9")
    assert stale["kind"].to_pylist() == ["stale data"]
    assert "p9" not in find_exceptions(lake, projects=projects, new=True)["project_id"].to_pylist()
    assert (
        "p9"
        not in find_exceptions(lake, projects=projects, enterprise_project_id="ep-2")[
            "project_id"
        ].to_pylist()
    )
    pack = tmp_path / "pack.zip"
    write_evidence(lake, pack, begin="2026-01-01", end="2026-01-03", projects=projects)
    with zipfile.ZipFile(pack) as archive:
        controls = {
            name: list(csv.DictReader(io.StringIO(archive.read(name).decode())))
            for name in archive.namelist()
            if name.startswith("controls/")
        }
        assert "No certified run between" in archive.read("gaps.csv").decode()
    rows = [row for some in controls.values() for row in some if row["project_id"] == "p9"]
    assert {row["status"] for row in rows} == {"cannot_be_known"}
    certified = [r for r in controls["controls/list_certified.csv"] if r["project_id"] == "p9"]
    assert len(certified) == 3
    assert verify_evidence(pack, lake=lake) == []
