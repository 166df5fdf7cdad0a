"""The routes: what is answered to which path, and in which order a call is checked.

In: requests. Out: JSON answers of the service, its gateway and IAM. A call is logged (names of
headers only, never their values), delayed, applied by faults, authenticated, checked for project and
permission, and then answered from the fleet.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_hex

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .answers import NO_API, Problem, json_response, refuse_call, refuse_login, refuse_usually
from .faults import Asked, Fault
from .iam import Call, Iam
from .query import Dialect, read_count, read_list_query
from .world.fleet import Fleet
from .world.index import LEVELS, render_json

_PROJECT_ID = re.compile(r"[0-9A-Za-z]{32}")
_PUBLIC = ("tokens",)  # asked before anybody has a token


@dataclass
class Received:
    """One request in the log, with the status it was answered with."""

    operation: str
    method: str
    path: str
    params: dict[str, str]
    header_names: tuple[str, ...]
    status: int | None = None


@dataclass
class Service:
    """Everything the routes need; tests reach it as attributes of `Sandbox`."""

    fleet: Fleet
    iam: Iam
    faults: list[Fault]
    dialect: Dialect = field(default_factory=Dialect)
    latency_s: float = 0.0
    denied: set[str] = field(default_factory=set)  # operations the user has no permission for
    extra_headers: dict[str, str] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    hooks: list[Callable[[Received], object]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def app(self) -> Starlette:
        """The ASGI application."""
        backups, policy = self._route("backups", self._backups), self._route("policy", self._policy)
        instances = self._route("instances", self._instances)
        routes = [
            Route("/v3.1/{project_id}/backups", backups, methods=["GET"]),
            Route("/v4/{project_id}/backups", backups, methods=["GET"]),
            Route("/v3/auth/tokens", self._route("tokens", self._tokens), methods=["POST"]),
            Route("/v3/projects", self._route("projects", self._projects), methods=["GET"]),
            Route("/v3/{project_id}/instances", instances, methods=["GET"]),
            Route(
                "/v3.1/{project_id}/instances/{instance_id}/backups/policy", policy, methods=["GET"]
            ),
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})
        app.router.redirect_slashes = False
        return app

    def _route(
        self, operation: str, answer: Callable[[Request, bytes], Response]
    ) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            received = Received(
                operation,
                request.method,
                request.url.path,
                dict(request.query_params),
                tuple(request.headers.keys()),
            )
            self.requests.append(received)
            body = await request.body()
            applied: list[Fault] = []
            await asyncio.sleep(self.latency_s)
            try:
                response = await self._apply_faults(request, received, applied)
                response = response or self._answer(request, body, received, answer)
            except Problem as problem:
                response = problem.response()
            except Exception as error:
                self.errors.append(error)
                raise
            for fault in applied:
                response = fault.spoil(response)
            received.status = response.status_code
            response.headers["X-Request-Id"] = token_hex(16)
            response.headers["Server"] = "api-gateway"
            response.headers.update(self.extra_headers)
            return response

        return endpoint

    async def _apply_faults(
        self, request: Request, received: Received, applied: list[Fault]
    ) -> Response | None:
        """Ask the faults in order until one answers; those that are due are added to `applied`."""
        token = request.headers.get("x-auth-token")
        asked = Asked(received.params, lambda: self.iam.revoke(token))
        for fault in list(self.faults):
            if not fault.applies_to(received.operation):
                continue
            applied.append(fault)
            await asyncio.sleep(fault.delay_s())
            response = fault.replace(asked)
            if response is not None:
                return response
        return None

    def _answer(
        self,
        request: Request,
        body: bytes,
        received: Received,
        answer: Callable[[Request, bytes], Response],
    ) -> Response:
        if received.operation not in _PUBLIC:
            self._admit(request, body)
        if received.operation in self.denied:
            raise refuse_usually(403)
        if received.operation == "backups":
            for hook in self.hooks:
                hook(received)
        return answer(request, body)

    def _admit(self, request: Request, body: bytes) -> None:
        raw_path: bytes = request.scope["raw_path"]
        query: bytes = request.scope["query_string"]
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, query_text = raw_path.decode("latin-1"), query.decode("latin-1")
        self.iam.admit(Call(request.method, path, query_text, headers, body))
        project_id = request.path_params.get("project_id")
        if project_id is None:
            return
        if not _PROJECT_ID.fullmatch(project_id):
            raise refuse_call(400, "DBS.280408", "Invalid project id.")
        if project_id != self.iam.project_id:
            raise refuse_call(403, "APIGW.0310", "The project is unavailable.")

    def _backups(self, request: Request, _: bytes) -> Response:
        query = read_list_query(request.query_params, self.dialect)
        total, rows = self.fleet.page(query)
        return json_response(b'{"total_count":%d,"backups":[%b]}' % (total, rows))

    def _instances(self, request: Request, _: bytes) -> Response:
        params = request.query_params
        limit = read_count(params, "limit", 100, low=1, high=100)
        offset = read_count(params, "offset", 0, low=0, high=2**31 - 1)
        total, page = self.fleet.instance_page(
            limit=limit,
            offset=offset,
            instance_id=params.get("id"),
            engine=params.get("datastore_type"),
        )
        return json_response({"instances": page, "total_count": total})

    def _policy(self, request: Request, _: bytes) -> Response:
        if request.query_params.get("type", LEVELS[0]) not in LEVELS:
            raise refuse_usually(400)
        policy = self.fleet.policy(request.path_params["instance_id"])
        if policy is None:
            raise refuse_call(404, "DBS.200002", "The DB instance does not exist.")
        return json_response({"backup_policy": policy})

    def _tokens(self, _: Request, body: bytes) -> Response:
        try:
            login = json.loads(body)
        except ValueError:
            raise refuse_login(400, "The request body is invalid", "Bad Request") from None
        token, description = self.iam.log_in(login)
        return json_response(render_json(description), 201, {"X-Subject-Token": token})

    def _projects(self, request: Request, _: bytes) -> Response:
        return json_response(self.iam.projects(request.query_params.get("name")))


async def _no_route(_: Request, error: Exception) -> Response:
    """An unknown path and a wrong method are one thing to the gateway: no such API."""
    is_known = isinstance(error, HTTPException) and error.status_code == 405
    text = "The API does not exist." if is_known else NO_API
    return refuse_call(404, "APIGW.0101", text).response()
