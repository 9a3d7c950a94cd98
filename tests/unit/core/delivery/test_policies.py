"""Records that cannot be carried as they are: each reason under each policy, while the others go on."""

import pytest

from bridge.core.delivery.aggregate_limits import AggregateLimits
from bridge.core.delivery.aggregation import encode_aggregate
from bridge.core.delivery.deaggregation import decode_aggregate, delivered_by_kcl
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import ROW_DATA, ROW_PARTITION_KEY, PartitionLanes, Row
from bridge.core.delivery.mapping import Mapper, Rejection
from bridge.core.delivery.partition_keys import decode_key, hashed_key
from bridge.core.delivery.policies import Policies
from bridge.core.delivery.requests import Request, RequestLimits
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.records import Headers, Partition, SourceBatch
from tests.unit.core.delivery.columns import ORDERS_0, even_shard_map, source_batch

LIMIT = 600
LONG_KEY = b"k" * 257
FRAMED = b"\x00\x00\x00\x00\x2aavro"
"""As a Schema Registry's serialiser writes it: schema 42."""

Bad = tuple[bytes | None, bytes | None]
CASES: list[tuple[str, Bad, str, str]] = [
    ("key", (b"k", None), "tombstone", "on_tombstone"),
    ("key", (b"k", b"x" * LIMIT), "oversize", "on_oversize"),
    ("key", (LONG_KEY, b"x"), "key_too_long", "on_long_key"),
    ("field", (b"k", b"{}"), "missing_field", "on_missing_field"),
    ("field", (b"k", b'{"id": null}'), "missing_field", "on_missing_field"),
    ("field", (b"k", b"[1"), "not_json", "on_missing_field"),
    ("field", (b"k", FRAMED), "not_json", "on_missing_field"),
    ("field", (b"k", b'{"id": "%s"}' % LONG_KEY), "key_too_long", "on_long_key"),
]


def sent(strategy: str, bad: Bad, policies: Policies) -> tuple[list[Row], list[tuple[int, str, str]], Rejection | None]:
    """Rows that are sent, what is diverted, and what ended the batch; the bad record stands between two good ones."""
    lanes = PartitionLanes(ORDERS_0, 0.02)
    good = b'{"id": 7}'
    batch = source_batch([(4, b"a", good), (6, *bad), (9, b"b", good)])
    spec = MappingSpec(strategy, "orders", template="{id}", record_bytes_max=LIMIT, policies=policies)
    mapped, rejection = Mapper(spec, KeyCache()).map(batch, lanes)
    diverted = [(mapped.offsets[found.row], str(found.action), str(found.reason)) for found in mapped.diverted]
    return mapped.take_rows(), diverted, rejection


def offsets(rows: list[Row]) -> list[int]:
    return [row[0].offsets[row[1]] for row in rows]


@pytest.mark.parametrize(
    ("strategy", "bad", "reason", "name", "action"),
    [(*case, action) for case in CASES for action in ("park", "skip", "stop") if (case[3], action) != ("on_long_key", "skip")],
)
def test_what_is_done_with_each(strategy, bad, reason, name, action):
    rows, diverted, rejection = sent(strategy, bad, Policies(**{name: action}))
    if action == "stop":
        assert offsets(rows) == [4]
        assert rejection is not None
        assert (rejection.offset, rejection.reason) == (6, reason)
        assert not diverted
    else:
        assert offsets(rows) == [4, 9]
        assert rejection is None
        assert diverted == [(6, action, reason)]


def test_a_null_value_may_go_as_no_bytes():
    rows, diverted, rejection = sent("key", (b"k", None), Policies(on_tombstone="send_empty"))
    assert offsets(rows) == [4, 6, 9]
    assert rows[1][ROW_DATA] == b""
    assert not diverted
    assert rejection is None


def test_a_long_key_is_hashed_and_counted():
    lanes = PartitionLanes(ORDERS_0, 0.02)
    spec = MappingSpec("key", "orders", policies=Policies())
    batch, _ = Mapper(spec, KeyCache()).map(source_batch([(0, LONG_KEY, b"x"), (1, b"a", b"y"), (2, LONG_KEY, b"z")]), lanes)
    first, _, third = batch.partition_keys
    assert first == third == hashed_key(LONG_KEY)
    assert first != hashed_key(LONG_KEY + b"k")
    assert batch.hashed_keys == 2
    assert list(batch.lanes) == [first, "a", third]
    with pytest.raises(ValueError, match="unknown key encoding"):
        decode_key(first)


@pytest.mark.parametrize("value", [b"{}", b"[1", FRAMED, b""])
def test_a_missing_field_may_give_way_to_the_kafka_key(value):
    rows, diverted, _ = sent("field", (b"from kafka", value), Policies(on_missing_field="use_kafka_key"))
    assert [row[ROW_PARTITION_KEY] for row in rows] == ["7", "from kafka", "7"]
    assert not diverted


def test_a_kafka_key_that_takes_the_place_of_a_field_may_be_too_long_itself():
    policies = Policies(on_missing_field="use_kafka_key", on_long_key="park")
    rows, diverted, _ = sent("field", (LONG_KEY, b"{}"), policies)
    assert offsets(rows) == [4, 9]
    assert diverted == [(6, "park", "key_too_long")]


def test_of_several_faults_of_one_record_the_first_counts():
    policies = Policies(on_tombstone="skip", on_missing_field="stop")
    rows, diverted, rejection = sent("field", (b"k", None), policies)
    assert offsets(rows) == [4, 9]
    assert diverted == [(6, "skip", "tombstone")]
    assert rejection is None


def test_a_value_of_a_schema_registry_is_told_from_one_that_is_not_json():
    lanes = PartitionLanes(ORDERS_0, 0.02)
    spec = MappingSpec("field", "orders", template="{id}", policies=Policies())
    batch, _ = Mapper(spec, KeyCache()).map(source_batch([(0, b"k", FRAMED), (1, b"k", b"{")]), lanes)
    avro, other = (found.detail for found in batch.diverted)
    assert "schema 42" in avro
    assert "schema" not in other


@pytest.mark.parametrize("strategy", ["key", "partition"])
def test_a_value_that_kcl_would_open_travels_inside_an_aggregate(strategy):
    value = encode_aggregate(["inside"], None, [b"not ours to open"])
    spec = MappingSpec(strategy, "orders", slices=3)
    lanes = PartitionLanes(Partition("orders", 2), 0.02)
    batch, _ = Mapper(spec, KeyCache()).map(source_batch([(0, b"k", b"x"), (1, b"k", value)], Partition("orders", 2)), lanes)
    place = batch.hash_keys[1]
    rows = batch.take_rows()
    (given,) = delivered_by_kcl(rows[1][ROW_DATA], rows[1][ROW_PARTITION_KEY], place, place)
    assert (given.data, given.partition_key) == (value, rows[1][ROW_PARTITION_KEY])
    assert rows[0][ROW_DATA] == b"x"


def test_a_value_that_only_begins_like_an_aggregate_goes_as_it_is():
    value = encode_aggregate(["inside"], None, [b"x"])[:-1] + b"?"
    assert decode_aggregate(value) is None
    lanes = PartitionLanes(ORDERS_0, 0.02)
    batch, _ = Mapper(MappingSpec("key", "orders"), KeyCache()).map(source_batch([(0, b"k", value)]), lanes)
    assert batch.take_rows()[0][ROW_DATA] == value


def test_a_wrapped_value_may_be_too_large_for_the_stream():
    value = encode_aggregate(["inside"], None, [b"x" * 100])
    lanes = PartitionLanes(ORDERS_0, 0.02)
    spec = MappingSpec("key", "orders", record_bytes_max=len(value) + 1)
    batch, _ = Mapper(spec, KeyCache()).map(source_batch([(0, b"k", value)]), lanes)
    assert [found.reason for found in batch.diverted] == ["oversize"]


@pytest.mark.parametrize("headers", [(), (("trace", b"x" * 200),)])
@pytest.mark.parametrize("carry_origin", [None, "mover"])
def test_the_largest_record_of_an_aggregated_route_fits_into_the_stream(headers, carry_origin):
    spec = MappingSpec("key", "orders", record_bytes_max=2000, aggregates_of="mover", carry_origin=carry_origin)
    mapper = Mapper(spec, KeyCache())
    largest = max(size for size in range(1000, 2000) if not mapper.map(of_size(size, headers), new_lanes())[0].diverted)
    mapped, _ = mapper.map(of_size(largest, headers), new_lanes())
    scheduler = Scheduler(RequestLimits(500, 5_000_000), even_shard_map(2))
    scheduler.offer(mapped, 0.0)
    request = scheduler.next_request(1.0)
    assert isinstance(request, Request)
    assert 1700 - 300 * len(headers) < request.size <= 2000


def new_lanes() -> PartitionLanes:
    limits = AggregateLimits(bytes_max=100, records_max=5, bridge="mover")
    return PartitionLanes(ORDERS_0, 0.02, aggregates=limits, record_bytes_max=2000)


def of_size(size: int, headers: Headers) -> SourceBatch:
    batch = source_batch([(2**62, "ü".encode() * 20, b"x" * size)])
    batch.headers = [headers] if headers else []
    return batch
