"""What several commands share, stated once: options.

In: nothing. Out: annotated types for the parameters of typer commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import ConfigError
from ..screen.exports import AnswerFormat

if TYPE_CHECKING:
    from ...settings import Settings

ACCOUNT, FILTER, OUTPUT = "Account", "Filter", "Output"
"""Panels of a command's help."""
DEFAULT_OUT = "to write; default: named after the lake, in this folder."


def named(text: str) -> Path:
    """A path that is not empty: as a `Path` that would be the current folder."""
    if not text:
        raise typer.BadParameter("the path is empty; give a name")
    return Path(text)


def written(text: str) -> Path:
    """A path to write to; ``-`` is stdout, as elsewhere."""
    return Path("/dev/stdout") if text == "-" else named(text)


def option(
    metavar: str | None, text: str, panel: str | None = None, *, name: str = "", **more: Any
) -> Any:
    """An option with a value.

    Args:
        metavar: what stands for the value in the help; None: its type, or the words to choose from.
        text: what it is for.
        panel: where it stands in the help.
        name: such as ``--from``; default: after the parameter.
        **more: what else `typer.Option` takes.
    """
    names = [name] if name else []
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=panel, **more)


def flag(name: str, text: str, panel: str | None = None) -> Any:
    """An option without a value, such as ``--full``; what it is for; where it stands in the help."""
    return typer.Option(name, help=text, rich_help_panel=panel)


_ENDPOINT = (
    "Address of the service, https and all; default: the region's. "
    "(environment: BACKUP_FRAMES_ENDPOINT)"
)
_REGION = "Such as cn-north-4 or eu-west-101. (environment: BACKUP_FRAMES_REGION)"
_PROJECT_ID = (
    "Project to read; default with AK/SK or a password: the region's own. "
    "(environment: BACKUP_FRAMES_PROJECT_ID)"
)
_CONFIG = "Settings as TOML. (environment: BACKUP_FRAMES_CONFIG)"
_LAKE = "Folder, s3://bucket/prefix or obs://bucket/prefix. (environment: BACKUP_FRAMES_LAKE)"
_MAX_CONNECTIONS = "Requests side by side; default: 2 to 32, the more the longer an answer takes."
_FORM = (
    "How the answer is written. In csv, text that a spreadsheet would run as a formula "
    "(it begins with = + - @ or tab) gets a leading apostrophe."
)
_OWNER = "Only instances of this owner, by the owner tables of the config file."
_LIMIT = "At most so many rows; 0: all. Default: as many as a screen takes, all in a file."

Endpoint = Annotated[str | None, option("URL", _ENDPOINT, ACCOUNT)]
Region = Annotated[str | None, option("NAME", _REGION, ACCOUNT)]
ProjectId = Annotated[str | None, option("ID", _PROJECT_ID, ACCOUNT)]
Config = Annotated[Path | None, option("FILE", _CONFIG, ACCOUNT, parser=named)]
Lake = Annotated[str | None, option("URL", _LAKE)]
MaxRequests = Annotated[
    float | None, option("NUMBER", "Own limit below the service's quota.", ACCOUNT)
]
MaxConnections = Annotated[int | None, option("NUMBER", _MAX_CONNECTIONS, ACCOUNT)]
Form = Annotated[AnswerFormat, option(None, _FORM, OUTPUT, name="--format")]
Out = Annotated[
    Path | None, option("FILE", "File to write; default: stdout.", OUTPUT, parser=written)
]
Owner = Annotated[str | None, option("NAME", _OWNER, FILTER)]
EnterpriseProject = Annotated[
    str | None, option("ID", "Only instances of this enterprise project.", FILTER)
]
Columns = Annotated[str | None, option("A,B", "Only these columns, in this order.", OUTPUT)]
Limit = Annotated[int | None, option("N", _LIMIT, OUTPUT, min=0)]


def lake_of(settings: Settings) -> str:
    """Return the lake's address, or ask for it."""
    if settings.lake is None:
        raise ConfigError("No lake is set. Give --lake, or export BACKUP_FRAMES_LAKE.")
    return settings.lake


def known_of(config: Path | None, lake: str) -> dict[str, Any]:
    """What the config file says of a lake: its owners, attestations and projects, as arguments."""
    from ...settings.owners import load_attestations, load_owners
    from ...settings.resolve import load_project_ids

    return {
        "owners": load_owners(config),
        "attestations": load_attestations(config),
        "projects": load_project_ids(config, lake),
    }


def default_name(lake: str, suffix: str) -> Path:
    """A file in this folder, named after the lake.

    Examples:
        >>> default_name("s3://bucket/backups?region=eu-west-101", ".html")
        PosixPath('backups.html')
    """
    name = lake.partition("?")[0].rstrip("/").rpartition("/")[2]
    return Path((name if name.strip(".") else "lake") + suffix)
