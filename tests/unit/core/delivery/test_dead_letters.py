"""Dead letters as messages: exactly what was read comes back, whatever headers the record had."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.dead_letters import (
    PREFIX,
    Origin,
    Parked,
    Replayed,
    origin_of,
    parked_message,
    parse_id,
    read_message,
    replayed_message,
    size_of,
)
from bridge.core.records import DeadLetter, Partition
from bridge.core.topics import dead_letters_definition

OURS = [PREFIX + name for name in ("version", "topic", "partition", "offset", "timestamp", "reason", "detail", "replayed-at")]
names = st.sampled_from(OURS) | st.text()
contents = st.none() | st.binary(max_size=20)
letters = st.builds(
    DeadLetter,
    partition=st.builds(Partition, st.from_regex(r"[a-zA-Z0-9._-]{1,30}", fullmatch=True), st.integers(0, 2**31 - 1)),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.integers(-1, 2**53),
    key=contents,
    value=contents,
    headers=st.lists(st.tuples(names, contents), max_size=12),
    reason=st.text(),
    detail=st.text(),
)
LETTER = DeadLetter(Partition("a-b", 3), 17, 5, b"k", None, [("h", None), ("h", b"")], "tombstone", "the value is null")


@given(letters, st.text(), st.integers(0, 2**53))
def test_a_dead_letter_comes_back_as_it_was(letter, bridge, now_ms):
    message = parked_message(letter, bridge, now_ms)
    assert read_message(message.key, message.value, message.headers) == Parked(letter, bridge, now_ms)
    assert message.headers[: len(letter.headers)] == letter.headers
    assert (message.key, message.value) == (letter.key, letter.value)


@given(letters)
def test_a_dead_letter_of_a_dead_letter_keeps_both_blocks(letter):
    first = parked_message(letter, "one", 1)
    again = DeadLetter(Partition("one.dlq", 0), 9, 2, first.key, first.value, first.headers, "oversize", "too large")
    second = parked_message(again, "two", 3)
    found = read_message(second.key, second.value, second.headers)
    assert found == Parked(again, "two", 3)
    assert isinstance(found, Parked)
    assert read_message(found.letter.key, found.letter.value, found.letter.headers) == Parked(letter, "one", 1)


@given(letters, st.integers(0, 2**53))
def test_a_mark_names_the_record_that_was_replayed(letter, now_ms):
    message = replayed_message(origin_of(letter), "one", now_ms)
    assert (message.key, message.value) == (None, None)
    assert read_message(None, None, message.headers) == Replayed(origin_of(letter), "one", now_ms)


@given(st.lists(st.tuples(st.text(), contents)))
def test_what_a_copying_tool_adds_behind_is_not_the_records(added):
    added = [(name, content) for name, content in added if not name.startswith(PREFIX)]
    message = parked_message(LETTER, "one", 1)
    assert read_message(message.key, message.value, [*message.headers, *added]) == Parked(LETTER, "one", 1)


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        [("other", b"x")],
        [(PREFIX + "version", b"2")],
        [(PREFIX + "version", None)],
        [(PREFIX + "version", b"1"), (PREFIX + "topic", b"t")],
        [(name, b"\xff" if name.endswith("topic") else b"1") for name in OURS],
        [(name, b"x" if name.endswith("offset") else b"1") for name in OURS],
    ],
)
def test_what_no_bridge_wrote_is_nobodys(headers):
    assert read_message(b"k", b"v", headers) is None


@given(letters)
def test_an_id_is_read_as_it_is_shown(letter):
    assert parse_id(origin_of(letter).id) == (letter.partition, letter.offset)


@pytest.mark.parametrize("text", ["", "orders", "orders-3", "orders@3", "-3@4", "orders-x@4", "orders-3@", "orders-3@-1"])
def test_what_is_no_id_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="orders-3@17"):
        parse_id(text)


def test_sizes_count_key_value_and_headers():
    message = parked_message(LETTER, "one", 1)
    ours = sum(len(name) + len(value or b"") for name, value in message.headers[2:])
    assert size_of(message.key, message.value, message.headers) == len(b"k") + len("h") * 2 + ours
    assert message.origin == Origin(Partition("a-b", 3), 17, 5)


def test_the_definition_says_how_to_make_the_topic_by_hand():
    definition = dead_letters_definition("orders-move", 12, 2_000_000)
    assert definition.by_hand() == (
        "kafka-topics.sh --create --topic orders-move.dlq --partitions 12 --config cleanup.policy=delete "
        "--config retention.ms=-1 --config max.message.bytes=2000000"
    )
