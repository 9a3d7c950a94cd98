"""The demonstration's verdict on streams with every defect there is."""

from array import array
from collections.abc import Iterable

import pytest

from bridge.demo.verdict import Comparison, SentPartition, StoredShard, Verdict, compare

Record = tuple[str | None, int]
EXACT = [("a", 1), ("b", 2), ("a", 3), ("a", 4), ("b", 5)]


def partition(records: Iterable[Record]) -> SentPartition:
    rows = list(records)
    return SentPartition([key for key, _ in rows], array("Q", [digest for _, digest in rows]))


def shard(records: Iterable[tuple[str, int]]) -> StoredShard:
    rows = list(records)
    return StoredShard([key for key, _ in rows], array("Q", [digest for _, digest in rows]))


def found(stored: list[tuple[str, int]], sent: Iterable[Record] = EXACT) -> Comparison:
    return compare("t", [partition(sent)], {"shard-0": shard(stored)})


def defects(comparison: Comparison) -> tuple[int, int, int, int]:
    return comparison.missing, comparison.unexpected, comparison.duplicates, comparison.inversions


def verdict(comparison: Comparison, **changes: object) -> Verdict:
    given = {"expected": len(EXACT), "throttled_records": 7, "shards": 1, "seconds": 2.0, **changes}
    return Verdict(comparison=comparison, **given)  # type: ignore[arg-type]


def test_an_exact_stream_passes():
    judged = verdict(found(EXACT))
    assert defects(judged.comparison) == (0, 0, 0, 0)
    assert (judged.comparison.sent, judged.comparison.stored) == (5, 5)
    assert judged.problems == []
    assert judged.exit_status == 0
    assert judged.records_per_s == 2.5


def test_keys_may_stand_in_any_order_among_each_other_and_over_shards():
    stored = {"shard-0": shard([("b", 2), ("b", 5)]), "shard-1": shard([("a", 1), ("a", 3), ("a", 4)])}
    comparison = compare("t", [partition(EXACT[:0]), partition(EXACT)], stored)
    assert defects(comparison) == (0, 0, 0, 0)
    assert (comparison.busiest_shard, comparison.busiest_shard_records, comparison.busiest_shard_share) == ("shard-1", 3, 0.6)


@pytest.mark.parametrize(
    ("stored", "expected", "words"),
    [
        pytest.param(EXACT[:-1], (1, 0, 0, 0), "1 records were sent and are not stored", id="the last one missing"),
        pytest.param(EXACT[1:], (1, 0, 0, 0), "not stored", id="the first one missing"),
        pytest.param([], (5, 0, 0, 0), "5 records were sent and are not stored", id="nothing stored"),
        pytest.param([*EXACT, ("a", 9)], (0, 1, 0, 0), "that nobody sent", id="an unknown value under a known key"),
        pytest.param([*EXACT, ("c", 1)], (0, 1, 0, 0), "that nobody sent", id="a known value under an unknown key"),
        pytest.param([*EXACT, ("a", 1)], (0, 0, 1, 0), "once more than they were sent", id="repeated at the end"),
        pytest.param([EXACT[0], *EXACT], (0, 0, 1, 0), "once more than they were sent", id="repeated at once"),
        pytest.param([*EXACT, *EXACT], (0, 0, 5, 0), "5 records are stored once more", id="all of it twice"),
        pytest.param(
            [("a", 3), ("a", 1), ("b", 2), ("a", 4), ("b", 5)], (0, 0, 0, 1), "after a later record of their key", id="swapped"
        ),
        pytest.param(
            [("b", 2), ("a", 4), ("a", 3), ("a", 1), ("b", 5)], (0, 0, 0, 2), "2 records are stored after", id="turned around"
        ),
        pytest.param(
            [("a", 3), ("a", 1), ("a", 3), ("b", 2), ("a", 4), ("b", 5)],
            (0, 0, 1, 1),
            "after a later record of their key",
            id="overtaken, then repeated: the first occurrence counts",
        ),
        pytest.param([("a", 1), ("b", 2), ("a", 4), ("b", 5), ("b", 9)], (1, 1, 0, 0), "nobody sent", id="one for another"),
    ],
)
def test_each_defect_is_counted_named_and_fails(stored: list[tuple[str, int]], expected: tuple[int, int, int, int], words: str):
    judged = verdict(found(stored))
    assert defects(judged.comparison) == expected
    assert judged.exit_status == 1
    assert any(words in problem for problem in judged.problems)
    assert judged.document()["exact"] is False
    assert judged.document()["problems"] == judged.problems


@pytest.mark.parametrize(
    ("times", "expected"), [(1, (2, 0, 0, 0)), (2, (1, 0, 0, 0)), (3, (0, 0, 0, 0)), (4, (0, 0, 1, 0)), (5, (0, 0, 2, 0))]
)
def test_identical_records_in_a_row_must_be_stored_as_often_as_they_were_sent(times: int, expected: tuple[int, int, int, int]):
    sent = [("a", 1), ("a", 7), ("a", 7), ("a", 7), ("a", 2)]
    assert defects(found([("a", 1), *[("a", 7)] * times, ("a", 2)], sent)) == expected


def test_identical_records_show_when_they_are_out_of_order():
    sent = [("a", 7), ("a", 1), ("a", 7)]
    assert defects(found([("a", 7), ("a", 7), ("a", 1)], sent)) == (0, 0, 0, 1)


def test_a_record_without_a_key_is_stored_under_its_coordinates():
    sent = [partition([("a", 1), (None, 2)]), partition([(None, 2)])]
    assert defects(compare("t", sent, {"s": shard([("a", 1), ("t/0/1", 2), ("t/1/0", 2)])})) == (0, 0, 0, 0)
    assert defects(compare("t", sent, {"s": shard([("a", 1), ("t/0/1", 2), ("t/0/0", 2)])})) == (1, 1, 0, 0)


def test_a_key_in_two_partitions_cannot_be_judged():
    with pytest.raises(ValueError, match="'a' is in two partitions"):
        compare("t", [partition([("a", 1)]), partition([("a", 2)])], {})


def test_too_few_records_sent_or_another_trouble_fail_too():
    exact = found(EXACT)
    assert verdict(exact, expected=6).problems == ["5 records were sent to Kafka, not 6."]
    assert verdict(exact, expected=6).exit_status == 1
    assert verdict(exact, troubles=("The bridge ended by itself.",)).exit_status == 1
