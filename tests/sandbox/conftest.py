from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from backup_frames.sandbox import Sandbox

Get = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def still() -> Iterator[Sandbox]:
    """A sandbox that no test changes."""
    with Sandbox(backups=1200, seed=11) as sandbox:
        yield sandbox


@pytest.fixture
def connect() -> Iterator[Callable[[Sandbox], Get]]:
    """Makes a function that asks a sandbox's backup list, with its token."""
    clients: list[httpx.Client] = []

    def bind(sandbox: Sandbox) -> Get:
        client = httpx.Client(
            base_url=sandbox.endpoint,
            headers={"X-Auth-Token": sandbox.token},
            verify=False,  # over HTTP: reading certificates would take longer than most tests
        )
        clients.append(client)

        def get(path: str = f"/v3.1/{sandbox.project_id}/backups", **params: Any) -> httpx.Response:
            return client.get(path.format(project=sandbox.project_id), params=params)

        return get

    yield bind
    for client in clients:
        client.close()


@pytest.fixture
def get(still: Sandbox, connect: Callable[[Sandbox], Get]) -> Get:
    return connect(still)
