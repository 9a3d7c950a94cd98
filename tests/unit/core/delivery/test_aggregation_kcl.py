"""What Amazon's consumer library makes of a record: agreement with what it was seen to do, and the rules behind it."""

from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.aggregation import MAGIC, encode_aggregate
from bridge.core.delivery.deaggregation import (
    Delivered,
    PoisonError,
    decode_aggregate,
    delivered_by_kcl,
    explicit_place,
    kcl_opens,
)
from bridge.core.delivery.partition_keys import hash_key
from bridge.core.delivery.varints import varint
from bridge.core.quotas import HASH_KEY_MAX
from tests.vectors import KPL, KclCase, KinesisRecord, kcl_reads, written_by

READS = kcl_reads()
POISON = {
    "key index beyond the table in the second of three": "partition key 5 of a table of 1",
    "explicit hash key not a number in the second of three": "the explicit hash key 'notanumber' is not a number",
}
PLAIN = b"plain"


def framed(message: bytes) -> bytes:
    return MAGIC + message + md5(message).digest()


def sub_record(key: int, data: bytes, explicit: int | None = None) -> bytes:
    indices = b"\x08" + varint(key) + (b"" if explicit is None else b"\x10" + varint(explicit))
    fields = indices + b"\x1a" + varint(len(data)) + data
    return b"\x1a" + varint(len(fields)) + fields


def test_every_case_is_there():
    assert len(READS.cases) == 26
    assert [case.name for case in READS.cases if case.delivered is None] == list(POISON)


@pytest.mark.parametrize("case", READS.cases, ids=lambda case: case.name)
def test_it_agrees_with_what_kcl_delivered(case: KclCase):
    if case.delivered is None:
        with pytest.raises(PoisonError) as refused:
            delivered_by_kcl(case.data, READS.partition_key, *READS.hash_keys)
        assert refused.value.row == 1
        assert str(refused.value) == f"sub-record 1: {POISON[case.name]}"
        return
    delivered = delivered_by_kcl(case.data, READS.partition_key, *READS.hash_keys)
    assert delivered == [Delivered(*fields) for fields in case.delivered]


@pytest.mark.parametrize("record", written_by(KPL), ids=lambda record: record.name)
def test_what_amazons_producer_wrote_is_delivered_whole(record: KinesisRecord):
    delivered = delivered_by_kcl(record.data, record.partition_key, *record.hash_keys)
    shown = [user if record.aggregated else user._replace(explicit_hash_key=None) for user in record.user_records]
    assert [(user.partition_key, user.explicit_hash_key, user.data) for user in delivered] == shown
    assert [user.sub_sequence_number for user in delivered] == list(range(len(shown)))
    assert {user.aggregated for user in delivered} == {record.aggregated}


@pytest.mark.parametrize("case", READS.cases, ids=lambda case: case.name)
def test_a_value_that_kcl_would_treat_specially_is_safe_inside_an_aggregate(case: KclCase):
    plain = case.delivered == [(0, False, READS.partition_key, None, case.data)]
    assert kcl_opens(case.data) is not plain
    wrapped = encode_aggregate(["k"], None, [case.data], "t")
    assert kcl_opens(wrapped)
    assert delivered_by_kcl(wrapped, "outer", 0, HASH_KEY_MAX) == [Delivered(0, True, "k", None, case.data)]


@pytest.mark.parametrize("case", READS.cases, ids=lambda case: case.name)
def test_decoding_and_delivery_agree(case: KclCase):
    """A decoder has no shard: it shows what would be delivered if every place were in range."""
    if case.name in POISON:
        with pytest.raises(PoisonError):
            decode_aggregate(case.data)
        return
    aggregate = decode_aggregate(case.data)
    delivered = delivered_by_kcl(case.data, "outer", 0, HASH_KEY_MAX + 1)
    if aggregate is None:
        assert delivered == [Delivered(0, False, "outer", None, case.data)]
    else:
        rows = zip(aggregate.partition_keys, aggregate.explicit_hash_keys, aggregate.datas, strict=True)
        assert delivered == [Delivered(i, True, *row) for i, row in enumerate(rows)]


def test_other_programs_tags_are_read():
    [tagged] = [case.data for case in READS.cases if case.name == "tags filled in"]
    aggregate = decode_aggregate(tagged)
    assert aggregate is not None
    assert [[key for key, _ in tags] for tags in aggregate.tags] == [["a", "b"], ["k"]]
    assert aggregate.tags[0] == (("a", "1"), ("b", None))
    assert aggregate.first_tag is None
    assert decode_aggregate(framed(b"\x0a\x01k")) is not None


@given(keys=st.lists(st.text(max_size=5), min_size=1, max_size=6), ends=st.tuples(st.text(max_size=5), st.text(max_size=5)))
def test_one_sub_record_outside_the_shard_drops_all(keys: list[str], ends: tuple[str, str]):
    start, end = sorted(map(hash_key, ends))
    delivered = delivered_by_kcl(encode_aggregate(keys, None, [b"v"] * len(keys)), "outer", start, end)
    inside = all(start <= hash_key(key) <= end for key in keys)
    assert [user.partition_key for user in delivered] == (keys if inside else [])


def test_the_first_trouble_counts():
    """KCL looks at sub-record after sub-record: what lies behind one that is outside is never looked at."""
    table = b"\x0a\x01k\x12\x011\x12\x0299"
    good, outside, poison = sub_record(0, b"v", 0), sub_record(0, b"v", 1), sub_record(7, b"v")
    assert delivered_by_kcl(framed(table + good + outside + poison), "outer", 0, 50) == []
    with pytest.raises(PoisonError, match="sub-record 1: partition key 7 of a table of 1"):
        delivered_by_kcl(framed(table + good + poison + outside), "outer", 0, 50)
    with pytest.raises(PoisonError, match="sub-record 0: explicit hash key 2 of a table of 2"):
        delivered_by_kcl(framed(table + sub_record(0, b"v", 2)), "outer", 0, 50)


@pytest.mark.parametrize(
    ("index", "found"), [(2**32, True), (2**32 + 1, False), (2**63, True), (2**31, False), (2**32 - 1, False), (2**64 - 1, False)]
)
def test_an_index_counts_modulo_32_bits(index: int, found: bool):
    data = framed(b"\x0a\x01k" + sub_record(index, b"v"))
    assert kcl_opens(data)
    if found:
        assert [user.partition_key for user in delivered_by_kcl(data, "outer", 0, HASH_KEY_MAX)] == ["k"]
    else:
        with pytest.raises(PoisonError, match=f"partition key {index} of a table of 1"):
            delivered_by_kcl(data, "outer", 0, HASH_KEY_MAX)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0", 0),
        ("00012", 12),
        ("+5", 5),
        ("-0", 0),
        ("-1", -1),
        ("-" + "9" * 50, -1),
        (str(HASH_KEY_MAX), HASH_KEY_MAX),
        ("0" * 5000 + "7", 7),
        ("9" * 39, int("9" * 39)),
        ("1" * 5000, HASH_KEY_MAX + 1),
    ],
)
def test_an_explicit_hash_key_is_a_number_as_java_reads_it(text: str, place: int):
    assert explicit_place(text) == place


@pytest.mark.parametrize("text", ["", "-", "+", " 1", "1 ", "1_0", "0x1", "--1", "1.0", "notanumber", "1\n"])
def test_what_java_does_not_read_is_no_number(text: str):
    with pytest.raises(ValueError, match="is not a number"):
        explicit_place(text)


@pytest.mark.parametrize(
    ("why", "message"),
    [
        ("no key", b"\x0a\x01k\x1a\x03\x1a\x01v"),
        ("no data", b"\x0a\x01k\x1a\x02\x08\x00"),
        ("a tag without key", b"\x0a\x01k\x1a\x0a\x08\x00\x1a\x01v\x22\x03\x12\x01t"),
        ("cut off in a text", b"\x0a\x02k"),
        ("cut off in a record", b"\x0a\x01k\x1a\x07\x08\x00\x1a\x02v"),
        ("an index over the end of its record", b"\x1a\x05\x1a\x01v\x08\x80\x00"),
        ("data longer than its record", b"\x1a\x05\x08\x00\x1a\x02v\x0a\x00"),
        ("a tag's text longer than the tag", b"\x1a\x09\x08\x00\x1a\x01v\x22\x03\x0a\x02t"),
        ("field number 0", b"\x02\x00"),
        ("a kind that is none", b"\x0e\x00"),
        ("an end of no group", b"\x7c"),
        ("an end of another group", b"\x7b\x84\x01"),
        ("a group without end", b"\x7b\x08\x01"),
        ("groups too deep", b"\x7b" * 101 + b"\x7c" * 101),
        ("fixed 64 cut off", b"\x79" + bytes(7)),
        ("fixed 32 cut off", b"\x7d" + bytes(3)),
        ("a number of eleven bytes", b"\x78" + b"\x80" * 10 + b"\x00"),
        ("a length of 2**32 - 1", b"\x0a\xff\xff\xff\xff\x0f"),
    ],
)
def test_what_protobuf_refuses_is_a_plain_record(why: str, message: bytes):
    data = framed(message)
    assert not kcl_opens(data), why
    assert decode_aggregate(data) is None
    assert delivered_by_kcl(data, "outer", 0, 0) == [Delivered(0, False, "outer", None, data)]


@pytest.mark.parametrize(
    ("why", "more"),
    [
        ("groups", b"\x7b" * 100 + b"\x7c" * 100),
        ("a group with everything in it", b"\x7b\x08\x01\x11" + bytes(8) + b"\x1d" + bytes(4) + b"\x22\x01x\x7c"),
        ("a known number of another kind", b"\x08\x01\x10\x01\x18\x01"),
        ("a tag in more bytes than it needs", b"\xf8\x80\x80\x80\x80\x00\x01"),
    ],
)
def test_what_protobuf_skips_changes_nothing(why: str, more: bytes):
    data = framed(b"\x0a\x01k" + more + sub_record(0, b"v") + more)
    assert delivered_by_kcl(data, "outer", 0, HASH_KEY_MAX) == [Delivered(0, True, "k", None, b"v")], why


def test_the_last_of_repeated_fields_counts():
    fields = b"\x08\x05\x08\x00" + b"\x1a\x01u\x1a\x01v"
    data = framed(b"\x0a\x01k\x1a" + varint(len(fields)) + fields)
    assert delivered_by_kcl(data, "outer", 0, HASH_KEY_MAX) == [Delivered(0, True, "k", None, b"v")]


def test_a_key_that_is_not_utf8_is_read_as_java_does():
    data = framed(b"\x0a\x02k\xff" + sub_record(0, b"v"))
    assert delivered_by_kcl(data, "outer", 0, HASH_KEY_MAX) == [Delivered(0, True, "k\ufffd", None, b"v")]
