from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from typer.main import get_command

from backup_frames.cli import app, commands

COMMANDS = ["demo", "read", "sync", "verify", "publish", "report", "doctor", "sandbox", "config"]
HEAVY = ("pandas", "numpy", "pyarrow", "duckdb", "httpx", "rich", "pydantic", "uvicorn", "altair")
OPTIONS = {
    "demo": "--lake --backups --seed",
    "read": "--endpoint --region --project-id --instance-id --datastore-type --backup-id "
    "--backup-type --level --begin --end --format --out --dry-run --allow-incomplete "
    "--max-requests-per-second --max-connections",
    "sync": "--lake --full --partition-by --config --dry-run --allow-mass-deletion --overlap "
    "--metrics-file --endpoint --region --project-id",
    "verify": "--lake --against-service --repair",
    "publish": "--lake --out --materialize",
    "report": "--lake --out",
    "doctor": "--endpoint --region --project-id",
    "sandbox": "--port --backups --seed --faults --live",
    "config": "--endpoint --region --project-id",
}


def test_help_lists_every_command(run):
    """The help names all nine commands."""
    ran = run("--help")
    assert ran.code == 0
    assert [name for name in COMMANDS if f" {name} " not in ran.out] == []


def test_each_command_has_a_file_of_its_name():
    """Whoever looks for a command finds it, and nothing else, in `cli/commands`."""
    files = {path.stem for path in Path(commands.__path__[0]).glob("[!_]*.py")}
    assert files == set(get_command(app).commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_lists_its_options(run, monkeypatch, name):
    """Each command's help names its options and the three of all commands."""
    monkeypatch.setenv("COLUMNS", "200")
    ran = run(name, "--help")
    assert ran.code == 0
    wanted = [*OPTIONS[name].split(), "--debug", "--quiet", "--log-format"]
    assert [option for option in wanted if option not in ran.out] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_at_80_columns_is_whole(run, monkeypatch, name):
    """No option, place or variable is cut by an ellipsis, and sentences fill their lines."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(name, "--help").out.splitlines()
    assert [line for line in lines if "…" in line] == []
    prose = [line for line in lines[2:] if line.startswith(" ")]
    short = [a for a, b in pairwise(prose) if b.strip() and 0 < len(a.strip()) < 50]
    assert [line for line in short if line.rstrip()[-1] not in ".:"] == []


def test_help_of_read_tells_about_formulas(run, monkeypatch):
    """Who reads the help knows that CSV cells are defused."""
    monkeypatch.setenv("COLUMNS", "200")
    assert "apostrophe" in run("read", "--help").out


def test_version_and_import_load_nothing_heavy():
    """--version answers without any heavy library."""
    code = (
        "import sys; from backup_frames.cli import main; code = main(['--version']);"
        f"print([n for n in {list(HEAVY)} if n in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("backup-frames ")
    assert second == "[] 0"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["nonsense"],
        ["read", "--nonsense"],
        ["read", "--format", "xls"],
        ["read", "--format", "parquet"],
        ["read", "--out", "x.csv"],
        ["read", "--format", "csv", "--out", "/nowhere/at/all.csv"],
        ["sync", "--log-format", "xml"],
        ["sync", "--partition-by", "year", "--lake", "x"],
        ["sync", "--config", "/nowhere.toml"],
        ["config", "--endpoint", "http://example.com"],
        ["config", "--project-id", "../x"],
        ["sandbox", "--faults", "nonsense"],
        ["publish"],
        [],
    ],
)
def test_bad_usage_is_code_2_in_two_lines(run, arguments):
    """Usage and settings errors end with 2, say so in at most two lines, without traceback."""
    ran = run(*arguments)
    assert ran.code == 2
    if arguments:
        assert ran.out == ""
        assert ran.err.startswith("Error: ")
        assert len(ran.err.splitlines()) <= 2


def test_output_options_work_on_both_sides(run):
    """--debug and --log-format are the same before and after the subcommand."""
    bad = ["--endpoint", "http://example.com"]
    for arguments in (["--debug", "config", *bad], ["config", *bad, "--debug"]):
        assert "Traceback" in run(*arguments).err
    for arguments in (
        ["--log-format", "json", "config", *bad],
        ["config", *bad, "--log-format", "json"],
        ["--log-format", "text", "config", *bad, "--log-format", "json"],
    ):
        line = json.loads(run(*arguments).err)
        assert (line["level"], line["error"], line["exit_code"]) == ("error", "ConfigError", 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--log-format", "json", "nope"),
        ("read", "--nope", "--log-format=json"),
        ("demo", "--quiet", "--log-format", "json", "--backups", "-1"),
        ("--log-format=json", "sandbox", "--port", "99999"),
        ("--log-format", "json", "evidence", "--from"),
    ],
)
def test_a_command_line_that_cannot_be_parsed_fails_in_the_asked_format(run, arguments):
    """One JSON line with the exit code, before or after the subcommand."""
    ran = run(*arguments)
    line = json.loads(ran.err)
    assert (ran.code, ran.out) == (2, "")
    assert (line["level"], line["error"], line["exit_code"]) == ("error", "ConfigError", 2)


def test_config_shows_values_and_sources_but_no_secret(run, monkeypatch):
    """Every setting is shown with its source; secrets are three stars."""
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN", "canary-4711")
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", "canary-4712")
    ran = run("--debug", "config", "--region", "eu-west-101")
    assert ran.code == 0
    assert "canary" not in ran.out + ran.err
    lines = {line.split()[0]: line for line in ran.out.splitlines() if line.split()}
    assert lines["token"].split()[1:] == ["***", "environment", "BACKUP_FRAMES_TOKEN"]
    assert lines["region"].split()[1:] == ["eu-west-101", "argument"]
    assert "gaussdb-nosql.eu-west-101.myhuaweicloud.eu" in lines["endpoint"]


def test_the_process_ends_with_the_code_of_main(run_process):
    """`python -m backup_frames` hands the code on; errors are on stderr."""
    ran = run_process("config", BACKUP_FRAMES_REGION="not a region")
    assert (ran.code, ran.out) == (2, "")
    assert "BACKUP_FRAMES_REGION" in ran.err


def test_a_closed_pipe_is_told_in_one_line():
    """A reader that has enough, such as head, ends the command with 141 and one line."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "backup_frames", "config"]
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b"Error: Stdout was closed by its reader; the rest is not written.\n"


def end_of(program: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, timeout=30, check=False)


def test_a_machine_without_threads_does_not_hold_up_the_end():
    """SIGTERM ends the process although the thread that would see to it cannot be started."""
    code = """
import _thread, os, signal, sys, threading, time
from backup_frames import cli, settings

def refuse(*_):
    raise RuntimeError("can't start new thread")

def hang(*_, **__):
    threading.Thread(target=time.sleep, args=[60]).start()
    _thread.start_new_thread = threading._start_new_thread = refuse
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

settings.describe_settings = hang
sys.argv = ["backup-frames", "config"]
sys.exit(cli.main())
"""
    done = end_of(code)
    assert (done.returncode, done.stdout) == (143, b"")


def test_a_thread_that_hangs_does_not_hold_up_the_end():
    """After SIGTERM the process ends in time although a thread of it waits for a minute."""
    code = """
import os, signal, sys, threading, time
from backup_frames import cli, settings

def hang(*_, **__):
    threading.Thread(target=time.sleep, args=[60]).start()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

settings.describe_settings = hang
cli.STOP_WITHIN_S = 0.1
sys.argv = ["backup-frames", "config"]
sys.exit(cli.main())
"""
    done = end_of(code)
    assert (done.returncode, done.stdout) == (143, b"")
    assert done.stderr.splitlines()[-1] == b"Stopped by a signal."


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [("SIGINT", 130, b"Stopped by Ctrl-C."), ("SIGTERM", 143, b"Stopped by a signal.")],
)
def test_who_is_ended_at_last_is_told_why(name, code, line):
    """A command whose main thread cannot be stopped, as in a library, ends with a line on stderr, too."""
    program = f"""
import os, signal, sys, time
from backup_frames import cli, settings

def hold(*_, **__):
    try:
        os.kill(os.getpid(), signal.{name})
    except BaseException:
        time.sleep(60)

settings.describe_settings = hold
cli.STOP_WITHIN_S = 0.1
sys.argv = ["backup-frames", "config"]
sys.exit(cli.main())
"""
    done = end_of(program)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", line + b"\n")
