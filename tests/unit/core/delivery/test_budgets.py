"""A shard's budget: the law of the window, of sending and of arriving; large records, throttles, shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.budgets import (
    DECREASE,
    DECREASE_PAUSE_S,
    FASTEST_KEPT_S,
    FASTEST_KNOWN_S,
    FULL,
    RATE_FLOOR,
    REGAIN_S,
    SLOTS,
    Budget,
    FastestRoundTrip,
    Taken,
)
from bridge.core.quotas import SHARD_BYTES_PER_S, SHARD_RECORDS_PER_S

NOW = 1000.0
SHARE = 0.01  # 9 records, 10380 bytes a second
RECORDS, BYTES = int(SHARD_RECORDS_PER_S * SHARE * FULL), int(SHARD_BYTES_PER_S * SHARE * FULL)
SECOND_RECORDS, SECOND_BYTES = int(SHARD_RECORDS_PER_S * FULL), int(SHARD_BYTES_PER_S * FULL)
SLOT_RECORDS, SLOT_BYTES = -(-SECOND_RECORDS // SLOTS), -(-SECOND_BYTES // SLOTS)

SIZES = st.lists(st.sampled_from([1, 100, 1000, 6000, BYTES, BYTES + 1, 3 * BYTES]), max_size=8)
STEPS = st.tuples(st.floats(0, 1.5), SIZES, st.booleans())


def take_what_fits(budget: Budget, sizes: list[int], now: float, excess_s: float = 0.0) -> tuple[int, int]:
    """As a request is filled: records while bytes of the slot are left and the second holds them whole; answered at once."""
    records, slot_bytes, second_bytes = budget.available(now)
    taken = size_taken = 0
    for size in sizes:
        alone = taken == 0 and budget.untouched(now)
        if records <= 0 or slot_bytes <= 0 or (size > second_bytes and not alone):
            break
        records, slot_bytes, second_bytes = records - 1, slot_bytes - size, second_bytes - size
        taken, size_taken = taken + 1, size_taken + size
    if taken:
        budget.take(taken, size_taken, now).answered(excess_s)
    return taken, size_taken


@given(steps=st.lists(STEPS, min_size=1, max_size=40))
def test_no_second_takes_more_than_the_ceiling(steps):
    budget, now, log = Budget(SHARE), NOW, []
    for pause, sizes, throttled in steps:
        now += pause
        if throttled:
            budget.throttled(now)
        taken, size = take_what_fits(budget, sizes, now)
        if taken:
            log.append((now, taken, size))
    for begin, _, first_size in log:
        window = [entry for entry in log if begin <= entry[0] < begin + max(1.0, first_size / BYTES)]
        assert sum(taken for _, taken, _ in window) <= RECORDS
        if sum(size for _, _, size in window) > BYTES:
            assert len(window) == 1, "something went beside a record above a second's bytes, or before it was waited off"
            assert window[0][1] == 1


@given(steps=st.lists(st.tuples(st.floats(0, 0.4), SIZES, st.floats(0, 0.6)), min_size=1, max_size=40))
def test_no_second_of_arriving_takes_more_than_the_ceiling(steps):
    """Each request travels some time longer than the fastest, which is known when its answer is there."""
    budget, now, arrived = Budget(SHARE), NOW, []
    under_way: list[tuple[float, Taken, float]] = []
    for pause, sizes, late_s in steps:
        now += pause
        for entry in [entry for entry in under_way if entry[0] <= now]:
            under_way.remove(entry)
            entry[1].answered(entry[2])
        records, slot_bytes, second_bytes = budget.available(now)
        fitting = [size for size in sizes if size <= min(slot_bytes, second_bytes)][:1]
        if records > 0 and fitting:
            under_way.append((now + late_s, budget.take(1, fitting[0], now), late_s))
            arrived.append((now + late_s, fitting[0]))
    for begin, _ in arrived:
        window = [size for at, size in arrived if begin <= at < begin + 1.0 - 1e-9]
        assert len(window) <= RECORDS
        assert sum(window) <= BYTES


@given(pause=st.floats(0, 5), sizes=st.lists(st.integers(1, 3 * BYTES), min_size=1, max_size=5))
def test_whoever_waits_as_told_gets_on(pause, sizes):
    budget, now = Budget(SHARE), NOW
    take_what_fits(budget, sizes, now)
    now += pause
    for _ in range(4 * SLOTS):
        assert budget.wake_at(now) > now
        now = budget.wake_at(now)
        if take_what_fits(budget, [3 * BYTES], now)[0]:
            return
    raise AssertionError("the shard never opened again")


def test_an_unused_shard_offers_a_slot_of_its_second():
    assert Budget(1.0).available(NOW) == (SLOT_RECORDS, SLOT_BYTES, SECOND_BYTES) == (99, 103809, 1038090)
    assert Budget(0.5).available(NOW) == (50, 51905, 519045)
    assert Budget(0.00001).available(NOW)[0] == 1


def test_slots_spread_a_second_and_the_window_slides():
    budget = Budget()
    for slot in range(SLOTS):
        now = NOW + slot / SLOTS + 0.001
        assert budget.available(now)[0] == SLOT_RECORDS
        budget.take(SLOT_RECORDS, 1000, now).answered(0.0)
        assert budget.available(now)[0] == 0
    assert budget.used_ratio(now) == 1.0
    assert budget.available(NOW + 0.999)[0] == 0
    assert budget.wake_at(NOW + 0.95) == pytest.approx(NOW + 1.001)
    assert budget.available(NOW + 1.002)[0] == SLOT_RECORDS
    assert budget.used_ratio(NOW + 1.002) == pytest.approx(0.9)
    assert budget.used_ratio(NOW + 9) == 0
    assert budget.untouched(NOW + 9)


def test_a_request_without_an_answer_keeps_its_part_and_a_late_one_keeps_it_longer():
    budget = Budget()
    taken = budget.take(60, 1000, NOW)
    assert budget.available(NOW + 5)[0] == SLOT_RECORDS
    assert budget.used_ratio(NOW + 5) == pytest.approx(60 / SECOND_RECORDS)
    assert not budget.untouched(NOW + 5)
    taken.answered(5.5)  # it may have arrived as late as its answer says
    assert budget.used_ratio(NOW + 6.4) == pytest.approx(60 / SECOND_RECORDS)
    assert budget.used_ratio(NOW + 6.6) == 0
    assert budget.untouched(NOW + 6.6)


def test_the_fastest_round_trip_is_that_of_the_last_half_minute_or_minute():
    fastest = FastestRoundTrip()
    assert fastest.excess(3.0) == 3.0
    for seconds in (0.03, 0.02, 0.05):
        fastest.saw(seconds, NOW)
    assert fastest.excess(0.05) == 0.05, "too early to know"
    known = NOW + FASTEST_KNOWN_S + 0.1
    fastest.saw(0.06, known)
    assert fastest.excess(0.05) == pytest.approx(0.03)
    assert fastest.excess(0.01) == 0.0
    fastest.saw(0.1, known + FASTEST_KEPT_S + 1)
    assert fastest.excess(0.1) == pytest.approx(0.04)
    fastest.saw(0.1, known + 2 * FASTEST_KEPT_S + 2)
    assert fastest.excess(0.1) == 0.0


def test_a_record_above_a_seconds_bytes_is_waited_off():
    budget = Budget()
    budget.take(1, 3 * SECOND_BYTES, NOW).answered(0.0)
    assert not budget.untouched(NOW + 2.9)
    assert budget.available(NOW + 2.9)[2] < 0
    assert budget.wake_at(NOW + 0.5) == NOW + 3.0
    assert budget.untouched(NOW + 3.0)
    assert budget.available(NOW + 3.0)[2] == SECOND_BYTES


def test_a_throttle_lowers_the_rate_and_time_restores_it():
    budget = Budget()
    budget.throttled(NOW)
    assert budget.available(NOW)[2] == int(SECOND_BYTES * DECREASE)
    budget.throttled(NOW + DECREASE_PAUSE_S / 2)  # of a request that was under way at the same time
    assert budget.available(NOW + DECREASE_PAUSE_S / 2)[2] > SECOND_BYTES * DECREASE
    assert budget.available(NOW + REGAIN_S)[2] == SECOND_BYTES


def test_a_refused_rate_is_approached_gently_and_left_behind_fast():
    """Somebody else takes 40 % of the shard, then stops."""
    budget, now = Budget(), NOW
    while budget.available(now)[2] > 0.6 * SECOND_BYTES:
        budget.throttled(now)
        now += DECREASE_PAUSE_S
    budget.throttled(now)
    refused = now
    rates = [budget.available(refused + tenth / 10)[2] / SECOND_BYTES for tenth in range(100)]
    assert rates == sorted(rates)
    near = [rate for rate in rates if abs(rate - rates[int(10 * REGAIN_S)]) < 0.02]
    assert len(near) > 20, "two seconds are spent near the rate that was refused"
    assert rates[-1] >= 0.95, "free again: in use within ten seconds"


def test_throttles_never_stop_a_shard_for_good():
    budget = Budget()
    for number in range(100):
        budget.throttled(NOW + number * DECREASE_PAUSE_S)
    low = NOW + 99 * DECREASE_PAUSE_S
    assert budget.available(low)[2] >= int(SECOND_BYTES * RATE_FLOOR)
    assert budget.available(low + 60)[2] == SECOND_BYTES


def test_a_smaller_share_counts_from_now_on_with_what_was_taken_before():
    budget = Budget()
    budget.take(98, 1000, NOW).answered(0.0)
    budget.set_share(0.05)
    assert budget.available(NOW + 0.5)[0] < 0
    assert budget.used_ratio(NOW + 0.5) == 2.0
    assert budget.available(NOW + 1.0)[0] == 5
    budget.set_share(1.0)
    assert budget.available(NOW + 1.0)[0] == SLOT_RECORDS
