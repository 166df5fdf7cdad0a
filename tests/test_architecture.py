"""The rooms and their order: imports only point back along the way of the data."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import backup_frames

ROOT = Path(backup_frames.__file__).parent
# A room may import itself and those before it; the sandbox stands apart, so that it can disagree.
STAIRS = [
    "errors",
    "whole_files",
    "settings",
    "api",
    "scan",
    "frames",
    "lake",
    "insight",
    "engines",
    "cli",
]
SETTINGS = ("config_file", "endpoints", "setting_values")  # part of the settings' room
GRANTED = {
    "httpx": {"api"},
    "httpcore": {"api"},
    "starlette": {"sandbox"},
    "uvicorn": {"sandbox"},
    "msgspec": {"api", "frames", "lake"},
    "obstore": {"lake"},
    "duckdb": {"insight"},
    "altair": {"insight"},
    "vl_convert": {"insight"},
    "deltalake": {"lake"},
    "pyiceberg": {"lake"},
    "pyspark": {"engines"},
    "dlt": {"engines"},
    "typer": {"cli"},
    "rich": {"cli", "insight"},
}
MODULES = sorted(set(ROOT.rglob("*.py")) - set(ROOT.glob("guide/**/*.py")))  # examples are no rooms


def room_of(path: Path) -> str:
    name = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if name in SETTINGS:
        return "settings"
    return "cli" if name == "__main__" else name


def is_type_only(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports_of(path: Path) -> set[str]:
    """Absolute names of all imports that run, those inside functions included."""
    package = [backup_frames.__name__, *path.relative_to(ROOT).parent.parts]
    names: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and is_type_only(node):
            nodes += node.orelse
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
        nodes += ast.iter_child_nodes(node)
    return names


each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


@each_module
def test_imports_point_back_along_the_way(path: Path) -> None:
    """A module imports only rooms at or before its own."""
    room = room_of(path)
    if room == "__init__":
        return
    ours = {n.split(".")[1] for n in imports_of(path) if n.startswith("backup_frames.")}
    rooms = {"settings" if name in SETTINGS else name for name in ours}
    if room == "sandbox":
        assert rooms <= {"sandbox"}
        return
    allowed = set(STAIRS[: STAIRS.index(room) + 1])
    if room == "cli":
        allowed.add("sandbox")
    assert rooms & {*STAIRS, "sandbox"} <= allowed


@each_module
def test_libraries_are_used_only_where_they_belong(path: Path) -> None:
    """HTTP lives in api, servers in the sandbox, SQL in insight, and so on."""
    used = {name.split(".")[0] for name in imports_of(path)}
    for library in used & GRANTED.keys():
        assert room_of(path) in GRANTED[library], library


@each_module
def test_modules_and_functions_stay_small(path: Path) -> None:
    """No module has over 400 lines, no function over 60 without its docstring."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= 60, node.name


@each_module
def test_modules_say_what_comes_in_and_out(path: Path) -> None:
    """Every module opens with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_no_function_bears_its_modules_name() -> None:
    """``from package import name`` can never mean two things."""
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        assert path.stem not in names, path
