"""The lake's tables as relations of a DuckDB connection, typed and described, present or not.

In: a lake URL. Out: `backups`, `backup_databases`, `backup_tables`, `sync_runs`, `instances` and
`backup_policies`, as views over the lake's Parquet by absolute or ``s3://`` path, or as tables that
hold the rows; and `lake_files`, which names the files that are the lake's. A table that has no file
yet is an empty relation with the right types, so that every KPI view works on every lake. Delta Lake
and Iceberg can only be held: DuckDB's own readers of them are extensions that it would have to fetch.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from ...errors import LakeError
from ...frames.schema import BACKUPS, TABLES, with_ledger
from ...lake.formats.open_tables import open_lake_store
from ...lake.named_files import NamedFiles, find_named_files, rows_by_record
from ...lake.storage.layout import RUNS, TABLE_NAMES, parse_key
from ...lake.storage.store import Store
from ...lake.storage.urls import is_folder, local_root, scheme_of
from .sql_text import (
    columns_of,
    escaped,
    is_of_small_files,
    no_rows,
    patterns_of,
    quoted,
    read_now,
    rows_of_files,
)

#: Every base relation with its columns as they stand in a lake.
RELATIONS: dict[str, pa.Schema] = {**TABLES, "backups": with_ledger(BACKUPS)}

#: What views ask of runs; each further column costs, of thousands of files, a tenth of a second.
_RUN_FACTS = ("run_id", "project_id", "endpoint", "as_of", "verdict", "present_count")
_TRIES = 5  # as often may a sync change the lake while its rows are counted

LAKE_FILES = "lake_files"
#: The view of the projects that have backups, where nothing else tells them.
BACKUP_PROJECT = "v_backup_project"
_LAKE_FILES_WORDS = {
    "project_id": "Project whose manifest names the file.",
    "file_key": "Where the file is below the lake.",
}


def open_memory() -> duckdb.DuckDBPyConnection:
    """A database in memory, in UTC as our times are; it never draws a bar, as DuckDB does by itself."""
    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    ((is_on,),) = connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()
    if is_on:  # setting it asks for ipywidgets in a notebook, whatever the value
        connection.execute("SET enable_progress_bar = false")
    return connection


def _find_root(lake: str) -> Path | None:
    """The lake's folder, absolute; None if the lake lives in an object store.

    Raises:
        ConfigError: no folder can have that name.
        LakeError: the folder does not exist, or may not be entered.
    """
    if scheme_of(lake) in ("s3", "obs"):
        return None
    root = local_root(lake)
    if not is_folder(root):
        raise LakeError(
            f"There is no lake at {root}. Run `backup-frames sync --lake {lake}` first."
        )
    if ".." in root.parts:  # DuckDB shortens these in the names of files that it finds, links or no
        root = Path(os.path.realpath(root))
    return root


@dataclass(frozen=True, slots=True)
class LakeRelations:
    """What `create_relations` made: whether the rows are held, and how many backups there are."""

    is_held: bool
    backup_count: int


def declare_relations(connection: duckdb.DuckDBPyConnection, inner: str = "main") -> None:
    """Create all base relations without rows; `create_relations` puts the lake's in their place."""
    _create_lake_files(connection, None, NamedFiles(), inner)
    for name, schema in RELATIONS.items():
        connection.execute(f"CREATE TABLE {name} AS {no_rows(schema)}")


def create_relations(
    connection: duckdb.DuckDBPyConnection,
    lake: str,
    *,
    materialize: bool,
    inner: str = "main",
    follow: bool = True,
    brief: bool = False,
    only: Collection[str] | None = None,
) -> LakeRelations:
    """Create the base relations in the connection's current database, in place of declared ones.

    Only files that a manifest names are in them, in views at every query anew; unless they follow
    the lake, as it is now.

    Args:
        connection: where to.
        lake: a local path, ``file://``, ``s3://`` or ``obs://``.
        materialize: hold the rows (one read of the whole lake) instead of pointing at files.
        inner: schema for what only views ask.
        follow: views read the manifests with each use, up to twenty times in a query, so that they
            show later syncs.
        brief: of runs that are held, only what other views ask may be there; null is the rest.
        only: leave other relations than these as they are, without rows; None for all.

    Returns:
        How many backups there are, and whether the rows are held: as asked, and always of a lake of
        format delta or iceberg, which DuckDB reads only with extensions that it would have to fetch,
        and of one whose path it takes for another (a backslash; in a bucket also ``?``, ``#`` and
        ``%``).

    Raises:
        LakeError: no such lake, an unreadable file, or fewer or more rows than the manifests say.
        MissingExtraError: views into a bucket are made with fsspec.
    """
    root = _find_root(lake)
    store = open_lake_store(lake, scratch="_meta/insight/tmp")
    is_plain = store.format == "parquet"
    place = str(root)
    if root is None and is_plain and not materialize:
        from .bucket import attach_bucket  # noqa: PLC0415 - needs an extra

        place = attach_bucket(connection, lake, store)
    is_clear = not set(place) & set("\\" if root else "\\?#%")
    by_arrow = not is_plain or not is_clear or (root is None and materialize)
    is_held = materialize or by_arrow
    names = [name for name in RELATIONS if only is None or name in only]
    for name in (*names, f"{inner}.{LAKE_FILES}"):
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    for _ in range(_TRIES):
        files = find_named_files(store)
        _refuse_links(root, files)
        _create_lake_files(connection, place if follow and not is_held else None, files, inner)
        for name in names:
            if by_arrow:
                _hold_files(connection, store, name, files)
                continue
            wanted = _RUN_FACTS if brief and name == RUNS else ()
            _point_at(connection, place, name, files, inner, wanted, is_held=is_held, follow=follow)
        if not is_held and "backups" in names:
            _name_projects(connection, files, inner)
        counts = _row_counts(connection, names)
        wrong = _wrong_counts(counts, files)
        if not wrong:
            return LakeRelations(is_held, counts.get("backups", 0))
        if files == find_named_files(store):
            break
    store.list("")  # a folder that this user may not enter looks empty: it is named
    raise LakeError(
        f"The lake at {lake} was not read whole: {wrong}. Run `backup-frames verify --lake {lake}`."
    )


def _refuse_links(root: Path | None, files: NamedFiles) -> None:
    """What no other reader of the lake follows, DuckDB would."""
    for key in files.entries if root else ():
        if os.path.islink(f"{root}/{key}"):  # noqa: PTH114 - four times as fast
            raise LakeError(
                f"{root}/{key} is a link, and nothing inside a lake may be one. Put the file itself "
                "there, or run `backup-frames verify --repair` after moving it away.",
                path=key,
            )


def _row_counts(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, int]:
    counts = ", ".join(["0", *(f"(SELECT count(*) FROM {name})" for name in names)])  # noqa: S608 - our names
    return dict(zip(names, connection.execute(f"SELECT {counts}").fetchall()[0][1:], strict=True))


def _wrong_counts(counts: Mapping[str, int], files: NamedFiles) -> str:
    """Which tables have other rows than the manifests say, in words; empty if none."""
    wrong = []
    for name, count in counts.items():
        range_ = files.row_range(name)
        if range_ is not None and not range_[0] <= count <= range_[1]:
            wrong.append(f"{name} has {count:,} rows, and {range_[1]:,} by the manifests")
    return "; ".join(wrong)


def _create_lake_files(
    connection: duckdb.DuckDBPyConnection, place: str | None, files: NamedFiles, inner: str
) -> None:
    """The view that reads the manifests, or the table that holds what they said."""
    kind, words = "VIEW", "as its manifests name them now"
    if place is not None and files.projects != files.without_manifest:
        tables = "|".join(RELATIONS)
        pattern = (
            f"'\"((?:{tables})/(?:date=[0-9-]+/)?' || project_id || '(?:-[0-9TZ-]+)?[.]parquet)\":'"
        )
        manifests = quoted(f"{escaped(place)}/_meta/*/manifest.json")
        source = (
            f"SELECT project_id, unnest(regexp_extract_all(content, {pattern}, 1)) AS file_key FROM ("  # noqa: S608 - quoted
            r"SELECT regexp_extract(filename, '([^/]+)/manifest[.]json$', 1) AS project_id, content "
            f"FROM read_text({manifests}))"
        )
    else:
        kind, words = "TABLE", "as its manifests named them when this was published"
        source = "SELECT ''::VARCHAR AS project_id, ''::VARCHAR AS file_key WHERE false"
    connection.execute(f"CREATE OR REPLACE {kind} {inner}.{LAKE_FILES} AS {source}")
    if kind == "TABLE" and files.entries:
        projects = [(key, parts.project_id) for key in files.entries if (parts := parse_key(key))]
        keys, owners = ([pair[n] for pair in projects] for n in (0, 1))
        # not as an Arrow table: DuckDB would load pandas to see that it is none of its
        connection.execute(
            f"INSERT INTO {inner}.{LAKE_FILES} SELECT unnest(?), unnest(?)",
            [owners, keys],
        )
    comment = quoted(
        f"One row per file that is the lake's, {words}; key file_key. Others are not read."
    )
    connection.execute(f"COMMENT ON {kind} {inner}.{LAKE_FILES} IS {comment}")
    for column, text in _LAKE_FILES_WORDS.items():
        connection.execute(f"COMMENT ON COLUMN {inner}.{LAKE_FILES}.{column} IS {quoted(text)}")


def _name_projects(connection: duckdb.DuckDBPyConnection, files: NamedFiles, inner: str) -> None:
    """Tell who has backups without a look into all files: `lake_files` does, or the files' names."""
    found = {parts.project_id for parts in map(parse_key, files.of_table("backups")) if parts}
    names = ", ".join(map(quoted, sorted(files.without_manifest.intersection(found))))
    view, words = f"{inner}.{BACKUP_PROJECT}", "The projects that have a backup and no manifest."
    connection.execute(
        f"CREATE OR REPLACE VIEW {view} AS SELECT unnest([{names}]::VARCHAR[]) AS project_id; "
        f"COMMENT ON VIEW {view} IS {quoted(words)}"
    )


def _point_at(
    connection: duckdb.DuckDBPyConnection,
    place: str,
    name: str,
    files: NamedFiles,
    inner: str,
    wanted: Sequence[str],
    *,
    is_held: bool,
    follow: bool,
) -> None:
    """Create a relation over the table's files, or from them; what is small is held for one query."""
    is_small = name not in TABLE_NAMES
    counts = files.row_range(name)
    is_of_small = is_of_small_files(len(files.of_table(name)), counts and counts[1])
    is_table = is_held or (not follow and is_small)
    kind, schema, keys = "TABLE" if is_table else "VIEW", RELATIONS[name], files.of_table(name)
    if is_table:  # two thirds of a lake's files may be without rows
        keys = [key for key in keys if not files.is_empty(key)]
    paths = [f"{escaped(place)}/{key}" for key in keys]
    if not keys:
        source = no_rows(schema)
    elif is_table and (is_small or is_of_small):
        source = read_now(connection, paths, schema, wanted)
    elif is_held or not follow:
        source = rows_of_files(connection, paths, schema)
    elif name == RUNS:
        source = _later_runs(connection, paths, place, files, inner)
    else:
        some = paths if is_small else patterns_of(place, keys)
        rows = rows_of_files(connection, some, schema, is_evolving=is_small)
        source = f"{rows} WHERE {_is_named(place, files, inner)}"
    connection.execute(f"CREATE OR REPLACE {kind} {name} AS {source}")
    connection.execute("DETACH DATABASE IF EXISTS just_read")


def _is_named(place: str, files: NamedFiles, inner: str) -> str:
    """SQL: the file is the lake's."""
    named = f"filename IN (SELECT {quoted(place)} || '/' || file_key FROM {inner}.{LAKE_FILES})"  # noqa: S608 - quoted
    lost = "|".join(sorted(files.without_manifest))
    # DuckDB opens no file that a constant rules out; every file of such a project bears its name.
    return (
        f"({named} OR regexp_matches(filename, '/({lost})(-[^/]*)?[.]parquet$'))" if lost else named
    )


def _later_runs(
    connection: duckdb.DuckDBPyConnection,
    paths: Sequence[str],
    place: str,
    files: NamedFiles,
    inner: str,
) -> str:
    """Hold the runs that there are, and read only later files with each query.

    Every view asks for the last run; hourly runs leave 8,760 small files a year.
    """
    source = read_now(connection, paths, RELATIONS[RUNS])
    connection.execute(f"CREATE OR REPLACE TABLE {inner}.sync_runs_held AS {source}")
    connection.execute(
        f"COMMENT ON TABLE {inner}.sync_runs_held IS 'The runs that there were when this was published; "
        "sync_runs adds the later ones from the lake.'"
    )
    keys = files.of_table(RUNS)
    days = sorted(key.rpartition("/")[0] for key in keys)
    newest = f"{escaped(place)}/{max(keys, key=lambda key: key.rpartition('-')[2])}"
    later = rows_of_files(
        connection, [newest, *patterns_of(place, keys)], RELATIONS[RUNS]
    )  # newest: twice
    # No held file is opened again: one of an earlier version may lack a column.
    held = ", ".join(quoted(f"{place}/{key}") for key in keys if key.startswith(f"{days[-1]}/"))
    return (
        f"FROM {inner}.sync_runs_held UNION ALL SELECT * FROM ({later} "  # noqa: S608 - quoted paths
        f"WHERE filename >= {quoted(f'{place}/{days[-1]}')} AND filename NOT IN ({held}) "
        f"AND {_is_named(place, files, inner)}) AS later "
        f"ANTI JOIN {inner}.sync_runs_held AS held "
        "ON held.project_id = later.project_id AND held.run_id = later.run_id"
    )


def _hold_files(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    name: str,
    files: NamedFiles,
) -> None:
    connection.execute(f"CREATE OR REPLACE TABLE {name} AS {no_rows(RELATIONS[name])}")
    for key in files.of_table(name):
        data = store.read(key)
        if data is None:
            continue  # the count of rows will tell
        known = files.entries[key] if store.format == "parquet" else ()
        try:
            table = store.decode(key, data, rows=rows_by_record(known, data))
        except LakeError as error:
            raise LakeError(f"{key} of {store.url}: {error}", path=key) from error
        insert_arrow(connection, name, table)


def insert_arrow(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Append Arrow rows to a base relation that is a table; columns it lacks become null."""
    columns = columns_of(RELATIONS[name], table.column_names)
    connection.register("_incoming", table)
    connection.execute(f"INSERT INTO {name} SELECT {columns} FROM _incoming")  # noqa: S608 - our columns
    connection.unregister("_incoming")
