"""The port `Source` on every Kafka while members come and go, and where Kafka no longer has what was committed."""

import asyncio
import time

import pytest

from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, encode
from bridge.core.records import Partition, SourceBatch
from bridge.ports import Assigned, Revoking
from tests.contract.conftest import BROKERS
from tests.contract.kafka_sources import SECONDS, Committed, Reader, has_assigned, numbered, produce, truncate
from tests.servers.process import wait_until

DIFFERENCES = {
    "test_after_close_the_group_gives_the_partitions_away_at_once": (
        "it waits for the session of who left, and three seconds before each rebalance"
    ),
}
that_commit_in_a_rebalance = pytest.mark.parametrize("broker", BROKERS[1:], indirect=True)
"""Not the mock: it begins a rebalance anew now and then, and refuses what a member commits meanwhile (REBALANCE_IN_PROGRESS)."""
AT_ONCE_S = 2.9
"""Below the session timeouts, and below the three seconds that the mock waits before each rebalance."""


@that_commit_in_a_rebalance
async def test_what_a_drain_completes_with_is_committed_before_another_member_reads(broker, topic, group, open_reader):
    partitions = [Partition(topic, number) for number in range(4)]
    for partition in partitions:
        produce(broker, partition, numbered(0, 4))
    first: Reader = await open_reader()
    await first.until(lambda: all(first.of(p).next_offset == 4 for p in partitions), "all records")
    second: Reader = await open_reader()
    await first.until(lambda: bool(first.revoking), "the revocation")
    leaving = list(first.revoking[0].partitions)
    assert len(leaving) == 2
    await _nothing_assigned(second)
    points = {p: CommitPoint(3, encode(CommitMetadata(slices=4, halted="tombstone", halted_at=3))) for p in leaving}
    first.revoking[0].complete(points)
    await second.until(lambda: all(second.of(p).next_offset == 4 for p in leaving), "the records of the other member")
    assert Committed(broker, group).read(*leaving) == points
    for partition in leaving:
        assert second.assigned[partition].offset == 3
        assert second.assigned[partition].metadata == points[partition].metadata
        assert second.of(partition).records == numbered(3, 4)
    # What stayed is read on where it was, not again.
    for partition in set(partitions) - set(leaving):
        produce(broker, partition, numbered(4, 6))
        await first.until_end(partition, 6)
        assert first.of(partition).records == numbered(0, 6)
    assert await first.source.commit({leaving[0]: CommitPoint(1, "")}) == {}
    assert Committed(broker, group).read(leaving[0]) == {leaving[0]: points[leaving[0]]}


async def _nothing_assigned(reader: Reader) -> None:
    """A while in which the reader gets no partition."""
    try:
        await reader.until(lambda: bool(reader.assigned), "an assignment", seconds=0.7)
    except AssertionError:
        return
    raise AssertionError(f"assigned before the drain was complete: {reader.assigned}")


async def test_a_drain_that_is_never_completed_does_not_hold_the_group_up(broker, topic, group, open_reader):
    partitions = [Partition(topic, number) for number in range(4)]
    for partition in partitions:
        produce(broker, partition, numbered(0, 2))
    first: Reader = await open_reader(drain_timeout_s=0.5)
    await first.until(lambda: all(first.of(p).next_offset == 2 for p in partitions), "all records")
    second: Reader = await open_reader(drain_timeout_s=0.5)
    await second.until(lambda: len(second.assigned) == 2, "its part")
    # Nothing was confirmed, so the next owner begins where this one began.
    assert {assigned.offset for assigned in second.assigned.values()} == {0}
    await first.until(lambda: bool(first.revoking), "the revocation")
    first.revoking[0].complete({p: CommitPoint(2, "too late") for p in first.revoking[0].partitions})
    await second.until(lambda: all(second.of(p).next_offset == 2 for p in second.assigned), "the records")
    assert {point.offset for point in Committed(broker, group).read(*partitions).values()} == {0}


async def test_after_close_the_group_gives_the_partitions_away_at_once(broker, topic, group, open_reader, differs):
    partition = Partition(topic, 0)
    produce(broker, partition, numbered(0, 2))
    first: Reader = await open_reader()
    await first.until(lambda: first.of(partition).next_offset == 2, "the records")
    assert await first.source.commit({partition: CommitPoint(1, "")}) == {}
    await first.source.close()
    while events := await first.source.events():
        assert not any(isinstance(event, Revoking | Assigned | SourceBatch) for event in events)
    began = time.monotonic()
    second: Reader = await open_reader()
    await second.until_assigned(4)
    assert (time.monotonic() - began < AT_ONCE_S) is not differs
    assert second.assigned[partition].offset == 1


@pytest.mark.parametrize("broker", BROKERS[1:], indirect=True)
async def test_a_static_member_that_comes_back_shares_at_once_what_it_had(broker, topic, group, open_reader):
    """Who joins names nothing as its own: what another member is to have waits for no revocation. Not the mock: it forgets who
    left."""
    leaving: Reader = await open_reader(instance_id="one")
    await leaving.until_assigned(4)
    await leaving.source.close()
    other: Reader = await open_reader(instance_id="two")
    await _nothing_assigned(other)
    back: Reader = await open_reader(instance_id="one")
    await asyncio.gather(back.until_assigned(2), other.until_assigned(2))
    assert not set(back.assigned) & set(other.assigned)
    for reader in (back, other):
        points = {partition: CommitPoint(0, "") for partition in reader.assigned}
        assert await reader.source.commit(points) == {}
        assert len(reader.assigned) == 2
        assert reader.revoking + reader.lost == []


async def test_close_is_not_held_up_by_events_that_nobody_takes(broker, topic, open_reader):
    """The thread waits for room, and a revocation while closing is not drained."""
    for number in range(4):
        produce(broker, Partition(topic, number), [(None, b"x" * 200_000)] * 12)
    reader: Reader = await open_reader(drain_timeout_s=SECONDS)
    await reader.until_assigned(4)
    began = time.monotonic()
    await reader.source.close()
    assert time.monotonic() - began < 8.0


async def test_a_partition_that_lost_its_next_offset_fails_and_is_not_reset(broker, topic, group, open_reader):
    """Retention overtakes a reader that is paused."""
    failing, healthy = Partition(topic, 0), Partition(topic, 1)
    for partition in (failing, healthy):
        produce(broker, partition, numbered(0, 3))
    reader: Reader = await open_reader()
    await reader.until(lambda: reader.of(failing).next_offset == reader.of(healthy).next_offset == 3, "the first records")
    reader.source.pause([failing])
    assert await reader.source.commit({failing: CommitPoint(3, "mine")}) == {}
    truncate(broker, failing)
    reader.source.resume([failing])
    await reader.until(lambda: bool(reader.failed), "the failure")
    assert (reader.failed[0].partition, reader.failed[0].reason) == (failing, "offset_out_of_range")
    assert "nothing is skipped without your word" in reader.failed[0].detail
    produce(broker, failing, numbered(0, 1))
    produce(broker, healthy, numbered(3, 4))
    await reader.until(lambda: reader.of(healthy).next_offset == 4, "its neighbour")
    assert reader.of(failing).records == numbered(0, 3)
    assert Committed(broker, group).read(failing) == {failing: CommitPoint(3, "mine")}


async def test_a_committed_offset_that_kafka_does_not_have_fails_the_partition(broker, topic, group, open_reader):
    failing, healthy = Partition(topic, 0), Partition(topic, 1)
    for partition in (failing, healthy):
        produce(broker, partition, numbered(0, 3))
    Committed(broker, group).write({failing: CommitPoint(100, ""), healthy: CommitPoint(1, "")})
    reader: Reader = await open_reader()
    await reader.until(lambda: bool(reader.failed), "the failure")
    assert (reader.failed[0].partition, reader.failed[0].reason) == (failing, "offset_out_of_range")
    await reader.until_end(healthy, 3)
    assert reader.of(failing).offsets == []
    assert Committed(broker, group).read(failing) == {failing: CommitPoint(100, "")}


@pytest.mark.parametrize("broker", BROKERS[-2:], indirect=True)
async def test_a_source_ends_at_once_with_an_assignment_that_it_has_not_seen(broker, stepped_source, group):
    """Only Kafka: the others do not tell a group's assignment."""
    wait_until(lambda: has_assigned(broker, group), "an assignment", SECONDS)
    began = time.monotonic()
    stepped_source._closing.set()
    stepped_source._consumer.close()
    assert time.monotonic() - began < AT_ONCE_S
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stepped_source.events(), 0.1)
