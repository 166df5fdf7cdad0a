"""The check of a pack: against its own sums, and against the lake that it says it is made of.

In: a pack, perhaps a lake. Out: one finding per file that is not as it was made.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..api.scrub import as_printable
from ..errors import LakeError
from ..settings.values import Place
from ..version import VERSION
from ..whole_files import absolute_path
from .files import SUMS, PackFinding, check_sums, read_pack
from .pack import PACK, build_pack, request_of


def verify_evidence(pack: Place, *, lake: Place | None = None) -> list[PackFinding]:
    """Check a pack: every file against ``SHA256SUMS``, and with a lake against a pack made of it anew.

    Without the lake it is only known that nobody changed the pack without changing the sums too. Nothing
    is extracted, whatever names an archive holds.

    Args:
        pack: the archive or the folder.
        lake: a local path, ``file://``, ``s3://`` or ``obs://``; it may have gone on since: it is read as
            of the moment of the pack.

    Returns:
        One finding per file; empty if all is as it was made.

    Raises:
        LakeError: the pack or the lake cannot be read.

    Example:
        >>> verify_evidence("q1.zip", lake="/data/lake")  # doctest: +SKIP
        []
    """
    path: Path = absolute_path(pack)
    try:
        files, findings = read_pack(path)
    except OSError as error:
        raise LakeError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    if files or not findings:
        findings += check_sums(files)
    if lake is not None and files:
        findings += _compare(files, lake, {one.path for one in findings})
    return findings


def _compare(files: dict[str, bytes], lake: Place, named: set[str]) -> list[PackFinding]:
    try:
        facts = json.loads(files[PACK])
        request = request_of(facts)
        lake_id, version = str(facts["lake_id"]), str(facts["tool_version"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        message = "It does not say what the pack is made of, so it cannot be compared with a lake."
        return [PackFinding(PACK, "damaged", message)]
    made = build_pack(lake, request, version).files
    ours = json.loads(made[PACK])
    if ours["lake_id"] != lake_id:
        message = f"The pack is of lake {as_printable(lake_id)}, and this one is {ours['lake_id']}."
        return [PackFinding(PACK, "differs", message)]
    # what only later versions note, and would have noted nothing in
    later = {key for key in ours.keys() - facts.keys() if not ours[key]}
    if facts == {key: value for key, value in ours.items() if key not in later}:
        named = named | {PACK}
    findings = []
    for name in sorted(made.keys() | files.keys() - {SUMS}):
        if name in named or name == SUMS:
            continue
        if name not in files:
            findings.append(PackFinding(name, "missing", "By the lake it belongs to the pack."))
        elif name not in made:
            findings.append(
                PackFinding(as_printable(name), "extra", "By the lake there is no such file.")
            )
        elif made[name] != files[name]:
            findings.append(PackFinding(name, "differs", _difference(made[name], files[name])))
    if findings and version != VERSION:
        other = as_printable(version)
        message = (
            f"It was made by version {other}, and this is {VERSION}, which may write it otherwise. "
            f"Check it with the version that made it: pip install backup-frames=={other}."
        )
        findings.append(PackFinding("pack", "differs", message))
    return findings


def _difference(made: bytes, found: bytes) -> str:
    """The first line that is not as the lake has it."""
    for number, pair in enumerate(zip(made.splitlines(), found.splitlines(), strict=False), 1):
        if pair[0] != pair[1]:
            lake_line, line = (as_printable(one.decode("utf-8", "replace"))[:160] for one in pair)
            return f"Line {number} is {line!r}, and by the lake {lake_line!r}."
    return f"It has {len(found.splitlines()):,} lines, and by the lake {len(made.splitlines()):,}."
