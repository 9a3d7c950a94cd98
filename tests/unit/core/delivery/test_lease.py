"""An attempt is on the wire only within a lease that Kafka confirmed; a lapsed one is never renewed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.lease import Lease
from bridge.core.delivery.service_clock import UNKNOWN, Interval

LENGTH, TIMEOUT = 12_000, 6_000


def at(latest: float, width: float = 1000) -> Interval:
    return Interval(latest - width, latest)


def test_without_a_confirmed_commit_nothing_starts():
    lease = Lease(LENGTH, TIMEOUT)
    assert not lease.may_start(at(0))
    assert lease.end_ms is None
    assert lease.drain_ms(at(0), 1000) == 0
    assert lease.end_to_write(at(100.5)) == 12_100
    assert not lease.may_start(at(0))


def test_attempts_end_within_the_lease():
    lease = Lease(LENGTH, TIMEOUT)
    assert lease.confirmed(20_000, at(8_500))
    assert lease.may_start(at(14_000))
    assert not lease.may_start(at(14_001))
    assert lease.attempts_ms(at(13_000)) == 1_000
    assert lease.drain_ms(at(13_000), 1_000) == 6_000
    assert lease.drain_ms(at(19_500), 1_000) == 0


def test_it_is_renewed_and_never_shortened():
    lease = Lease(LENGTH, TIMEOUT)
    assert lease.confirmed(20_000, at(8_500))
    assert lease.confirmed(21_000, at(9_500))
    assert lease.confirmed(20_500, at(9_600))
    assert lease.end_ms == 21_000


def test_a_lapsed_lease_is_never_renewed():
    lease = Lease(LENGTH, TIMEOUT)
    assert lease.confirmed(20_000, at(8_500))
    assert not lease.has_lapsed(at(20_000))
    assert not lease.confirmed(33_000, at(20_001))
    assert not lease.confirmed(33_000, at(15_000)), "the clock is known better now, but it may have been over"
    assert lease.has_lapsed(at(9_000))
    assert not lease.may_start(at(9_000))
    assert lease.end_to_write(at(9_000)) is None
    assert lease.drain_ms(at(9_000), 0) == 0


def test_a_first_confirmation_that_comes_too_late():
    lease = Lease(LENGTH, TIMEOUT)
    assert not lease.confirmed(20_000, at(20_001))
    assert not lease.may_start(at(10_000))


def test_an_unknown_clock_allows_nothing():
    lease = Lease(LENGTH, TIMEOUT)
    assert lease.end_to_write(UNKNOWN) is None
    assert not lease.may_start(UNKNOWN)
    assert not lease.confirmed(20_000, UNKNOWN)


def test_a_lease_shorter_than_a_request_makes_no_sense():
    with pytest.raises(ValueError, match="allows no attempt"):
        Lease(TIMEOUT, TIMEOUT)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "confirm", "start"]), st.integers(0, 4000), st.integers(0, 3000), st.integers(-1500, 1500)
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_no_attempt_is_on_the_wire_when_a_successor_may_begin(steps):
    """Whatever the owner knows of the time, a successor that waits for the last confirmed end by its own, other, knowledge."""
    lease, true_ms = Lease(LENGTH, TIMEOUT), 10_000
    written: list[int] = []
    last_end = 0
    off_the_wire = 0
    for step, passed, width, skew in steps:
        true_ms += passed
        clock = Interval(true_ms - width + min(skew, width), true_ms + max(0, skew))
        if step == "write" and (end := lease.end_to_write(clock)) is not None:
            written.append(end)
        elif step == "confirm" and written and lease.confirmed(asked := written.pop(0), clock):
            assert not last_end or true_ms <= last_end
            last_end = max(asked, last_end)
        elif step == "start" and lease.may_start(clock):
            off_the_wire = max(off_the_wire, true_ms + TIMEOUT)
            assert off_the_wire <= last_end
