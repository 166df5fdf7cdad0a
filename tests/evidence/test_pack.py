"""An evidence pack: what is in it, that it is the same each time, and that nothing in it can be changed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import zipfile
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.hostile import HOSTILE
from support.lake_maker import (
    at,
    backup,
    instance,
    make_big_lake,
    make_lake,
    policy,
    policy_change,
    run,
)

from backup_frames.cli import main
from backup_frames.errors import LakeError, QueryError
from backup_frames.evidence.calendar import write_calendar
from backup_frames.evidence.files import (
    SUMS,
    encode_csv,
    encode_json,
    encode_sums,
    encode_zip,
    write_files,
)
from backup_frames.evidence.pack import write_evidence
from backup_frames.evidence.verify import verify_evidence
from backup_frames.insight.kpi.changes import find_exceptions
from backup_frames.insight.kpi.publish import open_views
from backup_frames.settings.owners import Attestation, OwnerRule

DAY = timedelta(days=1)
DAYS = {"begin": "2026-02-10", "end": "2026-02-20"}
OWNERS = (OwnerRule("=payments", instance_name="orders-*"), OwnerRule("<b>rest", "ep-2"))


def fleet(last: int = 22) -> dict[str, Any]:
    """Two instances synced daily in February; none of orders-1 on the 14th, no run on the 17th."""
    backups = []
    for name in ("orders-1", "users"):
        for n in range(1, last + 1):
            begin = at(f"2026-02-{n:02d} 02:00")
            if (name, n) != ("orders-1", 14):
                row = backup(f"{name}-{n:02d}", name, begin, first_seen_at=begin + 10 * DAY / 24)
                gone = begin + 7 * DAY + DAY / 2
                row["gone_at"] = gone if gone < at(f"2026-02-{last:02d} 12:00") else None
                backups.append(row | {"instance_name": name})
    known = {"first_seen_at": at("2026-02-01 12:00"), "updated_at": at("2026-02-01 12:00")}
    runs = []
    for n in range(1, last + 1):
        moment = at(f"2026-02-{n:02d} 12:00")
        count = sum(
            b["first_seen_at"] <= moment and (b["gone_at"] is None or b["gone_at"] > moment)
            for b in backups
        )
        if n not in (17, 18):
            runs.append(run(moment, present_count=count, caller="token f00d"))
    return {
        "backups": backups,
        "instances": [
            instance("orders-1", instance_name="orders-1", enterprise_project_id="ep-1", **known),
            instance("users", instance_name="users", enterprise_project_id="ep-2", **known),
        ],
        "policies": [
            policy("orders-1", **known | {"updated_at": at("2026-02-15 12:00")}),
            policy("users", **known),
        ],
        "policy_changes": [
            policy_change("orders-1", "keep_days", "14", "7", seen_at=at("2026-02-15 12:00"))
        ],
        "runs": runs,
    }


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("lakes") / "lake", **fleet())


@pytest.fixture(scope="module")
def pack(lake: Path) -> Path:
    path = lake.with_name("pack.zip")
    note = Attestation("restored on paper", "=cmd()", "2026-02-01", "javascript:alert(1)")
    write_evidence(lake, path, **DAYS, owners=OWNERS, attestations=[note])
    return path


def files_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rows_of(files: dict[str, bytes], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files[name].decode())))


def told(findings: list[Any]) -> list[tuple[str, str]]:
    return [(one.path, one.kind) for one in findings]


def test_a_lost_file_proves_nothing(tmp_path: Path) -> None:
    """Of days whose backups' file was lost nothing is said, neither ok nor an alarm."""
    lake = make_lake(tmp_path / "lake", **fleet())
    shutil.rmtree(lake / "backups" / "date=2026-02-12")
    pack = tmp_path / "one.zip"
    write_evidence(lake, pack, **DAYS, enterprise_project_id="ep-1", owners=OWNERS)
    rows = rows_of(files_of(pack), "controls/daily_success.csv")
    assert {row["instance_id"] for row in rows} == {"orders-1"}
    status = {row["date"][-2:]: row["status"] for row in rows}
    assert {day for day, one in status.items() if one == "cannot_be_known"} >= {"11", "12"}
    assert status["20"] == "ok"
    write_calendar(lake, tmp_path / "c.html", **DAYS, enterprise_project_id="ep-2")
    assert 'class="missed"' not in (tmp_path / "c.html").read_text()


def test_a_run_without_certificate(tmp_path: Path) -> None:
    """A day on which a run wrote rows and whose certificate was lost may not read as one without a run."""
    rows = fleet()
    rows["runs"] = [one for one in rows["runs"] if one["as_of"].day != 14]
    lake = make_lake(tmp_path / "lake", **rows)
    query = "FROM v_control_result WHERE control_id = 'list_certified' AND date = '2026-02-14'"
    with open_views(lake, materialize=True, only={"v_control_result"}) as views:
        assert views.sql(f"SELECT status {query}").fetchall() == [("cannot_be_known",)]


def test_an_auditor_answers_from_the_pack_alone(pack: Path) -> None:
    """Which had no successful backup on the 14th; is the list complete; who asked; was retention cut."""
    files = files_of(pack)
    success = rows_of(files, "controls/daily_success.csv")
    bad = [r for r in success if r["date"] == "2026-02-14" and r["status"] != "ok"]
    assert [r["instance_name"] for r in bad] == ["orders-1"]
    assert len(success) == 2 * 11
    runs = rows_of(files, "reconciliation.csv")
    assert {r["difference"] for r in runs} == {"0"}
    assert {r["caller"] for r in runs} == {"token f00d"}
    (change,) = (r for r in rows_of(files, "policy_changes.csv") if r["is_weakening"] == "true")
    assert (change["old_value"], change["new_value"]) == ("14", "7")
    (gap,) = rows_of(files, "gaps.csv")
    assert gap["gap"] == "No certified run between 2026-02-16 12:00 and 2026-02-19 12:00 UTC."
    for name in (r["run_id"] for r in runs):
        assert json.loads(files[f"runs/p1-{name}.json"])["verdict"] == "complete"


def test_the_sums_are_those_of_sha256sum(pack: Path) -> None:
    """Every file but the sums themselves, each once."""
    files = files_of(pack)
    lines = files.pop(SUMS).decode().splitlines()
    assert lines == [f"{hashlib.sha256(files[name]).hexdigest()}  {name}" for name in sorted(files)]


def test_the_same_lake_and_days_give_the_same_bytes(lake: Path, pack: Path, tmp_path: Path) -> None:
    """As an archive, from a copy of the lake elsewhere, and as a folder file by file."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(lake, copy)
    note = Attestation("restored on paper", "=cmd()", "2026-02-01", "javascript:alert(1)")
    write_evidence(copy, tmp_path / "b", **DAYS, owners=OWNERS, attestations=[note])
    files = {
        path.relative_to(tmp_path / "b").as_posix(): path.read_bytes()
        for path in (tmp_path / "b").rglob("*")
        if path.is_file()
    }
    assert files == files_of(pack)
    assert encode_zip(files) == pack.read_bytes()
    assert verify_evidence(tmp_path / "b") == []


@pytest.mark.slow
def test_a_quarter_of_200_instances_gives_the_same_bytes(tmp_path: Path) -> None:
    """Enough rows for several threads of the engine, which then come in any order."""
    lake = make_big_lake(tmp_path / "lake", backups=18_000, instances=200)
    for name in ("a.zip", "b.zip"):
        write_evidence(lake, tmp_path / name, begin="2025-12-10", end="2026-03-09")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    success = rows_of(files_of(tmp_path / "a.zip"), "controls/daily_success.csv")
    assert len(success) == 200 * 90


def test_a_damaged_day_is_an_error_and_never_a_pass(tmp_path: Path) -> None:
    """What cannot be read has no evidence: no pack is written."""
    lake = make_lake(tmp_path / "lake", **fleet())
    (path,) = (lake / "backups" / "date=2026-02-12").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(LakeError, match="2026-02-12"):
        write_evidence(lake, tmp_path / "pack.zip", **DAYS)
    assert not (tmp_path / "pack.zip").exists()


def test_a_pack_stays_true_while_its_lake_goes_on(pack: Path, tmp_path: Path) -> None:
    """The lake is read as of the pack's moment: later runs, losses and policies change nothing."""
    rows = fleet(last=26)
    rows["policies"][1] |= {"keep_days": 3, "updated_at": at("2026-02-25 12:00")}
    rows["policy_changes"].append(
        policy_change("users", "keep_days", "7", "3", seen_at=at("2026-02-25 12:00"))
    )
    assert verify_evidence(pack, lake=make_lake(tmp_path / "later", **rows)) == []


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes]], None]:
    def apply(files: dict[str, bytes]) -> None:
        files[name] = change(files[name])

    return apply


FORGERIES = {
    "an edited control": (
        edit("controls/daily_success.csv", lambda data: data.replace(b"alarm,missed", b"ok,ok", 1)),
        "controls/daily_success.csv",
    ),
    "an edited certificate": (
        edit("runs/p1-20260215T120000000000Z.json", lambda data: data.replace(b"f00d", b"beef")),
        "runs/p1-20260215T120000000000Z.json",
    ),
    "a missing run": (
        lambda files: files.pop("runs/p1-20260215T120000000000Z.json"),
        "runs/p1-20260215T120000000000Z.json",
    ),
    "a missing control": (
        lambda files: files.pop("controls/rpo_kept.csv"),
        "controls/rpo_kept.csv",
    ),
    "an extra file": (lambda files: files.update({"extra.txt": b"x"}), "extra.txt"),
    "an edited cover": (edit("index.html", lambda data: data + b" "), "index.html"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_named_by_its_sum(name: str, pack: Path, tmp_path: Path) -> None:
    """Without any lake: the file that was forged, and no other."""
    forge, path = FORGERIES[name]
    files = files_of(pack)
    forge(files)
    forged = tmp_path / "forged.zip"
    forged.write_bytes(encode_zip(files))
    assert [one.path for one in verify_evidence(forged)] == [path]


def test_forgeries_with_sums_made_anew_are_named_by_the_lake(
    lake: Path, pack: Path, tmp_path: Path
) -> None:
    """The sums agree with what was forged; the lake names each file."""
    files = files_of(pack)
    for name, (forge, _) in FORGERIES.items():
        if name != "an edited certificate":  # the missing run is the same file
            forge(files)
    del files[SUMS]
    forged = tmp_path / "forged.zip"
    forged.write_bytes(encode_zip(files | {SUMS: encode_sums(files)}))
    assert verify_evidence(forged) == []
    found = [one.path for one in verify_evidence(forged, lake=lake)]
    assert found == sorted({path for _, path in FORGERIES.values()})


def test_a_flipped_byte_anywhere_is_found(pack: Path, tmp_path: Path) -> None:
    """In the head of an entry, in its data, in the directory at the end."""
    data = pack.read_bytes()
    forged = tmp_path / "flipped.zip"
    for place in (
        0,
        5,
        11,
        40,
        2000,
        len(data) // 2,
        len(data) - 300,
        len(data) - 60,
        len(data) - 3,
    ):
        forged.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert verify_evidence(forged), place


def repacked(files: dict[str, bytes], path: Path, tightly: Callable[[str], bool]) -> Path:
    """An archive as a pack is, but for how tightly files are packed."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data, compresslevel=6 if tightly(name) else 1)
    return path


@pytest.fixture
def packed_elsewhere(pack: Path, tmp_path: Path) -> Path:
    """The pack as another make of zlib packs it."""
    return repacked(files_of(pack), tmp_path / "elsewhere.zip", lambda _: False)


def test_a_pack_made_with_another_zlib_is_sound(pack: Path, packed_elsewhere: Path) -> None:
    """An auditor's machine may pack otherwise than the one that made the pack."""
    assert packed_elsewhere.read_bytes() != pack.read_bytes()
    assert verify_evidence(packed_elsewhere) == []


def test_a_pack_made_with_another_zlib_hides_nothing(packed_elsewhere: Path) -> None:
    """A flipped byte of heads and directory, a byte before, after, and between is found there too."""
    data = packed_elsewhere.read_bytes()
    with zipfile.ZipFile(packed_elsewhere) as archive:
        second, last = archive.infolist()[1], archive.infolist()[-1]
    ends = len(data) - 22, second.header_offset
    places = (5, 11, second.header_offset + 10, ends[0] + 8, archive.start_dir + 38, len(data) - 1)
    forged = [data[:one] + bytes([data[one] ^ 1]) + data[one + 1 :] for one in places]
    forged += [b"x" + data, data + b"x", data[: ends[1]] + b"x" + data[ends[1] :]]
    for number, one in enumerate(forged):
        packed_elsewhere.write_bytes(one)
        assert verify_evidence(packed_elsewhere), (number, last.filename)


def test_one_file_packed_otherwise_is_found(pack: Path, tmp_path: Path) -> None:
    """Where the rest is packed as here, another packing of one file is a change."""
    files, path = files_of(pack), tmp_path / "changed.zip"
    otherwise = [
        name
        for name, data in files.items()
        if zlib.compress(data, 1)[2:] != zlib.compress(data)[2:]
    ]
    odd = min(otherwise, key=lambda name: len(files[name]))
    repacked(files, path, lambda name: name != odd)
    assert [one.kind for one in verify_evidence(path)] == ["changed"]


@pytest.mark.parametrize(
    "name", ["../out.txt", "/etc/x", "a/../../x", "C:\\x", "a\\b", "..", "a//b"]
)
def test_names_that_lead_out_are_named_and_nothing_is_written(
    name: str, pack: Path, tmp_path: Path
) -> None:
    """Whatever names an archive has, nothing is extracted."""
    forged = tmp_path / "inner" / "slip.zip"
    forged.parent.mkdir()
    files = files_of(pack)
    with zipfile.ZipFile(forged, "w") as archive:
        for one, data in files.items():
            archive.writestr(one, data)
        archive.writestr(name, b"x")
    assert ("unsafe" in {one.kind for one in verify_evidence(forged)}) is True
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [forged]


def aged(pack: Path, version: str, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The pack as a version would have made it that noted less."""
    files = files_of(pack)
    facts = json.loads(files["pack.json"])
    new = facts["tool_version"].encode()
    facts = {key: value for key, value in facts.items() if key not in without}
    files["pack.json"] = encode_json(facts | {"tool_version": version})
    files["index.html"] = files["index.html"].replace(new, version.encode(), 1)
    del files[SUMS]
    return files | {SUMS: encode_sums(files)}


def test_a_pack_of_an_earlier_version_agrees_with_its_lake(
    pack: Path, lake: Path, tmp_path: Path
) -> None:
    """One of this version's number that noted no expected projects is no forgery."""
    old = tmp_path / "old.zip"
    old.write_bytes(encode_zip(aged(pack, "0.1.0", without=("projects",))))
    assert verify_evidence(old, lake=lake) == []


def test_what_another_version_wrote_otherwise_is_told_by_its_number(
    pack: Path, lake: Path, tmp_path: Path
) -> None:
    """A file that differs is named, no other, and with which version to check the pack."""
    files = aged(pack, "0.0.9", without=("projects",))
    files["controls.csv"] += b"x\n"
    del files[SUMS]
    old = tmp_path / "old.zip"
    old.write_bytes(encode_zip(files | {SUMS: encode_sums(files)}))
    controls, whole = verify_evidence(old, lake=lake)
    assert (controls.path, controls.kind) == ("controls.csv", "differs")
    assert "version 0.0.9" in whole.message
    assert "backup-frames==0.0.9" in whole.message


def test_the_lake_of_another_day_is_named(pack: Path, tmp_path: Path) -> None:
    """A lake that lost a run and a backup since: both files are named, not the whole pack."""
    rows = fleet()
    rows["runs"] = [one for one in rows["runs"] if one["as_of"] != at("2026-02-16 12:00")]
    found = told(verify_evidence(pack, lake=make_lake(tmp_path / "lost", **rows)))
    assert ("runs/p1-20260216T120000000000Z.json", "extra") in found
    assert ("gaps.csv", "differs") in found


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive", b"\x00" * 100])
def test_what_is_no_pack_is_a_finding(content: bytes, tmp_path: Path) -> None:
    """An empty or broken archive is named as a whole; a missing one is an error."""
    path = tmp_path / "bad.zip"
    path.write_bytes(content)
    assert told(verify_evidence(path)) == [("pack", "damaged")]
    with pytest.raises(LakeError, match="cannot be read"):
        verify_evidence(tmp_path / "none.zip")


def test_no_text_becomes_a_formula_or_markup(pack: Path, lake: Path, tmp_path: Path) -> None:
    """Owners, attestations and names: an apostrophe in CSV, escaped in HTML."""
    files = files_of(pack)
    owners = {row["owner"] for row in rows_of(files, "instances.csv")}
    assert owners == {"'=payments", "<b>rest"}
    assert rows_of(files, "attestations.csv")[0]["who"] == "'=cmd()"
    page = files["index.html"].decode()
    assert "<b>rest" not in page
    assert "href" not in page
    for text in (*HOSTILE, "=1+1", " =1", "+x", "-x", "@x", "\t=x", "\uff1dx", "\n=x"):
        (_, line) = encode_csv(["a"], [[text]]).decode().split("\n", 1)
        cell = next(csv.reader([line.rstrip("\n")]))[0] if text else ""
        assert cell.lstrip()[:1] not in tuple("=+-@") or not cell, text
    write_calendar(lake, tmp_path / "c.html", **DAYS, owner="<b>rest", owners=OWNERS)
    page = (tmp_path / "c.html").read_text("utf-8")
    assert "<b>rest" not in page
    assert "users" in page
    assert "orders-1" not in page


def test_no_cell_after_a_semicolon_is_a_formula(tmp_path: Path) -> None:
    """Where a comma is the decimal point, a spreadsheet cuts lines at semicolons too."""
    for text in ("a;=cmd()", "a; @x", ";-1", "x;y;\uff1d1", "=1;+2"):
        line = encode_csv(["a", "b"], [[text, 1]]).decode().splitlines()[1]
        assert not [one for one in line.split(";") if one.lstrip('" ')[:1] in tuple("=+-@\uff1d")]
    assert encode_csv(["a"], [["a;b-c = d"]]) == b"a\na;b-c = d\n"


@pytest.mark.parametrize("name", ["\udcff", "users"])
def test_a_calendar_of_an_instance_that_is_not_there(lake: Path, tmp_path: Path, name: str) -> None:
    """An id of none, or one of another owner, is an error and no empty page."""
    with pytest.raises(QueryError, match="no instance"):
        write_calendar(
            lake, tmp_path / "c.html", **DAYS, instance_id=name, enterprise_project_id="ep-1"
        )
    assert not list(tmp_path.iterdir())


def test_only_stars_and_question_marks_stand_for_others(tmp_path: Path) -> None:
    """Brackets and backslashes in an owner's pattern mean themselves; the first rule that fits wins."""
    rows = fleet()
    rows["instances"][0]["instance_name"] = "orders[1]\\a"
    known = {"first_seen_at": at("2026-02-01 12:00"), "updated_at": at("2026-02-01 12:00")}
    rows["instances"].append(instance("list", instance_name="u[2", **known))
    named = make_lake(tmp_path / "lake", **rows)
    patterns = ("[ou]*", "*[[]*", "orders[1]\\?", "*[*", "*")
    rules = [OwnerRule(f"by {one}", instance_name=one) for one in patterns]
    with open_views(named, materialize=True, owners=rules, only={"dim_instance"}) as views:
        owners = dict(views.sql("SELECT instance_id, owner FROM dim_instance").fetchall())
    assert owners == {
        "orders-1": "by orders[1]\\?",
        "list": "by *[*",
        "users": "by *",
    }


@pytest.mark.parametrize(
    ("ask", "option"),
    [
        pytest.param(ask, option, marks=() if is_cheap else pytest.mark.slow)
        for ask, option, is_cheap in (
            ("evidence", "owner", True),
            ("evidence", "enterprise_project_id", False),
            ("calendar", "owner", False),
            ("calendar", "enterprise_project_id", True),
            ("exceptions", "owner", True),
            ("exceptions", "enterprise_project_id", False),
        )
    ],
)
def test_a_name_that_is_no_text_is_nobodys(
    lake: Path, tmp_path: Path, ask: str, option: str
) -> None:
    """A shell may hand on bytes that are no UTF-8: no instance belongs to them."""
    wanted: dict[str, Any] = {option: "\udcff"}
    asks: dict[str, Callable[[], object]] = {
        "evidence": lambda: write_evidence(lake, tmp_path / "x.zip", **DAYS, **wanted),
        "calendar": lambda: write_calendar(lake, tmp_path / "x.html", **DAYS, **wanted),
        "exceptions": lambda: find_exceptions(lake, **wanted),
    }
    with pytest.raises(QueryError, match="No instance belongs"):
        asks[ask]()


def test_an_owner_sees_what_is_theirs(lake: Path, tmp_path: Path) -> None:
    """Filtered by owner: instances, backups, controls; runs and gaps stay whole.

    By enterprise project: `test_a_lost_file_proves_nothing`.
    """
    path = tmp_path / "own.zip"
    write_evidence(lake, path, **DAYS, owners=OWNERS, owner="=payments")
    files = files_of(path)
    for name in ("instances.csv", "backups.csv", "controls/rpo_kept.csv"):
        assert {row["instance_id"] for row in rows_of(files, name)} == {"orders-1"}
    assert len(rows_of(files, "gaps.csv")) == 1
    assert verify_evidence(path, lake=lake) == []


def test_the_calendar_has_a_month_per_row_and_a_cell_per_day(lake: Path, tmp_path: Path) -> None:
    """Missed on the 14th; days that are not over or do not exist are blank."""
    out = tmp_path / "calendar.html"
    write_calendar(lake, out, begin="2026-02-01", end="2026-02-28", instance_id="orders-1")
    page = out.read_text("utf-8")
    assert page.count('class="missed"') == 1
    assert page.count("<td></td>") == 31 - 21
    assert page.count('<th class="m">2026-02</th>') == 1


@pytest.mark.parametrize(
    ("begin", "end"), [("2026-02-30", "2026-03-01"), ("2026-03-01", "2026-02-01")]
)
def test_days_that_are_none_are_refused(lake: Path, tmp_path: Path, begin: str, end: str) -> None:
    """With the value in the message, before anything is written."""
    with pytest.raises(QueryError, match="2026-0"):
        write_evidence(lake, tmp_path / "x.zip", begin=begin, end=end)
    assert not list(tmp_path.iterdir())


def test_days_far_off(lake: Path, tmp_path: Path) -> None:
    """Days of which the lake can know nothing make no rows; after the last day there must be one."""
    made = write_evidence(lake, tmp_path / "all.zip", begin="0001-01-01", end="9999-12-30")
    usual = write_evidence(lake, tmp_path / "own.zip", begin="2025-12-01", end="2026-12-31")
    assert made.counts == usual.counts
    with pytest.raises(QueryError, match="9999-12-31"):
        write_evidence(lake, tmp_path / "x.zip", begin="2026-01-01", end="9999-12-31")


def test_the_command_writes_checks_and_names(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With owners and attestations of the config file; exit code 5 and a line per finding."""
    config = tmp_path / "c.toml"
    config.write_text(
        '[[owner]]\nowner = "payments"\ninstance_name = "orders-*"\n'
        '[[attestation]]\ntext = "restore tested"\nwho = "Ann"\nwhen = 2026-02-03\n'
    )
    out = tmp_path / "p.zip"
    days = ["--from", "2026-02-10", "--to", "2026-02-20", "--config", str(config)]
    assert main(["evidence", "--lake", str(lake), *days, "--out", str(out)]) == 0
    assert main(["evidence", "--verify", str(out), "--lake", str(lake)]) == 0
    assert b"restore tested" in files_of(out)["attestations.csv"]
    assert {r["owner"] for r in rows_of(files_of(out), "instances.csv")} == {"payments", ""}
    files = files_of(out)
    files["gaps.csv"] += b"x"
    out.write_bytes(encode_zip(files))
    capsys.readouterr()
    assert main(["evidence", "--verify", str(out)]) == 5
    assert capsys.readouterr().out.startswith("gaps.csv: changed: ")
    assert main(["evidence", "--lake", str(lake), "--from", "2026-02-10"]) == 2
    config.write_text('[[attestation]]\ntext = "x"\n')
    assert main(["evidence", "--lake", str(lake), *days, "--out", str(out)]) == 2


def test_nothing_is_no_pack(tmp_path: Path) -> None:
    """An empty folder and an empty archive are findings, not packs as they were made."""
    (tmp_path / "folder").mkdir()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for name in ("folder", "empty.zip"):
        assert verify_evidence(tmp_path / name) != []


@pytest.mark.parametrize("place", ["new", "empty", "link"])
def test_a_pack_is_written_whole_or_not_at_all(tmp_path: Path, place: str) -> None:
    """On a full disk nothing is left of it, so that the same command can be given again."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("made")
    before = {path.name for path in tmp_path.rglob("*")}
    files = {"a": b"x", "runs/b": b"x", "runs/" + "c" * 300: b"x"}  # the last is no name for a file
    with pytest.raises(LakeError, match=f"{place} cannot be written|made cannot be written"):
        write_files(tmp_path / place, files)
    assert {path.name for path in tmp_path.rglob("*")} == before
    write_files(tmp_path / place, {"runs/b": b"x"})
    assert (tmp_path / place / "runs/b").read_bytes() == b"x"
