"""Any order of life, syncs, deaths and damage: the lake is the model's, and verify knows the truth."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.lake_service import HOUR, LEVELS, PROJECT, World, rows_of, sync
from support.stores import FaultStore, Killed, faults_of, snapshot

from backup_frames.errors import LakeError, UnavailableError
from backup_frames.lake.lake import Lake
from backup_frames.lake.storage.layout import parse_key
from backup_frames.sync.maintenance.check import check_lake
from backup_frames.sync.maintenance.repair import repair_project

ANY = st.randoms(use_true_random=False)
TABLES = st.sampled_from([None, [], [("db", ["a"])], [("db", ["a", "b"]), ("x", None)]])


class LakeMachine(RuleBasedStateMachine):
    """A service and its lake, with the plain model beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.is_fresh = False  # whether the lake is the service's, to the row
        self.has_lake = False

    @rule(
        count=st.integers(1, 4),
        level=st.sampled_from(LEVELS),
        tables=TABLES,
        has_begin=st.integers(0, 9),
    )
    def add(self, count, level, tables, has_begin):
        """New backups start, now and then one without begin time."""
        for number in range(count):
            begin = self.world.clock.now() + timedelta(seconds=number) if has_begin else None
            self.world.service.add(begin, level=level, tables=tables, status="BUILDING")
        self.is_fresh = False

    @rule(random=ANY, tables=TABLES)
    def finish(self, random, tables):
        """Some running backups end, as others than they began."""
        for backup in self.world.service.backups.values():
            if backup.status == "BUILDING" and random.random() < 0.5:
                backup.status, backup.tables = "COMPLETED", tables
        self.is_fresh = False

    @rule(random=ANY)
    def expire(self, random):
        """Some backups leave the list."""
        ids = [one for one in self.world.ids() if random.random() < 0.3]
        self.world.service.remove(*ids)
        self.is_fresh = False

    @rule(hours=st.sampled_from([0, 1, 5, 26]))
    def pass_time(self, hours):
        """Time passes."""
        self.world.clock.advance(hours * HOUR)

    @rule(is_full=st.booleans(), reread=st.sampled_from([0, 3, 10]))
    def sync(self, is_full, reread):
        """A sync that ends well."""
        undated = [one for one in self.world.service.backups.values() if one.begin is None]
        known = {one for one, row in self.world.ledger.entries.items() if row["begin_time"] is None}
        is_full = is_full or bool(undated) or bool(known)  # only a full read sees undated rows
        report = sync(
            self.world.service,
            self.world.store,
            is_full=is_full,
            reread_requests=reread,
            allow_mass_deletion=True,
        )
        assert report.exit_code == 0
        self.world.ledger.observe(self.world.service.backups, report.as_of)
        self.world.check()
        self.is_fresh = self.has_lake = True

    @rule(random=ANY, is_full=st.booleans())
    def die(self, random, is_full):
        """A sync is killed at some call, and the next run comes at once."""
        settings = {"is_full": is_full, "allow_mass_deletion": True}
        calm = FaultStore(self.world.store.copy())
        sync(self.world.service, calm, **settings)
        fault = random.choice(faults_of(calm.calls))
        with suppress(Killed, LakeError):
            sync(self.world.service, FaultStore(self.world.store, fault=fault), **settings)
        assert check_lake(self.world.store) == []
        self.sync(is_full=is_full, reread=10)

    @rule(parts=st.integers(0, 2))
    def fail(self, parts):
        """The service fails while it is read, and the next run comes at once."""
        self.world.service.fail_after_parts = parts
        with suppress(UnavailableError):
            sync(self.world.service, self.world.store, is_full=True)
        self.world.service.fail_after_parts = None
        self.sync(is_full=True, reread=10)

    @precondition(lambda self: self.has_lake)
    @rule(name=st.sampled_from(["manifest.json", "state.json"]), is_lost=st.booleans())
    def lose_record(self, name, is_lost):
        """A record is lost or garbled, and a sync follows."""
        key = f"_meta/{PROJECT}/{name}"
        self.world.store.files[key] = b"garbled"
        if is_lost:
            del self.world.store.files[key]
        assert [finding.path for finding in check_lake(self.world.store)] == [key]
        self.sync(is_full=False, reread=0)

    @precondition(lambda self: self.is_fresh)
    @rule(random=ANY)
    def damage(self, random):
        """A file is damaged: verify names it, and a repair brings back all it does not call lost."""
        store = self.world.store
        keys = [key for key in sorted(store.files) if (parse_key(key) or [None])[0] == "table"]
        if not keys:
            return
        key, before = random.choice(keys), snapshot(store)
        data = bytearray(store.files[key])
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        store.files[key] = bytes(data)
        assert {finding.path for finding in check_lake(store)} == {key}
        reader = self.world.service.reader()
        lost = repair_project(reader, store, project_id=PROJECT, clock=self.world.clock)
        assert check_lake(store) == []
        if not lost:
            tables = {one for one in before if not one.startswith("_meta")}
            assert {one: store.files[one] for one in tables} == {one: before[one] for one in tables}
        self._accept_loss()

    def _accept_loss(self) -> None:
        """What repair called lost the model forgets; what is present must be right."""
        found = rows_of(self.world.store)
        for one in self.world.service.backups:
            for name, value in self.world.ledger.entries[one].items():
                if name not in ("first_seen_at", "updated_at"):
                    assert found[one][name] == value, (one, name)
        self.world.ledger.entries = found

    @precondition(lambda self: self.is_fresh)
    @invariant()
    def readers_see_the_service(self):
        """What open_lake shows as present is what the service lists."""
        assert sorted(Lake(self.world.store).backups()["backup_id"].to_pylist()) == self.world.ids()


COMMON = {"suppress_health_check": list(HealthCheck)}


def test_any_short_life_of_a_lake() -> None:
    """Some random lives."""
    run_state_machine_as_test(
        LakeMachine, settings=settings(max_examples=5, stateful_step_count=12, **COMMON)
    )


@pytest.mark.slow
def test_any_long_life_of_a_lake() -> None:
    """A hundred random lives."""
    run_state_machine_as_test(
        LakeMachine, settings=settings(max_examples=100, stateful_step_count=20, **COMMON)
    )
