"""What a consumer reads: positions, fetches in the background, and the queue of what was fetched and not yet taken."""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID, KafkaError

from tests.simulation.kafka.errors import error, exception
from tests.simulation.kafka.fetches import Chunk, FetchLimits, Part, Reading, serve
from tests.simulation.kafka.messages import Place, SimMessage
from tests.simulation.kafka.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster

LATE_MESSAGES = 3


@dataclass(slots=True)
class Fetcher:
    """Of one consumer. `wake` tells it that something has come; `look_up` finds committed offsets for positions left open."""

    cluster: "Cluster"
    wire: Wire
    limits: FetchLimits
    wake: Callable[[], None]
    look_up: Callable[[list[Place]], None]
    readings: dict[Place, Reading] = field(default_factory=dict)
    paused: set[Place] = field(default_factory=set)
    """Also of partitions that left: a client remembers it for as long as it lives (seen with librdkafka 2.16)."""
    closed: bool = False
    _queue: deque[Chunk] = field(default_factory=deque)
    _in_flight: bool = False
    _turn: int = 0

    # -- the assignment

    def add(self, offsets: Collection[tuple[Place, int]]) -> None:
        """Raises KafkaException where one is already there."""
        for place, _ in offsets:
            if place in self.readings:
                raise exception(KafkaError._CONFLICT, f"{place[0]} [{place[1]}] is already part of the current assignment")
        for place, offset in offsets:
            self.readings[place] = Reading(place, offset, offset, offset, place in self.paused)
        unknown = [place for place, offset in offsets if offset == OFFSET_INVALID]
        if unknown:
            self.look_up(unknown)
        self.cluster.timeline.after(self.cluster.random.uniform(0.0, 0.001), self._begin)

    def remove(self, places: Collection[Place]) -> None:
        """Raises KafkaException where one is not there."""
        if places and not self.readings:
            raise exception(KafkaError._INVALID_ARG, "Can't subtract from empty assignment")
        for place in places:
            if place not in self.readings:
                raise exception(KafkaError._INVALID_ARG, f"{place[0]} [{place[1]}] is not part of the current assignment")
        for place in places:
            self.readings.pop(place).version += 1

    def found(self, offsets: dict[Place, int]) -> None:
        """Committed offsets of partitions that were assigned without one; negative where there is none."""
        for place, offset in offsets.items():
            reading = self.readings.get(place)
            if reading is None or reading.fetch_position != OFFSET_INVALID:
                continue
            if offset >= 0:
                self._set_position(reading, offset)
            else:
                self._reset(reading, "no previously committed offset available: Local: No offset stored", None)
        self.pump()

    def pause(self, places: Iterable[Place]) -> None:
        for place in places:
            self.paused.add(place)
            if reading := self.readings.get(place):
                reading.paused = True
                late = self.cluster.faults.late_messages and self._late(reading)
                self._set_position(reading, reading.position)
                if late:
                    self._queue.appendleft(Chunk(reading, reading.version, late))
                    reading.fetch_position = (late[-1].offset() or 0) + 1

    def resume(self, places: Iterable[Place]) -> None:
        for place in places:
            self.paused.discard(place)
            reading = self.readings.get(place)
            if reading is not None and reading.paused:
                reading.paused = False
                self._set_position(reading, reading.position)
        self.pump()

    def seek(self, place: Place, offset: int) -> None:
        """Raises KafkaException where the partition is not being read."""
        reading = self.readings.get(place)
        where = f"Failed to seek to offset {offset}: "
        if reading is None:
            raise exception(KafkaError._UNKNOWN_PARTITION, where + "Local: Unknown partition")
        if reading.failed or not reading.begun:
            raise exception(KafkaError._STATE, where + "Local: Erroneous state")
        self._set_position(reading, offset)
        self.pump()

    # -- what was fetched

    def take(self, count: int) -> tuple[Reading, int, list[SimMessage]] | None:
        """Messages of one partition, with its version; None where there are none."""
        while self._queue:
            chunk = self._queue[0]
            reading = chunk.reading
            if chunk.version != reading.version:
                self._queue.popleft()
                continue
            messages = chunk.messages[chunk.taken : chunk.taken + count]
            chunk.taken += len(messages)
            if chunk.taken >= len(chunk.messages):
                self._queue.popleft()
            self._took(reading, messages)
            return reading, reading.version, messages
        return None

    def _took(self, reading: Reading, messages: list[SimMessage]) -> None:
        last: Any = messages[-1]
        if last.error() is None:
            reading.position = last.offset() + 1
        full = reading.queued_bytes >= self.limits.queued
        reading.queued_bytes -= sum(message.size for message in messages)
        if full:
            self.pump()

    # -- fetches

    def pump(self) -> None:
        """Sends a fetch, if there is something to ask for and none is under way."""
        if self._in_flight or self.closed:
            return
        parts = [Part(r, r.version, r.fetch_position) for r in self.readings.values() if self._wants(r)]
        if not parts:
            return
        self._turn += 1
        turn = self._turn % len(parts)
        parts = parts[turn:] + parts[:turn]
        self._in_flight = True
        self.wire.send(lambda reply: serve(self.cluster, parts, self.limits, reply), self._answered, self._lost)

    def _wants(self, reading: Reading) -> bool:
        able = reading.begun and not reading.paused and not reading.failed
        return able and reading.fetch_position != OFFSET_INVALID and reading.queued_bytes < self.limits.queued

    def _begin(self) -> None:
        for reading in self.readings.values():
            reading.begun = True
        self.pump()

    def _lost(self) -> None:
        self.cluster.timeline.after(self.cluster.backoff_s(), self._again)

    def _again(self) -> None:
        self._in_flight = False
        self.pump()

    def _answered(self, parts: list[Part]) -> None:
        self._in_flight = False
        for part in parts:
            reading = part.reading
            if reading.version == part.version and reading.fetch_position == part.offset:
                self._accept(reading, part)
        self.pump()

    def _accept(self, reading: Reading, part: Part) -> None:
        if part.problem:
            self._problem(reading, part)
            return
        if part.records:
            self._enqueue(reading, part.records)
        reading.fetch_position = part.next_offset
        if not part.records and part.next_offset == part.offset == part.end and reading.reported_end != part.end:
            reading.reported_end = part.end
            text = f"Fetch from broker 1 reached end of partition at offset {part.end} (HighwaterMark {part.end})"
            self._enqueue(reading, [SimMessage.report(error(KafkaError._PARTITION_EOF, text), reading.place, part.end)])
        if part.records and self.cluster.faults.happens("redeliver"):
            back = self.cluster.faults.chance.randint(1, self.cluster.faults.redeliver_offsets)
            floor = max(reading.assigned_at, self.cluster.logs[reading.place].start)
            reading.fetch_position = max(floor, reading.fetch_position - back)

    def _problem(self, reading: Reading, part: Part) -> None:
        if part.problem == KafkaError.OFFSET_OUT_OF_RANGE:
            text = "fetch failed due to requested offset not available on the broker: Broker: Offset out of range (broker 1)"
            self._reset(reading, text, part.offset)
        elif not reading.failed:
            reading.failed = True
            self._enqueue(reading, [SimMessage.report(error(part.problem), reading.place, part.offset)])

    def _reset(self, reading: Reading, why: str, offset: int | None) -> None:
        if self.limits.reset in ("earliest", "smallest", "beginning", "latest", "largest", "end"):
            earliest = self.limits.reset in ("earliest", "smallest", "beginning")
            self._set_position(reading, OFFSET_BEGINNING if earliest else OFFSET_END)
            return
        reading.failed = True
        self._enqueue(reading, [SimMessage.report(error(KafkaError._AUTO_OFFSET_RESET, why), reading.place, offset)])

    def _set_position(self, reading: Reading, offset: int) -> None:
        """What was fetched before is dropped; an end that was reported is reported again."""
        reading.version += 1
        reading.position = reading.fetch_position = offset
        reading.reported_end, reading.queued_bytes = -1, 0

    def _enqueue(self, reading: Reading, messages: list[SimMessage]) -> None:
        reading.queued_bytes += sum(message.size for message in messages)
        self._queue.append(Chunk(reading, reading.version, messages))
        self.wake()

    def _late(self, reading: Reading) -> list[SimMessage]:
        """A few of those that wait in the queue."""
        for chunk in self._queue:
            if chunk.reading is reading and chunk.version == reading.version and self.cluster.faults.happens("late_messages"):
                late = chunk.messages[chunk.taken : chunk.taken + self.cluster.faults.chance.randint(1, LATE_MESSAGES)]
                return late if all(message.error() is None for message in late) else []
        return []
