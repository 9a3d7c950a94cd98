"""Topics and streams created anew under their names: their partitions stand still, whenever it is noticed, and stay so."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bridge.app.recreated import CHECK_AGAIN_S, CHECK_S
from bridge.app.stream_description import REFRESH_S
from bridge.app.stream_line import NO_SUCH_STREAM
from bridge.core.delivery.commit_metadata import CommitMetadata, decode, encode
from bridge.core.delivery.halts import HALTS
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.quotas import MIB
from bridge.core.records import Outcome, Partition, PutAnswer
from bridge.ports import Assigned, AssignedPartition, PartitionFailed, SourceTrouble
from tests.unit.app.forward_lines import Kafka, forward_line, running
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.streams import Kinesis
from tests.unit.core.delivery.columns import even_shard_map, source_batch

ORDERS, OTHER = Partition("orders", 0), Partition("other", 0)
CREATED_MS = 1_700_000_000_000
KEPT = CommitMetadata(4, topic_id="old", stream="orders", stream_created_ms=CREATED_MS)
"""What stands beside the committed offset of `orders`."""


class Bridge:
    """A forward line between a Kafka whose topics have the id `old` and a Kinesis whose streams were created at one moment."""

    def __init__(self) -> None:
        self.kafka, self.kinesis, self.telemetry = Kafka(), Kinesis(), LoggingTelemetry()
        self.kafka.ids = {"orders": "old", "other": "old"}
        self.kinesis.description = StreamDescription(even_shard_map(1), MIB, CREATED_MS)
        self.line = forward_line(self.kafka, self.kinesis, self.telemetry)

    def assign(self, partition: Partition = ORDERS, offset: int = 5, metadata: str = "", topic_id: str | None = "old") -> None:
        self.kafka.hand_over(Assigned([AssignedPartition(partition, offset, metadata, 4, topic_id)]))

    def read(self, first: int, count: int, partition: Partition = ORDERS) -> None:
        self.kafka.hand_over(source_batch([(first + i, b"key-%d" % i, b"x") for i in range(count)], partition))

    def create_stream_anew(self) -> None:
        self.kinesis.description = replace(self.kinesis.description, created_ms=CREATED_MS + 1)

    @property
    def sent(self) -> int:
        return sum(map(len, self.kinesis.requests))

    @property
    def halted(self) -> dict[Partition, tuple[str, int]]:
        return {partition: (halt.reason, halt.offset) for partition, halt in self.line.halts().items()}

    def committed(self, partition: Partition = ORDERS) -> tuple[int, CommitMetadata]:
        point = self.kafka.committed[partition]
        return point.offset, replace(decode(point.metadata), ownership=None)  # of which other tests tell


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    bridge = Bridge()
    async with running(bridge.line):
        yield bridge


@pytest.mark.looptime
async def test_the_ids_are_committed_beside_the_offset_and_where_they_hold_nothing_halts(bridge):
    bridge.assign()
    bridge.read(5, 10)
    await asyncio.sleep(2 * REFRESH_S)
    assert bridge.committed() == (15, KEPT)
    assert bridge.halted == {}


@pytest.mark.looptime
async def test_a_topic_created_anew_is_not_read_though_it_has_the_committed_offset(bridge):
    bridge.kafka.ids["orders"] = "new"
    bridge.assign(metadata=encode(KEPT), topic_id="new")
    bridge.assign(OTHER, 0)
    bridge.read(5, 10)
    bridge.read(0, 3, OTHER)
    await asyncio.sleep(2)
    assert bridge.halted == {ORDERS: ("topic_recreated", 5)}
    assert bridge.kafka.paused == {ORDERS}
    assert bridge.sent == 3
    assert bridge.committed() == (5, replace(KEPT, halted="topic_recreated", halted_at=5))
    assert bridge.committed(OTHER)[0] == 3
    (line,) = [fields for _, event, fields in bridge.telemetry.lines if event == "partition_halted"]
    assert (line["reason"], line["remedy"]) == ("topic_recreated", HALTS["topic_recreated"].remedy)


@pytest.mark.looptime
async def test_a_topic_created_anew_while_it_is_read_is_found_at_the_next_question(bridge):
    bridge.assign()
    bridge.assign(OTHER, 0)
    bridge.read(5, 10)
    await asyncio.sleep(2)
    bridge.kafka.ids["orders"] = "new"
    await asyncio.sleep(CHECK_S)
    assert bridge.halted == {ORDERS: ("topic_recreated", 15)}
    bridge.read(15, 10)
    await asyncio.sleep(2)
    assert bridge.sent == 10
    assert bridge.committed() == (15, replace(KEPT, halted="topic_recreated", halted_at=15))


@pytest.mark.looptime
async def test_an_offset_out_of_range_makes_it_ask_at_once(bridge):
    bridge.assign()
    await asyncio.sleep(CHECK_S + 2)
    bridge.kafka.ids["orders"] = "new"
    bridge.kafka.hand_over(PartitionFailed(ORDERS, "offset_out_of_range", "gone"))
    await asyncio.sleep(0.1)
    assert bridge.halted == {ORDERS: ("topic_recreated", 5)}


@pytest.mark.looptime
async def test_a_topic_that_is_gone_is_asked_for_until_the_next_one_of_its_name_is_there(bridge):
    bridge.assign()
    await asyncio.sleep(CHECK_S + 2)
    del bridge.kafka.ids["orders"]
    bridge.kafka.hand_over(SourceTrouble("UNKNOWN_TOPIC_OR_PART", "orders: unknown topic"))
    await asyncio.sleep(10)
    assert bridge.halted == {}
    bridge.kafka.ids["orders"] = "new"
    await asyncio.sleep(CHECK_AGAIN_S)
    assert bridge.halted == {ORDERS: ("topic_recreated", 5)}


@pytest.mark.looptime
async def test_an_offset_out_of_range_of_the_same_topic_keeps_its_name(bridge):
    bridge.assign()
    bridge.kafka.hand_over(PartitionFailed(ORDERS, "offset_out_of_range", "gone"))
    await asyncio.sleep(2 * CHECK_S)
    assert bridge.halted == {ORDERS: ("offset_out_of_range", 5)}


@pytest.mark.looptime
async def test_where_kafka_does_not_tell_ids_nothing_is_compared(bridge):
    bridge.kafka.ids = {}
    bridge.assign(metadata=encode(KEPT), topic_id=None)
    bridge.read(5, 10)
    await asyncio.sleep(2 * CHECK_S)
    assert bridge.halted == {}
    assert bridge.committed() == (15, KEPT)


@pytest.mark.looptime
async def test_a_question_without_an_answer_is_asked_again(bridge, monkeypatch):
    async def unavailable(topics: object) -> dict[str, str]:
        raise UnavailableError("no answer")

    bridge.assign()
    monkeypatch.setattr(bridge.kafka, "topic_ids", unavailable)
    await asyncio.sleep(CHECK_S + 2)
    monkeypatch.undo()
    bridge.kafka.ids["orders"] = "new"
    await asyncio.sleep(CHECK_S + 2)
    assert bridge.halted == {ORDERS: ("topic_recreated", 5)}


@pytest.mark.looptime
@pytest.mark.parametrize("reason", ["topic_recreated", "stream_recreated"])
async def test_a_restart_does_not_end_it_and_an_offset_set_by_the_operator_does(bridge, reason):
    """Even where the ids of now cannot be told."""
    halted = encode(replace(KEPT, halted=reason, halted_at=5))
    bridge.kinesis.description = replace(bridge.kinesis.description, created_ms=None)
    bridge.assign(metadata=halted, topic_id=None)
    bridge.read(5, 10)
    await asyncio.sleep(2)
    assert bridge.halted == {ORDERS: (reason, 5)}
    assert bridge.sent == 0
    assert bridge.committed() == (5, decode(halted))
    bridge.assign(offset=2, metadata="", topic_id="new")
    bridge.kafka.ids["orders"] = "new"
    bridge.read(2, 10)
    await asyncio.sleep(2 * CHECK_S)
    assert bridge.halted == {}
    assert bridge.committed() == (12, CommitMetadata(4, topic_id="new"))


@pytest.mark.looptime
@pytest.mark.parametrize("reason", [reason for reason, about in HALTS.items() if not about.stays])
async def test_any_other_halt_is_looked_at_again(bridge, reason):
    bridge.assign(metadata=encode(replace(KEPT, halted=reason, halted_at=5)))
    bridge.read(5, 10)
    await asyncio.sleep(2)
    assert bridge.committed() == (15, KEPT)


@pytest.mark.looptime
async def test_a_stream_created_anew_gets_nothing(bridge):
    bridge.create_stream_anew()
    bridge.assign(metadata=encode(KEPT))
    bridge.read(5, 10)
    await asyncio.sleep(2)
    bridge.assign(metadata=encode(KEPT))  # now its shards are known already
    bridge.read(5, 10)
    await asyncio.sleep(2)
    assert bridge.halted == {ORDERS: ("stream_recreated", 5)}
    assert bridge.sent == 0
    assert bridge.committed() == (5, replace(KEPT, halted="stream_recreated", halted_at=5))


@pytest.mark.looptime
async def test_a_stream_created_anew_is_found_at_the_next_refresh(bridge):
    bridge.assign()
    bridge.read(5, 10)
    await asyncio.sleep(2)
    bridge.create_stream_anew()
    await asyncio.sleep(REFRESH_S + 1)
    assert bridge.halted == {ORDERS: ("stream_recreated", 15)}
    bridge.read(15, 10)
    await asyncio.sleep(2)
    assert bridge.sent == 10


@pytest.mark.looptime
async def test_between_no_such_stream_and_its_next_description_nothing_is_sent(bridge):
    """What was under way is not tried again, and the offset stays below it."""
    bridge.assign()
    bridge.read(5, 1)
    await asyncio.sleep(2)
    bridge.kinesis.descriptions = [RefusedError("no such stream")] * 20
    bridge.kinesis.answers = [PutAnswer(Outcome.FATAL, code=NO_SUCH_STREAM)]
    bridge.create_stream_anew()
    bridge.read(6, 5)
    await asyncio.sleep(15)
    assert any(NO_SUCH_STREAM in problem for problem in bridge.line.problems())
    bridge.read(11, 5)
    await asyncio.sleep(60)
    assert bridge.halted == {ORDERS: ("stream_recreated", 6)}
    assert bridge.line.problems() == []
    assert bridge.sent == 6
    assert bridge.committed() == (6, replace(KEPT, halted="stream_recreated", halted_at=6))


@pytest.mark.looptime
async def test_a_stream_that_comes_back_as_it_was_is_written_again(bridge):
    bridge.assign()
    await asyncio.sleep(2)
    bridge.kinesis.descriptions = [UnavailableError("CREATING")] * 3
    bridge.kinesis.answers = [PutAnswer(Outcome.FATAL, code=NO_SUCH_STREAM)]
    bridge.read(5, 5)
    await asyncio.sleep(60)
    assert bridge.halted == {}
    assert bridge.committed() == (10, KEPT)


@pytest.mark.looptime
async def test_a_route_that_was_given_another_stream_goes_on(bridge):
    other = replace(KEPT, stream="before", stream_created_ms=1)
    bridge.assign(metadata=encode(replace(other, halted="stream_recreated", halted_at=5)))
    bridge.read(5, 10)
    await asyncio.sleep(2)
    assert bridge.committed() == (15, KEPT)


@pytest.mark.looptime
async def test_a_halted_partition_leaves_at_once(bridge):
    bridge.assign()
    bridge.kinesis.answers = [PutAnswer(Outcome.THROTTLED, code="Throttled")] * 100
    bridge.read(5, 10)
    await asyncio.sleep(5)
    bridge.kafka.ids["orders"] = "new"
    await asyncio.sleep(CHECK_S)
    before = bridge.sent
    began = asyncio.get_running_loop().time()
    assert await bridge.line.stop()
    assert asyncio.get_running_loop().time() - began < 2
    assert bridge.sent == before
    assert bridge.committed() == (5, replace(KEPT, halted="topic_recreated", halted_at=5))
