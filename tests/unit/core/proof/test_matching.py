"""Records that are read back are known again by their marks, in keys and in aggregates, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.aggregate_tags import Origin, TagColumns, encode_tag
from bridge.core.delivery.aggregation import encode_aggregate
from bridge.core.delivery.partition_keys import hash_key
from bridge.core.proof.digests import digest, digests, key_hash
from bridge.core.proof.ledger_entries import StreamShard
from bridge.core.proof.matching import Evidence, Mark, Wanted, counts_as_written, mark_in_data, mark_in_key
from bridge.core.quotas import HASH_KEY_MAX
from bridge.core.records import Partition, ShardRecords

BRIDGE, PARTITION = "orders-move", Partition("orders", 7)
ALL = (0, HASH_KEY_MAX)
SHARD = StreamShard("orders", "shardId-000000000000")


def aggregate(offsets: list[int], *, bridge: str = BRIDGE, rows: int | None = None, key: str = "a") -> bytes:
    tag = encode_tag(Origin(bridge, PARTITION), TagColumns(offsets, [0] * len(offsets)))
    count = len(offsets) if rows is None else rows
    return encode_aggregate([key] * count, None, [b"x"] * count, tag)


def test_digests_by_example():
    """xxh3_64 of `k` and of `kv`."""
    assert (key_hash("k"), digest("k", b"v")) == (0xA921E3704FDA881D, 0x315EA5777716FB9E)
    assert digests(["k", "ü"], [b"v", b""]) == [digest("k", b"v"), key_hash("ü")]


@pytest.mark.parametrize("topic", ["orders", "a.b-c_d", "x"])
def test_a_mark_in_the_partition_key(topic):
    assert mark_in_key(BRIDGE, f"orders-move:{topic}/3/17") == Mark(Partition(topic, 3), (17,))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "orders/3/17",
        "other:orders/3/17",
        "orders-move:orders/3/",
        "orders-move:orders/3/x",
        "orders-move:orders//17",
        "orders-move:/3/17",
        "orders-move:3/17",
        "orders-move:orders/-3/17",
        "orders-move:orders/3/١٧",
        "orders-move:orders/3/" + "1" * 20,
    ],
)
def test_another_partition_key_has_none(key):
    assert mark_in_key(BRIDGE, key) is None


def test_a_mark_in_an_aggregate():
    assert mark_in_data(BRIDGE, aggregate([5, 6, 9])) == Mark(PARTITION, [5, 6, 9])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"value",
        aggregate([5], bridge="other"),
        aggregate([5, 6], rows=1),
        aggregate([5])[:-1] + b"\0",
        encode_aggregate(["a"], None, [b"x"], "no tag of ours"),
        encode_aggregate(["a"], None, [b"x"]),
    ],
)
def test_other_data_has_none(data):
    assert mark_in_data(BRIDGE, data) is None


@given(data=st.binary(max_size=60), key=st.text(max_size=30))
def test_garbage_is_no_mark(data, key):
    assert mark_in_data(BRIDGE, data) is mark_in_data(BRIDGE, b"\xf3\x89\x9a\xc2" + data) is None
    assert mark_in_key(BRIDGE, key) is None
    assert counts_as_written("k", data, ALL)


def test_an_aggregate_outside_its_shard_counts_as_not_written():
    place = hash_key("a")
    assert counts_as_written("orders-7", aggregate([5]), (place, place))
    assert not counts_as_written("orders-7", aggregate([5]), (0, place - 1))
    assert counts_as_written("a", b"raw", (0, place - 1))


def test_only_what_is_wanted_is_kept():
    keys = ["orders-7", "k", "other", "orders-move:orders/7/11", "orders-8", "k", "orders-move:orders/8/11"]
    datas = [aggregate([5, 6]), b"v", b"v", b"z", aggregate([5]), aggregate([5]), b"z"]
    evidence = Evidence(SHARD, ALL)
    evidence.take(ShardRecords([*range(7)], [*range(100, 107)], keys, datas), Wanted(BRIDGE, {PARTITION}, {key_hash("k")}))
    assert evidence.sequence_numbers == [0, 1, 3, 5]
    assert evidence.arrivals_ms == [100, 101, 103, 105]
    assert evidence.marks == [Mark(PARTITION, [5, 6]), None, Mark(PARTITION, (11,)), None]
    assert evidence.digests == [digest(keys[row], datas[row]) for row in (0, 1, 3, 5)]
    assert evidence.undelivered == 0


def test_what_kcl_drops_is_counted():
    evidence = Evidence(SHARD, (0, 0))
    evidence.take(ShardRecords([1], [2], ["orders-7"], [aggregate([5])]), Wanted(BRIDGE, {PARTITION}))
    assert (len(evidence.sequence_numbers), evidence.undelivered) == (0, 1)


def test_what_comes_too_late_for_a_digest_is_left_out():
    evidence = Evidence(SHARD, ALL)
    wanted = Wanted(BRIDGE, {PARTITION}, {key_hash("k")}, until_ms=50)
    evidence.take(ShardRecords([1, 2, 3], [50, 51, 99], ["k", "k", "orders-7"], [b"", b"", aggregate([5])]), wanted)
    assert evidence.sequence_numbers == [1, 3]
