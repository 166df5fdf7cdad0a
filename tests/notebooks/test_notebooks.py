"""The notebooks run top to bottom in a clean kernel, and lie in the repository without outputs.

Without outputs, because they are made anew in seconds by whoever runs them, and because a picture
or a table that is kept changes with each run, grows old unseen, and carries traces of a machine:
so a difference in a notebook's file is always something that somebody wrote.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
#: name -> pictures that a reader of it sees; the quickstart runs with every commit.
PICTURES = {
    "01_quickstart": 3,
    "02_fleet_health": 7,
    "03_lake_and_time_travel": 2,
    "04_bi_and_sql": 2,
}
IMAGES = {"image/png", "image/svg+xml"}

each_notebook = pytest.mark.parametrize("name", PICTURES)


def path_of(name: str) -> Path:
    return ROOT / "notebooks" / f"{name}.ipynb"


@pytest.fixture
def clean_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which nobody has used Jupyter or this package yet; all that is written lands there."""
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "TMPDIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    # the checkout stands first, also where another version of the package is installed
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # a notice about frozen modules
    # what a developer has exported must not steer a notebook
    monkeypatch.setenv("BACKUP_FRAMES_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("BACKUP_FRAMES_TOKEN", "nobody")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "01_quickstart" else pytest.mark.slow)
        for name in PICTURES
    ],
)
def test_a_notebook_runs_and_shows_its_pictures(name: str, clean_home: Path) -> None:
    """Run in a clean kernel, no cell fails or warns, all pictures appear, and nothing is left behind."""
    notebook = nbformat.read(path_of(name), as_version=4)
    work = clean_home / "work"
    work.mkdir()
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=300,  # seconds per cell
        resources={"metadata": {"path": str(work)}},
    )
    client.create_kernel_manager()
    client.km.ip = "127.0.0.1"
    client.execute()

    outputs = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    pictures = [output for output in outputs if IMAGES & set(output.get("data", ()))]
    assert len(pictures) == PICTURES[name]
    assert notebook.cells[-1].source.count("assert ") >= 5
    assert list(work.iterdir()) == []
    assert list((clean_home / "tmpdir").iterdir()) == []


@each_notebook
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    """No output, no execution count, no metadata that an editor or a run has left."""
    notebook = nbformat.read(path_of(name), as_version=nbformat.NO_CONVERT)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python"}
    for cell in notebook.cells:
        assert cell.metadata == {}, cell.id
        if cell.cell_type == "code":
            assert cell.outputs == [], cell.id
            assert cell.execution_count is None, cell.id


@each_notebook
def test_a_notebook_is_valid_and_written_in_one_way(name: str) -> None:
    """The file is valid nbformat 4.5 and the very text that nbformat writes, so diffs stay small."""
    text = path_of(name).read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert nbformat.writes(notebook).rstrip("\n") + "\n" == text


@each_notebook
def test_a_notebook_names_no_place_of_a_machine(name: str) -> None:
    """No absolute path and no address but the sandbox's own, which no notebook writes out."""
    text = path_of(name).read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.:/<}])/\w+/", text)
    for trace in ("C:\\\\", "http://", "127.0.0.1"):
        assert trace not in text


def test_every_notebook_is_tested() -> None:
    """No notebook lies in the folder that this file does not know."""
    assert sorted(path.stem for path in path_of("x").parent.glob("*.ipynb")) == sorted(PICTURES)
