"""A lake, read: present backups or all that ever were, of a time range, as of a past moment.

In: a lake's URL. Out: Arrow tables or a lazy dataset. Only files that the lake's records name are read
(where these are lost, those whose names are of the layout), and of those only the partitions that the
time range touches. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset as ds

from ..api.query import Moment, parse_moment
from ..errors import ConfigError, LakeError, QueryError
from ..facts import Facts
from ..frames.partitions import NO_DATE
from ..frames.schema import (
    KEYS,
    LEDGER_SCHEMAS,
    TABLES,
    with_later_columns,
    with_ledger,
    with_present_names,
)
from ..scan.plan import to_moment
from ..scan.ranges import Grain, partition_span
from ..settings.values import Place, check_switches
from ..whole_files import path_text
from .formats.open_tables import open_lake_store
from .ledger.metadata import LakeRecord, decode_record
from .named_files import ListedFiles
from .storage.arrow_files import open_file_system
from .storage.layout import LAKE_KEY, RUNS, known_projects, parse_key
from .storage.store import Store

Result = TypeVar("Result")

_READERS: Final = 8
_SCRATCH: Final = "_meta/reader/tmp"  # nothing is written there


def open_lake(url: Place) -> Lake:
    """Open a lake for reading. Costs one or two small reads.

    Args:
        url: a local path, ``file://``, ``s3://bucket/prefix`` or ``obs://bucket/prefix``.

    Returns:
        A `Lake`. Syncs may run meanwhile: each file is seen whole, as before or after them.

    Raises:
        ConfigError: the URL is none of these.
        LakeError: there is no lake, or it cannot be read.

    Example:
        >>> import tempfile
        >>> from backup_frames.sync.one_project import sync_backups
        >>> from backup_frames.sandbox import Sandbox
        >>> with Sandbox(backups=200, seed=1) as box, tempfile.TemporaryDirectory() as folder:
        ...     report = sync_backups(
        ...         lake=folder, endpoint=box.endpoint, project_id=box.project_id, token=box.token
        ...     )
        ...     open_lake(folder).backups().num_rows
        200
    """
    return Lake(open_lake_store(path_text(url, "url"), scratch=_SCRATCH))


class Lake(Facts):
    """The tables of a lake.

    Rows come by partition (date, then project), within it by (begin_time, backup_id); the tables
    below in the order of their keys. Times are UTC, sizes KB. A table without rows is empty and
    fully typed.

    Args:
        store: where the lake is.
    """

    def __init__(self, store: Store) -> None:
        if not hasattr(store, "read"):
            raise ConfigError(f"A lake is opened by open_lake({str(store)!r}), not by Lake().")
        self._store = store
        record = decode_record(store.read(LAKE_KEY), LakeRecord)
        if record is None and not any(store.list(name) for name in LEDGER_SCHEMAS):
            advice = "Check the address, or make one with `backup-frames sync`."
            raise LakeError(f"There is no lake at {store.url}. {advice}")
        self._grain: Grain = "month" if record and record.partition_by == "month" else "day"
        self._listed = ListedFiles(store)

    @property
    def url(self) -> str:
        """The lake's URL as it was given."""
        return self._store.url

    def backups(
        self,
        *,
        begin: Moment | None = None,
        end: Moment | None = None,
        present: bool = True,
        as_of: Moment | None = None,
    ) -> pa.Table:
        """One row per backup, with ``first_seen_at``, ``updated_at`` and ``gone_at``.

        Costs one read per partition that the time range touches, 8 side by side, and two for the
        records of each project the first time, and after a sync.

        Args:
            begin: first begin time, included: datetime (UTC without zone), date, month, ISO text, or a
                time back from now such as ``7d``, as `read_backups` takes them.
            end: end of begin times, excluded. With either, rows without begin time are left out.
            present: only backups that are on the service's list; False: also those that left it.
            as_of: a past moment: only backups that a sync had seen by then and, if `present`, that
                had not left the list by then. Their columns are as last seen, not as of then.

        Returns:
            A `pyarrow.Table`; ``.to_pandas()`` makes a DataFrame of it.

        Raises:
            QueryError: a moment cannot be read, or begin is after end.
            LakeError: a file is damaged; `verify_lake` tells more.
        """
        return self._read("backups", present, begin, end, as_of)

    def databases(
        self,
        *,
        begin: Moment | None = None,
        end: Moment | None = None,
        present: bool = True,
        as_of: Moment | None = None,
    ) -> pa.Table:
        """One row per database of those backups that `backups` gives for the same arguments."""
        return self._read("backup_databases", present, begin, end, as_of)

    def tables(
        self,
        *,
        begin: Moment | None = None,
        end: Moment | None = None,
        present: bool = True,
        as_of: Moment | None = None,
    ) -> pa.Table:
        """One row per table name of those backups that `backups` gives for the same arguments."""
        return self._read("backup_tables", present, begin, end, as_of)

    def instances(self) -> pa.Table:
        """One row per instance that any sync saw, deleted ones too; sorted by project and id."""
        return self._read_whole("instances", KEYS["instances"])

    def policies(self) -> pa.Table:
        """One row per instance: its policy for automated backups, as last read."""
        return self._read_whole("backup_policies", KEYS["backup_policies"])

    def policy_changes(self) -> pa.Table:
        """One row per change of a backup policy that any sync saw: what, old, new, between when."""
        return self._read_whole("backup_policy_changes", KEYS["backup_policy_changes"])

    def instance_changes(self) -> pa.Table:
        """One row per change of an instance: its name, status, size and the like."""
        return self._read_whole("instance_changes", KEYS["instance_changes"])

    def runs(self) -> pa.Table:
        """One row per sync that wrote anything to record, oldest first."""
        return self._read_whole(RUNS, ("started_at", "run_id"))

    def dataset(self, name: str) -> ds.Dataset:
        """A table as a lazy dataset: files are read when it is scanned, as far as a filter needs.

        A filter on ``begin_date`` leaves out whole partitions of the three backup tables. Files
        are those of this moment; open it again after a sync.

        Args:
            name: folder of a table, such as ``backups``, ``sync_runs`` or ``instances``.

        Raises:
            QueryError: the lake has no table of that name.
        """
        if name not in TABLES:
            raise QueryError(f"A lake has no table {name!r}. Choose one of {', '.join(TABLES)}.")
        if name == RUNS:  # columns of earlier versions have other names
            return ds.dataset(self.runs())
        schema = with_ledger(TABLES[name]) if name == "backups" else TABLES[name]
        files, format_ = open_file_system(self._store, self._check), ds.ParquetFileFormat()
        fragments = [
            format_.make_fragment(key, files, partition_expression=self._promise(key))
            for key in self._keys(name)
        ]
        return ds.FileSystemDataset(fragments, schema, format_, files)

    def __repr__(self) -> str:
        return f"Lake({self.url!r})"

    __str__ = __repr__

    def facts(self) -> list[tuple[str, str]]:
        """What its picture in a notebook says: from a listing, no data file is read."""
        files = {name: sum(1 for _ in self._keys(name)) for name in ("backups", RUNS)}
        projects = known_projects(file.key for file in self._store.list("_meta"))
        return [
            ("lake", self.url),
            ("format", f"{self._store.format}, a partition a {self._grain}"),
            ("projects", ", ".join(sorted(projects)) or "none"),
            ("partitions", f"{files['backups']:,} of backups"),
            ("syncs", f"{files[RUNS]:,} recorded"),
        ]

    def _read_whole(self, name: str, order: Sequence[str]) -> pa.Table:
        parts = [with_present_names(self._load(key)) for key in self._keys(name)]
        none = TABLES[name].empty_table()
        # files of earlier versions have fewer columns: what they did not note is null
        rows = pa.concat_tables([none, *parts], promote_options="default").select(none.column_names)
        return rows.sort_by([(column, "ascending") for column in order])

    def _read(
        self,
        table: str,
        present: bool,
        begin: Moment | None,
        end: Moment | None,
        as_of: Moment | None,
    ) -> pa.Table:
        wanted = _Wanted(present, begin, end, as_of)
        keys = [key for key in self._keys(table) if wanted.touches(self._span(key))]

        def load(key: str) -> pa.Table:
            rows = self._load(key)
            if wanted.is_all:
                return rows
            if table == "backups":
                return rows.filter(wanted.condition())
            # Children are written first: until their backups follow, they belong to none.
            none = LEDGER_SCHEMAS["backups"].empty_table()
            backups = self._load(key.replace(table, "backups", 1), missing=none)
            backups = backups.filter(wanted.condition())
            return rows.filter(pc.is_in(rows["backup_id"], value_set=backups["backup_id"]))

        with ThreadPoolExecutor(_READERS) as pool:
            parts = list(pool.map(load, keys))
        none = LEDGER_SCHEMAS[table].empty_table()
        parts = [with_later_columns(part, none.schema) for part in parts]
        return pa.concat_tables([none, *parts]).combine_chunks()

    def _keys(self, table: str) -> Iterator[str]:
        named = {file.key: parse_key(file.key) for file in self._store.list(table)}
        found = {key: one.project_id for key, one in named.items() if one and one.table == table}
        projects = known_projects([*found, *(file.key for file in self._store.list("_meta"))])
        if not projects.issuperset(found.values()):  # foreign, or their records are lost
            projects |= known_projects(file.key for file in self._store.list(RUNS))
        yield from self._listed.select(key for key, one in found.items() if one in projects)

    def _load(self, key: str, missing: pa.Table | None = None) -> pa.Table:
        def read() -> pa.Table:
            data = self._store.read(key)
            if data is None and missing is not None:
                return missing
            if data is None:
                raise LakeError("It vanished while it was read. Run `backup-frames verify`.")
            return self._store.decode(key, data, rows=self._listed.rows_of(key, data))

        return self._explained(read, key)

    def _check(self, key: str, data: bytes) -> None:
        self._explained(lambda: self._listed.check(key, data), key)

    def _explained(self, read: Callable[[], Result], key: str) -> Result:
        try:
            try:
                return read()
            except LakeError:
                self._listed.forget()  # a sync may just have written the file anew
                return read()
        except LakeError as error:
            raise LakeError(f"{key} of {self.url}: {error}", path=key) from error

    def _span(self, key: str) -> tuple[datetime, datetime] | None:
        """The begin times that a partition may hold; None for the one of unknown ones."""
        parts = parse_key(key)
        if parts is None or parts.partition is None or parts.partition == NO_DATE:
            return None
        begin_s, end_s = partition_span(parts.partition, self._grain)
        return to_moment(begin_s), to_moment(end_s)

    def _promise(self, key: str) -> pc.Expression | None:
        """What is true of all rows of a file, for Arrow to skip it, or to know a column of it."""
        parts, span = parse_key(key), self._span(key)
        promise = None
        if parts is not None and self._store.format != "parquet":
            promise = pc.field("project_id") == parts.project_id  # a file may lack the column
        if span is None or parts is None or parts.table not in LEDGER_SCHEMAS:
            return promise
        days = span[0].date(), (span[1] - timedelta(microseconds=1)).date()
        begin_date = pc.field("begin_date")
        is_in = (begin_date >= pa.scalar(days[0])) & (begin_date <= pa.scalar(days[1]))
        return is_in if promise is None else promise & is_in


class _Wanted:
    """Which rows a reader of the lake asked for."""

    def __init__(
        self, present: bool, begin: Moment | None, end: Moment | None, as_of: Moment | None
    ) -> None:
        check_switches(present=present)
        self._present = present
        self._begin = None if begin is None else parse_moment(begin, "begin")
        self._end = None if end is None else parse_moment(end, "end")
        self._as_of = None if as_of is None else parse_moment(as_of, "as_of")
        if self._begin is not None and self._end is not None and self._begin > self._end:
            raise QueryError(f"begin {self._begin} is after end {self._end}; swap them.")

    @property
    def is_all(self) -> bool:
        """Whether every row is wanted."""
        return not self._present and self._begin is self._end is self._as_of is None

    def touches(self, span: tuple[datetime, datetime] | None) -> bool:
        """Whether a partition with begin times in `span` may hold such rows."""
        if span is None:
            return True
        is_late = self._end is not None and span[0] >= self._end
        is_early = self._begin is not None and span[1] <= self._begin
        return not (is_late or is_early)

    def condition(self) -> pc.Expression:
        """The rows wanted, as a filter on `backups`."""
        gone_at = pc.field("gone_at")
        wanted = pc.scalar(True)
        if self._present:
            is_there = gone_at.is_null()
            if self._as_of is not None:
                is_there = is_there | (gone_at > pa.scalar(self._as_of))
            wanted = wanted & is_there
        if self._as_of is not None:
            wanted = wanted & (pc.field("first_seen_at") <= pa.scalar(self._as_of))
        if self._begin is not None:
            wanted = wanted & (pc.field("begin_time") >= pa.scalar(self._begin))
        if self._end is not None:
            wanted = wanted & (pc.field("begin_time") < pa.scalar(self._end))
        return wanted
