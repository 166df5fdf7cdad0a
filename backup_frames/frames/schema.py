"""The tables: every column with its type, unit and description, written here and nowhere else.

In: nothing. Out: Arrow schemas, their keys, and the lake's ledger columns. The words travel in
field metadata (``description``, ``unit``) into Parquet, and from there into DuckDB comments, Delta
comments and the data dictionary. Text is plain UTF-8 string: Parquet dictionary-encodes it in the
files anyway, and pandas, polars and DuckDB users get ordinary text (measured: 290 bytes per backup
in memory, 170 if the eight low-cardinality columns were dictionaries).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import pyarrow as pa

from .record import fields
from .record.columns import COUNT, TOTAL
from .record.columns import make_field as _field
from .record.columns import make_schema as _schema
from .record.fields import FIELDS, TEXT

TIMESTAMP = fields.TIMESTAMP

_PROJECT_ID = _field("project_id", TEXT, "Project that the backup belongs to, as asked for.")
_BEGIN_DATE = _field(
    "begin_date", pa.date32(), "UTC day of begin_time; null if the backup has no begin time."
)
_DATABASE_INDEX = _field(
    "database_index", COUNT, "Position of the entry in database_tables.", "position from 0"
)
_DATABASE_NAME = _field("database_name", TEXT, "Database (keyspace) name.")
_EXTRA = _field(
    "extra",
    TEXT,
    "Fields this version does not know, and values that their column cannot carry as sent (a time "
    "in another notation, a wrong type), as JSON by API name; null if there are none.",
    "JSON",
)

_OWN = {one.column: _field(one.column, one.type, one.description, one.unit) for one in FIELDS}
_BACKUP_ID = _OWN["backup_id"]
_LATER = [one.column for one in FIELDS if one.is_later]


def _backup_columns() -> list[pa.Field]:
    """The record's own fields, and after its type the level, which the query told and not the record."""
    columns = [_OWN[one.column] for one in FIELDS if not one.is_later]
    level = _field(
        "backup_level",
        TEXT,
        "Query that listed it (API parameter type): Instance, DatabaseTable.",
    )
    columns.insert(columns.index(_OWN["backup_type"]) + 1, level)
    return columns


BACKUPS = _schema(
    "One row per backup that the service listed.",
    ("project_id", "backup_id"),
    _PROJECT_ID,
    *_backup_columns(),
    _BEGIN_DATE,
    _field(
        "database_count",
        COUNT,
        "Entries of database_tables; null if it was null or absent, 0 if it was [].",
    ),
    _EXTRA,
    *(_OWN[name] for name in _LATER),
)

BACKUP_DATABASES = _schema(
    "One row per entry of a backup's database_tables.",
    ("project_id", "backup_id", "database_index"),
    _PROJECT_ID,
    _BACKUP_ID,
    _BEGIN_DATE,
    _DATABASE_INDEX,
    _DATABASE_NAME,
    _field(
        "table_count",
        COUNT,
        "Entries of table_names; null if it was null (the whole database), 0 if it was [].",
    ),
    _field(
        "is_whole_database",
        pa.bool_(),
        "Whether table_names was null: all tables. Null if they cannot be read.",
    ),
)

BACKUP_TABLES = _schema(
    "One row per table name of an entry of a backup's database_tables.",
    ("project_id", "backup_id", "database_index", "table_index"),
    _PROJECT_ID,
    _BACKUP_ID,
    _BEGIN_DATE,
    _DATABASE_INDEX,
    _DATABASE_NAME,
    _field("table_index", COUNT, "Position of the name in table_names.", "position from 0"),
    _field("table_name", TEXT, "Table name."),
)

LEDGER_FIELDS: tuple[pa.Field, ...] = (
    _field("first_seen_at", TIMESTAMP, "When a sync first saw this row."),
    _field("updated_at", TIMESTAMP, "When this version of the row was first observed."),
    _field(
        "gone_at", TIMESTAMP, "First certified absence from the service; null while it is present."
    ),
)


#: Columns that files of earlier versions lack; read from such a file they are null.
LATER_COLUMNS = frozenset({"api_version", "caller", "incremental_period_min", "service", *_LATER})


def with_later_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table that an earlier version may have written, with null in the columns it lacks."""
    if table.schema.equals(schema):
        return table
    names = table.column_names
    missing = [one for one in schema if one.name not in names]
    for one in missing:
        table = table.append_column(one, pa.nulls(table.num_rows, one.type))
    return table.select(schema.names) if missing else table


def with_ledger(schema: pa.Schema) -> pa.Schema:
    """The schema of a table in a lake: its own columns, `LEDGER_FIELDS`, and what came later.

    Last are later columns, since the columns of an Iceberg table are told apart by their numbers.
    """
    later = [one for one in schema if one.name in LATER_COLUMNS]
    first = [one for one in schema if one.name not in LATER_COLUMNS]
    return pa.schema([*first, *LEDGER_FIELDS, *later], metadata=schema.metadata)


#: The lake's tables in partitions, children first: the order in which they are written.
LEDGER_SCHEMAS: Mapping[str, pa.Schema] = MappingProxyType(
    {
        "backup_databases": BACKUP_DATABASES,
        "backup_tables": BACKUP_TABLES,
        "backups": with_ledger(BACKUPS),
    }
)

SYNC_RUNS = _schema(
    "One row per sync of a project: its certificate, flat, and what it changed.",
    ("project_id", "run_id"),
    _field("run_id", TEXT, "ID of the run, sortable by its start."),
    _field("project_id", TEXT, "Project that was synced."),
    _field("endpoint", TEXT, "Service endpoint that was asked."),
    _field("started_at", TIMESTAMP, "When the run started."),
    _field("finished_at", TIMESTAMP, "When the run ended."),
    _field("as_of", TIMESTAMP, "The moment the rows stand for: before the first request."),
    _field("duration_s", pa.float64(), "How long the run took.", "seconds"),
    _field("is_full", pa.bool_(), "Whether everything was read again."),
    _field("verdict", TEXT, "complete, or incomplete."),
    _field("reasons", TEXT, "Why it is incomplete, one reason per line; empty if complete."),
    _field(
        "is_guarded", pa.bool_(), "Whether the deletion guard kept rows from being marked gone."
    ),
    _field("levels", TEXT, "Levels that were asked, joined by commas."),
    _field("request_count", TOTAL, "Requests sent."),
    _field("retry_count", TOTAL, "Requests that repeated a failed one."),
    _field("throttle_count", TOTAL, "Answers that said: too many requests."),
    _field("range_count", TOTAL, "Time ranges that were read."),
    _field("row_count", TOTAL, "Backups that were read."),
    _field("duplicate_count", TOTAL, "Rows that arrived more than once and were dropped."),
    _field("present_count", TOTAL, "Backups present in the lake after the run."),
    _field("new_count", TOTAL, "Backups seen for the first time."),
    _field("changed_count", TOTAL, "Backups whose row changed."),
    _field("gone_count", TOTAL, "Backups that were marked gone."),
    _field("file_count", TOTAL, "Files that were written."),
    _field("byte_count", TOTAL, "Size of the files that were written.", "bytes"),
    _field("oldest_verified_at", TIMESTAMP, "Oldest verification among all days of the lake."),
    _field("error", TEXT, "What ended the run; null if nothing did."),
    _field("tool_version", TEXT, "Version of backup-frames."),
    _field("caller", TEXT, "Who asked: kind of credential and a fingerprint; never a secret."),
    _field("service", TEXT, "Service whose backups are listed, such as geminidb."),
    _field("api_version", TEXT, "API version that was asked, such as v3.1."),
)

INSTANCES = _schema(
    "One row per instance, as last listed.",
    ("project_id", "instance_id"),
    _field("project_id", TEXT, "Project that the instance belongs to."),
    _field("instance_id", TEXT, "Instance ID (API: id)."),
    _field("instance_name", TEXT, "Instance name (API: name)."),
    _field("status", TEXT, "State as sent, such as normal or abnormal."),
    _field("mode", TEXT, "Instance mode as sent, such as Cluster."),
    _field("region", TEXT, "Region of the instance."),
    _field("datastore_type", TEXT, "Database engine (API: datastore.type)."),
    _field("datastore_version", TEXT, "Engine version (API: datastore.version)."),
    _field("created_at", TIMESTAMP, "When the instance was created (API: created)."),
    _field("volume_size_gb", pa.float64(), "Storage of all groups together.", "GB"),
    _field("volume_used_gb", pa.float64(), "Storage in use in all groups together.", "GB"),
    _field("node_count", COUNT, "Nodes in all groups."),
    _field("pay_mode", TEXT, "Billing mode as sent: 0 pay per use, 1 yearly or monthly."),
    _field("enterprise_project_id", TEXT, "Enterprise project of the instance."),
    _field("time_zone", TEXT, "Time zone of the instance, as sent."),
    _EXTRA,
    *LEDGER_FIELDS,
)

BACKUP_POLICIES = _schema(
    "One row per instance: its policy for automated backups, as last read.",
    ("project_id", "instance_id"),
    _field("project_id", TEXT, "Project that the instance belongs to."),
    _field("instance_id", TEXT, "Instance that the policy is for."),
    _field("is_enabled", pa.bool_(), "Whether automated backups are on."),
    _field("keep_days", COUNT, "Retention of automated backups.", "days"),
    _field("start_time", TEXT, "Backup window as sent, such as 19:00-20:00.", "UTC time of day"),
    _field("window_start", TEXT, "Start of the backup window.", "UTC time of day"),
    _field("period", TEXT, "Days of the week as sent, such as 1,2,3,4,5,6,7; 1 is Monday."),
    _EXTRA,
    *LEDGER_FIELDS,
    # Last, since the columns of an Iceberg table are told apart by their numbers.
    _field(
        "incremental_period_min",
        COUNT,
        "Time between incremental backups (API: incremental_period), which the list of backups does "
        "not show; 0 if they are off, null if the policy does not say.",
        "minutes",
    ),
)


def _changes(of: str, example: str) -> pa.Schema:
    return _schema(
        f"One row per change of a value of {of} that a sync saw: what it was, what it became, and "
        "between which moments.",
        ("project_id", "instance_id", "seen_at", "field"),
        _field("project_id", TEXT, "Project that the instance belongs to."),
        _field("instance_id", TEXT, "Instance whose value changed."),
        _field("field", TEXT, f"Which column changed, such as {example}."),
        _field("old_value", TEXT, "What it was, as text; null if it was null."),
        _field("new_value", TEXT, "What it became, as text; null if it became null."),
        _field(
            "old_seen_at", TIMESTAMP, "When the old value was last read: it changed after this."
        ),
        _field(
            "seen_at",
            TIMESTAMP,
            "When the new value was first read, which is as_of of a run: it changed before this.",
        ),
    )


BACKUP_POLICY_CHANGES = _changes(
    "a backup policy", "keep_days; is_readable where the service began or ceased to refuse it"
)
INSTANCE_CHANGES = _changes("an instance", "instance_name, status or node_count")


#: What columns are called in files of earlier versions, and what they are called now.
RENAMED_COLUMNS: Mapping[str, str] = MappingProxyType({"is_braked": "is_guarded"})


def as_written(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """A table's schema as the version knew it that wrote a file with the columns `names`."""
    former = {new: old for old, new in RENAMED_COLUMNS.items() if old in names}
    fields = [
        one.with_name(former.get(one.name, one.name))
        for one in schema
        if one.name in names or one.name not in LATER_COLUMNS
    ]
    return pa.schema(fields, metadata=schema.metadata)


def with_present_names(table: pa.Table) -> pa.Table:
    """A table that was read, its columns called as they are now."""
    names = [RENAMED_COLUMNS.get(name, name) for name in table.column_names]
    return table if names == table.column_names else table.rename_columns(names)


def _words(field_or_schema: pa.Field | pa.Schema, name: bytes) -> str:
    return str((field_or_schema.metadata or {}).get(name, b"").decode())


class LakeTable(NamedTuple):
    """A table as it stands in a lake.

    Attributes:
        schema: its columns, those of the ledger included.
        key: the columns that tell its rows apart.
        description: what one row is.
        kind: ``frames`` as read, ``runs`` of syncs, ``inventory`` of instances, with its changes.
    """

    schema: pa.Schema
    key: tuple[str, ...]
    description: str
    kind: Literal["frames", "runs", "inventory"]


def _lake_table(schema: pa.Schema, kind: Literal["frames", "runs", "inventory"]) -> LakeTable:
    key = tuple(_words(schema, b"key").split(", "))
    return LakeTable(schema, key, _words(schema, b"description"), kind)


LAKE_TABLES: Mapping[str, LakeTable] = MappingProxyType(
    {
        "backups": _lake_table(with_ledger(BACKUPS), "frames"),
        "backup_databases": _lake_table(BACKUP_DATABASES, "frames"),
        "backup_tables": _lake_table(BACKUP_TABLES, "frames"),
        "sync_runs": _lake_table(SYNC_RUNS, "runs"),
        "instances": _lake_table(INSTANCES, "inventory"),
        "backup_policies": _lake_table(BACKUP_POLICIES, "inventory"),
        "backup_policy_changes": _lake_table(BACKUP_POLICY_CHANGES, "inventory"),
        "instance_changes": _lake_table(INSTANCE_CHANGES, "inventory"),
    }
)
"""Every table by its name, which is also its folder in a lake, in the order people read them. Written
are the three of a read in reverse, so that no backup stands there before what is below it."""

FRAME_TABLES = tuple(name for name, table in LAKE_TABLES.items() if table.kind == "frames")
"""Folder of each table of `ArrowFrames`, in its order."""

TABLES: Mapping[str, pa.Schema] = MappingProxyType(
    {name: table.schema for name, table in LAKE_TABLES.items()} | {"backups": BACKUPS}
)
"""The tables' schemas, with ``backups`` as in frames, without the ledger's columns."""
DESCRIPTIONS = MappingProxyType({name: table.description for name, table in LAKE_TABLES.items()})
KEYS = MappingProxyType({name: table.key for name, table in LAKE_TABLES.items()})


def describe_field(field: pa.Field) -> tuple[str, str]:
    """The description and the unit of a column; empty texts for a column that is not ours."""
    return _words(field, b"description"), _words(field, b"unit")


def comment_of(field: pa.Field) -> str:
    """What catalogues and table formats say of a column: its description, and its unit."""
    return "{} Unit: {}.".format(*describe_field(field))
