"""Break the package in one line at a time, and ask whether the commit tier goes red.

    python tests/sabotage/runner.py              all of them, some hours
    python tests/sabotage/runner.py fsync lock   those with one of the words in their name
    python tests/sabotage/runner.py --quick …    only the test files that are named to catch each
    python tests/sabotage/runner.py --list       what there is

In: `mutations.MUTATIONS`. Out: a line for each, caught or survived; exit 1 if one survived. Each is
tried in a copy of the tree: the files named for it first, for speed, then the rest of the tier.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mutations import EQUIVALENT, MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "backup_frames"
COPIED = (PACKAGE, "tests", "notebooks", ".ci", "pyproject.toml", "README.md", "CHANGELOG.md")
TIMEOUT_S = 900
HANG = "a hang"


class Verdict(NamedTuple):
    is_caught: bool
    by: str
    seconds: float


def read_package(root: Path) -> dict[Path, list[str]]:
    """The lines of every module, without indentation."""
    return {
        path: [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted((root / PACKAGE).rglob("*.py"))
    }


def find_line(package: dict[Path, list[str]], mutation: Mutation) -> tuple[Path, int]:
    """The file that holds the mutation's lines, and the number of the last one, from 0.

    Raises:
        LookupError: they stand nowhere in the package, or in more than one place.
    """
    wanted = [line.strip() for line in mutation.lines.splitlines()]
    found = [
        (path, at)
        for path, lines in package.items()
        for at, line in enumerate(lines)
        if line == wanted[-1] and lines[max(at + 1 - len(wanted), 0) : at + 1] == wanted
    ]
    if len(found) != 1:
        where = ", ".join(f"{path}:{at + 1}" for path, at in found) or "nowhere"
        raise LookupError(f"{mutation.name}: its lines must stand in one place, but stand {where}")
    return found[0]


def mutate(root: Path, mutation: Mutation) -> None:
    """Replace the last of the mutation's lines; its indentation stays."""
    path, at = find_line(read_package(root), mutation)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    indentation = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    lines[at] = f"{indentation}{mutation.becomes}\n"
    path.write_text("".join(lines), encoding="utf-8")


@contextmanager
def copied_tree() -> Iterator[Path]:
    """The project in a folder of its own, compiled files included."""
    with tempfile.TemporaryDirectory(prefix="sabotage-") as folder:
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                # Without this folder: its own test would miss the line that was broken.
                shutil.copytree(
                    source, Path(folder, name), ignore=shutil.ignore_patterns("sabotage")
                )
            elif source.exists():
                shutil.copy2(source, folder)
        yield Path(folder)


def try_tests(root: Path, arguments: Sequence[str]) -> Verdict:
    """Run pytest in a tree until a test fails; its package is imported, in child processes too.

    Raises:
        RuntimeError: pytest itself could not do it.
    """
    started = time.monotonic()
    # in the order named: what catches it most likely comes first
    plugins = ("-p", "no:cacheprovider", "-p", "no:randomly")
    command = [sys.executable, "-m", "pytest", "-x", "-q", *plugins, *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(True, HANG, time.monotonic() - started)
    seconds = time.monotonic() - started
    if done.returncode in (0, 5):  # all passed, or nothing of these files is of the commit tier
        return Verdict(False, "", seconds)
    failed = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - |$)", done.stdout, re.MULTILINE)
    if failed is None:
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return Verdict(True, failed[1], seconds)


def sabotage(mutation: Mutation, *, is_quick: bool = False) -> Verdict:
    """Try one mutation."""
    with copied_tree() as calm, copied_tree() as broken:
        mutate(broken, mutation)
        named = [str(next((broken / "tests").rglob(name))) for name in mutation.tests]
        verdict = _try_until_sure(calm, broken, named)
        if verdict.is_caught or is_quick:
            return verdict
        rest = _try_until_sure(calm, broken, ["-n", "2"])
        return rest._replace(seconds=rest.seconds + verdict.seconds)


def _try_until_sure(calm: Path, broken: Path, arguments: Sequence[str]) -> Verdict:
    """A test that fails counts if it fails again, and passes without the sabotage; so does a hang."""
    chance = list[str]()
    while True:
        verdict = try_tests(broken, [*arguments, *chance])
        if not verdict.is_caught:
            return verdict
        if verdict.by == HANG:
            return verdict._replace(is_caught=try_tests(calm, [*arguments, *chance]).by != HANG)
        if (
            try_tests(broken, [verdict.by]).is_caught
            and not try_tests(calm, [verdict.by]).is_caught
        ):
            return verdict
        chance.append(f"--deselect={verdict.by}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only mutations with one of these in their name")
    parser.add_argument("--quick", action="store_true", help="only the test files named for each")
    parser.add_argument("--list", action="store_true", help="list them; try none")
    options = parser.parse_args()
    chosen = [
        one
        for one in MUTATIONS
        if not options.words or any(word in one.name for word in options.words)
    ]
    if options.list:
        for one in chosen:
            print(f"{one.name:32} {one.lines.splitlines()[-1].strip()}  ->  {one.becomes}")
        for one, reason in EQUIVALENT.items():
            print(f"{one.name:32} equivalent: {reason}")
        return 0
    survivors = []
    for one in chosen:
        verdict = sabotage(one, is_quick=options.quick)
        if not verdict.is_caught:
            survivors.append(one.name)
        told = f"caught by {verdict.by}" if verdict.is_caught else "SURVIVED"
        print(f"{one.name:32} {verdict.seconds:6.0f} s  {told}", flush=True)
    print(
        f"{len(chosen) - len(survivors)} of {len(chosen)} caught. Survived: {survivors or 'none'}"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
