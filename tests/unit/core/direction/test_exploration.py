"""The laws hold in every state that two replicas and an operator can bring about, and bugs that are planted are found."""

import time

import pytest

from tests.unit.core.direction.exploration.planted import PLANTED, caught
from tests.unit.core.direction.exploration.scenarios import (
    FORWARD,
    REVERSE,
    SCENARIOS,
    SKIP,
    TWO_PARTITIONS,
    TWO_SLOTS,
    Scenario,
)


def test_every_change_of_direction_is_explored():
    changes = {(scenario.start, scenario.to) for scenario in SCENARIOS}
    assert len(changes) == 4 * 3
    assert {(scenario.start, scenario.parts) for scenario in SCENARIOS if scenario.faults_max == 2} >= {
        (start, parts) for start in (FORWARD, REVERSE) for parts in (TWO_PARTITIONS, TWO_SLOTS)
    }


@pytest.mark.timeout(600)
def test_the_laws_hold_in_every_state(figure):
    began = time.perf_counter()
    states = steps = 0
    for scenario in SCENARIOS:
        outcome = scenario.search().run()
        assert outcome.broken is None, (scenario.name, *outcome.broken)
        assert outcome.ends
        states, steps = states + outcome.states, steps + outcome.transitions
    figure(f"{len(SCENARIOS)} changes, {states} states, {steps} steps in {time.perf_counter() - began:.0f} s")


def test_states_are_few_where_nothing_fails():
    """A change without a fault reaches few states: that they are so many else is due to what can happen, not to the model."""
    outcome = Scenario(REVERSE, FORWARD, SKIP, TWO_SLOTS, faults_max=0).search().run()
    assert outcome.broken is None
    assert outcome.states < 1000


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(mutant):
    found = caught(mutant, mutant.seed)
    assert found, "it survives"
    assert found[0].startswith(mutant.law), found
