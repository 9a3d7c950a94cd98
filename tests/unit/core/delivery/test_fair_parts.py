"""Parts of a shard: replicas together never above the limit, alone all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.budgets import Budget
from bridge.core.delivery.fair_parts import Place, fair_parts
from bridge.core.delivery.partition_keys import slice_hash_key
from bridge.core.quotas import HASH_KEY_MAX, SHARD_RECORDS_PER_S
from tests.unit.core.delivery.columns import even_shard_map

PLACES = st.none() | st.integers(0, HASH_KEY_MAX)


@given(
    shards=st.integers(1, 9),
    partitions=st.lists(st.tuples(PLACES, st.integers(0, 3)), min_size=1, max_size=30),
    share=st.floats(0.01, 1.0),
)
def test_all_replicas_together_stay_within_each_shard(shards, partitions, share):
    """Each partition is one replica's; one that feeds nothing of a shard sends nothing there."""
    shard_map = even_shard_map(shards)
    every = [place for place, _ in partitions]
    offered = [0] * shards
    for replica in {owner for _, owner in partitions}:
        own = [place for place, owner in partitions if owner == replica]
        for index, part in enumerate(fair_parts(shard_map, own, every)):
            assert 0 < part <= 1
            if any(place is None or shard_map.locate(place) == index for place in own):
                offered[index] += Budget(share * part).ceiling_records
    assert all(records <= max(1, int(SHARD_RECORDS_PER_S * share)) or records <= len(every) for records in offered)


def test_parts_by_example():
    shard_map = even_shard_map(2)
    keyed: list[Place] = [None] * 4
    assert fair_parts(shard_map, keyed, keyed) == [1.0, 1.0]
    assert fair_parts(shard_map, [None], keyed) == [0.25, 0.25]
    sliced: list[Place] = [slice_hash_key(number, 4) for number in range(4)]  # two partitions for each shard
    assert fair_parts(shard_map, sliced[:1], sliced) == [0.5, 0.5]
    assert fair_parts(shard_map, sliced[:2], sliced) == [1.0, 0.5]
    assert fair_parts(shard_map, [None, sliced[0]], keyed + sliced) == [pytest.approx(2 / 6), pytest.approx(1 / 6)]


def test_a_partition_that_is_not_counted_yet_never_gives_more_than_all():
    assert fair_parts(even_shard_map(1), [None, None], [None]) == [1.0]
    assert fair_parts(even_shard_map(1), [], []) == [1.0]
