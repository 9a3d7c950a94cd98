"""What stands beside a committed offset comes back; what another program wrote there means nothing."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.commit_metadata import METADATA_BYTES_MAX, VERSION, CommitMetadata, HotLane, decode, encode

SLICES = st.none() | st.integers(1, 10_000)
HALTED = st.just((None, None)) | st.tuples(st.text(max_size=40), st.integers(0, 2**62))
STREAM = st.just((None, None)) | st.tuples(st.text(max_size=128), st.integers(0, 2**62))


METADATA = st.builds(
    lambda slices, halted, topic_id, stream, hot: CommitMetadata(
        slices, halted[0], halted[1], topic_id, stream[0], stream[1], hot
    ),
    SLICES,
    HALTED,
    st.none() | st.text(max_size=22),
    STREAM,
    st.none() | st.builds(HotLane, st.text("0123456789abcdef", max_size=8), st.floats(0, 1e6), st.integers(1, 500)),
)


@given(metadata=METADATA)
def test_it_comes_back(metadata):
    text = encode(metadata)
    assert decode(text) == metadata
    assert len(text.encode()) <= METADATA_BYTES_MAX


@given(text=st.none() | st.text(max_size=60))
def test_foreign_text_is_empty(text):
    decoded = decode(text)
    assert decoded == CommitMetadata() or orjson.loads(text)["v"] == VERSION


@pytest.mark.parametrize(
    "text",
    ["", None, "null", "[]", "7", '"text"', "{}", '{"n": 4}', '{"v": 2, "n": 4}', '{"v": "1", "n": 4}', "\x00", "{"],
)
def test_another_format_is_empty(text):
    assert decode(text) == CommitMetadata()


@pytest.mark.parametrize(
    "fields",
    [
        {"n": "4"},
        {"n": 0},
        {"n": -1},
        {"n": None},
        {"halted": 5},
        {"at": "x"},
        {"n": [4], "new": 1},
        {"t": 5},
        {"s": "stream"},
        {"s": ["stream"]},
        {"s": ["stream", "1"]},
        {"s": [1, 1]},
        {"s": ["stream", True]},
    ],
)
def test_a_field_of_another_type_is_left_out(fields):
    assert decode(orjson.dumps({"v": VERSION, **fields}).decode()) == CommitMetadata()


def test_a_later_field_does_not_hide_the_known_ones():
    assert decode('{"v": 1, "n": 4, "lease": {"x": 1}}') == CommitMetadata(slices=4)
