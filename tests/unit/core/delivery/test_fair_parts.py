"""Parts of a shard: replicas together never above the limit, alone all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.budgets import Budget
from bridge.core.delivery.fair_parts import Place, Weighted, fair_parts
from bridge.core.delivery.partition_keys import slice_hash_key
from bridge.core.quotas import HASH_KEY_MAX, SHARD_RECORDS_PER_S
from tests.unit.core.delivery.columns import even_shard_map

PLACES = st.none() | st.integers(0, HASH_KEY_MAX)


WEIGHTS = st.sampled_from([0.25, 0.5, 0.75, 1.0])


@given(
    shards=st.integers(1, 9),
    partitions=st.lists(st.tuples(PLACES, WEIGHTS, st.integers(0, 3)), min_size=1, max_size=30),
    share=st.floats(0.01, 1.0),
)
def test_all_replicas_together_stay_within_each_shard(shards, partitions, share):
    """Each partition is one replica's; one that feeds nothing of a shard sends nothing there."""
    shard_map = even_shard_map(shards)
    offered = [0] * shards
    for replica in {owner for *_, owner in partitions}:
        own = [(place, weight) for place, weight, owner in partitions if owner == replica]
        others = [(place, weight) for place, weight, owner in partitions if owner != replica]
        for index, part in enumerate(fair_parts(shard_map, own, others)):
            assert 0 < part <= 1
            if any(place is None or shard_map.locate(place) == index for place, _ in own):
                offered[index] += Budget(share * part).ceiling_records
    assert all(records <= max(1, int(SHARD_RECORDS_PER_S * share)) or records <= len(partitions) for records in offered)


def alike(*places: Place) -> list[Weighted]:
    """All of them want everything."""
    return [(place, 1.0) for place in places]


def test_parts_by_example():
    shard_map = even_shard_map(2)
    assert fair_parts(shard_map, alike(None, None, None, None), []) == [1.0, 1.0]
    assert fair_parts(shard_map, alike(None), alike(None, None, None)) == [0.25, 0.25]
    sliced: list[Place] = [slice_hash_key(number, 4) for number in range(4)]  # two partitions for each shard
    assert fair_parts(shard_map, alike(*sliced[:1]), alike(*sliced[1:])) == [0.5, 0.5]
    assert fair_parts(shard_map, alike(*sliced[:2]), alike(*sliced[2:])) == [1.0, 0.5]
    mixed = fair_parts(shard_map, alike(None, sliced[0]), alike(None, None, None, *sliced[1:]))
    assert mixed == [pytest.approx(2 / 6), pytest.approx(1 / 6)]


def test_who_wants_less_leaves_it_to_the_others():
    shard_map = even_shard_map(1)
    assert fair_parts(shard_map, [(None, 1.0)], [(None, 0.25)]) == [0.8]
    assert fair_parts(shard_map, [(None, 0.25)], [(None, 1.0)]) == [0.2]


def test_a_replica_without_a_partition_has_the_part_of_one_that_is_nobodys():
    assert fair_parts(even_shard_map(1), [], []) == [1.0]
    assert fair_parts(even_shard_map(1), [], alike(None, None)) == [0.5]
