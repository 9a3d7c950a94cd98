"""`confluent_kafka.Producer` over a simulated cluster: records arrive in their order, each batch after a round trip."""

from collections import deque
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError

from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.errors import error
from tests.simulation.kafka.host import Host
from tests.simulation.kafka.log import Record
from tests.simulation.kafka.messages import Place, SimMessage
from tests.simulation.kafka.wire import Wire

OnDelivery = Callable[[KafkaError | None, SimMessage], None]
Waiting = tuple[Place, Record, int | None, OnDelivery | None]


class SimProducer:
    """Idempotent: a record that was sent again is stored once."""

    def __init__(self, properties: dict[str, Any], cluster: Cluster, host: Host) -> None:
        self._properties = properties
        self._cluster = cluster
        self._parking = host.parking()
        self._wire = Wire(cluster, host, self._on_error)
        self._waiting: deque[Waiting] = deque()
        self._sent: list[Waiting] = []
        self._callbacks: deque[Callable[[], None]] = deque()

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = 0,
        on_delivery: OnDelivery | None = None,
        timestamp: int = 0,
    ) -> None:
        """Returns at once; `on_delivery` is called inside poll or flush."""
        with self._cluster.lock:
            self._waiting.append(((topic, partition), (key, value), timestamp or None, on_delivery))
            if not self._sent:
                self._send_next()

    def poll(self, timeout: float = -1.0) -> int:
        """Serves callbacks, waiting for the first one."""
        deadline = self._cluster.timeline.now + (timeout if timeout >= 0 else float("inf"))
        with self._cluster.lock:
            self._cluster.advance()
            while not self._callbacks and self._cluster.timeline.now < deadline:
                self._parking.wait(deadline)
                self._cluster.advance()
        served = 0
        while self._callbacks:
            self._callbacks.popleft()()
            served += 1
        return served

    def flush(self, timeout: float = -1.0) -> int:
        """Waits for all deliveries. Returns how many are still to come."""
        deadline = self._cluster.timeline.now + (timeout if timeout >= 0 else float("inf"))
        while (len(self) or self._callbacks) and (left := deadline - self._cluster.timeline.now) > 0:
            self.poll(left)
        return len(self)

    def close(self) -> None:
        self._wire.closed = True

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    def _send_next(self) -> None:
        self._sent = list(self._waiting)
        self._waiting.clear()
        self._stored: list[SimMessage | KafkaError] | None = None
        self._send()

    def _send(self) -> None:
        self._wire.send(self._store, self._answered, self._lost)

    def _store(self, reply: Callable[[list[SimMessage | KafkaError]], None]) -> None:
        if self._stored is None:
            self._stored = [self._append(waiting) for waiting in self._sent]
        reply(self._stored)

    def _append(self, waiting: Waiting) -> SimMessage | KafkaError:
        place, record, timestamp_ms, _ = waiting
        if place not in self._cluster.logs:
            return error(KafkaError._UNKNOWN_PARTITION)
        offset = self._cluster.produce(*place, [record], timestamp_ms)
        return SimMessage(place, offset, timestamp_ms or 0, *record)

    def _answered(self, answers: list[SimMessage | KafkaError]) -> None:
        for (place, record, _, on_delivery), answer in zip(self._sent, answers, strict=True):
            if on_delivery is not None:
                self._callbacks.append(_report(on_delivery, place, record, answer))
        self._sent = []
        if self._waiting:
            self._send_next()
        self._parking.wake()

    def _lost(self) -> None:
        self._cluster.timeline.after(self._cluster.backoff_s(), self._send)

    def _on_error(self, problem: KafkaError) -> None:
        if callback := self._properties.get("error_cb"):
            self._callbacks.append(lambda: callback(problem))
            self._parking.wake()


def _report(on_delivery: OnDelivery, place: Place, record: Record, answer: SimMessage | KafkaError) -> Callable[[], None]:
    if isinstance(answer, KafkaError):
        return lambda: on_delivery(answer, SimMessage(place, -1, 0, *record))
    return lambda: on_delivery(None, answer)
