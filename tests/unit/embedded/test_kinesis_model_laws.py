"""Laws of the Kinesis model, whatever is put, split, merged and scaled."""

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.quotas import HASH_KEY_MAX, KIB, MIB
from bridge.embedded.kinesis_errors import InvalidArgumentException
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.stream import hash_key
from tests.unit.embedded.kinesis_driver import NOW, new_model, open_shards, read_shard

LIMIT_RECORDS = 1000

reshards = st.one_of(
    st.tuples(st.just("split"), st.integers(0, 2**20), st.integers(2, 2**127)),
    st.tuples(st.just("merge"), st.integers(0, 2**20), st.just(0)),
    st.tuples(st.just("scale"), st.integers(50, 200), st.just(0)),
)
puts = st.tuples(st.just("put"), st.integers(1, 40), st.integers(0, 2**32))
steps = st.lists(st.one_of(reshards, puts), max_size=25)


def reshard(model: KinesisModel, kind: str, pick: int, offset: int, now: float) -> None:
    shards = open_shards(model, "orders", now)
    shard = shards[pick % len(shards)]
    if kind == "split":
        wanted = shard.start_hash_key + 2 + offset % max(1, shard.end_hash_key - shard.start_hash_key - 2)
        if wanted < shard.end_hash_key:
            model.split_shard("orders", shard.shard_id, wanted, now)
    elif kind == "merge" and len(shards) > 1:
        neighbour = shards[(pick + 1) % len(shards)]
        if {shard, neighbour} != {shards[0], shards[-1]} or len(shards) == 2:
            model.merge_shards("orders", shard.shard_id, neighbour.shard_id, now)
    elif kind == "scale":
        target = max((len(shards) + 1) // 2, min(2 * len(shards), len(shards) * pick // 100))
        model.update_shard_count("orders", target, now)


def run(script: list[tuple[str, int, int]], shards: int) -> tuple[KinesisModel, dict[str, list[tuple[str, str, bytes]]], float]:
    """The model after a script, what was stored on each shard in the order of the answers, and the time."""
    model = new_model(shards=shards, enforce_limits=False)
    stored: dict[str, list[tuple[str, str, bytes]]] = defaultdict(list)
    now = NOW
    for number, (kind, first, second) in enumerate(script):
        now += (second % 5) / 10
        if kind != "put":
            reshard(model, kind, first, second, now)
            continue
        keys = [f"key-{second + index}" for index in range(first)]
        datas = [f"{number}/{index}".encode() for index in range(first)]
        answer = model.put_records("orders", keys, None, datas, now)
        assert answer.errors == {}
        for record in zip(answer.shard_ids, answer.sequence_numbers, keys, datas, strict=True):
            stored[record[0]].append(record[1:])
    return model, stored, now


@given(steps, st.integers(1, 5))
def test_open_shards_always_tile_the_hash_key_space(script, shards):
    model, _, now = run(script, shards)
    ranges = [(shard.start_hash_key, shard.end_hash_key) for shard in open_shards(model, "orders", now)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == HASH_KEY_MAX
    assert all(end + 1 == start for (_, end), (start, _) in pairwise(ranges))
    assert all(start <= end for start, end in ranges)


@given(steps, st.integers(1, 5))
def test_numbers_rise_in_a_shard_and_from_parents_to_children(script, shards):
    model, stored, now = run(script, shards)
    every = [number for records in stored.values() for number, _, _ in records]
    assert len(set(every)) == len(every)
    for shard in model.streams.find("orders", now).shards:
        numbers = [int(number) for number, _, _ in stored.get(shard.shard_id, [])]
        assert all(len(str(number)) == 56 for number in numbers)
        bounds = [int(shard.starting_sequence_number), *numbers]
        if shard.ending_sequence_number is not None:
            bounds.append(int(shard.ending_sequence_number))
        assert all(lower < upper for lower, upper in pairwise(bounds))
        for child in shard.children:
            assert bounds[-1] < int(child.starting_sequence_number)


@given(steps, st.integers(1, 5), st.integers(1, 7))
def test_every_stored_record_is_read_once_in_order_across_reshards(script, shards, limit):
    model, stored, now = run(script, shards)
    for shard in model.streams.find("orders", now).shards:
        assert read_shard(model, "orders", shard.shard_id, now, limit) == stored.get(shard.shard_id, [])


@given(steps, st.integers(1, 5))
def test_a_record_lands_on_the_shard_that_holds_its_hash_key(script, shards):
    model, stored, now = run(script, shards)
    by_id = {shard.shard_id: shard for shard in model.streams.find("orders", now).shards}
    for shard_id, records in stored.items():
        shard = by_id[shard_id]
        assert all(shard.start_hash_key <= hash_key(key) <= shard.end_hash_key for _, key, _ in records)


sizes = st.one_of(st.integers(0, 200), st.integers(1, 400 * KIB), st.just(MIB - 1))
loads = st.lists(st.tuples(st.integers(0, 900), st.lists(sizes, min_size=1, max_size=12), st.integers(1, 40)), max_size=25)


@given(loads)
@settings(max_examples=60)
def test_no_second_stores_more_than_the_limits(script):
    """Times are whole milliseconds, so that the windows are judged without fractions."""
    model = new_model(shards=1)
    milliseconds = 0
    taken: list[tuple[int, int, int]] = []
    for pause, record_sizes, times in script:
        milliseconds += pause
        datas = [bytes(size) for size in record_sizes if size < 200 for _ in range(times)] or [bytes(record_sizes[0])]
        answer = model.put_records("orders", ["k"] * len(datas), None, datas, NOW + milliseconds / 1000)
        stored = [len(data) + 1 for index, data in enumerate(datas) if index not in answer.errors]
        assert sum(1 for number in answer.sequence_numbers if number) == len(stored)
        taken.append((milliseconds, len(stored), sum(stored)))
    for end, _, _ in taken:
        window = [entry for entry in taken if end - 999 <= entry[0] <= end]
        assert sum(records for _, records, _ in window) <= LIMIT_RECORDS
        assert sum(size for _, _, size in window) <= MIB


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.data())
def test_at_and_after_a_number(batches, data):
    model = new_model(enforce_limits=False)
    numbers: list[str] = []
    for index, count in enumerate(batches):
        answer = model.put_records("orders", ["k"] * count, None, [b"x"] * count, NOW + index)
        numbers += answer.sequence_numbers
    now = NOW + len(batches)
    position = data.draw(st.integers(0, len(numbers) - 1))
    for kind, expected in (("AT_SEQUENCE_NUMBER", numbers[position:]), ("AFTER_SEQUENCE_NUMBER", numbers[position + 1 :])):
        iterator = model.get_shard_iterator("orders", "shardId-000000000000", kind, now, numbers[position])
        assert model.get_records(iterator, now).records.sequence_numbers == expected


@given(st.text(alphabet="0123456789abcXYZ-_=+/", max_size=80))
def test_no_foreign_text_passes_as_an_iterator(token):
    model = new_model()
    with pytest.raises(InvalidArgumentException, match=r"^Invalid ShardIterator\.$"):
        model.get_records(token, NOW)
