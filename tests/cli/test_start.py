"""What each command's process loads, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from backup_frames.cli import main
from backup_frames.cli.session.plain_values import _take_plain
from backup_frames.sandbox import Sandbox

HEAVY = {
    *("altair", "asyncio", "dotenv", "duckdb", "httpcore", "httpx", "httpx._main"),
    *("importlib.metadata", "jinja2", "numpy", "obstore", "pandas", "pyarrow", "pydantic"),
    *("rich", "starlette", "tomllib", "typer", "uvicorn", "vl_convert"),
}
TYPER = {"typer"}
ARROW = TYPER | {"pyarrow", "numpy"}
WIRE = ARROW | {"httpx"}
SQL = ARROW | {"duckdb", "importlib.metadata"}
PAGE = SQL | {"altair", "jinja2", "vl_convert"}
LOADED = {
    "--version": set(),
    "--help": TYPER | {"rich"},
    "config": TYPER | {"rich"},
    "guide errors": TYPER,
    "read --format csv": WIRE,
    "read --format parquet --out {tmp}/a.parquet": WIRE,
    "sync --lake {tmp}/new": WIRE | SQL | {"rich"},  # it tells which exceptions are new
    "sync --lake {lake}": WIRE | SQL | {"rich"},
    "verify --lake {lake}": ARROW,
    "check --lake {lake}": SQL | {"rich"},
    "changes --lake {lake}": SQL | {"rich"},
    "query --format csv --lake {lake} select": SQL,
    "publish --lake {lake} --out {tmp}/views.duckdb": SQL,
    "report --lake {lake} --out {tmp}/report.html": PAGE,
    "doctor": WIRE | {"rich"},
}
# demo and sandbox are left out: the one does what all others do, the other serves till it is ended
TOLD = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
START = "from backup_frames.__main__ import main; sys.exit(main())"


@pytest.fixture(scope="module")
def lake(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that one sync has filled."""
    place = tmp_path_factory.mktemp("start") / "lake"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKUP_FRAMES_ENDPOINT", sandbox.endpoint)
        patch.setenv("BACKUP_FRAMES_PROJECT_ID", sandbox.project_id)
        patch.setenv("BACKUP_FRAMES_TOKEN", sandbox.token)
        assert main(["sync", "--quiet", "--lake", str(place)]) == 0
    return place


# These take long; what they load is, but for the page's charts, what another line here does.
DEAR = ("config", "read --format parquet", "sync --lake {lake}", "changes", "publish", "report")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, marks=[pytest.mark.slow] if line.startswith(DEAR) else [])
        for line in LOADED
    ],
)
def test_a_command_loads_only_what_it_uses(
    line: str, account: Sandbox, lake: Path, tmp_path: Path
) -> None:
    """Each heavy library that a command loads is one that stands in the table."""
    words = [word.format(tmp=tmp_path, lake=lake) for word in line.split()]
    if words[-1] == "select":
        words[-1] = "SELECT 1"
    done = subprocess.run(
        [sys.executable, "-c", TOLD + START, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 7), done.stdout  # 7: check found something
    loaded = set(done.stderr.splitlines()[-1].split())
    assert loaded & HEAVY <= LOADED[line]


def test_the_demo_takes_its_folder_as_it_is_given(tmp_path: Path) -> None:
    """What checks values costs a tenth of a second, and the first command of all has none to check."""
    (tmp_path / "lake").touch()  # refused before anything is loaded for the demo itself
    words = ["demo", "--lake", str(tmp_path / "lake")]
    done = subprocess.run(
        [sys.executable, "-c", TOLD + START, *words], capture_output=True, text=True, check=False
    )
    assert "is a file" in done.stderr
    assert not HEAVY & set(done.stderr.splitlines()[-1].split()) - TYPER


def test_what_stands_in_for_docstrings_changes_no_function() -> None:
    """Without the texts that describe them the functions of numpy and Arrow do what they did."""
    code = (
        "import sys; from backup_frames.__main__ import _Unneeded;"
        "sys.meta_path.insert(0, _Unneeded());"
        "import pyarrow as pa, pyarrow.compute as pc, numpy as np, numpy.ma, pandas, duckdb;"
        "made = pa.table({'a': pa.array([1, None])});"
        "duckdb.sql('SELECT * FROM made').df();"
        "print(pc.sum(made['a']), pc.round(2.25, ndigits=1), np.ma.masked_array([1], [True]).sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "2.2", "--"]


def test_what_stands_in_for_modules_gives_way_to_them() -> None:
    """What is hidden from a library is found by who wants it by name, numpy's types among it."""
    code = (
        "import sys; from backup_frames.__main__ import _Unneeded;"
        "sys.meta_path.insert(0, _Unneeded());"
        "import pyarrow as pa, numpy as np;"
        "print(pa.array(np.unique([2, 2])).to_pylist());"
        "import numpy.typing as npt, httpx._main, typing_extensions, pandas;"
        "print(npt.NDArray is not list, pandas.Series([1, None]).tolist());"
        "from pyarrow.vendored.docscrape import NumpyDocString, Reader;"
        "import numpy._core._add_newdocs as docs; print(Reader.__name__, docs.add_newdoc.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[2]", "True [1.0, nan]", "Reader add_newdoc"]


def test_a_value_that_is_not_plainly_right_is_checked_by_typer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Plain values pass without a check being made; all others are refused in the same words."""
    for words, said in {
        ("sync", "--overlap", "x"): "--overlap is 'x': give a whole number",
        ("sync", "--max-projects", "65"): "--max-projects is '65': give 64 or less",
        ("sync", "--format", "orc"): "'orc'",
        ("query", "--format", "orc", "SELECT 1"): "'orc'",
        ("read", "--out", ""): "the path is empty",
    }.items():
        assert main(words) == 2
        assert said in capsys.readouterr().err


def test_no_command_is_told_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever gives no command gets the help, and the reason of the exit code in a sentence."""
    assert main([]) == 2
    assert capsys.readouterr().err == "Error: No command is given. Try: backup-frames --help\n"


def test_another_typer_is_left_alone() -> None:
    """Where an option keeps its check in another place, typer makes it as ever."""
    one = SimpleNamespace(type_descriptor=None)
    assert vars(_take_plain([one])[0]) == {"type_descriptor": None}


def test_what_is_hidden_from_libraries_is_found_by_name() -> None:
    """Arrow meets its first array without pandas, and makes DataFrames all the same."""
    code = (
        "import sys; from backup_frames.__main__ import _Unneeded;"
        "sys.meta_path.insert(0, _Unneeded()); import pyarrow as pa;"
        "table = pa.table({'a': pa.array([1, None])}); early = 'pandas' in sys.modules;"
        "print(early, table.to_pandas()['a'].isna().sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "1"]


@pytest.mark.parametrize(("given", "used"), [("", "1"), ("3", "3")])
def test_linear_algebra_has_no_threads_unless_wanted(given: str, used: str) -> None:
    """Numpy's threads, which no command uses, cost as much as a tenth of a small sync."""
    code = (
        "import atexit, os, sys; from backup_frames.__main__ import main;"
        "atexit.register(lambda: print(os.environ['OPENBLAS_NUM_THREADS']));"
        "sys.exit(main())"
    )
    variables = {name: one for name, one in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code, "guide"],
        env=variables | ({"OPENBLAS_NUM_THREADS": given} if given else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == used


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import threading; threading.Thread(target=lambda: print('waited for')).start()", ""),
        ("import atexit; atexit.register(print, 'waited for')", ""),
        ("import tempfile; t = tempfile.TemporaryFile('w'); print('waited for')", ""),
        ("def f(): sys.exit(main())", "waited for"),
    ],
)
def test_the_end_loses_nothing(before: str, after: str) -> None:
    """Threads, callbacks, what stdout holds, and callers that wait get what Python promises."""
    start = f"try: f()\nfinally: print({after!r})" if after else "sys.exit(main())"
    code = f"import sys\nfrom backup_frames.__main__ import main\n{before}\n{start}"
    done = subprocess.run(
        [sys.executable, "-c", code, "guide"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "waited for" in done.stdout
    assert "settings" in done.stdout


SIGNALS = [("SIGINT", 130, "Ctrl-C"), ("SIGTERM", 143, "a signal")]


@pytest.mark.parametrize(("name", "code", "how"), SIGNALS)
def test_a_signal_while_libraries_load_ends_it_in_one_line(name: str, code: int, how: str) -> None:
    """Whoever stops the command as soon as it has begun sees no traceback."""
    program = (
        "import os, signal, sys; from backup_frames.__main__ import main\n"
        "class Stopping:\n"
        "    def find_spec(name, *_):\n"
        f"        if name == 'typer': os.kill(os.getpid(), signal.{name})\n"
        "sys.meta_path.insert(0, Stopping); sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "guide"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"Stopped by {how}.\n")


@pytest.mark.parametrize(("name", "code", "how"), SIGNALS)
def test_a_signal_while_the_engine_asks_is_no_bug_of_ours(name: str, code: int, how: str) -> None:
    """DuckDB puts an error of its own in place of what the signal raises."""
    program = (
        "import duckdb, os, signal, sys, threading; from backup_frames.__main__ import main\n"
        "import backup_frames.insight.kpi.query as asking\n"
        "def ask(*_, **__):\n"
        "    connection = duckdb.connect()\n"
        "    def strike():\n"
        "        while connection.query_progress() < 0: pass\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "    threading.Thread(target=strike, daemon=True).start()\n"
        "    connection.execute('SET enable_progress_bar = true; SET enable_progress_bar_print = false;'\n"
        "        'SELECT sum(a.range * b.range % 7) FROM range(10000000) a, range(10000000) b')\n"
        "asking.query_lake = ask\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "query", "SELECT 1", "--lake", "here"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"Stopped by {how}.\n")


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(closed: str) -> None:
    """What a library says on stderr, which is closed, is not written into a file of ours."""
    program = (
        "import atexit, os, sys; from backup_frames.__main__ import main\n"
        "atexit.register(lambda: print(os.open(sys.executable, os.O_RDONLY)))\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" guide {closed}', sys.executable, program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout.splitlines()[-1]) > 2


@pytest.mark.parametrize("words", [["--help"], ["sync", "--help"], ["--show-completion", "bash"]])
def test_help_that_nobody_reads_to_its_end_says_so(words: list[str]) -> None:
    """Texts that typer writes end as all others do when their reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "backup_frames", *words],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr.count("\n")) == (141, 1)


def test_a_profiler_gets_the_run_back() -> None:
    """Whoever runs the command in its own process sees it return."""
    done = subprocess.run(
        [sys.executable, "-m", "cProfile", "-m", "backup_frames", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "function calls" in done.stdout


@pytest.mark.parametrize("line", ["--version", "--nonsense"])
def test_a_closed_stdout_or_a_wrong_word_has_its_exit_code(line: str) -> None:
    """The short way out has the same exit codes as the long one."""
    code = "import os, sys; os.close(1); from backup_frames.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, line], stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 2
    assert "Stdout" in done.stderr or "nonsense" in done.stderr
