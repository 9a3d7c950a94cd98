"""The key codec and places in the hash-key space."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.core.delivery.partition_keys import MARKER, KeyTooLongError, decode_key, encode_key, fitting, hash_key, slice_hash_key
from bridge.core.quotas import HASH_KEY_MAX

KEYS = st.binary(max_size=180) | st.text(max_size=60).map(str.encode)


@given(key=KEYS)
@example(key=b"")
@example(key=b"~k:b")
@example(key=b"~k:")
@example(key=b"\xff")
def test_a_key_comes_back_from_its_partition_key(key):
    partition_key = encode_key(key)
    assert decode_key(partition_key) == key
    assert 1 <= len(partition_key.encode("utf-16-le")) // 2 <= 256
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = ""
    stands = bool(text) and not text.startswith(MARKER)
    assert (partition_key == text) == stands
    assert partition_key.startswith(MARKER) is not stands


@pytest.mark.parametrize("foreign", ["~k:", "~k:x", "~k:b!", "~k:bA"])
def test_a_marked_key_that_is_not_ours_is_refused(foreign):
    with pytest.raises(ValueError, match=r".+"):
        decode_key(foreign) and pytest.fail("decoded")


@pytest.mark.parametrize("text", ["k" * 256, "ü" * 256, "\N{GRINNING FACE}" * 128, "\N{GRINNING FACE}" * 127 + "ab"])
def test_256_utf16_units_fit(text):
    assert fitting(text) == encode_key(text.encode()) == text


@pytest.mark.parametrize(
    "text", ["k" * 257, "ü" * 257, "\N{GRINNING FACE}" * 129, "\N{GRINNING FACE}" * 128 + "a", "\N{GRINNING FACE}" + "a" * 255]
)
def test_257_utf16_units_do_not(text):
    with pytest.raises(KeyTooLongError):
        encode_key(text.encode())


def test_bytes_in_base64_have_to_fit_too():
    assert len(encode_key(b"\xff" * 189)) == 256
    with pytest.raises(KeyTooLongError):
        encode_key(b"\xff" * 190)


@given(text=st.text(max_size=20))
def test_the_place_of_a_key_is_its_md5(text):
    assert hash_key(text) == int(hashlib.md5(text.encode()).hexdigest(), 16)


@given(partition=st.integers(0, 10_000), slices=st.integers(1, 2_000))
def test_a_partition_stands_in_the_middle_of_its_slice(partition, slices):
    place, space = slice_hash_key(partition, slices), HASH_KEY_MAX + 1
    assert place == slice_hash_key(partition + slices, slices)
    number = partition % slices
    assert number * space <= place * slices < (number + 1) * space
    assert abs(2 * slices * place - (2 * number + 1) * space) < 2 * slices


@given(slices=st.integers(1, 300), shards=st.integers(1, 40))
def test_partitions_spread_evenly_over_equal_shards(slices, shards):
    counts = [0] * shards
    for partition in range(slices):
        counts[slice_hash_key(partition, slices) * shards // (HASH_KEY_MAX + 1)] += 1
    assert max(counts) - min(counts) <= 1
