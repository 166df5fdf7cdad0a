"""A state machine that moves the list at will while the walk reads it."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from support.model import START_S, Profile
from support.reads import LIMIT, open_model

from backup_frames.api.query import LEVELS, BackupQuery
from backup_frames.scan.asking.schedule import Ask, Schedule
from backup_frames.scan.plan import CEILING_S, FLOOR_S
from backup_frames.scan.walks.walk import FinishedRange


class WalkMachine(RuleBasedStateMachine):
    """Rows come and go between any two answers, in any order; the promise holds at the end."""

    @initialize(
        rows=st.integers(0, 60),
        ties=st.integers(1, 4),
        is_end_included=st.booleans(),
        seed=st.integers(0, 99),
    )
    def start(self, rows: int, ties: int, is_end_included: bool, seed: int) -> None:
        profile = Profile("machine", rows=rows, ties=ties, is_end_included=is_end_included)
        self.model, self.client, _ = open_model(profile, seed)
        self.schedule = Schedule(
            BackupQuery("p", limit=LIMIT),
            levels=LEVELS,
            spans=[(FLOOR_S, CEILING_S)],
            now_s=START_S,
            is_full=True,
        )
        self.flying: list[Ask] = []
        self.finished: list[FinishedRange] = []

    @precondition(lambda self: not self.schedule.is_done)
    @rule(pick=st.integers(0, 7))
    def answer(self, pick: int) -> None:
        while len(self.flying) < 4 and (ask := self.schedule.take()) is not None:
            self.flying.append(ask)
        ask = self.flying.pop(pick % len(self.flying))
        self.finished += self.schedule.give(ask, self.client.fetch_page(ask.query))

    @rule(days_ago=st.integers(0, 40), level=st.sampled_from(LEVELS))
    def appear(self, days_ago: int, level: str) -> None:
        self.model._add(level, float(START_S - days_ago * 86400))

    @precondition(lambda self: self.model.rows)
    @rule(pick=st.integers(0, 10**6))
    def vanish(self, pick: int) -> None:
        ids = sorted(self.model.rows)
        self.model._delete(ids[pick % len(ids)])

    @precondition(lambda self: self.model.rows)
    @rule(pick=st.integers(0, 10**6))
    def vanish_among_the_oldest(self, pick: int) -> None:
        oldest = sorted(self.model.rows.values(), key=lambda row: row.begin or 0)
        self.model._delete(oldest[pick % min(len(oldest), 3)].id)

    def teardown(self) -> None:
        if not hasattr(self, "schedule"):
            return
        while not self.schedule.is_done:
            self.answer(0)
        ids = [
            json.loads(piece.body)["backups"][index]["id"]
            for done in self.finished
            for piece in done.pieces
            for index in piece.rows
        ]
        assert set(ids) <= self.model.ever
        if not any(done.reasons for done in self.finished):
            assert self.model.held <= set(ids)
            assert len(ids) == len(set(ids))


TestWalkMachine = WalkMachine.TestCase
TestWalkMachine.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)
