"""The rooms and their order: imports only point back along the way of the data."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import backup_frames

ROOT = Path(backup_frames.__file__).parent
# A room may import itself and those before it; the sandbox stands apart, so that it can disagree.
LAYERS = [
    "version",
    "errors",
    "whole_files",
    "lake_folder",
    "clock",
    "settings",
    "api/wire",
    "api",
    "facts",
    "scan",
    "scan/walks",
    "scan/proof",
    "scan/asking",
    "frames/record",
    "frames",
    "read",
    "lake/storage",
    "lake/ledger",
    "lake/formats",
    "lake",
    "sync/planning",
    "sync",
    "sync/maintenance",
    "insight/kpi",
    "insight/charts",
    "insight",
    "evidence",
    "engines/spark",
    "engines",
    "cli/screen",
    "cli/session",
    "cli/runs",
    "cli/commands",
    "cli",
]
GRANTED = {
    "httpx": {"api"},
    "httpcore": {"api"},
    "starlette": {"sandbox"},
    "uvicorn": {"sandbox"},
    "msgspec": {"api", "scan", "frames", "lake"},
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
    "xlsxwriter": {"frames"},
}
MODULES = sorted(set(ROOT.rglob("*.py")) - set(ROOT.glob("guide/**/*.py")))  # examples are no rooms
MAX_LINES, MAX_FUNCTION_LINES = 350, 60
MAX_ARROWS = 15


def name_of(path: Path) -> str:
    """``backup_frames.lake.storage.local``; a package's own name for its ``__init__``."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in MODULES}


def layer_of(name: str) -> str:
    """The room, or sub-room, that a module lies in."""
    path = NAMES[name]
    if path.parent == ROOT:
        return "cli" if path.stem == "__main__" else path.stem
    return path.parent.relative_to(ROOT).as_posix()


def is_type_only(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Absolute names of all imports that run, those inside functions included."""
    package = [backup_frames.__name__, *path.relative_to(ROOT).parent.parts]
    names: set[str] = set()
    nodes: list[ast.AST] = [parsed(path)]
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
            inner = {f"{module}.{alias.name}" for alias in node.names}
            names |= inner & NAMES.keys() or {module}
        nodes += ast.iter_child_nodes(node)
    return frozenset(names)


def arrows() -> set[tuple[str, str]]:
    """Every pair of modules of the package of which the first imports the second."""
    return {
        (name, other)
        for name, path in NAMES.items()
        for other in imports_of(path)
        if other in NAMES and other != name
    }


def test_imports_point_back_along_the_way() -> None:
    """A module imports only rooms, and sub-rooms, at or before its own."""
    offenders = []
    for name, other in arrows():
        room, to = layer_of(name), layer_of(other)
        if room == "__init__":
            continue
        if "sandbox" in (room.split("/")[0], to.split("/")[0]):
            is_fine = to.startswith("sandbox") and room.split("/")[0] in ("sandbox", "cli")
        else:
            is_fine = LAYERS.index(to) <= LAYERS.index(room)
        if not is_fine:
            offenders.append(f"{name} -> {other}")
    assert offenders == []


def test_a_room_can_be_seen_at_a_glance() -> None:
    """Within a room at most 15 pairs of modules import each other."""
    within = Counter(
        layer_of(name) for name, other in arrows() if layer_of(name) == layer_of(other)
    )
    crowded = {room: count for room, count in within.items() if count > MAX_ARROWS}
    assert crowded == {}


def test_no_import_goes_round_in_a_circle() -> None:
    """Imports inside functions count, too: nobody hides a circle there."""
    left = arrows()
    while True:
        imported = {other for _, other in left}
        ends = {name for name, _ in left} - imported
        rest = {(name, other) for name, other in left if name not in ends}
        if rest == left:
            break
        left = rest
    assert left == set()


def test_imports_within_the_package_are_relative() -> None:
    """The package can be renamed or vendored."""
    offenders = [
        f"{path}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom)
        and not node.level
        and (node.module or "").split(".")[0] == backup_frames.__name__
    ]
    assert offenders == []


def test_libraries_are_used_only_where_they_belong() -> None:
    """HTTP lives in api, servers in the sandbox, SQL in insight, and so on."""
    used = {
        (layer_of(name).split("/")[0], library)
        for name, path in NAMES.items()
        for library in {one.split(".")[0] for one in imports_of(path)} & GRANTED.keys()
    }
    assert {(room, library) for room, library in used if room not in GRANTED[library]} == set()


def test_modules_and_functions_stay_small() -> None:
    """No module has over 350 lines, no function over 60 without its docstring."""
    offenders = []
    for path in NAMES.values():
        if path.read_text(encoding="utf-8").count("\n") > MAX_LINES:
            offenders.append(str(path))
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                if lines > MAX_FUNCTION_LINES:
                    offenders.append(f"{path}: {node.name}")
    assert offenders == []


def test_modules_say_what_comes_in_and_out() -> None:
    """Every module opens with a docstring."""
    assert [str(path) for path in MODULES if not ast.get_docstring(parsed(path))] == []


def test_no_function_bears_its_modules_name() -> None:
    """``from package import name`` can never mean two things."""
    offenders = []
    for path in MODULES:
        names = {n.name for n in parsed(path).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        if path.stem in names:
            offenders.append(str(path))
    assert offenders == []


RETIRED = re.compile(
    "brakes?|braked|settles?|settled|undated|ice|knocks?|knocked|dice|shelf|shelves|estates?|fates?|"
    "mends?|mended|misfits?|strikes?|struck|(un)?told|said|rooms?|houses?"
)
STORED = {"is_braked", "unknown_begin"}  # names in files of earlier versions


def test_retired_words_name_nothing() -> None:
    """One word per thing, the field's own: modules, functions, classes, variables, fields and columns."""
    offenders = set()
    for path in [*MODULES, *ROOT.rglob("*.sql")]:
        names = {path.stem}
        if path.suffix == ".sql":
            names |= set(re.findall("[a-z]+(?:_[a-z]+)+", path.read_text("utf-8")))
        for node in ast.walk(parsed(path)) if path.suffix == ".py" else ():
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    names.add(name)
                case ast.arg(arg=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                    names.add(name)
                case ast.Constant(value=str(text)) if re.fullmatch("[a-z]+(_[a-z]+)+", text):
                    names.add(text)
                case _:
                    pass
        for name in names - STORED:
            words = {word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
            if any(map(RETIRED.fullmatch, words)) or "unknown_begin" in name:
                offenders.add(f"{path.stem}: {name}")
    assert offenders == set()


def test_every_room_is_on_the_way() -> None:
    """No folder of the package is left out of the order above."""
    rooms = Counter(layer_of(name) for name in NAMES)
    known = {*LAYERS, "__init__", "sandbox", "sandbox/world", "guide"}
    assert set(rooms) - known == set()
