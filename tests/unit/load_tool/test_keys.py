"""The generator's records: Zipf's law, sizes, balance over shards, stamps, seeds."""

import hashlib
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.keys import (
    KEY_BYTES,
    POOL,
    STAMP_BYTES,
    RecordMaker,
    is_own_key,
    make_fillers,
    make_keys,
    produced_at_s,
    zipf_weights,
)

HASH_KEYS = 1 << 128


@given(st.integers(1, 300), st.floats(0, 3))
def test_weights_follow_zipfs_law(count: int, exponent: float):
    weights = zipf_weights(count, exponent)
    assert weights[0] == 1
    for rank, weight in enumerate(weights, 1):
        assert weight * rank**exponent == pytest.approx(1)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.2])
def test_keys_are_drawn_by_their_weights(exponent: float):
    keys = make_keys(50)
    maker = RecordMaker(keys, exponent, 20, seed=7)
    draws = 100_000
    counts = Counter(maker.chunk(draws, 0)[0])
    weights = zipf_weights(50, exponent)
    for key, weight in zip(keys, weights, strict=True):
        expected = draws * weight / sum(weights)
        # Six standard deviations of a binomial count.
        assert abs(counts[key] - expected) < 6 * expected**0.5


@settings(max_examples=20)
@given(st.integers(1, 400), st.integers(1, 9))
def test_balanced_keys_fill_equal_slices_of_the_hash_keys(count: int, slices: int):
    keys = make_keys(count, slices)
    assert len(set(keys)) == count
    places = [int(hashlib.md5(key).hexdigest(), 16) * slices // HASH_KEYS for key in keys]
    assert places == [number % slices for number in range(count)]


def test_keys_are_different_and_known_as_our_own():
    keys = make_keys(1000)
    assert len(set(keys)) == 1000
    assert {len(key) for key in keys} == {KEY_BYTES}
    assert all(is_own_key(key.decode()) for key in keys)
    assert not is_own_key("co-writer")
    assert not is_own_key("orders/0/1234")


@given(st.dictionaries(st.integers(STAMP_BYTES, 500), st.floats(0.1, 10), min_size=1, max_size=4))
def test_each_size_has_its_part_of_the_pool(weights: dict[int, float]):
    sizes = Counter(len(filler) + STAMP_BYTES for filler in make_fillers(weights, random.Random(1)))
    assert sizes.total() == POOL
    for size, weight in weights.items():
        assert abs(sizes[size] - POOL * weight / sum(weights.values())) <= 1


def test_values_have_the_size_that_was_asked_for_and_differ():
    _, values = RecordMaker(make_keys(3), 0, 100, seed=1).chunk(2000, 1)
    assert {len(value) for value in values} == {100}
    assert len(set(values)) > POOL // 2


@given(st.integers(0, 2**62))
def test_a_value_says_when_it_was_produced(now_us: int):
    _, values = RecordMaker(make_keys(1), 0, STAMP_BYTES, seed=1).chunk(2, now_us)
    assert [produced_at_s(value) for value in values] == [now_us / 1e6] * 2


def test_the_seed_decides_everything():
    first, again, other = (RecordMaker(make_keys(99), 1.0, {20: 1, 30: 2}, seed) for seed in (5, 5, 6))
    drawn = [first.chunk(50, 1), first.chunk(50, 2)]
    assert [again.chunk(50, 1), again.chunk(50, 2)] == drawn
    assert other.chunk(50, 1) != drawn[0]
