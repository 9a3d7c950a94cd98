"""The port `Source` as the daemon opens it, on every Kafka: what is assigned, read, paused and committed.

DIFFERENCES names the tests in which the mock broker inside librdkafka behaves otherwise than Kafka, and why; such a test
then asserts what the mock does instead.
"""

import time

import pytest

from bridge.core.delivery.commit_metadata import METADATA_BYTES_MAX, CommitMetadata, CommitPoint, decode, encode
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from tests.contract.kafka_sources import Committed, Reader, create, numbered, produce, recreate, write_transactions
from tests.servers.fixtures import unique

DIFFERENCES = {
    "test_each_start": "its ListOffsets knows no timestamps and answers with the end",
    "test_the_end_of_a_partition_lies_behind_transaction_markers": "it writes markers, but hands over aborted records too",
    "test_a_topic_created_anew_has_another_id": "the client library finds no controller to ask for the ids of its topics",
    "test_metadata_beyond_the_limit_are_refused": "it has no limit for the metadata of a commit",
}


async def test_an_assignment_begins_at_the_committed_offset(broker, topic, group, open_reader):
    first, second = Partition(topic, 0), Partition(topic, 1)
    produce(broker, first, numbered(0, 6))
    produce(broker, second, numbered(0, 2))
    metadata = encode(CommitMetadata(slices=7))
    Committed(broker, group).write({first: CommitPoint(4, metadata)})
    reader: Reader = await open_reader()
    await reader.until(lambda: reader.of(first).next_offset == 6 and reader.of(second).next_offset == 2, "the ends")
    assert reader.assigned[first].offset == 4
    assert reader.assigned[first].metadata == metadata
    assert (reader.of(first).offsets, reader.of(first).records) == ([4, 5], numbered(4, 6))
    assert reader.assigned[second].offset == 0
    assert reader.of(second).offsets == [0, 1]
    # N of the topic's earlier commits holds for its new partitions too.
    assert {assigned.slices for assigned in reader.assigned.values()} == {7}
    assert set(reader.assigned) == {Partition(topic, number) for number in range(4)}


async def test_each_start(broker, topic, open_reader, differs):
    partition = Partition(topic, 0)
    long_ago = int(time.time() * 1000) - 3_600_000
    produce(broker, partition, numbered(0, 3), timestamp_ms=long_ago)
    produce(broker, partition, numbered(3, 5))
    between = {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(long_ago / 1000 + 60))}
    readers = {}
    for start, offset in (("earliest", 0), ("latest", 5), (between, 5 if differs else 3)):
        readers[str(start)] = (await open_reader(start=start, group=unique("start")), offset)
    for reader, offset in readers.values():
        await reader.until_assigned(4)
        assert reader.assigned[partition].offset == offset
        await reader.until_end(partition, 5)
        assert reader.of(partition).offsets == list(range(offset, 5))


@pytest.mark.parametrize(("slices", "offset"), [(4, 3), (2, 0)], ids=["first run", "topic has grown"])
async def test_partitions_that_a_topic_got_later_begin_at_their_beginning(slices, offset, broker, topic, group, open_reader):
    known, other = Partition(topic, 0), Partition(topic, 3)
    for partition in (known, other):
        produce(broker, partition, numbered(0, 3))
    Committed(broker, group).write({known: CommitPoint(1, encode(CommitMetadata(slices=slices)))})
    reader: Reader = await open_reader(start="latest")
    await reader.until_assigned(4)
    assert reader.assigned[known].offset == 1
    assert reader.assigned[other].offset == offset


async def test_the_start_is_committed_before_the_first_record(broker, topic, group, stepped_source):
    """Driven step by step, without the source's thread."""
    partition = Partition(topic, 0)
    produce(broker, partition, numbered(0, 3))
    reader = Reader(stepped_source)
    await reader.step_until(lambda: bool(reader.assigned), "the assignment")
    begun = encode(CommitMetadata(slices=4, topic_id=reader.assigned[partition].topic_id))
    assert Committed(broker, group).read(partition) == {partition: CommitPoint(0, begun)}
    assert reader.assigned[partition].metadata == begun
    await reader.step_until(lambda: reader.of(partition).next_offset == 3, "the records")
    assert reader.of(partition).records == numbered(0, 3)


async def test_a_topic_created_anew_has_another_id(broker, topic, open_reader, differs):
    """And its partitions begin with the id before, as far as it is known: Kafka may have forgotten the offset with the topic."""
    reader: Reader = await open_reader()
    await reader.until_assigned(4)
    await reader.source.close()
    (before,) = {assigned.topic_id for assigned in reader.assigned.values()}
    if differs:
        assert before is None
        return
    assert before is not None
    assert {decode(assigned.metadata).topic_id for assigned in reader.assigned.values()} == {before}
    recreate(broker, topic)
    point = CommitPoint(2, encode(CommitMetadata(slices=4, topic_id=before)))
    Committed(broker, (group := unique("after"))).write({Partition(topic, 0): point})
    produce(broker, Partition(topic, 0), numbered(0, 5))
    later: Reader = await open_reader(group=group)
    await later.until_assigned(4)
    (now,) = {assigned.topic_id for assigned in later.assigned.values()}
    assert now not in (None, before)
    assert (later.assigned[Partition(topic, 0)].offset, later.assigned[Partition(topic, 0)].metadata) == point
    assert {decode(assigned.metadata).topic_id for assigned in later.assigned.values()} == {before}


async def test_records_come_in_offset_order_with_their_exact_bytes(broker, topic, open_reader):
    odd = [
        (b"", b""),
        (None, b"null key"),
        (b"tombstone", None),
        (None, None),
        (bytes(range(256)), bytes(reversed(range(256))) * 400),
        ("schlüssel \N{GRINNING FACE}".encode(), b'{"a": 1}'),
        (b"\xff\xfe", b"\x00"),
    ]
    written = {Partition(topic, 0): odd, Partition(topic, 1): numbered(0, 3000), Partition(topic, 3): numbered(0, 1)}
    earlier = int(time.time() * 1000) - 3_600_000  # not so long ago that the topic's retention removes it
    for partition, records in written.items():
        produce(broker, partition, records, timestamp_ms=earlier + partition.number)
    reader = await open_reader()
    await reader.until(lambda: all(len(reader.of(p).offsets) >= len(records) for p, records in written.items()), "all records")
    for partition, records in written.items():
        kept = reader.of(partition)
        assert kept.offsets == list(range(len(records)))
        assert kept.records == records
        assert set(kept.timestamps_ms) == {earlier + partition.number}


async def test_the_end_of_a_partition_lies_behind_transaction_markers(broker, topic, open_reader, differs):
    partition = Partition(topic, 0)
    write_transactions(broker, partition, ((0, True), (1, False), (2, True)))
    reader = await open_reader()
    await reader.until(lambda: reader.of(partition).next_offset == 6, "the end")
    assert reader.of(partition).offsets == ([0, 2, 4] if differs else [0, 4])


async def test_a_paused_partition_waits_and_its_neighbours_go_on(broker, topic, open_reader):
    paused, other = Partition(topic, 0), Partition(topic, 1)
    for partition in (paused, other):
        produce(broker, partition, numbered(0, 2))
    reader = await open_reader()
    await reader.until(lambda: reader.of(paused).next_offset == reader.of(other).next_offset == 2, "the first records")
    reader.source.pause([paused, Partition("not-ours", 0)])
    # Orders are carried out in their order, so this answer says that the pause is in force.
    assert await reader.source.commit({other: CommitPoint(2, "")}) == {}
    produce(broker, paused, numbered(2, 4))
    for end in (4, 6):
        produce(broker, other, numbered(end - 2, end))
        await reader.until_end(other, end)
    assert reader.of(paused).offsets == [0, 1]
    reader.source.resume([paused, Partition("not-ours", 0)])
    await reader.until(lambda: reader.of(paused).next_offset == 4, "the resumed one")
    assert reader.of(paused).records == numbered(0, 4)
    assert reader.of(other).records == numbered(0, 6)


async def test_a_confirmed_commit_reads_back_and_leaves_out_what_is_not_ours(broker, topic, group, open_reader):
    ours, foreign = Partition(topic, 0), Partition(create(broker, unique("foreign")), 0)
    produce(broker, ours, numbered(0, 3))
    reader = await open_reader()
    await reader.until(lambda: reader.of(ours).next_offset == 3, "the records")
    point = CommitPoint(2, encode(CommitMetadata(slices=4, halted="tombstone", halted_at=2)))
    assert await reader.source.commit({ours: point, foreign: CommitPoint(1, "")}) == {}
    assert Committed(broker, group).read(ours, foreign) == {ours: point}
    assert await reader.source.commit({foreign: CommitPoint(1, "")}) == {}
    assert Committed(broker, group).read(foreign) == {}


async def test_metadata_beyond_the_limit_are_refused(broker, topic, group, open_reader, differs):
    ours, other = Partition(topic, 0), Partition(topic, 1)
    reader = await open_reader()
    await reader.until_assigned(4)
    too_long = CommitPoint(0, "x" * (METADATA_BYTES_MAX + 1))
    refused = await reader.source.commit({ours: too_long, other: CommitPoint(0, "fits")})
    assert Committed(broker, group).read(other) == {other: CommitPoint(0, "fits")}
    if differs:
        assert refused == {}
    else:
        assert "metadata" in refused[ours]


async def test_a_commit_without_an_answer_in_time(stepped_source, topic):
    with pytest.raises(UnavailableError, match="no answer"):
        await stepped_source.commit({Partition(topic, 0): CommitPoint(0, "")}, timeout_s=0.05)
