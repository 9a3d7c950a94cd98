"""From where on the ledger has to be read, so that nothing of a partition at or above its committed offset is missed.

As an offset of each slot. What is not written yet will stand at or behind the slot's end, as it was known when the writing began;
what nobody has begun to write stands at or behind every end that is known by now. Retention may have removed what a floor names:
see `ReadSlots`.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.core.proof.ledger_layout import LedgerMessage
from bridge.core.proof.noted_entries import SlotMessage
from bridge.core.records import Partition


class _Written(NamedTuple):
    at: int
    highest: int
    """The highest Kafka offset of the partition in the message."""


@dataclass(slots=True)
class _OfPartition:
    written: dict[int, deque[_Written]] = field(default_factory=dict)
    """By slot, in the order of their places."""
    under_way: dict[int, Mapping[int, int]] = field(default_factory=dict)
    """Ends of slots as they were known when a writing began, by its number."""
    inherited: Mapping[int, int] = field(default_factory=dict)
    inherited_to: int = -1
    """What the owner before has written, up to this Kafka offset, begins there."""


class LedgerFloors:
    """Of all partitions of one process."""

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}
        self._partitions: dict[Partition, _OfPartition] = {}
        self._writings = 0
        self.generation = 0
        """Rises when the ends of all slots became known anew."""

    def know_ends(self, ends: Mapping[int, int]) -> None:
        """The ends that the slots have by now: what is written from now on stands there or behind."""
        self.generation += 1
        self._rise(ends)

    def _rise(self, ends: Mapping[int, int]) -> None:
        for slot, end in ends.items():
            self._ends[slot] = max(end, self._ends.get(slot, 0))

    def inherit(self, partition: Partition, floors: Mapping[int, int], to_offset: int) -> None:
        """A new owner: entries of the one before, for Kafka offsets up to this one, stand at or above these floors."""
        self._partitions[partition] = _OfPartition(inherited=floors, inherited_to=to_offset)

    def inherited_to(self, partition: Partition, to_offset: int) -> None:
        """What the owner before has written is known now: it is for Kafka offsets up to this one."""
        if found := self._partitions.get(partition):
            found.inherited_to = to_offset

    def forget(self, partition: Partition) -> None:
        """It is not ours any more."""
        self._partitions.pop(partition, None)

    def begin(self, message: SlotMessage) -> int:
        """This is being written from now on. Returns a number for `written`."""
        self._writings += 1
        begins = {message.slot: self._ends.get(message.slot, 0)}
        for partition in message.highest:
            self._partitions.setdefault(partition, _OfPartition()).under_way[self._writings] = begins
        return self._writings

    def written(self, number: int, message: SlotMessage, at: int) -> None:
        """It is written, at this offset of its slot."""
        self._rise({message.slot: at + 1})
        for partition, highest in message.highest.items():
            if found := self._partitions.get(partition):
                found.under_way.pop(number, None)
                found.written.setdefault(message.slot, deque()).append(_Written(at, highest))

    def written_again(self, partition: Partition, below: Mapping[int, int]) -> None:
        """What slots have of this partition below these offsets, and is still needed, was written once more, and that is told by
        `written`."""
        if (found := self._partitions.get(partition)) is None:
            return
        found.inherited = {slot: max(at, below.get(slot, at)) for slot, at in found.inherited.items()}
        for slot, at in below.items():
            if messages := found.written.get(slot):
                found.written[slot] = deque(message for message in messages if message.at >= at)

    def of(self, partition: Partition, committable: int) -> dict[int, int]:
        """Where entries of this partition at or above this Kafka offset begin."""
        floors = dict(self._ends)
        if (found := self._partitions.get(partition)) is None:
            return floors
        begins = [*found.under_way.values()]
        if committable <= found.inherited_to:
            begins.append(found.inherited)
        for slot, messages in found.written.items():
            while messages and messages[0].highest < committable:
                messages.popleft()
            if messages:
                begins.append({slot: min(message.at for message in messages)})
        for of_slots in begins:
            for slot, at in of_slots.items():
                floors[slot] = min(at, floors.get(slot, at))
        return floors


@dataclass(slots=True)
class ReadSlots:
    """What a reading of slots from begins to ends has found. A slot has no holes: what is missing, retention has removed."""

    begins: Mapping[int, int]
    ends: Mapping[int, int]
    _firsts: dict[int, int] = field(default_factory=dict)

    def saw(self, messages: Iterable[LedgerMessage]) -> None:
        """The next messages, those of each slot in their order."""
        for message in messages:
            self._firsts.setdefault(message.slot, message.offset)

    def lacks(self, floors: Mapping[int, int]) -> int | None:
        """A slot that has not all from its floor on, which is not below its begin; also where it ends below that, as one that was
        created anew does. None: all is there. To be asked after the reading."""
        for slot, at in floors.items():
            end = self.ends.get(slot, at)
            if at > end or at < self._firsts.get(slot, end):
                return slot
        return None
