"""What a sync makes of the inventory: the estate in the lake, at the price of what changed."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from pathlib import Path

import pyarrow as pa
import pytest
from support.inventory_lab import DAY, POLICY, START, Lab, instance, instance_id

from backup_frames.cli import main
from backup_frames.frames.inventory_rows import flatten_instances, flatten_policies
from backup_frames.frames.partitions import encode_table
from backup_frames.frames.schema import BACKUP_POLICIES, INSTANCES, as_written
from backup_frames.lake.lake import open_lake
from backup_frames.lake.ledger.metadata import (
    Manifest,
    State,
    decode_record,
    describe_file,
    encode_record,
    manifest_checksum,
)
from backup_frames.sandbox import Sandbox, Status
from backup_frames.settings import Settings
from backup_frames.sync.maintenance.verify import verify_lake
from backup_frames.sync.one_project import sync_backups

HOUR = timedelta(hours=1)
TABLES = ("instances", "backup_policies")


def test_the_lake_holds_the_estate(tmp_path: Path) -> None:
    """Of an invented fleet, each instance and policy is in the lake as the service sends it."""
    with Sandbox(backups=200, seed=5) as box:
        report = sync_backups(
            lake=str(tmp_path),
            endpoint=box.endpoint,
            project_id=box.project_id,
            token=box.token,
            clock=box.clock,
        )
        records = box.fleet.instances()
        policies = {one["id"]: box.fleet.policy(one["id"]) or {} for one in records}
        assert report.requests == box.request_count
    lake = open_lake(str(tmp_path))
    for name, schema, expected in (
        ("instances", INSTANCES, flatten_instances(records, project_id=box.project_id)),
        ("backup_policies", BACKUP_POLICIES, flatten_policies(policies, project_id=box.project_id)),
    ):
        table = lake.dataset(name).to_table()
        assert table.schema.equals(schema)
        assert table.select(expected.column_names).equals(expected)
        for column in ("first_seen_at", "updated_at"):
            assert set(table[column].to_pylist()) == {report.as_of}
        assert table["gone_at"].null_count == len(records)
    assert report.inventory["present"] == report.inventory["policies_asked"] == len(records)
    assert report.warnings == ()
    assert verify_lake(str(tmp_path)) == []


def test_it_is_read_once_a_day(lab: Lab) -> None:
    """Within a day a sync asks nothing of it; a day later it does, a daily timer's jitter aside."""
    lab.fill(7)
    assert lab.sync().inventory["new"] == 7
    assert lab.asked["instances"] == 1
    for _ in range(3):
        report = lab.sync(after=6 * HOUR)
        assert (lab.asked["instances"], lab.asked["policy"]) == (0, 0)
        assert report.inventory == {}
    lab.sync(after=6 * HOUR - timedelta(minutes=10))
    assert lab.asked["instances"] == 1


def test_only_new_and_changed_instances_are_asked_for_their_policy(lab: Lab) -> None:
    """Beside a seventh of all, which is asked anyway, oldest first."""
    lab.fill(70)
    lab.sync()
    assert lab.asked["policy"] == 70
    lab.instances[60]["backup_strategy"] = {"start_time": "01:00-02:00", "keep_days": 14}
    lab.policies[instance_id(60)] = POLICY | {"keep_days": 14}
    lab.instances[61]["groups"][0]["volume"]["used"] = "2.5"  # changes every day: no reason to ask
    lab.instances.append(instance(99))
    report = lab.sync(after=DAY)
    assert (report.inventory["new"], report.inventory["changed"]) == (1, 1)
    assert set(lab.asked_ids[:2]) == {instance_id(60), instance_id(99)}
    assert len(lab.asked_ids) == 2 + ceil(71 / 7)
    rows = lab.rows("backup_policies")
    assert rows[instance_id(60)]["keep_days"] == 14
    assert rows[instance_id(60)]["updated_at"] == START + DAY
    assert rows[instance_id(60)]["first_seen_at"] == START
    assert rows[instance_id(60)]["is_enabled"]
    assert not rows[instance_id(99)]["is_enabled"]
    instances = lab.rows("instances")
    assert instances[instance_id(61)]["volume_used_gb"] == 2.5
    assert instances[instance_id(62)]["updated_at"] == START


@pytest.mark.parametrize("every", [DAY, 9 * DAY])
def test_each_policy_is_asked_again_within_a_week(lab: Lab, every: timedelta) -> None:
    """However seldom the syncs, and at a seventh of the policies a day."""
    lab.fill(20)
    lab.sync()
    last = dict.fromkeys(lab.asked_ids, lab.now)
    for _ in range(9):
        lab.sync(after=every)
        assert lab.asked["policy"] <= ceil(20 * every / (7 * DAY))
        last |= dict.fromkeys(lab.asked_ids, lab.now)
        assert lab.now - min(last.values()) <= max(7 * DAY, every)


def test_a_changed_policy_is_seen_though_its_instance_looks_the_same(lab: Lab) -> None:
    """Within a week."""
    lab.fill(10)
    lab.sync()
    lab.policies[instance_id(9)] = {"keep_days": 0}
    for _ in range(7):
        lab.sync(after=DAY)
    row = lab.rows("backup_policies")[instance_id(9)]
    assert (row["is_enabled"], row["keep_days"]) == (False, 0)
    assert row["updated_at"] > row["first_seen_at"]


def test_an_instance_that_left_keeps_its_row(lab: Lab) -> None:
    """It gets gone_at, its policy too; back again, both lose it and keep their first sight."""
    lab.fill(3)
    lab.sync()
    whole = list(lab.instances)
    del lab.instances[1]
    report = lab.sync(after=DAY)
    assert (report.inventory["gone"], report.inventory["present"]) == (1, 2)
    for table in TABLES:
        rows = lab.rows(table)
        assert [row["gone_at"] for row in rows.values()] == [None, START + DAY, None]
        assert rows[instance_id(1)]["updated_at"] == START
    lab.sync(after=DAY)
    assert instance_id(1) not in lab.asked_ids
    assert lab.rows("instances")[instance_id(1)]["gone_at"] == START + DAY
    lab.instances = whole
    lab.sync(after=DAY)
    assert instance_id(1) in lab.asked_ids
    for table in TABLES:
        rows = lab.rows(table)
        assert [row["gone_at"] for row in rows.values()] == [None] * 3
        assert [row["first_seen_at"] for row in rows.values()] == [START] * 3


def test_unchanged_content_is_not_written(lab: Lab) -> None:
    """Read again a day later, or in full, the same inventory leaves its files alone."""
    lab.fill(12)
    lab.sync()
    before = {table: lab.path(table).stat() for table in TABLES}
    report = lab.sync(after=DAY)
    assert (lab.asked["instances"], report.file_count) == (1, 0)
    lab.sync(full=True)
    assert (lab.asked["instances"], lab.asked["policy"]) == (1, 12)
    for table in TABLES:
        now = lab.path(table).stat()
        assert (now.st_mtime_ns, now.st_ino) == (before[table].st_mtime_ns, before[table].st_ino)


def test_it_can_be_left_out(lab: Lab) -> None:
    """Without inventory nothing is asked of it and nothing is written."""
    lab.fill(3)
    report = lab.sync(inventory=False)
    assert (lab.asked["instances"], lab.asked["policy"], report.inventory) == (0, 0, {})
    assert not lab.path("instances").exists()


def test_a_dry_run_leaves_it_out(lab: Lab) -> None:
    """Nothing is asked, nothing is written."""
    lab.fill(3)
    lab.sync(dry_run=True)
    assert (lab.asked["instances"], lab.asked["policy"]) == (0, 0)
    assert not lab.path("instances").exists()


def test_a_project_without_instances_has_an_empty_table(lab: Lab) -> None:
    """The file says that there are none; a project that was never asked has no file."""
    lab.sync()
    assert lab.table("instances").num_rows == 0
    assert not lab.path("backup_policies").exists()
    assert verify_lake(str(lab.root)) == []


def test_a_missing_permission_for_instances_is_a_warning(lab: Lab) -> None:
    """The verdict stands, no file claims anything; once granted, the next sync reads them."""
    lab.fill(3)
    lab.denied = {"instances"}
    for _ in range(2):
        report = lab.sync(after=HOUR)
        assert (report.verdict, report.exit_code, report.reasons) == ("complete", 0, ())
        (warning,) = report.warnings
        assert "nosql:instance:list" in warning
        assert "coverage cannot be known" in warning
        assert warning in report.to_text()
        assert report.to_dict()["warnings"] == [warning]
        assert (lab.asked["instances"], lab.asked["policy"]) == (1, 0)
        assert not lab.path("instances").exists()
    lab.denied = set()
    assert lab.sync(after=HOUR).warnings == ()
    assert len(lab.rows("instances")) == len(lab.rows("backup_policies")) == 3


def test_a_permission_lost_later_says_how_old_the_inventory_is(lab: Lab) -> None:
    """What the lake holds stays, and none is marked gone."""
    lab.fill(3)
    lab.sync()
    lab.denied = {"instances"}
    (warning,) = lab.sync(after=DAY).warnings
    assert "Coverage is that of 2026-01-31 12:00 UTC" in warning
    assert [row["gone_at"] for row in lab.rows("instances").values()] == [None] * 3


def test_a_missing_permission_for_policies_is_a_warning(lab: Lab) -> None:
    """Instances are in the lake, two policies are tried per run; once granted, all are read."""
    lab.fill(30)
    lab.denied = {"policy"}
    for number in range(2):
        report = lab.sync(after=HOUR)
        assert (report.verdict, report.exit_code) == ("complete", 0)
        assert len(report.warnings) == 1
        assert (lab.asked["instances"], lab.asked["policy"]) == (1 - number, 2)
        assert len(lab.rows("instances")) == 30
        assert not lab.path("backup_policies").exists()
    lab.denied = set()
    report = lab.sync(after=HOUR)
    assert (report.warnings, lab.asked["instances"], lab.asked["policy"]) == ((), 0, 30)
    assert len(lab.rows("backup_policies")) == 30


def test_one_policy_refused_does_not_cost_the_others(lab: Lab) -> None:
    """It is named in a warning, and not asked again before its turn."""
    lab.fill(5)
    lab.faults = [Status(on="policy", after=3, times=1, status=400)]
    (warning,) = lab.sync().warnings
    assert "1 backup policies were refused" in warning
    assert len(lab.rows("backup_policies")) == 4
    lab.faults = []
    assert lab.sync(after=HOUR).warnings == ()
    assert lab.asked["policy"] == 0


def test_a_token_that_dies_meanwhile_costs_only_the_rest(lab: Lab) -> None:
    """What was read is kept, the rest is owed and read by the next run."""
    lab.fill(30)
    lab.faults = [Status(on="policy", after=20, status=401)]
    report = lab.sync()
    assert report.verdict == "complete"
    assert len(report.warnings) == 1
    kept = len(lab.rows("backup_policies"))
    assert 0 < kept < 30
    lab.faults = []
    lab.sync(after=HOUR)
    assert (lab.asked["instances"], lab.asked["policy"]) == (0, 30 - kept)
    assert len(lab.rows("backup_policies")) == 30


def test_many_instances_missing_at_once_look_like_a_fault(lab: Lab) -> None:
    """None is marked gone, and it is told again, until it is said to be right."""
    lab.fill(60)
    lab.sync()
    lab.instances = lab.instances[:30]
    for _ in range(2):
        report = lab.sync(after=DAY)
        assert "30 of 60 instances" in report.warnings[0]
        assert report.exit_code == 0
        assert all(row["gone_at"] is None for row in lab.rows("instances").values())
    lab.sync(after=HOUR, allow_mass_deletion=True)
    assert sum(row["gone_at"] is not None for row in lab.rows("instances").values()) == 30


def test_a_lost_state_costs_requests_only(lab: Lab) -> None:
    """Everything is asked again, and no file changes."""
    lab.fill(5)
    lab.sync()
    before = {table: lab.path(table).read_bytes() for table in TABLES}
    (lab.root / "_meta" / lab.project_id / "state.json").unlink()
    lab.sync(after=HOUR)
    assert (lab.asked["instances"], lab.asked["policy"]) == (1, 5)
    assert {table: lab.path(table).read_bytes() for table in TABLES} == before


def test_a_lost_manifest_is_made_anew_with_the_inventory_in_it(lab: Lab) -> None:
    """The next sync knows the files again, history and all, even one that leaves them alone."""
    lab.fill(5)
    lab.sync()
    (lab.root / "_meta" / lab.project_id / "manifest.json").unlink()
    lab.sync(after=DAY, inventory=False)
    assert verify_lake(str(lab.root)) == []
    lab.sync()
    assert verify_lake(str(lab.root)) == []
    assert lab.rows("instances")[instance_id(0)]["first_seen_at"] == START


def spoil(path: Path) -> None:
    """More than the one bit that a repair finds and turns back."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # two bits in two bytes: one alone would be put right
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    """No bit is looked for in a file of another length: that takes a second."""
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("table", "harm", "kind"),
    [
        pytest.param(TABLES[0], spoil, "damaged", marks=pytest.mark.slow),
        *((table, cut, "damaged") for table in TABLES),
        *((table, Path.unlink, "missing") for table in TABLES),
    ],
)
def test_verify_finds_damage_and_repair_ends_it(
    lab: Lab, table: str, harm: object, kind: str
) -> None:
    """A sync refuses to build on it; after a repair, which names the loss, it reads anew."""
    lab.fill(5)
    lab.sync()
    harm(lab.path(table))  # type: ignore[operator]  # one of the two above
    (finding,) = verify_lake(str(lab.root))
    assert (finding.path, finding.kind) == (f"{table}/{lab.project_id}.parquet", kind)
    box = lab.serve(after=DAY)
    settings = Settings(endpoint=box.endpoint, project_id=box.project_id, token=box.token)
    (lost,) = verify_lake(str(lab.root), repair=True, settings=settings, clock=box.clock)
    assert (lost.path, lost.kind) == (finding.path, "lost")
    assert verify_lake(str(lab.root)) == []
    assert lab.sync().warnings == ()
    assert len(lab.rows(table)) == 5
    assert verify_lake(str(lab.root)) == []


@pytest.mark.parametrize("table", TABLES)
def test_a_single_flipped_bit_costs_no_history(lab: Lab, table: str) -> None:
    """The manifest's hash finds it: after a repair the file is as it was written."""
    lab.fill(5)
    lab.sync()
    written = lab.path(table).read_bytes()
    at = len(written) - 900  # looked for from the end
    lab.path(table).write_bytes(written[:at] + bytes([written[at] ^ 8]) + written[at + 1 :])
    box = lab.serve(after=DAY)
    settings = Settings(endpoint=box.endpoint, project_id=box.project_id, token=box.token)
    assert verify_lake(str(lab.root), repair=True, settings=settings, clock=box.clock) == []
    assert lab.path(table).read_bytes() == written


@pytest.mark.parametrize("table", ["instances", "backup_policies"])
def test_a_damaged_inventory_is_named_and_left_alone(lab: Lab, table: str) -> None:
    """All else is written; file and remedy are named, run after run; it exits with 5."""
    lab.fill(5)
    lab.sync()
    spoil(lab.path(table))
    spoiled = lab.path(table).read_bytes()
    for count in (6, 7):
        lab.fill(count)
        report = lab.sync(after=DAY)
        assert (report.exit_code, report.verdict) == (5, "incomplete")
        assert report.damaged == (f"{table}/{lab.project_id}.parquet",)
        assert f"verify --lake {lab.root} --repair" in " ".join(report.reasons)
    assert lab.path(table).read_bytes() == spoiled
    if table == "backup_policies":
        assert len(lab.rows("instances")) == 7


@pytest.mark.parametrize("count", [1, 5, 20])
def test_all_instances_are_never_gone_at_once_unasked(lab: Lab, count: int) -> None:
    """From some to none looks like a fault, however few they were."""
    lab.fill(count)
    lab.sync()
    lab.fill(0)
    report = lab.sync(after=DAY)
    assert report.inventory["gone"] == 0
    assert "allow_mass_deletion=True" in " ".join(report.warnings)
    assert lab.sync(after=DAY, allow_mass_deletion=True).inventory["gone"] == count


def test_verify_lists_a_file_that_no_sync_wrote(lab: Lab) -> None:
    """Named like the inventory of the project, but in no record."""
    lab.sync(inventory=False)
    lab.path("instances").parent.mkdir()
    lab.path("instances").write_bytes(b"PAR1")
    (finding,) = verify_lake(str(lab.root))
    assert finding.kind == "unlisted"


@pytest.mark.parametrize(("option", "count"), [("--with-inventory", 1), ("--without-inventory", 0)])
def test_the_command_line_can_leave_it_out(
    lab: Lab,
    option: str,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On by default and by option, off by option; a warning is told and leaves the exit code."""
    lab.denied = {"instances"}
    box = lab.serve()
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN", box.token)
    connection = ["--endpoint", box.endpoint, "--project-id", box.project_id]
    place = ["--lake", str(lab.root), "--log-format", "json"]
    assert main(["sync", *place, *connection, option]) == 0
    assert [one.operation for one in box.requests].count("instances") == count
    assert ("nosql:instance:list" in capsys.readouterr().err) == bool(count)


def test_a_lake_of_an_earlier_version_goes_on(lab: Lab) -> None:
    """Without the column of increments it is sound and readable; no policy then seems changed."""
    lab.fill(2)
    for policy in lab.policies.values():
        policy["incremental_period"] = "15"
    first = lab.sync()
    rows = pa.Table.from_pylist(
        [
            row | {"extra": '{"incremental_period":"15"}'}
            for row in lab.rows("backup_policies").values()
        ],
        as_written(BACKUP_POLICIES, []),
    )
    data, key = encode_table(rows), f"backup_policies/{lab.project_id}.parquet"
    lab.path("backup_policies").write_bytes(data)
    path = lab.root / "_meta" / lab.project_id / "manifest.json"
    manifest = decode_record(path.read_bytes(), Manifest)
    assert manifest is not None
    manifest.files[key], manifest.lake_id = describe_file(data, rows.num_rows), ""
    path.write_bytes(encode_record(manifest))
    path = path.with_name("state.json")
    state = decode_record(path.read_bytes(), State)
    assert state is not None
    state.manifest = manifest_checksum(manifest)
    path.write_bytes(encode_record(state))

    assert verify_lake(str(lab.root)) == []
    old = open_lake(str(lab.root)).dataset("backup_policies").to_table()
    assert old["incremental_period_min"].to_pylist() == [None, None]
    lab.sync(after=DAY)
    for row in lab.rows("backup_policies").values():
        assert row["incremental_period_min"] == 15
        assert row["extra"] is None
        assert row["updated_at"] == row["first_seen_at"] == first.as_of
