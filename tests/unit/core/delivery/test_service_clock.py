"""The interval in which Kinesis's clock stands holds the true time, and is about a second wide where answers are quick."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.service_clock import CONTRADICTION_KEPT_S, DRIFT_MAX, UNKNOWN, ServiceClock

EPOCH = 1_769_000_000.0
"""The service's clock when ours shows 0."""


def test_nothing_is_known_before_the_first_answer():
    assert ServiceClock().at(5) == UNKNOWN == (-math.inf, math.inf)


def test_one_answer():
    clock = ServiceClock()
    clock.saw(1000, sent_at=50.0, received_at=50.25)
    assert clock.at(50.25) == (1_000_000, 1_001_250)
    assert clock.at(60.25) == pytest.approx((1_010_000 - 10, 1_011_250 + 10))
    assert clock.contradictions == 0


def test_answers_around_the_turn_of_a_second_narrow_it():
    clock = ServiceClock()
    clock.saw(1000, 50.0, 50.1)
    clock.saw(1001, 50.2, 50.3)
    earliest, latest = clock.at(50.3)
    assert latest - earliest == pytest.approx(300, abs=1)
    assert earliest == pytest.approx(1_001_000, abs=1)


def test_an_answer_cannot_come_before_it_was_sent_for():
    with pytest.raises(ValueError, match="before it was sent for"):
        ServiceClock().saw(1000, 5.0, 4.9)


@pytest.mark.parametrize("jump_s", [-3600.0, -2.5, 2.5, 3600.0])
def test_a_jump_widens_and_is_forgotten_later(jump_s):
    clock = ServiceClock()
    clock.saw(int(EPOCH), 0.0, 0.01)
    clock.saw(int(EPOCH + 10 + jump_s), 10.0, 10.01)
    assert clock.contradictions == 1
    earliest, latest = clock.at(10.01)
    for true in (EPOCH + 10, EPOCH + 10 + jump_s):
        assert earliest <= true * 1000 <= latest
    clock.saw(int(EPOCH + 100 + jump_s), 100.0, 100.01)
    assert clock.contradictions == 1
    assert clock.at(100.01).latest_ms - clock.at(100.01).earliest_ms > abs(jump_s) * 1000
    late = 10.02 + CONTRADICTION_KEPT_S
    clock.saw(int(EPOCH + late + jump_s), late, late + 0.01)
    earliest, latest = clock.at(late + 0.01)
    assert latest - earliest < 1100
    assert earliest <= (EPOCH + late + 0.01 + jump_s) * 1000 <= latest


def test_two_servers_that_disagree_stay_within_it():
    clock = ServiceClock()
    for number in range(100):
        now = number * 20.0
        skew = 4.0 * (number % 2)
        clock.saw(int(EPOCH + now + skew), now, now + 0.01)
        if number:
            earliest, latest = clock.at(now + 0.01)
            assert earliest <= (EPOCH + now) * 1000
            assert (EPOCH + now + 4.0) * 1000 <= latest
            assert latest - earliest < 7000


@given(seed=st.integers(0, 2**32), drift=st.floats(-DRIFT_MAX, DRIFT_MAX), fraction=st.floats(0, 1))
def test_the_true_time_is_always_within(seed, drift, fraction):
    chance = random.Random(seed)
    clock, now = ServiceClock(), 0.0

    def service(at: float) -> float:
        return float(EPOCH + fraction + at * (1 + drift))

    for _ in range(30):
        now += chance.choice([0.01, 1.0, 500.0]) * chance.random()
        sent, received = now, now + chance.choice([0.005, 0.2, 5.0])
        clock.saw(int(service(chance.uniform(sent, received))), sent, received)
        now = received
        asked = now + chance.choice([0.0, 1.0, 1000.0])
        earliest, latest = clock.at(asked)
        assert earliest - 0.01 <= service(asked) * 1000 <= latest + 0.01
    assert clock.contradictions == 0
