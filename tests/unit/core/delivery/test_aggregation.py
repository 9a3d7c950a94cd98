"""Writing aggregates: the bytes of Amazon's producer library, what others read of ours, sizes."""

from base64 import b64decode, b64encode
from hashlib import md5

import pytest
from aws_kinesis_agg.aggregator import AggRecord
from aws_kinesis_agg.deaggregator import deaggregate_records
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.core.delivery.aggregate_message import Tags
from bridge.core.delivery.aggregation import (
    FRAME_BYTES,
    MAGIC,
    SUB_RECORDS_MAX,
    TAG_KEY,
    encode_aggregate,
    sub_record_bytes_max,
    table_entry_bytes,
    tag_bytes_max,
)
from bridge.core.delivery.deaggregation import Aggregate, decode_aggregate
from bridge.core.quotas import HASH_KEY_MAX
from tests.vectors import KINESIS_AGG, KPL, KinesisRecord, UserRecord, written_by

AGGREGATES = [record for producer in (KPL, KINESIS_AGG) for record in written_by(producer) if record.aggregated]

TEXTS = st.text(max_size=20) | st.sampled_from(["k", "orders-1", "ż" * 64, "p" * 127, "p" * 128, "p" * 256])
PLACES = st.integers(0, HASH_KEY_MAX).map(str) | st.sampled_from(["0", "7"])
DATAS = st.binary(max_size=20) | st.integers(0, 20_000).map(bytes)
ROWS = st.lists(st.tuples(TEXTS, st.none() | PLACES, DATAS), min_size=1, max_size=20)


def columns(rows: list[UserRecord] | list[tuple[str, str | None, bytes]]) -> tuple[list[str], list[str | None], list[bytes]]:
    keys, places, datas = zip(*rows, strict=True)
    return list(keys), list(places), list(datas)


def decoded(data: bytes) -> Aggregate:
    aggregate = decode_aggregate(data)
    assert aggregate is not None
    return aggregate


def test_there_are_vectors_of_both_producers():
    assert len(AGGREGATES) >= 15
    assert max(len(record.user_records) for record in AGGREGATES) == 200


@pytest.mark.parametrize("record", AGGREGATES, ids=lambda record: record.name)
def test_what_others_wrote_is_read_and_written_again_byte_for_byte(record: KinesisRecord):
    keys, places, datas = columns(record.user_records)
    assert decoded(record.data) == Aggregate(keys, places, datas, [()] * len(keys))
    assert encode_aggregate(keys, places, datas) == record.data
    if not any(places):
        assert encode_aggregate(keys, None, datas) == record.data


@given(rows=ROWS, first_tag=st.none() | st.text(max_size=200))
@example(rows=[("k", None, b"")], first_tag="")
@example(rows=[(f"k{i}", "7", b"v") for i in range(300)], first_tag=None)
@example(rows=[(f"k{i % 200}", None if i % 2 else str(i), bytes(i)) for i in range(300)], first_tag="t" * 20_000)
def test_rows_come_back(rows: list[tuple[str, str | None, bytes]], first_tag: str | None):
    keys, places, datas = columns(rows)
    aggregate = decoded(encode_aggregate(keys, places, datas, first_tag))
    tags: list[Tags] = [()] * len(rows)
    if first_tag is not None:
        tags[0] = ((TAG_KEY, first_tag),)
    assert aggregate == Aggregate(keys, places, datas, tags)
    assert aggregate.first_tag == first_tag
    assert len(aggregate) == len(rows)
    if not any(places):
        assert encode_aggregate(keys, None, datas, first_tag) == encode_aggregate(keys, places, datas, first_tag)


@given(rows=ROWS, first_tag=st.none() | st.text(max_size=200))
@example(rows=[(f"k{i}", str(i), bytes(i)) for i in range(300)], first_tag="t" * 20_000)
@example(rows=[("k", None, bytes(2**21))], first_tag="t")
@example(rows=[("k", None, b"")], first_tag="t" * 110)
def test_the_size_is_bounded(rows: list[tuple[str, str | None, bytes]], first_tag: str | None):
    keys, places, datas = columns(rows)
    table = [*set(keys), *(set(places) - {None})]
    bound = FRAME_BYTES + sum(sub_record_bytes_max(len(data), place is not None) for _, place, data in rows)
    bound += sum(table_entry_bytes(len(key.encode())) for key in table if key is not None)
    if first_tag is not None:
        bound += tag_bytes_max(len(first_tag.encode()))
    size = len(encode_aggregate(keys, places, datas, first_tag))
    assert size <= bound <= size + 3 * len(rows) + 3


@given(rows=ROWS)
def test_an_independent_reader_reads_the_same(rows: list[tuple[str, str | None, bytes]]):
    """It cannot tell a record without explicit hash key from one with the first of the table: all have one, or none."""
    keys, places, datas = columns(rows)
    explicit = [place or "7" for place in places] if any(places) else None
    data = encode_aggregate(keys, explicit, datas, "t")
    outer = {"kinesisSchemaVersion": "1.0", "sequenceNumber": "1", "approximateArrivalTimestamp": 0, "data": b64encode(data)}
    read = [record["kinesis"] for record in deaggregate_records([{"kinesis": outer}])]
    assert [record["partitionKey"] for record in read] == keys
    assert [record["explicitHashKey"] for record in read] == ([None] * len(rows) if explicit is None else explicit)
    assert [b64decode(record["data"]) for record in read] == datas


@given(rows=ROWS)
def test_an_independent_writer_writes_the_same(rows: list[tuple[str, str | None, bytes]]):
    keys, places, datas = columns(rows)
    explicit = [place or "7" for place in places]
    record = AggRecord()
    for row in zip(keys, datas, explicit, strict=True):
        assert record.add_user_record(*row)
    data = record.get_contents()[2]
    assert data == encode_aggregate(keys, explicit, datas)
    assert decoded(data) == Aggregate(keys, [*explicit], datas, [()] * len(keys))


def test_an_aggregate_by_example():
    tables, tag = "0a056f2d31373a 1203313233", "220c 0a06627269646765 12023176"
    message = bytes.fromhex(f"{tables} 1a18 0800 1000 1a0476616c31 {tag} 1a06 0800 1000 1a00")
    assert encode_aggregate(["o-17:"] * 2, ["123"] * 2, [b"val1", b""], "1v") == MAGIC + message + md5(message).digest()


def test_the_largest_count_fits_and_no_other_does():
    keys = [f"k{i}" for i in range(SUB_RECORDS_MAX)]
    data = encode_aggregate(keys, None, [b""] * SUB_RECORDS_MAX)
    assert decoded(data).partition_keys == keys
    entries = sum(table_entry_bytes(len(key)) for key in keys)
    assert len(data) <= FRAME_BYTES + SUB_RECORDS_MAX * sub_record_bytes_max(0, False) + entries
    for count in (0, SUB_RECORDS_MAX + 1):
        with pytest.raises(ValueError, match=r"1 to 16384 records, not"):
            encode_aggregate(["k"] * count, None, [b""] * count)


@pytest.mark.parametrize("keys", [["a"], ["a", "a", "a"], ["a", "b", "c"], []])
def test_columns_of_different_length_are_refused(keys: list[str]):
    with pytest.raises(ValueError, match="different length"):
        encode_aggregate(keys, None, [b"1", b"2"])
    with pytest.raises(ValueError, match="different length"):
        encode_aggregate(["a", "b"], [str(len(key)) for key in keys], [b"1", b"2"])
