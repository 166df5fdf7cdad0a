"""Bodies to Arrow: one batch of pages, read in one go.

In: bodies as bytes. Out: the list of records of each page, columns typed as the reference page says;
or Arrow's refusal, which says that something is odd but not what: `odd_values` and `diagnose` do.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.json

from .fields import RECORD

_PAGE = pa.schema([("total_count", pa.int64()), ("backups", pa.list_(RECORD))])


def read_pages(bodies: Sequence[bytes]) -> tuple[pa.ListArray, bool]:
    """The pages' lists of records, and whether any holds a field that is not known.

    Raises:
        ArrowInvalid: a body is no page, or holds something odd.
    """
    texts = [body.strip() for body in bodies]
    if not all(text.startswith(b"{") and text.endswith(b"}") for text in texts):
        raise pa.ArrowInvalid("no object")
    joined = b"\n".join(bodies)
    has_unknown = False
    pa.array([joined], pa.large_binary()).cast(pa.large_string())  # checks the UTF-8
    try:
        pages = _parse(joined, "error")
    except pa.ArrowInvalid:
        pages = _parse(joined, "ignore")
        has_unknown = True
    lists: pa.ListArray = pages.column("backups").combine_chunks()
    if len(lists) != len(bodies) or lists.null_count:
        raise pa.ArrowInvalid("another number of pages than bodies")
    return lists, has_unknown


def is_readable(body: bytes) -> bool:
    """Whether Arrow reads this body alone."""
    try:
        read_pages([body])
    except pa.ArrowInvalid:
        return False
    return True


def _parse(joined: bytes, unexpected: str) -> pa.Table:
    """Read one batch as a single block: one chunk, no copy, on the calling thread."""
    return pyarrow.json.read_json(
        pa.BufferReader(joined),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(joined) + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=_PAGE, unexpected_field_behavior=unexpected
        ),
    )
