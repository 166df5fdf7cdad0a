"""Files of a lake that have no rows, in a format that keeps nothing of those.

In: the lake's records, and which files its tables have. Out: the keys of the others.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ledger.metadata import Manifest, Pending, decode_record
from ..storage.layout import meta_key, parse_key
from ..storage.store import Store


def keys_without_rows(files: Store, found: Mapping[str, int]) -> dict[str, int]:
    """The keys that the lake's records name but no table has: of no rows, nothing is left."""
    named = dict[str, int]()
    for project_id in {parts.project_id for key in found if (parts := parse_key(key))}:
        if project_id is None:
            continue
        manifest = files.read(meta_key(project_id, "manifest.json"))
        if known := decode_record(manifest, Manifest):
            named |= {key: entry.rows for key, entry in known.files.items()}
        pending = files.read(meta_key(project_id, "pending.json"))
        if announced := decode_record(pending, Pending):
            for key, versions in announced.files.items():
                rows = [entry.rows for entry in versions]
                named[key] = min([*rows, named.get(key, rows[0])]) if rows else 1
    return {
        key: 0
        for key, rows in named.items()
        if rows == 0 and key not in found and (parts := parse_key(key)) and parts.kind != "run"
    }
