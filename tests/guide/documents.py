"""The documents as data: which blocks run, what they show, which tables are made from the code.

In: the README and the guide's pages. Out: their blocks, and their text as the code has it now.

    python tests/guide/documents.py    # writes the generated tables anew
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

import backup_frames
from backup_frames import errors
from backup_frames.frames.schema import (
    DESCRIPTIONS,
    KEYS,
    LEDGER_FIELDS,
    TABLES,
    describe_field,
)
from backup_frames.scan.assumptions import ASSUMPTIONS

PACKAGE = Path(backup_frames.__file__).parent
ROOT = PACKAGE.parent
GUIDE = PACKAGE / "guide"
PAGES = [ROOT / "README.md", *sorted(GUIDE.glob("*.md"))]
VIEWS = "\n".join(path.read_text("utf-8") for path in sorted(PACKAGE.rglob("views/*.sql")))

BLOCK = re.compile(
    r"(?:<!-- ([^\n]*) -->\n)?```(python|sh)\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL
)
MADE = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Block(NamedTuple):
    """One block of code."""

    mark: str  # the comment above it: why it is not run, or its exit code
    language: str
    code: str
    shown: str  # what the page says that it prints; "": nothing is said

    @property
    def runs(self) -> bool:
        return not (self.mark in ("demo", "tests") or self.mark.startswith("not run here: "))

    @property
    def exit_code(self) -> int:
        return int(self.mark.removeprefix("exit code ")) if "exit code " in self.mark else 0

    def is_truly_shown(self, printed: str) -> bool:
        """Whether this was printed: numbers and ids may differ, and a line … stands for any, or none."""
        if not self.shown:
            return True
        shown = _without_numbers(self.shown)
        lines = ["(\n.*)?" if line == "…" else f"\n{re.escape(line)}" for line in shown]
        found = "".join(f"\n{line}" for line in _without_numbers(printed))
        return bool(re.fullmatch("".join(lines), found, re.DOTALL))


def blocks_of(text: str) -> list[Block]:
    return [Block(*(part or "" for part in found)) for found in BLOCK.findall(text)]


def made_anew(text: str) -> str:
    """The page with its generated tables as the code has them."""
    return MADE.sub(lambda found: f"{found[1]}{GENERATED[found[2]]()}\n{found[3]}", text)


def _without_numbers(text: str) -> list[str]:
    text = re.sub(r"[0-9a-f]{16,}\w*|\d[\d,.:]*", "#", text.replace("─", ""))
    lines = (re.sub(r"[-\s]+", " ", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def _table(*rows: tuple[str, ...]) -> str:
    head, *rest = ("| " + " | ".join(row).replace("\n", " ") + " |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *rest])


def _fields(fields: list[pa.Field]) -> str:
    rows = [(f"`{field.name}`", str(field.type), *describe_field(field)[::-1]) for field in fields]
    return _table(("column", "type", "unit", "is"), *rows)


def _columns() -> str:
    return "\n\n".join(
        f"### {name}\n\n{DESCRIPTIONS[name]} Key: {', '.join(KEYS[name])}.\n\n"
        + _fields(list(TABLES[name]))
        for name in ("backups", "backup_databases", "backup_tables")
    )


def _comments(pattern: str) -> Iterator[tuple[str, str]]:
    """The names that a pattern finds among the comments of the SQL files, with their words."""
    for name, words in re.findall(rf"COMMENT ON {pattern} IS '((?:[^']|'')*)';", VIEWS):
        yield f"`{name}`", words.replace("''", "'").replace("|", r"\|")


def _views() -> str:
    return _table(("view", "answers"), *sorted(_comments(r"(?:VIEW|TABLE) (\w+)")))


def _columns_of(view: str) -> Callable[[], str]:
    return lambda: _table(("column", "is"), *_comments(rf"COLUMN {view}\.(\w+)"))


def _limits() -> str:
    found = re.findall(r"^    ([\d.]+)::\w+ AS (\w+)", VIEWS, re.MULTILINE)
    defaults = {name: value for value, name in found}
    rows = _comments(r"COLUMN settings\.(\w+)")
    return _table(
        ("limit", "default", "is"),
        *((name, defaults.get(name.strip("`"), ""), words) for name, words in rows),
    )


def _errors() -> str:
    rows = []
    waiting = [errors.BackupFramesError]
    while waiting:
        kind = waiting.pop(0)
        first = (kind.__doc__ or "").splitlines()[0]
        parents = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
        rows.append((f"`{kind.__name__}`", parents, str(kind.exit_code), first))
        ours = (one for one in kind.__subclasses__() if one.__module__ == errors.__name__)
        waiting[:0] = ours
    return _table(("class", "is a", "exit code", "says"), *rows)


def _assumptions() -> str:
    return _table(("name", "assumed", "proof", "otherwise"), *map(tuple, ASSUMPTIONS))


GENERATED: dict[str, Callable[[], str]] = {
    "assumptions": _assumptions,
    "columns": _columns,
    "errors": _errors,
    "exceptions": _columns_of("v_exceptions"),
    "kpis": _columns_of("v_kpi_current"),
    "ledger": lambda: _fields(list(LEDGER_FIELDS)),
    "settings": _limits,
    "views": _views,
}


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(made_anew(page.read_text("utf-8")), "utf-8")
