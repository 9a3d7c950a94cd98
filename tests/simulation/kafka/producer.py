"""`confluent_kafka.Producer` over a simulated cluster: records arrive in their order, each batch after a round trip."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError

from bridge.core.records import Headers
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.errors import Refused, error, exception
from tests.simulation.kafka.host import Host
from tests.simulation.kafka.log import Record
from tests.simulation.kafka.messages import Place, SimMessage
from tests.simulation.kafka.wire import Wire

OnDelivery = Callable[[KafkaError | None, SimMessage], None]


@dataclass(slots=True, eq=False)
class Waiting:
    """A record that was produced. `reported`: its delivery report was given, or is about to be."""

    place: Place
    record: Record
    timestamp_ms: int | None
    on_delivery: OnDelivery | None
    reported: bool = False


class SimProducer:
    """Idempotent: a record that was sent again is stored once. One that is not confirmed in time is given up.

    With a `transactional.id` records go within transactions only, see `Transactions`.
    """

    def __init__(self, properties: dict[str, Any], cluster: Cluster, host: Host) -> None:
        self._properties = properties
        self._cluster = cluster
        self._parking = host.parking()
        self._wire = Wire(cluster, host, self._on_error)
        self._waiting: deque[Waiting] = deque()
        self._sent: list[Waiting] = []
        self._callbacks: deque[Callable[[], None]] = deque()
        self._given_up = False
        self._delivery_s = float(properties.get("delivery.timeout.ms", 300_000)) / 1000
        self._transactional_id: str | None = properties.get("transactional.id")
        self._transaction_s = float(properties.get("transaction.timeout.ms", 60_000)) / 1000
        self._epoch = 0
        self._in_transaction = False
        self._undelivered: KafkaError | None = None

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = 0,
        on_delivery: OnDelivery | None = None,
        timestamp: int = 0,
        headers: Headers | None = None,
    ) -> None:
        """Returns at once; `on_delivery` is called inside poll or flush. Raises BufferError while the queue is full."""
        with self._cluster.lock:
            if len(self) >= int(self._properties.get("queue.buffering.max.messages", 100_000)):
                raise BufferError("Local: Queue full")
            waiting = Waiting((topic, partition), (key, value, headers), timestamp or None, on_delivery)
            self._waiting.append(waiting)
            self._cluster.timeline.after(self._delivery_s, lambda: self._wire.hear(lambda: self._expire(waiting)))
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

    # -- transactions

    def init_transactions(self, timeout: float = -1.0) -> None:
        """Raises KafkaException."""
        transactions, name = self._cluster.transactions, self._transactional_id
        if name is None:
            raise exception(KafkaError._NOT_CONFIGURED)
        self._epoch = self._ask(lambda: transactions.initialise(name), timeout)

    def begin_transaction(self) -> None:
        """Raises KafkaException where one is open, or where this is no transactional producer."""
        if not self._epoch or self._in_transaction:
            raise exception(KafkaError._STATE)
        if self._given_up:
            raise NotImplementedError("another transaction after one that was aborted")
        self._in_transaction, self._undelivered = True, None

    def commit_transaction(self, timeout: float = -1.0) -> None:
        """Raises KafkaException; then the transaction is still open, unless the producer was fenced off."""
        deadline = self._cluster.timeline.now + timeout
        if self.flush(timeout):
            raise exception(KafkaError._TIMED_OUT)
        if self._undelivered is not None:
            raise exception(self._undelivered.code(), self._undelivered.str())
        self._end(True, deadline - self._cluster.timeline.now)

    def abort_transaction(self, timeout: float = -1.0) -> None:
        """Raises KafkaException."""
        self.purge()
        self._end(False, timeout)

    def _end(self, commit: bool, timeout_s: float) -> None:
        transactions, name = self._cluster.transactions, self._transactional_id or ""
        if not self._in_transaction:
            raise exception(KafkaError._STATE)
        self._ask(lambda: transactions.end(name, self._epoch, commit), timeout_s)
        self._in_transaction = False

    def _ask(self, request: Callable[[], Any], timeout_s: float) -> Any:
        with self._cluster.lock:
            return self._wire.ask(request, timeout_s)

    # -- the rest

    def purge(self) -> None:
        """Of what is not delivered only errors come. What is under way may still arrive."""
        with self._cluster.lock:
            for waiting in (*self._sent, *self._waiting):
                self._report(waiting, error(KafkaError._PURGE_QUEUE))
            self._sent, self._given_up = [], True
            self._waiting.clear()
            self._parking.wake()

    def close(self) -> bool:
        self._wire.closed = True
        return True

    def complaint(self) -> str | None:
        """As `WatchedProducer`."""
        return None

    def outdated(self) -> bool:
        """As `WatchedProducer`: there are no files."""
        return False

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
        faults = self._cluster.faults
        if self._stored is None and faults.happens("refuse_produces"):
            reply([error(faults.produce_refusal)] * len(self._sent))
            return
        unanswered = faults.happens("unanswered_produces")
        if self._stored is None and not (unanswered and faults.chance.random() < 0.5):
            self._stored = [self._append(waiting) for waiting in self._sent]
        if unanswered or self._stored is None:
            self._wire.break_off()
        else:
            reply(self._stored)

    def _append(self, waiting: Waiting) -> SimMessage | KafkaError:
        if waiting.place not in self._cluster.logs:
            return error(KafkaError._UNKNOWN_PARTITION)
        name, transactions = self._transactional_id, self._cluster.transactions
        if name is not None:
            try:
                transactions.check(name, self._epoch)
            except Refused as refused:
                return error(refused.code)
            end = self._cluster.logs[waiting.place].end
            transactions.append(name, self._epoch, waiting.place, end, self._transaction_s)
        offset = self._cluster.produce(*waiting.place, [waiting.record], waiting.timestamp_ms)
        return SimMessage(waiting.place, offset, waiting.timestamp_ms or 0, *waiting.record)

    def _answered(self, answers: list[SimMessage | KafkaError]) -> None:
        if self._given_up:
            return
        for waiting, answer in zip(self._sent, answers, strict=True):
            self._report(waiting, answer)
        self._sent = []
        if self._waiting:
            self._send_next()
        self._parking.wake()

    def _expire(self, waiting: Waiting) -> None:
        """One that is on its way may still be stored."""
        if waiting.reported:
            return
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        self._report(waiting, error(KafkaError._MSG_TIMED_OUT))
        self._parking.wake()

    def _report(self, waiting: Waiting, answer: SimMessage | KafkaError) -> None:
        on_delivery = waiting.on_delivery
        failed = answer if isinstance(answer, KafkaError) else None
        if waiting.reported:
            return
        waiting.reported = True
        self._undelivered = self._undelivered or failed
        message = answer if isinstance(answer, SimMessage) else SimMessage(waiting.place, -1, 0, *waiting.record)
        self._callbacks.append(lambda: on_delivery(failed, message) if on_delivery else None)

    def _lost(self) -> None:
        if self._given_up:
            return
        self._cluster.timeline.after(self._cluster.backoff_s(), self._send_again)

    def _send_again(self) -> None:
        if self._stored is None:
            self._sent = [waiting for waiting in self._sent if not waiting.reported]
        if self._sent:
            self._send()
        elif self._waiting:
            self._send_next()

    def _on_error(self, problem: KafkaError) -> None:
        if callback := self._properties.get("error_cb"):
            self._callbacks.append(lambda: callback(problem))
            self._parking.wake()
