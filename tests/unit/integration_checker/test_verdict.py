"""The independent checker must see each kind of damage, and must not see any where there is none."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.kafka_reader import KafkaRecord
from tests.integration.kinesis_reader import KinesisRecord
from tests.integration.verdict import Verdict, compare


def record(content: str, offset: int, partition: int = 0) -> KafkaRecord:
    key, _, value = content.partition("=")
    return KafkaRecord("orders", partition, offset, key.encode(), value.encode())


def stored_record(content: str, number: int) -> KinesisRecord:
    key, _, value = content.partition("=")
    return KinesisRecord("shardId-0", str(number), key, value.encode())


def key_as_text(record: KafkaRecord) -> str | None:
    return None if record.key is None else record.key.decode()


def verdict_of(sent: list[str], stored: list[str]) -> Verdict:
    """Contents are written `key=value`; all of them are in one partition."""
    produced = [record(content, offset) for offset, content in enumerate(sent)]
    return compare(produced, [stored_record(content, number) for number, content in enumerate(stored)], key_as_text)


@pytest.mark.parametrize(
    ("sent", "stored", "damage"),
    [
        ("a=1 b=1 a=2", "a=1 b=1 a=2", {}),
        ("a=1 b=1 a=2", "b=1 a=1 a=2", {}),
        ("a=1 a=2 a=3", "a=1 a=3", {"missing": 1}),
        ("a=1 a=2 a=3", "a=2 a=3", {"missing": 1}),
        ("a=1 a=2 a=3", "a=1 a=2", {"missing": 1}),
        ("a=1 a=2", "a=2 a=1", {"inversions": 1}),
        ("a=1 a=2 a=3 a=4", "a=2 a=3 a=4 a=1", {"inversions": 1}),
        ("a=1 a=2 a=3 a=4", "a=2 a=1 a=4 a=3", {"inversions": 2}),
        ("a=1 a=2", "a=1 a=1 a=2", {"duplicates": 1}),
        ("a=1 a=2", "a=1 a=2 a=1 a=2", {"duplicates": 2}),
        ("a=1 a=2", "a=2 a=1 a=2", {"duplicates": 1, "inversions": 1}),
        ("a=1", "a=1 z=1", {"unexpected": 1}),
        ("a=1", "z=1", {"missing": 1, "unexpected": 1}),
        ("a=1", "a=1x", {"missing": 1, "unexpected": 1}),
        ("", "a=1", {"unexpected": 1}),
        ("a=1", "", {"missing": 1}),
    ],
)
def test_damage_is_counted_by_kind(sent: str, stored: str, damage: dict[str, int]):
    verdict = dataclasses.asdict(verdict_of(sent.split(), stored.split()))
    assert verdict.pop("examples") == () or damage
    unharmed = {"missing": 0, "unexpected": 0, "duplicates": 0, "inversions": 0}
    assert verdict == {"sent": len(sent.split()), "stored": len(stored.split()), **unharmed, **damage}


@pytest.mark.parametrize(
    ("sent", "stored", "damage"),
    [
        ("a=1 a=1 a=1", "a=1 a=1 a=1", {}),
        ("a=1 a=1 a=1", "a=1 a=1", {"missing": 1}),
        ("a=1 a=1 a=1", "a=1 a=1 a=1 a=1", {"duplicates": 1}),
        ("a=1 a=2 a=1", "a=1 a=2 a=1", {}),
        ("a=1 a=2 a=1", "a=1 a=1 a=2 a=1", {"duplicates": 1}),
        ("a=1 a=2 a=1", "a=1 a=1 a=2", {"inversions": 1}),
        ("a=1 a=2 a=1", "a=1 a=2", {"missing": 1}),
        ("a=1 a=1 a=2", "a=1 a=2", {"missing": 1}),
    ],
)
def test_identical_records_are_told_apart_by_their_number_and_place(sent: str, stored: str, damage: dict[str, int]):
    test_damage_is_counted_by_kind(sent, stored, damage)


def test_a_loss_does_not_make_later_records_seem_out_of_order():
    verdict = verdict_of([f"a={number}" for number in range(100)], [f"a={number}" for number in range(100) if number != 10])
    assert (verdict.missing, verdict.inversions) == (1, 0)


def test_a_record_that_may_not_be_there_is_unexpected_when_it_is():
    sent = [KafkaRecord("orders", 0, 0, None, b"parked"), record("a=1", 1)]
    assert compare(sent, [stored_record("a=1", 0)], key_as_text).exact
    assert compare(sent, [stored_record("=parked", 0), stored_record("a=1", 1)], key_as_text).unexpected == 1


def test_partitions_are_lanes_of_their_own_by_default():
    sent = [record("a=1", 0, partition=0), record("a=2", 0, partition=1)]
    stored = [stored_record("a=2", 0), stored_record("a=1", 1)]
    assert compare(sent, stored, key_as_text).exact
    assert compare(sent, stored, key_as_text, lane_of=lambda record: record.key).inversions == 1


def test_records_without_a_key_are_not_held_to_an_order_when_they_are_spread():
    sent = [KafkaRecord("orders", 0, offset, None, b"x%d" % offset) for offset in range(3)]
    stored = [stored_record(f"spread-{offset}=x{offset}", number) for number, offset in enumerate((2, 0, 1))]
    assert compare(sent, stored, lambda record: f"spread-{record.offset}").exact
    assert (
        compare(sent, stored, lambda record: f"spread-{record.offset}", lane_of=lambda record: record.partition).inversions == 2
    )


def test_equal_records_of_two_lanes_each_find_their_own():
    sent = [record("a=0", 0, 0), record("a=1", 1, 0), record("a=1", 0, 1), record("a=2", 1, 1)]
    stored = [stored_record(content, number) for number, content in enumerate(["a=1", "a=2", "a=0", "a=1"])]
    assert compare(sent, stored, key_as_text).exact


def test_the_verdict_names_places():
    text = str(verdict_of(["a=1", "b=1", "b=2"], ["b=2", "b=1", "z=1"]))
    assert "missing: orders[0]@0 key b'a'" in text
    assert "unexpected: shardId-0 2 key 'z'" in text
    assert "out of order: orders[0]@1 key b'b' at shardId-0 1" in text
    assert "orders[0]@2" not in text


CONTENTS = st.lists(st.sampled_from(["a=1", "a=2", "b=1", "b=2"]), max_size=12)


@given(CONTENTS, st.lists(st.integers(min_value=0, max_value=11), max_size=6))
def test_copies_of_earlier_records_are_duplicates_and_nothing_else(sent: list[str], copied: list[int]):
    """However contents repeat: first occurrences in order, with a copy of some record anywhere after it."""
    stored = list(sent)
    for count, number in enumerate(sorted(copied, reverse=True)):
        if number < len(sent):
            stored.insert(min(len(stored), number + 1 + count), sent[number])
    verdict = verdict_of(sent, stored)
    assert verdict.complete_in_order
    assert verdict.duplicates == len(stored) - len(sent)


@given(st.permutations(range(6)))
def test_any_other_order_of_a_lane_is_seen(order: list[int]):
    verdict = verdict_of([f"a={number}" for number in range(6)], [f"a={number}" for number in order])
    assert (verdict.inversions == 0) == (order == sorted(order))
    assert (verdict.missing, verdict.unexpected, verdict.duplicates) == (0, 0, 0)


@given(CONTENTS, CONTENTS)
def test_the_books_balance(sent: list[str], stored: list[str]):
    """Every stored record is matched, a duplicate, or unexpected; every sent one is matched or missing."""
    verdict = verdict_of(sent, stored)
    assert verdict.sent - verdict.missing == verdict.stored - verdict.duplicates - verdict.unexpected
    assert verdict.sent == len(sent)
    assert verdict.stored == len(stored)
