"""The evidence pack: what a lake proves of some days, as files that anybody can check.

In: a lake, two days, whom it is for. Out: an archive or a folder: the population and the result of every
control, the backups, the certificate of every run, gaps, definitions, a cover, and sums over all. It is
made from the lake as of one moment, so that it can be made again from the same lake later.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import QueryError
from ..insight.kpi.narrow import check_fits, spelled
from ..insight.kpi.publish import open_views
from ..lake.formats.open_tables import open_lake_store
from ..lake.ledger.metadata import LakeRecord, decode_record
from ..lake.storage.layout import LAKE_KEY
from ..settings.owners import Attestation, OwnerRule
from ..settings.values import Place
from ..version import VERSION
from ..whole_files import absolute_path
from .cover import Rows, render_cover
from .files import (
    SUMS,
    check_pack_target,
    encode_csv,
    encode_json,
    encode_sums,
    write_files,
)
from .queries import QUERIES
from .rewind import set_back

if TYPE_CHECKING:
    import duckdb

PACK: Final = "pack.json"
_STATUSES: Final = ("ok", "alarm", "not_due", "cannot_be_known")


@dataclass(frozen=True, slots=True)
class PackRequest:
    """What a pack is asked for; with the lake it decides every byte.

    Attributes:
        first, last: the days, both included (UTC).
        as_of: the moment of the lake that it is made of; None: its last run.
        owner: only instances of this owner; None: all.
        enterprise_project_id: only instances of it; None: all.
        owners: who answers for what.
        attestations: what people vouch for.
        projects: those that should be in the lake.
        thresholds: values for columns of ``settings``.
    """

    first: date
    last: date
    as_of: datetime | None = None
    owner: str | None = None
    enterprise_project_id: str | None = None
    owners: tuple[OwnerRule, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    projects: tuple[str, ...] = ()
    thresholds: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """What `write_evidence` wrote.

    Attributes:
        path: the archive or folder, absolute.
        as_of: the moment of the lake that it is made of, UTC; None in a lake without runs.
        files: names of the files, in order.
        counts: results by status: ``ok``, ``alarm``, ``not_due``, ``cannot_be_known``.
        gap_count: stretches without a certified run.
    """

    path: Path
    as_of: datetime | None
    files: tuple[str, ...]
    counts: dict[str, int]
    gap_count: int


def write_evidence(  # noqa: PLR0913 - filters, each by its name
    lake: Place,
    out: Place,
    *,
    begin: str | date,
    end: str | date,
    owner: str | None = None,
    enterprise_project_id: str | None = None,
    owners: Sequence[OwnerRule] = (),
    attestations: Sequence[Attestation] = (),
    projects: Sequence[str] = (),
    thresholds: Mapping[str, float] | None = None,
) -> EvidenceReport:
    """Write an evidence pack about some days of a lake.

    Reads the lake once and holds it: a quarter of 200 instances takes a few seconds. The same lake and
    arguments give the same bytes.

    Args:
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        out: an archive if its name ends with ``.zip``, else a folder that is new or empty.
        begin: the first day, ISO (UTC).
        end: the last day, included.
        owner: only instances of this owner.
        enterprise_project_id: only instances of this enterprise project.
        owners: who answers for which instances, as ``load_owners`` reads them.
        attestations: what people vouch for, as ``load_attestations`` reads them.
        projects: those that should be in the lake, as ``load_project_ids`` reads them.
        thresholds: values for columns of the table ``settings``.

    Raises:
        QueryError: a day cannot be read, the last is before the first, or no instance belongs to whom
            is asked for.
        LakeError: no lake there, a file of it is unreadable, or `out` cannot be written.
        ConfigError: `out` lies in the lake; an unknown threshold.

    Example:
        >>> write_evidence("/data/lake", "q1.zip", begin="2026-01-01", end="2026-03-31")  # doctest: +SKIP
    """
    first, last = read_days(begin, end)
    request = PackRequest(
        first=first,
        last=last,
        owner=owner,
        enterprise_project_id=enterprise_project_id,
        owners=tuple(owners),
        attestations=tuple(attestations),
        projects=tuple(sorted(projects)),
        thresholds=tuple(sorted((thresholds or {}).items())),
    )
    target = absolute_path(out)
    check_pack_target(target, lake)
    pack = build_pack(lake, request)
    write_files(target, pack.files)
    return EvidenceReport(
        target, pack.as_of, tuple(sorted(pack.files)), pack.counts, pack.gap_count
    )


def read_days(begin: str | date, end: str | date) -> tuple[date, date]:
    """The first and the last day as they were given.

    Raises:
        QueryError: one is no day, or the last is before the first.
    """
    first, last = _read_day(begin, "from"), _read_day(end, "to")
    if last == date.max:
        raise QueryError(f"to is {last}, after which there is no day. Give an earlier one.")
    if last < first:
        raise QueryError(f"to {last} is before from {first}. Swap them.")
    return first, last


def _read_day(value: str | date, name: str) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise QueryError(f"{name} is {value!r}. Give a day, such as 2026-01-31.") from None


@dataclass(frozen=True)
class Pack:
    """The files of a pack, and what the report says of them."""

    files: dict[str, bytes]
    as_of: datetime | None
    counts: dict[str, int]
    gap_count: int


def build_pack(lake: Place, request: PackRequest, tool_version: str = VERSION) -> Pack:
    """Make the files of a pack, `SHA256SUMS` with them; to compare, in the name of its version."""
    record = decode_record(
        open_lake_store(os.fspath(lake), scratch="_meta/reader/tmp").read(LAKE_KEY), LakeRecord
    )
    with open_views(
        lake,
        materialize=True,
        thresholds=dict(request.thresholds),
        owners=request.owners,
        projects=request.projects,
    ) as connection:
        connection.execute("SET threads = 1")  # ties are broken by the order of rows alone
        as_of = set_back(connection, request.as_of, request.first)
        tables = _tables(connection, request)
        certificates = _certificates(connection, tables)
    facts: dict[str, Any] = {
        "format": 1,
        "tool_version": tool_version,
        "lake_id": record.lake_id if record else "",
        "from": request.first.isoformat(),
        "to": request.last.isoformat(),
        "as_of": f"{as_of:%Y-%m-%dT%H:%M:%S.%fZ}" if as_of else None,
        "owner": request.owner,
        "enterprise_project_id": request.enterprise_project_id,
        "owners": [asdict(rule) for rule in request.owners],
        "attestations": [asdict(one) for one in request.attestations],
        "projects": list(request.projects),
        "thresholds": dict(request.thresholds),
    }
    files = {f"{name}.csv": encode_csv(*rows) for name, rows in tables.items()} | certificates
    summary: dict[str, dict[str, int]] = {}
    for name, (columns, rows) in tables.items():
        if name.startswith("controls/"):
            place = columns.index("status")
            found = Counter(row[place] for row in rows)
            summary[name.partition("/")[2]] = {status: found[status] for status in _STATUSES}
    counts = {status: sum(one[status] for one in summary.values()) for status in _STATUSES}
    files[PACK] = encode_json(facts)
    files["index.html"] = render_cover(facts, tables, summary)
    files[SUMS] = encode_sums(files)
    return Pack(files, as_of, counts, len(tables["gaps"][1]))


def _tables(connection: duckdb.DuckDBPyConnection, request: PackRequest) -> dict[str, Rows]:
    names = map(spelled, (request.owner, request.enterprise_project_id))
    connection.execute(
        "CREATE TABLE wanted AS SELECT ?::DATE AS first, ?::DATE AS last, ?::VARCHAR AS owner, "
        "?::VARCHAR AS enterprise_project_id",
        [request.first, request.last, *names],
    )
    # judged once: the history of exceptions asks for it again
    connection.execute("CREATE TABLE results AS FROM v_control_judged")
    connection.execute("CREATE OR REPLACE VIEW v_control_judged AS FROM results")
    connection.execute(
        "CREATE TABLE chosen AS SELECT r.* FROM v_control_result AS r, wanted AS w "
        "WHERE r.date BETWEEN w.first AND w.last AND (r.instance_id IS NULL OR "
        "(coalesce(r.owner = w.owner, w.owner IS NULL) AND coalesce(r.enterprise_project_id = "
        "w.enterprise_project_id, w.enterprise_project_id IS NULL)))"
    )
    connection.execute(
        "CREATE TABLE people AS SELECT i.* FROM dim_instance AS i, wanted AS w "
        "WHERE coalesce(i.owner = w.owner, w.owner IS NULL) AND coalesce(i.enterprise_project_id = "
        "w.enterprise_project_id, w.enterprise_project_id IS NULL)"
    )
    check_fits(connection, "people", request.owner, request.enterprise_project_id)
    tables = {name: _select(connection, query) for name, query in QUERIES.items()}
    for (control,) in connection.execute("SELECT control_id FROM dim_control").fetchall():
        tables[f"controls/{control}"] = _select(
            connection,
            "SELECT date, status, outcome, project_id, instance_id, instance_name, owner, "
            "enterprise_project_id, reason, backup_id, run_id FROM chosen "
            "WHERE control_id = ? ORDER BY date, project_id, instance_id",
            [control],
        )
    tables["reconciliation"] = _reconcile(connection, tables.pop("runs"))
    tables["attestations"] = (
        ["text", "who", "when", "link"],
        [(one.text, one.who, one.when, one.link) for one in request.attestations],
    )
    return tables


def _select(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[str] = ()
) -> Rows:
    found = connection.execute(query, list(parameters))
    return [column[0] for column in found.description or ()], found.fetchall()


def _reconcile(connection: duckdb.DuckDBPyConnection, runs: Rows) -> Rows:
    """Beside each run's count of the service's list: the rows that the lake has for its moment."""
    seen: dict[str, list[datetime]] = {}
    gone: dict[str, list[datetime]] = {}
    for project_id, first_seen_at, gone_at in connection.execute(
        "SELECT project_id, first_seen_at, gone_at FROM backups"
    ).fetchall():
        seen.setdefault(project_id, []).append(first_seen_at)
        if gone_at is not None:
            gone.setdefault(project_id, []).append(gone_at)
    for moments in (*seen.values(), *gone.values()):
        moments.sort()
    columns, rows = runs
    project, moment, count = (columns.index(n) for n in ("project_id", "as_of", "service_count"))
    counted = []
    for row in rows:
        held = bisect_right(seen.get(row[project], []), row[moment]) - bisect_right(
            gone.get(row[project], []), row[moment]
        )
        counted.append((*row, held, None if row[count] is None else held - row[count]))
    return [*columns, "lake_row_count", "difference"], counted


def _certificates(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, Rows]
) -> dict[str, bytes]:
    """Every run of the days, and every other that a result names, as JSON."""
    columns, rows = tables["reconciliation"]
    wanted = {row[columns.index("run_id")] for row in rows}
    for name, (heads, results) in tables.items():
        if name.startswith("controls/"):
            wanted |= {row[heads.index("run_id")] for row in results}
    heads, runs = _select(connection, "SELECT * FROM sync_runs ORDER BY project_id, run_id")
    files = {}
    for row in runs:
        facts = dict(zip(heads, row, strict=True))
        if facts["run_id"] in wanted:
            name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{facts['project_id']}-{facts['run_id']}")
            files[f"runs/{name}.json"] = encode_json(facts)
    return files


def request_of(facts: Mapping[str, Any]) -> PackRequest:
    """The request that a pack's own record names.

    Raises:
        ValueError, KeyError, TypeError: the record is not ours.
    """
    as_of = facts["as_of"]
    return PackRequest(
        first=date.fromisoformat(facts["from"]),
        last=date.fromisoformat(facts["to"]),
        as_of=datetime.fromisoformat(as_of).astimezone(UTC) if as_of else None,
        owner=facts["owner"],
        enterprise_project_id=facts["enterprise_project_id"],
        owners=tuple(OwnerRule(**rule) for rule in facts["owners"]),
        attestations=tuple(Attestation(**one) for one in facts["attestations"]),
        projects=tuple(map(str, facts.get("projects", ()))),  # packs of earlier versions lack it
        thresholds=tuple(sorted((str(k), float(v)) for k, v in facts["thresholds"].items())),
    )
