"""A scripted stand-in for `confluent_kafka.Consumer` under `KafkaSource`; each poll plays the next scene."""

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition


class FakeMessage:
    def __init__(self, place: tuple[str, int], offset: int, error: KafkaError | None = None, value: bytes | None = None) -> None:
        self._place, self._offset, self._error = place, offset, error
        self._value = b"value-%d" % offset if value is None else value

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._offset

    def error(self) -> KafkaError | None:
        return self._error

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000 + self._offset

    def key(self) -> bytes:
        return b"key-%d" % self._offset

    def value(self) -> bytes:
        return self._value

    def headers(self) -> None:
        return None


Scene = Callable[[], FakeMessage | None]


class FakeConsumer:
    """One topic of two partitions. `seekable` is False where the client refuses to seek; `refuse` partitions' commits."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self.properties = properties
        self.scenes: deque[Scene] = deque()
        self.more: list[FakeMessage] = []
        self.stored: dict[tuple[str, int], TopicPartition] = {}
        self.seeks: list[tuple[int, int]] = []
        self.assignment: dict[int, int] = {}
        self.paused: list[int] = []
        self.refuse: dict[int, KafkaError] = {}
        self.seekable = True
        self.closed = False

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self.callbacks = SimpleNamespace(**callbacks)

    def poll(self, timeout: float) -> FakeMessage | None:
        return self.scenes.popleft()() if self.scenes else None

    def consume(self, count: int, timeout: float) -> list[FakeMessage]:
        more, self.more = self.more, []
        return more

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: None, 1: None})})

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [self.stored.get((p.topic, p.partition), TopicPartition(p.topic, p.partition, -1001)) for p in partitions]

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        for offset in offsets:
            if offset.partition not in self.refuse:
                self.stored[offset.topic, offset.partition] = offset
        results = [self._result(offset) for offset in offsets]
        # As librdkafka does: the error of one partition is also the error of the whole.
        overall = next((result.error for result in results if result.error is not None), None)
        if asynchronous:
            self.scenes.appendleft(lambda: self.properties["on_commit"](overall, results))
        elif overall is not None:
            raise KafkaException(overall)

    def _result(self, offset: TopicPartition) -> Any:
        error = self.refuse.get(offset.partition)
        said = {name: getattr(offset, name) for name in ("topic", "partition", "offset", "metadata")}
        return SimpleNamespace(**said, error=error)

    def seek(self, place: TopicPartition) -> None:
        if not self.seekable:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.seeks.append((place.partition, place.offset))

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.assignment |= {p.partition: p.offset for p in partitions}

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for p in partitions:
            self.assignment.pop(p.partition, None)

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused = [p.partition for p in partitions]

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused = [number for number in self.paused if number not in [p.partition for p in partitions]]

    def close(self) -> None:
        self.closed = True
