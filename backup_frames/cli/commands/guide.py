"""The command ``guide``: the manual that comes with the package, offline.

In: a page's or an example's name. Out: the page, laid out on a terminal, else the Markdown as it is.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from textwrap import fill
from typing import Annotated

import typer

from ...errors import ConfigError
from ..screen.output import is_terminal, write_out, write_styled
from ..screen.tables import terminal_width
from ..session.session import Session, command

GUIDE = files("backup_frames") / "guide"
SHOWN_WIDTH = 100  # longer lines of prose are hard to follow, however wide the window


@command
def show_guide(
    session: Session,
    *,
    topic: Annotated[
        str | None,
        typer.Argument(metavar="[TOPIC]", help="A page or an example. Without it: what there is."),
    ] = None,
) -> None:
    """Show a page of the manual, or an example to copy, such as a systemd unit.

    Examples: backup-frames guide lake, backup-frames guide backup-frames.service
    """
    pages, examples = _list_files(GUIDE, ".md"), _list_files(GUIDE / "examples")
    if topic is None:
        session.print("Pages, shown by backup-frames guide TOPIC:\n")
        width = max(map(len, pages))
        for name, page in pages.items():
            summary = page.read_text(encoding="utf-8").split("\n", 3)[2]  # below its title
            session.print(_beside(f"  {name:{width}}  ", summary))
        session.print("\nExamples, to copy: backup-frames guide NAME > FILE\n")
        for name in examples:
            session.print(f"  {name}")
    elif topic.lower().removesuffix(".md") in pages:
        _show_page(pages[topic.lower().removesuffix(".md")].read_text(encoding="utf-8"))
    elif topic in examples:
        write_out(examples[topic].read_text(encoding="utf-8"))
    else:
        raise ConfigError(_explain_unknown(topic, [*pages, *examples]))


def _beside(name: str, text: str) -> str:
    """The text beside its name, which goes on below itself on a terminal."""
    width = max(terminal_width(), 2 * len(name))
    return fill(text, width, initial_indent=name, subsequent_indent=" " * len(name))


def _list_files(folder: Traversable, suffix: str = "") -> dict[str, Traversable]:
    """The files with that suffix by their names without it, sorted."""
    found = {
        entry.name.removesuffix(suffix): entry
        for entry in folder.iterdir()
        if entry.is_file() and entry.name.endswith(suffix)
    }
    return dict(sorted(found.items()))


def _explain_unknown(topic: str, names: list[str]) -> str:
    """What there is instead; the name itself may be anything."""
    close = get_close_matches(topic.lower(), names, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return f"The guide has no page {topic[:100]!r}.{meant} There are: {', '.join(names)}."


def _show_page(text: str) -> None:
    """Lay the Markdown out on a terminal; a pipe gets it as it is."""
    if not is_terminal():
        write_out(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.capture() as captured:
        console.print(Markdown(text), width=min(console.width, SHOWN_WIDTH))
    write_styled(captured.get())
