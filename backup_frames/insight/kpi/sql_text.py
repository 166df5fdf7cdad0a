"""Names and values as they stand in SQL and in patterns of files.

In: any text. Out: SQL that means that text and nothing else; and what DuckDB says, as one sentence.
"""

from __future__ import annotations


def quoted(text: str) -> str:
    """The text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def escaped(path: str) -> str:
    """The path as a pattern for itself alone; DuckDB knows no other escape than a set of one."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)


def error_text(error: Exception) -> str:
    """What DuckDB says of a fault, in one line, without its picture of the statement."""
    words = " ".join(str(error).partition("\n\nLINE ")[0].split())
    return f"{words.rstrip('.')}."
