from __future__ import annotations

import shutil
import stat

import duckdb
import pytest

from backup_frames.sandbox import Sandbox


@pytest.fixture
def lake(account, synced, tmp_path):
    """A lake that a sync filled, to be changed."""
    return shutil.copytree(synced, tmp_path / "lake")


@pytest.fixture
def link(tmp_path):
    """A place to write to: a link to a private file, which stay as they are."""
    (tmp_path / "real").touch(0o600)
    (tmp_path / "link").symlink_to("real")
    yield tmp_path / "link"
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o600


def test_a_sound_lake_has_no_findings(run, lake):
    """verify ends with 0 and prints nothing on stdout."""
    ran = run("verify", "--lake", lake)
    assert (ran.code, ran.out) == (0, ""), ran.err


def test_a_flipped_bit_is_one_line_and_code_5(run, lake):
    """A damaged file is named on its line, and --repair makes the lake sound again."""
    damaged = min((lake / "backups").rglob("*.parquet"))
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    ran = run("verify", "--lake", lake)
    assert ran.code == 5
    assert damaged.relative_to(lake).as_posix() in ran.out
    run("verify", "--lake", lake, "--repair")
    assert run("verify", "--lake", lake).code == 0


def test_a_lake_agrees_with_its_service(run, lake):
    """--against-service compares with a fresh read."""
    assert run("verify", "--lake", lake, "--against-service").code == 0


def test_the_flags_are_for_every_project_of_a_file(run, monkeypatch, tmp_path):
    """With a config of two projects damage of both is repaired, and both are compared."""
    with Sandbox(backups=15, seed=1) as first, Sandbox(backups=15, seed=2) as second:
        text = f'[lake]\nurl = "{tmp_path / "lake"}"\n'
        for number, box in enumerate((first, second)):
            monkeypatch.setenv(f"TOKEN_{number}", box.token)
            text += f'[[project]]\nproject_id = "{box.project_id}"\n'
            text += f'endpoint = "{box.endpoint}"\ntoken_env = "TOKEN_{number}"\n'
        config = tmp_path / "config.toml"
        config.write_text(text)
        assert run("sync", "--config", config, "--quiet").code == 0
        for box in (first, second):
            min((tmp_path / "lake/backups").rglob(f"{box.project_id}.parquet")).write_bytes(b"")
        repaired = run("verify", "--config", config, "--repair")
        assert [line.split(": ")[1] for line in repaired.out.splitlines()] == ["lost", "lost"]
        compared = run("verify", "--config", config, "--against-service")
        assert (compared.code, compared.out) == (0, ""), compared.err
        second.fleet.delete(second.fleet.ids()[0])
        compared = run("verify", "--config", config, "--against-service")
        assert f"{second.project_id}.parquet: service: 1 backups" in compared.out


@pytest.mark.parametrize("command", ["verify", "publish", "report"])
def test_without_a_lake_they_ask_for_one(run, command, tmp_path):
    """A missing lake is a settings error that names option and variable."""
    out = [] if command == "verify" else ["--out", tmp_path / "x"]
    ran = run(command, *out)
    assert ran.code == 2
    assert "BACKUP_FRAMES_LAKE" in ran.err


@pytest.mark.parametrize("how", [[], ["--materialize"]])
def test_publish_writes_a_database(run, lake, link, how):
    """publish writes a DuckDB file whose views count the lake's backups."""
    ran = run("publish", "--lake", lake, "--out", link, *how)
    assert ran.code == 0, ran.err
    with duckdb.connect(str(link), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM v_backups_current").fetchone() == (40,)


def test_report_writes_a_page(run, lake, link):
    """report writes one HTML page."""
    ran = run("report", "--lake", lake, "--out", link)
    assert ran.code == 0, ran.err
    assert link.read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_doctor_finds_a_good_account_well(run, account, tmp_path):
    """Every line begins with ok, and none shows a secret."""
    ran = run("doctor", "--lake", tmp_path / "lake", "--debug")
    assert ran.code == 0, ran.out
    assert {line[:2] for line in ran.out.splitlines()} == {"ok"}
    assert account.token not in ran.out + ran.err


def test_doctor_tells_what_fails(run, account, monkeypatch):
    """A refused token is a line with FAIL and exit code 3."""
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN", "wrong-token")
    ran = run("doctor")
    assert ran.code == 3
    assert "FAIL" in ran.out
