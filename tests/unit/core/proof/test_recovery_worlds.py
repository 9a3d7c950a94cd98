"""What owners conclude in small worlds is what really happened: nothing lost, nothing twice, in order, and it ends."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.proof import assignment, recovery
from bridge.core.proof.assignment import NOBODY
from bridge.core.proof.ledger_entries import Resolved
from bridge.core.proof.ledger_index import LedgerIndex
from tests.unit.core.proof import worlds
from tests.unit.core.proof.worlds import MARGIN_MS, SETTLE_MS, World

WORLDS = 1500
CAUGHT_IN = [4597, 6879, 7298, *range(600)]
"""The first ones hold what is rare."""


def test_worlds_end_as_they_should():
    crashes = landed = lost = 0
    for seed in range(WORLDS):
        world = World(seed)
        try:
            world.run()
            world.check()
        except AssertionError as error:
            raise AssertionError(f"World({seed}): {error}") from error
        assert world.unsettled == 0, f"World({seed})"
        crashes, landed, lost = crashes + world.crashes, landed + world.landed, lost + world.lost
    assert min(crashes, landed, lost) > WORLDS, "nothing happens in these worlds"


@settings(max_examples=50)
@given(seed=st.integers(0, 2**48))
def test_any_world_ends_as_it_should(seed):
    world = World(seed)
    world.run()
    world.check()


def test_what_is_given_up_is_counted():
    """Where it is given up at once, records may be written twice and out of order, but no more of them than are counted."""
    unsettled = 0
    for seed in range(400):
        world = World(seed, deadline_ms=0)
        world.run()
        world.check()
        unsettled += world.unsettled
    assert unsettled > 50


def test_what_the_ways_that_are_not_followed_leave_over_is_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(assignment, "STATES_MAX", 2)
    unsettled = 0
    for seed in range(WORLDS):
        world = World(seed)
        world.run()
        world.check()
        unsettled += world.unsettled
    assert unsettled > 0


# Each of the rules is needed.


def with_known(**changes: Any) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        real = recovery.settle
        patch.setattr(worlds, "settle", lambda expected, evidence, known: real(expected, evidence, replace(known, **changes)))

    return plant


def ignoring_claims(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LedgerIndex, "claimed_by", lambda *_: None)


def ignoring_doubts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LedgerIndex, "doubts_of", lambda *_: [])


def without_settle(patch: pytest.MonkeyPatch) -> None:
    real = recovery.settle

    def early(expected: Any, evidence: Any, known: Any) -> Any:
        shorter = [replace(rows, until_ms=[until - SETTLE_MS for until in rows.until_ms]) for rows in expected]
        return real(shorter, evidence, known)

    patch.setattr(worlds, "settle", early)


def claims_are_facts(patch: pytest.MonkeyPatch) -> None:
    real = recovery._Judge
    patch.setattr(recovery, "_Judge", lambda known, decided, _contested, *rest: real(known, decided, False, *rest))


def undecided(patch: pytest.MonkeyPatch) -> None:
    real = recovery._Judge
    patch.setattr(recovery, "_Judge", lambda known, _decided, *rest: real(known, True, *rest))


def any_row_first(patch: pytest.MonkeyPatch) -> None:
    """Each record to any row of any lane that is alike: no prefix."""

    def greedy(lanes: Any, records: Any) -> assignment.Assigned:
        heads = [0] * len(lanes)
        assigned = []
        for _ in records:
            lane = next((i for i, rows in enumerate(lanes) if heads[i] < len(rows)), NOBODY)
            if lane != NOBODY:
                heads[lane] += 1
            assigned.append(lane)
        return assignment.Assigned(assigned)

    patch.setattr(recovery, "assign", greedy)


def own_digests_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(worlds, "digests_to_watch", lambda expected, *_: {digest for rows in expected for digest in rows.digests})


def as_far_back_as_our_rows(patch: pytest.MonkeyPatch) -> None:
    real = recovery.needed_since_ms
    patch.setattr(worlds, "needed_since_ms", lambda expected, _index: real(expected, LedgerIndex(0)))


def doubts_are_not_said_again(patch: pytest.MonkeyPatch) -> None:
    real = worlds.Owner.take_over

    def take_over(owner: worlds.Owner) -> None:
        known = len(owner.holdings)
        real(owner)
        for holding in owner.holdings[known:]:
            holding.published |= holding.noted

    patch.setattr(worlds.Owner, "take_over", take_over)


def no_note_of_absence(patch: pytest.MonkeyPatch) -> None:
    real = World.write
    patch.setattr(World, "write", lambda world, group: None if isinstance(group, Resolved) else real(world, group))


def dropped_aggregates_count(patch: pytest.MonkeyPatch) -> None:
    real = worlds.Owner.read

    def read(owner: worlds.Owner) -> Any:
        hidden = [record for shard in owner.world.stream.shards for record in shard.records if record.dropped]
        for record in hidden:
            record.dropped = False
        found = real(owner)
        for record in hidden:
            record.dropped = True
        return found

    patch.setattr(worlds.Owner, "read", read)


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(with_known(known_to_ms=math.inf), id="claims without waiting for other watermarks"),
        pytest.param(with_known(read_to_ms=math.inf), id="absent without a read to the tip"),
        pytest.param(with_known(margin_ms=-MARGIN_MS), id="no margin"),
        without_settle,
        ignoring_claims,
        ignoring_doubts,
        claims_are_facts,
        undecided,
        any_row_first,
        own_digests_only,
        as_far_back_as_our_rows,
        doubts_are_not_said_again,
        no_note_of_absence,
        dropped_aggregates_count,
    ],
)
def test_each_rule_is_needed(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch):
    plant(monkeypatch)
    for seed in CAUGHT_IN:
        world = World(seed)
        try:
            world.run()
            world.check()
            assert world.unsettled == 0
        except AssertionError:
            return
    pytest.fail(f"none of {len(CAUGHT_IN)} worlds needs it")
