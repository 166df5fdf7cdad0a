"""From settings to a client that is ready to ask.

In: `Settings`. Out: a `BackupClient` with the right authenticator, and the project id it is for,
looked up at IAM by region when it is not given.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..clock import Clock, clock_or_machines
from ..errors import AuthError, ConfigError, SchemaError
from ..settings import Settings
from .gate import Gate
from .query import check_project_id

if TYPE_CHECKING:
    import httpx

    from .auth import Authenticator
    from .client import BackupClient


def open_client(
    settings: Settings,
    *,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
) -> tuple[BackupClient, str]:
    """Make a client, and tell the project id it asks for.

    Cost: no request, but one or two to IAM if the project id must be looked up by region.

    Args:
        settings: endpoint, credentials, limits.
        transport: what carries requests; None for real connections.
        clock: time and waiting; None for the machine's.

    Raises:
        ConfigError: something is missing, before any request; or the region has no such project.
        FetchError: the look-up of the project id failed.
    """
    from .client import BackupClient  # noqa: PLC0415  # httpx, which a lake alone does without

    settings.require_connection()
    clock = clock_or_machines(clock)
    if transport is not None and not hasattr(transport, "handle_request"):
        raise ConfigError(f"transport is {transport!r}; give an httpx transport, or None.")
    client = BackupClient(
        settings.service_url or "",
        lambda client: _authenticator(settings, client, clock),
        transport=transport,
        clock=clock,
        gate=Gate(clock, max_requests_per_second=settings.max_requests_per_second),
        timeout_s=settings.timeout_s,
        max_connections=settings.max_connections,
    )
    try:
        return client, settings.project_id or _find_project_id(settings, client)
    except BaseException:
        client.close()
        raise


def _authenticator(settings: Settings, client: BackupClient, clock: Clock) -> Authenticator:
    from .auth import AccessKey, PasswordLogin, StaticToken  # noqa: PLC0415  # likewise

    if settings.token is not None:
        return StaticToken(settings.token.get_secret_value())
    if settings.access_key is not None and settings.secret_key is not None:
        session = settings.security_token
        return AccessKey(
            settings.access_key.get_secret_value(),
            settings.secret_key.get_secret_value(),
            session.get_secret_value() if session else None,
            clock,
        )
    if settings.username is None or settings.password is None:
        raise ConfigError("No credentials are set. Export BACKUP_FRAMES_TOKEN.")
    scope = {"id": settings.project_id} if settings.project_id else {"name": settings.known_region}
    return PasswordLogin(
        iam_endpoint=settings.iam_url or "",
        username=settings.username,
        password=settings.password.get_secret_value(),
        domain=settings.domain,
        project={name: value for name, value in scope.items() if value},
        send=client.send_plain,
        clock=clock,
    )


def _find_project_id(settings: Settings, client: BackupClient) -> str:
    """The id of the region's own project, as ``GET /v3/projects?name={region}`` tells."""
    region = settings.known_region or ""
    try:
        body = client.fetch_json("/v3/projects", (("name", region),), origin=settings.iam_url)
    except AuthError as error:
        error.args = (f"{error} Or give project_id=, so that it need not be looked up.",)
        raise
    try:
        ids = [check_project_id(project["id"]) for project in json.loads(body)["projects"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SchemaError(
            f"IAM at {settings.iam_url} answered without projects; give project_id=.",
            path="projects",
            expected="an array of objects with an id",
            got=body[:200].decode("utf-8", "replace"),
        ) from None
    if len(ids) != 1:
        raise ConfigError(
            f"Region {region} has {len(ids)} projects of that name for these credentials; "
            "give project_id= as the console shows under My Credentials."
        )
    return ids[0]
