"""For people who stay on dlt: verified reads as a dlt source of three tables.

In: settings and filters, as `read_backups` takes them. Out: a dlt source that yields our Arrow
tables ``backups``, ``backup_databases`` and ``backup_tables``, with keys and merge hints.

::

    import dlt
    from .dlt import backup_source

    pipeline = dlt.pipeline("geminidb", destination="duckdb", dataset_name="service")
    pipeline.run(backup_source(region="eu-west-101", project_id="0a1b…"))

The first run reads everything; later ones read from the newest begin time seen, minus `lag`, and
merge. A run that cannot prove that its range is complete raises `IncompleteReadError`, and dlt loads
nothing of it. Column descriptions, units and keys go into dlt's schema.

What dlt cannot do, and our own lake does: notice that a backup left the list, changed after `lag`,
came late without begin time, or lost all its databases; and merge where a destination only appends,
as plain files do.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import MissingExtraError
from ..frames.frames import BackupFrames
from ..frames.schema import DESCRIPTIONS, FRAME_TABLES, KEYS, TABLES, comment_of
from ..read.one_liners import scan_backups

try:
    import dlt
except ImportError as error:
    raise MissingExtraError("dlt is not there. Run pip install 'backup-frames[dlt]'.") from error

LAG: Final = timedelta(days=1)
"""How far before the newest backup a later run starts: states become final within it."""

_CURSOR: Final = "newest_begin_time"


@dlt.source(name="backup_frames")  # type: ignore[untyped-decorator, unused-ignore]  # where dlt is not installed
def backup_source(lag: timedelta = LAG, **question: Any) -> Any:
    """Backups as a dlt source: one verified read, three tables.

    Costs what `scan_backups` of the time to read costs; memory stays flat.

    Args:
        lag: how far before the newest begin time seen a later run starts.
        **question: what `scan_backups` takes: settings and filters. With ``begin`` every run reads
            from there. Settings may stay in the environment; nothing of them enters dlt's state.

    Returns:
        A source with the resource ``backups``, which writes ``backups`` (key project_id, backup_id),
        ``backup_databases`` and ``backup_tables``, merged: a backup read again replaces its rows.

    Raises:
        IncompleteReadError: when it runs, wrapped by dlt: completeness is not proven.
        BackupFramesError: when it runs, wrapped by dlt: whatever else `scan_backups` raises.
    """

    @dlt.resource(name="backups", write_disposition="merge", primary_key=KEYS["backups"])  # type: ignore[untyped-decorator, unused-ignore]  # where dlt is not installed
    def backups() -> Iterator[Any]:
        state = dlt.current.resource_state()
        newest = state.get(_CURSOR)
        begin = None if newest is None else datetime.fromisoformat(newest) - lag
        for part in scan_backups(**{"begin": begin, **question}):
            newest = _newest(part, newest)
            yield from _items(part)
        if newest is not None:
            state[_CURSOR] = newest

    return backups


def _items(part: BackupFrames) -> Iterator[Any]:
    """The three tables of a part, each with its name and hints; empty ones would tell nothing."""
    for name, table in zip(FRAME_TABLES, part.arrow, strict=True):
        if table.num_rows:
            # dlt takes keys for not null, and warns of a table that says otherwise
            fields = [field.with_nullable(field.name not in KEYS[name]) for field in table.schema]
            item = table.cast(pa.schema(fields))
            yield dlt.mark.with_hints(item, _hints(name), create_table_variant=True)


def _hints(name: str) -> Any:
    return dlt.mark.make_hints(
        table_name=name,
        write_disposition="merge",
        primary_key=KEYS[name],
        merge_key=KEYS["backups"],  # a backup's old rows go before its new ones come
        columns={field.name: {"description": comment_of(field)} for field in TABLES[name]},
        additional_table_hints={"description": DESCRIPTIONS[name]},
    )


def _newest(part: BackupFrames, newest: str | None) -> str | None:
    """The newest begin time so far, but none of an instance whose clock runs ahead."""
    found: datetime | None = pc.max(part.arrow.backups["begin_time"]).as_py()
    if found is None or part.certificate is None:
        return newest
    text = min(found, part.certificate.as_of).isoformat()
    return text if newest is None else max(newest, text, key=datetime.fromisoformat)
