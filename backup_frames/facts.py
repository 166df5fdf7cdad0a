"""What a few facts look like: as a short table of text, as a notebook's picture, as JSON.

In: an object that can name its facts. Out: its text and its HTML, everything printable and escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from .api.scrub import as_printable


class Facts:
    """Something that prints as a table of its facts, in order; "verdict" among them is a badge."""

    __slots__ = ()

    def facts(self) -> list[tuple[str, str]]:
        """Heading and words of each fact."""
        raise NotImplementedError

    def to_text(self) -> str:
        """The facts as a short table in plain text."""
        facts = self.facts()
        width = max(len(name) for name, _ in facts)
        return "\n".join(f"{name:<{width}}  {as_printable(value)}" for name, value in facts)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return _as_html(type(self).__name__, self.facts())


class Report(Facts):
    """Facts that are also plain values, for machines."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name: times as ISO texts, tuples as lists."""
        return {name: _plain(value) for name, value in asdict(self).items()}  # type: ignore[call-overload]  # each is a dataclass

    def to_json(self) -> str:
        """The same as one JSON object, two spaces indented."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        return as_printable(text, keep_lines=True)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _as_html(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """A notebook's picture of a few facts, with the verdict among them as a badge; all text escaped."""
    import html  # noqa: PLC0415  # with its thousands of names for a notebook alone

    facts = list(facts)
    verdict, _, reasons = dict(facts).get("verdict", "").partition(": ")
    facts += [("reasons", reasons)] if reasons else []
    sign, colour = ("✓", "#00735a") if verdict == "complete" else ("!", "#b34700")
    badge = (
        f" <span style='background:{colour};color:#fff;border-radius:4px;padding:.1em .5em;"
        f"margin-left:.4em'>{sign} {html.escape(verdict)}</span>"
    )
    cell = "style='text-align:left;vertical-align:top;padding:.1em .9em .1em 0;background:none"
    rows = "".join(
        f"<tr style='background:none'><th {cell};font-weight:400;opacity:.7;white-space:nowrap'>"
        f"{html.escape(name)}</th><td {cell}'>{html.escape(value)}</td></tr>"
        for name, value in facts
        if name != "verdict"
    )
    return (
        "<div style='display:inline-block;border:1px solid rgba(128,128,128,.4);border-radius:6px;"
        "padding:.6em .9em;font-size:13px;line-height:1.5'><div style='margin-bottom:.4em'>"
        f"<strong>{html.escape(title)}</strong>{badge if verdict else ''}"
        f"</div><table style='border-collapse:collapse;margin:0;font-size:inherit'>{rows}</table></div>"
    )
