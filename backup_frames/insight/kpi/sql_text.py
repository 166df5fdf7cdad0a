"""Names and values as they stand in SQL and in patterns of files.

In: any text. Out: SQL that means that text and nothing else.
"""

from __future__ import annotations


def quoted(text: str) -> str:
    """The text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def escaped(path: str) -> str:
    """The path as a pattern for itself alone; DuckDB knows no other escape than a set of one."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)
