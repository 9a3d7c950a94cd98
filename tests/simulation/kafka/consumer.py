"""`confluent_kafka.Consumer` over a simulated cluster. Callbacks are called inside poll, consume and close, as by the library."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from tests.simulation.kafka.classic_member import ClassicMembership
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.commits import Commits, answered_offset
from tests.simulation.kafka.consumer_member import ConsumerMembership
from tests.simulation.kafka.fetcher import Fetcher
from tests.simulation.kafka.fetches import FetchLimits, Reading
from tests.simulation.kafka.host import Host
from tests.simulation.kafka.member_settings import member_settings
from tests.simulation.kafka.membership import Kind, Membership
from tests.simulation.kafka.messages import Place, SimMessage
from tests.simulation.kafka.metadata import cluster_metadata
from tests.simulation.kafka.wire import Wire

CLOSE_S = 5.0
"""How long `close` waits for answers."""
FOREVER_S = 1e9


class SimConsumer:
    """One thread at a time uses it, as it is with the bridge's."""

    def __init__(self, properties: dict[str, Any], cluster: Cluster, host: Host) -> None:
        self.group = str(properties["group.id"])
        self._properties = properties
        self._cluster = cluster
        self._parking = host.parking()
        self._wire = Wire(cluster, host, self._on_error)
        self._fetch_wire = Wire(cluster, host)
        self._fetcher = Fetcher(cluster, self._fetch_wire, FetchLimits.of(properties), self._parking.wake, self._look_up)
        wait_s = float(properties.get("session.timeout.ms", 45_000)) / 1000
        self._commits = Commits(cluster, self._wire, self.group, wait_s, self._parking)
        self._membership: Membership | None = None
        self._callbacks: deque[Callable[[], None]] = deque()
        self._reports: deque[SimMessage] = deque()
        self._handlers: dict[str, Any] = {}
        self._assignment_changed = False  # by the application, within the current rebalance callback
        self._polling = False
        self._polled_at = cluster.timeline.now
        self._closed = False
        with cluster.lock:
            cluster.consumers.append(self)

    # -- reading

    def poll(self, timeout: float = -1.0) -> SimMessage | None:
        """The next message, within so many seconds (negative: however long it takes)."""
        messages = self._collect(1, timeout)
        return messages[0] if messages else None

    def consume(self, num_messages: int = 1, timeout: float = -1.0) -> list[SimMessage]:
        """Up to so many messages: returns when it has them all, or when the time is over."""
        return self._collect(num_messages, timeout)

    def _collect(self, count: int, timeout: float) -> list[SimMessage]:
        self._check_open()
        deadline = self._cluster.timeline.now + (timeout if timeout >= 0 else FOREVER_S)
        runs: list[tuple[Reading | None, int, list[SimMessage]]] = []
        found = 0
        self._polling = True
        try:
            while found < count:
                with self._cluster.lock:
                    item = self._next(deadline, count - found)
                if item is None:
                    break
                if callable(item):
                    item()
                    continue
                runs.append(item)
                found += len(item[2])
                if self._cluster.faults.happens("short_batches"):
                    break
        finally:
            self._polling, self._polled_at = False, self._cluster.timeline.now
        return self._still_ours(runs)

    def _next(self, deadline: float, count: int) -> Any:
        while True:
            self._cluster.advance()
            if self._callbacks:
                return self._callbacks.popleft()
            if self._reports:
                return None, 0, [self._reports.popleft()]
            if run := self._fetcher.take(count):
                return run
            if self._cluster.timeline.now >= deadline:
                return None
            self._parking.wait(deadline)

    def _still_ours(self, runs: list[tuple[Reading | None, int, list[SimMessage]]]) -> list[SimMessage]:
        """Without what a callback of the same call made outdated."""
        messages: list[SimMessage] = []
        for reading, version, run in runs:
            if reading is None or reading.version == version or self._cluster.faults.happens("stale_messages"):
                messages += run
        return messages

    # -- the group

    def subscribe(
        self,
        topics: Sequence[str],
        on_assign: Any = None,
        on_revoke: Any = None,
        on_lost: Any = None,
    ) -> None:
        """Names, and patterns that begin with '^'."""
        self._handlers = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost or on_revoke}
        kind = ConsumerMembership if self._properties.get("group.protocol") == "consumer" else ClassicMembership
        with self._cluster.lock:
            if self._membership is not None:
                raise NotImplementedError("a second subscription")
            settings = member_settings(self._properties, topics, self._cluster.settings)
            self._membership = kind(self._cluster, self._wire, settings, self._call_back, self._trouble)
            self._membership.polled = lambda: self._cluster.timeline.now if self._polling else self._polled_at
            self._membership.start()

    def memberid(self) -> str:
        return self._membership.member_id if self._membership else ""

    def lose(self, places: set[Place] | None) -> None:
        """A fault, see `Cluster.lose`."""
        if self._membership is not None:
            self._membership.lose(places)

    def _call_back(self, kind: Kind, places: list[Place], done: Callable[[], None]) -> None:
        self._callbacks.append(lambda: self._rebalance(kind, places, done))
        self._parking.wake()

    def _rebalance(self, asked: Kind, places: list[Place], done: Callable[[], None]) -> None:
        """Calls the application, and does what it should have done where it has not."""
        membership: Any = self._membership
        if membership.ended:
            return
        kind: Kind = membership.kind_now(asked)
        partitions = [TopicPartition(*place) for place in places]
        self._assignment_changed = False
        try:
            if (handler := self._handlers[kind]) is not None:
                handler(self, partitions)
        finally:
            if not self._assignment_changed:
                (self.incremental_assign if kind == "assign" else self.incremental_unassign)(partitions)
            with self._cluster.lock:
                done()

    def _trouble(self, trouble: KafkaError) -> None:
        self._reports.append(SimMessage.report(trouble))
        self._parking.wake()

    # -- the assignment

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """In place of what is assigned now."""
        with self._cluster.lock:
            self._fetcher.remove(list(self._fetcher.readings))
        self.incremental_assign(partitions)

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Raises KafkaException where one is assigned already."""
        self._check_open()
        with self._cluster.lock:
            self._assignment_changed = True
            self._fetcher.add([((p.topic, p.partition), p.offset) for p in partitions])

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Raises KafkaException where one is not assigned."""
        self._check_open()
        with self._cluster.lock:
            self._assignment_changed = True
            self._fetcher.remove(_places(partitions))

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._check_open()
        with self._cluster.lock:
            self._fetcher.pause(_places(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._check_open()
        with self._cluster.lock:
            self._fetcher.resume(_places(partitions))

    def seek(self, partition: TopicPartition) -> None:
        """Raises KafkaException where the partition is not read, or not yet."""
        self._check_open()
        with self._cluster.lock:
            self._fetcher.seek((partition.topic, partition.partition), partition.offset)

    # -- offsets

    def committed(self, partitions: Sequence[TopicPartition], timeout: float = -1.0) -> list[TopicPartition]:
        """Raises KafkaException."""
        self._check_open()
        places = _places(partitions)
        with self._cluster.lock:
            offsets = self._wire.ask(lambda: dict(self._cluster.group(self.group).offsets), timeout)
        return [answered_offset(place, *(offsets.get(place, (OFFSET_INVALID, None)))) for place in places]

    def commit(self, offsets: Sequence[TopicPartition] | None = None, asynchronous: bool = True) -> list[TopicPartition] | None:
        """Offsets have to be given. Raises KafkaException where it waits for an answer, and that is an error."""
        self._check_open()
        if offsets is None:
            raise NotImplementedError("commits of what was consumed")
        with self._cluster.lock:
            if not asynchronous:
                return self._commits.carry_out(self._member(), offsets)
            self._commits.begin(self._member(), offsets, self._on_commit)
        return None

    def _member(self) -> tuple[str, int]:
        return (self._membership.member_id, self._membership.generation) if self._membership else ("", -1)

    def _on_commit(self, problem: KafkaError | None, results: list[TopicPartition]) -> None:
        if callback := self._properties.get("on_commit"):
            self._callbacks.append(lambda: callback(problem, results))

    def _look_up(self, places: list[Place]) -> None:
        """For partitions that are assigned without an offset."""
        group = self._cluster.group(self.group)
        self._wire.send(
            lambda reply: reply({place: group.offsets[place].offset if place in group.offsets else -1 for place in places}),
            self._fetcher.found,
            lambda: self._cluster.timeline.after(self._cluster.backoff_s(), lambda: self._look_up(places)),
        )

    # -- the rest

    def list_topics(self, topic: str | None = None, timeout: float = -1.0) -> Any:
        """Raises KafkaException."""
        with self._cluster.lock:
            return self._wire.ask(lambda: cluster_metadata(self._cluster, topic), timeout)

    def set_sasl_credentials(self, _username: str, _password: str) -> None:
        """There are none to check."""

    def close(self) -> None:
        """Gives up what it has, waits for open commits, and leaves its group."""
        if self._closed:
            return
        if self._membership is not None:
            with self._cluster.lock:
                kind, places = self._membership.leaving()
            self._give_up(kind, places)
            with self._cluster.lock:
                self._commits.finish(CLOSE_S)
            while self._callbacks:
                self._callbacks.popleft()()
            self._leave(self._membership)
        with self._cluster.lock:
            self._closed = self._wire.closed = self._fetch_wire.closed = self._fetcher.closed = True
            self._cluster.consumers.remove(self)

    def _give_up(self, kind: Kind, places: list[Place]) -> None:
        held = [TopicPartition(*place) for place in places if place in self._fetcher.readings]
        if not held:
            return
        self._assignment_changed = False
        if (handler := self._handlers[kind]) is not None:
            handler(self, held)
        if not self._assignment_changed:
            self.incremental_unassign(held)

    def _leave(self, membership: Membership) -> None:
        try:
            with self._cluster.lock:
                self._wire.ask(membership.farewell(), CLOSE_S)
        except KafkaException:
            self._cluster.counts["left_without_a_word"] += 1

    def _on_error(self, trouble: KafkaError) -> None:
        if callback := self._properties.get("error_cb"):
            self._callbacks.append(lambda: callback(trouble))
            self._parking.wake()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("Consumer closed")


def _places(partitions: Iterable[TopicPartition]) -> list[Place]:
    return [(p.topic, p.partition) for p in partitions]
