"""The promise of the verified walk, against services that move and misbehave.

The commit tier runs three reads of each profile; ``python -m pytest -m slow
tests/simulation -n 2 -rP`` runs 100,000 in all and shows a line of figures for each.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from support.model import Profile
from support.profiles import PROFILES
from support.reads import (
    Outcome,
    equal_totals,
    offset_loop,
    overlapping_pages,
    verified_read,
)

from backup_frames.errors import FetchError

COMMIT_READS = 3
ALL_READS = 100_000
UNSTABLE = Profile("unstable", rows=60, ties=4, is_order_unstable=True)
MOVING = Profile("moving", rows=60, late=0.05, delete=0.05, bulk=0.02, swap=0.1)

each_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)


def judge(profile: Profile, seeds: range) -> None:
    """Fail if any complete read lost, doubled or invented a row, or a reason is a wrong one."""
    complete = requests = 0
    for seed in seeds:
        outcome = verified_read(profile, seed)
        requests += outcome.requests
        story = f"{profile.name}, seed {seed}: {outcome}"
        assert outcome.error is None or isinstance(outcome.error, FetchError), story
        assert outcome.error is None or profile.expire, story
        if outcome.is_complete:
            complete += 1
            assert (outcome.lost, outcome.doubled, outcome.invented) == (0, 0, 0), story
        for reason in outcome.reasons:
            assert any(text in reason for text in profile.reasons), story
    figures = f"{profile.name}: {complete} of {len(seeds)} complete, {requests} requests"
    print(figures)  # noqa: T201  # pytest -rP shows them
    assert complete >= profile.min_complete * len(seeds) - 1, figures


def test_there_are_at_least_forty_kinds_of_service() -> None:
    """The simulation covers at least 40 distinct profiles."""
    assert len({profile.name for profile in PROFILES}) == len(PROFILES) >= 40


@each_profile
def test_a_complete_read_has_every_held_row_once(profile: Profile) -> None:
    """Under a complete verdict, every row held for the whole read is there, once."""
    judge(profile, range(COMMIT_READS))


@pytest.mark.slow
@each_profile
def test_a_hundred_thousand_reads_keep_the_promise(profile: Profile) -> None:
    """The same in 100,000 reads over all profiles."""
    judge(profile, range(-(-ALL_READS // len(PROFILES))))


def test_a_backup_that_came_meanwhile_does_not_speak_against_windows() -> None:
    """Of rows without begin time, which no window shows, and of a new backup no list is suspected."""
    profile = next(one for one in PROFILES if one.name == "moving, rows without begin time")
    for seed in (3, 60, 113, 134):
        outcome = verified_read(profile, seed)
        assert outcome.is_complete, (seed, outcome)


@pytest.mark.parametrize("seeds", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_one_answer_of_a_replica_that_lacks_rows_is_made_good(seeds: int) -> None:
    """The answers around it tell, and what it left out is read again; about 1 in 700 cannot tell."""
    complete = 0
    for number, seed in product(range(1, 30), range(seeds)):
        outcome = verified_read(Profile("one lacking answer", lacking_at=number), seed)
        assert not (outcome.is_complete and outcome.lost), f"request {number}, seed {seed}"
        complete += outcome.is_complete
    assert complete >= 25 * seeds


@pytest.mark.parametrize(
    ("strategy", "profile"),
    [(offset_loop, MOVING), (equal_totals, MOVING), (overlapping_pages, UNSTABLE)],
    ids=["offset loop", "equal totals", "overlapping pages"],
)
def test_the_simulation_catches_naive_strategies(
    strategy: Callable[[Profile, int], Outcome], profile: Profile
) -> None:
    """Reading by offset loses rows while it claims to be complete, and the model sees it."""
    outcomes = [strategy(profile, seed) for seed in range(40)]
    assert any(outcome.is_complete and outcome.lost for outcome in outcomes)


@pytest.mark.parametrize("seeds", [20, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("profile", [MOVING, UNSTABLE], ids=["moving", "unstable"])
def test_the_walk_survives_what_naive_strategies_do_not(profile: Profile, seeds: int) -> None:
    """On the same services and seeds, the verified walk loses nothing."""
    outcomes = [verified_read(profile, seed) for seed in range(seeds)]
    assert not any(outcome.lost for outcome in outcomes if outcome.is_complete)
    assert sum(outcome.is_complete for outcome in outcomes) >= seeds / 2


def test_the_same_seed_is_the_same_read() -> None:
    """A simulated read is deterministic: a failure can be looked at again."""
    profile = next(profile for profile in PROFILES if profile.name == "everything")
    first, second = verified_read(profile, 7), verified_read(profile, 7)
    assert (first.requests, first.reasons, first.lost) == (
        second.requests,
        second.reasons,
        second.lost,
    )


@pytest.mark.parametrize(
    "name", ["429 by the minute", "429 with Retry-After", "429 in five minutes"]
)
def test_throttling_is_obeyed_with_little_waste(name: str) -> None:
    """Under 429 the read completes, at most a tenth of its requests wasted above a small floor."""
    profile = next(profile for profile in PROFILES if profile.name == name)
    for seed in range(10):
        outcome = verified_read(profile, seed)
        assert outcome.is_complete
        assert outcome.model.wasted <= max(0.1 * outcome.requests, 9), outcome


def test_expired_tokens_are_renewed_once_each() -> None:
    """Each expiry costs one login, and no call is made with a token known to be refused."""
    profile = Profile("expiring", rows=300, expire=0.01)
    for seed in range(10):
        model = verified_read(profile, seed).model
        assert model.logins <= model.token + 1
        assert model.refused_calls <= model.token
