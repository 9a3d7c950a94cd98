"""Shards of the Kinesis model: filters, splits, merges, scaling."""

import pytest

from bridge.embedded import kinesis_errors as errors
from bridge.embedded.shard_listing import ShardFilter
from tests.unit.embedded.kinesis_driver import NOW, listed, new_model, open_shards

FIRST = "shardId-000000000000"
MIDDLE = 2**127


def test_filters_of_list_shards_through_two_generations():
    model = new_model(shards=2)
    model.split_shard("orders", FIRST, 2**100, NOW + 100)
    model.merge_shards("orders", "shardId-000000000003", "shardId-000000000001", NOW + 200)
    now = NOW + 300
    assert listed(model, ShardFilter("FROM_TRIM_HORIZON"), now) == [0, 1, 2, 3, 4]
    assert listed(model, ShardFilter("AT_TRIM_HORIZON"), now) == [0, 1]
    assert listed(model, ShardFilter("AT_LATEST"), now) == [2, 4]
    assert listed(model, ShardFilter("AFTER_SHARD_ID", shard_id="shardId-000000000002"), now) == [3, 4]
    assert listed(model, ShardFilter("AT_TIMESTAMP", timestamp=NOW + 150), now) == [1, 2, 3]
    assert listed(model, ShardFilter("AT_TIMESTAMP", timestamp=NOW - 150), now) == [0, 1]
    assert listed(model, ShardFilter("FROM_TIMESTAMP", timestamp=NOW + 150), now) == [1, 2, 3, 4]
    assert listed(model, ShardFilter("AT_TRIM_HORIZON"), NOW + 86_400 + 150) == [1, 2, 3]


def test_scaling_makes_equal_ranges_with_lineage_of_at_most_two_parents():
    model = new_model(shards=4)
    assert model.update_shard_count("orders", 3, NOW) == 4
    starts = [shard.start_hash_key for shard in open_shards(model, "orders", NOW)]
    assert starts == [2**128 * part // 3 for part in range(3)]
    assert all(len(shard.parents) in (1, 2) for shard in model.streams.find("orders", NOW).shards[4:])


@pytest.mark.parametrize("target", [0, 1, 9])
def test_scaling_beyond_double_or_half_is_refused(target):
    with pytest.raises(errors.InvalidArgumentException):
        new_model(shards=4).update_shard_count("orders", target, NOW)


def test_ten_scalings_in_24_hours():
    model = new_model(shards=2)
    for hour in range(10):
        model.update_shard_count("orders", 3 - hour % 2, NOW + 3600 * hour)
    with pytest.raises(errors.LimitExceededException):
        model.update_shard_count("orders", 2, NOW + 3600 * 23)
    model.update_shard_count("orders", 3, NOW + 3600 * 24)


@pytest.mark.parametrize("at", [0, 1, 2**128 - 1, 2**128 - 2**126])
def test_a_split_outside_the_range_is_refused(at):
    model = new_model(shards=4)
    with pytest.raises(errors.InvalidArgumentException):
        model.split_shard("orders", FIRST, at, NOW)


def test_only_open_neighbours_merge():
    model = new_model(shards=3)
    with pytest.raises(errors.InvalidArgumentException):
        model.merge_shards("orders", FIRST, "shardId-000000000002", NOW)
    model.merge_shards("orders", "shardId-000000000001", FIRST, NOW)
    (child,) = model.streams.find("orders", NOW).shards[3:]
    assert [parent.index for parent in child.parents] == [1, 0]
    with pytest.raises(errors.InvalidArgumentException):
        model.merge_shards("orders", "shardId-000000000001", "shardId-000000000002", NOW)
    with pytest.raises(errors.ResourceNotFoundException):
        model.merge_shards("orders", "shardId-000000000009", "shardId-000000000002", NOW)
