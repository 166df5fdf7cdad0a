"""The DuckDB file beside the lake, and the same views in memory.

In: a lake. Out: a file that any DuckDB from 1.2 on opens, with described tables and KPI views. It is
built aside in the same folder and swapped in by one rename: whoever has the old file open keeps
reading it, whoever opens the path gets the new one. The file holds absolute paths and no secret; views
answer from the lake as it is when they are asked, so a sync needs no new publish. Publish again when
a project joins, when a table of a project gets its first file, when the lake moves, or after an
upgrade; a project that is not in the file yet stands there without a certificate.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ...errors import LakeError
from ...lake.formats.open_tables import open_lake_store
from ...lake.outside import check_outside
from ...settings.owners import Attestation, OwnerRule
from ...settings.values import Place, check_switches
from ...whole_files import absolute_path, path_text, whole_file
from .catalog import asked_by, declare_views, describe_everything, fill_settings, set_now
from .relations import LakeRelations, create_relations, open_memory
from .sql_text import quoted

#: What files are written for: DuckDB 1.2.0 (February 2025) and everything later opens them.
STORAGE_VERSION = "v1.2.0"
#: Where the file keeps what only other views ask.
INNER_SCHEMA = "internal"


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What `publish_lake` wrote.

    Attributes:
        path: the DuckDB file, absolute.
        is_materialized: whether it holds the rows, or points at the lake's files.
        tables: names of the tables and views in it for people, sorted; inner ones are left out.
        backup_count: backups in the ledger, gone ones included.
        as_of: the moment the KPIs stand for, None in an empty lake.
        byte_count: size of the file in bytes.
    """

    path: Path
    is_materialized: bool
    tables: tuple[str, ...]
    backup_count: int
    as_of: datetime | None
    byte_count: int


def publish_lake(
    lake: Place,
    out: Place,
    *,
    materialize: bool = False,
    thresholds: Mapping[str, float] | None = None,
    owners: Sequence[OwnerRule] = (),
    attestations: Sequence[Attestation] = (),
    projects: Sequence[str] = (),
) -> PublishReport:
    """Write a DuckDB file with described tables and KPI views over a lake.

    Pointing at the files costs a few seconds whatever the lake's size (one count of its rows): views
    read what the manifests name when they are asked. Holding the rows reads the lake once. Before the
    file is swapped in, its rows are compared with the manifests' counts.

    Args:
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        out: the file to write or replace; its folder must exist.
        materialize: hold the rows, as is always done with a lake of format delta or iceberg, and
            with one whose path DuckDB takes for another (a backslash). Else the file of a lake in a
            bucket has ``s3://`` paths, which DuckDB reads with its extension httpfs and a secret that
            each reader creates.
        thresholds: values for columns of the table ``settings``, such as ``{"rpo_h": 12}``.
        owners: who answers for which instances, as ``load_owners`` reads them.
        attestations: what people vouch for, as ``load_attestations`` reads them.
        projects: those that should be in the lake, as ``load_project_ids`` reads them.

    Returns:
        What was written.

    Raises:
        LakeError: no lake there, a file of it is unreadable, other rows were read than the manifests
            count, or `out` cannot be written.
        ConfigError: `out` lies in a lake; an unknown threshold, or one that is no number above zero.
        MissingExtraError: views into a bucket are made with fsspec.

    Example:
        >>> publish_lake("/data/lake", "/data/backups.duckdb").backup_count  # doctest: +SKIP
        4213
    """
    check_switches(materialize=materialize)
    target = absolute_path(out)
    check_outside(target, lake)
    with whole_file(target) as aside:
        with (
            _attachable(aside) as name,
            _explained(path_text(lake, "lake"), target, made=name),
            _connection() as connection,
        ):
            connection.execute(
                f"ATTACH {quoted(name)} AS published (STORAGE_VERSION '{STORAGE_VERSION}')"
            )
            connection.execute("USE published")
            found = _create_all(
                connection,
                lake,
                thresholds,
                owners,
                attestations,
                projects,
                materialize=materialize,
                inner=INNER_SCHEMA,
                words=True,
            )
            names = connection.execute(
                "SELECT table_name FROM duckdb_tables() "
                "WHERE database_name = 'published' AND schema_name = 'main' UNION ALL "
                "SELECT view_name FROM duckdb_views() WHERE database_name = 'published' "
                "AND schema_name = 'main' AND NOT internal ORDER BY 1"
            ).fetchall()
            ((now_at,),) = connection.execute("SELECT now_at FROM v_now").fetchall()
            connection.execute("USE memory")
            connection.execute("DETACH published")
        byte_count = aside.stat().st_size
    return PublishReport(
        path=target,
        is_materialized=found.is_held,
        tables=tuple(name for (name,) in names),
        backup_count=found.backup_count,
        as_of=now_at.replace(tzinfo=UTC) if now_at else None,
        byte_count=byte_count,
    )


def connect_lake(
    lake: Place,
    *,
    materialize: bool = False,
    thresholds: Mapping[str, float] | None = None,
    owners: Sequence[OwnerRule] = (),
    attestations: Sequence[Attestation] = (),
    projects: Sequence[str] = (),
) -> duckdb.DuckDBPyConnection:
    """Open the KPI views over a lake in memory: for notebooks, the charts and the report.

    Every query reads what it needs from the lake's files. With `materialize` the lake is read
    once, now (about 400 bytes of memory per backup), and many queries are faster. Object stores
    are always held. Times are UTC without zone.

    Args:
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        materialize: hold the rows in memory.
        thresholds: values for columns of ``settings``, such as ``{"rpo_h": 12}``.
        owners: who answers for which instances, as ``load_owners`` reads them.
        attestations: what people vouch for, as ``load_attestations`` reads them.
        projects: those that should be in the lake, as ``load_project_ids`` reads them.

    Returns:
        A connection; close it when done.

    Raises:
        LakeError: no lake there, or a file of it is unreadable.
        ConfigError: an unknown threshold, or one that is no number above zero.

    Example:
        >>> connection = connect_lake("/data/lake")  # doctest: +SKIP
        >>> connection.sql("SELECT * FROM v_exceptions ORDER BY severity").df()  # doctest: +SKIP
    """
    return open_views(
        lake,
        materialize=materialize,
        thresholds=thresholds,
        owners=owners,
        attestations=attestations,
        projects=projects,
        words=True,
    )


def open_views(  # noqa: PLR0913 - what callers set, and how it is held
    lake: Place,
    *,
    materialize: bool,
    thresholds: Mapping[str, float] | None = None,
    owners: Sequence[OwnerRule] = (),
    attestations: Sequence[Attestation] = (),
    projects: Sequence[str] = (),
    only: Collection[str] | None = None,
    follow: bool = True,
    words: bool = False,
    brief: bool = False,
) -> duckdb.DuckDBPyConnection:
    """As `connect_lake`, by default without the words on columns, for who reads none of them.

    With `only` there are no other views than these and those that they ask, and rows of no other
    relation. Who asks once need not `follow` the lake. Who shows no run may have them `brief`, with
    null in what is said of them alone.
    """
    check_switches(materialize=materialize)
    connection = open_memory()
    try:
        with _explained(path_text(lake, "lake")):
            is_remote = path_text(lake, "lake").lower().startswith(("s3://", "obs://"))
            _create_all(
                connection,
                lake,
                thresholds,
                owners,
                attestations,
                projects,
                materialize=materialize or is_remote,
                only=only,
                follow=follow,
                words=words,
                brief=brief,
            )
            # a query reads a lake's files up to ten times; a changed one is noticed all the same
            connection.execute("SET parquet_metadata_cache = true")
    except BaseException:
        connection.close()
        raise
    return connection


def _create_all(  # noqa: PLR0913 - hands on what its two callers take
    connection: duckdb.DuckDBPyConnection,
    lake: Place,
    thresholds: Mapping[str, float] | None,
    owners: Sequence[OwnerRule],
    attestations: Sequence[Attestation],
    projects: Sequence[str],
    *,
    materialize: bool,
    inner: str = "main",
    only: Collection[str] | None = None,
    follow: bool = True,
    words: bool,
    brief: bool = False,
) -> LakeRelations:
    declare_views(connection, inner=inner, only=only, words=words)
    fill_settings(connection, thresholds, owners, attestations, projects)
    found = create_relations(
        connection,
        path_text(lake, "lake"),
        materialize=materialize,
        inner=inner,
        follow=follow,
        brief=brief,
        only=None if only is None else asked_by(only),
    )
    set_now(connection)
    if words:
        connection.begin()  # else each of a hundred comments is flushed to disk
        describe_everything(connection)  # the relations, which are others now
        connection.commit()
    return found


@contextmanager
def open_published(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of a published file as `open_views` gives a lake: what is made in it does not stay."""
    with (
        tempfile.TemporaryDirectory(prefix="backup-frames-") as folder,
        _connection() as connection,
    ):
        copy = shutil.copyfile(path, f"{folder}/published")
        connection.execute(f"ATTACH {quoted(copy)} AS published")
        connection.execute(f"SET search_path = 'published.main,published.{INNER_SCHEMA}'")
        yield connection


def error_text(error: Exception) -> str:
    """What DuckDB says of a fault, in one line, without its picture of the statement."""
    words = " ".join(str(error).partition("\n\nLINE ")[0].split())
    words = re.sub(r"^(?:[A-Za-z]+ )+Error: | Candidate functions: .*", "", words)
    return words if words.endswith(("?", "!")) else f"{words.rstrip('.')}."


@contextmanager
def _attachable(path: Path) -> Iterator[str]:
    """Under which name DuckDB makes the file: it reads a backslash and a question mark otherwise."""
    if not set("\\?") & set(str(path)):
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="backup-frames-") as folder:
        yield f"{folder}/published"
        shutil.copyfile(f"{folder}/published", path)


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = open_memory()
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _explained(lake: str, target: Path | None = None, *, made: str = "") -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise MemoryError(error_text(error)) from error
    except duckdb.Error as error:
        if made and made in str(error):  # not a file that is read, but the one to write
            reason = error_text(error).rpartition(": ")[2]
            raise LakeError(
                f"{target} could not be written: {reason} Check that place and its free space."
            ) from error
        open_lake_store(lake, scratch="_meta/insight/tmp").list("")  # names a folder that is closed
        raise LakeError(
            f"The lake at {lake} cannot be read: {error_text(error)} Run `backup-frames verify --lake "
            f"{lake} --repair`, which names damaged files and reads them again."
        ) from error
