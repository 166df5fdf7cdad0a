"""What there is to be backed up: instances and their backup policies, asked and checked.

In: a client and a project. Out: records as sent, and how far they can be trusted. The list of
instances knows only offsets, so a list of several pages can lose or double a row while it moves;
it is read until two passes in a row agree. Each policy is a request of its own.

Source: ``GET /v3/{project_id}/instances`` (row offset, limit 1 to 100) and
``GET /v3.1/{project_id}/instances/{instance_id}/backups/policy``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from ..api.answers import check_nesting, describe_body
from ..api.json_text import pair_surrogates, refuse_constant
from ..api.query import MAX_LIMIT, check_project_id
from ..errors import AuthError, BackupFramesError, FetchError, PageError, RejectedError, SchemaError

if TYPE_CHECKING:
    from ..api.client import BackupClient

Record = dict[str, Any]

MAX_PASSES: Final = 5
"""So often is a moving list of several pages read before it counts as not proven."""

MAX_INSTANCES: Final = 100_000
"""A list that claims more is no list of instances."""

_MAX_DIGITS: Final = 300  # of a whole number; no double is larger

TRIED_FIRST: Final = 2
"""So many policies are asked first; if none may be read, nor may the others."""

_INSTANCE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_INSTANCE: Final = frozenset({"DBS.200002", "DBS.201028", "DBS.280110"})
_Answer = TypeVar("_Answer")


class PolicyAnswers(NamedTuple):
    """What came of asking for policies.

    Attributes:
        policies: by instance id, as sent; empty if the service has none for it.
        missing: instances that do not exist any more.
        refused: by instance id, why the service has no readable policy for it.
        stopped_by: what ended the asking before all were asked: the service failed, or refused
            all that were tried first; None if all were asked.
    """

    policies: dict[str, Record]
    missing: list[str]
    refused: dict[str, BackupFramesError]
    stopped_by: BackupFramesError | None


class _Page(msgspec.Struct):
    total_count: int
    instances: list[Record]


def list_instances(
    client: BackupClient, project_id: str, *, connections: int = 8
) -> tuple[list[Record], bool]:
    """Read all instances; one request up to 100 of them, else two passes or more.

    Args:
        client: asks.
        project_id: whose instances.
        connections: pages asked side by side.

    Returns:
        The records as sent, each id once; and whether it is proven that none is missing: one answer
        held all, or two passes agreed.

    Raises:
        FetchError: the service refused or failed.
        SchemaError: an answer is no list of instances.
    """
    path = f"/v3/{check_project_id(project_id)}/instances"

    def ask(offset: int) -> _Page:
        params = (("limit", str(MAX_LIMIT)), ("offset", str(offset)))
        return _fetch(client, path, params, _read_page)

    found, before = dict[str, Record](), None
    for _ in range(MAX_PASSES):
        first = ask(0)
        is_full_page = len(first.instances) == MAX_LIMIT
        offsets = range(MAX_LIMIT, first.total_count if is_full_page else 0, MAX_LIMIT)
        with ThreadPoolExecutor(connections) as pool:
            pages = [first, *pool.map(ask, offsets)]
        records = list(chain.from_iterable(page.instances for page in pages))
        found = {record["id"]: record for record in records}
        counts = {len(records), len(found), *(page.total_count for page in pages)}
        is_whole = len(counts) == 1
        if is_whole and (not offsets or before == found.keys()):
            return list(found.values()), True
        before = found.keys() if is_whole else None
    return list(found.values()), False


def fetch_policies(
    client: BackupClient, project_id: str, instance_ids: Sequence[str], *, connections: int = 8
) -> PolicyAnswers:
    """Ask for the backup policies of instances, one request each, side by side.

    Nothing is raised for the service's sake: what was read before it failed is worth keeping.
    """
    answers = PolicyAnswers({}, [], {}, None)
    path = f"/v3.1/{check_project_id(project_id)}/instances/{{}}/backups/policy"

    def ask(instance_id: str) -> Record | BackupFramesError:
        try:
            if not _INSTANCE_ID.fullmatch(instance_id):
                raise _outside_contract("id", "letters, digits, '_' or '-', 64 at most", "another")
            return _fetch_policy(client, path.format(instance_id))
        except (RejectedError, AuthError, SchemaError) as error:
            if isinstance(error, AuthError) and error.is_token_refused:
                raise
            return error

    try:
        with ThreadPoolExecutor(connections) as pool:
            for batch in (instance_ids[:TRIED_FIRST], instance_ids[TRIED_FIRST:]):
                for instance_id, answer in zip(batch, pool.map(ask, batch), strict=True):
                    _sort_answer(answers, instance_id, answer)
                denied = list(filter(_is_denied, answers.refused.values()))
                if len(denied) == len(batch) > 0 and not answers.policies:
                    return answers._replace(refused={}, stopped_by=denied[0])
    except FetchError as error:
        return answers._replace(stopped_by=error)
    return answers


def _sort_answer(
    answers: PolicyAnswers, instance_id: str, answer: Record | BackupFramesError
) -> None:
    if not isinstance(answer, BackupFramesError):
        answers.policies[instance_id] = answer
    elif _is_missing(answer):
        answers.missing.append(instance_id)
    else:
        answers.refused[instance_id] = answer


def _is_missing(error: BackupFramesError) -> bool:
    """Whether the service says that there is no such instance."""
    if not isinstance(error, FetchError):
        return False
    return error.code in _NO_INSTANCE or (error.status == 404 and not _is_denied(error))


def _is_denied(error: BackupFramesError) -> bool:
    """Whether it is the call that is refused: no permission, or the gateway has no such API."""
    code = (error.code if isinstance(error, FetchError) else None) or ""
    return isinstance(error, AuthError) or code.startswith(("APIGW.", "APIG."))


def _fetch_policy(client: BackupClient, path: str) -> Record:
    # The manual says that an empty body means: switched off. A cut answer is empty, too, so one
    # is believed only when it comes twice.
    policy = _fetch(client, path, (), _read_policy)
    if policy is None:
        policy = _fetch(client, path, (), _read_policy)
    return policy or {}


def _fetch(
    client: BackupClient,
    path: str,
    params: tuple[tuple[str, str], ...],
    read: Callable[[bytes], _Answer],
) -> _Answer:
    """Ask until the answer is JSON, within the gate's budget for retries."""
    attempt = 1
    while True:
        body = client.fetch_json(path, params)
        try:
            return read(body)
        except PageError as error:
            client.gate.failed(error, attempt)
            attempt += 1


def _decode(body: bytes) -> Any:
    """The body; numbers beyond all doubles are kept as text, so that one stops no read."""
    try:
        check_nesting(body)
        return json.loads(
            pair_surrogates(body).decode(),
            parse_int=lambda digits: int(digits) if len(digits) < _MAX_DIGITS else digits,
            parse_float=lambda text: float(text) if math.isfinite(float(text)) else text,
            parse_constant=refuse_constant,
        )
    except (RecursionError, ValueError) as error:
        raise PageError(
            f"The service answered with {describe_body(body)} instead of JSON. Try again, and "
            "check the endpoint if it stays so.",
            status=200,
        ) from error


def _read_page(body: bytes) -> _Page:
    try:
        page = msgspec.convert(_decode(body), _Page)
    except msgspec.ValidationError as error:
        # Only the kind of the value is told: an answer of this sort may hold anything.
        raise _outside_contract(
            "instances", "an object with total_count and instances", str(error)
        ) from error
    for index, record in enumerate(page.instances):
        if not isinstance(record.get("id"), str) or not record["id"]:
            raise _outside_contract(
                f"instances[{index}].id", "a text, not empty", type(record.get("id")).__name__
            )
    if not 0 <= page.total_count <= MAX_INSTANCES:
        expected = f"an integer of 0 to {MAX_INSTANCES}"
        raise _outside_contract("total_count", expected, str(page.total_count))
    return page


def _read_policy(body: bytes) -> Record | None:
    """The policy; empty if the service says there is none, None for an answer without any body."""
    if not body.strip():
        return None
    answer = _decode(body)
    if isinstance(answer, dict):
        policy = answer.get("backup_policy") if answer else {}
        if isinstance(policy, dict):
            return policy
        if "backup_policy" in answer and policy in (None, ""):
            return {}
    kind = type(answer).__name__
    raise _outside_contract("backup_policy", "an object", kind if kind != "dict" else "another")


def _outside_contract(path: str, expected: str, got: str) -> SchemaError:
    return SchemaError(
        f"The service's JSON is outside the contract at {path}: expected {expected}, got {got}. "
        "Nothing was taken from this answer; report it to the service.",
        path=path,
        expected=expected,
        got=got[:200],
    )
