"""Exceptions as lines for a chat or a mail: who, what, since when.

In: rows of ``v_exceptions``. Out: lines on stdout, the most severe first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .invocation import own_command, whole_path
from .output import write_out
from .tables import COLOURS, print_text

if TYPE_CHECKING:
    import pyarrow as pa

    from ...settings.values import Place

SHOWN_ROWS = 20


def print_exceptions(exceptions: pa.Table, lake: Place) -> None:
    """A line per kind and instance, the most severe first, cut to what a chat takes."""
    lines: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in exceptions.to_pylist():
        who = row["instance_name"] or row["instance_id"] or row["project_id"] or "the lake"
        lines.setdefault((row["severity"], who, row["kind"]), []).append(row)
    for (severity, who, kind), rows in list(lines.items())[:SHOWN_ROWS]:
        moments = [row["since"] for row in rows if row["since"]]
        since = f" since {min(moments):%Y-%m-%d %H:%M} UTC" if moments else ""
        times = f" ({len(rows)} backups)" if len(rows) > 1 else ""
        text = f": {who}: {kind}{times}{since}. {rows[0]['message']}"
        print_text((severity, COLOURS.get(severity, "")), text)
    if len(lines) > SHOWN_ROWS:
        command = f'{own_command()} query "FROM v_exceptions" --lake {whole_path(lake)}'
        write_out(f"… and {len(lines) - SHOWN_ROWS:,} more lines; this gives all:\n{command}\n")
