"""The tag of an aggregate: what goes in comes out, short, and nothing else is taken for one."""

from base64 import b64decode, b64encode
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.core.delivery.aggregate_tags import (
    Origin,
    TagColumns,
    decode_tag,
    encode_tag,
    headers_bytes,
    tag_text_bytes_max,
)
from bridge.core.delivery.aggregation import SUB_RECORDS_MAX
from bridge.core.records import Headers, Partition

ORIGIN = Origin("orders-move", Partition("orders", 7))
NOW_MS = 1_769_000_000_000
INT64 = st.integers(-(2**63), 2**63 - 1)
NEAR = st.integers(NOW_MS, NOW_MS + 300)
HEADERS = st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=8)), max_size=3).map(tuple)


@st.composite
def columns(draw: st.DrawFn) -> TagColumns:
    rows = draw(st.integers(1, 24))
    numbers = st.lists(draw(st.sampled_from([INT64, NEAR, st.just(NOW_MS)])), min_size=rows, max_size=rows)
    rising = st.builds(
        lambda first, step: list(range(first, first + rows * step, step)), st.integers(0, 2**50), st.integers(1, 300)
    )
    null_rows = draw(st.lists(st.integers(0, rows - 1), unique=True).map(sorted))
    headers = draw(st.none() | st.lists(HEADERS, min_size=rows, max_size=rows))
    return TagColumns(draw(rising | numbers), draw(numbers), null_rows, headers)


ORIGINS = st.builds(Origin, st.text(max_size=20), st.builds(Partition, st.text(max_size=20), st.integers(0, 2**31 - 1)))


@given(origin=ORIGINS, given_columns=columns())
@example(origin=ORIGIN, given_columns=TagColumns([2**63 - 1, -(2**63)] * 12, [-(2**63), 2**63 - 1] * 12, list(range(24)), None))
@example(origin=ORIGIN, given_columns=TagColumns([0, 127, 0, 128, 0], [0, 255, 510, 766, 510], [], None))
def test_columns_come_back_and_the_length_is_bounded(origin: Origin, given_columns: TagColumns):
    text = encode_tag(origin, given_columns)
    headers = given_columns.headers if given_columns.headers and any(given_columns.headers) else None
    expected = TagColumns(given_columns.offsets, given_columns.timestamps_ms, given_columns.null_rows, headers)
    assert decode_tag(text) == (origin, expected)
    assert text.isascii()
    spent = sum(map(headers_bytes, headers)) if headers else 0
    assert len(text) <= tag_text_bytes_max(origin, len(given_columns.offsets), spent)


def test_no_headers_is_written_in_one_way():
    several: list[list[Headers | None] | None] = [None, [None, None], [(), []], [None, ()]]
    assert len({encode_tag(ORIGIN, TagColumns([1, 2], [3, 4], [], headers)) for headers in several}) == 1
    mixed = TagColumns([1, 2], [3, 4], [], [None, [("a", b"")]])
    assert decode_tag(encode_tag(ORIGIN, mixed))[1].headers == [(), (("a", b""),)]


@pytest.mark.parametrize(
    ("shape", "offsets", "timestamps_ms", "bytes_a_row"),
    [
        ("no holes, one batch of a producer", range(200), [NOW_MS] * 200, 0.4),
        ("no holes, rising timestamps", range(200), [NOW_MS + i // 3 for i in range(200)], 1.7),
        ("no holes, timestamps not in order", range(200), [NOW_MS + i * 7 % 31 for i in range(200)], 1.7),
        ("one key of many", [i * 17 % 50 + 60 * i for i in range(200)], [NOW_MS + i for i in range(0, 800, 4)], 3.0),
        ("one jump", [*range(100), *range(10**6, 10**6 + 100)], [NOW_MS + i // 3 for i in range(200)], 3.1),
    ],
)
def test_tags_are_short(shape: str, offsets: list[int], timestamps_ms: list[int], bytes_a_row: float):
    text = encode_tag(ORIGIN, TagColumns([10**9 + offset for offset in offsets], timestamps_ms))
    assert len(text) <= bytes_a_row * 200, shape


@pytest.mark.parametrize(
    ("given_columns", "text"),
    [
        (TagColumns([1000], [NOW_MS]), "1C29yZGVycy1tb3ZlBm9yZGVycwcBANAPAACA6O6J/GYAAA=="),
        (
            TagColumns([1000, 1001, 1004], [NOW_MS, NOW_MS + 5, NOW_MS + 3], [1], [None, [("trace", b"\x01")], [("n", None)]]),
            "1C29yZGVycy1tb3ZlBm9yZGVycwcDA9APAQEDgOjuifxmAgoDAgABBXRyYWNlAgEBAW4A",
        ),
    ],
    ids=["one record", "three records"],
)
def test_tags_by_example(given_columns: TagColumns, text: str):
    assert encode_tag(ORIGIN, given_columns) == text


@pytest.mark.parametrize(
    "bad",
    [
        TagColumns([], []),
        TagColumns([1], [1, 2]),
        TagColumns([1] * (SUB_RECORDS_MAX + 1), [1] * (SUB_RECORDS_MAX + 1)),
        TagColumns([1], [1], [1]),
        TagColumns([1], [1], [-1]),
        TagColumns([1, 2], [1, 2], [], [[("a", None)]]),
    ],
)
def test_columns_that_make_no_sense_are_refused(bad: TagColumns):
    with pytest.raises(ValueError, match=r"rows|row"):
        encode_tag(ORIGIN, bad)


def written(binary: bytes) -> str:
    return "1" + b64encode(binary).decode()


PREFIX = b"\x01b\x01t\x00"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "version ''"),
        ("2C29y", "version '2'"),
        ("ü", "version 'ü'"),
        ("1", "ends inside a number"),
        ("1C29", "readable"),
        ("1C29yZ", "readable"),
        ("1C29y=", "cut off"),
        (encode_tag(ORIGIN, TagColumns([1], [1])) + "=", "not"),
        ("1C2\n9y", "readable"),
        ("1ü", "ascii"),
        (written(PREFIX), "ends inside a number"),
        (written(PREFIX + b"\x00"), "0 rows"),
        (written(PREFIX + b"\x81\x80\x01"), "16385 rows"),
        (written(PREFIX + b"\xff" * 9 + b"\x01"), "rows"),
        (written(PREFIX + b"\x01\x00\x00\x03"), "a column of kind 3"),
        (written(PREFIX + b"\x05\x00\x00\x01\x01"), "cut off"),
        (written(PREFIX + b"\x02\x00\x00\x02\xff" + b"\x80" * 10), "more than 10 bytes"),
        (written(PREFIX + b"\x02\x00" + b"\xfe" + b"\xff" * 8 + b"\x01\x00\x02"), "more than 64 bits"),
        (written(PREFIX + b"\x01\x00\x00\x00\x00\x00\x00\x00more"), "not written as"),
        (written(PREFIX + b"\x01\x04\x00\x00\x00\x00\x00\x00"), "not written as"),
        (written(PREFIX + b"\x01\x01\x00\x00\x00\x00\x00\x00\x00"), "not written as"),
        (written(PREFIX + b"\x01\x01\x00\x00\x00\x00\x00\x00\x03"), "not written as"),
        (written(PREFIX + b"\x01\x02\x00\x00\x00\x00\x00\x00\x00"), "not written as"),
        (written(PREFIX + b"\x81\x00\x00\x00\x00\x00\x00\x00\x00"), "not written as"),
        (written(PREFIX + b"\x01\x02\x00\x00\x00\x00\x00\x00\x01\x05a"), "cut off"),
        (written(PREFIX + b"\x01\x02\x00\x00\x00\x00\x00\x00\xff\xff\xff\x7f"), "ends inside a number"),
        (written(b"\x01\xff" + PREFIX), "utf-8"),
    ],
)
def test_what_was_not_made_here_is_refused_with_a_sentence(text: str, reason: str):
    with pytest.raises(ValueError, match=rf"^the tag .*({reason})"):
        decode_tag(text)


@given(
    text=st.text(max_size=40)
    | st.binary(max_size=60).map(written)
    | st.binary(max_size=40).map(lambda rest: written(PREFIX + rest))
    | st.lists(st.sampled_from(b"\x00\x01\x02\x03\x7f\x80\xff"), max_size=20).map(lambda rest: written(PREFIX + bytes(rest)))
)
def test_a_text_is_refused_or_is_what_we_write_for_what_it_says(text: str):
    try:
        origin, said = decode_tag(text)
    except ValueError:
        return
    assert encode_tag(origin, said) == text


@given(given_columns=columns(), position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_wrong_bit_never_passes_for_the_same_columns(given_columns: TagColumns, position: int, bit: int):
    good = encode_tag(ORIGIN, given_columns)
    binary = bytearray(b64decode(good[1:]))
    binary[position % len(binary)] ^= 1 << bit
    try:
        damaged = decode_tag(written(bytes(binary)))
    except ValueError:
        return
    assert damaged != decode_tag(good)


@pytest.mark.parametrize(
    "rest",
    [
        b"\x80\x80\x01\x03" + b"\xff" * 2**18,
        b"\x80\x80\x01\x00\x00\x02" + b"\xff" * 2**18,
        b"\x01\x02\x00\x00\x00\x00\x00\x00" + b"\xff\xff\x7f" + b"\x00" * 2**18,
        b"\x80\x80\x01\x03" + b"\x00" * 2**18,
    ],
)
def test_garbage_costs_little(rest: bytes):
    began = process_time()
    with pytest.raises(ValueError, match="the tag is not"):
        decode_tag(written(PREFIX + rest))
    assert process_time() - began < 5
