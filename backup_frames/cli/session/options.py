"""What several commands share, stated once: options.

In: nothing. Out: annotated types for the parameters of typer commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import ConfigError
from ..screen.exports import AnswerFormat

if TYPE_CHECKING:
    from ...settings import Settings

ACCOUNT, FILTER, OUTPUT = "Account", "Filter", "Output"
"""Panels of a command's help."""


def named(text: str) -> Path:
    """A path that is not empty: as a `Path` that would be the current folder."""
    if not text:
        raise typer.BadParameter("the path is empty; give a name")
    return Path(text)


def written(text: str) -> Path:
    """A path to write to; ``-`` is stdout, as elsewhere."""
    return Path("/dev/stdout") if text == "-" else named(text)


Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Address of the service, https and all; default: the region's. "
        "(environment: BACKUP_FRAMES_ENDPOINT)",
        rich_help_panel=ACCOUNT,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Such as cn-north-4 or eu-west-101. (environment: BACKUP_FRAMES_REGION)",
        rich_help_panel=ACCOUNT,
    ),
]
ProjectId = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Project to read; default with AK/SK or a password: the region's own. "
        "(environment: BACKUP_FRAMES_PROJECT_ID)",
        rich_help_panel=ACCOUNT,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        parser=named,
        help="Settings as TOML. (environment: BACKUP_FRAMES_CONFIG)",
        rich_help_panel=ACCOUNT,
    ),
]
Lake = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Folder, s3://bucket/prefix or obs://bucket/prefix. (environment: BACKUP_FRAMES_LAKE)",
    ),
]
MaxRequests = Annotated[
    float | None,
    typer.Option(
        "--max-requests-per-second",
        metavar="NUMBER",
        help="Own limit below the service's quota.",
        rich_help_panel=ACCOUNT,
    ),
]
MaxConnections = Annotated[
    int | None,
    typer.Option(
        "--max-connections",
        metavar="NUMBER",
        help="Requests side by side; default: 2 to 32, the more the longer an answer takes.",
        rich_help_panel=ACCOUNT,
    ),
]
Form = Annotated[
    AnswerFormat,
    typer.Option(
        "--format",
        help="How the answer is written. In csv, text that a spreadsheet would run as a formula "
        "(it begins with = + - @ or tab) gets a leading apostrophe.",
        rich_help_panel=OUTPUT,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        parser=written,
        help="File to write; default: stdout.",
        rich_help_panel=OUTPUT,
    ),
]
Owner = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Only instances of this owner, by the owner tables of the config file.",
        rich_help_panel=FILTER,
    ),
]
EnterpriseProject = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Only instances of this enterprise project.",
        rich_help_panel=FILTER,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Only these columns, in this order.", rich_help_panel=OUTPUT),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="At most so many rows; 0: all. Default: as many as a screen takes, all in a file.",
        rich_help_panel=OUTPUT,
    ),
]


def lake_of(settings: Settings) -> str:
    """Return the lake's address, or ask for it."""
    if settings.lake is None:
        raise ConfigError("No lake is set. Give --lake, or export BACKUP_FRAMES_LAKE.")
    return settings.lake


def default_name(lake: str, suffix: str) -> Path:
    """A file in this folder, named after the lake.

    Examples:
        >>> default_name("s3://bucket/backups?region=eu-west-101", ".html")
        PosixPath('backups.html')
    """
    name = lake.partition("?")[0].rstrip("/").rpartition("/")[2]
    return Path((name if name.strip(".") else "lake") + suffix)
