"""What the ledger says can be looked up both ways; facts count once; of claims the first; memory is bounded."""

import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.proof.ledger_entries import Doubts, Group, Resolved, ResolvedAs, Stored, StreamShard, records_of
from bridge.core.proof.ledger_index import (
    ENTRY_BYTES,
    Doubt,
    Entry,
    LedgerIndex,
    LedgerIndexFullError,
    Origin,
    Place,
)
from bridge.core.records import Partition
from tests.unit.core.proof.ledgers import carried

SHARD = StreamShard("orders", "shardId-000000000000")
OURS, THEIRS = Partition("orders", 0), Partition("orders", 1)


def stored(
    partition: Partition,
    numbers: Sequence[int],
    offsets: Sequence[int],
    *,
    digests: Sequence[int] | None = None,
    counts: Sequence[int] | None = None,
    is_claim: bool = False,
) -> Stored:
    return Stored(SHARD, partition, numbers, digests or [7] * len(numbers), offsets, counts, is_claim)


def doubtful(partition: Partition, offset: int, *, digest: int = 7, window: tuple[int, int] = (1000, 2000)) -> Doubts:
    return Doubts("orders", partition, [3], [digest], [window[0]], [window[1]], [offset])


def index(*groups: Group, rows_max: int = 1000, watch: bool = True, digests: set[int] | None = None) -> LedgerIndex:
    made = LedgerIndex(rows_max)
    made.follow(OURS, 10)
    if watch:
        made.watch("orders", digests, {3})
    made.add(groups)
    return made


def test_both_ways():
    made = index(stored(OURS, [100, 101], [10, 11, 14], counts=[2, 1]))
    assert made.place_of(Origin(OURS, 11)) == Place(SHARD, 100, 1)
    assert made.place_of(Origin(OURS, 14)) == Place(SHARD, 101, 0)
    assert made.origin_of(Place(SHARD, 100, 1)) == Origin(OURS, 11)
    assert made.origin_of(Place(SHARD, 100, 2)) is None
    assert made.origin_of(Place(SHARD, 102, 0)) is None
    assert made.offsets_of(OURS) == [10, 11, 14]
    assert made.place_of(Origin(OURS, 12)) is None


def test_what_is_below_the_floor_is_not_kept():
    made = index(stored(OURS, [99, 100], [9, 10]), Resolved(OURS, ResolvedAs.PARKED, "oversize", [8, 12]))
    assert made.offsets_of(OURS) == [10, 12]
    assert made.resolved_as(Origin(OURS, 12)) == ResolvedAs.PARKED
    made.raise_floor(OURS, 12)
    assert made.offsets_of(OURS) == [12]
    made.unfollow(OURS)
    assert made.offsets_of(OURS) == []
    made.unwatch("orders")
    assert len(made) == 0


def test_other_partitions_are_not_followed():
    made = index(stored(THEIRS, [100], [10]), Resolved(THEIRS, ResolvedAs.SKIPPED, "tombstone", [11]))
    assert made.offsets_of(THEIRS) == []
    assert made.claimed_by(SHARD, 100) == Entry(SHARD, 100, THEIRS, (10,), False)


def test_the_same_entry_twice_counts_once():
    made = index(stored(OURS, [100], [10]), stored(OURS, [100], [10]))
    assert (len(made), made.disputes) == (2, 0)


def test_of_two_records_for_one_offset_the_lower_counts():
    for numbers in ([100, 90], [90, 100]):
        made = index(stored(OURS, numbers, [10, 10]))
        assert made.place_of(Origin(OURS, 10)) == Place(SHARD, 90, 0)
        assert made.origin_of(Place(SHARD, 100, 0)) == Origin(OURS, 10)


def test_the_first_entry_for_a_sequence_number_counts():
    made = index(stored(THEIRS, [100], [70]), stored(OURS, [100], [10]))
    assert made.claimed_by(SHARD, 100) == Entry(SHARD, 100, THEIRS, (70,), False)
    assert made.place_of(Origin(OURS, 10)) is None
    assert made.disputes == 1


def test_a_claim_is_no_fact():
    made = index(stored(OURS, [100], [10], is_claim=True), stored(THEIRS, [100], [70], is_claim=True))
    assert made.place_of(Origin(OURS, 10)) is None
    assert made.claimed_by(SHARD, 100) == Entry(SHARD, 100, OURS, (10,), True)
    made.add([stored(OURS, [100], [10])])
    assert made.place_of(Origin(OURS, 10)) == Place(SHARD, 100, 0)
    assert made.claimed_by(SHARD, 100) == Entry(SHARD, 100, OURS, (10,), False)
    assert made.disputes == 0


def test_a_fact_settles_a_doubt_whichever_comes_first():
    doubt, fact = doubtful(THEIRS, 70), stored(THEIRS, [100], [70])
    assert index(doubt).doubts_of("orders") == [Doubt(Origin(THEIRS, 70), 3, 7, 1000, 2000, True)]
    assert index(doubt, stored(THEIRS, [100], [70], is_claim=True)).doubts_of("orders") != []
    assert index(doubt, fact).doubts_of("orders") == index(fact, doubt).doubts_of("orders") == []
    assert index(doubt, Resolved(THEIRS, ResolvedAs.SKIPPED, "", [70])).doubts_of("orders") == []
    made = index(doubt)
    made.raise_floor(THEIRS, 71)
    assert (made.doubts_of("orders"), len(made)) == ([], 0)


def test_a_doubt_that_is_said_again_is_another_one():
    made = index(doubtful(THEIRS, 70, window=(1000, 2000)), doubtful(THEIRS, 70, window=(2500, 3000)))
    assert [(doubt.not_before_ms, doubt.until_ms) for doubt in made.doubts_of("orders")] == [(2500, 3000)]
    assert len(made) == 1


def test_only_what_may_be_alike_is_watched():
    groups: list[Group] = [
        stored(THEIRS, [100, 101], [70, 71], digests=[7, 8]),
        doubtful(THEIRS, 72, digest=8),
        doubtful(THEIRS, 73),
    ]
    made = index(*groups, digests={7})
    assert (made.claimed_by(SHARD, 101), made.claimed_by(SHARD, 100)) != (None, None)
    assert made.claimed_by(SHARD, 101) is None
    assert [doubt.origin.offset for doubt in made.doubts_of("orders")] == [72, 73]
    made.add([stored(THEIRS, [102], [72], digests=[8]), Doubts("orders", THEIRS, [4], [7], [0], [1], [74])])
    assert [doubt.origin.offset for doubt in made.doubts_of("orders")] == [73]
    assert len(index(*groups, watch=False)) == 0


def test_it_is_bounded():
    with pytest.raises(LedgerIndexFullError, match="more than 5 rows"):
        index(stored(OURS, range(6), range(10, 16)), watch=False, rows_max=5)


@pytest.mark.parametrize("aggregate", [None, 50])
def test_what_a_row_costs_in_memory(aggregate):
    groups = carried(1, 4, 20_000, aggregate)
    tracemalloc.start()
    made = LedgerIndex(10**6)
    made.follow(Partition("orders", 0), 0)
    copies = [  # as they come from a message: numbers of its own
        Stored(g.shard, g.partition, [n + 1 for n in g.sequence_numbers], g.digests, [o + 1 for o in g.offsets], g.counts)
        for g in groups
    ]
    made.add(copies)
    del copies
    per_row = tracemalloc.get_traced_memory()[0] / len(made)
    tracemalloc.stop()
    assert per_row < ENTRY_BYTES


PARTITIONS = [OURS, THEIRS]
NUMBERS, OFFSETS = st.integers(100, 106), st.integers(8, 14)


@st.composite
def groups(draw: st.DrawFn) -> Stored:
    rows = draw(st.integers(1, 3))
    counts = draw(st.none() | st.lists(st.integers(1, 2), min_size=rows, max_size=rows))
    offsets = draw(st.lists(OFFSETS, min_size=sum(counts) if counts else rows, max_size=sum(counts) if counts else rows))
    is_claim = counts is None and draw(st.booleans())
    numbers = draw(st.lists(NUMBERS, min_size=rows, max_size=rows))
    return stored(draw(st.sampled_from(PARTITIONS)), numbers, offsets, counts=counts, is_claim=is_claim)


@given(entries=st.lists(groups() | st.builds(doubtful, st.sampled_from(PARTITIONS), OFFSETS), max_size=12))
def test_it_says_what_the_whole_ledger_says(entries):
    made = index(*entries)
    owners: dict[int, tuple[Partition, Sequence[int]]] = {}
    places: dict[int, int] = {}
    settled, doubts = set(), set()
    for group in entries:
        if isinstance(group, Doubts):
            doubts.add((group.partition, group.offsets[0]))
            continue
        for number, offsets in zip(group.sequence_numbers, records_of(group.offsets, group.counts), strict=True):
            owner = owners.setdefault(number, (group.partition, offsets))
            if owner != (group.partition, offsets) or group.is_claim:
                continue
            settled.add((group.partition, offsets[0]))
            for offset in offsets:
                if group.partition == OURS and offset >= 10:
                    places[offset] = min(number, places.get(offset, number))
    assert made.offsets_of(OURS) == sorted(places)
    for offset, number in places.items():
        place = made.place_of(Origin(OURS, offset))
        assert place is not None
        assert place.sequence_number == number
    for number, owner in owners.items():
        claim = made.claimed_by(SHARD, number)
        assert claim is not None
        assert (claim.partition, claim.offsets) == owner
    assert {doubt.origin for doubt in made.doubts_of("orders")} == doubts - settled
    made.unfollow(OURS)
    made.unwatch("orders")
    assert len(made) == 0
