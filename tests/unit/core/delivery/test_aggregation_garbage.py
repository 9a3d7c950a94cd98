"""Reading bytes that nobody meant: no crash, little work, and the judgement of protobuf's own parser."""

import re
import tracemalloc
from collections.abc import Callable
from hashlib import md5
from time import process_time

import pytest
from aws_kinesis_agg import aggregator
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.delivery import deaggregation
from bridge.core.delivery.aggregate_message import parse_message
from bridge.core.delivery.aggregation import MAGIC, encode_aggregate
from bridge.core.delivery.deaggregation import Delivered, PoisonError, decode_aggregate, delivered_by_kcl, kcl_opens
from bridge.core.delivery.varints import varint
from bridge.core.quotas import HASH_KEY_MAX
from tests.vectors import KPL, kcl_reads, written_by

FRAME = 16
MESSAGES = [
    data[len(MAGIC) : -FRAME]
    for data in [
        encode_aggregate(["a", "b", "a"], ["1", None, "2"], [b"x", b"", b"zz"], "tag"),
        *(record.data for record in written_by(KPL) if record.aggregated),
        *(case.data for case in kcl_reads().cases if kcl_opens(case.data)),
    ]
    if len(data) < 400
]
BYTES_THAT_MATTER = st.sampled_from(b"\x00\x01\x02\x07\x08\x0a\x10\x12\x1a\x1b\x1c\x22\x7b\x7c\x7f\x80\xff")
MORE_THAN_32_BITS = re.compile(rb"[\x80-\xff]{4}[\x10-\xff]")


@st.composite
def damaged_messages(draw: st.DrawFn) -> bytes:
    """A good message with bytes changed, put in, or cut out: most of it still makes sense to a parser."""
    message = bytearray(draw(st.sampled_from(MESSAGES)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(message)))
        match draw(st.sampled_from(["change", "insert", "delete", "flip", "truncate", "double"])):
            case "change":
                message[at : at + 1] = bytes([draw(BYTES_THAT_MATTER)])
            case "insert":
                message[at:at] = draw(st.lists(BYTES_THAT_MATTER, min_size=1, max_size=12).map(bytes))
            case "delete":
                del message[at : at + draw(st.integers(1, 5))]
            case "flip" if at < len(message):
                message[at] ^= 1 << draw(st.integers(0, 7))
            case "truncate":
                del message[at:]
            case _:
                message += message[at:]
    return bytes(message)


GARBAGE = st.binary(max_size=200) | st.lists(BYTES_THAT_MATTER, max_size=60).map(bytes) | damaged_messages()


def framed(message: bytes) -> bytes:
    return MAGIC + message + md5(message).digest()


@settings(max_examples=1500)
@given(message=GARBAGE)
def test_garbage_is_judged_as_protobuf_does(message: bytes):
    """An independent parser (protobuf's in C) accepts the same messages and finds the same in them.

    But for what Java's parser, which KCL has, does otherwise: it cuts a tag or length of more than 32 bits, where this one
    refuses it, and refuses a field number 0 also inside an unknown group.
    """
    theirs = aggregator.messages_pb2.AggregatedRecord()
    try:
        theirs.ParseFromString(message)
        accepted = theirs.IsInitialized()
    except DecodeError:
        accepted = False
    try:
        ours = parse_message(message)
    except ValueError as refused:
        stricter = "number 0" in str(refused)
        assert stricter or not accepted
        return
    if not accepted:
        assert MORE_THAN_32_BITS.search(message)
        return
    assert len(ours.partition_keys) == len(theirs.partition_key_table)
    assert len(ours.explicit_hash_keys) == len(theirs.explicit_hash_key_table)
    assert [record.data for record in ours.records] == [record.data for record in theirs.records]
    assert [record.key_index % 2**64 for record in ours.records] == [record.partition_key_index for record in theirs.records]
    assert [record.explicit_index is not None for record in ours.records] == [
        record.HasField("explicit_hash_key_index") for record in theirs.records
    ]
    assert [len(record.tags) for record in ours.records] == [len(record.tags) for record in theirs.records]


@given(message=GARBAGE)
def test_garbage_ends_in_one_of_three_ways(message: bytes):
    data = framed(message)
    try:
        aggregate = decode_aggregate(data)
    except PoisonError:
        assert kcl_opens(data)
        return
    assert kcl_opens(data) is (aggregate is not None)
    if aggregate is None:
        assert delivered_by_kcl(data, "outer", 0, 0) == [Delivered(0, False, "outer", None, data)]
    else:
        assert len(delivered_by_kcl(data, "outer", -1, HASH_KEY_MAX + 1)) in (0, len(aggregate))


@given(message=st.sampled_from(MESSAGES), position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_one_wrong_bit_makes_it_a_plain_record(message: bytes, position: int, bit: int):
    data = bytearray(framed(message))
    data[position % len(data)] ^= 1 << bit
    assert decode_aggregate(bytes(data)) is None
    assert not kcl_opens(bytes(data))


@given(message=st.sampled_from(MESSAGES), length=st.integers(0, 10**6))
def test_a_part_of_it_is_a_plain_record(message: bytes, length: int):
    data = framed(message)
    data = data[: length % len(data)]
    assert delivered_by_kcl(data, "outer", 0, HASH_KEY_MAX) == [Delivered(0, False, "outer", None, data)]


SIZE = 2**18
RECORD = b"\x1a\x04\x08\x00\x1a\x00"


@pytest.mark.parametrize(
    ("why", "make"),
    [
        ("many empty keys", lambda: b"\x0a\x00" * (SIZE // 2)),
        ("many records", lambda: b"\x0a\x01k" + RECORD * (SIZE // 6)),
        ("one long key in many records", lambda: b"\x0a" + varint(SIZE // 2) + bytes(SIZE // 2) + RECORD * (SIZE // 12)),
        ("one long number in many records", lambda: explicit_records(b"1" * (SIZE // 2))),
        ("many groups", lambda: b"\x7b" * SIZE),
        ("groups one after the other", lambda: b"\x7b\x7c" * (SIZE // 2)),
        ("an endless number", lambda: b"\x78" + b"\xff" * SIZE),
        ("a length beyond all", lambda: b"\x0a" + b"\xff" * 9 + b"\x01" + bytes(SIZE)),
        ("many tags", lambda: record_with(b"\x22\x02\x0a\x00" * (SIZE // 4))),
        ("data again and again", lambda: record_with((b"\x1a" + varint(4000) + bytes(4000)) * (SIZE // 4000))),
    ],
)
def test_work_and_memory_are_bounded(why: str, make: Callable[[], bytes]):
    data = framed(make())
    tracemalloc.start()
    began = process_time()
    try:
        decode_aggregate(data)
        delivered_by_kcl(data, "outer", 0, HASH_KEY_MAX + 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert process_time() - began < 10, why
    assert peak < 150 * SIZE, why


def explicit_records(place: bytes) -> bytes:
    return b"\x0a\x00\x12" + varint(len(place)) + place + b"\x1a\x06\x08\x00\x10\x00\x1a\x00" * (SIZE // 16)


def record_with(fields: bytes) -> bytes:
    fields = b"\x08\x00\x1a\x00" + fields
    return b"\x0a\x01k\x1a" + varint(len(fields)) + fields


def test_a_long_key_is_hashed_once(monkeypatch: pytest.MonkeyPatch):
    hashed: list[str] = []

    def counted(key: str) -> int:
        hashed.append(key)
        return 0

    monkeypatch.setattr(deaggregation, "hash_key", counted)
    data = encode_aggregate(["long", "other"] * 500, None, [b"v"] * 1000)
    assert len(delivered_by_kcl(data, "outer", 0, HASH_KEY_MAX)) == 1000
    assert hashed == ["long", "other"]
