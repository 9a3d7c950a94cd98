"""A replica is killed while a backlog is carried; afterwards everything is read back, from Kafka and from the stream."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from loadtest.errors import LoadTestError
from loadtest.figures import Figures
from loadtest.flow import EXIT_TIMEOUT_S, Flow
from loadtest.jobs import KafkaAddress
from loadtest.keys import is_own_key, number_of
from loadtest.reading import stored_since
from loadtest.recovery import Backlog, recovery_figures, taken_over
from loadtest.scenario import Kill
from loadtest.servers import ADMIN_TIMEOUT_S, READERS_MAX

BATCH = 5000
SILENT_S = 30.0


@dataclass(frozen=True, slots=True)
class Killed:
    """One replica was killed: when, in seconds since the epoch."""

    number: int
    at_s: float
    before_s: float


def with_kill(flow: Flow, kill: Kill) -> Killed:
    """The last replica is killed; then the rest of the window."""
    number, began_s = len(flow.replicas) - 1, time.time()
    flow.observer.watch(kill.after_s, "all replicas")
    flow.observer.leave(number)
    killed_s = time.time()
    flow.replicas[number].process.signal(signal.SIGKILL)
    flow.replicas[number].wait_exit(EXIT_TIMEOUT_S)
    flow.observer.watch(flow.window.duration_s - kill.after_s, "one replica killed")
    return Killed(number, killed_s, killed_s - began_s)


def after_kill(flow: Flow, killed: Killed, began_s: float) -> Figures:
    """To be asked once the survivors have drained; what is in the stream from `began_s` on is this run's."""
    logs = [daemon.log_text() for number, daemon in enumerate(flow.replicas) if number != killed.number]
    flow.stage.say("topic and stream are read back")
    arrivals, out_of_order = _arrivals(flow, began_s)
    numbers = _committed_numbers(flow.stage.kafka.address, flow.settings["name"], flow.settings["routes"][0]["topic"])
    figures = recovery_figures(taken_over(logs, killed.at_s), Backlog(numbers, arrivals), killed.at_s, killed.before_s)
    return figures | {"out_of_order_records": out_of_order}


def _arrivals(flow: Flow, began_s: float) -> tuple[dict[int, list[float]], int]:
    """By number of a record its arrivals; and how many stood behind a later one of their key."""

    def of_shard(shard: str) -> tuple[list[tuple[int, float]], int]:
        found: list[tuple[int, float]] = []
        last: dict[str, int] = {}
        out_of_order = 0
        for key, value, arrived_s in stored_since(flow.stage.kinesis.client, flow.stream, shard, began_s):
            if is_own_key(key):
                number = number_of(value)
                found.append((number, arrived_s))
                out_of_order += number <= last.get(key, -1)
                last[key] = max(number, last.get(key, -1))
        return found, out_of_order

    arrivals: dict[int, list[float]] = {}
    with ThreadPoolExecutor(READERS_MAX) as readers:
        parts = list(readers.map(of_shard, flow.shards))
    for found, _ in parts:
        for number, arrived_s in found:
            arrivals.setdefault(number, []).append(arrived_s)
    return arrivals, sum(out_of_order for _, out_of_order in parts)


def _committed_numbers(kafka: KafkaAddress, group: str, topic: str) -> dict[int, list[int]]:
    """By partition the numbers of the records below the committed offset."""
    consumer = Consumer(kafka.client_properties({"group.id": group, "enable.auto.commit": False, "log_level": 2}))
    try:
        partitions = sorted(consumer.list_topics(topic, timeout=ADMIN_TIMEOUT_S).topics[topic].partitions)
        places = consumer.committed([TopicPartition(topic, partition) for partition in partitions], ADMIN_TIMEOUT_S)
        ends = {place.partition: max(0, place.offset) for place in places}
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        numbers: dict[int, list[int]] = {partition: [] for partition in partitions}
        left = {partition for partition in partitions if ends[partition]}
        for partition, offset, value in _messages(consumer, topic):
            if offset < ends[partition]:
                numbers[partition].append(number_of(value))
            if offset >= ends[partition] - 1:
                left.discard(partition)
            if not left:
                break
        return numbers
    finally:
        consumer.close()


def _messages(consumer: Consumer, topic: str) -> Iterator[tuple[int, int, bytes]]:
    """Partition, offset and value, without an end. Raises LoadTestError where none comes."""
    heard_s = time.monotonic()
    while True:
        for message in consumer.consume(BATCH, timeout=0.2):
            if (error := message.error()) is not None:
                raise LoadTestError(f"topic {topic} could not be read back: {error.str()}")
            heard_s = time.monotonic()
            partition, offset, value = message.partition(), message.offset(), message.value()
            assert partition is not None
            assert offset is not None
            yield partition, offset, bytes(value or b"")
        if time.monotonic() > heard_s + SILENT_S:
            raise LoadTestError(f"topic {topic} could not be read back: nothing came for {SILENT_S:g} s")
