"""The Kafka consumer, in a thread of its own. The thread's body is `step`, which a test can call itself.

Rebalances are incremental in both group protocols. Positions are explicit: a partition begins at its committed offset,
or, without one, at its route's start, which is committed before the first record is read. There is no automatic offset
reset: where Kafka no longer has an offset, the partition fails by name.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge.adapters.kafka.columns import events_of, is_record_or_end
from bridge.adapters.kafka.commit_under_way import CommitUnderWay, offsets_of
from bridge.adapters.kafka.handover import BATCH_BYTES, Handover
from bridge.adapters.kafka.topic_ids import TopicIds, ids_beside, slices_beside, unreadable_beside
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, encode
from bridge.core.delivery.lanes import ROW_BYTES
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition, SourceBatch
from bridge.ports import Assigned, AssignedPartition, CommittedLate, Lost, Revoking, SourceEvent, SourceTrouble

POLL_S = 0.1
GATHER_S = 0.005
"""After the first record: how long to wait for more, so that a batch is worth its cost."""
BATCH_RECORDS_MAX = 4000
"""Of one hand-over. A pause comes after it: what is larger is longer to drain where the shards are slow."""
FATAL = KafkaError(KafkaError._FATAL).name()
LOOK_UP_S = 30.0
"""Deadline for the questions that an assignment asks (committed offsets, start offsets, metadata)."""

StartOffsets = Callable[[Collection[Partition], Collection[Partition]], Mapping[Partition, int]]
"""Where partitions without a committed offset begin: the first ones by their route's start, the second ones (which the topic
got later) at their beginning, or what was written before their assignment would be skipped. Blocking; raises KafkaException."""


class KafkaSource:
    """`Source` over `confluent_kafka.Consumer`."""

    def __init__(
        self,
        consumer: Callable[[dict[str, Any]], Consumer],
        properties: Mapping[str, Any],
        topics: Sequence[str],
        start_offsets: StartOffsets,
        handover: Handover,
        drain_timeout_s: float,
        topic_ids: TopicIds,
    ) -> None:
        """`consumer` makes the client from its properties; `topics` are names and '^' patterns to subscribe to."""
        self._start_offsets = start_offsets
        self._topic_ids = topic_ids
        self._handover = handover
        self._drain_timeout_s = drain_timeout_s
        self._commands: deque[Callable[[], None]] = deque()
        self._assigned: dict[tuple[str, int], int] = {}  # to the offset at which the assignment began
        self._touched: set[tuple[str, int]] = set()  # assigned or taken away during the current call into the client
        self._rewind: set[tuple[str, int]] = set()
        self._record_bytes = 1024.0
        self._fatal: str | None = None  # what the client said before it stopped for good
        self._commits: list[CommitUnderWay] = []  # without an answer, in the order in which they were sent
        self._loop = handover.loop  # that of the events; the client may be made in a thread of its own
        self._closing = threading.Event()
        self._thread = handover.threads.thread(self._run, "kafka-consumer")
        self._consumer = consumer({**properties, "on_commit": self._on_commit, "error_cb": self._on_error})
        self._consumer.subscribe(list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    # -- the event loop's side

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    async def events(self) -> Sequence[SourceEvent]:
        """See `Source`."""
        return await self._handover.take()

    def pause(self, partitions: Collection[Partition]) -> None:
        """See `Source`."""
        self._commands.append(lambda: self._consumer.pause(self._still_assigned(partitions)))

    def resume(self, partitions: Collection[Partition]) -> None:
        """See `Source`."""
        self._commands.append(lambda: self._consumer.resume(self._still_assigned(partitions)))

    def again(self, assigned: AssignedPartition) -> None:
        """See `Source`."""
        self._commands.append(lambda: self._again(assigned))

    async def commit(self, points: Mapping[Partition, CommitPoint], timeout_s: float = 10.0) -> Mapping[Partition, str]:
        """See `Source`. One commit is under way at a time."""
        commit = CommitUnderWay(self._loop, points.keys(), lambda late: self._handover.put([CommittedLate(list(late))]))
        self._commands.append(lambda: self._commit(points, commit))
        try:
            async with asyncio.timeout(timeout_s):
                return await commit.answer
        except TimeoutError as error:
            raise UnavailableError(f"no answer to an offset commit within {timeout_s:g} s") from error

    async def close(self, timeout_s: float = 15.0) -> None:
        """See `Source`. Raises UnavailableError when the client does not end in time."""
        self._closing.set()
        if not self._thread.is_alive():
            return
        await asyncio.to_thread(self._thread.join, timeout_s)
        if self._thread.is_alive():
            raise UnavailableError(f"the Kafka consumer did not leave its group within {timeout_s:g} s")

    # -- the thread's side

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self.step()
        except KafkaException as error:
            self._tell(error, "the consumer ended: ")
        finally:
            self._closing.set()  # nothing is drained any more
            self._consumer.close()
            self._handover.end()

    def step(self) -> None:
        """One turn: carries out what the event loop asked for, then hands over what Kafka has."""
        if self._fatal is not None:
            raise KafkaException(KafkaError(KafkaError._FATAL, self._fatal))
        self._run_commands()
        if not self._handover.wait_room(POLL_S):
            return
        self._touched.clear()
        first = self._consumer.poll(POLL_S)
        if first is None:
            return
        size = max(self._record_bytes, len(first.value() or b"")) + ROW_BYTES  # large ones may come first of all
        count = int(max(1, min(BATCH_RECORDS_MAX, BATCH_BYTES / size)))
        events = events_of(self._ours([first, *self._consumer.consume(count, GATHER_S)]))
        self._say(events, self._learn_size(events))

    def _say(self, events: Sequence[SourceEvent], size: int = 0) -> None:
        """Hands over; a fatal error, such as of our instance id while its last member's session goes on, ends the client."""
        self._fatal = next((e.message for e in events if isinstance(e, SourceTrouble) and e.code == FATAL), self._fatal)
        self._handover.put(events, size)

    def _tell(self, error: KafkaException, what: str = "") -> None:
        self._handover.put([SourceTrouble(error.args[0].name(), what + error.args[0].str())])

    def _learn_size(self, events: Iterable[SourceEvent]) -> int:
        """Returns the bytes of all records."""
        batches = [event for event in events if isinstance(event, SourceBatch) and event.values]
        sizes = [batch.value_bytes for batch in batches]
        for size, batch in zip(sizes, batches, strict=True):
            mean = size / len(batch)
            self._record_bytes = max(64.0, 0.9 * self._record_bytes + 0.1 * mean, mean / 4)
        return sum(sizes)

    def _run_commands(self) -> None:
        while self._commands:
            command = self._commands.popleft()
            try:
                command()
            except KafkaException as error:  # the assignment changed meanwhile; its events say how
                self._tell(error)
        self._seek_back()

    def _again(self, assigned: AssignedPartition) -> None:
        """What was handed over stands before the event; what is fetched by now is dropped until the client has gone back."""
        if (place := (assigned.partition.topic, assigned.partition.number)) in self._assigned:
            self._assigned[place] = assigned.offset
            self._rewind.add(place)
            self._handover.put([Assigned([assigned])])

    def _ours(self, messages: list[Message]) -> list[Message]:
        """Records of a partition that changed hands during the call may be of the assignment before: read them again.

        What Kafka reports instead of a record is never left out: it may not say it twice.
        """
        changed = self._touched | self._rewind
        if not changed:
            return messages
        certain = []
        for message in messages:
            if (place := (message.topic(), message.partition())) not in changed or not is_record_or_end(message):
                certain.append(message)
            elif place in self._assigned:
                self._rewind.add(place)
        return certain

    def _seek_back(self) -> None:
        for place in list(self._rewind):
            if place in self._assigned:
                try:
                    self._consumer.seek(TopicPartition(*place, self._assigned[place]))
                except KafkaException:
                    continue  # not fetching yet: tried again in the next step, its messages are dropped until then
            self._rewind.discard(place)

    # -- rebalance callbacks, called inside poll, consume and close

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._closing.is_set():  # a client that closes answers no questions any more; nothing of these is handed over
            self._touched.update((p.topic, p.partition) for p in partitions)
            consumer.incremental_assign([TopicPartition(p.topic, p.partition, OFFSET_END) for p in partitions])
            return
        try:
            assigned = self._positions(consumer, partitions)
        except KafkaException as error:
            # Without positions nothing may be read. The members that know them will be asked again after a rejoin.
            self._tell(error, "no positions for an assignment: ")
            raise
        for entry in assigned:
            place = (entry.partition.topic, entry.partition.number)
            self._assigned[place] = entry.offset
            self._touched.add(place)
        self._handover.put([Assigned(assigned)])
        consumer.incremental_assign([TopicPartition(e.partition.topic, e.partition.number, e.offset) for e in assigned])

    def _positions(self, consumer: Consumer, partitions: list[TopicPartition]) -> list[AssignedPartition]:
        committed = self._committed_of_topics(consumer, {p.topic for p in partitions})
        ours = [Partition(p.topic, p.partition) for p in partitions]
        topics = {p.topic for p in partitions}
        slices = {topic: slices_beside(topic, committed) for topic in topics}
        ids, unreadable = self._topic_ids.of(ids_beside(committed)), unreadable_beside(committed)
        fresh = [partition for partition in ours if committed[partition].offset < 0]
        grown = [partition for partition in fresh if partition.number >= slices[partition.topic]]
        start = dict(self._start_offsets([p for p in fresh if p not in grown], grown)) if fresh else {}
        begun = {topic: encode(CommitMetadata(slices[topic], topic_id=ids[topic].begun)) for topic in topics}
        points = {p: CommitPoint(offset, unreadable.get(p.topic, begun[p.topic])) for p, offset in start.items()}
        self._commit_now(consumer, {p: point for p, point in points.items() if p.topic not in unreadable})
        points |= {p: CommitPoint(committed[p].offset, committed[p].metadata or "") for p in ours if p not in points}
        return [AssignedPartition(p, *points[p], slices[p.topic], ids[p.topic].now) for p in ours]

    def _committed_of_topics(self, consumer: Consumer, topics: set[str]) -> dict[Partition, TopicPartition]:
        """Committed offsets of all partitions of these topics, ours or not: they tell N of `partition_key: partition`."""
        every = []
        for topic in topics:
            metadata = consumer.list_topics(topic, LOOK_UP_S).topics[topic]
            every += [TopicPartition(topic, number) for number in metadata.partitions]
        answers = consumer.committed(every, LOOK_UP_S)
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
        return {Partition(answer.topic, answer.partition): answer for answer in answers}

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not self._closing.is_set():
            drain = self._handover.drain()
            self._handover.put([Revoking([Partition(p.topic, p.partition) for p in partitions], drain.complete)])
            points = self._handover.wait_for(drain, self._drain_timeout_s) or {}
            try:
                self._commit_now(consumer, points)
            except KafkaException as error:  # then it stays uncommitted, and the next owner begins with what was before it
                self._tell(error, f"not committed at revocation: {', '.join(map(str, points))}: ")
        self._forget(partitions)
        consumer.incremental_unassign(partitions)

    def _commit_now(self, consumer: Consumer, points: Mapping[Partition, CommitPoint]) -> None:
        if points:
            consumer.commit(offsets=offsets_of(points), asynchronous=False)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._handover.put([Lost([Partition(p.topic, p.partition) for p in partitions])])
        self._forget(partitions)
        consumer.incremental_unassign(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        for p in partitions:
            self._assigned.pop((p.topic, p.partition), None)
            self._rewind.discard((p.topic, p.partition))
            self._touched.add((p.topic, p.partition))

    # -- commits

    def _commit(self, points: Mapping[Partition, CommitPoint], commit: CommitUnderWay) -> None:
        offsets = offsets_of({p: point for p, point in points.items() if (p.topic, p.number) in self._assigned})
        commit.sends(offsets)
        if not offsets or commit.is_given_up:
            commit.settle(None, [])
            return
        self._commits.append(commit)
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._commits.remove(commit)
            commit.settle(error.args[0], offsets)

    def _on_commit(self, error: KafkaError | None, results: list[TopicPartition]) -> None:
        """The client repeats what a broker did not answer, even behind a later commit. Of two that said the same the one
        that was sent first counts as answered. An error without partitions is of the one that was sent last."""
        answered = [commit for commit in self._commits if commit.is_answered_by(results)] if results else self._commits[-1:]
        if answered:
            self._commits.remove(answered[0])
            answered[0].settle(error, results)

    def _on_error(self, error: KafkaError) -> None:
        self._say([SourceTrouble(error.name(), error.str())])

    def _still_assigned(self, partitions: Collection[Partition]) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.number) for p in partitions if (p.topic, p.number) in self._assigned]
