"""One simulated read: the real client and scan code against the model, and what came of it.

Beside it stand the strategies that readers use elsewhere; the simulation must catch them.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from itertools import pairwise

from support.clocks import VirtualClock
from support.model import START, Model, ModelTransport, Profile

from backup_frames.api.answers import Page
from backup_frames.api.auth import PasswordLogin
from backup_frames.api.client import BackupClient
from backup_frames.api.gate import Gate
from backup_frames.api.query import LEVELS, BackupQuery
from backup_frames.errors import BackupFramesError, RejectedError
from backup_frames.scan.asking.schedule import Ask, Schedule
from backup_frames.scan.plan import CEILING_S, FLOOR_S

LIMIT = 5


@dataclass(frozen=True)
class Outcome:
    """What a read claimed, and what the model knows."""

    is_complete: bool
    reasons: tuple[str, ...]
    lost: int
    doubled: int
    invented: int
    requests: int
    error: BackupFramesError | None
    model: Model


def open_model(profile: Profile, seed: int) -> tuple[Model, BackupClient, random.Random]:
    """A model of the profile and the real client on top of it."""
    rng = random.Random(f"{profile.name}-{seed}")
    clock = VirtualClock(START)
    model = Model(profile, rng, clock)

    def login(client: BackupClient) -> PasswordLogin:
        return PasswordLogin(
            iam_endpoint="http://127.0.0.1",
            username="u",
            password="p4ssw0rd",
            domain="d",
            project={"id": "p"},
            send=client.send_plain,
            clock=clock,
        )

    client = BackupClient(
        "http://127.0.0.1",
        login,
        transport=ModelTransport(model),
        clock=clock,
        gate=Gate(clock, rng=rng),
    )
    return model, client, rng


def verified_read(profile: Profile, seed: int, *, is_proving: bool = True) -> Outcome:
    """Read everything as `read_backups` does, workers interleaved as the seed says."""
    model, client, rng = open_model(profile, seed)
    schedule = Schedule(
        BackupQuery("p", limit=LIMIT),
        levels=LEVELS,
        spans=[(FLOOR_S, CEILING_S)],
        now_s=int(client.clock.now().timestamp()),
        is_full=True,
        is_proving=is_proving,
    )
    workers = rng.choice((1, 2, 8))
    finished = []
    flying: list[Ask] = []
    error = None
    try:
        while not schedule.is_done:
            while len(flying) < workers and (ask := schedule.take()) is not None:
                flying.append(ask)
            ask = flying.pop(rng.randrange(len(flying)))
            try:
                answer: Page | RejectedError = client.fetch_page(ask.query)
            except RejectedError as refused:
                answer = refused
            finished += schedule.give(ask, answer)
    except BackupFramesError as caught:
        error = caught
    timed: list[str] = []
    untimed: set[str] = set()
    for done in finished:
        for piece in done.pieces:
            rows = json.loads(piece.body)["backups"]
            for index in piece.rows:
                row = rows[index]
                is_timed = "begin_time" in row and done.begin_s is not None
                timed.append(row["id"]) if is_timed else untimed.add(row["id"])
    reasons = tuple(reason for done in finished for reason in done.reasons)
    return _judge(model, timed, untimed, not reasons, reasons, error)


def _judge(
    model: Model,
    timed: list[str],
    untimed: set[str],
    is_complete: bool,
    reasons: tuple[str, ...] = (),
    error: BackupFramesError | None = None,
) -> Outcome:
    ids = {*timed, *untimed}
    return Outcome(
        is_complete=is_complete and error is None,
        reasons=reasons,
        lost=len(model.held - ids),
        doubled=0 if model.profile.ignores_level else len(timed) - len(set(timed)),
        invented=len(ids - model.ever),
        requests=model.requests,
        error=error,
        model=model,
    )


# -- how others read: sparring partners ----------------------------------------------------------


def offset_loop(profile: Profile, seed: int) -> Outcome:
    """Page by offset until a short page: the official SDK's users, dlt, Singer."""
    model, client, _ = open_model(profile, seed)
    ids = [i for level in LEVELS for page in _pages(client, level, LIMIT) for i in page.ids]
    return _judge(model, list(dict.fromkeys(ids)), set(), is_complete=True)


def equal_totals(profile: Profile, seed: int) -> Outcome:
    """Page by offset, and trust it if every page told the same total."""
    model, client, _ = open_model(profile, seed)
    ids: list[str] = []
    is_trusted = True
    for level in LEVELS:
        pages = _pages(client, level, LIMIT)
        is_trusted &= len({page.total_count for page in pages}) == 1
        ids += [i for page in pages for i in page.ids]
    return _judge(model, list(dict.fromkeys(ids)), set(), is_complete=is_trusted)


def overlapping_pages(profile: Profile, seed: int) -> Outcome:
    """Page by offset with one row of overlap, and trust it if each page overlaps the last."""
    model, client, _ = open_model(profile, seed)
    ids: list[str] = []
    is_trusted = True
    for level in LEVELS:
        pages = _pages(client, level, LIMIT - 1)
        for before, after in pairwise(pages):
            is_trusted &= bool(set(before.ids) & set(after.ids))
        ids += [i for page in pages for i in page.ids]
    return _judge(model, list(dict.fromkeys(ids)), set(), is_complete=is_trusted)


def _pages(client: BackupClient, level: str, step: int) -> list[Page]:
    query = replace(BackupQuery("p", limit=LIMIT), level=level)
    pages = [client.fetch_page(query)]
    while len(pages[-1].ids) == LIMIT:
        pages.append(client.fetch_page(replace(query, offset=step * len(pages))))
    return pages
