"""The KPI views and the words on every table, view and column.

In: an empty connection. Out: the same with the base relations declared, `settings`, the views of the
SQL files in ``views/`` (loaded by name), and a comment everywhere. A column that its SQL file does not
describe means what its name means at its source, so it inherits those words: first the words of
`frames.schema`, then those of the first view that describes it.
"""

from __future__ import annotations

import atexit
import hashlib
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from ...errors import ConfigError
from ...frames.schema import DESCRIPTIONS, comment_of
from ...lake.storage.layout import RUNS
from ...settings.owners import Attestation, OwnerRule
from .relations import BACKUP_PROJECT, LAKE_FILES, RELATIONS, declare_relations, open_memory
from .sql_text import quoted

#: How a table or view begins that an inner view may ask.
_MAIN_NAMES: Final = (
    r"(?:v_|fact_|dim_|backup_polic|"
    r"(?:settings|owner_rule|expected_project|instances|sync_runs)\b)"
)
#: What only other views ask: a published file keeps it apart.
INNER: Final = frozenset(
    {
        *("v_backup_state", "v_backup_norm", "v_instance_ledger", "v_policy_weekday"),
        *("v_period_weekday", "v_inventory_project", "v_known_project", "v_backup_age"),
        *("v_instance_day", "v_storage_day", "v_control_grid", "v_control_judged"),
        *(BACKUP_PROJECT, LAKE_FILES),
    }
)
#: What a pattern means literally, and the engine would not: only ``*`` and ``?`` stand for others.
_LITERAL: Final = {ord("["): "[[]", ord("\\"): "[\\]"}
# What a caller sets; made whatever is asked.
_FILLED: Final = frozenset({"settings", "owner_rule", "attestation", "expected_project"})
# Where a view's undescribed columns come from; the other views are about backups.
_SOURCES = {
    "fact_sync_run": "sync_runs",
    "dim_instance": "instances",
    "v_instance": "instances",
    "v_policy": "instances",
    "v_slot": "instances",
    "v_policy_change": "backup_policy_changes",
    "v_policy_version": "backup_policies",
    "v_control": "instances",
}
# Where this process keeps the views as DuckDB has bound them, one file for each way to ask for them.
_folder: Path | None = None
# What was asked for once: who asks once need not write it down.
_asked: set[tuple[str, frozenset[str], bool]] = set()


def declare_views(
    connection: duckdb.DuckDBPyConnection,
    *,
    inner: str = "main",
    only: Collection[str] | None = None,
    words: bool = False,
) -> None:
    """Create all base relations without rows, and all views over them, in the current database.

    Views are made over declared relations: over files, making a view opens the files of each relation
    in it once more, which took three times as long. They are made once in a process, and copied into
    each connection (a few from the second time on): forty views take a quarter of a second, since
    DuckDB binds each, and words on 800 columns a third of one; a copy of what is bound takes a
    hundredth.

    Args:
        connection: where to.
        inner: the schema of what only other views ask; made if need be.
        only: no views but these and those that they ask; None for all.
        words: comment every column.
    """
    names = None if only is None else asked_by(only)
    if names is not None and (way := (inner, names, words)) not in _asked:
        _asked.add(way)
        _bind(connection, inner, names, words)
        return
    try:
        path = _bound_file(inner, names, words)
        connection.execute(f"ATTACH {quoted(str(path))} AS bound (READ_ONLY)")
    except (OSError, duckdb.Error):  # nowhere to put a file: then each time anew
        _bind(connection, inner, names, words)
        return
    ((here,),) = connection.execute("SELECT current_database()").fetchall()
    connection.execute(f"COPY FROM DATABASE bound TO {here}")
    connection.execute("DETACH bound")


def _bound_file(inner: str, names: frozenset[str] | None, words: bool) -> Path:
    """A database that holds the views; made if this process has not got it yet."""
    global _folder  # noqa: PLW0603 - one for all connections of this process
    # a forked process that ends clears the folder away
    if _folder is None or not _folder.is_dir():
        _folder = Path(tempfile.mkdtemp(prefix="backup-frames-"))
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    which = "all" if names is None else hashlib.sha256(repr(sorted(names)).encode()).hexdigest()
    path = _folder / f"{inner}-{which}-{words}.duckdb"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=_folder) as own, open_memory() as connection:
            aside = Path(own) / path.name
            _bind(connection, inner, names, words)
            connection.execute(f"ATTACH {quoted(str(aside))} AS bound")
            connection.execute("COPY FROM DATABASE memory TO bound")
            connection.execute("DETACH bound")
            aside.rename(path)
    return path


def _bind(
    connection: duckdb.DuckDBPyConnection,
    inner: str,
    only: Collection[str] | None,
    words: bool,
) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {inner}")
    declare_relations(connection, inner)
    _create_views(connection, inner, only)
    if words:
        describe_everything(connection)


def _create_views(
    connection: duckdb.DuckDBPyConnection, inner: str, only: Collection[str] | None
) -> None:
    """Create `settings`, its like and all views over them and the relations.

    Views that only other views ask go to the schema `inner`. With `only` there are no words, and no
    views but these: whoever asks one view need not wait for all.
    """
    if only is None:
        text = _sql_files()
    else:
        text = "".join(part for name, part in _makings().items() if name in {*only, *_FILLED})
    connection.execute(_over_tables(text if inner == "main" else _placed(text, inner)))


def asked_by(names: Collection[str]) -> frozenset[str]:
    """These views, tables and relations, and all that they ask in turn."""
    makings, asked = _makings(), set(names)
    for name in reversed(makings):  # what a view asks stands before it
        if name in asked:
            asked |= {*makings, *RELATIONS} & set(re.findall(r"\w+", makings[name]))
    if "settings" in asked:
        asked |= {"backups", RUNS}  # for `set_now`
    return frozenset(asked)


@cache
def _sql_files() -> str:
    folder = files("backup_frames.insight.kpi") / "views"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    text = "\n".join((folder / name).read_text(encoding="utf-8") for name in names)
    return "".join(map(_with_hints, _statements(text)))


@cache
def _makings() -> dict[str, str]:
    """The statement that makes each view, macro and table, by name."""
    found = (re.match(r"CREATE \w+ (\w+)", part) for part in _statements(_sql_files()))
    return {one[1]: re.sub(r"--.*", "", one.string) for one in found if one}


def _statements(text: str) -> list[str]:
    return re.split(r"(?m)^(?=CREATE |COMMENT )", text)


def _with_hints(statement: str) -> str:
    """The statement, with a view that says what to materialize as a text.

    DuckDB 2.0 leaves these words out of views in files that older versions open, and DuckDB before 1.4
    takes minutes to plan the controls without them. In a text they stay.
    """
    view = re.match(r"(CREATE VIEW \S+ AS)\s(.*);", statement, re.DOTALL)
    if not view or " MATERIALIZED (" not in view[2]:
        return statement
    return f"{view[1]} FROM query({quoted(view[2])});\n"


def _over_tables(text: str) -> str:
    """The statements, with each view made while empty tables stand for the views that it asks.

    DuckDB would bind those anew with each view over them, which took more than twice as long.
    """
    made, renamed, words = [], [], []
    for part in _statements(text):
        if part.startswith("COMMENT"):
            words.append(part)
            continue
        made.append(part)
        if view := re.match(r"CREATE VIEW (\w+[.])?(\w+)", part):
            schema, name = view[1] or "", view[2]
            aside = f"made_{name}"
            made.append(f"ALTER VIEW {schema}{name} RENAME TO {aside};\n")
            made.append(f"CREATE TABLE {schema}{name} AS FROM {schema}{aside} LIMIT 0;\n")
            renamed.append(f"DROP TABLE {schema}{name};\n")
            renamed.append(f"ALTER VIEW {schema}{aside} RENAME TO {name};\n")
    return "".join((*made, *renamed, *words))


def fill_settings(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Mapping[str, float] | None = None,
    owners: Sequence[OwnerRule] = (),
    attestations: Sequence[Attestation] = (),
    projects: Sequence[str] = (),
) -> None:
    """Put what a caller sets into `settings`, `owner_rule`, `attestation` and `expected_project`.

    Raises:
        ConfigError: a threshold that `settings` does not know, or that is no number above zero.
    """
    known = [row[0] for row in connection.execute("DESCRIBE settings").fetchall()]
    for name, value in (thresholds or {}).items():
        if name not in known:
            raise ConfigError(f"There is no threshold {name!r}. There are: {', '.join(known)}.")
        if not 0 < value < float("inf"):
            raise ConfigError(f"The threshold {name} is {value!r}. Give a number above zero.")
        connection.execute(f"UPDATE settings SET {name} = ?", [value])  # noqa: S608 - a known name
    for place, rule in enumerate(owners, 1):
        pattern = rule.instance_name and rule.instance_name.translate(_LITERAL)
        row = [place, rule.owner, rule.enterprise_project_id, pattern]
        connection.execute("INSERT INTO owner_rule VALUES (?, ?, ?, ?)", row)
    for place, one in enumerate(attestations, 1):
        connection.execute(
            "INSERT INTO attestation VALUES (?, ?, ?, ?, ?)",
            [place, one.text, one.who, one.when, one.link],
        )
    for project_id in projects:
        connection.execute("INSERT INTO expected_project VALUES (?)", [project_id])


def set_now(connection: duckdb.DuckDBPyConnection) -> None:
    """Put into `settings` what stands for the now of a lake that no sync has written into."""
    if connection.execute("FROM sync_runs LIMIT 1").fetchall():
        return  # a condition in the statement would open the files of all backups first
    connection.execute(
        "UPDATE settings SET now_without_runs = ("
        "SELECT max(coalesce(greatest(updated_at, gone_at), greatest(begin_time, end_time))) "
        "FROM backups)"
    )


def _placed(text: str, inner: str) -> str:
    """The SQL with each inner name in its schema; inside an inner view all others are of main.

    A view finds what stands beside it without a schema, and nothing else, in whichever database its
    file is attached as.
    """
    statements = text.split("CREATE VIEW ")
    for place, statement in enumerate(statements):
        if place and statement.split(maxsplit=1)[0] in INNER:
            body, comment, rest = statement.partition("COMMENT ON")
            body = re.sub(rf"\b(FROM|JOIN) (?={_MAIN_NAMES})", r"\1 main.", body)
            statements[place] = body + comment + rest
    placed = "CREATE VIEW ".join(statements)
    names = "|".join(sorted(INNER))
    return re.sub(rf"(?:main[.])?\b({names})\b", rf"{inner}.\1", placed)


def describe_everything(connection: duckdb.DuckDBPyConnection) -> None:
    """Comment the base relations, and each column that has no comment of its own yet."""
    comments = []
    for name, schema in RELATIONS.items():
        kind = _kind(connection, name)
        comments.append(f"COMMENT ON {kind} {name} IS {quoted(DESCRIPTIONS[name])}")
        comments += (_comment(name, field.name, _words(name, field.name)) for field in schema)
    connection.execute("; ".join(comments))
    rows = connection.execute(
        "SELECT schema_name || '.' || table_name, column_name, comment FROM duckdb_columns() "
        "WHERE NOT internal AND database_name = current_database() ORDER BY table_oid, column_index"
    ).fetchall()
    spoken: dict[str, str] = {}
    for _, column, comment in rows:
        if comment:
            spoken.setdefault(column, comment)
    comments = []
    for table, column, comment in rows:
        if comment is None:
            name = table.partition(".")[2]
            first = next((_SOURCES[start] for start in _SOURCES if name.startswith(start)), "")
            words = _words(first, column) or _words(*RELATIONS, column) or spoken.get(column)
            if words:
                comments.append(_comment(table, column, words))
    connection.execute("; ".join(comments))


def _words(*names: str) -> str:
    """What the schemas say of a column (the last name), looked for in the tables before it."""
    *tables, column = names
    for table in tables:
        if table in RELATIONS and column in RELATIONS[table].names:
            return comment_of(RELATIONS[table].field(column))
    return ""


def _kind(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    query = (
        "SELECT count(*) FROM duckdb_views() "
        "WHERE view_name = ? AND database_name = current_database()"
    )
    rows = connection.execute(query, [name]).fetchall()
    return "VIEW" if rows[0][0] else "TABLE"


def _comment(table: str, column: str, words: str) -> str:
    return f"COMMENT ON COLUMN {table}.{column} IS {quoted(words)}"
