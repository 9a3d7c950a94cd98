"""Open shards side by side: every hash key has exactly one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.shard_map import Shard, ShardMap
from bridge.core.errors import AnswerError
from bridge.core.quotas import HASH_KEY_MAX
from tests.unit.core.delivery.columns import even_shard_map

PLACES = st.integers(0, HASH_KEY_MAX)


def shards_between(cuts: list[int]) -> list[Shard]:
    starts = [0, *cuts]
    ends = [*(cut - 1 for cut in cuts), HASH_KEY_MAX]
    return [Shard(f"s{i}", start, end) for i, (start, end) in enumerate(zip(starts, ends, strict=True))]


CUTS = st.lists(st.integers(1, HASH_KEY_MAX), unique=True, max_size=12).map(sorted)


@given(cuts=CUTS, place=PLACES, data=st.data())
def test_locate_finds_the_shard_whose_range_holds_the_place(cuts, place, data):
    shards = shards_between(cuts)
    shard_map = ShardMap(data.draw(st.permutations(shards)))
    assert shard_map.shards == tuple(shards)
    assert len(shard_map) == len(shards)
    for asked in (place, 0, HASH_KEY_MAX, *cuts):
        found = shard_map.shards[shard_map.locate(asked)]
        assert found.starting_hash_key <= asked <= found.ending_hash_key


@given(cuts=CUTS, index=st.integers(0, 12), start=st.integers(-2, 2), end=st.integers(-2, 2))
def test_gaps_and_overlaps_are_refused(cuts, index, start, end):
    shards = shards_between(cuts)
    index %= len(shards)
    shard = shards[index]
    changed = shard._replace(starting_hash_key=shard.starting_hash_key + start, ending_hash_key=shard.ending_hash_key + end)
    shards[index] = changed
    if changed == shard:
        assert len(ShardMap(shards)) == len(shards)
    else:
        with pytest.raises(AnswerError, match="hash-key ranges"):
            ShardMap(shards)


@pytest.mark.parametrize(
    "shards", [[], shards_between([5])[:1], shards_between([5])[1:], [*shards_between([]), *shards_between([])]]
)
def test_what_does_not_cover_the_space_once_is_refused(shards):
    with pytest.raises(AnswerError):
        ShardMap(shards)


def test_maps_are_equal_by_their_shards():
    assert even_shard_map(3) == even_shard_map(3)
    assert even_shard_map(3) != even_shard_map(4)
    assert even_shard_map(3) != even_shard_map(3, generation=1)
    assert even_shard_map(3) != "shards"
