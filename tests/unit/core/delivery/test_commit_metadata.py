"""What stands beside a committed offset comes back; what another program wrote there means nothing."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.commit_metadata import METADATA_BYTES_MAX, VERSION, CommitMetadata, HotLane, decode, demand_in, encode
from bridge.core.delivery.ownership import FLOOR_SLOTS_MAX, Ownership, floors_of, floors_text

SLICES = st.none() | st.integers(1, 10_000)
HALTED = st.just((None, None)) | st.tuples(st.text(max_size=40), st.integers(0, 2**62))
STREAM = st.just((None, None)) | st.tuples(st.text(max_size=128), st.integers(0, 2**62))


INT64 = st.integers(0, 2**63 - 1)
FLOORS = st.dictionaries(st.integers(0, 20) | INT64, INT64, max_size=FLOOR_SLOTS_MAX)
OWNERSHIP = st.builds(
    Ownership,
    st.text("0123456789abcdef-", min_size=1, max_size=36),
    INT64,
    st.booleans(),
    INT64,
    INT64,
    FLOORS,
    INT64,
    st.text("0123456789abcdef", max_size=32),
    st.integers(0, 10**7).map(lambda tenths: tenths / 10),
    INT64,
    st.sampled_from([0.25, 0.5, 0.75, 1.0]),
)
METADATA = st.builds(
    lambda slices, halted, topic_id, stream, hot, ownership: CommitMetadata(
        slices, halted[0], halted[1], topic_id, stream[0], stream[1], hot, ownership
    ),
    SLICES,
    HALTED,
    st.none() | st.text(max_size=22),
    STREAM,
    st.none() | st.builds(HotLane, st.text("0123456789abcdef", max_size=8), st.floats(0, 1e6), st.integers(1, 500)),
    st.none() | OWNERSHIP,
)
OWNED = Ownership("6f1c2ab09d3e", 3, True, 1_769_000_000_123, 1_769_000_012_000, {0: 100, 5: 1000, 6: 1001}, 1, "9a3c11d2", 48.5)


@given(metadata=METADATA)
def test_it_comes_back(metadata):
    text = encode(metadata)
    assert decode(text) == metadata
    assert len(text.encode()) <= METADATA_BYTES_MAX


@given(text=st.none() | st.text(max_size=60))
def test_foreign_text_is_empty(text):
    decoded = decode(text)
    assert decoded == CommitMetadata() or "v" in orjson.loads(text)


@pytest.mark.parametrize(
    "text",
    ["", None, "null", "[]", "7", '"text"', "{}", '{"n": 4}', "\x00", "{"],
)
def test_what_another_program_wrote_is_empty(text):
    assert decode(text) == CommitMetadata()


@pytest.mark.parametrize("version", [0, 2, 17, -1, "1", "2", None, 1.5, [1], {"major": 1}])
def test_another_version_is_not_taken_for_nothing(version):
    unreadable = decode(orjson.dumps({"v": version, "n": 4}).decode()).unreadable
    assert unreadable is not None
    assert orjson.dumps(version).decode() in unreadable


def test_what_cannot_be_read_is_not_written():
    with pytest.raises(ValueError, match="version 2"):
        encode(decode('{"v": 2}'))


@pytest.mark.parametrize(
    "fields",
    [
        {"n": "4"},
        {"n": 0},
        {"n": -1},
        {"n": None},
        {"halted": 5},
        {"at": "x"},
        {"n": [4]},
        {"t": 5},
        {"s": "stream"},
        {"s": ["stream"]},
        {"s": ["stream", "1"]},
        {"s": [1, 1]},
        {"s": ["stream", True]},
    ],
)
def test_a_field_of_another_type_is_not_taken_for_a_missing_one(fields):
    (name,) = fields
    decoded = decode(orjson.dumps({"v": VERSION, "new": 1, **fields}).decode())
    assert decoded == CommitMetadata(unreadable=f"it cannot be read: {name}")


def test_what_only_tells_people_may_be_left_out():
    assert decode('{"v": 1, "n": 4, "hot": 7}') == CommitMetadata(4)


def test_a_later_field_does_not_hide_the_known_ones():
    assert decode('{"v": 1, "n": 4, "lease": {"x": 1}}') == CommitMetadata(slices=4)


# Ownership


def test_old_metadata_of_a_group_that_exists_still_decodes():
    text = '{"v":1,"n":12,"halted":"oversize","at":1234,"t":"C_N7","s":["orders",1767225600000],"hot":["6e7f85a9",48.5,230]}'
    hot = HotLane("6e7f85a9", 48.5, 230)
    assert decode(text) == CommitMetadata(12, "oversize", 1234, "C_N7", "orders", 1767225600000, hot)


@pytest.mark.parametrize("demand", [0, -1, 1.1, True, "1", None, [1]])
def test_a_demand_that_is_none_is_not_taken_for_one(demand):
    fields = orjson.loads(encode(CommitMetadata(4, ownership=OWNED)))
    assert decode(orjson.dumps(fields).decode()).ownership == OWNED, "where it is missing it is 1"
    text = orjson.dumps(fields | {"d": demand}).decode()
    assert decode(text).unreadable is not None
    assert demand_in(text) == 1


@given(metadata=METADATA)
def test_the_demand_is_read_alone(metadata):
    assert demand_in(encode(metadata)) == (metadata.ownership.demand if metadata.ownership else 1)


@pytest.mark.parametrize("text", ["", None, "[]", '{"d":0.5}', '{"v":2,"d":0.5}', '{"v":1}'])
def test_who_does_not_say_what_it_wants_wants_all(text):
    assert demand_in(text) == 1


def test_ownership_by_example():
    assert encode(CommitMetadata(4, ownership=OWNED)) == (
        '{"v":1,"n":4,"o":["6f1c2ab09d3e",3],"st":"open","w":1769000000123,"f":"2s,5:rs,rt","e":1769000012000,'
        '"a":0,"ep":1,"fp":"9a3c11d2","r":48.5}'
    )


@pytest.mark.parametrize("slots", [16, 128])
def test_a_floor_of_every_slot_is_short(slots):
    floors = {slot: 3 * 10**9 + slot for slot in range(slots)}
    assert len(encode(CommitMetadata(4, ownership=replace(OWNED, floors=floors)))) <= 140 + 8 * slots


@pytest.mark.parametrize("name", ["o", "st", "w", "f", "e", "a", "ep", "fp", "r"])
@pytest.mark.parametrize("value", ["missing", None, "no such", -1, [], ["", 1], {"x": 1}])
def test_a_part_of_an_ownership_is_not_taken_for_none(name, value):
    fields = orjson.loads(encode(CommitMetadata(4, ownership=OWNED)))
    if value == "missing":
        del fields[name]
    else:
        fields[name] = value
    if (name, value) != ("fp", "no such"):
        decoded = decode(orjson.dumps(fields).decode())
        assert decoded.unreadable is not None
        assert decoded == CommitMetadata(unreadable=decoded.unreadable)


@pytest.mark.parametrize(
    "bad",
    [
        {"owner": ""},
        {"owner": "x" * 65},
        {"counter": -1},
        {"watermark_ms": 2**63},
        {"lease_end_ms": -1},
        {"records_per_s": float("inf")},
        {"records_per_s": float("nan")},
        {"floors": {-1: 0}},
        {"floors": {0: -1}},
        {"floors": dict.fromkeys(range(FLOOR_SLOTS_MAX + 1), 0)},
    ],
)
def test_what_is_out_of_range_is_not_written(bad):
    with pytest.raises(ValueError, match=r".+"):
        encode(CommitMetadata(ownership=replace(OWNED, **bad)))


@given(floors=FLOORS)
def test_floors_come_back(floors):
    assert floors_of(floors_text(floors)) == floors


@given(text=st.text("0123456789az:,-_ Z", max_size=12))
def test_a_text_is_a_floor_or_refused(text):
    try:
        floors = floors_of(text)
    except ValueError:
        return
    assert floors_text(floors) == text
