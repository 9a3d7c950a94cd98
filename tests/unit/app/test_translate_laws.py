"""Any ledger: every answer of `bridge translate` against one that looks at all entries at once; and there and back again."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.app.jobs.translate import (
    Answer,
    Finding,
    KafkaPosition,
    KinesisPosition,
    translate_offset,
    translate_sequence_number,
)
from bridge.core.proof.ledger_entries import Doubts, Group, Resolved, ResolvedAs, Stored, StreamShard, records_of
from bridge.core.records import Partition
from tests.unit.app.translation_worlds import Cluster, KeptLedger, committed, settings
from tests.unit.core.proof.ledgers import carried

PARTITIONS = [Partition("orders", 0), Partition("orders", 1)]
SHARDS = [StreamShard("orders", f"shardId-{number:012d}") for number in range(3)]
OFFSET_MAX = 12
NUMBERS = st.integers(0, 15)
OFFSETS = st.integers(0, OFFSET_MAX)

Row = tuple[StreamShard, int, int]
"""Shard, sequence number, sub-sequence number."""


@st.composite
def stored(draw: st.DrawFn) -> Stored:
    counts = draw(st.none() | st.lists(st.integers(1, 3), min_size=1, max_size=3))
    size = sum(counts) if counts else 3
    offsets = draw(st.lists(OFFSETS, min_size=size, max_size=size, unique=True))
    numbers = draw(st.lists(NUMBERS, min_size=len(counts or offsets), max_size=len(counts or offsets), unique=True))
    is_claim = counts is None and draw(st.booleans())
    shard, partition = draw(st.sampled_from(SHARDS)), draw(st.sampled_from(PARTITIONS))
    return Stored(shard, partition, numbers, [7] * len(numbers), offsets, counts, is_claim)


SOME = st.lists(OFFSETS, min_size=1, max_size=3)
RESOLVED = st.builds(Resolved, st.sampled_from(PARTITIONS), st.sampled_from(ResolvedAs), st.just("why"), SOME)
DOUBTS = st.builds(
    lambda partition, offset: Doubts("orders", partition, [1], [1], [1], [1], [offset]), st.sampled_from(PARTITIONS), OFFSETS
)
MESSAGES = st.lists(st.lists(stored() | RESOLVED | DOUBTS, min_size=1, max_size=3), max_size=6)


def places(groups: Sequence[Group], partition: Partition, offset: int) -> list[Row]:
    """Of facts, the lower numbers first."""
    found = set()
    for group in groups:
        if isinstance(group, Stored) and not group.is_claim and group.partition == partition:
            for number, row in zip(group.sequence_numbers, records_of(group.offsets, group.counts), strict=True):
                found |= {(group.shard, number, sub) for sub, at in enumerate(row) if at == offset}
    return sorted(found, key=lambda row: (row[1], row))


def position(row: Row) -> KinesisPosition:
    return KinesisPosition(row[0].stream, row[0].shard_id, str(row[1]), row[2])


def is_resolved(groups: Sequence[Group], partition: Partition, offset: int) -> bool:
    resolved = [g for g in groups if isinstance(g, Resolved) and g.resolved_as != ResolvedAs.NOT_WRITTEN]
    return any(group.partition == partition and offset in group.offsets for group in resolved)


def is_unsettled(groups: Sequence[Group], partition: Partition, offset: int) -> bool:
    kinds = [group for group in groups if isinstance(group, Doubts) or (isinstance(group, Stored) and group.is_claim)]
    return any(group.partition == partition and offset in group.offsets for group in kinds)


def expected(groups: Sequence[Group], partition: Partition, offset: int, point: int) -> tuple[Finding, int | None]:
    """What is found, and the offset that is told."""
    if places(groups, partition, offset):
        return Finding.EXACT, offset
    resolved = is_resolved(groups, partition, offset)
    if not resolved and (offset >= point or is_unsettled(groups, partition, offset)):
        return Finding.NOT_YET, None
    known = [at for at in range(OFFSET_MAX + 1) if places(groups, partition, at) or is_resolved(groups, partition, at)]
    if not known or offset < known[0]:
        return Finding.OLDER, None
    for at in range(offset + 1, OFFSET_MAX + 1):
        if places(groups, partition, at):
            return Finding.FOLLOWING, at
        if at >= point:
            break
    return Finding.NOT_YET, None


@given(MESSAGES, st.integers(0, OFFSET_MAX + 1))
async def test_every_offset(messages: list[list[Group]], point: int):
    ledger, partition = KeptLedger(*messages), PARTITIONS[0]
    groups = ledger.groups()
    kafka = Cluster({partition: committed(point)})
    for offset in range(OFFSET_MAX + 2):
        answer = await translate_offset(settings(), ledger, kafka, KafkaPosition(*partition, offset))
        finding, told = expected(groups, partition, offset, point)
        assert (answer.finding, answer.exact) == (finding, finding is Finding.EXACT)
        if told is None:
            assert (answer.kafka, answer.kinesis, answer.duplicates) == (None, None, [])
        else:
            assert answer.kafka == KafkaPosition(*partition, told)
            assert [answer.kinesis, *answer.duplicates] == [position(row) for row in places(groups, partition, told)]


def first_fact(groups: Sequence[Group], shard: StreamShard, number: int) -> list[KafkaPosition]:
    for group in groups:
        if isinstance(group, Stored) and not group.is_claim and group.shard == shard and number in group.sequence_numbers:
            row = records_of(group.offsets, group.counts)[list(group.sequence_numbers).index(number)]
            return [KafkaPosition(*group.partition, offset) for offset in row]
    return []


def is_claimed(groups: Sequence[Group], shard: StreamShard, number: int) -> bool:
    return any(isinstance(group, Stored) and group.shard == shard and number in group.sequence_numbers for group in groups)


def expected_record(groups: Sequence[Group], shard: StreamShard, number: int, sub: int) -> tuple[Finding, Row | None]:
    held = first_fact(groups, shard, number)
    if sub < len(held):
        return Finding.EXACT, (shard, number, sub)
    if not held and is_claimed(groups, shard, number):
        return Finding.NOT_YET, None
    known = [at for at in range(16) if first_fact(groups, shard, at)]
    if not known or number < known[0]:
        return Finding.OLDER, None
    following = [at for at in known if at > number]
    return (Finding.FOLLOWING, (shard, following[0], 0)) if following else (Finding.NOTHING_FOLLOWS, None)


@given(MESSAGES, st.integers(0, 3))
async def test_every_sequence_number(messages: list[list[Group]], sub: int):
    ledger, shard = KeptLedger(*messages), SHARDS[0]
    groups, kafka = ledger.groups(), Cluster({partition: committed(5) for partition in PARTITIONS})
    for number in range(17):
        answer = await translate_sequence_number(settings(), ledger, kafka, position((shard, number, sub)))
        finding, told = expected_record(groups, shard, number, sub)
        assert (answer.finding, answer.exact) == (finding, finding is Finding.EXACT)
        if told is None:
            assert (answer.kafka, answer.kinesis) == (None, None)
        else:
            assert answer.kinesis == position(told)
            assert answer.kafka == first_fact(groups, shard, told[1])[told[2]]


@pytest.mark.parametrize("aggregate", [None, 7])
async def test_there_and_back_again(aggregate: int | None):
    groups = carried(partitions=3, shards=3, records=90, aggregate=aggregate)
    ledger = KeptLedger(*([group] for group in groups))
    kafka = Cluster({Partition("orders", number): committed(2**40) for number in range(3)})
    for group in groups:
        for offset in group.offsets:
            there = await translate_offset(settings(), ledger, kafka, KafkaPosition(*group.partition, offset))
            assert there.exact
            assert isinstance(there.kinesis, KinesisPosition)
            back: Answer = await translate_sequence_number(settings(), ledger, kafka, there.kinesis)
            assert (back.exact, back.kafka, back.kinesis) == (True, there.asked, there.kinesis)
