"""The independent verdict: what was sent to Kafka against what is stored in Kinesis, byte for byte and in order.

A record is known by its content only (partition key and value), and contents may repeat. So each stored record is matched
with a sent record of equal content, greedily in stored order:

1. with the sent record that is the next one due in its lane, when it has this content;
2. else, when a record of this content was matched before, it is put aside: a second copy, most likely;
3. else with the first unmatched one of this content, although others of its lane are still due.

What is still unmatched in the end takes the copies put aside; the other copies are duplicates. An inversion is a record
whose first occurrence comes after that of a later record of its lane. A stream that holds first occurrences in order, with
copies of earlier records anywhere after them, never shows an inversion under this matching, however contents repeat within
a lane. (Between lanes it can: give records of equal key and value in two lanes something that tells them apart.)
"""

import sys
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from tests.integration.kafka_reader import KafkaRecord
from tests.integration.kinesis_reader import KinesisRecord

EXAMPLES = 5
Content = tuple[str, bytes | None]
PartitionKeyOf = Callable[[KafkaRecord], str | None]
"""The partition key that the record must have in Kinesis; None: it must not be there at all (parked, skipped)."""
LaneOf = Callable[[KafkaRecord], Hashable]
"""Records of one lane must be stored in order; by default a Kafka partition and a partition key make a lane."""


@dataclass(frozen=True)
class Verdict:
    sent: int
    stored: int
    missing: int
    unexpected: int
    """Stored records with a content that nobody sent."""
    duplicates: int
    inversions: int
    examples: tuple[str, ...] = field(default=(), compare=False)

    @property
    def complete_in_order(self) -> bool:
        """At least once and in order: duplicates are allowed."""
        return not (self.missing or self.unexpected or self.inversions)

    @property
    def exact(self) -> bool:
        return self.complete_in_order and not self.duplicates

    def __str__(self) -> str:
        numbers = ("sent", "stored", "missing", "unexpected", "duplicates", "inversions")
        return "\n  ".join([", ".join(f"{name} {getattr(self, name)}" for name in numbers), *self.examples])


def compare(
    sent: Sequence[KafkaRecord],
    stored: Sequence[KinesisRecord],
    partition_key_of: PartitionKeyOf,
    lane_of: LaneOf | None = None,
) -> Verdict:
    """`sent` in offset order within each partition, as `read_topic` gives it; `stored` as `read_stream` gives it."""
    matching = _Matching(stored, lane_of)
    expected = 0
    for record in sent:
        partition_key = partition_key_of(record)
        if partition_key is not None:
            expected += 1
            matching.expect(record, (partition_key, record.value))
    matching.begin()
    for position, found in enumerate(stored):
        matching.match(position, (found.partition_key, found.data))
    matching.settle()
    missing, inverted = list(matching.missing()), sorted(matching.inverted(), key=itemgetter(1))
    examples = [
        *(f"missing: {_place(record)}" for record in missing[:EXAMPLES]),
        *(f"unexpected: {_found(stored[position])}" for position in matching.foreign[:EXAMPLES]),
        *(f"out of order: {_place(record)} at {_found(stored[position])}" for record, position in inverted[:EXAMPLES]),
    ]
    copies = sorted(position for positions in matching.aside.values() for position in positions)
    examples += [f"there before: {_found(stored[position])}" for position in copies[:EXAMPLES]]
    return Verdict(
        expected, len(stored), len(missing), len(matching.foreign), len(copies), len(inverted), examples=tuple(examples)
    )


class _Lane:
    """The sent records of one lane in order, and where in the stream each one's first occurrence is."""

    __slots__ = ("due", "positions", "records")

    def __init__(self) -> None:
        self.records: list[KafkaRecord] = []
        self.positions: list[int | None] = []
        self.due = 0

    def set(self, index: int, position: int) -> None:
        self.positions[index] = position
        while self.due < len(self.positions) and self.positions[self.due] is not None:
            self.due += 1


class _Waiting:
    """The sent records of one content that nothing stored is matched with yet, lane by lane, and whether one ever was."""

    __slots__ = ("by_lane", "matched")

    def __init__(self) -> None:
        self.by_lane: dict[Hashable, list[int]] = {}
        self.matched = False


class _Matching:
    def __init__(self, stored: Sequence[KinesisRecord], lane_of: LaneOf | None) -> None:
        self._stored: set[Content] = {(record.partition_key, record.data) for record in stored}
        self._lane_of = lane_of
        self._lanes: dict[Hashable, _Lane] = {}
        self._waiting: dict[Content, _Waiting] = {}
        self._absent: list[KafkaRecord] = []
        self.aside: dict[Content, deque[int]] = {}
        self.foreign: list[int] = []

    def expect(self, record: KafkaRecord, content: Content) -> None:
        if content not in self._stored:
            # Certainly missing, and so never due: its successors are not out of order for its sake.
            self._absent.append(record)
            return
        name = (record.topic, record.partition, content[0]) if self._lane_of is None else self._lane_of(record)
        lane = self._lanes.setdefault(name, _Lane())
        waiting = self._waiting.setdefault(content, _Waiting())
        waiting.by_lane.setdefault(name, []).append(len(lane.records))
        lane.records.append(record)
        lane.positions.append(None)

    def begin(self) -> None:
        """The first waiting record goes to the end of its list, to be popped. (Lists: a deque for each content is too big.)"""
        for waiting in self._waiting.values():
            for indices in waiting.by_lane.values():
                indices.reverse()

    def match(self, position: int, content: Content) -> None:
        waiting = self._waiting.get(content)
        if waiting is None:
            self.foreign.append(position)
            return
        for name, indices in waiting.by_lane.items():
            if indices[-1] == self._lanes[name].due:
                self._take(waiting, name, position)
                return
        if waiting.matched or not waiting.by_lane:
            self.aside.setdefault(content, deque()).append(position)
        else:
            self._take(waiting, next(iter(waiting.by_lane)), position)

    def _take(self, waiting: _Waiting, name: Hashable, position: int) -> None:
        indices = waiting.by_lane[name]
        self._lanes[name].set(indices.pop(), position)
        waiting.matched = True
        if not indices:
            del waiting.by_lane[name]

    def settle(self) -> None:
        """As many records of a content as were stored are there: the copies put aside stand for those still unmatched."""
        for content, positions in self.aside.items():
            waiting = self._waiting[content]
            while positions and waiting.by_lane:
                self._take(waiting, next(iter(waiting.by_lane)), positions.popleft())

    def missing(self) -> Iterator[KafkaRecord]:
        yield from self._absent
        for lane in self._lanes.values():
            yield from (record for record, position in zip(lane.records, lane.positions, strict=True) if position is None)

    def inverted(self) -> Iterator[tuple[KafkaRecord, int]]:
        for lane in self._lanes.values():
            earliest = sys.maxsize
            for record, position in zip(reversed(lane.records), reversed(lane.positions), strict=True):
                if position is None:
                    continue
                if position > earliest:
                    yield record, position
                earliest = min(earliest, position)


def _place(record: KafkaRecord) -> str:
    return f"{record.topic}[{record.partition}]@{record.offset} key {record.key!r}"


def _found(record: KinesisRecord) -> str:
    return f"{record.shard_id} {record.sequence_number} key {record.partition_key!r}"
