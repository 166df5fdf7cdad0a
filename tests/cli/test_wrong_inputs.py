"""What people type wrongly: each says what happened, with the value, and what to do."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

# command line | the value at fault, as the message has it | what to do
WRONG = """
snyc | 'snyc' | did you mean 'sync'
--quite | --quite | --quiet
read ./l1 | ./l1 | read --help
sync ./l1 | ./l1 | --lake ./l1
report ./l1 | ./l1 | --lake ./l1
publish l1 out.duckdb | l1 out.duckdb | --lake l1 --out out.duckdb
verify l1 | l1 | --lake l1
changes l1 | l1 | --lake l1
check l1 | l1 | --lake l1
query "SELECT 1" l1 | l1 | --lake l1
demo ./l1 | ./l1 | --lake ./l1
sandbox 8080 | 8080 | --port 8080
config extra | extra | config --help
guide lake kpis | kpis | guide --help
read --bgin 2026-01-01 | --bgin | --begin
doctor --shre | --shre | --share
sync --dryrun | --dryrun | --dry-run
read --begin | --begin | read --help
sync --lake | --lake | sync --help
read --begin yesterday | --begin is 'yesterday' | 2026-01-31
read --end 2026-13-01 | --end is '2026-13-01' | 2026-01-31
read --begin 2026-02-01 --end 2026-01-01 | --begin 2026-02-01 | swap
read --since soon | --since is 'soon' | 7d
read --since -3d | --since is '-3d' | 7d
read --since 7d --begin 2026-01-01 | --since 7d | one of them
read --since 99999999d | --since is '99999999d' | nearer
read --level instances | --level is 'instances' | Instance or DatabaseTable
read --level instance | --level is 'instance' | Did you mean Instance
read --backup-type manual | --backup-type is 'manual' | Did you mean Manual
read --format xls | --format is 'xls' | Did you mean xlsx
read --format parquet | --format parquet | --out DIR
read --format table --out x.csv | --format table | csv
read --format csv --out "" | --out is '' | give a name
read --format csv --out nowhere/x.csv | nowhere | Create it
read --format csv --out other | other | a file in it
read --format parquet --out nowhere/x | nowhere | Create it
read --format parquet --out x --limit 5 | --limit | Leave them out
read --columns nosuch | 'nosuch' | There are: project_id
read --columns statu | 'statu' | Did you mean status
read --columns table_name | 'table_name' | There are
read --columns "" | --columns '' | There are
read --limit -1 | --limit is '-1' | 0 or more
read --limit=many | --limit is 'many' | a whole number
read --table instances | --table is 'instances' | databases or tables
read --max-connections 0 | '0' | --max-connections
read --max-connections many | --max-connections is 'many' | a whole number
read --max-requests-per-second 0 | '0.0' | --max-requests-per-second
read --max-requests-per-second fast | --max-requests-per-second is 'fast' | a number
read --project-id ../x | --project-id '../x' | 64 letters
read --project-id "" | --project-id '' is empty | leave it out
read --region "not a region" | --region 'not a region' | eu-west-101
read --endpoint example.com | --endpoint 'example.com' | https://host
read --endpoint http://example.com | --endpoint 'http://example.com' | https://
read --config nowhere.toml | nowhere.toml | --config
read --config bad.toml | bad.toml | Correct it
read --config key.toml | 'regoin' | Known are
read --config "" | --config is '' | give a name
read --log-format xml | --log-format is 'xml' | text or json
read --instance-id "a b" | --instance-id is 'a b' | as the service shows it
read --backup-id "" | --backup-id is '' | give a text
sync | No lake | --lake
sync --lake other | other | --force
sync --lake http://x/y | http:// | s3://
sync --lake s3:/bucket | 's3:/bucket' | s3://bucket/prefix
sync --lake "" | --lake | leave it out
sync --lake new --partition-by year | --partition-by is 'year' | day or month
sync --lake new --format orc | --format is 'orc' | parquet, delta or iceberg
sync --lake l1 --partition-by month | partitioned by day, not by month | new lake
sync --lake l1 --format delta | format parquet, not delta | new place
sync --lake new --overlap -1 | '-1' | --overlap
sync --lake new --overlap soon | --overlap is 'soon' | a whole number
sync --lake new --reread-requests -1 | '-1' | --reread-requests
sync --lake new --max-projects 0 | --max-projects is '0' | 1 or more
sync --lake new --metrics-file nowhere/m.prom | nowhere | Create it
sync --lake new --metrics-file "" | --metrics-file is '' | give a name
publish | No lake | --lake
publish --lake l1 --out nowhere/x.duckdb | nowhere | Create it
publish --lake l1 --out l1/x.duckdb | x.duckdb | outside
report --lake l1 --out other | other | a file in it
changes --lake l1 --since soon | --since is 'soon' | 7d
changes --lake l1 --columns nosuch | 'nosuch' | There are: change
changes --lake l1 --format yaml | --format is 'yaml' | ndjson
check --lake l1 --fail-on severe | --fail-on is 'severe' | high, medium or low
query "" --lake l1 | 0 statements | one SELECT
query "SELEC 1" --lake l1 | SELEC | cannot be read
query "DELETE FROM backups" --lake l1 | DELETE | only SELECT
query "SELECT nosuch FROM backups" --lake l1 | nosuch | Candidate
query "SELECT 1; SELECT 2" --lake l1 | 2 statements | one SELECT
query "FROM nowhere" --lake l1 | nowhere | Did you mean
query "SELECT 1" --lake l1 --out x.csv | --format table | csv
query "SELECT 1" --lake l1 --format csv --out l1/x.csv | x.csv | outside
query "SELECT 'a'::INT" --lake l1 | string 'a' | backup-frames query
query "SELECT bakup_id FROM backups" --lake l1 | bakup_id | backup-frames query
sync --config latin.toml | latin.toml is not UTF-8, in line 2 | Save it as UTF-8
config --config latin.toml | latin.toml is not UTF-8, in line 2 | Save it as UTF-8
evidence --from 2026-02 --to 2026-01-01 --out e --lake l1 | --from is '2026-02' | such as 2026-01-31
evidence --from 2026-02-01 --to 2026-01-01 --out e --lake l1 | --to 2026-01-01 is before --from | Swap
read --begin 2026-02-30 | --begin is '2026-02-30' | such as 2026-01-31
read --since "7 fortnights" | --since is '7 fortnights' | 7d
read --endpoint 127.0.0.1 | --endpoint '127.0.0.1' | https://host
read --limit 1e3 | --limit is '1e3' | a whole number
check --lake l1 --owner nobody | 'nobody' | owners are
report --lake l1 --out nofolder/r.html | nofolder | Create it
guide nosuch | 'nosuch' | There are
guide lkae | 'lkae' | Did you mean lake
sandbox --port 99999 | --port is '99999' | 65535 or less
sandbox --port http | --port is 'http' | a whole number
sandbox --backups -1 | --backups is '-1' | 0 or more
sandbox --faults nonsense | 'nonsense' | throttle
sandbox --time-filter middle | --time-filter is 'middle' | begin, inside
sandbox --limit-cap 0 | --limit-cap 0 | more than 0
demo --backups 0 | --backups is '0' | 1 or more
demo --backups 5 --lake file | file | another --lake
demo --backups 5 --lake other | x.txt | empty folder
config --region "x y" | --region 'x y' | eu-west-101
config --config number.toml | lake = '5' (number.toml) | give text
sync --config id.toml | project_id = 'a b' (id.toml [[project]]) | 1 to 64 letters
query "SELECT sum(name) FROM backups" --lake l1 | sum(VARCHAR) | backup-frames query
query "SELECT begin_time + 3 FROM backups" --lake l1 | +(TIMESTAMP, INTEGER_LITERAL) | type casts
"""
NO_LAKE = ["verify", "publish", "report", "changes", "check", "query"]
LIBRARY_WORDS = (
    r"Value error|Input should|valid integer|(Parser|Binder|Catalog|Conversion) Error|codec|Errno"
    r"|\(argument\)|Candidate functions|--\S+ = "
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, sandbox) -> Path:
    """A lake that stays as it is."""
    import backup_frames as bf  # noqa: PLC0415 - only if a lake is wanted

    folder = tmp_path_factory.mktemp("lakes") / "l1"
    bf.sync_backups(
        lake=str(folder), endpoint=sandbox.endpoint, project_id=sandbox.project_id,
        token=sandbox.token, inventory=False,
    )  # fmt: skip
    return folder


@pytest.fixture
def place(lake, account, tmp_path, monkeypatch) -> None:
    """A folder with the lake, a file, and other things."""
    (tmp_path / "l1").symlink_to(lake)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.txt").touch()
    (tmp_path / "file").touch()
    (tmp_path / "bad.toml").write_text("x = [")
    (tmp_path / "latin.toml").write_bytes(b'lake = "l1"\nregion = "\xe9"\n')
    (tmp_path / "key.toml").write_text("regoin = 'x'\n")
    (tmp_path / "number.toml").write_text("lake = 5\n")
    (tmp_path / "id.toml").write_text("[[project]]\nproject_id = 'a b'\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("row", WRONG.strip().splitlines(), ids=lambda row: row.split(" | ")[0])
def test_a_wrong_input_says_what_and_what_to_do(run, row) -> None:
    """Exit code 2, one line on stderr with the value and the way out, in the command line's words."""
    line, value, advice = row.split(" | ")
    ran = run(*shlex.split(line))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Error: ")
    assert ran.err.count("\n") == 1
    assert value in ran.err
    assert advice in ran.err
    assert not re.search(LIBRARY_WORDS, ran.err)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("command", NO_LAKE)
def test_a_lake_that_is_not_there_is_named(run, command) -> None:
    """Exit code 5: the lake; the line says where it was looked for, and how to make one."""
    ran = run(command, "--lake", "nowhere")
    assert (ran.code, ran.out) == (5, "")
    assert "nowhere" in ran.err
    assert "backup-frames sync" in ran.err


@pytest.mark.usefixtures("place")
def test_what_is_not_there_to_connect_to_is_said_without_a_librarys_words(run) -> None:
    """Nobody listens: the address, why, and what to check."""
    ran = run("read", "--endpoint", "http://127.0.0.1:9")
    assert ran.code == 3
    assert "http://127.0.0.1:9" in ran.err
    assert "(Connection refused). Check endpoint" in ran.err


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "words",
    [
        ["query", "\udcff", "--lake", "l1"],
        ["query", "SELECT '\udcff'", "--lake", "l1"],
        ["read", "--instance-id", "\udcff"],
        ["sync", "--lake", "\udcff"],
        ["read", "--backup-id", "\udcff"],
    ],
)
def test_bytes_that_are_no_text_are_told(run, words) -> None:
    """A shell hands on any bytes: they are shown escaped, with the way out, and are no bug."""
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "\\udcff" in ran.err
    assert re.search("give|must be text in UTF-8", ran.err)
    assert "bug" not in ran.err


@pytest.mark.usefixtures("place")
def test_a_value_without_end_is_cut(run) -> None:
    """A message stays one that can be read."""
    ran = run("query", "SELECT 1", "--lake", "x" * 5000)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err) < 1000
    assert "xxx…xxx" in ran.err
