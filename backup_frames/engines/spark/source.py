"""Spark reads the service: a Python data source for Spark 4, batch and streaming.

In: a Spark session and options. Out: DataFrames of ``backups``, ``backup_databases`` or
``backup_tables``, read by the executors themselves.

::

    from . import register
    reads = register(spark)                       # or spark.dataSource.register(BackupFramesSource)
    df = (spark.read.format("backup_frames")
          .option("region", "eu-west-101").option("project_id", "0a1b…,0c2d…")
          .option("table", "backups").load())
    df.write.partitionBy("begin_date").parquet("…")   # any of Spark's own writers
    reads.certificates()                          # one per project, checked on the driver

**What is proven.** The driver plans spans of time that tile the whole, by counting. Each task reads
one span at every level with the verified walk and hands out nothing before its certificate says
``complete``; else it fails with our error, Spark tries it again, and at last fails the job. A backup
belongs to the span that its begin time lies in, so spans are disjoint: an action that ends without
an error and read all rows has every backup that the service held for the whole read, once.
`ReadLog.certificates` collects the tasks' certificates and checks that they tile the whole.

**Secrets** come from the environment of the driver and of the executors, as always
(``BACKUP_FRAMES_TOKEN``, …), set before the session starts; ``spark.executorEnv.<NAME>`` in the
Spark configuration sets both. They are no options, since plans and the UI may show options.

**Rate.** ``max_requests_per_second`` is divided among all tasks of a read, or among ``concurrency``
of them. Without it, throttling by the service is obeyed by each task on its own.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from ...errors import ConfigError, IncompleteReadError, MissingExtraError
from ...frames.flatten import ArrowFrames
from ...frames.schema import FRAME_TABLES, LAKE_TABLES, TABLES, comment_of
from ...scan.certificate import Certificate
from ...scan.plan import to_moment, to_span
from ...settings import environment_names, load_settings
from ...settings.toml_file import SECRETS
from .lake import LakeDays, plan_days, read_days
from .options import SourceOptions, narrow_options, parse_options
from .plan import plan_ranges
from .proofs import Proofs, ReadProof, add_proofs
from .tasks import read_range

try:
    from pyspark.accumulators import Accumulator, AccumulatorParam
    from pyspark.sql.datasource import (
        DataSource,
        DataSourceReader,
        DataSourceStreamReader,
        InputPartition,
    )
    from pyspark.sql.pandas.types import from_arrow_schema
    from pyspark.sql.types import StructType
except ImportError as error:
    raise MissingExtraError(
        "Spark's Python data sources are not there (pyspark 4). "
        "Run pip install 'backup-frames[spark]'."
    ) from error

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STREAM_STEP_S: Final = 60
"""A stream's offsets are whole multiples of this: without it, each second would be a batch."""

_BATCH_ROWS: Final = 10_000
_PUSHDOWN: Final = "spark.sql.python.filterPushdown.enabled"
_REDACTED: Final = "(?i)secret|password|token|access[.]?key"  # Spark's default


class BackupFramesSource(DataSource):  # type: ignore[misc, unused-ignore]  # untyped where pyspark is not installed
    """The format ``backup_frames``.

    Options (none is required where the environment says it):

    ==================== ===========================================================================
    ``endpoint, region`` the service, as everywhere
    ``project_id``       one or several, separated by commas; default: those of the settings
    ``config``           TOML file of settings, with all its projects; on the executors too
    ``table``            ``backups`` (default), ``backup_databases`` or ``backup_tables``
    ``level``            ``Instance`` or ``DatabaseTable``; default: both
    ``begin, end``       begin times ``[begin, end)``, ISO text, UTC without zone
    ``instance_id`` …    and ``datastore_type``, ``backup_id``, ``backup_type``: only such backups
    ``partitions``       tasks per project; default: one per ``rows_per_partition`` (20000) rows,
                         and up to 8 for smaller reads
    ``max_connections``  requests side by side in one task; default 2
    ``max_requests_per_second``, ``concurrency``  the rate of all tasks together; how many run at once
    ``timeout_s, iam_endpoint, api_version, overlap_s``  as the settings of these names
    ``lake``             read this lake instead (also ``load(url)``), any of its tables
    ``present``          of a lake: only backups still on the service's list (default true)
    ==================== ===========================================================================

    Filters on ``begin_time``, ``begin_date`` and equality on ``instance_id``, ``datastore_type``,
    ``backup_type``, ``backup_id``, ``backup_level``, ``project_id`` narrow the query itself, if
    ``spark.sql.python.filterPushdown.enabled`` is true: Spark 4.1 and later have it, off by default;
    `register` switches it on.
    """

    proofs: Accumulator[Proofs] | None = None

    @classmethod
    def name(cls) -> str:
        """What ``format(…)`` takes."""
        return "backup_frames"

    def schema(self) -> StructType:
        """The table's schema, with descriptions and units as comments. Asks nobody."""
        options = parse_options(self.options)
        schema = LAKE_TABLES[options.table].schema if options.lake else TABLES[options.table]
        spark_schema = from_arrow_schema(schema)
        for one, field in zip(spark_schema.fields, schema, strict=True):
            one.metadata = {"comment": comment_of(field)}
        return spark_schema

    def reader(self, schema: StructType) -> DataSourceReader:
        """A batch read."""
        return BackupFramesReader(_checked_options(self.options, schema), schema, self.proofs)

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802  # Spark's name
        """A streaming read of the service."""
        options = _checked_options(self.options, schema)
        if options.lake:
            raise ConfigError("A lake is no stream. Use spark.read, or drop the option lake.")
        return BackupFramesStreamReader(options, schema)


class BackupFramesReader(DataSourceReader):  # type: ignore[misc, unused-ignore]  # untyped where pyspark is not installed
    """One batch read: plans on the driver, reads on executors.

    Args:
        options: what to read.
        schema: columns to hand out.
        proofs: where tasks put their certificates; None for nowhere.
    """

    def __init__(
        self, options: SourceOptions, schema: StructType, proofs: Accumulator[Proofs] | None
    ) -> None:
        self._options = options
        self._names = schema.fieldNames()
        self._proofs = proofs
        self._read_id = uuid.uuid4().hex

    @property
    def pushFilters(self) -> Any:  # noqa: N802  # Spark's name
        """Takes Spark's filters, narrows the read by what the service can filter, and keeps none.

        Spark refuses to read at all from a source that overrides this while filter pushdown is off,
        which is its default. So it looks inherited, and is there when Spark asks.
        """
        push = partial(_push_filters, self)
        push.__func__ = getattr(DataSourceReader, "pushFilters", None)  # type: ignore[attr-defined]  # what Spark looks at
        return push

    def partitions(self) -> Sequence[InputPartition]:
        """The ranges or days that tile the read; Spark asks for them when it plans a query."""
        if self._options.lake:
            return [InputPartition(one) for one in plan_days(self._options)]
        planned = plan_ranges(self._options)
        self._log(ReadProof(planned))
        return [InputPartition(one) for one in planned]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Read one of them, on an executor."""
        if isinstance(partition.value, LakeDays):
            yield from _to_batches(read_days(self._options, partition.value), self._names)
        elif partition.value is not None:  # None stands for a plan without ranges
            frames, certificate = read_range(self._options, partition.value)
            self._log(ReadProof((), {partition.value.index: certificate}))
            yield from _to_batches(_choose(frames, self._options), self._names)

    def _log(self, proof: ReadProof) -> None:
        """Send to the driver; Spark does so when the plan is made, or the task is done."""
        if self._proofs is not None:
            self._proofs.add({self._read_id: proof})


class BackupFramesStreamReader(DataSourceStreamReader):  # type: ignore[misc, unused-ignore]  # untyped where pyspark is not installed
    """A stream of backups in the order in which the list closes.

    An offset is the closed end of the list: begin times before now minus ``overlap_s`` (default one
    hour) at which no backup can start any more, in whole minutes. Each batch holds the backups that
    began between two offsets, once, as they are when it is read: a later change of state does not
    come again, and backups without begin time never come. The stream starts at ``begin``, or with
    the oldest backup, and stops to advance at ``end``.

    Args:
        options: what to read.
        schema: columns to hand out.
    """

    def __init__(self, options: SourceOptions, schema: StructType) -> None:
        self._options = options
        self._names = schema.fieldNames()
        self._overlap_s = load_settings(options.config, **options.settings).overlap_s

    def initialOffset(self) -> dict[str, int]:  # noqa: N802  # Spark's name
        """Where a new query starts."""
        return {"closed_s": to_span(self._options.begin, None)[0]}

    def latestOffset(  # noqa: N802  # Spark's name
        self,
        start: dict[str, int] | None = None,
        limit: object = None,  # noqa: ARG002  # Spark 4.2 tells it, 4.0 does not
    ) -> dict[str, int]:
        """The closed end of the list by this machine's clock, never before `start`. Asks nobody."""
        closed_s = int(datetime.now(UTC).timestamp()) - self._overlap_s
        closed_s = min(closed_s - closed_s % STREAM_STEP_S, to_span(None, self._options.end)[1])
        return {"closed_s": max(closed_s, (start or self.initialOffset())["closed_s"])}

    def partitions(self, start: dict[str, int], end: dict[str, int]) -> Sequence[InputPartition]:
        """The ranges that tile the time between two offsets."""
        begin, stop = to_moment(start["closed_s"]), to_moment(end["closed_s"])
        options = replace(self._options, begin=begin, end=stop, is_empty=begin >= stop)
        return [InputPartition(one) for one in plan_ranges(options)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Read one of them, on an executor."""
        frames, _ = read_range(self._options, partition.value)
        yield from _to_batches(_choose(frames, self._options), self._names)


class ReadLog:
    """What the driver knows of the batch reads of the service in one session."""

    def __init__(self, proofs: Accumulator[Proofs]) -> None:
        self._proofs = proofs

    def reads(self) -> list[ReadProof]:
        """The last 64 reads that Spark has planned, oldest first; a join of two tables plans two."""
        return list(self._proofs.value.values())

    def certificates(self) -> list[Certificate]:
        """The proof of the last read that Spark has planned: a complete certificate per project.

        Raises:
            IncompleteReadError: not all of it was read, or there was no read.
        """
        reads = self.reads()
        if not reads:
            raise IncompleteReadError("Nothing was read yet. Run an action such as count().")
        return reads[-1].certificates()


class _ProofsParam(AccumulatorParam[Proofs]):  # type: ignore[misc, unused-ignore]  # untyped where pyspark is not installed
    """How Spark adds up what tasks send."""

    def zero(self, value: Proofs) -> Proofs:  # noqa: ARG002  # Spark's signature
        return {}

    def addInPlace(self, value1: Proofs, value2: Proofs) -> Proofs:  # noqa: N802  # Spark's name
        return add_proofs(value1, value2)


def register(spark: SparkSession) -> ReadLog:
    """Register the format ``backup_frames``, with certificates collected on the driver.

    Switches filter pushdown to Python sources on for this session, unless the session was started
    with ``spark.sql.python.filterPushdown.enabled``. ``spark.dataSource.register(BackupFramesSource)``
    registers the format without either.

    Returns:
        The log of the reads that this session makes from now on.

    Raises:
        ConfigError: the session's configuration holds a secret that Spark's UI would show.

    Example:
        ::

            reads = register(spark)
            df = spark.read.format("backup_frames").load()
            df.count(), reads.certificates()[0].verdict      # (1200, 'complete')
    """
    configuration = dict(spark.sparkContext.getConf().getAll())
    _check_redaction(configuration)
    if _PUSHDOWN not in configuration:
        spark.conf.set(_PUSHDOWN, "true")
    accumulator = spark.sparkContext.accumulator({}, _ProofsParam())

    class LoggedBackupFramesSource(BackupFramesSource):
        """The source of one session: pickled by value, with that session's accumulator."""

        proofs = accumulator

    spark.dataSource.register(LoggedBackupFramesSource)
    return ReadLog(accumulator)


def _push_filters(reader: BackupFramesReader, filters: Sequence[Any]) -> Iterable[Any]:
    """Narrow the read; Spark still applies all filters, since the service knows only some."""
    reader._options = narrow_options(reader._options, filters)
    return filters


def _checked_options(options: Any, schema: StructType) -> SourceOptions:
    parsed = parse_options(options)
    known = LAKE_TABLES[parsed.table].schema if parsed.lake else TABLES[parsed.table]
    for name in schema.fieldNames():
        if name not in known.names:
            raise ConfigError(f"{parsed.table} has no column {name!r}. Drop it from the schema.")
    return parsed


def _choose(frames: ArrowFrames, options: SourceOptions) -> pa.Table:
    return frames[FRAME_TABLES.index(options.table)]


def _to_batches(table: pa.Table, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    yield from table.select(list(names)).combine_chunks().to_batches(max_chunksize=_BATCH_ROWS)


def _check_redaction(configuration: dict[str, str]) -> None:
    """Refuse a session whose UI would show a secret that is set as ``spark.executorEnv.…``."""
    pattern = configuration.get("spark.redaction.regex", _REDACTED)
    for secret in SECRETS:
        for variable in environment_names(secret):
            name = f"spark.executorEnv.{variable}"
            if name in configuration and not re.search(pattern, name):
                raise ConfigError(
                    f"Spark's UI would show {name}. Start the session with spark.redaction.regex "
                    f"set to {pattern}|_[AS]K$ as well."
                )
