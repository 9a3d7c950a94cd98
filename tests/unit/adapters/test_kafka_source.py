"""`KafkaSource` step by step over a scripted consumer: what only a certain timing of Kafka brings about."""

import asyncio
import functools
from contextlib import suppress
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, TopicPartition

from bridge.adapters.kafka.handover import PENDING_BYTES_MAX, PENDING_MAX, Handover
from bridge.adapters.kafka.source import KafkaSource
from bridge.adapters.kafka.topic_ids import TopicIds
from bridge.core.delivery.commit_metadata import CommitPoint, decode
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition, SourceBatch
from bridge.ports import Assigned, CommittedLate, Lost, PartitionFailed, Revoking, SourceEvent, SourceTrouble
from tests.unit.adapters.fake_consumer import FakeConsumer, FakeMessage

ORDERS = [Partition("orders", 0), Partition("orders", 1)]
PLACES = [TopicPartition("orders", 0), TopicPartition("orders", 1)]


class Stage:
    """A source, its consumer, and the events so far."""

    def __init__(self, start: int = 0, drain_timeout_s: float = 0.01) -> None:
        self.ids: dict[str, str] = {}

        def consumer(properties: dict[str, Any]) -> Any:
            self.consumer = FakeConsumer(properties)
            return self.consumer

        self.source = KafkaSource(
            cast(Any, consumer),
            {},
            ["orders"],
            lambda partitions, grown: dict.fromkeys([*partitions, *grown], start),
            Handover(asyncio.get_running_loop()),
            drain_timeout_s,
            TopicIds(lambda topics: {topic: self.ids[topic] for topic in topics if topic in self.ids}),
        )

    async def play(self, *scenes: Any) -> list[SourceEvent]:
        """One step for each scene, and the events of all."""
        events: list[SourceEvent] = []
        for scene in scenes:
            self.consumer.scenes.append(scene)
            self.source.step()
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    events += await self.source.events()
        return events

    def assign(self, message: FakeMessage | None = None) -> FakeMessage | None:
        self.consumer.callbacks.on_assign(self.consumer, PLACES)
        return message

    def revoke(self, message: FakeMessage | None = None) -> FakeMessage | None:
        self.consumer.callbacks.on_revoke(self.consumer, PLACES[:1])
        return message

    def lose(self) -> None:
        self.consumer.callbacks.on_lost(self.consumer, PLACES[:1])


def out_of_range() -> FakeMessage:
    return FakeMessage(("orders", 0), 7, KafkaError(KafkaError._AUTO_OFFSET_RESET, "gone"))


async def test_the_start_is_committed_and_named_with_its_slices():
    stage = Stage(start=5)
    (assigned,) = await stage.play(stage.assign)
    assert isinstance(assigned, Assigned)
    assert [(entry.partition, entry.offset, entry.slices) for entry in assigned.partitions] == [(p, 5, 2) for p in ORDERS]
    assert stage.consumer.assignment == {0: 5, 1: 5}
    stored = stage.consumer.stored["orders", 0]
    assert (stored.offset, decode(stored.metadata).slices) == (5, 2)


async def test_beside_what_cannot_be_read_no_partition_of_the_topic_is_begun():
    """N of `partition_key: partition` may stand there."""
    stage = Stage(start=5)
    later = '{"v":2,"n":1}'
    stage.consumer.stored["orders", 0] = TopicPartition("orders", 0, 7, metadata=later)
    (assigned,) = await stage.play(stage.assign)
    assert isinstance(assigned, Assigned)
    assert [(entry.offset, entry.metadata) for entry in assigned.partitions] == [(7, later), (5, later)]
    assert list(stage.consumer.stored) == [("orders", 0)]


async def test_records_that_come_in_the_step_of_the_assignment_are_read_again():
    stage = Stage(start=5)
    events = await stage.play(lambda: stage.assign(FakeMessage(("orders", 0), 5)))
    assert [type(event) for event in events] == [Assigned]
    (batch,) = await stage.play(lambda: FakeMessage(("orders", 0), 5))
    assert stage.consumer.seeks == [(0, 5)]
    assert isinstance(batch, SourceBatch)
    assert (batch.offsets, batch.next_offset) == ([5], 6)


async def test_an_offset_out_of_range_fails_the_partition():
    stage = Stage(start=5)
    events = await stage.play(stage.assign, out_of_range)
    assert isinstance(events[1], PartitionFailed)
    assert (events[1].partition, events[1].reason) == (ORDERS[0], "offset_out_of_range")


async def test_an_offset_out_of_range_in_the_step_of_the_assignment_fails_the_partition_too():
    stage = Stage(start=5)
    stage.consumer.seekable = False
    nothing = [lambda: None] * 5
    events = await stage.play(lambda: stage.assign(out_of_range()), *nothing)
    assert [event.partition for event in events if isinstance(event, PartitionFailed)] == [ORDERS[0]]


async def test_only_what_is_ours_is_committed_and_the_answer_is_the_confirmation():
    stage = Stage()
    await stage.play(stage.assign)
    points = {ORDERS[0]: CommitPoint(3, "mine"), Partition("other", 0): CommitPoint(9, "")}
    answer = asyncio.ensure_future(stage.source.commit(points))
    await asyncio.sleep(0)
    await stage.play(lambda: None)
    assert await answer == {}
    assert (stage.consumer.stored["orders", 0].offset, stage.consumer.stored["orders", 0].metadata) == (3, "mine")
    assert ("other", 0) not in stage.consumer.stored


async def commit_with_one_refusal() -> dict[Partition, str]:
    stage = Stage()
    await stage.play(stage.assign)
    stage.consumer.refuse = {0: KafkaError(KafkaError.OFFSET_METADATA_TOO_LARGE, "too large")}
    answer = asyncio.ensure_future(stage.source.commit({p: CommitPoint(3, "") for p in ORDERS}))
    await asyncio.sleep(0)
    await stage.play(lambda: None)
    return dict(await answer)


async def test_what_kafka_refused_is_named_with_its_reason():
    assert (await commit_with_one_refusal())[ORDERS[0]] == "too large"


async def test_only_what_kafka_refused_counts_as_refused():
    assert await commit_with_one_refusal() == {ORDERS[0]: "too large"}


async def test_a_late_answer_to_an_earlier_commit_confirms_nothing_and_is_told():
    stage = Stage()
    await stage.play(stage.assign)
    given_up = asyncio.ensure_future(stage.source.commit({ORDERS[0]: CommitPoint(1, "")}, timeout_s=0.01))
    await asyncio.sleep(0)
    stage.source._run_commands()
    late = stage.consumer.scenes.popleft()
    with pytest.raises(UnavailableError):
        await given_up
    answer = asyncio.ensure_future(stage.source.commit({ORDERS[0]: CommitPoint(2, "")}))
    await asyncio.sleep(0)
    stage.source._run_commands()
    late()
    assert await stage.source.events() == [CommittedLate([ORDERS[0]])]
    assert not answer.done()
    await stage.play(lambda: None)
    assert await answer == {}


async def test_a_commit_that_was_given_up_before_it_was_sent_is_not_sent_and_told():
    stage = Stage()
    await stage.play(stage.assign)
    with pytest.raises(UnavailableError):
        await stage.source.commit({ORDERS[0]: CommitPoint(1, ""), ORDERS[1]: CommitPoint(1, "")}, timeout_s=0)
    stage.source._run_commands()
    assert not stage.consumer.scenes
    assert await stage.source.events() == [CommittedLate([ORDERS[0], ORDERS[1]])]


async def test_a_commit_that_is_answered_after_it_was_given_up_is_told_also_where_none_came_after_it():
    stage = Stage()
    await stage.play(stage.assign)
    given_up = asyncio.ensure_future(stage.source.commit({ORDERS[0]: CommitPoint(1, "")}, timeout_s=0.01))
    await asyncio.sleep(0)
    stage.source._run_commands()
    with pytest.raises(UnavailableError):
        await given_up
    await stage.play(lambda: None)
    assert await stage.source.events() == [CommittedLate([ORDERS[0]])]


async def test_a_revocation_that_nobody_completes_ends_with_its_deadline():
    stage = Stage()
    await stage.play(stage.assign)
    (revoking,) = await stage.play(stage.revoke)
    assert isinstance(revoking, Revoking)
    assert (list(revoking.partitions), stage.consumer.assignment) == (ORDERS[:1], {1: 0})
    revoking.complete({ORDERS[0]: CommitPoint(9, "too late")})
    assert stage.consumer.stored["orders", 0].offset == 0


async def test_a_drain_whose_commit_is_refused_is_told(monkeypatch):
    monkeypatch.setattr(Handover, "wait_for", lambda *_: {ORDERS[0]: CommitPoint(9, "")})
    stage = Stage()
    await stage.play(stage.assign)
    stage.consumer.refuse[0] = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)
    _, trouble = await stage.play(stage.revoke)
    assert isinstance(trouble, SourceTrouble)
    assert trouble.code == "REBALANCE_IN_PROGRESS"
    assert "orders-0" in trouble.message
    assert (stage.consumer.stored["orders", 0].offset, stage.consumer.assignment) == (0, {1: 0})


async def test_lost_partitions_are_named_and_nothing_is_committed_for_them():
    stage = Stage()
    await stage.play(stage.assign)
    (lost,) = await stage.play(stage.lose)
    assert lost == Lost(ORDERS[:1])
    assert stage.consumer.assignment == {1: 0}
    answer = asyncio.ensure_future(stage.source.commit({ORDERS[0]: CommitPoint(4, "")}))
    await asyncio.sleep(0)
    await stage.play(lambda: None)
    assert await answer == {}
    assert stage.consumer.stored["orders", 0].offset == 0


async def test_records_of_a_partition_that_left_in_the_same_step_are_dropped():
    stage = Stage()
    await stage.play(stage.assign)
    stage.consumer.more = [FakeMessage(("orders", 1), 0)]
    events = await stage.play(lambda: stage.revoke(FakeMessage(("orders", 0), 0)))
    assert [event.partition for event in events if isinstance(event, SourceBatch)] == [ORDERS[1]]


async def test_pause_and_resume_name_only_what_is_ours():
    stage = Stage()
    await stage.play(stage.assign)
    stage.source.pause([*ORDERS, Partition("other", 0)])
    await stage.play(lambda: None)
    assert stage.consumer.paused == [0, 1]
    stage.source.resume([ORDERS[0]])
    await stage.play(lambda: None)
    assert stage.consumer.paused == [1]


async def test_trouble_of_kafka_is_handed_on_and_a_slow_taker_stops_the_reading():
    stage = Stage()
    stage.consumer.properties["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN, "all down"))
    assert await stage.source.events() == [SourceTrouble("_ALL_BROKERS_DOWN", "all down")]
    await stage.play(stage.assign)
    for offset in range(PENDING_MAX):
        stage.consumer.scenes.append(functools.partial(FakeMessage, ("orders", 0), offset))
        stage.source.step()
    stage.consumer.scenes.append(lambda: FakeMessage(("orders", 0), 99))
    stage.source.step()
    assert len(stage.consumer.scenes) == 1, "read although nobody takes"
    assert len(await stage.source.events()) == PENDING_MAX
    stage.source.step()
    assert not stage.consumer.scenes


async def test_large_records_stop_the_reading_by_their_bytes():
    stage = Stage()
    await stage.play(stage.assign)
    value = bytes(PENDING_BYTES_MAX // 2)
    for offset in range(3):
        stage.consumer.scenes.append(functools.partial(FakeMessage, ("orders", 0), offset, value=value))
        stage.source.step()
    assert len(stage.consumer.scenes) == 1, "read although a hand-over is full"
    assert len(await stage.source.events()) == 2
    stage.source.step()
    assert not stage.consumer.scenes
