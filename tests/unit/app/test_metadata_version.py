"""What stands beside a committed offset and cannot be read may say that somebody has attempts under way: it is left as it is."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from bridge.app.feeders import Feeders
from bridge.app.jobs.preflight import unclean
from bridge.app.jobs.resume import Word, resume
from bridge.app.jobs.status import PartitionStatus, RouteStatus, Status
from bridge.app.jobs.translate import Finding, KafkaPosition, translate_offset
from bridge.app.routing import RoutedTopic
from bridge.app.service_time import ServiceTime
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, decode, encode
from bridge.core.delivery.halts import HALTS
from bridge.core.delivery.key_strategies import MappingSpec
from bridge.core.delivery.ownership import Ownership
from bridge.core.direction.resume import Way
from bridge.core.errors import RefusedError
from bridge.core.records import Partition
from bridge.ports import Assigned, AssignedPartition, CommittedLate, Revoking
from tests.unit.app.forward_lines import Behind, Kafka, forward_line, running
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.streams import Kinesis, LoopClock, told_s
from tests.unit.app.translation_worlds import Cluster, KeptLedger, settings
from tests.unit.core.delivery.columns import source_batch

ORDERS, OTHER = Partition("orders", 0), Partition("orders", 1)
OWNED = encode(CommitMetadata(4, ownership=Ownership("before", 1, True, 0, 0, epoch=4)))
LATER = OWNED.replace('"v":1', '"v":2')
DAMAGED = OWNED.replace('"st":"open"', '"st":"ajar"')
UNREADABLE = pytest.mark.parametrize("metadata", [LATER, DAMAGED])


class Bridge:
    """A forward line to which partitions are assigned with what is told."""

    def __init__(self) -> None:
        self.kafka, self.kinesis, self.telemetry, self.behind = Kafka(), Kinesis(), LoggingTelemetry(), Behind()
        self.line = forward_line(self.kafka, self.kinesis, self.telemetry, behind=self.behind)

    def assign(self, partition: Partition, metadata: str) -> None:
        self.kafka.hand_over(Assigned([AssignedPartition(partition, 5, metadata, 4)]))
        self.kafka.hand_over(source_batch([(5 + i, b"key-%d" % i, b"x") for i in range(10)], partition))

    @property
    def sent(self) -> int:
        return sum(map(len, self.kinesis.requests))


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    bridge = Bridge()
    async with running(bridge.line):
        yield bridge


@pytest.mark.looptime
@UNREADABLE
async def test_the_partition_stands_still_and_nothing_of_it_is_attempted_or_committed(bridge, metadata):
    bridge.assign(ORDERS, metadata)
    await asyncio.sleep(2)
    bridge.kafka.hand_over(CommittedLate([ORDERS]))
    await asyncio.sleep(100)
    assert bridge.sent == 0
    assert bridge.kafka.committed == {}
    assert bridge.behind.control.latest == {}, "the epoch of its route is not known"
    (line,) = [fields for _, event, fields in bridge.telemetry.lines if event == "partition_halted"]
    assert (line["reason"], line["offset"], line["remedy"]) == ("metadata_version", 5, HALTS["metadata_version"].remedy)
    assert bridge.line.halts()[ORDERS].reason == "metadata_version"


@pytest.mark.looptime
@UNREADABLE
async def test_its_neighbour_goes_on(bridge, metadata):
    bridge.assign(ORDERS, metadata)
    bridge.assign(OTHER, "")
    await asyncio.sleep(5)
    assert bridge.sent == 10
    assert {partition: point.offset for partition, point in bridge.kafka.committed.items()} == {OTHER: 15}


@pytest.mark.looptime
@UNREADABLE
async def test_it_leaves_without_a_commit(bridge, metadata):
    bridge.assign(ORDERS, metadata)
    bridge.assign(OTHER, "")
    await asyncio.sleep(5)
    done: asyncio.Future[Mapping[Partition, CommitPoint]] = asyncio.get_running_loop().create_future()
    bridge.kafka.hand_over(Revoking([ORDERS, OTHER], done.set_result))
    assert set(await done) == {OTHER}
    bridge.assign(ORDERS, metadata)
    await asyncio.sleep(5)
    assert await bridge.line.stop()
    assert ORDERS not in bridge.kafka.committed


@pytest.mark.looptime
async def test_an_offset_set_by_the_operator_is_carried_from_there(bridge):
    bridge.assign(ORDERS, LATER)
    await asyncio.sleep(2)
    bridge.assign(ORDERS, "")
    await asyncio.sleep(5)
    assert bridge.sent == 10
    assert bridge.line.halts() == {}


@UNREADABLE
async def test_no_word_of_the_operator_ends_it(bridge, metadata):
    bridge.behind.group.points = {ORDERS: CommitPoint(5, metadata)}
    word = Word(ORDERS, Way.SKIP, "ops", "ticket 7")
    with pytest.raises(RefusedError, match=r"(?s)orders-0: .* run the version of the bridge that wrote it"):
        await resume(settings(), bridge.behind.group, bridge.behind.control, LoopClock(), word)
    assert bridge.behind.control.changes == 0


@UNREADABLE
async def test_a_translation_says_why_it_cannot_tell_more(bridge, metadata):
    kafka = Cluster({ORDERS: CommitPoint(20, metadata)})
    answer = await translate_offset(settings(), KeptLedger(), kafka, KafkaPosition("orders", 0, 25))
    assert answer.finding is Finding.NOT_YET
    assert str(decode(metadata).unreadable) in answer.why


@UNREADABLE
async def test_a_change_of_direction_is_refused_over_it(metadata):
    unreadable = decode(metadata).unreadable
    row = PartitionStatus("orders", 0, 5, 9, 4, 1.0, None, None, None, "replica", unreadable=unreadable)
    status = Status("move", "move", [], [RouteStatus("orders", ["orders"], 4, 1.0, 0, [row])])
    assert unclean([row], status) == (f"orders-0 (what stands beside its committed offset: {unreadable})",)


@pytest.mark.looptime
@UNREADABLE
async def test_of_a_feeder_that_cannot_be_read_no_outcome_is_taken_for_known(bridge, metadata):
    group, time, clean = bridge.behind.group, ServiceTime(LoopClock()), Ownership("other", 1, False, 0, 0)
    time.saw(told_s(), 0, 0)
    routed = RoutedTopic("orders", "orders", 1.0, 0.02, MappingSpec("key", "orders"))
    feeders = Feeders(group, "group", lambda topic, slices: routed, time, lambda: [ORDERS], lambda stream: 10_000.0)
    group.points = {OTHER: CommitPoint(5, encode(CommitMetadata(ownership=clean)))}
    assert await feeders.known_to_ms("orders") == 10_000
    group.points = {OTHER: CommitPoint(5, metadata)}
    assert await feeders.known_to_ms("orders") == 0
