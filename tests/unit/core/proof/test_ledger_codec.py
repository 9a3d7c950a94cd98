"""Ledger entries come back from their bytes, which are few; what was not written here is refused."""

import tracemalloc
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from bridge.core.delivery.aggregation import SUB_RECORDS_MAX
from bridge.core.proof.ledger_codec import LedgerVersionError, decode, decode_body, encode
from bridge.core.proof.ledger_entries import Doubts, Group, Resolved, ResolvedAs, Stored, StreamShard
from bridge.core.proof.ledger_layout import HEAD, MAGIC, OFFSETS_MAX, VERSION
from bridge.core.records import Partition
from tests.unit.core.proof.ledgers import GROUPS, carried

SHARD, PARTITION = StreamShard("orders", "shardId-000000000003"), Partition("orders", 7)
ONE = Stored(SHARD, PARTITION, [2**185 + 5], [9], [41])


def checked(body: bytes) -> bytes:
    return body + xxh3_64_intdigest(body).to_bytes(8, "little")


@given(groups=GROUPS)
@example(groups=[])
@example(groups=[Stored(SHARD, PARTITION, [10**129 - 1, 0], [0, 2**64 - 1], [2**63 - 1, 0])])
def test_entries_come_back_in_their_order(groups):
    assert decode(encode(groups)) == groups


@pytest.mark.parametrize(
    ("partitions", "shards", "records", "bytes_a_record"),
    [
        (1, 1, 1000, 14.0),
        (12, 4, 4000, 14.0),
        (12, 16, 16_000, 15.0),
        (12, 192, 20_000, 18.0),
        (96, 192, 20_000, 23.0),
        (400, 8, 3_000, 23.0),
    ],
)
def test_a_raw_record_costs_few_bytes(partitions, shards, records, bytes_a_record):
    groups = carried(partitions, shards, records)
    assert len(encode(groups)) <= bytes_a_record * sum(len(group.offsets) for group in groups)


@pytest.mark.parametrize(
    ("partitions", "shards", "records", "aggregate", "bytes_a_record"),
    [
        (1, 1, 1000, 50, 0.5),
        (12, 4, 4000, 50, 1.6),
        (12, 4, 40_000, 300, 1.2),
        (12, 16, 16_000, 50, 1.6),
        (12, 16, 1_900, 10, 4.0),
    ],
)
def test_an_aggregated_record_costs_less(partitions, shards, records, aggregate, bytes_a_record):
    groups = carried(partitions, shards, records, aggregate)
    assert len(encode(groups)) <= bytes_a_record * sum(len(group.offsets) for group in groups)


def test_a_message_by_example():
    groups: list[Group] = [
        Stored(SHARD, PARTITION, [3 << 80 | 2 << 36 | 1, 4 << 80 | 3 << 36 | 1], [1, 2], [1000, 1002, 1003], [2, 1]),
        Resolved(PARTITION, ResolvedAs.SKIPPED, "oversize", [1001]),
        Doubts("orders", PARTITION, [3], [4], [1000], [1016], [1004]),
    ]
    parts = [
        ("BL, version 1", "424c 01"),
        ("texts: oversize, orders", "02 08 6f76657273697a65 06 6f7264657273"),
        ("partitions: orders-7", "01 01 07"),
        ("shards: number 3 of orders", "01 01 04"),
        ("aggregates, shard 0, partition 0, 2 rows, counts: 2, all differences -1", "01 00 00 02 04 01 00"),
        ("offsets: 1000, differences 1 and more, of one byte each", "d00f 02 01 01 00"),
        ("sequence numbers: 3 and 4, 2 and 3, 1 and 1", "06 02 00 04 02 00 02 00 00"),
        ("digests 1, 2", "0100000000000000 0200000000000000"),
        ("skipped, partition 0, for text 0, one offset: 2 below 1003", "02 00 01 00 01 03"),
        ("in doubt, of stream 1, ordered, partition 0, one row: 3 above 1001", "03 01 01 00 01 06"),
        ("from 1000 ms to 1016 ms, hash 3, digest 4", "d00f f00f 0300000000000000 0400000000000000"),
        ("checksum", "8e0cf3a88e26c57c"),
    ]
    assert encode(groups).hex(" ") == bytes.fromhex("".join(written for _, written in parts)).hex(" ")


@pytest.mark.parametrize(
    "bad",
    [
        Stored(SHARD, PARTITION, [], [], []),
        Stored(SHARD, PARTITION, [1], [1], [1, 2]),
        Stored(SHARD, PARTITION, [1, 2], [1], [1, 2]),
        Stored(SHARD, PARTITION, [-1], [1], [1]),
        Stored(SHARD, PARTITION, [1], [2**64], [1]),
        Stored(SHARD, PARTITION, [1], [1], [-1]),
        Stored(SHARD, PARTITION, [1], [1], [2**63]),
        Stored(SHARD, PARTITION, [1], [1], [1, 2], [1]),
        Stored(SHARD, PARTITION, [1, 2], [1, 2], [1, 2], [2, 0]),
        Stored(SHARD, PARTITION, [1], [1], range(SUB_RECORDS_MAX + 1), [SUB_RECORDS_MAX + 1]),
        Stored(SHARD, PARTITION, [1], [1], [1], [1], is_claim=True),
        Stored(SHARD, Partition("orders", -1), [1], [1], [1]),
        Stored(SHARD, Partition("\ud800", 1), [1], [1], [1]),
        Resolved(PARTITION, ResolvedAs.PARKED, "", []),
        Resolved(PARTITION, ResolvedAs.PARKED, "", range(OFFSETS_MAX + 1)),
        Doubts("orders", PARTITION, [1, 2], [1], [1], [1], [1]),
        Doubts("orders", PARTITION, [1], [1], [1], [], [1]),
    ],
)
def test_what_makes_no_sense_is_not_written(bad):
    with pytest.raises(ValueError, match=r".+"):
        encode([ONE, bad])


# What was not written here


def test_a_later_version_is_named():
    later = checked(MAGIC + bytes((VERSION + 1,)) + encode([ONE])[3:-8])
    with pytest.raises(LedgerVersionError, match=r"has version 2, this program knows versions up to 1"):
        decode(later)


@pytest.mark.parametrize("data", [b"", b"B", b"BL", HEAD, HEAD + b"\0" * 7, checked(b"XX\x01\0\0\0"), checked(b"BL\0\0\0\0")])
def test_what_is_no_entry_is_refused(data):
    with pytest.raises(ValueError, match=r"the ledger entry is damaged|this is no ledger entry"):
        decode(data)


@given(groups=GROUPS, cut=st.integers(1, 10**6), more=st.binary(max_size=3))
def test_what_is_cut_off_or_goes_on_is_refused(groups, cut, more):
    data = encode(groups)
    with pytest.raises(ValueError, match="ledger entry"):
        decode(data[: -min(cut, len(data))] if not more else data + more)


@given(groups=GROUPS, position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_wrong_bit_is_noticed(groups, position, bit):
    data = bytearray(encode(groups))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(ValueError, match="ledger entry"):
        decode(bytes(data))


CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)


@given(groups=GROUPS, cut=st.integers(0, 10**6), changes=CHANGES)
def test_whatever_the_checksum_lets_pass_is_read_or_refused(groups, cut, changes):
    body = bytearray(encode(groups)[:-8])
    for position, byte in changes:
        body[position % (len(body) - 3) + 3 if len(body) > 3 else 0] = byte
    body = body[: max(3, len(body) - cut % 9)]
    try:
        read = decode(checked(bytes(body)))
    except ValueError:
        return
    assert decode(encode(read)) == read


@given(body=st.binary(max_size=60) | st.lists(st.sampled_from(b"\0\1\2\3\4\x40\x7f\x80\xff"), max_size=40).map(bytes))
def test_garbage_is_refused_or_means_something(body):
    try:
        read = decode_body(HEAD + body, len(HEAD) + len(body))
    except ValueError:
        return
    assert decode(encode(read)) == read


TABLES = b"\x01\x01t\x01\0\0\x01\0\x01"
HUGE = b"\xff" * 60 + b"\x01"


@pytest.mark.parametrize(
    "body",
    [
        HUGE,
        b"\x01" + HUGE,
        b"\x01\x01t" + HUGE,
        TABLES + b"\0\0\0" + HUGE,
        TABLES + b"\x02\0\0\0" + HUGE,
        TABLES + b"\x02\0\0\0\xff\xff\x7f\0\x02\0",
        TABLES + b"\x01\0\0\xff\xff\x07" + b"\x80\x80\x02\0\0" + b"\0\x02\0",
        TABLES + b"\x02\0\0\0\x80\x80\x08\0\x02\0" * 40_000,
    ],
)
def test_garbage_costs_little(body):
    tracemalloc.start()
    began = process_time()
    try:
        with pytest.raises(ValueError, match="not readable"):
            decode(checked(HEAD + body))
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()
    assert process_time() - began < 5
