"""A tiny host in virtual time: its threads are greenlets, and time goes on when all of them wait."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from greenlet import getcurrent, greenlet

from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.consumer import SimConsumer


class World:
    """One cluster, with its clock."""

    def __init__(self, seed: int = 1) -> None:
        self.now = 0.0
        self.cluster = Cluster(lambda: self.now, Random(seed))
        self.cluster.settings.initial_rebalance_delay_s = 0.0
        self._hub = getcurrent()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, when: float, act: Callable[[], None]) -> None:
        heappush(self._due, (when, next(self._numbers), act))

    def spawn(self, body: Callable[[], Any]) -> None:
        child = greenlet(body, self._hub)
        self.at(self.now, lambda: child.switch())

    def run(self, seconds: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Lets time go on, until `done`."""
        end = self.now + seconds
        while not done():
            cluster_due = self.cluster.next_due()
            own_due = self._due[0][0] if self._due else float("inf")
            if min(cluster_due, own_due) > end:
                self.now = end
                return done()
            if cluster_due <= own_due:
                self.now = max(self.now, cluster_due)
                self.cluster.advance(self.now)
            else:
                when, _, act = heappop(self._due)
                self.now = max(self.now, when)
                act()
        return True

    def call(self, body: Callable[[], Any]) -> Any:
        """Runs something that blocks in a thread of its own, and returns what it returns."""
        results: list[Any] = []

        def run() -> None:
            try:
                results.append(body())
            except KafkaException as error:
                results.append(error)

        self.spawn(run)
        assert self.run(200.0, lambda: bool(results))
        if isinstance(results[0], KafkaException):
            raise results[0]
        return results[0]


class GreenParking:
    """See `Parking`."""

    def __init__(self, host: "GreenHost") -> None:
        self._host = host
        self._waiting: greenlet | None = None
        self._woken = False
        self._wait = 0

    def wait(self, until: float) -> None:
        if self._woken:
            self._woken = False
            return
        self._waiting = getcurrent()
        self._wait += 1
        number = self._wait
        if until < 1e8:
            self._host.world.at(until, lambda: self._resume(number))
        self._host.world._hub.switch()
        self._woken = False

    def wake(self) -> None:
        self._woken = True
        if self._waiting is not None:
            number = self._wait
            self._host.world.at(self._host.world.now, lambda: self._resume(number))

    def _resume(self, number: int) -> None:
        if self._waiting is None or number != self._wait:
            return  # of an earlier wait
        if not self._host.beating(self._host.world.now):
            self._host.world.at(self._host.world.now + 0.1, lambda: self._resume(number))
            return
        waiting, self._waiting = self._waiting, None
        waiting.switch()


class GreenHost:
    """See `Host`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.connected = True
        self.frozen = False

    def beating(self, _now: float) -> bool:
        return not self.frozen

    def parking(self) -> GreenParking:
        return GreenParking(self)


def member_properties(protocol: str, **more: Any) -> dict[str, Any]:
    """As the bridge's, with dots for underscores in `more`."""
    return {
        "group.id": "group",
        "group.protocol": protocol,
        "auto.offset.reset": "error",
        "session.timeout.ms": 10_000,
        "topic.metadata.refresh.interval.ms": 10_000,
        **{key.replace("_", "."): value for key, value in more.items()},
    }


class App:
    """An application with one consumer: reads, and keeps what happened. Offsets without a commit begin at 0."""

    def __init__(self, world: World, protocol: str = "classic", topics: tuple[str, ...] = ("orders",), **properties: Any) -> None:
        self.world = world
        self.host = GreenHost(world)
        self.log: list[tuple[float, str, list[int]]] = []
        self.read: dict[int, list[int]] = {}
        self.ends: dict[int, list[int]] = {}
        self.errors: list[str] = []
        self.answers: list[tuple[Any, list[TopicPartition]]] = []
        self.drain: Callable[[], None] = lambda: None
        self.commands: list[Callable[[], object]] = []
        self.stopped = False
        complete = member_properties(protocol, **properties)
        complete["on_commit"] = lambda error, offsets: self.answers.append((error, offsets))
        complete["error_cb"] = lambda error: self.errors.append(error.name())
        self.consumer = SimConsumer(complete, world.cluster, self.host)
        self.consumer.subscribe(topics, on_assign=self.on_assign, on_revoke=self.on_revoke, on_lost=self.on_lost)
        world.spawn(self.body)

    @property
    def has(self) -> set[int]:
        return {place[1] for place in self.consumer._fetcher.readings}

    def happened(self, kind: str) -> list[list[int]]:
        return [numbers for _, name, numbers in self.log if name == kind]

    def body(self) -> None:
        while not self.stopped:
            while self.commands:
                self.commands.pop(0)()
            message = self.consumer.poll(0.1)
            for each in [message, *self.consumer.consume(100, 0.005)] if message else []:
                self.keep(each)
        self.consumer.close()

    def keep(self, message: Any) -> None:
        error = message.error()
        if error is None:
            self.read.setdefault(message.partition(), []).append(message.offset())
        elif error.name() == "_PARTITION_EOF":
            self.ends.setdefault(message.partition(), []).append(message.offset())
        else:
            self.errors.append(error.name())

    def on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.log.append((self.world.now, "assign", sorted(p.partition for p in partitions)))
        found = consumer.committed(partitions, 100.0)
        consumer.incremental_assign([TopicPartition(p.topic, p.partition, max(p.offset, 0)) for p in found])

    def on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.log.append((self.world.now, "revoke", sorted(p.partition for p in partitions)))
        self.drain()
        consumer.incremental_unassign(partitions)

    def on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.log.append((self.world.now, "lost", sorted(p.partition for p in partitions)))
        consumer.incremental_unassign(partitions)

    def sleep(self, seconds: float) -> None:
        parking, until = self.host.parking(), self.world.now + seconds
        while self.world.now < until:
            parking.wait(until)

    def commit(self, partition: int, offset: int, metadata: str = "") -> None:
        offsets = [TopicPartition("orders", partition, offset, metadata)]
        self.commands.append(lambda: self.consumer.commit(offsets=offsets, asynchronous=True))


def records(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"key-%d" % number, b"value-%d" % number) for number in range(count)]
