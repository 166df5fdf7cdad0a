"""What users hold: a set of backups as pandas DataFrames, Arrow tables, records, or files.

In: the three Arrow tables of `flatten`, each backup once, and the certificate of the read. Out:
`BackupFrames`. Importing this loads no pandas; the first conversion does. `BackupFrames.write` is
the only place of this room that touches a disk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ..api.query import check_project_id
from ..errors import ConfigError, LakeError
from ..facts import Facts
from ..lake_folder import refuse_lakes
from ..whole_files import expand_home, path_text, write_whole
from .exports import encode_workbook, join_frames
from .flatten import ArrowFrames
from .partitions import encode_table, partition_path, split_by_date
from .records import rebuild_records
from .schema import FRAME_TABLES

if TYPE_CHECKING:
    import pandas as pd

    from ..scan.certificate import Certificate
    from ..scan.plan import CoveredSpan


@dataclass(frozen=True)
class Part:
    """One piece of a streamed read: the rows of these spans, all of them and no others."""

    frames: ArrowFrames
    covered: tuple[CoveredSpan, ...]


class BackupFrames(Facts):
    """Backups of one project as three tables, with the certificate of the read that brought them.

    ``backups`` has one row per backup, sorted by (begin_time, backup_id), oldest first and rows
    without begin time last; ``databases`` one per entry of its ``database_tables``; ``tables`` one
    per table name. Empty tables, fully typed, if there are no backups.

    Attributes:
        arrow: the pyarrow.Tables, with descriptions and units in their field metadata.
        certificate: what the read can prove; None if the frames came another way.
    """

    def __init__(self, arrow: ArrowFrames, certificate: Certificate | None = None) -> None:
        if not isinstance(arrow, ArrowFrames):
            kind = type(arrow).__name__
            raise ConfigError(f"BackupFrames are made by read_backups(), not of type {kind}.")
        self.arrow = arrow
        self.certificate = certificate

    @cached_property
    def backups(self) -> pd.DataFrame:
        """One row per backup; key (project_id, backup_id).

        Times are tz-aware UTC (datetime64[us, UTC], NaT if absent), ``begin_date`` is the UTC day as
        datetime64 without zone, ``database_count`` is Int32 with <NA>, ``size_kb`` is in KB.
        Converted once, on first use; change a copy.
        """
        return _to_pandas(self.arrow.backups)

    @cached_property
    def databases(self) -> pd.DataFrame:
        """One row per entry of ``database_tables``; key (project_id, backup_id, database_index)."""
        return _to_pandas(self.arrow.databases)

    @cached_property
    def tables(self) -> pd.DataFrame:
        """One row per table name; key (project_id, backup_id, database_index, table_index)."""
        return _to_pandas(self.arrow.tables)

    def records(self) -> list[dict[str, Any]]:
        """The API's records rebuilt, in the order of ``backups``.

        Every known field is present, None if it was null or absent; unknown fields come back as
        sent, times in the very text that was sent. ``datastore: {}`` comes back as None, a null
        entry of ``database_tables`` as one without name and tables. Cost: 6 s per million.

        Raises:
            ValueError: the three tables do not belong together.
        """
        return rebuild_records(self.arrow)

    def joined(self) -> pd.DataFrame:
        """One flat table: a row per table name, per database without, per backup without either.

        All columns of ``backups``, then those of ``databases`` and ``tables`` that say more, then
        ``size_gib`` and ``duration_s``. Sizes stand in every row of a backup: sum distinct ones.
        """
        return _to_pandas(join_frames(self.arrow))

    def to_excel(self, path: str | os.PathLike[str]) -> None:
        """Write a workbook: the three tables, a sheet each, and the certificate.

        Times are UTC without zone, since Excel knows none; texts are never formulas. Takes about a
        minute and 1 GB for a full sheet (1,048,575 rows).

        Raises:
            MissingExtraError: run ``pip install 'backup-frames[excel]'``.
            QueryError: a table has more rows than a sheet holds; nothing was written.
            ConfigError: the path is none that a file can be written to, or lies in a lake.
            LakeError: the disk refused.
        """
        refuse_lakes(expand_home(path))
        facts = self.certificate.to_dict() if self.certificate else {"verdict": "no certificate"}
        facts.pop("ranges", None)
        certificate = pa.table(
            {"fact": list(facts), "value": [None if v is None else str(v) for v in facts.values()]}
        )
        names = (*FRAME_TABLES, "certificate")
        sheets = dict(zip(names, (*self.arrow, certificate), strict=True))
        data = encode_workbook(sheets)
        write_whole(expand_home(path), data)

    def write(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write Parquet partitions by day, in the layout of a lake, without its ledger columns.

        ``<path>/backups/date=2026-01-31/<project_id>.parquet`` and likewise ``backup_databases``
        and ``backup_tables``: three files for each UTC day that has backups (rows without begin
        time: 1970-01-01), each replaced whole by one rename; other days stay as they are. Read it
        back with ``pandas.read_parquet(f"{path}/backups")``; DuckDB, polars and pyarrow likewise.

        Returns:
            The files written; none if there are no backups.

        Raises:
            ConfigError: `path` is empty, a file, a lake or inside one: a sync keeps a lake, and rows
                without its ledger columns would cost its history.
            QueryError: the project id could not be part of a path; nothing was written.
            LakeError: the disk refused (files written before stay, each whole), or the folder
                holds a lake of format delta or iceberg.
        """
        given = path_text(path, "path")
        root = expand_home(given)
        if not given or (os.path.exists(root) and not os.path.isdir(root)):  # noqa: PTH110, PTH112 - Path's raise
            raise ConfigError(f"{given!r} is no folder to write into. Give one.")
        refuse_lakes(root)
        for mark, kind in (("_delta_log", "delta"), ("metadata", "iceberg")):
            if os.path.exists(root / FRAME_TABLES[0] / mark):  # noqa: PTH110 - likewise
                raise LakeError(
                    f"{root} is a lake of format {kind}, whose tables plain files would not be part "
                    "of. Write into another folder."
                )
        projects = pc.unique(self.arrow.backups["project_id"]).to_pylist()
        for project_id in projects:
            check_project_id(project_id)
        return [
            file for project_id in projects for file in _write_project(self.arrow, root, project_id)
        ]

    def __len__(self) -> int:
        """Number of backups."""
        return int(self.arrow.backups.num_rows)

    def __repr__(self) -> str:
        return f"BackupFrames({', '.join(words for _, words in self.facts())})"

    __str__ = __repr__

    def __reduce__(self) -> tuple[type[BackupFrames], tuple[ArrowFrames, Certificate | None]]:
        """Pickle the Arrow tables, not the DataFrames made of them."""
        return BackupFrames, (self.arrow, self.certificate)

    def facts(self) -> list[tuple[str, str]]:
        """What its representations say, heading by heading."""
        span = pc.min_max(self.arrow.backups["begin_date"])
        first, last = span["min"].as_py(), span["max"].as_py()
        verdict = "no certificate"
        if self.certificate is not None:
            reasons = "; ".join(self.certificate.reasons[:3])
            verdict = self.certificate.verdict + (f": {reasons}" if reasons else "")
        return [
            ("backups", f"{self.arrow.backups.num_rows:,} backups"),
            ("databases", f"{self.arrow.databases.num_rows:,} databases"),
            ("tables", f"{self.arrow.tables.num_rows:,} tables"),
            ("days (UTC)", f"{first} to {last}" if first else "no days"),
            ("verdict", verdict),
        ]


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    """A DataFrame of pandas' default types; days can be resampled and compared like times."""
    frame: pd.DataFrame = table.to_pandas(date_as_object=False)
    return frame


def _write_project(frames: ArrowFrames, root: Path, project_id: str) -> list[Path]:
    if pc.count_distinct(frames.backups["project_id"]).as_py() > 1:
        frames = ArrowFrames(*(one.filter(pc.field("project_id") == project_id) for one in frames))
    written = []
    for day, part in split_by_date(frames).items():
        for name, table in zip(FRAME_TABLES, part, strict=True):
            file = root / partition_path(name, day, project_id)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(file, encode_table(table))
            except (OSError, LakeError) as error:
                raise LakeError(
                    f"{file} could not be written: {error}. Free space or choose another folder, "
                    "then write again.",
                    path=str(file.relative_to(root)),
                ) from error
            written.append(file)
    return written
