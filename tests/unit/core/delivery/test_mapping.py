"""From Kafka records to partition keys, places and lanes: each strategy, the limits, and the record that ends a batch."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.key_strategies import CACHED_KEYS_MAX, KeyCache, MappingSpec
from bridge.core.delivery.lanes import MappedBatch, PartitionLanes
from bridge.core.delivery.mapping import Mapper, Rejection
from bridge.core.delivery.partition_keys import encode_key, hash_key, slice_hash_key
from bridge.core.delivery.policies import Policies
from bridge.core.delivery.requests import RequestLimits
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.records import Partition
from tests.unit.core.delivery.columns import ORDERS_0, even_shard_map, source_batch

Rows = list[tuple[int, bytes | None, bytes | None]]
STOP = Policies("stop", "stop", "stop", "stop")


def mapped(
    spec: MappingSpec, rows: Rows, partition: Partition = ORDERS_0, end: int | None = None
) -> tuple[MappedBatch, Rejection | None]:
    lanes = PartitionLanes(partition, 0.02)
    return Mapper(spec, KeyCache()).map(source_batch(rows, partition, end), lanes)


def good(spec: MappingSpec, rows: Rows, partition: Partition = ORDERS_0) -> MappedBatch:
    batch, rejection = mapped(spec, rows, partition)
    assert rejection is None
    assert len(batch) == len(batch.partition_keys) == len(batch.hash_keys) == len(batch.lanes) == len(batch.sizes) == len(rows)
    return batch


def test_by_key_the_key_is_partition_key_place_and_lane():
    batch = good(MappingSpec("key", "orders"), [(5, b"a", b"xx"), (7, "ü".encode(), b""), (8, b"a", b"y")])
    assert batch.partition_keys == ("a", "ü", "a")
    assert list(batch.lanes) == ["a", "ü", "a"]
    assert batch.hash_keys == tuple(hash_key(key) for key in ("a", "ü", "a"))
    assert batch.explicit_hash_keys is None
    assert batch.sizes == [3, 2, 2]
    assert (batch.offsets, batch.next_offset, batch.values) == ([5, 7, 8], 9, [b"xx", b"", b"y"])


def test_null_keys_spread_over_the_shards_each_a_lane_of_its_own():
    batch = good(MappingSpec("key", "orders"), [(5, None, b"x"), (6, b"a", b"y"), (7, None, b"z")])
    assert batch.partition_keys == ("orders/0/5", "a", "orders/0/7")
    assert list(batch.lanes) == [5, "a", 7]


def test_null_keys_can_stay_together():
    batch = good(MappingSpec("key", "orders", null_key="partition"), [(5, None, b"x"), (6, b"a", b"y"), (7, None, b"z")])
    assert batch.partition_keys == ("orders-0", "a", "orders-0")
    assert list(batch.lanes) == ["orders-0", "a", "orders-0"]


@pytest.mark.parametrize(("ordering", "lanes"), [("partition", [0, 0]), ("none", [5, 6]), ("key", ["orders-9", "orders-9"])])
def test_by_partition_a_partition_has_one_place(ordering, lanes):
    spec = MappingSpec("partition", "orders", ordering=ordering, slices=4)
    batch = good(spec, [(5, b"a", b"x"), (6, None, b"y")], Partition("orders", 9))
    assert batch.partition_keys == ("orders-9", "orders-9")
    assert batch.explicit_hash_keys == [str(slice_hash_key(9, 4))] * 2
    assert list(batch.lanes) == lanes
    assert batch.sizes == [9, 9]


@pytest.mark.parametrize("strategy", ["key", "partition"])
def test_carried_origin_names_the_record_and_keeps_place_and_lane(strategy):
    rows: Rows = [(5, b"a", b"x"), (6, None, b"y")]
    plain = good(MappingSpec(strategy, "orders", slices=3), rows)
    carried = good(MappingSpec(strategy, "orders", slices=3, carry_origin="mover"), rows)
    assert carried.partition_keys == ("mover:orders/0/5", "mover:orders/0/6")
    assert carried.hash_keys == plain.hash_keys
    assert carried.explicit_hash_keys == [str(place) for place in plain.hash_keys]
    assert list(carried.lanes) == list(plain.lanes)
    assert carried.sizes == [len("mover:orders/0/5") + 1] * 2


@pytest.mark.parametrize(
    ("template", "document", "key"),
    [
        ("user_{user_id}", {"user_id": 7}, "user_7"),
        ("{customer.id}", {"customer": {"id": "c1"}}, "c1"),
        ("{a}-{b.c.d}", {"a": True, "b": {"c": {"d": 1.5}}}, "true-1.5"),
        ("{a}", {"a": False}, "false"),
        ("{a}", {"a": "{b}", "b": 1}, "{b}"),
        ("{a}", {"a": "~k:x"}, encode_key(b"~k:x")),
        ("{a}", {"a": ""}, encode_key(b"")),
        ("{ü}", {"ü": "ö"}, "ö"),
        ("{a}", {"a": 2**63}, str(2**63)),
    ],
)
def test_by_field(template, document, key):
    batch = good(MappingSpec("field", "orders", template=template), [(1, None, orjson.dumps(document))])
    assert batch.partition_keys == (key,)
    assert list(batch.lanes) == [key]
    assert batch.hash_keys == (hash_key(key),)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not_json"),
        (b"\x00\x00\x00\x00\x01avro", "not_json"),
        (b'{"a": ', "not_json"),
        (b"7", "missing_field"),
        (b'["a"]', "missing_field"),
        (b"{}", "missing_field"),
        (b'{"a": 1}', "missing_field"),
        (b'{"a": {"b": null}}', "missing_field"),
        (b'{"a": {"b": [1]}}', "missing_field"),
        (b'{"a": {"b": {"c": 1}}}', "missing_field"),
        (orjson.dumps({"a": {"b": "x" * 257}}), "key_too_long"),
        (None, "tombstone"),
    ],
)
def test_by_field_the_record_without_a_usable_field_ends_the_batch(value, reason):
    fine = b'{"a": {"b": 1}}'
    batch, rejection = mapped(
        MappingSpec("field", "orders", template="{a.b}", policies=STOP), [(1, None, fine), (4, None, value), (5, None, fine)]
    )
    assert (batch.offsets, batch.next_offset, batch.partition_keys) == ([1], 4, ("1",))
    assert rejection is not None
    assert (rejection.offset, rejection.reason, rejection.timestamp_ms) == (4, reason, 1_700_000_000_004)
    assert rejection.detail


BAD_ROWS = {
    "key_too_long": (b"k" * 257, b"x"),
    "tombstone": (b"k", None),
    "oversize": (b"k", b"x" * 100),
}


@pytest.mark.parametrize("reason", sorted(BAD_ROWS))
@pytest.mark.parametrize("position", [0, 1, 3])
@pytest.mark.parametrize("carry_origin", [None, "mover"])
def test_a_record_that_kinesis_cannot_take_ends_the_batch_exactly_there(reason, position, carry_origin):
    rows: Rows = [(10 + 2 * i, b"key-%d" % i, b"value") for i in range(4)]
    rows[position] = (10 + 2 * position, *BAD_ROWS[reason])
    spec = MappingSpec("key", "orders", carry_origin=carry_origin, record_bytes_max=100, policies=STOP)
    batch, rejection = mapped(spec, rows, end=50)
    offset = 10 + 2 * position
    assert rejection is not None
    assert (rejection.offset, rejection.reason, rejection.timestamp_ms) == (offset, reason, 1_700_000_000_000 + offset)
    assert batch.next_offset == offset
    assert batch.offsets == [10 + 2 * i for i in range(position)]
    columns = (batch.timestamps_ms, batch.values, batch.partition_keys, batch.hash_keys, batch.lanes, batch.sizes, batch.resolved)
    assert {len(column) for column in columns} == {position}
    assert batch.explicit_hash_keys is None or len(batch.explicit_hash_keys) == position


def test_the_first_of_several_bad_records_is_named():
    rows: Rows = [(1, b"a", b"x"), (2, b"b", b"x" * 200), (3, b"c", None), (4, b"k" * 300, b"x")]
    spec = MappingSpec("key", "orders", record_bytes_max=100, policies=STOP)
    assert rejection_of(spec, rows) == (2, "oversize")
    assert rejection_of(spec, [rows[0], rows[2], rows[1]]) == (3, "tombstone")
    assert rejection_of(spec, [rows[3], rows[1]]) == (4, "key_too_long")


def rejection_of(spec: MappingSpec, rows: Rows) -> tuple[int, str]:
    rejection = mapped(spec, rows)[1]
    assert isinstance(rejection, Rejection)
    return rejection.offset, rejection.reason


def test_a_record_as_large_as_the_limit_passes():
    assert len(good(MappingSpec("key", "orders", record_bytes_max=100), [(1, b"key", b"x" * 97)])) == 1
    assert rejection_of(MappingSpec("key", "orders", record_bytes_max=100, policies=STOP), [(1, "ü".encode(), b"x" * 99)]) == (
        1,
        "oversize",
    )


def test_without_ordering_a_batch_that_ends_early_can_be_offered():
    batch, _ = mapped(
        MappingSpec("key", "orders", ordering="none", policies=STOP), [(1, b"a", b"x"), (2, b"b", None), (3, b"c", b"y")]
    )
    scheduler = Scheduler(RequestLimits(500, 5_000_000), even_shard_map(1))
    scheduler.offer(batch, 1.0)
    assert batch.lanes_of.unresolved == 1


def test_a_carried_origin_that_is_too_long_ends_the_batch():
    topic = "t" * 249
    spec = MappingSpec("key", topic, carry_origin="mover", policies=STOP)
    batch, rejection = mapped(spec, [(123456, b"a", b"x")], Partition(topic, 0))
    assert rejection is not None or max(map(len, batch.partition_keys)) <= 256


KEYS = st.binary(max_size=12) | st.text(max_size=12).map(str.encode) | st.sampled_from([b"~k:", b"~k:bAA", b"~k:b", b"\xff"])


@given(keys=st.lists(KEYS, min_size=2, max_size=20))
def test_two_kafka_keys_never_share_a_partition_key(keys):
    batch = good(MappingSpec("key", "orders"), [(i, key, b"x") for i, key in enumerate(keys)])
    assert len(set(batch.partition_keys)) == len(set(keys))


def test_the_key_cache_forgets_and_goes_on():
    cache = KeyCache()
    keys = [b"%d" % number for number in range(CACHED_KEYS_MAX + 10)]
    assert [row[0] for row in cache.rows(keys, False)] == [key.decode() for key in keys]
    assert len(cache._known) <= CACHED_KEYS_MAX
