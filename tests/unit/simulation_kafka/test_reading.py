"""Positions, ends, pauses and seeks, as librdkafka 2.16 was seen to do them; and the questions of an admin client."""

from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from tests.simulation.kafka.admin import SimAdmin
from tests.simulation.kafka.consumer import SimConsumer
from tests.simulation.kafka.producer import SimProducer
from tests.unit.simulation_kafka.world import App, GreenHost, World, member_properties, records

FIRST = TopicPartition("orders", 0)


LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]


class Reader:
    """A consumer without a group's assignment, called step by step."""

    def __init__(self, world: World, **properties: str) -> None:
        self.world = world
        self.host = GreenHost(world)
        self.consumer = SimConsumer(member_properties("classic", **properties), world.cluster, self.host)

    def assign(self, offset: int) -> None:
        self.consumer.incremental_assign([TopicPartition("orders", 0, offset)])

    def take(self, count: int = 1000, seconds: float = 2.0) -> list[tuple[int | None, str | None]]:
        """Offsets, with the error's name where there is one."""
        messages = self.world.call(lambda: self.consumer.consume(count, seconds))
        return [(m.offset(), m.error() and m.error().name()) for m in messages]


@pytest.fixture
def reader(world: World) -> Reader:
    world.cluster.produce("orders", 0, records(10), 1_000)
    return Reader(world)


def read(*offsets: int) -> list[tuple[int, None]]:
    return [(offset, None) for offset in offsets]


def end(offset: int) -> tuple[int, str]:
    return offset, "_PARTITION_EOF"


def test_records_come_as_they_were_written(world, reader):
    reader.assign(3)
    (message,) = world.call(lambda: reader.consumer.consume(1, 1.0))
    assert (message.topic(), message.partition(), message.offset()) == ("orders", 0, 3)
    assert (message.key(), message.value(), message.timestamp()[1]) == (b"key-3", b"value-3", 1_000)


def test_the_end_is_told_once_each_time_it_is_reached(world, reader):
    reader.assign(8)
    assert reader.take() == [*read(8, 9), end(10)]
    assert reader.take() == []
    world.cluster.produce("orders", 0, records(1))
    assert reader.take() == [*read(10), end(11)]
    world.cluster.append_hole("orders", 0, 2)
    assert reader.take() == [end(13)]


def test_what_was_not_taken_before_a_pause_is_fetched_again_after_it(reader):
    reader.assign(0)
    assert reader.take(4) == read(0, 1, 2, 3)
    reader.consumer.pause([FIRST])
    assert reader.take() == []
    reader.consumer.resume([FIRST])
    assert reader.take() == [*read(*range(4, 10)), end(10)]
    reader.consumer.pause([FIRST])
    reader.consumer.resume([FIRST])
    assert reader.take() == [end(10)]


def test_a_pause_holds_also_when_the_partition_comes_back(reader):
    reader.assign(0)
    reader.consumer.pause([FIRST])
    reader.consumer.incremental_unassign([FIRST])
    reader.assign(9)
    assert reader.take() == []
    reader.consumer.resume([FIRST])
    assert reader.take() == [*read(9), end(10)]


def test_late_messages_come_after_a_pause_and_are_not_lost_by_it(world, reader):
    world.cluster.faults.late_messages = 1.0
    reader.assign(0)
    assert reader.take(2) == read(0, 1)
    reader.consumer.pause([FIRST])
    late = reader.take()
    assert late == read(2, 3, 4)[: len(late)]
    assert late
    reader.consumer.resume([FIRST])
    assert reader.take() == [*read(*range(2 + len(late), 10)), end(10)]
    assert world.cluster.counts["late_messages"] == 1


def test_seeks(reader):
    with pytest.raises(KafkaException, match="Unknown partition"):
        reader.consumer.seek(TopicPartition("orders", 0, 3))
    reader.assign(0)
    with pytest.raises(KafkaException, match="Erroneous state"):
        reader.consumer.seek(TopicPartition("orders", 0, 3))
    assert reader.take(1) == read(0)
    reader.consumer.seek(TopicPartition("orders", 0, 8))
    assert reader.take() == [*read(8, 9), end(10)]


@pytest.mark.parametrize("offset", [2, 11])
def test_an_offset_out_of_range_fails_the_partition_for_as_long_as_it_is_assigned(offset, world, reader):
    world.cluster.delete_records("orders", 0, 5)
    reader.assign(offset)
    assert reader.take() == [(offset, "_AUTO_OFFSET_RESET")]
    reader.consumer.pause([FIRST])
    reader.consumer.resume([FIRST])
    assert reader.take() == []
    with pytest.raises(KafkaException, match="Erroneous state"):
        reader.consumer.seek(TopicPartition("orders", 0, 5))
    reader.consumer.incremental_unassign([FIRST])
    reader.assign(5)
    assert reader.take() == [*read(5, 6, 7, 8, 9), end(10)]


def test_without_an_offset_the_committed_one_counts(world, reader):
    reader.consumer.incremental_assign([FIRST])
    assert reader.take() == [(None, "_AUTO_OFFSET_RESET")]
    reader.consumer.incremental_unassign([FIRST])
    world.call(lambda: reader.consumer.commit(offsets=[TopicPartition("orders", 0, 7)], asynchronous=False))
    reader.consumer.incremental_assign([FIRST])
    assert reader.take() == [*read(7, 8, 9), end(10)]


def test_logical_offsets_and_resets(world, reader):
    world.cluster.delete_records("orders", 0, 5)
    reader.assign(OFFSET_BEGINNING)
    assert reader.take() == [*read(5, 6, 7, 8, 9), end(10)]
    reader.consumer.assign([TopicPartition("orders", 0, OFFSET_END)])
    assert reader.take() == [end(10)]
    resetting = Reader(world, auto_offset_reset="earliest")
    resetting.assign(1)
    assert resetting.take() == [*read(5, 6, 7, 8, 9), end(10)]


def test_the_assignment_adds_up(reader):
    with pytest.raises(KafkaException, match="empty assignment"):
        reader.consumer.incremental_unassign([FIRST])
    reader.assign(0)
    with pytest.raises(KafkaException, match="already part"):
        reader.assign(0)
    reader.consumer.close()
    with pytest.raises(RuntimeError, match="Consumer closed"):
        reader.take()


def test_a_queue_that_is_full_is_not_fetched_for(world):
    world.cluster.produce("orders", 0, [(b"", b"x" * 1000)] * 100)
    reader = Reader(world, queued_max_messages_kbytes="10", fetch_message_max_bytes="5000")
    reader.assign(0)
    world.run(1.0)
    (reading,) = reader.consumer._fetcher.readings.values()
    assert 10 <= reading.fetch_position <= 20
    assert [offset for offset, _ in reader.take(100)] == list(range(100))


def test_a_topic_that_was_made_anew_has_neither_records_nor_offsets(world, reader):
    world.call(lambda: reader.consumer.commit(offsets=[TopicPartition("orders", 0, 7)], asynchronous=False))
    world.cluster.recreate_topic("orders")
    assert world.cluster.committed("group") == {}
    reader.assign(7)
    assert reader.take() == [(7, "_AUTO_OFFSET_RESET")]


def test_a_cut_delays_what_is_read(world, reader):
    reader.assign(0)
    reader.host.connected = False
    assert reader.take() == []
    reader.host.connected = True
    assert reader.take() == [*read(*range(10)), end(10)]


def test_nothing_is_answered_while_the_broker_is_down(world, protocol):
    app = App(world, protocol)
    world.run(5.0, lambda: len(app.has) == 4)
    world.cluster.broker_down(world.now + 30.0)
    world.cluster.produce("orders", 0, records(1))
    world.run(29.0)
    assert app.read == {}
    assert "_ALL_BROKERS_DOWN" in app.errors
    assert world.run(20.0, lambda: app.read == {0: [0]})
    # Under the classic protocol a client waits for its session at most, then thinks that it is out.
    assert (len(app.has), bool(app.happened("lost"))) == (4, protocol == "classic")


def test_what_an_admin_client_is_told(world, reader):
    world.cluster.produce("orders", 1, records(1), 2_000)
    world.call(lambda: reader.consumer.commit(offsets=[TopicPartition("orders", 0, 7, "m")], asynchronous=False))
    admin = SimAdmin({}, world.cluster, GreenHost(world))
    times = {OffsetSpec.for_timestamp(1_000): 0, OffsetSpec.for_timestamp(1_001): -1}
    for spec, offset in ({EARLIEST: 0, LATEST: 10} | times).items():
        answer = world.call(lambda spec=spec: admin.list_offsets({FIRST: spec}, request_timeout=5.0))
        assert answer[FIRST].result(0).offset == offset
    unknown = TopicPartition("unknown", 0)
    answer = world.call(lambda: admin.list_offsets({unknown: LATEST}))
    assert answer[unknown].exception(0).args[0].name() == "UNKNOWN_TOPIC_OR_PART"
    asked = ConsumerGroupTopicPartitions("group", None)
    (found,) = world.call(lambda: admin.list_consumer_group_offsets([asked]))["group"].result(0).topic_partitions
    assert (found.topic, found.partition, found.offset, found.metadata) == ("orders", 0, 7, "m")
    topics = world.call(lambda: admin.list_topics(timeout=5.0)).topics
    assert sorted(topics["orders"].partitions) == [0, 1, 2, 3]
    assert world.call(lambda: admin.list_topics("unknown", timeout=5.0)).topics["unknown"].error.name() == "UNKNOWN_TOPIC_OR_PART"


def test_an_admin_client_that_is_cut_off_waits_for_its_time(world):
    host = GreenHost(world)
    admin = SimAdmin({}, world.cluster, host)
    host.connected = False
    began = world.now
    answer = world.call(lambda: admin.list_offsets({FIRST: LATEST}, request_timeout=5.0))
    assert answer[FIRST].exception(0).args[0].name() == "_TIMED_OUT"
    assert world.now - began == pytest.approx(5.0, abs=0.1)


def test_a_producer_delivers_in_order_and_once(world):
    host = GreenHost(world)
    producer = SimProducer({}, world.cluster, host)
    delivered: list[tuple[object, int | None]] = []
    for key, value in records(5):
        producer.produce("orders", value, key, 2, on_delivery=lambda error, message: delivered.append((error, message.offset())))
    host.connected = False
    assert world.call(lambda: producer.flush(2.0)) == 5
    host.connected = True
    assert world.call(lambda: producer.flush(10.0)) == 0
    assert delivered == [(None, offset) for offset in range(5)]
    assert [(m.key(), m.value()) for m in world.cluster.logs["orders", 2].records()] == records(5)
