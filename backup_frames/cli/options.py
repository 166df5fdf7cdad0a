"""What several commands share, stated once: options.

In: nothing. Out: annotated types for the parameters of typer commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Endpoint = Annotated[
    str | None,
    typer.Option(
        help="Address of the service, such as https://gaussdb-nosql.cn-north-4.myhuaweicloud.com; "
        "default: the region's. (environment: BACKUP_FRAMES_ENDPOINT)"
    ),
]
Region = Annotated[
    str | None,
    typer.Option(help="Such as cn-north-4 or eu-west-101. (environment: BACKUP_FRAMES_REGION)"),
]
ProjectId = Annotated[
    str | None,
    typer.Option(
        help="Project to read; default with AK/SK or a password: the region's own. "
        "(environment: BACKUP_FRAMES_PROJECT_ID)"
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Settings as TOML. (environment: BACKUP_FRAMES_CONFIG)"),
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
    typer.Option("--max-requests-per-second", help="Own limit below the service's quota."),
]
MaxConnections = Annotated[
    int | None, typer.Option("--max-connections", help="Requests side by side; default 8.")
]
