"""What a partition that stands still needs of the ledger is written again, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.proof.ledger_codec import decode, encode
from bridge.core.proof.ledger_entries import Doubts, Group, Resolved, ResolvedAs, Stored, StreamShard, facts_from
from bridge.core.proof.ledger_index import LedgerIndex, Origin, Place
from bridge.core.records import Partition
from tests.unit.core.proof.ledgers import GROUPS, OFFSETS

ORDERS, OTHERS = Partition("orders", 0), Partition("orders", 1)


def known(groups: list[Group], partition: Partition, least: int) -> dict[int, tuple[Place | None, ResolvedAs | None]]:
    """What a new owner at this offset takes from the ledger."""
    index = LedgerIndex(10_000)
    index.follow(partition, least)
    index.add(groups)
    origins = {offset: Origin(partition, offset) for offset in index.offsets_of(partition)}
    return {offset: (index.place_of(origin), index.resolved_as(origin)) for offset, origin in origins.items()}


@given(groups=GROUPS, least=OFFSETS | st.just(0))
def test_a_new_owner_knows_the_same_by_it(groups, least):
    for partition in {group.partition for group in groups}:
        found = facts_from(groups, {partition: least})
        assert known([*found], partition, least) == known(groups, partition, least)
        assert facts_from(found, {partition: least}) == found
        assert not found or decode(encode(found))
        assert all(group.partition == partition and max(group.offsets) >= least for group in found)


def test_only_facts_at_or_above_the_offset_and_whole_aggregates():
    shard = StreamShard("target", "shardId-000000000000")
    aggregates = Stored(shard, ORDERS, [10, 11, 12], [1, 2, 3], [0, 1, 2, 3, 4], [2, 2, 1])
    parked = Resolved(ORDERS, ResolvedAs.PARKED, "oversize", [2, 3, 9])
    groups: list[Group] = [
        aggregates,
        parked,
        Resolved(ORDERS, ResolvedAs.NOT_WRITTEN, "", [5]),
        Stored(shard, ORDERS, [13], [4], [6], is_claim=True),
        Stored(shard, OTHERS, [14], [5], [7]),
        Doubts("target", ORDERS, [1], [6], [0], [1], [8]),
        Resolved(ORDERS, ResolvedAs.SKIPPED, "tombstone", [1]),
    ]
    assert facts_from(groups, {ORDERS: 3}) == [
        Stored(shard, ORDERS, [11, 12], [2, 3], [2, 3, 4], [2, 1]),
        Resolved(ORDERS, ResolvedAs.PARKED, "oversize", [3, 9]),
    ]
    assert facts_from(groups, {}) == []
