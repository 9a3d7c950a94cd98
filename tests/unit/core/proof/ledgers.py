"""Ledger entries for tests: any at all, and such as a bridge under load writes."""

import random

from hypothesis import strategies as st

from bridge.core.proof.ledger_entries import Doubts, Resolved, ResolvedAs, Stored, StreamShard
from bridge.core.records import Partition
from bridge.embedded import sequence_numbers

NOW_S = 1_769_000_000
OFFSETS = st.integers(0, 2**63 - 1) | st.integers(10**9, 10**9 + 300)
DIGESTS = st.integers(0, 2**64 - 1)
PARTITIONS = st.builds(Partition, st.sampled_from(["orders", "", "ü"]) | st.text(max_size=10), st.integers(0, 9))
SHARD_IDS = st.sampled_from(["shardId-000000000007", "shardId-999999999999", "shardId-7", "", "shardId-00000000000７"])
SHARDS = st.builds(StreamShard, st.sampled_from(["s", "t"]) | st.text(max_size=10), SHARD_IDS)
SEQUENCE_NUMBERS = (
    st.integers(0, 10**129 - 1)
    | st.integers(0, 2**81)
    | st.builds(
        lambda place, second: sequence_numbers.at_place(sequence_numbers.shard_base(NOW_S, 7), place, NOW_S + second),
        st.integers(1, 4000),
        st.integers(0, 3),
    )
)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, list[int], list[int] | None]:
    """Rows, offsets, counts."""
    rows = draw(st.integers(1, 12))
    counts = draw(st.none() | st.lists(st.integers(1, 9), min_size=rows, max_size=rows))
    size = rows if counts is None else sum(counts)
    return rows, draw(st.lists(OFFSETS, min_size=size, max_size=size)), counts


@st.composite
def stored(draw: st.DrawFn) -> Stored:
    rows, offsets, counts = draw(shapes())
    numbers = draw(st.lists(SEQUENCE_NUMBERS, min_size=rows, max_size=rows))
    digests = draw(st.lists(DIGESTS, min_size=rows, max_size=rows))
    is_claim = counts is None and draw(st.booleans())
    return Stored(draw(SHARDS), draw(PARTITIONS), numbers, digests, offsets, counts, is_claim)


@st.composite
def doubts(draw: st.DrawFn) -> Doubts:
    rows, offsets, counts = draw(shapes())
    hashes, digests = (draw(st.lists(DIGESTS, min_size=rows, max_size=rows)) for _ in range(2))
    not_before, until = (draw(st.lists(st.integers(-5, 2**62), min_size=rows, max_size=rows)) for _ in range(2))
    return Doubts(
        draw(st.text(max_size=5)), draw(PARTITIONS), hashes, digests, not_before, until, offsets, counts, draw(st.booleans())
    )


RESOLVED = st.builds(
    Resolved,
    PARTITIONS,
    st.sampled_from(ResolvedAs),
    st.sampled_from(["oversize", ""]),
    st.lists(OFFSETS, min_size=1, max_size=9),
)
GROUPS = st.lists(stored() | RESOLVED | doubts(), max_size=6)


def carried(partitions: int, shards: int, records: int, aggregate: int | None = None, seed: int = 1) -> list[Stored]:
    """What a second under load leaves: records of partitions, spread over the shards of a stream by their keys.

    The service counts a shard's places up by more than one from one record to the next; here by up to 4000.
    """
    chance = random.Random(seed)
    places = [chance.randrange(2**40) for _ in range(shards)]
    groups = []
    for number in range(partitions):
        first = chance.randrange(2**33)
        offsets_of: list[list[int]] = [[] for _ in range(shards)]
        for offset in range(first, first + records // partitions):
            offsets_of[chance.randrange(shards)].append(offset)
        for shard, offsets in enumerate(offsets_of):
            if not offsets:
                continue
            counts = None if aggregate is None else cut(len(offsets), aggregate)
            base = sequence_numbers.shard_base(NOW_S - 10**6, shard)
            numbers = []
            for _ in counts or offsets:
                places[shard] += chance.randint(1, 4000)
                numbers.append(sequence_numbers.at_place(base, places[shard], NOW_S + chance.randint(0, 1)))
            digests = [chance.getrandbits(64) for _ in numbers]
            name = StreamShard("orders", f"shardId-{shard:012d}")
            groups.append(Stored(name, Partition("orders", number), numbers, digests, offsets, counts))
    return groups


def cut(total: int, size: int) -> list[int]:
    """Aggregates of about one size."""
    return [size] * (total // size) + [total % size] * (total % size > 0)
