"""The lake's own records: what files there are, what is known, what a run is about to write.

In: bytes of ``_meta``. Out: typed records, or None for bytes that are not exactly what was
written: each record carries the sha256 of its content, and equal records are equal bytes.
"""

from __future__ import annotations

import hashlib
from typing import Final, TypeVar

import msgspec

from ...scan.assumptions import ServiceProof
from ..storage.layout import RUNS

LAYOUT_VERSION: Final = 1
# Ten years of three files a day and a run every five minutes are a record of half that size.
_MAX_BYTES, _MAX_PARTS = 1 << 28, 1 << 22


class FileEntry(msgspec.Struct, frozen=True):
    """One file as it was written: size in bytes, sha256 in hex, rows."""

    size: int
    sha256: str
    rows: int


class LakeRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """``_meta/lake.json``: which lake this is, how it is cut, and what holds its rows."""

    lake_id: str
    layout_version: int
    partition_by: str
    format: str = "parquet"


class Manifest(msgspec.Struct):
    """``_meta/<project_id>/manifest.json``: every file of a project by its key.

    `lake_id` names the lake it is of; empty in manifests of before it was kept. `encoding` is that
    of the hashes in a lake whose format keeps rows, not our bytes; see `encoding_of`.
    """

    project_id: str
    partition_by: str
    files: dict[str, FileEntry] = {}
    lake_id: str = ""
    encoding: str = ""


class DayState(msgspec.Struct):
    """What is known of one UTC day without reading its files.

    Attributes:
        counts: per level: present backups that began on the day, of them those in its first
            second and those in its last (a count's bounds are inclusive on the wire).
        verified_at_s: since when each of its rows is known from reading, not from counting.
        cursor_s: up to where a re-read of the day in slices has come; None if there is none.
        cursor_at_s: when that re-read began.
        open_s: seconds in which backups began that are not in a final state.
    """

    counts: dict[str, tuple[int, int, int]]
    verified_at_s: int
    cursor_s: int | None = None
    cursor_at_s: int | None = None
    open_s: list[int] = []


class InventoryState(msgspec.Struct):
    """When what was asked of the inventory, beside the backups.

    Attributes:
        as_of_s: when the list of instances was last read and merged; None before the first time.
        policies: by id of each present instance: when its policy was last asked, 0 if it is owed.
    """

    as_of_s: int | None = None
    policies: dict[str, int] = {}


class ProofState(msgspec.Struct):
    """What was proven of the service, where, and by which version; see `ServiceProof`."""

    endpoint: str
    tool_version: str
    service: ServiceProof


class State(msgspec.Struct, rename={"untimed": "unknown_begin"}):
    """``_meta/<project_id>/state.json``: a cache; losing it costs requests, never data.

    Attributes:
        project_id: whose it is.
        as_of_s: the last moment for which the ledger is complete; None before the first.
        days: by ISO date, days without a present backup left out.
        untimed: per level: present backups without begin time.
        inventory: likewise of instances and policies.
        proof: what need not be proven again for a while; None: all of it.
        caller: who asked at that last moment; see `Certificate.caller`.
        lake_id: the lake it is of.
        manifest: checksum of the manifest that it was written with; with any other it is lost.
        newest_s: the newest moment that the ledger knows; no run stands for an earlier one.
        ids: by partition: a short hash of each backup id in it, for finding a backup wherever
            it is (see `StoredIds`).
        damaged: partitions that could not be read, so that what is listed for them is owed.
    """

    project_id: str
    as_of_s: int | None = None
    days: dict[str, DayState] = {}
    untimed: dict[str, int] = {}
    inventory: InventoryState = msgspec.field(default_factory=InventoryState)
    proof: ProofState | None = None
    caller: str | None = None
    lake_id: str = ""
    manifest: str = ""
    newest_s: int = 0
    ids: dict[str, bytes] = {}
    damaged: list[str] = []


class Pending(msgspec.Struct):
    """``_meta/<project_id>/pending.json``: what an unfinished run writes, said beforehand.

    It stands while a run writes, so that after a crash every file is either as the manifest
    says or as this does. A finished run removes it.

    Attributes:
        project_id: whose it is.
        run_id: the run that writes.
        as_of_s: that run's moment.
        files: every version of each file that may be in place by now, the newest last.
        child_changed: by partition: ids that changed in their children alone; once those are
            replaced, comparing no longer shows it.
        manifests: checksums of the manifests from that of the state that the run found to the one
            it leaves: more than two after a run that died between the one and the other.
    """

    project_id: str
    run_id: str
    as_of_s: int
    files: dict[str, list[FileEntry]] = {}
    child_changed: dict[str, list[str]] = {}
    manifests: list[str] = []


Record = TypeVar("Record", LakeRecord, Manifest, State, Pending)


def describe_file(data: bytes, rows: int) -> FileEntry:
    """The entry of a file with these bytes."""
    return FileEntry(size=len(data), sha256=hashlib.sha256(data).hexdigest(), rows=rows)


def encode_record(record: LakeRecord | Manifest | State | Pending) -> bytes:
    """The record as JSON with sorted names, its own sha256 among them, and a final newline."""
    content = msgspec.to_builtins(record)
    return _canonical(content | {"checksum": _checksum(content)}) + b"\n"


def manifest_checksum(manifest: Manifest) -> str:
    """What other records name a manifest by; rows of runs say nothing of the tables, so none counts."""
    files = {key: entry for key, entry in manifest.files.items() if not key.startswith(f"{RUNS}/")}
    return _checksum(msgspec.to_builtins(msgspec.structs.replace(manifest, files=files)))


def why_foreign(record: Manifest | State, project_id: str, lake_id: str | None) -> str | None:
    """Why a record is not this project's in this lake; None if it is."""
    if record.project_id != project_id:
        return f"It is of project {record.project_id}."
    if lake_id and record.lake_id and record.lake_id != lake_id:
        return f"It is of another lake ({record.lake_id}, this one is {lake_id})."
    return None


def why_not_pending(pending: Pending, project_id: str, manifest: Manifest | None) -> str | None:
    """Why an announcement is not of a run that found or left this manifest; None if it is."""
    if pending.project_id != project_id:
        return f"It is of project {pending.project_id}."
    if manifest is None or not pending.manifests:
        return None
    if manifest_checksum(manifest) not in pending.manifests:
        return "It is of another moment than the manifest."
    return None


def why_not_state(
    state: State, project_id: str, lake_id: str | None, manifest: Manifest, pending: Pending | None
) -> str | None:
    """Why a state is not the one that belongs to this manifest; None if it is.

    While a run ends, or after it died there, the manifest may be ahead, as was announced.
    """
    if why := why_foreign(state, project_id, lake_id):
        return why
    checksum = manifest_checksum(manifest)
    since = pending.manifests if pending is not None else []
    is_behind = since[:1] == [state.manifest] and checksum in since
    if state.manifest == checksum or is_behind:
        return None
    return "It was not written with this manifest, but at another moment of the lake."


def decode_record(data: bytes | None, kind: type[Record]) -> Record | None:
    """The record, or None if there is none or a single bit of it is not as it was written."""
    data = data or b""
    if len(data) > _MAX_BYTES or data.count(b"[") + data.count(b"{") > _MAX_PARTS:
        return None
    try:
        content = msgspec.json.decode(data)
        checksum = content.pop("checksum")
        if checksum != _checksum(content):
            return None
        return msgspec.convert(content, kind)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, AttributeError, KeyError):
        return None


def _checksum(content: object) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: object) -> bytes:
    return msgspec.json.encode(content, order="deterministic")
